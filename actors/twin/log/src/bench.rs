//! Appends per second of a log beside what the disk under it allows.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use crate::clock::MonotonicClock;
use crate::command::{Command, CommandLog};
use crate::disk::{Disk, DiskFile, FsDisk};
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
    /// How long each of the measurements takes, all slices together.
    pub duration: Duration,
    /// Slices of each measurement; they alternate, so that a disk that slows down hits all of them.
    pub slices: u32,
}

impl Default for BenchOptions {
    /// 100-byte commands, one second per measurement in ten slices.
    fn default() -> Self {
        Self {
            payload_bytes: 100,
            duration: Duration::from_secs(1),
            slices: 10,
        }
    }
}

/// Rates on one disk, measured in alternating slices.
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
    let slices = options.slices.max(1);
    let slice = Slice {
        payload_bytes: options.payload_bytes,
        duration: options.duration / slices,
        clock,
    };
    let mut raw = RawRecords::create(&directory.join("raw"), options.payload_bytes)?;
    let log_1 = open(&directory.join("log-1"), clock)?;
    let log_64 = open(&directory.join("log-64"), clock)?;
    let (mut raw_rate, mut rate_1, mut rate_64) = <(Rate, Rate, Rate)>::default();
    for _ in 0..slices {
        raw_rate.add(raw.write_for(&slice)?);
        rate_1.add(slice.propose(&log_1, 1)?);
        rate_64.add(slice.propose(&log_64, 64)?);
    }
    let metrics = log_64.metrics();
    log_1.close()?;
    log_64.close()?;
    Ok(BenchReport {
        raw_syncs_per_second: raw_rate.per_second(),
        appends_per_second_1: rate_1.per_second(),
        appends_per_second_64: rate_64.per_second(),
        proposals_per_sync_64: metrics.proposals as f64 / metrics.batches.max(1) as f64,
        payload_bytes: options.payload_bytes,
    })
}

/// How often something was done in how much time.
#[derive(Clone, Copy, Debug, Default)]
struct Rate {
    count: u64,
    took: Duration,
}

impl Rate {
    fn add(&mut self, other: Self) {
        self.count = self.count.saturating_add(other.count);
        self.took = self.took.saturating_add(other.took);
    }

    fn per_second(self) -> f64 {
        self.count as f64 / self.took.as_secs_f64().max(1e-9)
    }
}

/// Records that are written and synced one by one, past the log.
struct RawRecords {
    directory: PathBuf,
    file: Arc<dyn DiskFile>,
    record: Vec<u8>,
    written: u64,
}

impl RawRecords {
    fn create(directory: &Path, payload_bytes: usize) -> Result<Self, LogError> {
        let io_error = |error| LogError::io("measure in", directory.to_owned(), error);
        let disk = FsDisk::at(directory).map_err(io_error)?;
        Ok(Self {
            file: disk.create("raw").map_err(io_error)?,
            directory: directory.to_owned(),
            record: vec![0x5a; payload_bytes + RECORD_HEADER_BYTES],
            written: 0,
        })
    }

    fn write_for(&mut self, slice: &Slice<'_>) -> Result<Rate, LogError> {
        let started = slice.clock.elapsed();
        let mut rate = Rate::default();
        while rate.took < slice.duration {
            self.file
                .write_at(self.written, &self.record)
                .and_then(|()| self.file.sync_data())
                .map_err(|error| LogError::io("measure in", self.directory.clone(), error))?;
            self.written += self.record.len() as u64;
            rate.count += 1;
            rate.took = slice.clock.elapsed().saturating_sub(started);
        }
        Ok(rate)
    }
}

fn open(directory: &Path, clock: &Arc<dyn MonotonicClock>) -> Result<FileLog, LogError> {
    let io_error = |error| LogError::io("measure in", directory.to_owned(), error);
    let disk = FsDisk::at(directory).map_err(io_error)?;
    let (log, _) = FileLog::open_on(
        Arc::new(disk),
        LogOptions::default(),
        Arc::new(NoObserver),
        Arc::clone(clock),
    )?;
    Ok(log)
}

/// One slice of a measurement.
struct Slice<'a> {
    payload_bytes: usize,
    duration: Duration,
    clock: &'a Arc<dyn MonotonicClock>,
}

impl Slice<'_> {
    fn propose(&self, log: &FileLog, proposers: usize) -> Result<Rate, LogError> {
        let started = self.clock.elapsed();
        let deadline = started + self.duration;
        let outcomes: Vec<Result<u64, LogError>> = thread::scope(|scope| {
            let running: Vec<_> = (0..proposers)
                .map(|_| scope.spawn(|| self.propose_until(log, deadline)))
                .collect();
            running
                .into_iter()
                .map(|proposer| proposer.join().unwrap_or(Err(LogError::WriterGone)))
                .collect()
        });
        let took = self.clock.elapsed().saturating_sub(started);
        let mut count = 0_u64;
        for outcome in outcomes {
            count += outcome?;
        }
        Ok(Rate { count, took })
    }

    fn propose_until(&self, log: &FileLog, deadline: Duration) -> Result<u64, LogError> {
        let mut appends = 0;
        while self.clock.elapsed() < deadline {
            log.propose(vec![Command {
                kind: 1,
                payload: vec![0x5a; self.payload_bytes],
            }])
            .wait()?;
            appends += 1;
        }
        Ok(appends)
    }
}
