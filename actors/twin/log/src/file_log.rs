//! The log of one voter: many proposers, one writer thread, one fdatasync per batch.

use std::io;
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{self, Receiver, SyncSender, TrySendError};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};

use tokio::sync::oneshot;

use crate::append::Appender;
use crate::clock::{MonotonicClock, SystemMonotonicClock};
use crate::command::{
    Command, CommandLog, Committed, DurablePoint, Entry, LogIndex, Proposal, ReadLimits,
};
use crate::disk::{Disk, DiskLock, FsDisk, Locking};
use crate::error::LogError;
use crate::format::{PAYLOAD_BYTES_MAX, RECORD_HEADER_BYTES};
use crate::metrics::{BatchCommitted, Counters, LogMetrics, LogObserver, NoObserver};
use crate::options::LogOptions;
use crate::recovery::{OpenReport, recover};
use crate::refusal::remove_if_there;
use crate::segment::{SegmentSpan, SegmentTable};

/// Name of the file whose lock is held by the process that has the directory.
pub const LOCK_NAME: &str = "LOCK";

/// A proposal on its way to the writer.
struct Queued {
    commands: Vec<Command>,
    bytes: usize,
    reply: oneshot::Sender<Result<Committed, LogError>>,
}

/// What proposers, readers and the writer share.
#[derive(Debug)]
struct Shared {
    disk: Arc<dyn Disk>,
    table: Arc<SegmentTable>,
    queued_bytes: AtomicUsize,
    counters: Counters,
    generation: u64,
    /// Serialises purges; holds why there are no more.
    purge: Mutex<Option<LogError>>,
    /// Given up last, after the writer ended.
    _lock: Box<dyn DiskLock>,
}

/// An fsynced log in one directory with a single voter: this process.
///
/// Dropping it lets the writer finish what is queued and joins it, which blocks for one fsync.
#[derive(Debug)]
pub struct FileLog {
    shared: Arc<Shared>,
    options: LogOptions,
    sender: Option<SyncSender<Queued>>,
    writer: Option<JoinHandle<Result<(), LogError>>>,
}

impl FileLog {
    /// Opens the log in a directory of the file system, making it when absent.
    ///
    /// # Errors
    /// [`LogError::InUse`], [`LogError::NotWritable`], [`LogError::FormatTooNew`], [`LogError::Corrupt`], [`LogError::Gap`],
    /// [`LogError::Truncated`] or [`LogError::Io`]; the files are then as they were.
    ///
    /// # Cost
    /// Reads and checks every byte of the log.
    pub fn open(directory: &Path, options: LogOptions) -> Result<(Self, OpenReport), LogError> {
        Self::open_observed(directory, options, Arc::new(NoObserver))
    }

    /// Opens the log in a directory of the file system, with an observer.
    ///
    /// # Errors
    /// Those of [`FileLog::open`].
    pub fn open_observed(
        directory: &Path,
        options: LogOptions,
        observer: Arc<dyn LogObserver>,
    ) -> Result<(Self, OpenReport), LogError> {
        let disk = FsDisk::at(directory)
            .map_err(|error| refused_directory("create log directory", directory, error))?;
        Self::open_on(
            Arc::new(disk),
            options,
            observer,
            Arc::new(SystemMonotonicClock::start()),
        )
    }

    /// Opens the log on any disk, with an observer and a clock for the latency figures.
    ///
    /// # Errors
    /// Those of [`FileLog::open`].
    pub fn open_on(
        disk: Arc<dyn Disk>,
        options: LogOptions,
        observer: Arc<dyn LogObserver>,
        clock: Arc<dyn MonotonicClock>,
    ) -> Result<(Self, OpenReport), LogError> {
        let lock = match disk.lock(LOCK_NAME) {
            Ok(Locking::Taken(lock)) => lock,
            Ok(Locking::Held { by }) => {
                return Err(LogError::InUse {
                    directory: disk.path_of(""),
                    holder: by,
                });
            }
            Err(error) => return Err(refused_directory("lock", &disk.path_of(""), error)),
        };
        let recovered = recover(&*disk)?;
        let generation = recovered.report.generation;
        let shared = Arc::new(Shared {
            table: Arc::new(SegmentTable::new(recovered.segments)),
            disk,
            queued_bytes: AtomicUsize::new(0),
            counters: Counters::default(),
            generation,
            purge: Mutex::new(None),
            _lock: lock,
        });
        let (sender, receiver) = mpsc::sync_channel(options.queue_proposals_max.max(1));
        let writer = Writer {
            appender: Appender::new(
                Arc::clone(&shared.disk),
                Arc::clone(&shared.table),
                options.segment_bytes_max,
                generation,
            ),
            shared: Arc::clone(&shared),
            receiver,
            batch_bytes_max: options.batch_bytes_max,
            observer,
            clock,
        };
        let writer = thread::Builder::new()
            .name("log-writer".to_owned())
            .spawn(move || writer.run())
            .map_err(|error| LogError::io("start the writer of", shared.disk.path_of(""), error))?;
        let log = Self {
            shared,
            options,
            sender: Some(sender),
            writer: Some(writer),
        };
        Ok((log, recovered.report))
    }

    /// Returns the totals since the log was opened.
    pub fn metrics(&self) -> LogMetrics {
        self.shared.counters.snapshot()
    }

    /// Returns the segments, oldest first: what a purge can free, and what it takes.
    pub fn segments(&self) -> Vec<SegmentSpan> {
        let segments = self.shared.table.view();
        segments
            .iter()
            .map(|segment| SegmentSpan {
                first_index: segment.first_index,
                next_index: segment.next_index,
                bytes: segment.end_offset,
            })
            .collect()
    }

    /// Finishes what is queued, records the end of the log and gives up its lock.
    ///
    /// # Errors
    /// When the end cannot be recorded; every acknowledged entry is durable all the same.
    pub fn close(mut self) -> Result<(), LogError> {
        self.finish()
    }

    fn finish(&mut self) -> Result<(), LogError> {
        self.sender = None;
        self.writer.take().map_or(Ok(()), |writer| {
            writer.join().unwrap_or(Err(LogError::WriterGone))
        })
    }

    fn check(&self, commands: &[Command]) -> Result<usize, LogError> {
        if commands.is_empty() {
            return Err(LogError::EmptyProposal);
        }
        let mut bytes = 0_usize;
        for command in commands {
            if command.payload.len() > PAYLOAD_BYTES_MAX {
                return Err(LogError::CommandTooLarge {
                    bytes: command.payload.len(),
                    limit: PAYLOAD_BYTES_MAX,
                });
            }
            bytes = bytes.saturating_add(RECORD_HEADER_BYTES + command.payload.len());
        }
        if bytes > self.options.queue_bytes_max {
            return Err(LogError::ProposalTooLarge {
                bytes,
                limit: self.options.queue_bytes_max,
            });
        }
        Ok(bytes)
    }

    fn enqueue(&self, commands: Vec<Command>) -> Result<Proposal, LogError> {
        let bytes = self.check(&commands)?;
        let sender = self.sender.as_ref().ok_or(LogError::Closed)?;
        let queued_before = self.shared.queued_bytes.fetch_add(bytes, Ordering::AcqRel);
        let (reply, receiver) = oneshot::channel();
        let sent = if queued_before.saturating_add(bytes) > self.options.queue_bytes_max {
            Err(self.overloaded())
        } else {
            let queued = Queued {
                commands,
                bytes,
                reply,
            };
            sender.try_send(queued).map_err(|error| match error {
                TrySendError::Full(_) => self.overloaded(),
                TrySendError::Disconnected(_) => LogError::WriterGone,
            })
        };
        if let Err(error) = sent {
            self.shared.queued_bytes.fetch_sub(bytes, Ordering::AcqRel);
            return Err(error);
        }
        Ok(Proposal::waiting(receiver))
    }

    /// Returns the oldest segment when all of it stands behind the point.
    fn purgeable(&self, behind: DurablePoint) -> Option<String> {
        let segments = self.shared.table.view();
        // The last entry always stays: it carries the generation and the last index.
        match (segments.front(), segments.get(1)) {
            (Some(oldest), Some(next))
                if oldest.next_index.previous() <= behind.index() && !next.is_empty() =>
            {
                Some(oldest.name.clone())
            }
            _ => None,
        }
    }

    fn overloaded(&self) -> LogError {
        self.shared.counters.count_overloaded();
        LogError::Overloaded {
            proposals_max: self.options.queue_proposals_max,
            bytes_max: self.options.queue_bytes_max,
        }
    }
}

/// Tells a directory that cannot be written from other errors: the remedy differs.
fn refused_directory(operation: &'static str, directory: &Path, error: io::Error) -> LogError {
    match error.kind() {
        io::ErrorKind::ReadOnlyFilesystem | io::ErrorKind::PermissionDenied => {
            LogError::NotWritable {
                directory: directory.to_owned(),
                source: Arc::new(error),
            }
        }
        _ => LogError::io(operation, directory.to_owned(), error),
    }
}

impl Drop for FileLog {
    fn drop(&mut self) {
        // Only the record of the end can fail here, and it merely guards against later loss.
        drop(self.finish());
    }
}

impl CommandLog for FileLog {
    fn propose(&self, commands: Vec<Command>) -> Proposal {
        self.enqueue(commands).unwrap_or_else(Proposal::refused)
    }

    fn read(&self, from: LogIndex, limits: ReadLimits) -> Result<Vec<Entry>, LogError> {
        self.shared.table.read(&*self.shared.disk, from, limits)
    }

    fn first_index(&self) -> LogIndex {
        self.shared.table.first_index()
    }

    fn last_index(&self) -> LogIndex {
        self.shared.table.next_index().previous()
    }

    fn generation(&self) -> u64 {
        self.shared.generation
    }

    fn purge(&self, behind: DurablePoint) -> Result<LogIndex, LogError> {
        let mut failed = self
            .shared
            .purge
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        let purge_error = |name: &str, error| {
            LogError::io("purge segment", self.shared.disk.path_of(name), error)
        };
        if let Some(error) = &*failed {
            return Err(error.clone());
        }
        while let Some(name) = self.purgeable(behind) {
            remove_if_there(&*self.shared.disk, &name)
                .map_err(|error| purge_error(&name, error))?;
            // One sync per segment keeps the oldest gone first, so that a crash leaves no gap. After one
            // that failed nobody knows whether this segment comes back, so none behind it may go.
            if let Err(error) = self.shared.disk.sync_dir() {
                let error = purge_error(&name, error);
                *failed = Some(error.clone());
                return Err(error);
            }
            self.shared.table.edit().pop_front();
        }
        Ok(self.first_index())
    }
}

/// The writer thread.
struct Writer {
    appender: Appender,
    shared: Arc<Shared>,
    receiver: Receiver<Queued>,
    batch_bytes_max: usize,
    observer: Arc<dyn LogObserver>,
    clock: Arc<dyn MonotonicClock>,
}

impl Writer {
    /// Serves until every proposer is gone.
    fn run(mut self) -> Result<(), LogError> {
        while let Ok(first) = self.receiver.recv() {
            let batch = self.gather(first);
            self.commit(batch);
        }
        self.appender.close()
    }

    /// Takes everything that waits already, up to the batch limit.
    fn gather(&self, first: Queued) -> Vec<Queued> {
        let mut bytes = first.bytes;
        let mut batch = vec![first];
        while bytes < self.batch_bytes_max {
            let Ok(next) = self.receiver.try_recv() else {
                break;
            };
            bytes += next.bytes;
            batch.push(next);
        }
        batch
    }

    fn commit(&mut self, batch: Vec<Queued>) {
        let was_poisoned = self.appender.poison_reason().is_some();
        let proposals: Vec<&[Command]> = batch
            .iter()
            .map(|queued| queued.commands.as_slice())
            .collect();
        let entries: usize = proposals.iter().map(|commands| commands.len()).sum();
        let started = self.clock.elapsed();
        let outcome = self.appender.append(&proposals);
        let append_latency = self.clock.elapsed().saturating_sub(started);
        let queued_bytes: usize = batch.iter().map(|queued| queued.bytes).sum();
        self.shared
            .queued_bytes
            .fetch_sub(queued_bytes, Ordering::AcqRel);
        match outcome {
            Ok((committed, bytes)) => {
                let event = BatchCommitted {
                    proposals: batch.len() as u64,
                    entries: entries as u64,
                    bytes,
                    append_latency,
                };
                self.shared.counters.count_batch(&event);
                self.observer.batch_committed(&event);
                for (queued, place) in batch.into_iter().zip(committed) {
                    // The proposer may have gone; its commands are committed all the same.
                    drop(queued.reply.send(Ok(place)));
                }
            }
            Err(error) => {
                if let LogError::WriteRefused { source, .. } = &error {
                    self.shared.counters.count_refused(batch.len() as u64);
                    self.observer.write_refused(&source.to_string());
                }
                if let (false, Some(reason)) = (was_poisoned, self.appender.poison_reason()) {
                    self.observer.poisoned(reason);
                }
                for queued in batch {
                    drop(queued.reply.send(Err(error.clone())));
                }
            }
        }
    }
}
