//! Consensus groups over one group-committing log.
//!
//! A node runs many openraft groups ([`Groups`]) over one log of its own ([`GroupLog`]), whose one writer
//! thread makes all groups' waiting entries durable with one fdatasync. What a group decides is opaque
//! here: its owner gives the [`StateMachine`], the node gives the [`PeerNetwork`].
//!
//! Promises, each with its test:
//! - a proposal that was acknowledged is on the disks of a majority and applied; it is never lost;
//! - a term has one leader, so that the term is the generation that fences effects outside;
//! - a node that can no longer write takes no part in votes, and shows it;
//! - a replica that was cut off or stopped does not unseat a leader that is well;
//! - a change of members that rests on another membership than the committed one changes nothing;
//! - an error other than [`GroupError::OutcomeUnknown`] means that a proposal will never take effect.
//!
//! Not done here: what proposals mean, where peers are, which node should hold which group.

mod error;
mod group;
mod group_log;
mod groups;
mod ids;
mod machine;
mod members;
pub mod memory_network;
mod network;
mod observer;
mod options;
mod peer;
mod receive;
mod running;
mod snapshot;
mod standing;
mod status;
mod storage;
mod types;
mod wire;

pub use error::{EraseGroupError, GroupError, OpenGroupsError, StartGroupError};
pub use group::{Group, Proposed, ReadPoint};
pub use group_log::{
    GroupLog, GroupLogError, GroupLogOptions, LogCondition, LogIdentity, RecordError,
};
pub use groups::Groups;
pub use ids::{ClusterTag, GroupId, LogPosition};
pub use machine::{AppliedMark, CommittedBatch, MachineError, MarkError, StateImage, StateMachine};
pub use network::{PeerCall, PeerError, PeerLane, PeerNetwork};
pub use observer::{GroupsObserver, NoGroupsObserver, ProposalOutcome, SnapshotNews};
pub use options::GroupsOptions;
pub use snapshot::SnapshotError;
pub use status::{GroupMetrics, GroupRole, GroupStatus};

/// The envelope kind of what [`PeerNetwork::call`] carries and [`Groups::receive`] answers.
pub const PEER_REQUEST: twinscale_protocol::envelope::EnvelopeKind = wire::REQUEST;
