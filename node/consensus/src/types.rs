//! The types with which openraft is used here.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use bytes::Bytes;
use openraft::impls::OneshotResponder;
use openraft::{
    CommittedLeaderId, EmptyNode, EntryPayload, Membership, RaftTypeConfig, TokioRuntime,
};
use serde::{Deserialize, Serialize};
use twinscale_protocol::NodeNumber;

use crate::ids::LogPosition;
use crate::snapshot::SnapshotFile;

/// openraft as this crate uses it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct TypeConfig;

impl RaftTypeConfig for TypeConfig {
    type D = Batch;
    type R = Response;
    type NodeId = NodeNumber;
    type Node = EmptyNode;
    type Entry = openraft::Entry<Self>;
    type SnapshotData = SnapshotFile;
    type AsyncRuntime = TokioRuntime;
    type Responder = OneshotResponder<Self>;
}

pub(crate) type Entry = openraft::Entry<TypeConfig>;
pub(crate) type LogId = openraft::LogId<NodeNumber>;
pub(crate) type Vote = openraft::Vote<NodeNumber>;
pub(crate) type StorageError = openraft::StorageError<NodeNumber>;
pub(crate) type StoredMembership = openraft::StoredMembership<NodeNumber, EmptyNode>;
pub(crate) type SnapshotMeta = openraft::SnapshotMeta<NodeNumber, EmptyNode>;

/// A proposal's commands, opaque here.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Batch(pub(crate) Bytes);

impl fmt::Debug for Batch {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "batch of {} bytes", self.0.len())
    }
}

/// What applying a proposal gave, opaque here.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Response(pub(crate) Bytes);

/// Says whether this build of openraft elects at most one leader in a term.
///
/// Without its feature `single-term-leader` a place names the leader beside the term, and a term may have
/// several leaders: it would be no fencing number.
pub(crate) fn has_single_term_leaders() -> bool {
    CommittedLeaderId::new(1, NodeNumber(1)) == CommittedLeaderId::new(1, NodeNumber(2))
}

/// A membership as it is stored and sent.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct MembershipRecord {
    configs: Vec<BTreeSet<NodeNumber>>,
    nodes: BTreeSet<NodeNumber>,
}

impl From<&Membership<NodeNumber, EmptyNode>> for MembershipRecord {
    fn from(membership: &Membership<NodeNumber, EmptyNode>) -> Self {
        Self {
            configs: membership.get_joint_config().clone(),
            nodes: membership.nodes().map(|(node, _)| *node).collect(),
        }
    }
}

impl From<MembershipRecord> for Membership<NodeNumber, EmptyNode> {
    fn from(record: MembershipRecord) -> Self {
        let nodes: BTreeMap<NodeNumber, EmptyNode> = record
            .nodes
            .into_iter()
            .map(|node| (node, EmptyNode {}))
            .collect();
        Self::new(record.configs, nodes)
    }
}

/// An entry as it is stored and sent.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct EntryRecord {
    pub(crate) position: LogPosition,
    payload: PayloadRecord,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
enum PayloadRecord {
    Blank,
    Batch(Bytes),
    Membership(MembershipRecord),
}

impl From<&Entry> for EntryRecord {
    fn from(entry: &Entry) -> Self {
        let payload = match &entry.payload {
            EntryPayload::Blank => PayloadRecord::Blank,
            EntryPayload::Normal(batch) => PayloadRecord::Batch(batch.0.clone()),
            EntryPayload::Membership(membership) => PayloadRecord::Membership(membership.into()),
        };
        Self {
            position: entry.log_id.into(),
            payload,
        }
    }
}

impl From<EntryRecord> for Entry {
    fn from(record: EntryRecord) -> Self {
        let payload = match record.payload {
            PayloadRecord::Blank => EntryPayload::Blank,
            PayloadRecord::Batch(bytes) => EntryPayload::Normal(Batch(bytes)),
            PayloadRecord::Membership(membership) => EntryPayload::Membership(membership.into()),
        };
        Self {
            log_id: record.position.into(),
            payload,
        }
    }
}

/// Returns about how many bytes an entry takes in memory and on the way to a peer.
pub(crate) fn entry_bytes(entry: &Entry) -> usize {
    const FRAME_BYTES: usize = 64;
    FRAME_BYTES
        + match &entry.payload {
            EntryPayload::Blank => 0,
            EntryPayload::Normal(batch) => batch.0.len(),
            EntryPayload::Membership(membership) => 16 * membership.nodes().count(),
        }
}
