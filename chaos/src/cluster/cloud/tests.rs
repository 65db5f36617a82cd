use super::{
    CloudAction, CloudCall, CloudEffect, CloudRecord, CloudVm, TwinVms, calls_of, check_fencing,
    check_vms, vms_of,
};
use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;
use tokio::net::TcpListener;
use tokio::sync::oneshot;
use twinscale::recorded_cloud::RecordedCloud;
use twinscale::service::server::serve;
use twinscale::sim_cloud::RemoteCloud;
use twinscale::sim_cloud::routes::{CloudService, router};
use twinscale_protocol::{
    CustomerId, DomainTime, Generation, MicroDollars, Seconds, TierName, VmId, VmTypeId,
};
use twinscale_provisioner::driver::{CallContext, ProviderDriver, VmSpec};
use twinscale_provisioner::simcloud::ProviderChecks;
use twinscale_provisioner::{SimCloudConfig, SimCloudDriver};

fn call(sequence: u64, scope: &str, generation: u64, effect: CloudEffect) -> CloudCall {
    CloudCall {
        sequence,
        scope: scope.to_owned(),
        generation: Some(generation),
        action: CloudAction::Launch(sequence),
        effect,
    }
}

#[test]
fn a_stale_call_that_was_accepted_is_caught_in_its_scope_alone() {
    use CloudEffect::{Applied, RefusedStale, Unchanged};
    let good = [
        call(0, "acme", 3, Applied),
        call(0, "globex", 1, Applied),
        call(1, "acme", 5, Unchanged),
        call(2, "acme", 3, RefusedStale),
        call(1, "globex", 1, Applied),
    ];
    let verdict = check_fencing(&good);
    assert!(verdict.passed(), "{verdict:?}");
    assert_eq!((verdict.refused_stale, verdict.taken_over), (1, 1));
    let stale = call(3, "acme", 4, Applied);
    let verdict = check_fencing(good.iter().chain([&stale]));
    assert_eq!(verdict.accepted_stale, 1);
    assert_eq!(
        verdict.violations,
        ["acme: call 3 of generation 4 was accepted after 5"]
    );
    assert!(!verdict.passed());
}

#[test]
fn a_refused_call_still_shows_its_generation() {
    let calls = [
        call(0, "acme", 5, CloudEffect::Refused),
        call(1, "acme", 4, CloudEffect::Applied),
    ];
    assert_eq!(check_fencing(&calls).accepted_stale, 1);
}

#[test]
fn a_fence_that_refuses_the_owner_is_caught() {
    let calls = [call(0, "acme", 5, CloudEffect::RefusedStale)];
    let verdict = check_fencing(&calls);
    assert!(verdict.wrongly_refused == 1 && !verdict.passed());
}

#[test]
fn a_record_with_a_gap_is_no_pass() {
    let mut verdict = check_fencing(&[]);
    assert!(verdict.passed());
    verdict.unrecorded = 1;
    assert!(!verdict.passed());
}

fn vm(vm: u64, runs: bool) -> CloudVm {
    CloudVm {
        scope: "acme".to_owned(),
        vm,
        runs,
    }
}

/// Keys 1 to 3 are intended, 1 and 2 observed and wanted.
fn twins() -> BTreeMap<String, TwinVms> {
    let twin = TwinVms {
        intended: [1, 2, 3].into(),
        observed: [1, 2].into(),
        desired: 2,
    };
    [("acme".to_owned(), twin)].into()
}

#[test]
fn what_runs_as_it_should_passes() {
    let verdict = check_vms(&[vm(1, true), vm(2, true), vm(3, false)], &twins());
    assert!(verdict.passed(), "{verdict:?}");
    assert_eq!((verdict.started, verdict.running), (3, 2));
}

#[test]
fn each_wrong_vm_is_counted_under_its_rule() {
    let verdict = check_vms(&[vm(1, true), vm(1, false), vm(2, true)], &twins());
    assert_eq!((verdict.doubled, verdict.leaked), (1, 0), "{verdict:?}");
    let verdict = check_vms(&[vm(1, true), vm(2, true), vm(3, true)], &twins());
    assert_eq!((verdict.leaked, verdict.not_settled), (1, 1), "{verdict:?}");
    let verdict = check_vms(&[vm(1, true), vm(2, false)], &twins());
    assert_eq!(
        (verdict.missing, verdict.not_settled),
        (1, 1),
        "{verdict:?}"
    );
    let verdict = check_vms(&[vm(1, true), vm(2, true), vm(4, false)], &twins());
    assert_eq!(verdict.without_intent, 1, "{verdict:?}");
    let verdict = check_vms(&[vm(1, true)], &BTreeMap::new());
    assert_eq!((verdict.leaked, verdict.without_intent), (1, 1));
    assert!(!verdict.passed());
}

/// A cloud with checks or without.
fn config(is_checking: bool) -> SimCloudConfig {
    let mut config = SimCloudConfig::with_seed(1);
    config.checks = ProviderChecks {
        keys: is_checking,
        generations: is_checking,
    };
    config
}

/// Takes a customer over: the new leader starts VM 2; the old one wakes up, starts VM 3, and VM 2 once more.
async fn take_over(cloud: &dyn ProviderDriver) {
    let spec = |vm| VmSpec {
        vm: VmId(vm),
        tier: TierName::new("web").expect("a tier"),
        vm_type: VmTypeId::new("typeA").expect("a type"),
        price_per_hour: MicroDollars(1),
        minimum_bill: Seconds(60),
    };
    for (generation, vm) in [(1, 1), (2, 2), (1, 3), (1, 2)] {
        let context = CallContext {
            customer: acme(),
            generation: Generation(generation),
            now: DomainTime(1_000),
        };
        drop(cloud.launch(&context, &spec(vm)).await);
    }
}

fn acme() -> CustomerId {
    CustomerId::new("acme").expect("an id")
}

#[tokio::test]
async fn a_simulated_cloud_without_checks_is_caught_by_its_own_record() {
    for (is_checking, stale, doubled) in [(true, 0, 0), (false, 2, 1)] {
        let cloud = SimCloudDriver::new(config(is_checking));
        take_over(&cloud).await;
        cloud.with_cloud(|cloud| {
            let ledger = cloud.ledger(&acme()).expect("has called");
            let calls: Vec<_> = calls_of("acme", ledger).collect();
            let verdict = check_fencing(&calls);
            assert_eq!(verdict.accepted_stale, stale, "{verdict:?}");
            assert_eq!(verdict.passed(), is_checking);
            let vms: Vec<_> = vms_of("acme", ledger, DomainTime(2_000)).collect();
            assert_eq!(check_vms(&vms, &twins()).doubled, doubled);
        });
    }
}

/// What a cloud that is served says after a takeover, and what it says of itself.
async fn served_record(folder: &Path, is_checking: bool) -> (CloudRecord, CloudRecord) {
    let cloud = RecordedCloud::open(folder, config(is_checking)).await;
    let cloud = cloud.expect("it opens");
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("an address");
    let router = router(CloudService::new(cloud.clone(), 1));
    let (stop, stopped) = oneshot::channel::<()>();
    let stopped = async move { drop(stopped.await) };
    let serving = serve(listener, router, 4, Duration::from_secs(5), stopped);
    let reading = async {
        let driver = RemoteCloud::connect(&address.to_string()).expect("an address");
        take_over(&driver).await;
        let record = CloudRecord::read(&driver, Some(DomainTime(2_000))).await;
        drop(stop);
        record.expect("it answers")
    };
    let (cut_off, record) = tokio::join!(serving, reading);
    assert_eq!(cut_off, 0);
    let own = cloud.cloud().with_cloud(|cloud| {
        let ledger = cloud.ledger(&acme()).expect("has called");
        CloudRecord {
            calls: calls_of("acme", ledger).collect(),
            vms: vms_of("acme", ledger, DomainTime(2_000)).collect(),
            unrecorded: 0,
        }
    });
    (record, own)
}

#[tokio::test]
async fn a_cloud_in_another_process_is_judged_by_the_same_rules() {
    for (is_checking, stale, refused, doubled) in [(true, 0, 2, 0), (false, 2, 0, 1)] {
        let folder = tempfile::tempdir().expect("a folder");
        let (record, own) = served_record(folder.path(), is_checking).await;
        assert_eq!(record, own, "nothing is lost on the way");
        let fencing = record.check_fencing();
        assert_eq!(fencing.calls, 4);
        assert_eq!(
            (fencing.accepted_stale, fencing.refused_stale),
            (stale, refused),
            "{fencing:?}"
        );
        assert_eq!(fencing.passed(), is_checking);
        let vms = record.check_vms(&twins());
        assert_eq!(vms.doubled, doubled, "{vms:?}");
        assert_eq!(vms.passed(), is_checking, "{vms:?}");
        let text = serde_json::to_string(&record).expect("plain data");
        assert_eq!(
            serde_json::from_str::<CloudRecord>(&text).ok(),
            Some(record)
        );
    }
}

#[tokio::test]
async fn a_cloud_that_is_away_is_no_empty_record() {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("an address").to_string();
    drop(listener);
    let driver = RemoteCloud::connect(&address).expect("an address");
    assert!(CloudRecord::read(&driver, None).await.is_err());
}

#[test]
fn calls_that_a_cloud_no_longer_keeps_are_no_pass() {
    let mut record = CloudRecord::default();
    assert!(record.check_fencing().passed());
    record.unrecorded = 1;
    assert!(!record.check_fencing().passed());
}
