//! The simulated cloud: conformance, faults, bills, and independence of the order of calls.

use super::*;
use crate::check::{check_generations, check_keys};
use crate::conformance::{self, DomainTimeTarget};
use crate::driver::{CallContext, DriverError, ProviderDriver, VmSpec};
use std::collections::BTreeSet;
use std::time::Duration;
use twinscale_protocol::provisioner::{LinkSize, VolumeBlocks};
use twinscale_protocol::{
    CustomerId, DomainTime, Generation, Mbps, MicroDollars, PartsPerMillion, Seconds, TierName,
    VmCount, VmId, VmTypeId,
};

fn target(config: SimCloudConfig) -> DomainTimeTarget<SimCloudDriver> {
    DomainTimeTarget {
        driver: SimCloudDriver::new(config),
        now: DomainTime(10_000),
        vm_types: ["typeA", "typeB"].map(|name| VmTypeId::new(name).expect("a type")),
        // No draw is longer than ten times the 95th percentile.
        start_max: Seconds(3_000),
    }
}

#[tokio::test]
async fn the_simulated_cloud_conforms() {
    let passed = conformance::run(&mut target(SimCloudConfig::with_seed(1))).await;
    assert_eq!(passed.map(|names| names.len()), Ok(11));
}

#[tokio::test]
async fn the_suite_catches_a_provider_that_checks_no_keys_or_claims_a_fence() {
    let mut careless = SimCloudConfig::with_seed(1);
    careless.checks.keys = false;
    let failure = conformance::run(&mut target(careless))
        .await
        .expect_err("caught");
    assert_eq!(failure.case, "a_launch_under_a_known_key_starts_nothing");

    // A provider without a fence may say so; then the case does not apply.
    let mut unfenced = SimCloudConfig::with_seed(1);
    unfenced.checks.generations = false;
    let passed = conformance::run(&mut target(unfenced)).await;
    assert!(passed.is_ok(), "{passed:?}");
}

fn customer(name: &str) -> CustomerId {
    CustomerId::new(name).expect("an id")
}

fn context(name: &str, now: i64) -> CallContext {
    CallContext {
        customer: customer(name),
        generation: Generation(1),
        now: DomainTime(now),
    }
}

fn spec(vm: u64) -> VmSpec {
    VmSpec {
        vm: VmId(vm),
        tier: TierName::new("web").expect("a tier"),
        vm_type: VmTypeId::new("typeA").expect("a type"),
        price_per_hour: MicroDollars(3_600),
        minimum_bill: Seconds(60),
    }
}

fn certainly(fault: impl FnOnce(&mut FaultConfig) -> &mut PartsPerMillion) -> SimCloudDriver {
    let mut config = SimCloudConfig::with_seed(1);
    *fault(&mut config.faults) = PartsPerMillion::ONE;
    SimCloudDriver::new(config)
}

/// Starts VM 1 under a fault that strikes for certain; gives the answer and how many VMs run.
async fn struck(driver: &SimCloudDriver) -> (Result<(), DriverError>, usize) {
    let result = driver.launch(&context("acme", 0), &spec(1)).await;
    let started = driver.with_cloud(|cloud| {
        let ledger = cloud.ledger(&customer("acme")).expect("has called");
        ledger.vms().len()
    });
    (result, started)
}

#[tokio::test]
async fn each_fault_leaves_what_it_should() {
    let unknown =
        |result: &Result<(), DriverError>| matches!(result, Err(DriverError::Unknown { .. }));
    let (result, started) = struck(&certainly(|faults| &mut faults.timeout_before_commit)).await;
    assert!(unknown(&result) && started == 0, "{result:?} {started}");
    let (result, started) = struck(&certainly(|faults| &mut faults.timeout_after_commit)).await;
    assert!(unknown(&result) && started == 1, "{result:?} {started}");
    let (result, started) = struck(&certainly(|faults| &mut faults.server_error)).await;
    assert!(unknown(&result), "{result:?} {started}");
    let throttled = struck(&certainly(|faults| &mut faults.throttled)).await;
    assert_eq!(throttled, (Err(DriverError::Throttled), 0));
    let duplicated = struck(&certainly(|faults| &mut faults.duplicate)).await;
    assert_eq!(duplicated, (Ok(()), 1));
}

#[tokio::test(start_paused = true)]
async fn a_slow_answer_takes_system_time_only() {
    let driver = certainly(|faults| &mut faults.slow);
    driver.with_cloud(|cloud| {
        let slow_for = Duration::from_secs(30);
        cloud.set_faults(FaultConfig {
            slow_for,
            ..cloud.config().faults
        });
    });
    let start = tokio::time::Instant::now();
    assert_eq!(struck(&driver).await, (Ok(()), 1));
    assert_eq!(start.elapsed(), Duration::from_secs(30));
}

#[tokio::test]
async fn a_stale_listing_shows_an_earlier_moment() {
    let driver = certainly(|faults| &mut faults.stale_list);
    driver
        .launch(&context("acme", 0), &spec(1))
        .await
        .expect("no fault for launches");
    driver
        .terminate(&context("acme", 10_000), VmId(1))
        .await
        .expect("no fault");
    driver
        .launch(&context("acme", 10_000), &spec(2))
        .await
        .expect("no fault");
    let mut seen = BTreeSet::new();
    for _ in 0..40 {
        let listing = driver
            .list(&customer("acme"), DomainTime(10_000))
            .await
            .expect("a listing");
        seen.insert(
            listing
                .allocation
                .vms
                .iter()
                .map(|vm| vm.vm.0)
                .collect::<Vec<_>>(),
        );
    }
    // Lag 0 shows the present, any other the VM that has ended.
    assert!(seen.contains(&vec![1]), "{seen:?}");
    driver.with_cloud(|cloud| cloud.set_faults(FaultConfig::none()));
    let listing = driver
        .list(&customer("acme"), DomainTime(10_000))
        .await
        .expect("a listing");
    assert_eq!(
        listing
            .allocation
            .vms
            .iter()
            .map(|vm| vm.vm.0)
            .collect::<Vec<_>>(),
        [2]
    );
    assert_eq!(
        listing
            .ended
            .iter()
            .map(|ended| ended.vm.0)
            .collect::<Vec<_>>(),
        [1]
    );
}

#[tokio::test]
async fn capacity_is_shared_and_given_back() {
    let mut config = SimCloudConfig::with_seed(1);
    config.capacity.insert(spec(1).vm_type, VmCount(2));
    let driver = SimCloudDriver::new(config);
    driver
        .launch(&context("acme", 0), &spec(1))
        .await
        .expect("room");
    driver
        .launch(&context("globex", 0), &spec(1))
        .await
        .expect("room");
    let refused = driver.launch(&context("acme", 1), &spec(2)).await;
    assert!(
        matches!(refused, Err(DriverError::Refused { .. })),
        "{refused:?}"
    );
    // The key that is known already is no new VM.
    driver
        .launch(&context("acme", 1), &spec(1))
        .await
        .expect("known");
    driver
        .terminate(&context("globex", 2), VmId(1))
        .await
        .expect("ends");
    driver
        .launch(&context("acme", 2), &spec(2))
        .await
        .expect("room again");
}

#[tokio::test]
async fn a_failed_start_is_told_and_costs_nothing() {
    let mut config = SimCloudConfig::with_seed(1);
    config.start_up.failed = PartsPerMillion::ONE;
    let driver = SimCloudDriver::new(config);
    driver
        .launch(&context("acme", 0), &spec(1))
        .await
        .expect("accepted");
    let listing = driver
        .list(&customer("acme"), DomainTime(3_000))
        .await
        .expect("a listing");
    assert_eq!(listing.allocation.vms, []);
    assert!(
        listing
            .ended
            .first()
            .is_some_and(|ended| ended.start_failed)
    );
    let cost = driver.with_cloud(|cloud| cloud.cost(&customer("acme"), DomainTime(9_000)));
    assert_eq!(cost.total(), MicroDollars(0));
}

#[tokio::test]
async fn the_bill_is_exact_by_part() {
    let driver = SimCloudDriver::new(SimCloudConfig::with_seed(1));
    let volume = |blocks| VolumeBlocks {
        volume: TierName::new("data").expect("a name"),
        blocks,
        price_block_hour: MicroDollars(3_600),
    };
    let link = |option, price| LinkSize {
        option,
        bandwidth: Mbps(100),
        price_per_hour: MicroDollars(price),
    };
    driver
        .launch(&context("acme", 0), &spec(1))
        .await
        .expect("starts");
    driver
        .launch(&context("acme", 100), &spec(2))
        .await
        .expect("starts");
    driver
        .terminate(&context("acme", 110), VmId(2))
        .await
        .expect("ends");
    driver
        .resize_volume(&context("acme", 200), &volume(2))
        .await
        .expect("grows");
    driver
        .resize_volume(&context("acme", 300), &volume(5))
        .await
        .expect("grows");
    driver
        .resize_link(&context("acme", 400), link(1, 7_200))
        .await
        .expect("set");
    driver
        .resize_link(&context("acme", 500), link(0, 3_600))
        .await
        .expect("set");
    let (cost, lives) = driver.with_cloud(|cloud| {
        let customer = customer("acme");
        (
            cloud.cost(&customer, DomainTime(1_000)),
            cloud.lifetimes(&customer),
        )
    });
    // Prices are one micro-dollar a second, for the VM and the block.
    let (vms, minimum) = (
        cost.vms.total().micro_dollars(),
        cost.vms.minimum.micro_dollars(),
    );
    assert_eq!((vms, minimum), (MicroDollars(1_000 + 60), MicroDollars(50)));
    assert_eq!(
        cost.volumes.micro_dollars(),
        MicroDollars(2 * 100 + 5 * 700)
    );
    assert_eq!(cost.link.micro_dollars(), MicroDollars(2 * 100 + 500));
    assert_eq!(cost.total(), MicroDollars(1_060 + 3_700 + 700));
    let lives = lives.into_values().next().expect("one tier and type");
    assert_eq!(lives.cost(DomainTime(1_000)), cost.vms);
    assert_eq!(lives.billed(DomainTime(1_000)).at(DomainTime(105)), 2);
}

#[tokio::test]
async fn customers_do_not_meet_each_others_luck() {
    let run = |first: &'static str, second: &'static str| async move {
        let mut config = SimCloudConfig::with_seed(9);
        config.faults = FaultConfig::all(PartsPerMillion(100_000));
        let driver = SimCloudDriver::new(config);
        for vm in 0..50 {
            for name in [first, second] {
                // Outcomes differ by fault; the ledgers are compared.
                drop(driver.launch(&context(name, 10), &spec(vm)).await);
                drop(driver.list(&customer(name), DomainTime(20)).await);
            }
        }
        driver.with_cloud(|cloud| {
            ["acme", "globex"].map(|name| cloud.ledger(&customer(name)).expect("called").clone())
        })
    };
    assert_eq!(run("acme", "globex").await, run("globex", "acme").await);
}

#[tokio::test]
async fn checkers_catch_doubled_vms_and_stale_effects() {
    let mut config = SimCloudConfig::with_seed(1);
    config.checks = ProviderChecks {
        keys: false,
        generations: false,
    };
    let driver = SimCloudDriver::new(config);
    let mut newer = context("acme", 0);
    newer.generation = Generation(2);
    driver.launch(&newer, &spec(1)).await.expect("starts");
    driver
        .launch(&context("acme", 1), &spec(1))
        .await
        .expect("starts another");
    let (keys, generations) = driver.with_cloud(|cloud| {
        let customer = customer("acme");
        let ledger = cloud.ledger(&customer).expect("has called");
        (
            check_keys(&customer, ledger, &BTreeSet::new()),
            check_generations(&customer, ledger),
        )
    });
    assert_eq!(keys.len(), 2, "doubled and without an intent: {keys:?}");
    assert_eq!(generations.len(), 1, "{generations:?}");
}

#[tokio::test]
async fn old_calls_are_counted_and_dropped() {
    let mut config = SimCloudConfig::with_seed(1);
    config.calls_max = 3;
    config.vms_max = 4;
    let driver = SimCloudDriver::new(config);
    let mut outcomes = Vec::new();
    for vm in 0..5 {
        outcomes.push(driver.launch(&context("acme", 0), &spec(vm)).await.is_ok());
    }
    assert_eq!(outcomes, [true, true, true, true, false]);
    let kept = driver.with_cloud(|cloud| {
        let ledger = cloud.ledger(&customer("acme")).expect("has called");
        (
            ledger.calls().len(),
            ledger.calls_dropped(),
            ledger.vms().len(),
        )
    });
    assert_eq!(kept, (3, 2, 4));
}
