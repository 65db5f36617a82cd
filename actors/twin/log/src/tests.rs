//! Tests of the whole log on real files and on the faulty disk.

mod damage;
mod full_disk;
mod group_commit;
mod model;
mod power_cuts;
mod real_files;

use std::sync::Arc;

use crate::clock::SystemMonotonicClock;
use crate::command::{Command, CommandLog, Entry, LogIndex, ReadLimits};
use crate::disk::Disk;
use crate::error::LogError;
use crate::file_log::FileLog;
use crate::metrics::NoObserver;
use crate::options::LogOptions;
use crate::recovery::OpenReport;

/// Segments so small that a few commands fill one.
fn small_options() -> LogOptions {
    LogOptions {
        segment_bytes_max: 400,
        ..LogOptions::default()
    }
}

fn open_small(disk: &(impl Disk + Clone + 'static)) -> Result<(FileLog, OpenReport), LogError> {
    FileLog::open_on(
        Arc::new(disk.clone()),
        small_options(),
        Arc::new(NoObserver),
        Arc::new(SystemMonotonicClock::start()),
    )
}

/// A command that is told from all others by its id.
fn command(id: u64, filler_bytes: usize) -> Command {
    let mut payload = id.to_le_bytes().to_vec();
    payload.resize(8 + filler_bytes, u8::try_from(id % 251).unwrap());
    Command {
        kind: u16::try_from(id % 7).unwrap(),
        payload,
    }
}

fn read_all(log: &FileLog) -> Vec<Entry> {
    let limits = ReadLimits {
        entries_max: 3,
        payload_bytes_max: 200,
    };
    let mut entries: Vec<Entry> = Vec::new();
    let mut next = log.first_index();
    loop {
        let chunk = log.read(next, limits).unwrap();
        let Some(last) = chunk.last() else {
            return entries;
        };
        next = last.index.next();
        entries.extend(chunk);
    }
}

fn indexes(entries: &[Entry]) -> Vec<u64> {
    entries.iter().map(|entry| entry.index.get()).collect()
}

fn append_each(log: &FileLog, ids: std::ops::Range<u64>) -> LogIndex {
    let mut last = log.last_index();
    for id in ids {
        last = log
            .propose(vec![command(id, 60)])
            .wait()
            .unwrap()
            .last_index;
    }
    last
}
