//! One of everything that is stored.

use super::{START, cluster, creation, facts, must, nodes};
use crate::state::{MetaState, Refusal};
use crate::stored::v1::{
    AuditOutcome, AuditRecord, By, Catalogue, GroupId, MetaCommand, MetaRecord, MoveReason,
    MoveStage, NodeState, Placement, Setting, Subject, Verb,
};
use twinscale_protocol::{ClusterId, NodeId, NodeNumber, Seconds, ShardId};

fn lifecycle_samples() -> Vec<(&'static str, MetaCommand)> {
    let node = NodeNumber(3);
    let unreachable = nodes(&[2, 300]);
    let creation = creation(64, 3, 3);
    let joins = MetaCommand::JoinNode {
        facts: facts(2, "zone-2"),
        claims: Some(NodeNumber(2)),
    };
    let decommission = MetaCommand::DecommissionNode {
        node,
        unreachable: unreachable.clone(),
    };
    vec![
        ("create_cluster", MetaCommand::CreateCluster(creation)),
        ("join_node", joins),
        (
            "note_serving",
            MetaCommand::NoteServing {
                node,
                incarnation: 300,
            },
        ),
        (
            "note_dead",
            MetaCommand::NoteDead {
                node,
                incarnation: 1,
            },
        ),
        ("drain_node", MetaCommand::DrainNode { node }),
        ("fill_node", MetaCommand::FillNode { node }),
        ("decommission_node", decommission),
        ("remove_node", MetaCommand::RemoveNode { node, unreachable }),
        (
            "finish_decommission",
            MetaCommand::FinishDecommission { node },
        ),
    ]
}

fn shard_samples() -> Vec<(&'static str, MetaCommand)> {
    let group = GroupId::Shard(ShardId(300));
    let placement = Placement {
        shard: ShardId(5),
        voters: nodes(&[1, 2, 3]),
    };
    let advance = |group, to| MetaCommand::AdvanceMove {
        group,
        number: 7,
        to,
    };
    let start = |reason| MetaCommand::StartMove {
        group,
        version: 2,
        add: nodes(&[4]),
        remove: nodes(&[1]),
        reason,
    };
    vec![
        (
            "place_shards",
            MetaCommand::PlaceShards {
                placements: vec![placement],
            },
        ),
        (
            "note_founded",
            MetaCommand::NoteFounded {
                shards: vec![ShardId(5), ShardId(300)],
            },
        ),
        ("move_dead", start(MoveReason::Dead)),
        ("move_drain", start(MoveReason::Drain)),
        ("move_grow", start(MoveReason::Grow)),
        ("move_shrink", start(MoveReason::Shrink)),
        ("move_spread", start(MoveReason::Spread)),
        ("move_balance", start(MoveReason::Balance)),
        ("move_operator", start(MoveReason::Operator)),
        ("stage_learn", advance(GroupId::Meta, MoveStage::Learn)),
        ("stage_replace", advance(group, MoveStage::Replace)),
        ("stage_clean_up", advance(group, MoveStage::CleanUp)),
        ("stage_roll_back", advance(group, MoveStage::RollBack)),
        ("finish_move", MetaCommand::FinishMove { group, number: 7 }),
    ]
}

fn setting_samples() -> Vec<(&'static str, MetaCommand)> {
    let set = MetaCommand::ChangeSetting;
    let catalogue = Catalogue {
        version: 9,
        digest: [7; 32],
    };
    vec![
        ("set_replication", set(Setting::Replication(5))),
        ("set_moves_at_once", set(Setting::MovesAtOnce(300))),
        ("set_dead_after", set(Setting::DeadAfter(Seconds(600)))),
        ("set_shard_count", set(Setting::ShardCount(128))),
        (
            "set_defaults",
            MetaCommand::SetDefaults {
                version: 3,
                bytes: vec![1, 2, 3],
            },
        ),
        ("set_catalogue", MetaCommand::SetCatalogue(catalogue)),
        ("raise_schema", MetaCommand::RaiseSchema { to: 2 }),
    ]
}

/// One of each command, and of each part that has variants.
pub(crate) fn commands() -> Vec<(&'static str, MetaCommand)> {
    let mut all = lifecycle_samples();
    all.extend(shard_samples());
    all.extend(setting_samples());
    all
}

/// One of each refusal, in the order in which they are stored.
pub(crate) fn refusals() -> Vec<Refusal> {
    let mut all = refusals_of_cluster();
    all.extend(refusals_of_nodes());
    all.extend(refusals_of_groups());
    all
}

fn refusals_of_cluster() -> Vec<Refusal> {
    vec![
        Refusal::NoCluster,
        Refusal::ClusterExists {
            cluster: ClusterId::new("test").expect("an id"),
        },
        Refusal::ShardCountRange { count: 5_000 },
        Refusal::ShardCountFixed {
            count: 64,
            wanted: 128,
        },
        Refusal::EvenReplication { replication: 4 },
        Refusal::ReplicationRange { replication: 9 },
        Refusal::MoreReplicasThanNodes {
            replication: 5,
            nodes: 4,
        },
        Refusal::SettingRange {
            value: 0,
            least: 1,
            most: 256,
        },
        Refusal::BeyondGate { schema: 2, gate: 1 },
        Refusal::Unreadable,
        Refusal::SchemaFalls { to: 1, gate: 2 },
        Refusal::SchemaUnsupported {
            node: NodeNumber(2),
            newest: 1,
            to: 2,
        },
        Refusal::SchemaOfNode {
            oldest: 2,
            newest: 3,
            gate: 1,
        },
    ]
}

fn refusals_of_nodes() -> Vec<Refusal> {
    let node = NodeNumber(2);
    let name = NodeId::new("node-2").expect("a name");
    vec![
        Refusal::NameTaken {
            name: name.clone(),
            node,
        },
        Refusal::DuplicateNumber {
            claims: NodeNumber(3),
            owner: Some(node),
        },
        Refusal::DuplicateDisk { node },
        Refusal::DuplicateStart {
            node,
            given: 1,
            known: 2,
        },
        Refusal::UnknownNode { node },
        Refusal::Decommissioned { node },
        Refusal::OtherStart {
            node,
            given: 1,
            known: 2,
        },
        Refusal::TooManyNodes { active: 2_048 },
        Refusal::BadFacts { name },
        Refusal::TooFewNodes {
            node,
            left: 2,
            replication: 3,
        },
        Refusal::WouldLoseQuorum {
            group: GroupId::Shard(ShardId(1)),
            node,
            live: 1,
            voters: 3,
        },
        Refusal::NoQuorum {
            group: GroupId::Meta,
            live: 1,
            voters: 3,
        },
        Refusal::NotLeaving {
            node,
            state: NodeState::Serving,
        },
        Refusal::StillHolds { node, replicas: 4 },
    ]
}

fn refusals_of_groups() -> Vec<Refusal> {
    let group = GroupId::Shard(ShardId(1));
    let node = NodeNumber(2);
    let shard = ShardId(1);
    let (from, to) = (MoveStage::Learn, MoveStage::CleanUp);
    vec![
        Refusal::UnknownGroup { group },
        Refusal::ShardsPerCommand { given: 0 },
        Refusal::AlreadyPlaced { shard },
        Refusal::PlacementSize {
            shard,
            given: 2,
            replication: 3,
        },
        Refusal::NodesMissing {
            serving: 1,
            expected: 3,
        },
        Refusal::NotFounded { group },
        Refusal::StaleVersion {
            group,
            version: 2,
            given: 1,
        },
        Refusal::MoveUnderWay { group, number: 7 },
        Refusal::NoSuchMove { group, number: 7 },
        Refusal::TooManyMoves,
        Refusal::NodeNotServing {
            node,
            state: NodeState::Draining,
        },
        Refusal::BadMove { group },
        Refusal::AlreadyVoter { group, node },
        Refusal::NotVoter { group, node },
        Refusal::EvenVoters { group, voters: 4 },
        Refusal::StageOrder { group, from, to },
        Refusal::StaleDefaults {
            version: 2,
            given: 1,
        },
        Refusal::DefaultsSize { bytes: 70_000 },
        Refusal::OldCatalogue {
            version: 2,
            given: 1,
        },
    ]
}

/// A state that has something of everything.
pub(crate) fn full_record() -> MetaRecord {
    let mut state = cluster(3, 3, &["zone-1", "zone-2", "zone-3", "zone-1"]);
    let voters = nodes(&[1, 2, 3]);
    let placements = vec![Placement {
        shard: ShardId(1),
        voters,
    }];
    must(&mut state, MetaCommand::PlaceShards { placements });
    must(
        &mut state,
        MetaCommand::NoteFounded {
            shards: vec![ShardId(1)],
        },
    );
    must(
        &mut state,
        MetaCommand::SetDefaults {
            version: 0,
            bytes: vec![1, 2, 3],
        },
    );
    must(
        &mut state,
        MetaCommand::SetCatalogue(Catalogue {
            version: 9,
            digest: [7; 32],
        }),
    );
    must(
        &mut state,
        MetaCommand::DrainNode {
            node: NodeNumber(1),
        },
    );
    let group = GroupId::Shard(ShardId(1));
    move_and_give_up(&mut state, group);
    let mut record = state.into_record();
    record.unread = 2;
    for (number, refusal) in (100..).zip(refusals()) {
        record.audit.push_back(AuditRecord {
            number,
            at: START,
            by: By::Node(NodeNumber(2)),
            what: Subject {
                verb: Verb::StartMove,
                node: None,
                group: Some(group),
                value: None,
            },
            outcome: AuditOutcome::Refused(refusal),
        });
    }
    record
}

/// Starts a move, loses a node and gives the move up.
fn move_and_give_up(state: &mut MetaState, group: GroupId) {
    let (add, remove) = (nodes(&[4]), nodes(&[1]));
    let reason = MoveReason::Drain;
    must(
        state,
        MetaCommand::StartMove {
            group,
            version: 2,
            add,
            remove,
            reason,
        },
    );
    must(
        state,
        MetaCommand::NoteDead {
            node: NodeNumber(2),
            incarnation: 1,
        },
    );
    must(
        state,
        MetaCommand::AdvanceMove {
            group,
            number: 1,
            to: MoveStage::RollBack,
        },
    );
}
