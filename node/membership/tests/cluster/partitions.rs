//! Cuts of the network, both ways and one way, and what comes after.

use std::time::Duration;
use twinscale_membership::Liveness;
use twinscale_protocol::NodeNumber;

use super::harness::{Cluster, SOON, address, is, until};

#[tokio::test(start_paused = true)]
async fn a_partition_is_seen_from_both_sides_and_heals() {
    let cluster = Cluster::of(5, 11).await;
    cluster
        .network
        .partition(&[1, 2].map(address), &[3, 4, 5].map(address));
    for (number, alive) in [(1, 2), (2, 2), (3, 3), (4, 3), (5, 3)] {
        let member = cluster.member(number);
        until(member, "its own side alone", SOON, |view| {
            view.alive() == alive
        })
        .await;
    }
    cluster.network.heal();
    cluster.settle().await;
    assert!(
        cluster
            .view(1)
            .members
            .values()
            .all(|one| one.liveness == Liveness::Alive)
    );
}

#[tokio::test(start_paused = true)]
async fn one_cut_wire_kills_no_one_because_the_others_relay() {
    let cluster = Cluster::of(5, 12).await;
    cluster.network.cut_one_way(address(3), address(4));
    cluster.network.partition(&[address(1)], &[address(5)]);
    tokio::time::sleep(Duration::from_mins(2)).await;
    cluster.settle().await;
    assert_eq!(cluster.deaths(), 0);
}

#[tokio::test(start_paused = true)]
async fn one_that_is_not_heard_is_dead_to_the_others_and_hears_them_until_it_heals() {
    let cluster = Cluster::of(4, 13).await;
    for other in [1, 2, 3] {
        cluster.network.cut_one_way(address(4), address(other));
    }
    for number in [1, 2, 3] {
        let member = cluster.member(number);
        until(member, "4 is dead", SOON, |view| {
            is(view, 4, Liveness::Dead)
        })
        .await;
    }
    cluster.network.heal();
    cluster.settle().await;
}

/// Longer than the dead are remembered in gossip, and with no seed left: they find each other by the
/// addresses that each keeps.
#[tokio::test(start_paused = true)]
async fn a_partition_that_outlasts_memory_heals_without_a_seed() {
    let mut cluster = Cluster::new(14);
    cluster.forget_after = Duration::from_secs(30);
    for number in 1..=5 {
        let mut config = cluster.config(number);
        config.seeds = vec![address(1).to_string()];
        let keys = twinscale_membership::KeyRing::new(super::harness::key(1));
        cluster.start_with(number, config, keys).await;
    }
    cluster.settle().await;
    cluster.kill(1).await;
    cluster
        .network
        .partition(&[2, 3].map(address), &[4, 5].map(address));
    cluster
        .until_all("the other side is forgotten", |view| {
            view.members.len() == 2
        })
        .await;
    tokio::time::sleep(Duration::from_mins(10)).await;
    cluster.network.heal();
    cluster.settle().await;
    assert_eq!(
        cluster.view(2).liveness(NodeNumber(1)),
        None,
        "the dead one stays forgotten"
    );
}
