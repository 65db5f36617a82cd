//! What must hold, written once and asked after each change.

use super::sim::Sim;
use crate::placement::{Effect, Step};
use crate::state::{MetaState, Outcome};
use crate::stored::v1::{GroupId, MoveStage, NodeState};
use std::collections::{BTreeMap, BTreeSet};
use twinscale_protocol::NodeNumber;

/// A refused command changes nothing that is not audit; a repeated one neither.
pub(super) fn outcome(before: &MetaState, after: &MetaState, outcome: &Outcome) {
    let same = before.groups().eq(after.groups()) && before.nodes() == after.nodes();
    match outcome {
        Outcome::Applied(_) => {}
        Outcome::Unchanged(_) | Outcome::Refused(_) => assert!(same, "{outcome:?}"),
    }
    for (id, group) in after.groups() {
        if !group.voters.is_empty() {
            assert_eq!(
                group.voters.len() % 2,
                1,
                "{id} has an even number of voters"
            );
        }
        let unique: BTreeSet<_> = group.voters.iter().collect();
        assert_eq!(
            unique.len(),
            group.voters.len(),
            "{id} has two replicas on one node"
        );
    }
}

/// What must hold at any moment.
pub(super) fn safety(sim: &Sim) {
    let alive = sim.alive();
    for (id, group) in &sim.groups {
        let record = sim.state.group(*id).expect("known");
        let recorded: BTreeSet<NodeNumber> = record.voters.iter().copied().collect();
        let goal: BTreeSet<NodeNumber> = record.goal().into_iter().collect();
        match group.voters.as_slice() {
            [] => {}
            [one] => assert!(
                *one == recorded || *one == goal,
                "{id}: {group:?}, {record:?}"
            ),
            [old, next] => {
                assert!(
                    *old == recorded && *next == goal,
                    "{id}: {group:?}, {record:?}"
                );
            }
            more => panic!("{id} is between {} sets of voters", more.len()),
        }
        for set in &group.voters {
            assert_eq!(set.len() % 2, 1, "{id}: {group:?}");
            let holders = set
                .iter()
                .filter(|node| group.held.contains_key(node))
                .count();
            let kept = !record.founded || holders * 2 > set.len();
            assert!(kept, "{id}: a majority has no replica: {group:?}");
            let live = set.intersection(&alive).count();
            let tolerates = set.len() / 2 >= sim.faults.down_max;
            assert!(
                !tolerates || live * 2 > set.len(),
                "{id} lost its majority: {group:?}"
            );
        }
    }
}

/// What must hold of a step when it is asked for.
pub(super) fn step(sim: &Sim, step: &Step) {
    let Step::Carry {
        group,
        effect: Effect::ChangeVoters { voters, .. },
        ..
    } = step
    else {
        return;
    };
    let seen = &sim.groups[group];
    if seen.voters.len() > 1 {
        return;
    }
    let alive = sim.alive();
    let live = voters.iter().filter(|node| alive.contains(node)).count();
    assert!(
        live * 2 > voters.len(),
        "{group} would change to voters without a majority"
    );
    let record = sim.state.group(*group).expect("known");
    let stage = record.under_way.as_ref().map(|one| one.stage);
    assert_ne!(
        stage,
        Some(MoveStage::Learn),
        "{group} changes voters that only learn"
    );
}

/// What must hold when nothing is left to do.
pub(super) fn converged(sim: &Sim) {
    let open: BTreeSet<NodeNumber> = sim
        .state
        .nodes()
        .iter()
        .filter(|node| node.state == NodeState::Serving)
        .map(|node| node.number)
        .collect();
    let zone = |node: &NodeNumber| sim.state.node(*node).expect("known").facts.zone.clone();
    let zones: BTreeSet<_> = open.iter().map(zone).collect();
    let replication = usize::from(sim.state.settings().replication);
    let enough = open.len() >= replication;
    for (id, record) in sim.state.groups() {
        assert!(
            record.founded && record.under_way.is_none(),
            "{id}: {record:?}"
        );
        let group = &sim.groups[&id];
        let recorded: BTreeSet<NodeNumber> = record.voters.iter().copied().collect();
        assert_eq!(group.voters, vec![recorded.clone()], "{id}");
        assert!(group.learners.is_empty(), "{id}: {group:?}");
        if !enough {
            continue;
        }
        assert!(recorded.is_subset(&open), "{id}: {recorded:?} of {open:?}");
        let holders: BTreeSet<NodeNumber> = group.held.keys().copied().collect();
        assert_eq!(
            holders.intersection(&sim.alive()).count(),
            recorded.len(),
            "{id}: {group:?}"
        );
        let used: BTreeSet<_> = recorded.iter().map(zone).collect();
        assert_eq!(
            used.len(),
            recorded.len().min(zones.len()),
            "{id} does not use its zones"
        );
        if id != GroupId::Meta {
            assert_eq!(recorded.len(), replication, "{id}");
        }
    }
    if enough {
        balanced(sim, &open, zones.len());
        group_0(sim, open.len());
    }
}

fn balanced(sim: &Sim, open: &BTreeSet<NodeNumber>, zones: usize) {
    let mut loads: BTreeMap<NodeNumber, usize> = open.iter().map(|node| (*node, 0)).collect();
    let shards = sim.state.groups().filter(|(id, _)| *id != GroupId::Meta);
    for node in shards.flat_map(|(_, group)| &group.voters) {
        *loads.get_mut(node).expect("open") += 1;
    }
    let most = loads.values().max().expect("nodes");
    let least = loads.values().min().expect("nodes");
    // With zones of different sizes the zones decide.
    assert!(zones > 1 || most - least <= 1, "{loads:?}");
    for (id, group) in &sim.groups {
        let leader = group.leader.expect("a leader");
        assert!(
            open.contains(&leader),
            "{id} is led by {leader}, of {open:?}"
        );
    }
}

fn group_0(sim: &Sim, open: usize) {
    let voters = sim
        .state
        .group(GroupId::Meta)
        .expect("group 0")
        .voters
        .len();
    let wanted = match open {
        0..=2 => 1,
        3..=4 => 3,
        _ => 5,
    };
    assert_eq!(voters, wanted, "group 0 of {open} nodes");
}

/// Each replica of the log comes to the same bytes, also one that starts from a snapshot.
pub(super) fn same_everywhere(sim: &Sim) {
    let wanted = sim.state.encode().expect("fits");
    let mut from_log = MetaState::default();
    let mut from_snapshot = MetaState::default();
    for (place, entry) in sim.log.iter().enumerate() {
        from_log.apply_bytes(entry);
        from_snapshot.apply_bytes(entry);
        if place % 97 == 0 {
            let bytes = from_snapshot.encode().expect("fits");
            from_snapshot = MetaState::decode(&bytes).expect("sound");
        }
    }
    assert_eq!(from_log.encode().expect("fits"), wanted);
    assert_eq!(from_snapshot.encode().expect("fits"), wanted);
}
