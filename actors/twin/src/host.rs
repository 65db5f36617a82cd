//! The one writer of all twins of a node.
//!
//! Proposals of many twins wait in one bounded queue; a thread of its own takes what waits, has it
//! committed by the log in one proposal (one fsync), applies it in the order of the log, writes what
//! changed with the applied index into the store in one batch, and only then replies: acknowledged =
//! fsynced and applied. After a restart the store is read and the log behind its applied index is
//! applied again; a store that cannot be read is set aside and rebuilt from the first entry.
//!
//! Twins that nobody uses are put away (see module `directory`): their state stands in the store alone.
//!
//! A disk without room makes the host read-only and not fail: see [`HostStatus`]. A store that fails is
//! opened again in the same way.
//!
//! Invariants: only this thread proposes to the log and changes states; a state that readers see is
//! durable. The log is not purged here: with sled nothing but the log is known to be on disk.

pub(crate) mod directory;
mod error;
mod ingest;
pub(crate) mod recovery;
mod status;
mod store_slot;
pub(crate) mod writer;

pub use directory::Residency;
pub use error::{HostError, OpenError};
pub use recovery::HostOpenReport;
pub use status::{HostStatus, HostSurroundings, RoomOptions};

use crate::clients::{Answer, Proposal, TwinWriter};
use crate::outline::TwinOutline;
use crate::state::{ApplyResult, TwinState};
use crate::stored::entry;
use crate::stored::v1::{COMMAND, TwinCommand};
use crate::twins::Twins;
use directory::Directory;
use recovery::Brought;
use status::Gate;
use std::fmt;
use std::path::Path;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::mpsc::{SyncSender, TrySendError, sync_channel};
use std::sync::{Arc, OnceLock, PoisonError, RwLock};
use std::thread::JoinHandle;
use std::time::Duration;
use tokio::sync::oneshot;
use tokio::sync::watch;
use twinscale_log::{
    Command, CommandLog, FsRoom, PAYLOAD_BYTES_MAX, SystemMonotonicClock, UnlimitedRoom,
};
use twinscale_protocol::{CustomerId, Generation};
use twinscale_store::{StateStore, StoreOptions};
use writer::{Queued, StorePlace, Writer};

/// Bounds of a host.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HostOptions {
    /// Commands that may wait for the writer.
    pub queue_commands_max: usize,
    /// Bytes that the waiting commands may amount to.
    pub queue_bytes_max: usize,
    /// Commands that share one fsync.
    pub batch_commands_max: usize,
    /// Bytes after which a batch is full.
    pub batch_bytes_max: usize,
    /// Twins that one host holds.
    pub twins_max: usize,
    /// What to do about a disk that fills up.
    pub room: RoomOptions,
}

impl Default for HostOptions {
    /// A queue of 4,096 commands or 64 MiB; batches of 1,024 commands or 4 MiB, which a disk writes in
    /// some 10 ms; 131,072 twins: what was measured with 100,000, and room.
    fn default() -> Self {
        Self {
            queue_commands_max: 4_096,
            queue_bytes_max: 64 << 20,
            batch_commands_max: 1_024,
            batch_bytes_max: 4 << 20,
            twins_max: 131_072,
            room: RoomOptions::default(),
        }
    }
}

/// Counts since the host was opened.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct HostMetrics {
    /// Commands that were committed and applied.
    pub commands: u64,
    /// Batches in which they were, one fsync and one store batch each.
    pub batches: u64,
    /// Proposals that were refused because the queue was full.
    pub overloaded: u64,
    /// Time spent on writing what changed into the store.
    pub store_time: Duration,
}

/// The one writer of all twins of a node. Dropping it finishes what waits and ends its thread.
pub struct TwinHost {
    shared: Arc<Shared>,
    queue: Option<SyncSender<Queued>>,
    writer: Option<JoinHandle<()>>,
    options: HostOptions,
}

/// What proposers, readers and the writer share.
#[derive(Debug)]
struct Shared {
    directory: Directory,
    queued_bytes: AtomicUsize,
    /// Why the host takes nothing more: set once, by the writer.
    failure: OnceLock<HostError>,
    status: watch::Sender<HostStatus>,
    commands: AtomicU64,
    batches: AtomicU64,
    overloaded: AtomicU64,
    store_us: AtomicU64,
}

impl Shared {
    /// Why no command is taken; `None` when they are.
    fn refusal(&self) -> Option<HostError> {
        let failure = self.failure.get().cloned();
        failure.or_else(|| self.status.borrow().refusal())
    }

    /// Ends the taking of commands; the first failure is the one to show.
    fn fail(&self, failure: HostError) {
        let shown = self.failure.get_or_init(|| failure);
        let reason = shown.to_string();
        self.show(HostStatus::Failed { reason });
    }

    fn show(&self, status: HostStatus) {
        self.status.send_replace(status);
    }
}

/// A twin's state as readers hold it; only the host changes it.
#[derive(Clone, Debug)]
pub struct SharedTwin(Arc<RwLock<TwinState>>);

impl SharedTwin {
    pub(crate) fn new(state: TwinState) -> Self {
        Self(Arc::new(RwLock::new(state)))
    }

    /// Whether nobody else has a hold of it.
    fn is_held_once(&self) -> bool {
        Arc::strong_count(&self.0) == 1
    }

    /// Reads the state; keep it short, since the writer of all twins waits meanwhile.
    pub fn read<R>(&self, look: impl FnOnce(&TwinState) -> R) -> R {
        look(&self.0.read().unwrap_or_else(PoisonError::into_inner))
    }

    #[cfg(test)]
    pub(crate) fn change_for_test<R>(&self, change: impl FnOnce(&mut TwinState) -> R) -> R {
        self.change(change)
    }

    pub(crate) fn change<R>(&self, change: impl FnOnce(&mut TwinState) -> R) -> R {
        change(&mut self.0.write().unwrap_or_else(PoisonError::into_inner))
    }
}

impl TwinHost {
    /// Opens a host over a log and a store on disk; a store that cannot be read is set aside and rebuilt
    /// from the log. On a full disk the host opens read-only.
    ///
    /// # Errors
    /// [`OpenError`] that names what to do.
    pub fn open_at(
        log: Arc<dyn CommandLog>,
        store: &Path,
        store_options: StoreOptions,
        options: HostOptions,
    ) -> Result<(Self, HostOpenReport), OpenError> {
        // The directory of the store may not be there yet; the one that holds it is, with the log.
        let disk = store.parent().filter(|parent| parent.is_dir());
        let surroundings = HostSurroundings {
            room: Arc::new(FsRoom::at(disk.unwrap_or(Path::new(".")))),
            clock: Arc::new(SystemMonotonicClock::start()),
        };
        let place = StorePlace {
            path: store.to_owned(),
            options: store_options,
        };
        let mut gate = Gate::new(surroundings, options.room);
        let brought = match recovery::open_and_replay(&*log, &place) {
            Ok(brought) => brought,
            // Reads need no disk: the log has everything, and the store waits until there is room.
            Err(error) if error.may_want_room() && gate.lack().is_some() => {
                gate.close(format!("store does not open: {error}"));
                recovery::replay_into_memory(&*log)?
            }
            Err(error) => return Err(error),
        };
        Self::start(log, brought, Some(place), gate, options)
    }

    /// Opens a host over a log and an open store, with room without end.
    ///
    /// # Errors
    /// [`OpenError`]; where [`OpenError::needs_rebuild`], the store must be set aside.
    pub fn open(
        log: Arc<dyn CommandLog>,
        store: Box<dyn StateStore>,
        options: HostOptions,
    ) -> Result<(Self, HostOpenReport), OpenError> {
        let surroundings = HostSurroundings {
            room: Arc::new(UnlimitedRoom),
            clock: Arc::new(SystemMonotonicClock::start()),
        };
        Self::open_in(log, store, surroundings, options)
    }

    /// Opens a host over a log and an open store, in given surroundings.
    ///
    /// # Errors
    /// Those of [`TwinHost::open`].
    pub fn open_in(
        log: Arc<dyn CommandLog>,
        store: Box<dyn StateStore>,
        surroundings: HostSurroundings,
        options: HostOptions,
    ) -> Result<(Self, HostOpenReport), OpenError> {
        let brought = recovery::load_and_replay(&*log, store)?;
        let gate = Gate::new(surroundings, options.room);
        Self::start(log, brought, None, gate, options)
    }

    fn start(
        log: Arc<dyn CommandLog>,
        brought: Brought,
        store_place: Option<StorePlace>,
        gate: Gate,
        options: HostOptions,
    ) -> Result<(Self, HostOpenReport), OpenError> {
        let Brought {
            store,
            directory,
            report,
        } = brought;
        let shared = Arc::new(Shared {
            directory,
            queued_bytes: AtomicUsize::new(0),
            failure: OnceLock::new(),
            status: watch::Sender::new(gate.status()),
            commands: AtomicU64::new(0),
            batches: AtomicU64::new(0),
            overloaded: AtomicU64::new(0),
            store_us: AtomicU64::new(0),
        });
        let (queue, waiting) = sync_channel(options.queue_commands_max.max(1));
        let writer = Writer {
            shared: Arc::clone(&shared),
            log,
            store,
            store_place,
            store_attempts: 0,
            waiting,
            gate,
            options,
        };
        let writer = std::thread::Builder::new()
            .name("twin-writer".to_owned())
            .spawn(move || writer.run())
            .map_err(OpenError::Thread)?;
        let host = Self {
            shared,
            queue: Some(queue),
            writer: Some(writer),
            options,
        };
        Ok((host, report))
    }

    /// Has a command committed and applied to a customer's twin; one that does not exist is made.
    ///
    /// # Errors
    /// [`HostError`]. Except for [`HostError::is_outcome_unknown`] nothing was committed.
    pub async fn propose(
        &self,
        customer: &CustomerId,
        command: TwinCommand,
    ) -> Result<ApplyResult, HostError> {
        let reply = self.enqueue(customer, command)?;
        reply.await.unwrap_or(Err(HostError::WriterGone))
    }

    /// Finds a customer's twin.
    pub fn twin(&self, customer: &CustomerId) -> Option<SharedTwin> {
        self.shared.directory.look_up(customer)
    }

    /// Reads a customer's state; `None` when there is no such twin.
    pub fn read<R>(&self, customer: &CustomerId, look: impl FnOnce(&TwinState) -> R) -> Option<R> {
        self.twin(customer).map(|twin| twin.read(look))
    }

    fn enqueue(
        &self,
        customer: &CustomerId,
        command: TwinCommand,
    ) -> Result<oneshot::Receiver<Result<ApplyResult, HostError>>, HostError> {
        if let Some(refusal) = self.shared.refusal() {
            return Err(refusal);
        }
        let limit = self.options.twins_max;
        if self.shared.directory.len() >= limit && !self.shared.directory.knows(customer) {
            let customer = customer.clone();
            return Err(HostError::TooManyTwins { customer, limit });
        }
        let payload = entry::encode(customer, &command).map_err(|source| HostError::Encode {
            customer: customer.clone(),
            source: Arc::new(source),
        })?;
        let bytes = payload.len();
        if bytes > PAYLOAD_BYTES_MAX {
            return Err(HostError::TooLarge {
                customer: customer.clone(),
                bytes,
                limit: PAYLOAD_BYTES_MAX,
            });
        }
        let before = self.shared.queued_bytes.fetch_add(bytes, Ordering::AcqRel);
        if before > 0 && before.saturating_add(bytes) > self.options.queue_bytes_max {
            return Err(self.shed(bytes));
        }
        let (reply_to, reply) = oneshot::channel();
        let queued = Queued {
            customer: customer.clone(),
            command,
            log_command: Command {
                kind: COMMAND.0,
                payload,
            },
            bytes,
            reply_to,
        };
        let queue = self.queue.as_ref().ok_or(HostError::WriterGone)?;
        match queue.try_send(queued) {
            Ok(()) => Ok(reply),
            Err(TrySendError::Full(_)) => Err(self.shed(bytes)),
            Err(TrySendError::Disconnected(_)) => Err(HostError::WriterGone),
        }
    }

    fn shed(&self, bytes: usize) -> HostError {
        self.shared.queued_bytes.fetch_sub(bytes, Ordering::AcqRel);
        self.shared.overloaded.fetch_add(1, Ordering::Relaxed);
        HostError::Overloaded {
            commands_max: self.options.queue_commands_max,
            bytes_max: self.options.queue_bytes_max,
        }
    }
}

impl TwinWriter for TwinHost {
    fn commit<'a>(&'a self, customer: &'a CustomerId, command: TwinCommand) -> Proposal<'a> {
        Box::pin(self.propose(customer, command))
    }

    fn find(&self, customer: &CustomerId) -> Option<SharedTwin> {
        self.twin(customer)
    }

    /// Whoever has the log's lock is the only one.
    fn confirm(&self, _generation: Generation, _limit: Duration) -> Answer<()> {
        Box::pin(std::future::ready(Ok(())))
    }
}

impl Twins for TwinHost {
    fn customers(&self) -> Vec<CustomerId> {
        self.shared.directory.customers()
    }

    fn knows(&self, customer: &CustomerId) -> bool {
        self.shared.directory.knows(customer)
    }

    fn outline(&self, customer: &CustomerId) -> Option<TwinOutline> {
        self.shared.directory.outline(customer)
    }

    fn config_version(&self, customer: &CustomerId) -> Option<u64> {
        self.shared.directory.config_version(customer)
    }

    fn peek(&self, customer: &CustomerId) -> Option<SharedTwin> {
        self.shared.directory.peek(customer)
    }

    fn put_away_idle(&self) -> usize {
        if let Some(reason) = self.shared.directory.failure() {
            let reason = reason.to_owned();
            self.shared.fail(HostError::StoreFailed { reason });
            return 0;
        }
        self.shared.directory.put_away_idle()
    }

    fn residency(&self) -> Residency {
        self.shared.directory.residency()
    }

    fn status(&self) -> HostStatus {
        self.shared.status.borrow().clone()
    }

    fn watch_status(&self) -> watch::Receiver<HostStatus> {
        self.shared.status.subscribe()
    }

    fn metrics(&self) -> HostMetrics {
        HostMetrics {
            commands: self.shared.commands.load(Ordering::Relaxed),
            batches: self.shared.batches.load(Ordering::Relaxed),
            overloaded: self.shared.overloaded.load(Ordering::Relaxed),
            store_time: Duration::from_micros(self.shared.store_us.load(Ordering::Relaxed)),
        }
    }
}

impl Drop for TwinHost {
    fn drop(&mut self) {
        // A closed queue ends the writer, after what waits in it.
        self.queue = None;
        if let Some(writer) = self.writer.take()
            && writer.join().is_err()
        {
            tracing::error!("the writer of the twins panicked");
        }
    }
}

impl fmt::Debug for TwinHost {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TwinHost")
            .field("twins", &self.shared.directory.len())
            .field("options", &self.options)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
