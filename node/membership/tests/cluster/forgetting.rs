//! The dead are forgotten, also those of a node that crashes again and again.

use std::time::Duration;
use twinscale_membership::{Liveness, RefusalReason};
use twinscale_protocol::NodeNumber;

use super::harness::{Cluster, is};

#[tokio::test(start_paused = true)]
async fn the_dead_are_shown_for_a_while_and_then_forgotten() {
    let mut cluster = Cluster::new(41);
    cluster.forget_after = Duration::from_secs(20);
    for number in 1..=4 {
        cluster.start(number).await;
    }
    cluster.settle().await;
    cluster.kill(4).await;
    cluster
        .until_all("4 is dead", |view| is(view, 4, Liveness::Dead))
        .await;
    cluster
        .until_all("4 is forgotten", |view| {
            view.liveness(NodeNumber(4)).is_none()
        })
        .await;
    // None of the others brings it back.
    tokio::time::sleep(Duration::from_mins(5)).await;
    for number in 1..=3 {
        assert_eq!(cluster.view(number).members.len(), 3);
    }
    cluster.start(4).await;
    cluster.settle().await;
}

/// More incarnations than gossip may keep at once, so that forgetting is what makes it work.
#[tokio::test(start_paused = true)]
async fn a_crash_loop_does_not_fill_gossip() {
    let mut cluster = Cluster::new(42);
    cluster.forget_after = Duration::from_mins(2);
    for number in 1..=3 {
        cluster.start(number).await;
    }
    cluster.settle().await;
    for _ in 0..450 {
        cluster.kill(3).await;
        cluster.start(3).await;
        tokio::time::sleep(Duration::from_secs(2)).await;
    }
    cluster.settle().await;
    for member in cluster.members.values() {
        assert_eq!(member.view().members.len(), 3, "shown once");
        let refused = member.refusals().count(RefusalReason::TooManyIncarnations);
        assert_eq!(refused, 0);
    }
    let others_died = cluster
        .view(1)
        .members
        .get(&NodeNumber(2))
        .expect("a member")
        .deaths;
    assert_eq!(others_died, 0);
}
