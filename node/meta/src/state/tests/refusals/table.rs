//! What is refused, and what the refusal must name.

use super::*;
use crate::stored::v1::{Catalogue, NodeFacts, Placement, SchemaRange, Setting};

pub(super) const SHARD: GroupId = GroupId::Shard(ShardId(1));

/// Four nodes, shard 1 founded on nodes 1 to 3, shard 2 placed on them, shard 3 nowhere.
pub(super) fn base() -> MetaState {
    let mut state = cluster(300, 3, &["zone-1", "zone-2", "zone-3", "zone-1"]);
    let placed = |shard| Placement {
        shard: ShardId(shard),
        voters: numbers(&[1, 2, 3]),
    };
    let placements = vec![placed(1), placed(2)];
    must(&mut state, MetaCommand::PlaceShards { placements });
    must(
        &mut state,
        MetaCommand::NoteFounded {
            shards: vec![ShardId(1)],
        },
    );
    state
}

pub(super) fn start(version: u64, add: &[u64], remove: &[u64]) -> MetaCommand {
    MetaCommand::StartMove {
        group: SHARD,
        version,
        add: numbers(add),
        remove: numbers(remove),
        reason: MoveReason::Operator,
    }
}

pub(super) fn join(change: impl FnOnce(&mut NodeFacts), claims: Option<u64>) -> MetaCommand {
    let mut facts = facts(5, "zone-1");
    change(&mut facts);
    let claims = claims.map(NodeNumber);
    MetaCommand::JoinNode { facts, claims }
}

pub(super) fn place(shard: u32, voters: &[u64]) -> MetaCommand {
    let placement = Placement {
        shard: ShardId(shard),
        voters: numbers(voters),
    };
    MetaCommand::PlaceShards {
        placements: vec![placement],
    }
}

/// Refused by [`base`] as it is: what must be named, and the command.
pub(super) fn at_once() -> Vec<(&'static str, MetaCommand)> {
    let mut all = of_cluster();
    all.extend(of_nodes());
    all.extend(of_groups());
    all
}

fn of_cluster() -> Vec<(&'static str, MetaCommand)> {
    let set = MetaCommand::ChangeSetting;
    vec![
        (
            "`test` exists",
            MetaCommand::CreateCluster(creation(64, 3, 3)),
        ),
        ("it is 300 since", set(Setting::ShardCount(64))),
        ("replication 2 is even", set(Setting::Replication(2))),
        ("odd number from 1 to 7", set(Setting::Replication(9))),
        ("there are 4", set(Setting::Replication(5))),
        ("use 1 to 256", set(Setting::MovesAtOnce(0))),
        ("below the gate 1", MetaCommand::RaiseSchema { to: 0 }),
        ("up to 2, not 3", MetaCommand::RaiseSchema { to: 3 }),
        (
            "schemas 2 to 3",
            join(
                |facts| {
                    facts.schema = SchemaRange {
                        oldest: 2,
                        newest: 3,
                    }
                },
                None,
            ),
        ),
    ]
}

fn of_nodes() -> Vec<(&'static str, MetaCommand)> {
    let node = NodeNumber(2);
    vec![
        (
            "belongs to node 2",
            join(|one| one.name = facts(2, "z").name, None),
        ),
        ("claims number 3", join(|one| *one = facts(2, "z"), Some(3))),
        ("claims number 9", join(|_| (), Some(9))),
        (
            "directory is that of node 2",
            join(|one| one.disk = facts(2, "z").disk, None),
        ),
        (
            "start 1 of node 2",
            join(
                |one| {
                    *one = NodeFacts {
                        api_address: "other:1".to_owned(),
                        ..facts(2, "zone-2")
                    }
                },
                Some(2),
            ),
        ),
        (
            "node 9 is unknown",
            MetaCommand::DrainNode {
                node: NodeNumber(9),
            },
        ),
        (
            "start 7 of node 2",
            MetaCommand::NoteDead {
                node,
                incarnation: 7,
            },
        ),
        (
            "`node-5` is empty",
            join(|facts| facts.peer_address = String::new(), None),
        ),
        (
            "node 2 is serving, not leaving",
            MetaCommand::FinishDecommission { node },
        ),
    ]
}

fn of_groups() -> Vec<(&'static str, MetaCommand)> {
    let unknown = GroupId::Shard(ShardId(300));
    vec![
        (
            "shard 300 is unknown",
            MetaCommand::FinishMove {
                group: unknown,
                number: 1,
            },
        ),
        (
            "0 shards in a command",
            MetaCommand::NoteFounded { shards: vec![] },
        ),
        ("shard 1 is placed already", place(1, &[2, 3, 4])),
        ("gets 2 voters", place(3, &[1, 2])),
        ("gets 3 voters", place(3, &[2, 1, 3])),
        (
            "shard 3 does not exist yet",
            MetaCommand::NoteFounded {
                shards: vec![ShardId(3)],
            },
        ),
        ("at version 2, not 1", start(1, &[4], &[1])),
        (
            "no move 7 under way",
            MetaCommand::FinishMove {
                group: SHARD,
                number: 7,
            },
        ),
        ("a move adds and removes", start(2, &[], &[])),
        ("node 1 is a voter", start(2, &[1], &[2])),
        ("node 4 is no voter", start(2, &[], &[4])),
        ("would have 4 voters", start(2, &[4], &[])),
        (
            "defaults are at version 0",
            MetaCommand::SetDefaults {
                version: 5,
                bytes: vec![],
            },
        ),
        (
            "defaults of 65537 bytes",
            MetaCommand::SetDefaults {
                version: 0,
                bytes: vec![0; DEFAULTS_BYTES_MAX + 1],
            },
        ),
        (
            "version 0 is not above 0",
            MetaCommand::SetCatalogue(Catalogue {
                version: 0,
                digest: [1; 32],
            }),
        ),
    ]
}

/// What must be named, what comes before, and the command that is refused.
pub(super) type Late = (&'static str, Vec<MetaCommand>, MetaCommand);

/// Refused by what [`base`] became through the given commands.
pub(super) fn after() -> Vec<Late> {
    let node = NodeNumber(2);
    let unreachable = numbers(&[3]);
    let dead = |node| MetaCommand::NoteDead {
        node: NodeNumber(node),
        incarnation: 1,
    };
    let drain = |node| MetaCommand::DrainNode {
        node: NodeNumber(node),
    };
    let leave = MetaCommand::DecommissionNode {
        node,
        unreachable: vec![],
    };
    let clean_up = MetaCommand::AdvanceMove {
        group: SHARD,
        number: 1,
        to: MoveStage::CleanUp,
    };
    vec![
        ("2 serving nodes are left for 3", vec![drain(4)], drain(1)),
        (
            "node 2, shard 1 keeps 1 of 3",
            vec![],
            MetaCommand::RemoveNode { node, unreachable },
        ),
        ("shard 1 has 1 of 3", vec![dead(1), dead(3)], leave.clone()),
        (
            "still holds 2 replicas",
            vec![leave],
            MetaCommand::FinishDecommission { node },
        ),
        ("node 4 is draining", vec![drain(4)], start(2, &[4], &[1])),
        ("node 4 is dead", vec![dead(4)], start(2, &[4], &[1])),
        ("keeps 0 of 1 voters", vec![dead(3)], start(2, &[], &[1, 2])),
        (
            "move 1 of shard 1 is under way",
            vec![start(2, &[4], &[1])],
            start(3, &[4], &[2]),
        ),
        (
            "from `learn` to `clean up`",
            vec![start(2, &[4], &[1])],
            clean_up,
        ),
        (
            "3 of 4 expected nodes",
            vec![drain(4)],
            place(3, &[1, 2, 3]),
        ),
    ]
}
