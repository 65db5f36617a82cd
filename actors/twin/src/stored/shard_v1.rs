//! Version 1 of what a shard stores: entries of its group's log, its marks in the store, its snapshots.
//!
//! Invariant: as for the kinds of a twin, the bytes never change; `golden/shard_v1.txt` holds samples.

use crate::state::ApplyResult;
use serde::{Deserialize, Serialize};
use twinscale_protocol::envelope::EnvelopeKind;
use twinscale_protocol::{RequestId, ShardId};

/// An entry of a shard's log: commands that share it.
pub const SHARD_BATCH: EnvelopeKind = EnvelopeKind(0x0120);

/// How far a shard is applied in the store.
pub const SHARD_MARK: EnvelopeKind = EnvelopeKind(0x0121);

/// A request that took effect, with what came of it.
pub const REMEMBERED: EnvelopeKind = EnvelopeKind(0x0122);

/// The begin of a snapshot.
pub const SNAPSHOT_BEGIN: EnvelopeKind = EnvelopeKind(0x0123);

/// A key and a value of a snapshot.
pub const SNAPSHOT_PART: EnvelopeKind = EnvelopeKind(0x0124);

/// The end of a snapshot.
pub const SNAPSHOT_END: EnvelopeKind = EnvelopeKind(0x0125);

/// The results of an entry's commands, in order: what a group answers to whoever proposed it.
pub const SHARD_RESULTS: EnvelopeKind = EnvelopeKind(0x0126);

/// Commands that share an entry, and with it a place in the log and an fsync.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ShardBatch {
    /// In the order in which they are applied.
    pub commands: Vec<ShardCommand>,
}

/// A command of one twin of a shard.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ShardCommand {
    /// Under which it takes effect once; [`RequestId::NONE`] = it is not remembered.
    pub request: RequestId,
    /// Whose twin, and the command: the bytes of [`super::entry`].
    pub payload: Vec<u8>,
}

/// How far a shard is applied in the store.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ShardMark {
    /// The index of the last applied entry.
    pub applied: u64,
    /// What the consensus must find again with it: opaque here.
    pub consensus: Vec<u8>,
    /// The number that the next remembered request gets.
    pub next_remembered: u64,
}

/// A request that took effect.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Remembered {
    /// Its id.
    pub request: RequestId,
    /// What came of it.
    pub result: ApplyResult,
}

/// The begin of a snapshot.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SnapshotBegin {
    /// Whose it is.
    pub shard: ShardId,
    /// How far it goes.
    pub mark: ShardMark,
    /// Twins in it.
    pub twins: u64,
}

/// A key and a value, as a store holds them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SnapshotPart {
    /// The key.
    pub key: Vec<u8>,
    /// The value.
    pub value: Vec<u8>,
}

/// The end of a snapshot.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SnapshotEnd {
    /// Parts before it.
    pub parts: u64,
}

#[cfg(test)]
mod tests;
