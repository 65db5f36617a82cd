//! Why a node does not start.

use crate::meta::KeeperError;
use std::io;
use std::path::PathBuf;
use twinscale_consensus::{GroupLogError, OpenGroupsError};
use twinscale_membership::{EndpointError, EntropyError, StartError};
use twinscale_protocol::{ClusterId, WireError};
use twinscale_wire::ServeError;

/// Why a node does not start.
#[derive(Debug, thiserror::Error)]
pub enum NodeError {
    /// A file cannot be read or written.
    #[error("{path} cannot be used: check that the directory exists and may be written")]
    File {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// The node file is damaged.
    #[error(
        "{path} is not a node file of this version: restore it, or join with an empty directory"
    )]
    Damaged {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: serde_json::Error,
    },
    /// The directory belongs to another node or cluster.
    #[error(
        "directory {path} belongs to node `{found}` of cluster `{cluster}`, and the certificate is of {own}: give \
         each node a directory of its own"
    )]
    OtherDirectory {
        /// The directory.
        path: PathBuf,
        /// The node that it belongs to.
        found: String,
        /// The cluster that it belongs to.
        cluster: ClusterId,
        /// Who this node is.
        own: String,
    },
    /// The directory's cluster has a schema that this program does not know.
    #[error(
        "directory {path} belongs to a cluster of schema {gate}, and this program knows {oldest} to {newest}: start \
         the program that the other nodes run"
    )]
    Schema {
        /// The directory.
        path: PathBuf,
        /// The cluster's schema, as last kept there.
        gate: u32,
        /// The oldest that this program knows.
        oldest: u32,
        /// The newest.
        newest: u32,
    },
    /// The directory has a node already, or has none.
    #[error("directory {path} {state}: {remedy}")]
    State {
        /// The directory.
        path: PathBuf,
        /// What is wrong with it.
        state: &'static str,
        /// What helps.
        remedy: &'static str,
    },
    /// The cluster that was to be founded runs already.
    #[error(
        "cluster `{cluster}` runs already: node `{seed}` at {address} answers for it, and {path} has no node of \
         it. A second cluster under one id would take the other's nodes and customers: to join it, start \
         without --found, under a name that it never had; take a node that lost its directory out with \
         `twinscale decommission NAME --gone`"
    )]
    Runs {
        /// The cluster.
        cluster: ClusterId,
        /// The own directory.
        path: PathBuf,
        /// Who answers.
        seed: String,
        /// Where.
        address: String,
    },
    /// The certificate is not that of a node.
    #[error("the certificate is of {0}: a node needs one of a node")]
    NotNode(String),
    /// The cluster does not take the node.
    #[error("the cluster does not take this node: {reason}")]
    Refused {
        /// Why.
        reason: String,
    },
    /// No seed answered.
    #[error("no seed answered in time: {last}")]
    NoSeed {
        /// What the last one came to.
        last: String,
    },
    /// An address cannot be told to others.
    #[error(transparent)]
    Address(#[from] EndpointError),
    /// The log does not open.
    #[error(transparent)]
    Log(#[from] GroupLogError),
    /// The groups do not open.
    #[error(transparent)]
    Groups(#[from] OpenGroupsError),
    /// The replicas do not open.
    #[error(transparent)]
    Replicas(#[from] KeeperError),
    /// The wire does not listen.
    #[error(transparent)]
    Wire(#[from] ServeError),
    /// Gossip does not start.
    #[error(transparent)]
    Gossip(#[from] StartError),
    /// The system gives no random bytes.
    #[error(transparent)]
    Entropy(#[from] EntropyError),
    /// The first groups cannot be made.
    #[error("the cluster cannot be founded: {0}")]
    Found(WireError),
}
