//! Applying a command: total, and the same everywhere.

use super::{MetaState, Refusal};
use crate::stored::v1::{COMMAND, MetaCommand, MetaEntry};
use serde::{Deserialize, Serialize};
use twinscale_protocol::NodeNumber;
use twinscale_protocol::envelope;

/// What came of a command.
///
/// Invariant: variants travel by their place, so new ones come last.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Outcome {
    /// It took effect.
    Applied(Applied),
    /// It was so already: a repetition.
    Unchanged(Applied),
    /// It changed nothing.
    Refused(Refusal),
}

/// What a command brought.
///
/// Invariant: variants travel by their place, so new ones come last.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Applied {
    /// The node's number in the cluster.
    Joined(NodeNumber),
    /// The number of the move that began.
    MoveStarted(u64),
    /// What the command says.
    Done,
}

/// What applying brings, and whether it changed anything.
pub(super) type Change = Result<(Applied, bool), Refusal>;

/// The command took effect.
pub(super) const DONE: Change = Ok((Applied::Done, true));

/// It was so already.
pub(super) const SAME: Change = Ok((Applied::Done, false));

impl MetaState {
    /// Applies the bytes of an entry. Total: what cannot be read is counted and refused, the same on each
    /// replica, since a newer schema is never proposed below its gate.
    pub fn apply_bytes(&mut self, bytes: &[u8]) -> Outcome {
        if let Ok(entry) = envelope::open::<MetaEntry>(COMMAND, bytes) {
            return self.apply(&entry);
        }
        self.record.unread = self.record.unread.saturating_add(1);
        Outcome::Refused(Refusal::Unreadable)
    }

    /// Applies a committed command. Total: a command that breaks a rule is refused and changes nothing.
    pub fn apply(&mut self, entry: &MetaEntry) -> Outcome {
        let creates = matches!(entry.command, MetaCommand::CreateCluster(_));
        if entry.schema > self.record.schema && !(creates && self.record.cluster.is_none()) {
            // Not audited: software that cannot read the command must keep the same bytes.
            self.record.unread = self.record.unread.saturating_add(1);
            return Outcome::Refused(Refusal::BeyondGate {
                schema: entry.schema,
                gate: self.record.schema,
            });
        }
        let change = self.apply_command(entry);
        self.audit_change(entry, &change);
        match change {
            Ok((applied, true)) => Outcome::Applied(applied),
            Ok((applied, false)) => Outcome::Unchanged(applied),
            Err(refusal) => Outcome::Refused(refusal),
        }
    }

    fn apply_command(&mut self, entry: &MetaEntry) -> Change {
        let at = entry.at;
        if let MetaCommand::CreateCluster(creation) = &entry.command {
            return self.apply_creation(creation, at);
        }
        let Some(cluster) = &self.record.cluster else {
            return Err(Refusal::NoCluster);
        };
        let shard_count = cluster.shard_count;
        match &entry.command {
            MetaCommand::CreateCluster(_) => SAME,
            MetaCommand::JoinNode { facts, claims } => self.apply_join(facts, *claims, at),
            MetaCommand::NoteServing { node, incarnation } => {
                self.apply_serving(*node, *incarnation, at)
            }
            MetaCommand::NoteDead { node, incarnation } => self.apply_dead(*node, *incarnation, at),
            MetaCommand::DrainNode { node } => self.apply_drain(*node, at),
            MetaCommand::FillNode { node } => self.apply_fill(*node, at),
            MetaCommand::DecommissionNode { node, unreachable } => {
                self.apply_decommission(*node, unreachable, at)
            }
            MetaCommand::RemoveNode { node, unreachable } => {
                self.apply_removal(*node, unreachable, at)
            }
            MetaCommand::FinishDecommission { node } => self.apply_decommission_end(*node, at),
            MetaCommand::PlaceShards { placements } => self.apply_placements(placements),
            MetaCommand::NoteFounded { shards } => self.apply_founded(shards),
            MetaCommand::StartMove {
                group,
                version,
                add,
                remove,
                reason,
            } => self.apply_move_start((*group, *version), (add, remove), *reason, at),
            MetaCommand::AdvanceMove { group, number, to } => {
                self.apply_move_stage(*group, *number, *to, at)
            }
            MetaCommand::FinishMove { group, number } => self.apply_move_end(*group, *number),
            MetaCommand::ChangeSetting(setting) => self.apply_setting(*setting, shard_count),
            MetaCommand::SetDefaults { version, bytes } => self.apply_defaults(*version, bytes),
            MetaCommand::SetCatalogue(catalogue) => self.apply_catalogue(*catalogue),
            MetaCommand::RaiseSchema { to } => self.apply_schema(*to),
            MetaCommand::Weights(command) => self.apply_weights(command, entry),
        }
    }
}
