//! Outcomes are never guessed, and a resource's changes keep their order.

use super::*;
use crate::simcloud::{FaultConfig, SimCloudConfig, SimCloudDriver};
use twinscale_protocol::provisioner::LinkSize;
use twinscale_protocol::{
    CustomerId, DomainTime, Generation, IntentId, Mbps, MicroDollars, PartsPerMillion, Seconds,
    VmTypeId,
};

fn launch(vm: u64) -> Action {
    Action::Launch {
        vm: VmId(vm),
        tier: TierName::new("web").expect("a tier"),
        vm_type: VmTypeId::new("a").expect("a type"),
        price_per_hour: MicroDollars(100_000),
        minimum_bill: Seconds(60),
    }
}

fn link(option: u32) -> Action {
    Action::ResizeLink(LinkSize {
        option,
        bandwidth: Mbps(100),
        price_per_hour: MicroDollars(1_000),
    })
}

async fn outcomes(
    driver: &SimCloudDriver,
    memory: &SharedMemory,
    (generation, now): (u64, i64),
    actions: Vec<Action>,
) -> Vec<OutcomeResult> {
    let now = DomainTime(now);
    let intent = |(id, action)| Intent {
        id: IntentId(id),
        at: now,
        action,
    };
    let request = ExecuteRequest {
        customer: CustomerId::new("acme").expect("an id"),
        generation: Generation(generation),
        now,
        intents: (0..).zip(actions).map(intent).collect(),
    };
    let reply = execute(driver, memory, &RetryPolicy::without_waits(), &request).await;
    let outcomes = reply.expect("few intents").outcomes;
    outcomes.into_iter().map(|outcome| outcome.result).collect()
}

fn not_tried(result: &OutcomeResult) -> bool {
    matches!(result, OutcomeResult::Unknown(reason) if reason.starts_with("not tried"))
}

#[tokio::test]
async fn a_later_change_of_a_resource_waits_for_the_outcome_of_an_earlier_one() {
    let mut config = SimCloudConfig::with_seed(1);
    config.faults.timeout_before_commit = PartsPerMillion::ONE;
    let driver = SimCloudDriver::new(config);
    let actions = vec![
        link(1),
        link(2),
        launch(1),
        Action::Terminate { vm: VmId(1) },
    ];
    let found = outcomes(&driver, &SharedMemory::default(), (1, 0), actions).await;
    let skipped: Vec<_> = found.iter().map(not_tried).collect();
    assert_eq!(skipped, [false, true, false, true], "{found:?}");
}

#[tokio::test]
async fn a_fenced_call_closes_nothing_and_ends_the_request() {
    let driver = SimCloudDriver::new(SimCloudConfig::with_seed(1));
    let memory = SharedMemory::default();
    outcomes(&driver, &memory, (2, 0), vec![launch(1)]).await;
    let found = outcomes(&driver, &memory, (1, 0), vec![launch(2), launch(3)]).await;
    assert!(
        matches!(&found[0], OutcomeResult::Unknown(reason) if reason.contains("stale generation 1"))
    );
    assert!(not_tried(&found[1]), "{found:?}");
}

#[tokio::test]
async fn a_refusal_is_final_and_does_not_stop_the_rest() {
    let driver = SimCloudDriver::new(SimCloudConfig::with_seed(1));
    let memory = SharedMemory::default();
    outcomes(&driver, &memory, (1, 0), vec![launch(1)]).await;
    let mut other = launch(1);
    if let Action::Launch { vm_type, .. } = &mut other {
        *vm_type = VmTypeId::new("b").expect("a type");
    }
    let found = outcomes(&driver, &memory, (1, 0), vec![other, launch(2)]).await;
    assert!(matches!(found[0], OutcomeResult::Refused(_)), "{found:?}");
    assert_eq!(found[1], OutcomeResult::Done);
}

#[tokio::test]
async fn too_many_intents_are_refused_untried() {
    let driver = SimCloudDriver::new(SimCloudConfig::with_seed(1));
    let intents = (0..=u64::try_from(INTENTS_PER_REQUEST_MAX).expect("small")).map(|id| Intent {
        id: IntentId(id),
        at: DomainTime(0),
        action: launch(id),
    });
    let request = ExecuteRequest {
        customer: CustomerId::new("acme").expect("an id"),
        generation: Generation(1),
        now: DomainTime(0),
        intents: intents.collect(),
    };
    let policy = RetryPolicy::without_waits();
    let reply = execute(&driver, &SharedMemory::default(), &policy, &request).await;
    assert_eq!(reply.expect_err("too many").code, WireErrorCode::Invalid);
    assert_eq!(driver.with_cloud(|cloud| cloud.customers().count()), 0);
}

/// A listing of an earlier moment shows neither a start nor an end that are known.
#[tokio::test]
async fn an_observation_is_corrected_by_known_effects() {
    let driver = SimCloudDriver::new(SimCloudConfig::with_seed(1));
    let memory = SharedMemory::default();
    outcomes(&driver, &memory, (1, 0), vec![launch(1), launch(2)]).await;
    let end = Action::Terminate { vm: VmId(1) };
    outcomes(&driver, &memory, (1, 5_000), vec![end, launch(3)]).await;
    driver.with_cloud(|cloud| {
        cloud.set_faults(FaultConfig {
            stale_list: PartsPerMillion::ONE,
            ..FaultConfig::none()
        });
    });
    let request = ObserveRequest {
        customer: CustomerId::new("acme").expect("an id"),
        now: DomainTime(5_000),
    };
    let policy = RetryPolicy::without_waits();
    for _ in 0..20 {
        let seen = observe(&driver, &memory, &policy, &request)
            .await
            .expect("a listing");
        let vms: Vec<_> = seen.allocation.vms.iter().map(|vm| vm.vm.0).collect();
        assert_eq!(vms, [2, 3]);
    }
}
