//! Errors of groups.

use std::time::Duration;
use twinscale_protocol::NodeNumber;

use crate::group_log::GroupLogError;
use crate::ids::{GroupId, LogPosition};
use crate::snapshot::SnapshotError;

/// Why groups cannot run.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum OpenGroupsError {
    /// Times that contradict each other.
    #[error("times of consensus are not usable: {reason}")]
    Times {
        /// What is wrong.
        reason: String,
    },
    /// This build could elect several leaders in one term.
    #[error(
        "this build may elect several leaders in one term, so that a term is no fencing number; build \
         openraft with its feature single-term-leader"
    )]
    SeveralLeadersPerTerm,
    /// The snapshots cannot be read.
    #[error("snapshots")]
    Snapshots(#[from] SnapshotError),
}

/// Why a group does not start.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StartGroupError {
    /// It runs already.
    #[error("group {group} runs already; stop it first")]
    Running {
        /// The group.
        group: GroupId,
    },
    /// The log was purged behind a snapshot that is gone, and the state lacks what it covered.
    #[error(
        "state of group {group} is at {applied:?}, but its log begins behind {purged} and no snapshot \
         covers the rest; let the node join the group again under a new number"
    )]
    StateBehindLog {
        /// The group.
        group: GroupId,
        /// How far the state is.
        applied: Option<LogPosition>,
        /// What the log lacks.
        purged: LogPosition,
    },
    /// The storage failed.
    #[error("group {group} cannot be started: {reason}")]
    Failed {
        /// The group.
        group: GroupId,
        /// What failed.
        reason: String,
    },
}

/// Why a group was not forgotten, or not wholly.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum EraseGroupError {
    /// It runs.
    #[error("group {group} runs on this node; stop it first")]
    Running {
        /// The group.
        group: GroupId,
    },
    /// Its snapshots could not be removed.
    #[error("snapshots")]
    Snapshots(#[from] SnapshotError),
    /// The log took no record of it.
    #[error("log")]
    Log(#[from] GroupLogError),
}

/// Why a group did not do what was asked.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum GroupError {
    /// The group does not run on this node.
    #[error("group {group} does not run on this node; ask one of its replicas")]
    NotRunning {
        /// The group.
        group: GroupId,
    },
    /// Another node leads; nothing was done.
    #[error(
        "this node does not lead group {group}; {}",
        leader.map_or_else(|| "try again once a leader is known".to_owned(), |leader| format!("ask node {leader}"))
    )]
    NotLeader {
        /// The group.
        group: GroupId,
        /// Who leads, as far as this node knows.
        leader: Option<NodeNumber>,
    },
    /// The leader is handing over; nothing was done.
    #[error("leadership of group {group} is being handed to another node; try again soon")]
    HandingOver {
        /// The group.
        group: GroupId,
    },
    /// The leader hears from no majority; nothing was done.
    #[error("group {group} has no majority of its replicas connected; try again once it has")]
    NoQuorum {
        /// The group.
        group: GroupId,
    },
    /// Too much is under way; nothing was done.
    #[error("group {group} has {limit} proposals under way; try again later")]
    Overloaded {
        /// The group.
        group: GroupId,
        /// The limit.
        limit: usize,
    },
    /// The proposal is too large; nothing was done.
    #[error("proposal of {bytes} bytes exceeds the limit of {limit}; split it")]
    TooLarge {
        /// Its size, in bytes.
        bytes: usize,
        /// The limit, in bytes.
        limit: usize,
    },
    /// The node's log takes no writes; nothing was done.
    #[error("group {group} takes no proposals: {reason}")]
    LogRefuses {
        /// The group.
        group: GroupId,
        /// What the log says.
        reason: String,
    },
    /// The proposal may have been committed, may still be, or never.
    #[error(
        "outcome of the proposal to group {group} is unknown: {reason}; look whether it took effect before \
         proposing it again"
    )]
    OutcomeUnknown {
        /// The group.
        group: GroupId,
        /// Who leads, as far as this node knows.
        leader: Option<NodeNumber>,
        /// Why.
        reason: String,
    },
    /// Something without effect took too long.
    #[error("group {group} took longer than {after:?} to {what}; try again")]
    TimedOut {
        /// The group.
        group: GroupId,
        /// What was asked.
        what: &'static str,
        /// The deadline.
        after: Duration,
    },
    /// The members are no longer those that the request rests on; nothing was done.
    #[error(
        "members of group {group} were changed since index {asked}, the newest change is at {at}; look at \
         them again"
    )]
    MembersChanged {
        /// The group.
        group: GroupId,
        /// The log index of the membership that the request rests on.
        asked: u64,
        /// That of the newest membership, which may not be committed yet.
        at: u64,
    },
    /// The members cannot be changed in this way now; nothing was done.
    #[error("members of group {group} cannot be changed: {reason}")]
    Members {
        /// The group.
        group: GroupId,
        /// Why.
        reason: String,
    },
    /// The group stopped on this node.
    #[error("group {group} stopped on this node: {reason}")]
    Stopped {
        /// The group.
        group: GroupId,
        /// Why.
        reason: String,
    },
}

/// Why a log's condition keeps a group from writing.
pub(crate) fn log_refusal(group: GroupId, error: &GroupLogError) -> GroupError {
    GroupError::LogRefuses {
        group,
        reason: error.to_string(),
    }
}
