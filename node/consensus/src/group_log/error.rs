//! Errors of the node's log.

use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use twinscale_log::{LogError, LogIndex};
use twinscale_protocol::NodeNumber;

use super::identity::LogIdentity;
use super::record::RecordError;
use crate::ids::GroupId;

/// Why the node's log refused or failed.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum GroupLogError {
    /// No log is there.
    #[error(
        "directory {directory} holds no log of node {node}; restore it, or, where the disk was lost, let \
         the node join again under a new number and remove number {node} from its groups"
    )]
    Missing {
        /// The directory.
        directory: PathBuf,
        /// The node that looked for its log.
        node: NodeNumber,
    },
    /// The log of another cluster or node is there.
    #[error(
        "directory {directory} holds the log of node {} of cluster {}, not of node {} of cluster {}; give \
         each node its own data directory",
        found.node, found.cluster, wanted.node, wanted.cluster
    )]
    Foreign {
        /// The directory.
        directory: PathBuf,
        /// Whose it is.
        found: LogIdentity,
        /// Who looked.
        wanted: LogIdentity,
    },
    /// The file that says whose log it is cannot be read.
    #[error("identity file {path} is damaged; restore it from a copy, or join under a new number")]
    IdentityDamaged {
        /// The file.
        path: PathBuf,
    },
    /// A log is there already.
    #[error("{path} is part of a log; open that log, or choose an empty directory for the new one")]
    Exists {
        /// One of its files.
        path: PathBuf,
    },
    /// A group lacks an entry between others.
    #[error(
        "entry {index} of group {group} is missing from the log in {directory}; let the node join again \
         under a new number"
    )]
    Gap {
        /// The directory.
        directory: PathBuf,
        /// The group.
        group: GroupId,
        /// The first index that is missing.
        index: u64,
    },
    /// An entry that does not follow the last one.
    #[error("entry {found} of group {group} cannot be appended: entry {expected} comes next")]
    OutOfOrder {
        /// The group.
        group: GroupId,
        /// The index that comes next.
        expected: u64,
        /// The index that was given.
        found: u64,
    },
    /// A record cannot be written or read.
    #[error("record {place} of the node's log")]
    Record {
        /// Its place; 0 when it was not written.
        place: LogIndex,
        /// What is wrong.
        #[source]
        source: RecordError,
    },
    /// Something else stands where a record should be.
    #[error(
        "record {place} of the node's log is not entry {index} of group {group}; let the node join again \
         under a new number"
    )]
    Misplaced {
        /// The group.
        group: GroupId,
        /// The entry that should stand there.
        index: u64,
        /// The place in the node's log.
        place: LogIndex,
    },
    /// The disk took no write for want of room; the node takes no part in votes until there is some.
    #[error("log takes no writes: {reason}; free space on its disk")]
    Refusing {
        /// What the disk said.
        reason: String,
    },
    /// A write or sync failed; the node takes no part in votes until it is started again.
    #[error("log is poisoned: {reason}; check the disk and start the node again")]
    Poisoned {
        /// What the disk said.
        reason: String,
    },
    /// A write of the group was abandoned by its caller, so that memory may differ from the disk.
    #[error("a write of group {group} was abandoned; start the node again")]
    Abandoned {
        /// The group.
        group: GroupId,
    },
    /// The log below failed.
    #[error(transparent)]
    Log(#[from] LogError),
    /// The disk refused something else than an append.
    #[error("failed to {operation} {path}")]
    Io {
        /// What was tried.
        operation: &'static str,
        /// On which file.
        path: PathBuf,
        /// What the disk said.
        #[source]
        source: Arc<io::Error>,
    },
    /// A background read or clean-up ended early.
    #[error("a task of the log ended early: {reason}")]
    Task {
        /// What the runtime said.
        reason: String,
    },
}

impl GroupLogError {
    pub(super) fn io(operation: &'static str, path: PathBuf, source: io::Error) -> Self {
        Self::Io {
            operation,
            path,
            source: Arc::new(source),
        }
    }

    pub(super) fn unwritten(source: RecordError) -> Self {
        Self::Record {
            place: LogIndex::ZERO,
            source,
        }
    }
}
