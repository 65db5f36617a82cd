//! Who takes part, and places in a group's log.

use std::fmt;

use openraft::{CommittedLeaderId, LogId, Vote};
use serde::{Deserialize, Serialize};

/// A consensus group: 0 is the cluster's own, the others are shards.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
pub struct GroupId(pub u32);

impl fmt::Display for GroupId {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(formatter)
    }
}

/// The number under which a node takes part in consensus.
///
/// A number stands for one disk: a node whose log was lost comes back under a new number, because what it
/// promised to others under the old one is forgotten.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
pub struct NodeNumber(pub u64);

impl fmt::Display for NodeNumber {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(formatter)
    }
}

impl From<u64> for NodeNumber {
    fn from(number: u64) -> Self {
        Self(number)
    }
}

/// A cluster, told from others by a number drawn when it was made.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct ClusterId(pub u128);

impl fmt::Display for ClusterId {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{:032x}", self.0)
    }
}

/// The place of an entry in the log of its group; places compare by term first.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
pub struct LogPosition {
    /// The term of the leader that wrote it: the generation, since a term has one leader.
    pub term: u64,
    /// Its index; the first entry of a group has index 0.
    pub index: u64,
}

impl fmt::Display for LogPosition {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{} of term {}", self.index, self.term)
    }
}

impl From<LogId<NodeNumber>> for LogPosition {
    fn from(log_id: LogId<NodeNumber>) -> Self {
        Self {
            term: log_id.leader_id.term,
            index: log_id.index,
        }
    }
}

impl From<LogPosition> for LogId<NodeNumber> {
    fn from(position: LogPosition) -> Self {
        // A term has one leader, so its node is no part of the place.
        Self::new(
            CommittedLeaderId::new(position.term, NodeNumber::default()),
            position.index,
        )
    }
}

/// A vote as it is stored and sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct StoredVote {
    term: u64,
    voted_for: Option<NodeNumber>,
    is_committed: bool,
}

impl From<Vote<NodeNumber>> for StoredVote {
    fn from(vote: Vote<NodeNumber>) -> Self {
        Self {
            term: vote.leader_id.term,
            voted_for: vote.leader_id.voted_for,
            is_committed: vote.committed,
        }
    }
}

impl From<StoredVote> for Vote<NodeNumber> {
    fn from(stored: StoredVote) -> Self {
        let mut vote = Self {
            committed: stored.is_committed,
            ..Self::default()
        };
        vote.leader_id.term = stored.term;
        vote.leader_id.voted_for = stored.voted_for;
        vote
    }
}
