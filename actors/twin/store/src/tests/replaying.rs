//! Replay of a real log into a store.

use std::convert::Infallible;
use std::sync::Arc;

use twinscale_log::fault_disk::FaultDisk;
use twinscale_log::{
    Command, CommandLog, DurablePoint, Entry, FileLog, LogIndex, LogOptions, NoObserver,
    ReadLimits, SystemMonotonicClock,
};

use crate::batch::{Batch, Pending};
use crate::checked::{MemoryDisk, open_in_memory};
use crate::keys::node_key;
use crate::replay::{ReplayError, replay};
use crate::state_store::StateStore;

const LIMITS: ReadLimits = ReadLimits {
    entries_max: 7,
    payload_bytes_max: 1 << 20,
};

fn open_log(disk: &FaultDisk) -> FileLog {
    let options = LogOptions {
        segment_bytes_max: 300,
        ..LogOptions::default()
    };
    FileLog::open_on(
        Arc::new(disk.clone()),
        options,
        Arc::new(NoObserver),
        Arc::new(SystemMonotonicClock::start()),
    )
    .unwrap()
    .0
}

fn append(log: &FileLog, count: u64) {
    for number in 0..count {
        let payload = number.to_le_bytes().to_vec();
        log.propose(vec![Command { kind: 1, payload }])
            .wait()
            .unwrap();
    }
}

/// Counts entries under one key, so that each depends on the one before.
fn count(store: &dyn StateStore) -> impl FnMut(&Entry, &mut Batch) -> Result<(), Infallible> + '_ {
    |_, batch| {
        let key = node_key("count").build();
        let before = match batch.pending(&key) {
            Pending::Put(value) => value.to_vec(),
            Pending::Deleted | Pending::Unchanged => {
                store.get(&key).unwrap().unwrap_or_else(|| vec![0; 8])
            }
        };
        let before = u64::from_le_bytes(before.try_into().unwrap());
        batch.put(key, (before + 1).to_le_bytes());
        Ok(())
    }
}

fn counted(store: &dyn StateStore) -> u64 {
    let value = store.get(&node_key("count").build()).unwrap().unwrap();
    u64::from_le_bytes(value.try_into().unwrap())
}

#[test]
fn every_entry_is_applied_once_across_replays() {
    let log = open_log(&FaultDisk::new(1));
    let store = open_in_memory(&MemoryDisk::default()).unwrap();
    let report = replay(&log, &*store, LIMITS, &mut count(&*store)).unwrap();
    assert_eq!((report.entries, report.applied_after), (0, LogIndex::ZERO));
    append(&log, 30);
    let report = replay(&log, &*store, LIMITS, &mut count(&*store)).unwrap();
    assert_eq!((report.entries, report.batches), (30, 5));
    assert_eq!(counted(&*store), 30);
    append(&log, 5);
    let report = replay(&log, &*store, LIMITS, &mut count(&*store)).unwrap();
    assert_eq!(
        (report.applied_before.get(), report.applied_after.get()),
        (30, 35)
    );
    assert_eq!(counted(&*store), 35);
    assert_eq!(store.applied_index().get(), 35);
}

#[test]
fn a_log_that_ends_before_the_store_is_an_error() {
    let log = open_log(&FaultDisk::new(1));
    append(&log, 3);
    let store = open_in_memory(&MemoryDisk::default()).unwrap();
    store.apply(&Batch::new(), LogIndex::new(4)).unwrap();
    let error = replay(&log, &*store, LIMITS, &mut count(&*store)).unwrap_err();
    assert!(matches!(error, ReplayError::LogLostEnd { .. }), "{error}");
    assert!(error.to_string().contains("through 4"), "{error}");
}

#[test]
fn a_log_that_starts_behind_the_store_asks_for_a_snapshot() {
    let log = open_log(&FaultDisk::new(1));
    append(&log, 30);
    let first = log
        .purge(DurablePoint::snapshot_fsynced_through(LogIndex::new(20)))
        .unwrap();
    assert!(first.get() > 1);
    let store = open_in_memory(&MemoryDisk::default()).unwrap();
    let error = replay(&log, &*store, LIMITS, &mut count(&*store)).unwrap_err();
    assert!(
        matches!(error, ReplayError::SnapshotNeeded { .. }),
        "{error}"
    );
    store.apply(&Batch::new(), first.previous()).unwrap();
    let report = replay(&log, &*store, LIMITS, &mut count(&*store)).unwrap();
    assert_eq!(report.entries, 31 - first.get());
}

#[test]
fn an_entry_that_cannot_be_applied_stops_at_the_batch_before() {
    let log = open_log(&FaultDisk::new(1));
    append(&log, 20);
    let store = open_in_memory(&MemoryDisk::default()).unwrap();
    let error = replay(&log, &*store, LIMITS, &mut |entry, _| {
        if entry.index.get() == 10 {
            Err(std::fmt::Error)
        } else {
            Ok(())
        }
    })
    .unwrap_err();
    assert!(matches!(error, ReplayError::Apply { index, .. } if index.get() == 10));
    assert_eq!(store.applied_index().get(), 7);
}
