//! Appends per second of a log beside what the disk under it allows.

use std::path::Path;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use crate::clock::MonotonicClock;
use crate::command::{Command, CommandLog};
use crate::disk::{Disk, FsDisk};
use crate::error::LogError;
use crate::file_log::FileLog;
use crate::format::RECORD_HEADER_BYTES;
use crate::metrics::NoObserver;
use crate::options::LogOptions;

/// How to measure.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BenchOptions {
    /// The payload of each command, in bytes.
    pub payload_bytes: usize,
    /// How long each of the measurements takes.
    pub duration: Duration,
}

impl Default for BenchOptions {
    /// 100-byte commands, one second per measurement.
    fn default() -> Self {
        Self {
            payload_bytes: 100,
            duration: Duration::from_secs(1),
        }
    }
}

/// Rates on one disk, measured one after the other.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct BenchReport {
    /// Write plus fdatasync of one record at a time: the limit for one proposer.
    pub raw_syncs_per_second: f64,
    /// Acknowledged appends per second with one proposer that waits for each reply.
    pub appends_per_second_1: f64,
    /// Acknowledged appends per second with 64 proposers, each waiting for its replies.
    pub appends_per_second_64: f64,
    /// Mean number of proposals that shared one fdatasync with 64 proposers.
    pub proposals_per_sync_64: f64,
    /// The payload of each command, in bytes.
    pub payload_bytes: usize,
}

/// Measures in a scratch directory, which is left with the files that were written.
///
/// # Errors
/// When the disk refuses, or the directory holds a log already.
pub fn measure(
    directory: &Path,
    options: BenchOptions,
    clock: &Arc<dyn MonotonicClock>,
) -> Result<BenchReport, LogError> {
    let raw_syncs_per_second = measure_raw(directory, options, clock)?;
    let (appends_per_second_1, _) = measure_log(&directory.join("log-1"), options, clock, 1)?;
    let (appends_per_second_64, proposals_per_sync_64) =
        measure_log(&directory.join("log-64"), options, clock, 64)?;
    Ok(BenchReport {
        raw_syncs_per_second,
        appends_per_second_1,
        appends_per_second_64,
        proposals_per_sync_64,
        payload_bytes: options.payload_bytes,
    })
}

fn measure_raw(
    directory: &Path,
    options: BenchOptions,
    clock: &Arc<dyn MonotonicClock>,
) -> Result<f64, LogError> {
    let directory = directory.join("raw");
    let io_error = |error| LogError::io("measure in", directory.clone(), error);
    let disk = FsDisk::at(&directory).map_err(io_error)?;
    let file = disk.create("raw").map_err(io_error)?;
    let record = vec![0x5a; options.payload_bytes + RECORD_HEADER_BYTES];
    let started = clock.elapsed();
    let mut writes = 0_u64;
    loop {
        file.write_at(writes * record.len() as u64, &record)
            .and_then(|()| file.sync_data())
            .map_err(io_error)?;
        writes += 1;
        let elapsed = clock.elapsed().saturating_sub(started);
        if elapsed >= options.duration {
            return Ok(writes as f64 / elapsed.as_secs_f64());
        }
    }
}

fn measure_log(
    directory: &Path,
    options: BenchOptions,
    clock: &Arc<dyn MonotonicClock>,
    proposers: usize,
) -> Result<(f64, f64), LogError> {
    let io_error = |error| LogError::io("measure in", directory.to_owned(), error);
    let disk = FsDisk::at(directory).map_err(io_error)?;
    let (log, _) = FileLog::open_on(
        Arc::new(disk),
        LogOptions::default(),
        Arc::new(NoObserver),
        Arc::clone(clock),
    )?;
    let started = clock.elapsed();
    let deadline = started + options.duration;
    let outcomes: Vec<Result<u64, LogError>> = thread::scope(|scope| {
        let running: Vec<_> = (0..proposers)
            .map(|_| scope.spawn(|| propose_until(&log, options.payload_bytes, clock, deadline)))
            .collect();
        running
            .into_iter()
            .map(|proposer| proposer.join().unwrap_or(Err(LogError::WriterGone)))
            .collect()
    });
    let elapsed = clock.elapsed().saturating_sub(started);
    let mut appends = 0_u64;
    for outcome in outcomes {
        appends += outcome?;
    }
    let metrics = log.metrics();
    log.close()?;
    Ok((
        appends as f64 / elapsed.as_secs_f64(),
        metrics.proposals as f64 / metrics.batches.max(1) as f64,
    ))
}

fn propose_until(
    log: &FileLog,
    payload_bytes: usize,
    clock: &Arc<dyn MonotonicClock>,
    deadline: Duration,
) -> Result<u64, LogError> {
    let mut appends = 0;
    while clock.elapsed() < deadline {
        log.propose(vec![Command {
            kind: 1,
            payload: vec![0x5a; payload_bytes],
        }])
        .wait()?;
        appends += 1;
    }
    Ok(appends)
}
