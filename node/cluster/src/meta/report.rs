//! What a node reports of its replicas, and what it is answered.

use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::sync::Arc;
use twinscale_consensus::{GroupRole, Groups};
use twinscale_meta::{GroupId, MetaState};
use twinscale_protocol::NodeNumber;
use twinscale_protocol::envelope::{self, EnvelopeError, EnvelopeKind};

use super::replica::consensus_group;

/// A [`NodeReport`].
pub const NODE_REPORT: EnvelopeKind = EnvelopeKind(0x0803);

/// A [`ReportReply`].
pub const REPORT_REPLY: EnvelopeKind = EnvelopeKind(0x0804);

/// What a node reports of its replicas.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct NodeReport {
    /// The node.
    pub node: NodeNumber,
    /// Which start of it, and which report of that start: later ones are larger.
    pub number: (u64, u64),
    /// The log index of the state of group 0 that it shows.
    pub meta_index: Option<u64>,
    /// The replicas that run, with their numbers.
    pub held: BTreeMap<GroupId, u64>,
    /// The groups that it leads.
    pub led: Vec<LedGroup>,
}

/// A group as its leader sees it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LedGroup {
    /// The group.
    pub group: GroupId,
    /// The term in which the node leads.
    pub term: u64,
    /// The log index of the committed membership.
    pub membership_index: u64,
    /// The voters: one set, or two during a joint change.
    pub voters: Vec<Vec<NodeNumber>>,
    /// The learners.
    pub learners: Vec<NodeNumber>,
    /// The index of the last entry.
    pub last_index: Option<u64>,
    /// Through which index each other replica's log is known to agree.
    pub matched: BTreeMap<NodeNumber, Option<u64>>,
}

/// What the leader of group 0 answers a report.
///
/// Invariant: variants travel by their place, so new ones come last.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum ReportReply {
    /// It was taken.
    Taken {
        /// The state of group 0, where the reporter's is older.
        newer: Option<MetaCopy>,
    },
    /// Another node leads group 0.
    NotLeader {
        /// Which, if it is known.
        leader: Option<NodeNumber>,
    },
}

/// A copy of the state of group 0.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct MetaCopy {
    /// Through which log index it is applied.
    pub through: u64,
    /// As [`MetaState::encode`] writes it.
    pub bytes: Vec<u8>,
}

impl MetaCopy {
    /// Copies a state; `None` when it does not fit, which its limits exclude.
    pub(super) fn of(through: u64, state: &MetaState) -> Option<Self> {
        let bytes = state.encode().ok()?;
        Some(Self { through, bytes })
    }

    /// Reads the state.
    pub(super) fn state(&self) -> Option<Arc<MetaState>> {
        let state = MetaState::decode(&self.bytes);
        let read =
            state.inspect_err(|error| tracing::warn!(%error, "a copy of group 0 is unusable"));
        read.ok().map(Arc::new)
    }
}

impl NodeReport {
    /// Encodes the report.
    ///
    /// # Errors
    /// [`EnvelopeError::TooLarge`].
    pub fn encode(&self) -> Result<Vec<u8>, EnvelopeError> {
        envelope::seal(NODE_REPORT, self)
    }

    /// Decodes a report.
    ///
    /// # Errors
    /// [`EnvelopeError`].
    pub fn decode(bytes: &[u8]) -> Result<Self, EnvelopeError> {
        envelope::open(NODE_REPORT, bytes)
    }
}

impl ReportReply {
    /// Encodes the reply.
    ///
    /// # Errors
    /// [`EnvelopeError::TooLarge`].
    pub fn encode(&self) -> Result<Vec<u8>, EnvelopeError> {
        envelope::seal(REPORT_REPLY, self)
    }

    /// Decodes a reply.
    ///
    /// # Errors
    /// [`EnvelopeError`].
    pub fn decode(bytes: &[u8]) -> Result<Self, EnvelopeError> {
        envelope::open(REPORT_REPLY, bytes)
    }
}

/// Looks at the groups that this node leads with a majority behind it.
pub(super) fn led_groups(groups: &Groups, held: &BTreeMap<GroupId, u64>) -> Vec<LedGroup> {
    let led = held.keys().filter_map(|group| led_group(groups, *group));
    led.collect()
}

fn led_group(groups: &Groups, group: GroupId) -> Option<LedGroup> {
    let handle = groups.group(consensus_group(group));
    let status = handle.status().ok()?.borrow().clone();
    if status.role != GroupRole::Leader || !status.has_quorum || status.voters.is_empty() {
        return None;
    }
    let metrics = handle.metrics().ok()?;
    let voters = status.voters.iter();
    let matched = metrics.replication.iter();
    Some(LedGroup {
        group,
        term: status.term,
        membership_index: status.membership_index,
        voters: voters.map(|set| set.iter().copied().collect()).collect(),
        learners: status.learners.iter().copied().collect(),
        last_index: metrics.last_index,
        matched: matched
            .map(|(node, place)| (*node, place.map(|place| place.index)))
            .collect(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use twinscale_protocol::ShardId;

    #[test]
    fn golden_bytes_of_a_report() {
        let group = GroupId::Shard(ShardId(17));
        let node = NodeNumber;
        let report = NodeReport {
            node: node(3),
            number: (2, 5),
            meta_index: Some(40),
            held: BTreeMap::from([(GroupId::Meta, 0), (group, 9)]),
            led: vec![LedGroup {
                group,
                term: 4,
                membership_index: 7,
                voters: vec![vec![node(1), node(3)], vec![node(3)]],
                learners: vec![node(5)],
                last_index: Some(99),
                matched: BTreeMap::from([(node(1), Some(98)), (node(5), None)]),
            }],
        };
        let bytes = report.encode().expect("encodes");
        assert_eq!(&bytes[..8], b"TWSC\x01\0\x03\x08");
        let golden: &[&[u8]] = &[
            &[3, 2, 5, 1, 40],
            &[2, 0, 0, 1, 17, 9],
            &[1, 1, 17, 4, 7, 2, 2, 1, 3, 1, 3, 1, 5, 1, 99],
            &[2, 1, 1, 98, 5, 0],
        ];
        assert_eq!(&bytes[envelope::HEADER_BYTES..], golden.concat());
        assert_eq!(NodeReport::decode(&bytes).expect("decodes"), report);
    }

    #[test]
    fn golden_bytes_of_replies() {
        let copy = MetaCopy {
            through: 40,
            bytes: vec![1, 2],
        };
        let leader = Some(NodeNumber(2));
        let cases: [(ReportReply, &[u8]); 3] = [
            (ReportReply::Taken { newer: None }, &[0, 0]),
            (
                ReportReply::Taken { newer: Some(copy) },
                &[0, 1, 40, 2, 1, 2],
            ),
            (ReportReply::NotLeader { leader }, &[1, 1, 2]),
        ];
        for (reply, golden) in cases {
            let bytes = reply.encode().expect("encodes");
            assert_eq!(&bytes[..8], b"TWSC\x01\0\x04\x08");
            assert_eq!(&bytes[envelope::HEADER_BYTES..], golden);
            assert_eq!(ReportReply::decode(&bytes).expect("decodes"), reply);
        }
    }
}
