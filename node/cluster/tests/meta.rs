//! Group 0 in running code: nodes in one process, with real logs and stores and a network in memory.

#![expect(clippy::panic, reason = "tests fail by panics")]

#[path = "meta/harness.rs"]
mod harness;

use harness::{Cluster, SHARDS};
use std::collections::BTreeSet;
use twinscale_cluster::meta::MetaError;
use twinscale_meta::stored::v1::Setting;
use twinscale_meta::{GroupId, MetaCommand, NodeState, Outcome, Refusal};
use twinscale_protocol::{NodeNumber, Seconds};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_node_becomes_a_cluster_of_five_and_replaces_one() {
    let mut cluster = Cluster::grow(5, 1).await;
    let state = cluster.settled().await;
    assert_eq!(state.group(GroupId::Meta).expect("group 0").voters.len(), 5);
    for (id, group) in state.groups() {
        let wanted = if id == GroupId::Meta { 5 } else { 3 };
        assert_eq!(group.voters.len(), wanted, "{id}");
    }
    cluster.write_all(1).await;
    // The grace period is the shortest that is allowed.
    cluster
        .must(MetaCommand::ChangeSetting(Setting::DeadAfter(Seconds(5))))
        .await;
    let leader = cluster.meta_leader().await;
    let lost = (1..=5)
        .find(|number| *number != leader)
        .expect("a follower");
    cluster.kill(lost);
    // As after a restart of everybody else: the dead one is known to group 0 alone.
    cluster.forget(lost);
    let state = cluster
        .wait_state("the node is replaced", |state| {
            state.node_state(NodeNumber(lost)) == Some(NodeState::Dead)
                && state
                    .groups()
                    .filter(|(id, _)| *id != GroupId::Meta)
                    .all(|(_, group)| !group.names(NodeNumber(lost)))
        })
        .await;
    assert!(state.moves_ended().0 > 0, "moves ended");
    cluster.write_all(2).await;
    // It comes back, gives up what it lost meanwhile, and takes its share again.
    cluster.restart(lost).await;
    cluster
        .wait_state("the node serves", |state| {
            state.node_state(NodeNumber(lost)) == Some(NodeState::Serving)
        })
        .await;
    cluster.settled().await;
    cluster.check_all(2).await;
    cluster.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nodes_drain_and_leave_while_the_leader_of_group_0_dies() {
    let mut cluster = Cluster::grow(5, 2).await;
    cluster.settled().await;
    cluster.write_all(1).await;
    let leader = cluster.meta_leader().await;
    let drained = (1..=5)
        .find(|number| *number != leader)
        .expect("a follower");
    let node = NodeNumber(drained);
    cluster.must(MetaCommand::DrainNode { node }).await;
    cluster
        .wait_state("the drain began", |state| {
            state.groups().any(|(_, group)| group.under_way.is_some())
        })
        .await;
    cluster.kill(leader);
    cluster.restart(leader).await;
    cluster
        .wait_state("the node is empty", |state| {
            let others = state.groups().filter(|(id, _)| *id != GroupId::Meta);
            let mut names = others.map(|(_, group)| group.names(node));
            !names.any(|named| named)
        })
        .await;
    cluster.settled().await;
    cluster.check_all(1).await;
    // A drained node serves again when it is told to.
    cluster.must(MetaCommand::FillNode { node }).await;
    cluster
        .wait_state("the node serves", |state| {
            state.node_state(node) == Some(NodeState::Serving)
        })
        .await;
    cluster.settled().await;
    // And another one leaves for good, once it holds nothing.
    let leader = cluster.meta_leader().await;
    let leaving = (1..=5)
        .find(|number| *number != leader && *number != drained)
        .expect("a third node");
    let node = NodeNumber(leaving);
    let unreachable = Vec::new();
    cluster
        .must(MetaCommand::DecommissionNode { node, unreachable })
        .await;
    cluster
        .wait_state("the node left", |state| {
            state.node_state(node) == Some(NodeState::Decommissioned)
        })
        .await;
    let held = cluster.settled_held().await;
    assert_eq!(held[&leaving], BTreeSet::new(), "nothing is left on it");
    cluster.check_all(1).await;
    cluster.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn leader_of_group_0_that_is_cut_off_drives_nothing_and_is_replaced() {
    let cluster = Cluster::grow(5, 4).await;
    cluster.settled().await;
    cluster.write_all(1).await;
    cluster
        .must(MetaCommand::ChangeSetting(Setting::DeadAfter(Seconds(5))))
        .await;
    let cut = cluster.meta_leader().await;
    let node = NodeNumber(cut);
    cluster.isolate(cut);
    let state = cluster
        .wait_state("the others replace the node", |state| {
            state.node_state(node) == Some(NodeState::Dead)
                && state
                    .groups()
                    .filter(|(id, _)| *id != GroupId::Meta)
                    .all(|(_, group)| !group.names(node))
        })
        .await;
    assert!(state.moves_ended().0 > 0, "moves ended");
    // It knows that it speaks for nobody, and says so at once.
    let refused = cluster
        .propose_at(cut, MetaCommand::FillNode { node })
        .await;
    assert!(
        matches!(
            refused,
            Err(MetaError::Unavailable { .. } | MetaError::NotLeader { .. })
        ),
        "{refused:?}"
    );
    cluster.heal(cut);
    cluster
        .wait_state("the node serves", |state| {
            state.node_state(node) == Some(NodeState::Serving)
        })
        .await;
    cluster.settled().await;
    cluster.check_all(1).await;
    cluster.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn commands_go_to_the_leader_and_refusals_are_outcomes() {
    let cluster = Cluster::grow(1, 3).await;
    cluster.settled().await;
    let outcome = cluster
        .propose(MetaCommand::ChangeSetting(Setting::ShardCount(SHARDS + 1)))
        .await;
    let fixed = Refusal::ShardCountFixed {
        count: SHARDS,
        wanted: SHARDS + 1,
    };
    assert_eq!(outcome.expect("it leads"), Outcome::Refused(fixed));
    cluster.stop().await;
}
