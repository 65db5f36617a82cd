//! Twins that have nothing to do: put away on every replica, back when they are wanted or due.

use crate::harness::{Cluster, START, customer};
use std::time::Duration;
use twinscale_protocol::Seconds;

const HOUR: Seconds = Seconds(3_600);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_twin_at_rest_comes_back_for_samples_and_its_timer_outlives_its_leader() {
    let cluster = Cluster::start_with(3, 1, Duration::from_millis(300)).await;
    let acme = customer(0);
    let now = START.plus(Seconds(48 * HOUR.0));
    cluster.set_time(now);
    cluster.configure(1, &acme).await;
    cluster.record(2, &acme, START, now).await;
    cluster.wait_for_turn(&acme, now).await;

    let before = cluster.wait_for_rest(&acme).await;
    let later = now.plus(HOUR);
    cluster.record(3, &acme, now, later).await;
    cluster.wait_until_brought_back(&before).await;
    cluster.wait_for_rest(&acme).await;

    // Its next turn falls due while nobody leads: whoever leads next takes it, from what is committed.
    let (old, generation_before) = cluster.driven(&acme).expect("driven");
    cluster.isolate(old);
    cluster.set_time(later.plus(Seconds(600)));
    cluster.wait_for_turn(&acme, later).await;
    let (new, generation) = cluster.driven_apart_from(&acme, old).expect("driven");
    assert!(new != old && generation > generation_before);
    cluster.heal();
    cluster
        .wait_for_one_driver_each(std::slice::from_ref(&acme))
        .await;
    cluster.wait_for_rest(&acme).await;
    let (running, seen) = cluster.vms(&acme);
    assert_eq!(running, seen, "no VM is doubled or lost");
    cluster.stop().await;
}
