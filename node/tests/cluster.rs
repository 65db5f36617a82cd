//! Twins over consensus groups: whoever leads a shard drives its twins, and an old leader does no harm.

#![expect(clippy::panic, reason = "a test that waited in vain ends here")]

#[path = "cluster/acting.rs"]
mod acting;
#[path = "cluster/harness.rs"]
mod harness;

use harness::{Cluster, START, customer};
use twinscale_protocol::{DomainTime, Seconds};
use twinscale_provisioner::check::check_generations;

const HOUR: Seconds = Seconds(3_600);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn another_node_goes_on_with_the_twins_of_a_leader_that_was_cut_off() {
    let cluster = Cluster::start(3, 2).await;
    let customers: Vec<_> = (0..4).map(customer).collect();
    let mut now = START.plus(Seconds(48 * HOUR.0));
    cluster.set_time(now);
    for (number, customer) in customers.iter().enumerate() {
        let any_node = u64::try_from(number % 3).expect("small") + 1;
        cluster.configure(any_node, customer).await;
        cluster.record(any_node, customer, START, now).await;
    }
    for customer in &customers {
        cluster.wait_for_turn(customer, now).await;
    }
    let first: Vec<_> = customers.iter().map(|one| cluster.driven(one)).collect();
    assert!(
        first.iter().all(Option::is_some),
        "each has one driver: {first:?}"
    );

    let (old, _) = first[0].expect("driven");
    cluster.isolate(old);
    now = now.plus(HOUR);
    cluster.set_time(now);
    for (customer, before) in customers.iter().zip(&first) {
        let any_node = old % 3 + 1;
        cluster
            .record(any_node, customer, DomainTime(now.0 - 3_600), now)
            .await;
        cluster.nudge(customer, old).await;
        cluster.wait_for_turn(customer, now).await;
        let (node, generation) = cluster.driven_apart_from(customer, old).expect("driven");
        let (node_before, generation_before) = before.expect("driven");
        assert_ne!(node, old);
        if node_before == old {
            assert!(generation > generation_before, "a later term");
        }
    }
    cluster.heal();
    cluster.wait_for_one_driver_each(&customers).await;
    for customer in &customers {
        let (running, wanted) = cluster.vms(customer);
        assert!(!running.is_empty(), "{customer} has VMs");
        assert_eq!(running, wanted, "{customer}: neither doubled nor lost");
        let broken = cluster.cloud.with_cloud(|cloud| {
            check_generations(customer, cloud.ledger(customer).expect("it was called"))
        });
        assert!(broken.is_empty(), "{customer}: {broken:?}");
    }
    cluster.stop().await;
}
