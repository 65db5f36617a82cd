//! Who takes part, and places in a group's log.

use std::fmt;

use openraft::{CommittedLeaderId, LogId, Vote};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use twinscale_protocol::{ClusterId, NodeNumber};

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

/// A cluster as logs and messages of consensus name it: 16 bytes that stand for its id.
///
/// Clusters of one name share it; what keeps those apart is their certificate authority.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct ClusterTag(pub(crate) u128);

/// Sets the hash apart from any other use of the id.
const CLUSTER_TAG_CONTEXT: &[u8] = b"twinscale consensus cluster tag 1";

impl ClusterTag {
    /// Returns the tag of a cluster: the first 16 bytes of a SHA-256 of its id.
    #[expect(
        clippy::missing_panics_doc,
        reason = "a SHA-256 has more than 16 bytes"
    )]
    pub fn of(cluster: &ClusterId) -> Self {
        let hash = Sha256::new()
            .chain_update(CLUSTER_TAG_CONTEXT)
            .chain_update(cluster.as_str())
            .finalize();
        let first = hash.first_chunk().expect("a SHA-256 has 32 bytes");
        Self(u128::from_le_bytes(*first))
    }
}

impl fmt::Display for ClusterTag {
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

impl StoredVote {
    /// Whose candidature or leadership it is.
    pub(crate) fn of(&self) -> Option<NodeNumber> {
        self.voted_for
    }
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

#[cfg(test)]
mod tests {
    use super::*;

    /// Logs and messages name their cluster by it.
    #[test]
    fn golden_tag_of_a_cluster() {
        let tag = |id: &str| ClusterTag::of(&ClusterId::new(id).unwrap()).to_string();
        assert_eq!(tag("prod-eu-1"), "78ea7249d2aa4606e89fb31c4e83ca81");
        assert_ne!(tag("prod-eu-1"), tag("prod-eu-2"));
    }
}
