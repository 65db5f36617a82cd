//! A node among others: membership, wire, groups and replicas, started in order.
//!
//! [`ClusterNode::found`] makes a cluster of one node, [`ClusterNode::join`] adds a node to one that runs,
//! [`ClusterNode::restart`] takes up what a directory holds. Invariants: a directory belongs to one node of
//! one cluster, and a node whose directory was lost joins under a new number; consensus starts only under
//! the number that group 0 gave. Not here: what twins do, and what a node serves to people.

mod answers;
mod ask;
mod error;
mod figures;
mod founding;
mod gate;
mod joining;
mod observers;
mod place;
mod places;
mod running;
mod start;
mod telling;

pub use error::NodeError;
pub use figures::{FiguresReader, NodeFigures};
pub use joining::{JOIN_REPLY, JOIN_REQUEST, JoinReply, JoinRequest};
pub use observers::NodeObservers;
pub use place::NodeFile;
pub use start::{ClusterNode, NodeSetup};
