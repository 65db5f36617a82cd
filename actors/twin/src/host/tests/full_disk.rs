//! A disk without room, and one that fails, under a host.

use super::*;
use crate::host::{HostStatus, HostSurroundings, RoomOptions};
use proptest::prelude::*;
use std::collections::BTreeSet;
use std::time::Duration;
use tokio::time::timeout;

/// Generous: a wait that ends here has failed.
const DEADLINE: Duration = Duration::from_secs(30);

const RESERVE: u64 = 10_000;

fn open_log(disk: &FaultDisk) -> Arc<FileLog> {
    let options = LogOptions {
        segment_bytes_max: 2_000,
        ..LogOptions::default()
    };
    let clock = Arc::new(SystemMonotonicClock::start());
    let (log, _) = FileLog::open_on(Arc::new(disk.clone()), options, Arc::new(NoObserver), clock)
        .expect("the log opens");
    Arc::new(log)
}

/// A host on the faulty disk, with pauses so short that a test need not wait for them.
fn open_host(disk: &FaultDisk, log: Arc<FileLog>, reserve_bytes: u64) -> TwinHost {
    let surroundings = HostSurroundings {
        room: Arc::new(disk.clone()),
        clock: Arc::new(SystemMonotonicClock::start()),
    };
    let room = RoomOptions {
        reserve_bytes,
        margin_bytes: 1_000,
        pause_min: Duration::from_millis(1),
        pause_max: Duration::from_millis(4),
        ..RoomOptions::default()
    };
    let options = HostOptions {
        room,
        ..HostOptions::default()
    };
    let opened = TwinHost::open_in(log, memory(), surroundings, options);
    opened.expect("the host opens").0
}

async fn wait_for(host: &TwinHost, wanted: impl FnMut(&HostStatus) -> bool) -> HostStatus {
    let mut status = host.watch_status();
    let found = timeout(DEADLINE, status.wait_for(wanted)).await;
    let found = found.expect("in time").expect("the host lives");
    found.clone()
}

async fn ingest_hour(host: &TwinHost, hour: i64) -> Result<u32, HostError> {
    let sample = request("acme", hours(hour + 1), &[(hours(hour), hour)]);
    Ok(host.ingest(sample).await?.stored)
}

fn samples_of(host: &TwinHost) -> u64 {
    let counters = host.read(&customer("acme"), TwinState::counters);
    counters.map_or(0, |counters| counters.samples)
}

#[tokio::test]
async fn a_disk_that_fills_up_in_mid_write_makes_the_host_read_only_until_there_is_room() {
    let disk = FaultDisk::new(1);
    let log = open_log(&disk);
    let host = open_host(&disk, Arc::clone(&log), 0);
    assert_eq!(ingest_hour(&host, 0).await.expect("stored"), 1);
    assert_eq!(host.status(), HostStatus::ReadWrite);
    // Room for a part of the next write.
    disk.leave_room(Some(30));
    let error = ingest_hour(&host, 1).await.expect_err("refused");
    assert!(matches!(error, HostError::ReadOnly { .. }), "{error}");
    assert!(!error.is_outcome_unknown());
    assert_eq!(error.code(), WireErrorCode::Unavailable);
    let text = error.to_string();
    assert!(text.contains("disk is full"), "{text}");
    assert_eq!(samples_of(&host), 1, "reads go on and show what was kept");
    let status = wait_for(&host, |status| {
        matches!(status, HostStatus::ReadOnly { .. })
    });
    let HostStatus::ReadOnly { free_bytes, .. } = status.await else {
        panic!("it was waited for");
    };
    assert_eq!(free_bytes, Some(30), "what was cut off is free again");
    disk.leave_room(None);
    wait_for(&host, |status| *status == HostStatus::ReadWrite).await;
    assert_eq!(ingest_hour(&host, 1).await.expect("stored"), 1);
    drop((host, log));
    disk.crash();
    let host = open_host(&disk, open_log(&disk), 0);
    assert_eq!(samples_of(&host), 2);
}

#[tokio::test]
async fn a_host_stops_at_its_reserve_and_the_log_is_not_even_asked() {
    let disk = FaultDisk::new(1);
    let log = open_log(&disk);
    let host = open_host(&disk, Arc::clone(&log), RESERVE);
    disk.leave_room(Some(RESERVE - 1));
    let error = ingest_hour(&host, 0).await.expect_err("refused");
    let text = error.to_string();
    assert!(
        text.contains("9999 bytes left, 10000 must stay free"),
        "{text}"
    );
    assert_eq!((log.metrics().refused, log.last_index().get()), (0, 0));
    // Enough to go on, but not to go on for long: the host does not waver.
    disk.leave_room(Some(RESERVE + 999));
    wait_for(&host, |status| match status {
        HostStatus::ReadOnly { reason, .. } => reason.contains("10999 bytes left, 11000"),
        _ => false,
    })
    .await;
    disk.leave_room(Some(RESERVE + 1_000));
    wait_for(&host, |status| *status == HostStatus::ReadWrite).await;
    assert_eq!(ingest_hour(&host, 0).await.expect("stored"), 1);
}

#[tokio::test]
async fn a_failed_sync_ends_the_host_for_good_whatever_room_there_is() {
    let disk = FaultDisk::new(1);
    let log = open_log(&disk);
    let host = open_host(&disk, Arc::clone(&log), 0);
    assert_eq!(ingest_hour(&host, 0).await.expect("stored"), 1);
    // The write succeeds, its sync says that there is no space.
    disk.arm(1, Fault::Error);
    let error = ingest_hour(&host, 1).await.expect_err("failed");
    assert!(error.is_outcome_unknown(), "{error}");
    let status = wait_for(&host, |status| matches!(status, HostStatus::Failed { .. })).await;
    let error = ingest_hour(&host, 2).await.expect_err("failed");
    assert!(matches!(error, HostError::Log(_)), "{error}");
    assert_eq!(host.status(), status);
    assert_eq!(samples_of(&host), 1);
}

/// What a host does between two starts.
#[derive(Clone, Debug)]
struct Life {
    rooms: Vec<Option<u64>>,
    is_cut: bool,
}

fn life() -> impl Strategy<Value = Life> {
    let rooms = prop::collection::vec(prop::option::of(0_u64..600), 1..16);
    (rooms, any::<bool>()).prop_map(|(rooms, is_cut)| Life { rooms, is_cut })
}

/// Lives through one life; every acknowledged hour is noted.
async fn live(disk: &FaultDisk, life: &Life, hour: &mut i64, kept: &mut BTreeSet<i64>) {
    let host = open_host(disk, open_log(disk), 0);
    assert_eq!(
        samples_of(&host),
        kept.len() as u64,
        "exactly what was kept"
    );
    for room in &life.rooms {
        disk.leave_room(*room);
        *hour += 1;
        match ingest_hour(&host, *hour).await {
            Ok(stored) => {
                assert_eq!(stored, 1);
                kept.insert(*hour);
            }
            Err(HostError::ReadOnly { .. }) => {
                disk.leave_room(None);
                wait_for(&host, |status| *status == HostStatus::ReadWrite).await;
            }
            Err(error) => panic!("{error}"),
        }
    }
    disk.leave_room(None);
    drop(host);
    if life.is_cut {
        disk.crash();
    } else {
        disk.kill();
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(60))]

    #[test]
    fn what_a_full_disk_refuses_is_not_there_and_what_it_took_is(
        seed in any::<u64>(),
        lives in prop::collection::vec(life(), 1..4),
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build();
        runtime.expect("a runtime").block_on(async {
            let disk = FaultDisk::new(seed);
            let (mut hour, mut kept) = (0, BTreeSet::new());
            for life in &lives {
                live(&disk, life, &mut hour, &mut kept).await;
            }
            let host = open_host(&disk, open_log(&disk), 0);
            let mut found = BTreeSet::new();
            for at in 0..=hour {
                let means = host.read(&customer("acme"), |state| {
                    state.interval_means(&series("typeA", "vm_count"), hours(at), Seconds(3_600), 1)
                });
                if means.is_some_and(|means| means == [Some(vms(at))]) {
                    found.insert(at);
                }
            }
            assert_eq!(found, kept);
            assert_eq!(samples_of(&host), kept.len() as u64);
        });
    }
}
