//! The log on the file system of the machine.

use std::sync::Arc;
use std::time::Duration;

use super::{append_each, command, indexes, read_all, small_options};
use crate::bench::{BenchOptions, measure};
use crate::clock::{MonotonicClock, SystemMonotonicClock};
use crate::command::{CommandLog, DurablePoint, LogIndex};
use crate::error::LogError;
use crate::file_log::FileLog;

#[test]
fn a_log_is_written_read_purged_and_opened_again() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("a/log");
    let (log, report) = FileLog::open(&path, small_options()).unwrap();
    assert_eq!((report.last_index, report.generation), (LogIndex::ZERO, 1));
    append_each(&log, 0..30);
    let written = read_all(&log);
    assert_eq!(indexes(&written), (1..=30).collect::<Vec<_>>());
    let first = log
        .purge(DurablePoint::snapshot_fsynced_through(LogIndex::new(10)))
        .unwrap();
    assert_eq!(first.get(), 9);
    log.close().unwrap();
    let (log, report) = FileLog::open(&path, small_options()).unwrap();
    assert_eq!(read_all(&log), written[8..]);
    assert_eq!(report.generation, 2);
    assert_eq!(report.torn_tail, None);
    let place = log.propose(vec![command(99, 4)]).wait().unwrap();
    assert_eq!((place.first_index.get(), place.generation), (31, 2));
}

#[test]
fn a_second_opener_of_the_directory_is_refused() {
    let directory = tempfile::tempdir().unwrap();
    let (log, _) = FileLog::open(directory.path(), small_options()).unwrap();
    let error = FileLog::open(directory.path(), small_options()).unwrap_err();
    let LogError::InUse { holder, .. } = &error else {
        panic!("{error}");
    };
    assert_eq!(*holder, Some(std::process::id()));
    let text = error.to_string();
    assert!(
        text.contains(&directory.path().display().to_string()),
        "{text}"
    );
    assert!(text.contains("process"), "{text}");
    log.close().unwrap();
    FileLog::open(directory.path(), small_options()).unwrap();
}

#[test]
fn reads_start_anywhere_in_a_large_segment() {
    let directory = tempfile::tempdir().unwrap();
    let (log, _) = FileLog::open(directory.path(), crate::LogOptions::default()).unwrap();
    for batch in 0..40_u64 {
        let commands = (0..100).map(|at| command(batch * 100 + at, 200)).collect();
        log.propose(commands).wait().unwrap();
    }
    let limits = crate::ReadLimits {
        entries_max: 2,
        payload_bytes_max: usize::MAX,
    };
    for opened in [false, true] {
        let reopened = opened.then(|| {
            let copy = tempfile::tempdir().unwrap();
            for entry in std::fs::read_dir(directory.path()).unwrap() {
                let entry = entry.unwrap();
                std::fs::copy(entry.path(), copy.path().join(entry.file_name())).unwrap();
            }
            FileLog::open(copy.path(), crate::LogOptions::default())
                .unwrap()
                .0
        });
        let log = reopened.as_ref().unwrap_or(&log);
        for from in [1, 2, 270, 271, 1_999, 3_999] {
            let entries = log.read(LogIndex::new(from), limits).unwrap();
            assert_eq!(indexes(&entries), vec![from, from + 1]);
            assert_eq!(entries[0].payload, command(from - 1, 200).payload);
        }
        assert_eq!(log.read(LogIndex::new(4_000), limits).unwrap().len(), 1);
        assert!(log.read(LogIndex::new(4_001), limits).unwrap().is_empty());
    }
}

#[test]
fn the_benchmark_measures_all_three_rates() {
    let directory = tempfile::tempdir().unwrap();
    let clock: Arc<dyn MonotonicClock> = Arc::new(SystemMonotonicClock::start());
    let options = BenchOptions {
        duration: Duration::from_millis(50),
        ..BenchOptions::default()
    };
    let report = measure(directory.path(), options, &clock).unwrap();
    assert!(report.raw_syncs_per_second > 0.0);
    assert!(report.appends_per_second_1 > 0.0);
    assert!(report.appends_per_second_64 > report.appends_per_second_1);
    assert!(report.proposals_per_sync_64 > 1.0);
}
