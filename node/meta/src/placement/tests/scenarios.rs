//! Single goals of the planner, one after the other, without faults.

use super::checks;
use super::sim::Sim;
use crate::limits::{AVOID_S, STALL_S};
use crate::placement::{Effect, NodeProgress, Step, Wait, even_out, next_step, progress};
use crate::state::Outcome;
use crate::stored::v1::{GroupId, MetaCommand, MoveReason, MoveStage, NodeState, Setting};
use std::collections::BTreeSet;
use twinscale_protocol::{NodeNumber, ShardId};

/// A cluster in which everything is placed and even.
fn settled(nodes: u64, zones: u64, shards: u32, replication: u8) -> Sim {
    let mut sim = Sim::calm(nodes, zones, shards, replication);
    sim.converge(2_000);
    checks::converged(&sim);
    sim
}

fn apply(sim: &mut Sim, command: MetaCommand) {
    let outcome = sim.commit(command.clone());
    assert!(
        matches!(outcome, Outcome::Applied(_)),
        "{command:?}: {outcome:?}"
    );
}

fn settle(sim: &mut Sim) {
    sim.converge(2_000);
    checks::converged(sim);
    checks::same_everywhere(sim);
}

fn state_of(sim: &Sim, node: u64) -> NodeState {
    sim.state.node_state(NodeNumber(node)).expect("known")
}

#[test]
fn one_node_is_a_cluster_and_grows_to_five() {
    let mut sim = settled(1, 3, 8, 1);
    for (nodes, group_0) in [(2, 1), (3, 3), (4, 3), (5, 5), (6, 5)] {
        sim.join();
        settle(&mut sim);
        let voters = &sim.state.group(GroupId::Meta).expect("group 0").voters;
        assert_eq!(voters.len(), group_0, "{nodes} nodes");
    }
    apply(
        &mut sim,
        MetaCommand::ChangeSetting(Setting::Replication(5)),
    );
    settle(&mut sim);
    apply(
        &mut sim,
        MetaCommand::ChangeSetting(Setting::Replication(1)),
    );
    settle(&mut sim);
}

#[test]
fn shards_wait_for_the_expected_nodes() {
    let mut sim = Sim::calm(3, 3, 4, 3);
    sim.turn(NodeNumber(3), false);
    sim.converge(200);
    let placed = |sim: &Sim| {
        sim.state
            .groups()
            .filter(|(_, group)| group.founded)
            .count()
    };
    assert_eq!(placed(&sim), 1, "group 0 alone");
    sim.turn(NodeNumber(3), true);
    settle(&mut sim);
    assert_eq!(placed(&sim), 5);
}

#[test]
fn a_drained_node_is_empty_and_fills_again() {
    let mut sim = settled(5, 3, 12, 3);
    let node = NodeNumber(2);
    let held = sim.state.replicas_of(node);
    assert!(held > 0);
    apply(&mut sim, MetaCommand::DrainNode { node });
    let told = progress(&sim.state, &sim.observed());
    assert_eq!(
        told.nodes,
        vec![NodeProgress {
            node,
            done: 0,
            total: held
        }]
    );
    assert!(told.total > told.done);
    settle(&mut sim);
    let told = progress(&sim.state, &sim.observed());
    assert_eq!(
        told.nodes,
        vec![NodeProgress {
            node,
            done: held,
            total: held
        }]
    );
    assert_eq!((told.total, told.moves.len()), (told.done, 0));
    assert_eq!(state_of(&sim, 2), NodeState::Draining);
    apply(&mut sim, MetaCommand::FillNode { node });
    settle(&mut sim);
    assert!(sim.state.replicas_of(node) > 0);
}

#[test]
fn a_decommissioned_node_leaves_when_it_is_empty() {
    let mut sim = settled(5, 3, 12, 3);
    let node = NodeNumber(2);
    apply(
        &mut sim,
        MetaCommand::DecommissionNode {
            node,
            unreachable: vec![],
        },
    );
    settle(&mut sim);
    assert_eq!(state_of(&sim, 2), NodeState::Decommissioned);
    let group_0 = sim.state.group(GroupId::Meta).expect("group 0");
    assert_eq!(group_0.voters.len(), 3, "four nodes are left");
}

#[test]
fn a_dead_node_is_replaced_after_the_grace_period_and_not_before() {
    let mut sim = settled(5, 1, 12, 3);
    let node = NodeNumber(4);
    let held = sim.state.replicas_of(node);
    sim.turn(node, false);
    for _ in 0..20 {
        sim.tick();
    }
    assert_eq!(sim.state.replicas_of(node), held);
    for _ in 0..600 {
        sim.tick();
    }
    assert_eq!(state_of(&sim, 4), NodeState::Dead);
    // Group 0 wants five voters and there are four nodes, so it keeps the dead one until it is removed.
    assert_eq!(sim.state.replicas_of(node), 1);
    let told = progress(&sim.state, &sim.observed());
    assert_eq!(told.waiting, vec![(GroupId::Meta, Wait::NoCandidate)]);
    let remove = MetaCommand::RemoveNode {
        node,
        unreachable: vec![node],
    };
    apply(&mut sim, remove);
    settle(&mut sim);
    assert_eq!(state_of(&sim, 4), NodeState::Decommissioned);
}

#[test]
fn a_dead_node_that_returns_is_used_again_and_cleaned() {
    let mut sim = settled(5, 1, 12, 3);
    let node = NodeNumber(4);
    sim.turn(node, false);
    for _ in 0..600 {
        sim.tick();
    }
    sim.turn(node, true);
    settle(&mut sim);
    assert_eq!(state_of(&sim, 4), NodeState::Serving);
    assert!(sim.state.replicas_of(node) > 1);
}

#[test]
fn a_new_zone_takes_its_share() {
    let mut sim = settled(4, 2, 9, 3);
    sim.join_in("zone-9");
    settle(&mut sim);
    let node = NodeNumber(5);
    assert_eq!(
        sim.state.replicas_of(node),
        10,
        "one of each shard, and group 0"
    );
}

#[test]
fn a_learner_that_stands_still_is_given_up_and_another_node_tried() {
    let mut sim = settled(5, 1, 1, 3);
    let group = GroupId::Shard(ShardId(0));
    let record = sim.state.group(group).expect("a shard").clone();
    let gone = record.voters[0];
    sim.faults.stuck = 100;
    apply(&mut sim, MetaCommand::DrainNode { node: gone });
    let target = |sim: &Sim| {
        let under_way = sim.state.group(group).expect("a shard").under_way.as_ref();
        under_way.map(|one| (one.add.clone(), one.stage))
    };
    while target(&sim).is_none() {
        sim.tick();
    }
    let (first, _) = target(&sim).expect("a move");
    let limit = STALL_S + AVOID_S;
    let waited = (0..limit).find(|_| {
        sim.tick();
        matches!(target(&sim), Some((_, MoveStage::RollBack)))
    });
    assert!(waited.expect("given up") >= STALL_S - 10);
    sim.faults.stuck = 0;
    settle(&mut sim);
    let voters = &sim.state.group(group).expect("a shard").voters;
    assert!(!voters.contains(&gone), "{gone} drains");
    assert!(
        !voters.contains(&first[0]),
        "{first:?} was avoided, {voters:?}"
    );
    assert!(sim.state.moves_ended().1 >= 1);
}

#[test]
fn a_move_to_a_node_that_drains_is_rolled_back() {
    let mut sim = settled(5, 1, 1, 3);
    let group = GroupId::Shard(ShardId(0));
    let record = sim.state.group(group).expect("a shard").clone();
    let out = |node: &NodeNumber| !record.voters.contains(node);
    let add = (1..=5).map(NodeNumber).find(out).expect("two are free");
    let start = MetaCommand::StartMove {
        group,
        version: record.version,
        add: vec![add],
        remove: vec![record.voters[0]],
        reason: MoveReason::Operator,
    };
    apply(&mut sim, start);
    sim.tick();
    apply(&mut sim, MetaCommand::DrainNode { node: add });
    settle(&mut sim);
    assert_eq!(
        sim.state.group(group).expect("a shard").voters,
        record.voters
    );
    assert_eq!(sim.state.moves_ended().1, 1);
}

#[test]
fn moves_go_on_in_the_number_that_is_set() {
    let mut sim = settled(6, 1, 24, 3);
    apply(
        &mut sim,
        MetaCommand::ChangeSetting(Setting::MovesAtOnce(2)),
    );
    apply(
        &mut sim,
        MetaCommand::DrainNode {
            node: NodeNumber(1),
        },
    );
    let mut most = 0;
    for _ in 0..40 {
        sim.tick();
        most = most.max(sim.state.moves_under_way());
        let told = progress(&sim.state, &sim.observed());
        let full = Wait::MovesAtOnce { limit: 2 };
        let waits = told.waiting.iter().any(|(_, wait)| *wait == full);
        assert_eq!(
            waits,
            sim.state.moves_under_way() == 2 && !told.waiting.is_empty()
        );
    }
    assert_eq!(most, 2);
    settle(&mut sim);
}

#[test]
fn members_that_nobody_recorded_are_put_right() {
    let sim = settled(5, 1, 1, 3);
    let group = GroupId::Shard(ShardId(0));
    let recorded = sim.state.group(group).expect("a shard").voters.clone();
    let mut observed = sim.observed();
    let seen = observed.groups.get_mut(&group).expect("seen");
    let others: BTreeSet<NodeNumber> = (3..=5).map(NodeNumber).collect();
    seen.voters = vec![others];
    let at_membership = seen.membership_index;
    let wanted = Effect::ChangeVoters {
        voters: recorded,
        at_membership,
    };
    let step = next_step(&sim.state, &observed);
    assert!(matches!(step, Some(Step::Carry { effect, .. }) if effect == wanted));
}

#[test]
fn what_waits_says_for_whom() {
    let mut sim = settled(3, 1, 1, 3);
    sim.turn(NodeNumber(2), false);
    sim.turn(NodeNumber(3), false);
    for node in [2, 3] {
        apply(
            &mut sim,
            MetaCommand::NoteDead {
                node: NodeNumber(node),
                incarnation: 1,
            },
        );
    }
    let told = progress(&sim.state, &sim.observed());
    let (_, wait) = told.waiting.first().expect("it waits");
    assert_eq!(
        wait.to_string(),
        "2 of 3 voters are not heard or have no replica: bring back one of 2 3"
    );
}

#[test]
fn an_operator_evens_out_to_a_node_that_the_planner_avoids() {
    let mut sim = settled(3, 1, 2, 3);
    let even = |sim: &Sim| even_out(&sim.state, &sim.observed(), 8).is_empty();
    assert!(even(&sim));
    sim.faults.stuck = 100;
    sim.join();
    let is_avoided = |sim: &Sim| {
        let mut shards = sim.state.groups().filter(|(id, _)| *id != GroupId::Meta);
        let is_idle = sim.state.moves_under_way() == 0;
        is_idle && shards.all(|(_, group)| !group.avoided.is_empty())
    };
    let tried = (0..4 * STALL_S).find(|_| {
        sim.tick();
        is_avoided(&sim)
    });
    assert!(tried.is_some(), "no learner on the new node caught up");
    let next = next_step(&sim.state, &sim.observed());
    let starts = matches!(next, Some(Step::Propose(MetaCommand::StartMove { .. })));
    assert!(!starts, "the planner waits: {next:?}");
    let planned = even_out(&sim.state, &sim.observed(), 8);
    assert_eq!(planned.len(), 1, "one move makes it even: {planned:?}");
    sim.faults.stuck = 0;
    for command in planned {
        apply(&mut sim, command);
    }
    settle(&mut sim);
    assert!(even(&sim));
    assert_eq!(sim.state.replicas_of(NodeNumber(4)), 1);
}
