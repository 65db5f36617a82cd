//! Twins over consensus groups: whoever leads a shard drives its twins, and an old leader does no harm.

#![expect(clippy::panic, reason = "a test that waited in vain ends here")]

#[path = "cluster/acting.rs"]
mod acting;
#[path = "cluster/harness.rs"]
mod harness;
#[path = "cluster/held.rs"]
mod held;
#[path = "cluster/resting.rs"]
mod resting;

use harness::{Cluster, START, customer};
use twinscale_protocol::{DomainTime, Seconds};
use twinscale_provisioner::DriverError;
use twinscale_provisioner::check::check_generations;
use twinscale_provisioner::simcloud::{CallEffect, RefusalCause};

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

/// The last check says that this node leads; then it stops, another one takes over, and the call goes out.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_call_of_a_leader_that_stopped_between_check_and_call_is_refused() {
    let cluster = Cluster::start(3, 1).await;
    let acme = customer(0);
    let mut now = START.plus(Seconds(48 * HOUR.0));
    cluster.set_time(now);
    cluster.gate.arm();
    cluster.configure(1, &acme).await;
    cluster.record(2, &acme, START, now).await;
    let (old, stale) = cluster.gate.held().await;

    cluster.isolate(old);
    now = now.plus(HOUR);
    cluster.set_time(now);
    let from = DomainTime(now.0 - 3_600);
    cluster.record(old % 3 + 1, &acme, from, now).await;
    cluster.nudge(&acme, old).await;
    cluster.wait_for_turn(&acme, now).await;
    let (node, generation) = cluster.driven_apart_from(&acme, old).expect("driven");
    assert!(node != old && generation > stale, "{generation} {stale}");

    let answer = cluster.gate.open().await;
    let refused = |error: &DriverError| {
        matches!(error, DriverError::StaleGeneration { sent, highest }
            if *sent == stale && *highest == generation)
    };
    assert!(answer.as_ref().is_err_and(refused), "{answer:?}");
    cluster.heal();
    cluster
        .wait_for_one_driver_each(std::slice::from_ref(&acme))
        .await;
    let (running, wanted) = cluster.vms(&acme);
    assert!(!running.is_empty());
    assert_eq!(running, wanted, "neither doubled nor lost");
    cluster.cloud.with_cloud(|cloud| {
        let ledger = cloud.ledger(&acme).expect("it was called");
        let is_stale = CallEffect::Refused(RefusalCause::StaleGeneration);
        assert!(ledger.calls().any(|call| call.effect == is_stale));
        assert!(check_generations(&acme, ledger).is_empty());
    });
    cluster.stop().await;
}
