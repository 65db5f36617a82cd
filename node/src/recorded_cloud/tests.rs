//! The recorded cloud: the same after a restart, in whatever order it is called.

use super::*;
use std::fmt::Write as _;
use twinscale_provisioner::conformance::{self, DomainTimeTarget};
use twinscale_provisioner::simcloud::{CallRecord, Ledger, SimCloud};

fn context(customer: &str, now: i64) -> CallContext {
    CallContext {
        customer: CustomerId::new(customer).expect("an id"),
        generation: Generation(1),
        now: DomainTime(now),
    }
}

fn spec(vm: u64) -> VmSpec {
    VmSpec {
        vm: VmId(vm),
        tier: TierName::new("web").expect("an id"),
        vm_type: VmTypeId::new("small").expect("an id"),
        price_per_hour: MicroDollars(96_000),
        minimum_bill: Seconds(60),
    }
}

#[tokio::test]
async fn a_cloud_that_is_opened_again_runs_and_bills_the_same() {
    let folder = tempfile::tempdir().expect("a folder");
    let open = || RecordedCloud::open(folder.path(), SimCloudConfig::with_seed(3));
    let cloud = open().await.expect("it opens");
    let (one, two) = (context("one", 1_000), context("two", 1_100));
    for vm in 1..=5 {
        cloud.launch(&one, &spec(vm)).await.expect("it starts");
    }
    cloud.launch(&two, &spec(1)).await.expect("it starts");
    let later = context("one", 4_600);
    cloud.terminate(&later, VmId(2)).await.expect("it ends");
    let at = DomainTime(10_000);
    let of =
        |cloud: &SimCloud, customer| (cloud.allocation(customer, at), cloud.cost(customer, at));
    let both = |cloud: &mut SimCloud| [&one, &two].map(|context| of(cloud, &context.customer));
    let seen = |cloud: &RecordedCloud| cloud.cloud().with_cloud(both);
    let before = seen(&cloud);
    drop(cloud);
    let again = open().await.expect("it opens again");
    assert_eq!(seen(&again), before);
    let listing = again
        .list(&one.customer, DomainTime(10_000))
        .await
        .expect("it lists");
    assert_eq!(listing.allocation.vms.len(), 4);
    again
        .launch(&later, &spec(2))
        .await
        .expect("its key is known");
    assert_eq!(
        seen(&again)[0].0,
        before[0].0,
        "what has ended does not come back"
    );
}

fn ledger(cloud: &RecordedCloud, customer: &CustomerId) -> Ledger {
    let ledger = |cloud: &mut SimCloud| cloud.ledger(customer).cloned();
    cloud.cloud().with_cloud(ledger).expect("has called")
}

/// Calls without their places: listings take places, and are not written.
fn changes(ledger: &Ledger) -> Vec<CallRecord> {
    let changes = ledger.calls().filter(|call| call.generation.is_some());
    let unplaced = changes.map(|call| CallRecord {
        sequence: 0,
        ..call.clone()
    });
    unplaced.collect()
}

#[tokio::test]
async fn changes_of_leaders_at_once_are_the_same_after_a_restart() {
    let folder = tempfile::tempdir().expect("a folder");
    let open = || RecordedCloud::open(folder.path(), SimCloudConfig::with_seed(3));
    let cloud = open().await.expect("it opens");
    let calls = (0..60_u64).map(|call| {
        let cloud = cloud.clone();
        async move {
            // Clocks that differ, generations that overtake each other, listings in between.
            let context = CallContext {
                generation: Generation(call % 5),
                ..context(
                    "one",
                    1_000 + i64::try_from(call * 37 % 100).expect("small"),
                )
            };
            let done = match call % 3 {
                0 => cloud.terminate(&context, VmId(call)).await,
                _ => cloud.launch(&context, &spec(call)).await,
            };
            let listed = cloud.list(&context.customer, context.now).await;
            assert!(listed.is_ok(), "{listed:?}");
            done
        }
    });
    let done = futures::future::join_all(calls).await;
    let refused = done.iter().filter(|done| done.is_err()).count();
    assert!((1..60).contains(&refused), "{refused} of 60 were stale");
    let customer = context("one", 0).customer;
    let before = ledger(&cloud, &customer);
    drop(cloud);
    let after = ledger(&open().await.expect("it opens again"), &customer);
    assert_eq!(after.vms(), before.vms());
    assert_eq!(changes(&after), changes(&before));
}

#[tokio::test]
async fn a_change_is_done_also_when_its_caller_gives_up() {
    let folder = tempfile::tempdir().expect("a folder");
    let cloud = RecordedCloud::open(folder.path(), SimCloudConfig::with_seed(3))
        .await
        .expect("it opens");
    let (context, spec) = (context("one", 1_000), spec(1));
    {
        let mut call = cloud.launch(&context, &spec);
        let begun = futures::poll!(&mut call);
        assert!(begun.is_pending(), "a sync takes longer");
    }
    let deadline = tokio::time::Instant::now() + std::time::Duration::from_mins(1);
    loop {
        let listing = cloud.list(&context.customer, context.now).await;
        if listing.expect("it lists").allocation.vms.len() == 1 {
            break;
        }
        assert!(tokio::time::Instant::now() < deadline, "it never starts");
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn a_cloud_with_faults_is_refused() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut config = SimCloudConfig::with_seed(3);
    config.faults.throttled = twinscale_protocol::PartsPerMillion(1);
    let refused = RecordedCloud::open(folder.path(), config).await;
    assert!(refused.is_err());
}

#[tokio::test]
async fn the_recorded_cloud_conforms() {
    let folder = tempfile::tempdir().expect("a folder");
    let opened = RecordedCloud::open(folder.path(), SimCloudConfig::with_seed(3)).await;
    let mut target = DomainTimeTarget {
        driver: opened.expect("it opens"),
        now: DomainTime(10_000),
        vm_types: ["small", "large"].map(|name| VmTypeId::new(name).expect("an id")),
        start_max: Seconds(3_000),
    };
    let passed = conformance::run(&mut target).await;
    assert_eq!(passed.map(|names| names.len()), Ok(11));
}

#[test]
fn the_bytes_of_a_change_stay_the_same() {
    let record = ChangeRecord {
        customer: CustomerId::new("one").expect("an id"),
        generation: Generation(1),
        now: DomainTime(1_000),
        change: Change::Terminate { vm: VmId(7) },
    };
    let bytes = envelope::seal(CHANGE, &record).expect("it seals");
    let mut hex = String::new();
    for byte in &bytes {
        write!(hex, "{byte:02x}").expect("text grows");
    }
    assert_eq!(hex, GOLDEN);
    let read: ChangeRecord = envelope::open(CHANGE, &bytes).expect("it opens");
    assert_eq!(read, record);
}

const GOLDEN: &str = "54575343010000030a000000dcf554c7036f6e6501fbd0070107";
