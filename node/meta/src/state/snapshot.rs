//! The state as bytes, and back; what does not hold together is refused.

use super::MetaState;
use crate::limits::{
    AUDIT_RECORDS_MAX, AVOIDED_MAX, DEFAULTS_BYTES_MAX, MOVE_REPLICAS_MAX, NODES_EVER_MAX,
};
use crate::stored::v1::{GroupId, GroupRecord, MetaRecord, SNAPSHOT};
use crate::stored::v2::{self, MetaRecordV2, WeightsRecord};
use std::collections::BTreeSet;
use twinscale_protocol::NodeNumber;
use twinscale_protocol::envelope::{self, EnvelopeError};

/// Why bytes are no state.
#[derive(Debug, thiserror::Error)]
pub enum RestoreError {
    /// The bytes cannot be read.
    #[error("snapshot of group 0 cannot be read: fetch it again from a peer")]
    Envelope(#[from] EnvelopeError),
    /// The bytes contradict themselves.
    #[error("snapshot of group 0 contradicts itself: {what}; fetch it again from a peer")]
    Unsound {
        /// What does not hold.
        what: String,
    },
}

impl MetaState {
    /// Writes the whole state. Determinism: equal states give equal bytes.
    ///
    /// # Errors
    /// [`EnvelopeError::TooLarge`]; the limits keep a state below half of it.
    pub fn encode(&self) -> Result<Vec<u8>, EnvelopeError> {
        // By what it holds and not by the program, so that it is the same on every replica.
        if !self.weights.was_written() {
            return envelope::seal(SNAPSHOT, &self.record);
        }
        let whole = MetaRecordV2 {
            weights: self.weights.clone(),
            rest: self.record.clone(),
        };
        envelope::seal(v2::SNAPSHOT, &whole)
    }

    /// Reads a state that [`Self::encode`] wrote.
    ///
    /// # Errors
    /// [`RestoreError`]; never a panic, and never more memory than the limit of an envelope allows.
    pub fn decode(bytes: &[u8]) -> Result<Self, RestoreError> {
        let (record, weights) = if envelope::peek_kind(bytes)? == v2::SNAPSHOT {
            let MetaRecordV2 { weights, rest } = envelope::open(v2::SNAPSHOT, bytes)?;
            (rest, weights)
        } else {
            (envelope::open(SNAPSHOT, bytes)?, WeightsRecord::default())
        };
        check(&record)
            .and_then(|()| weights.check())
            .map_err(|what| RestoreError::Unsound { what })?;
        Ok(Self { record, weights })
    }
}

fn ensure(holds: bool, what: impl FnOnce() -> String) -> Result<(), String> {
    if holds { Ok(()) } else { Err(what()) }
}

fn check(record: &MetaRecord) -> Result<(), String> {
    let nodes = record.nodes.len();
    ensure(nodes <= NODES_EVER_MAX, || format!("{nodes} nodes"))?;
    let numbered = (1..)
        .zip(&record.nodes)
        .all(|(number, node)| node.number.0 == number);
    ensure(numbered, || "nodes are not numbered from 1".to_owned())?;
    let names: BTreeSet<_> = record.nodes.iter().map(|node| &node.facts.name).collect();
    ensure(names.len() == nodes, || {
        "a name belongs to two nodes".to_owned()
    })?;
    let disks: BTreeSet<_> = record.nodes.iter().map(|node| node.facts.disk).collect();
    ensure(disks.len() == nodes, || {
        "a data directory belongs to two nodes".to_owned()
    })?;
    let shards = record.shards.len();
    let count = record
        .cluster
        .as_ref()
        .map_or(0, |cluster| cluster.shard_count.get());
    ensure(u32::try_from(shards) == Ok(count), || {
        format!("{shards} of {count} shards")
    })?;
    let bytes = record.defaults.bytes.len();
    ensure(bytes <= DEFAULTS_BYTES_MAX, || {
        format!("defaults of {bytes} bytes")
    })?;
    let audit = record.audit.len();
    ensure(audit <= AUDIT_RECORDS_MAX, || {
        format!("{audit} audit records")
    })?;
    let state = MetaState {
        record: record.clone(),
        weights: WeightsRecord::default(),
    };
    state
        .groups()
        .try_for_each(|(id, group)| check_group(id, group, record))
}

fn check_group(id: GroupId, group: &GroupRecord, record: &MetaRecord) -> Result<(), String> {
    let known = u64::try_from(record.nodes.len()).unwrap_or(u64::MAX);
    let sound = |nodes: &[NodeNumber]| {
        nodes.is_sorted_by(|one, next| one < next)
            && nodes.iter().all(|node| (1..=known).contains(&node.0))
    };
    let placed = !group.voters.is_empty();
    ensure(sound(&group.voters), || format!("voters of {id}"))?;
    ensure(!placed || group.voters.len() % 2 == 1, || {
        format!("even voters of {id}")
    })?;
    ensure(placed || !group.founded, || format!("{id} without voters"))?;
    ensure(group.avoided.len() <= AVOIDED_MAX, || {
        format!("avoided nodes of {id}")
    })?;
    ensure(group.last_move <= record.last_move, || {
        format!("last move of {id}")
    })?;
    let Some(one) = &group.under_way else {
        return Ok(());
    };
    let few = one.add.len() <= MOVE_REPLICAS_MAX && one.remove.len() <= MOVE_REPLICAS_MAX;
    let odd = group.goal().len() % 2 == 1;
    let holds = few && odd && sound(&one.add) && sound(&one.remove) && group.founded;
    ensure(holds && one.number == group.last_move, || {
        format!("move of {id}")
    })
}
