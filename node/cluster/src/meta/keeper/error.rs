//! Why a replica was not made, started or deleted.

use super::super::records::RecordsError;
use twinscale_consensus::{EraseGroupError, StartGroupError};
use twinscale_meta::GroupId;
use twinscale_protocol::{WireError, WireErrorCode};
use twinscale_twin::shard::ShardError;

/// Why a replica was not made, started or deleted.
#[derive(Debug, thiserror::Error)]
pub enum KeeperError {
    /// The records.
    #[error(transparent)]
    Records(#[from] RecordsError),
    /// The log holds groups and the records of them are gone.
    #[error(
        "the log holds replicas and their records are gone: what this node promised cannot be told; start it \
         with an empty data directory under a new name"
    )]
    RecordsMissing,
    /// The store.
    #[error("store of the shards")]
    Store(#[from] ShardError),
    /// The cluster has another number of shards than the one that this node belongs to.
    #[error(
        "cluster has {given} shards and this node's store was made for {known}: it is fixed when a cluster is \
         created; start the node in its own cluster"
    )]
    ShardCount {
        /// What was said.
        given: u32,
        /// What the records say.
        known: u32,
    },
    /// A replica up to this number was deleted here.
    #[error(
        "a replica of {group} up to number {remembered} was deleted here: make it under a newer one"
    )]
    Remembered {
        /// The group.
        group: GroupId,
        /// Up to which number.
        remembered: u64,
    },
    /// There is no replica of the group here, or one under another number.
    #[error("no replica of {group} under number {number} is here: make it first")]
    NotHeld {
        /// The group.
        group: GroupId,
        /// The number.
        number: u64,
    },
    /// The group does not start.
    #[error("replica of {group} does not start: {source}")]
    Start {
        /// The group.
        group: GroupId,
        /// Why.
        source: StartGroupError,
    },
    /// Somebody still uses what is to be deleted.
    #[error("replica of {group} is still in use and is deleted later: try again")]
    InUse {
        /// The group.
        group: GroupId,
    },
    /// Log or snapshots could not be cleared.
    #[error("replica of {group} is not wholly deleted: {source}; try again")]
    Erase {
        /// The group.
        group: GroupId,
        /// Why.
        source: EraseGroupError,
    },
    /// It failed on this node.
    #[error("replica of {group} failed on this node: see the log, and restart the node")]
    Lost {
        /// The group.
        group: GroupId,
    },
    /// A thread ended early.
    #[error("work on the disk ended early: {reason}")]
    Task {
        /// Why.
        reason: String,
    },
}

impl From<KeeperError> for WireError {
    fn from(error: KeeperError) -> Self {
        let code = match &error {
            KeeperError::Remembered { .. } => WireErrorCode::Conflict,
            KeeperError::NotHeld { .. } => WireErrorCode::NotFound,
            KeeperError::ShardCount { .. } => WireErrorCode::Invalid,
            KeeperError::InUse { .. } => WireErrorCode::Unavailable,
            _ => WireErrorCode::Internal,
        };
        Self::new(code, error.to_string())
    }
}
