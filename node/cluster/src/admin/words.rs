//! Records of group 0 in words.

use super::picture::{AuditLine, Heard, MemberState, MemberWish};
use twinscale_membership::Liveness;
use twinscale_meta::stored::v1::{AuditOutcome, AuditRecord, By, Verb};
use twinscale_meta::{MetaState, MoveReason, NodeState, NodeWish};

pub(super) fn member_state(state: NodeState) -> MemberState {
    match state {
        NodeState::Joining => MemberState::Joining,
        NodeState::Serving => MemberState::Serving,
        NodeState::Draining => MemberState::Draining,
        NodeState::Decommissioned => MemberState::Decommissioned,
        NodeState::Dead => MemberState::Dead,
    }
}

pub(super) fn member_wish(wish: NodeWish) -> MemberWish {
    match wish {
        NodeWish::Serve => MemberWish::Serve,
        NodeWish::Drain => MemberWish::Drain,
        NodeWish::Leave => MemberWish::Leave,
    }
}

pub(super) fn heard(liveness: Option<Liveness>) -> Heard {
    match liveness {
        Some(Liveness::Alive) => Heard::Alive,
        Some(Liveness::Dead) => Heard::Dead,
        Some(Liveness::Left) => Heard::Left,
        None => Heard::Never,
    }
}

pub(super) fn reason(reason: MoveReason) -> &'static str {
    match reason {
        MoveReason::Dead => "dead",
        MoveReason::Drain => "drain",
        MoveReason::Grow => "grow",
        MoveReason::Shrink => "shrink",
        MoveReason::Spread => "spread",
        MoveReason::Balance => "balance",
        MoveReason::Operator => "operator",
    }
}

pub(super) fn by_words(by: &By) -> String {
    match by {
        By::Operator(name) => format!("operator/{}", name.as_str()),
        By::Node(node) => format!("node/{node}"),
        By::Planner => "planner".to_owned(),
    }
}

pub(super) fn audit_line(state: &MetaState, record: &AuditRecord) -> AuditLine {
    let (outcome, reason) = match &record.outcome {
        AuditOutcome::Applied => ("applied", None),
        AuditOutcome::Unchanged => ("unchanged", None),
        AuditOutcome::Refused(refusal) => ("refused", Some(refusal.to_string())),
    };
    let node = record.what.node;
    let name = node.and_then(|node| state.node(node));
    AuditLine {
        number: record.number,
        at_unix_ms: record.at.0,
        by: by_words(&record.by),
        what: verb(record.what.verb).to_owned(),
        node,
        node_name: name.map(|node| node.facts.name.clone()),
        group: record.what.group.map(|group| group.to_string()),
        value: record.what.value,
        outcome: outcome.to_owned(),
        reason,
    }
}

fn verb(verb: Verb) -> &'static str {
    match verb {
        Verb::CreateCluster => "create-cluster",
        Verb::JoinNode => "join-node",
        Verb::NoteServing => "note-serving",
        Verb::NoteDead => "note-dead",
        Verb::DrainNode => "drain-node",
        Verb::FillNode => "undrain-node",
        Verb::DecommissionNode => "decommission-node",
        Verb::RemoveNode => "remove-node",
        Verb::FinishDecommission => "finish-decommission",
        Verb::PlaceShards => "place-shards",
        Verb::NoteFounded => "note-founded",
        Verb::StartMove => "start-move",
        Verb::AdvanceMove => "advance-move",
        Verb::FinishMove => "finish-move",
        Verb::SetReplication => "set-replication",
        Verb::SetMovesAtOnce => "set-moves-at-once",
        Verb::SetDeadAfter => "set-dead-after",
        Verb::SetShardCount => "set-shard-count",
        Verb::SetDefaults => "set-defaults",
        Verb::SetCatalogue => "set-catalogue",
        Verb::RaiseSchema => "raise-schema",
        Verb::RegisterWeights => "register-weights",
        Verb::DropWeights => "drop-weights",
        Verb::ShadowWeights => "shadow-weights",
        Verb::PromoteWeights => "promote-weights",
        Verb::RollBackWeights => "roll-back-weights",
        Verb::EndTrial => "end-trial",
        Verb::NoteRetraining => "note-retraining",
    }
}
