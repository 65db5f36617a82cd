//! Who did what, when, and what came of it.

use super::MetaState;
use super::apply::Change;
use crate::limits::AUDIT_RECORDS_MAX;
use crate::stored::v1::{
    AuditOutcome, AuditRecord, By, GroupId, MetaCommand, MetaEntry, Setting, Subject, Verb,
};
use crate::stored::v2::{WeightsChoice, WeightsCommand};
use twinscale_protocol::NodeNumber;

impl MetaState {
    /// Keeps a command. The planner's steps within a move and its late or repeated commands are left
    /// out: they would push out what people did.
    pub(super) fn audit_change(&mut self, entry: &MetaEntry, change: &Change) {
        let what = subject(&entry.command);
        let by_planner = entry.by == By::Planner;
        let routine = matches!(what.verb, Verb::AdvanceMove | Verb::NoteFounded);
        if by_planner && (routine || !matches!(change, Ok((_, true)))) {
            return;
        }
        let outcome = match change {
            Ok((_, true)) => AuditOutcome::Applied,
            Ok((_, false)) => AuditOutcome::Unchanged,
            Err(refusal) => AuditOutcome::Refused(refusal.clone()),
        };
        self.record.audited = self.record.audited.saturating_add(1);
        while self.record.audit.len() >= AUDIT_RECORDS_MAX {
            self.record.audit.pop_front();
        }
        self.record.audit.push_back(AuditRecord {
            number: self.record.audited,
            at: entry.at,
            by: entry.by.clone(),
            what,
            outcome,
        });
    }
}

fn subject(command: &MetaCommand) -> Subject {
    let about =
        |verb, node: Option<NodeNumber>, group: Option<GroupId>, value: Option<u64>| Subject {
            verb,
            node,
            group,
            value,
        };
    let node = |verb, node: &NodeNumber| about(verb, Some(*node), None, None);
    let group =
        |verb, group: &GroupId, number: &u64| about(verb, None, Some(*group), Some(*number));
    let value = |verb, value: u64| about(verb, None, None, Some(value));
    let count = |verb, count: usize| value(verb, u64::try_from(count).unwrap_or(u64::MAX));
    match command {
        MetaCommand::CreateCluster(creation) => {
            value(Verb::CreateCluster, u64::from(creation.shard_count))
        }
        MetaCommand::JoinNode { claims, facts } => {
            about(Verb::JoinNode, *claims, None, Some(facts.incarnation))
        }
        MetaCommand::NoteServing { node: one, .. } => node(Verb::NoteServing, one),
        MetaCommand::NoteDead { node: one, .. } => node(Verb::NoteDead, one),
        MetaCommand::DrainNode { node: one } => node(Verb::DrainNode, one),
        MetaCommand::FillNode { node: one } => node(Verb::FillNode, one),
        MetaCommand::DecommissionNode { node: one, .. } => node(Verb::DecommissionNode, one),
        MetaCommand::RemoveNode { node: one, .. } => node(Verb::RemoveNode, one),
        MetaCommand::FinishDecommission { node: one } => node(Verb::FinishDecommission, one),
        MetaCommand::PlaceShards { placements } => count(Verb::PlaceShards, placements.len()),
        MetaCommand::NoteFounded { shards } => count(Verb::NoteFounded, shards.len()),
        MetaCommand::StartMove {
            group: one,
            add,
            remove,
            ..
        } => {
            let target = add.first().or(remove.first()).copied();
            about(Verb::StartMove, target, Some(*one), None)
        }
        MetaCommand::AdvanceMove {
            group: one, number, ..
        } => group(Verb::AdvanceMove, one, number),
        MetaCommand::FinishMove { group: one, number } => group(Verb::FinishMove, one, number),
        MetaCommand::ChangeSetting(setting) => match *setting {
            Setting::Replication(replication) => {
                value(Verb::SetReplication, u64::from(replication))
            }
            Setting::MovesAtOnce(moves) => value(Verb::SetMovesAtOnce, u64::from(moves)),
            Setting::DeadAfter(grace) => value(Verb::SetDeadAfter, u64::from(grace.0)),
            Setting::ShardCount(shards) => value(Verb::SetShardCount, u64::from(shards)),
        },
        MetaCommand::SetDefaults { version, .. } => value(Verb::SetDefaults, *version),
        MetaCommand::SetCatalogue(catalogue) => value(Verb::SetCatalogue, catalogue.version),
        MetaCommand::RaiseSchema { to } => value(Verb::RaiseSchema, u64::from(*to)),
        MetaCommand::Weights(command) => subject_of_weights(command),
    }
}

/// Weights are named by the number that their id writes in hex, trials by theirs.
fn subject_of_weights(command: &WeightsCommand) -> Subject {
    let (verb, value) = match command {
        WeightsCommand::Register(notice) => {
            let weights = WeightsChoice::Registered(notice.id.clone());
            (Verb::RegisterWeights, weights.number())
        }
        WeightsCommand::Drop { weights } => (Verb::DropWeights, weights.number()),
        WeightsCommand::Shadow { weights } => (Verb::ShadowWeights, weights.number()),
        WeightsCommand::Promote { weights, .. } => (Verb::PromoteWeights, weights.number()),
        WeightsCommand::RollBack { .. } => (Verb::RollBackWeights, None),
        WeightsCommand::EndTrial { judged, .. } => (Verb::EndTrial, Some(judged.trial)),
        WeightsCommand::NoteRetraining(one) => (Verb::NoteRetraining, one.parent.number()),
    };
    Subject {
        verb,
        node: None,
        group: None,
        value,
    }
}
