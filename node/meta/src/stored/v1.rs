//! Version 1 of the stored kinds: the entries in the log of group 0, and its snapshot.
//!
//! Invariant: the bytes of these types never change; `golden/v1.txt` holds samples that must stay
//! readable. A new command is a new kind with a schema number of its own, and is proposed only after
//! the gate was raised to it.

mod command;
mod ids;
mod record;

pub use command::{
    By, Catalogue, Creation, MetaCommand, MetaEntry, NodeFacts, Placement, SchemaRange, Setting,
};
pub use ids::{DiskId, GroupId, ShardCount, UnixMillis};
pub use record::{
    AuditOutcome, AuditRecord, Avoided, Cluster, Defaults, GroupRecord, MetaRecord, Move,
    MoveReason, MoveStage, NodeRecord, NodeState, NodeWish, Settings, Subject, Verb,
};

use twinscale_protocol::envelope::EnvelopeKind;

/// A command in the log of group 0.
pub const COMMAND: EnvelopeKind = EnvelopeKind(0x0500);

/// The whole state.
pub const SNAPSHOT: EnvelopeKind = EnvelopeKind(0x0501);

/// An outcome, as replicas give it to whoever proposed.
pub const OUTCOME: EnvelopeKind = EnvelopeKind(0x0502);

/// The schema number whose commands this module holds.
pub const SCHEMA: u32 = 1;

#[cfg(test)]
pub(crate) mod samples;
#[cfg(test)]
mod tests;
