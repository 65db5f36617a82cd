//! The writer's thread: commit, apply, store, reply, in this order.

use super::error::{HostError, OpenError};
use super::recovery;
use super::status::{Gate, HostStatus};
use super::store_slot::StoreSlot;
use super::{HostOptions, Shared, SharedTwin};
use crate::state::ApplyResult;
use crate::stored::v1::TwinCommand;
use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use tokio::sync::oneshot;
use twinscale_log::{Command, CommandLog, Committed, LogError, LogIndex};
use twinscale_protocol::CustomerId;
use twinscale_store::{Batch, StoreOptions};

/// A command that waits for the writer.
#[derive(Debug)]
pub(super) struct Queued {
    pub(super) customer: CustomerId,
    pub(super) command: TwinCommand,
    pub(super) log_command: Command,
    pub(super) bytes: usize,
    pub(super) reply_to: ReplyTo,
}

type ReplyTo = oneshot::Sender<Result<ApplyResult, HostError>>;

/// Where a store can be opened again; one in memory cannot.
#[derive(Clone, Debug)]
pub(super) struct StorePlace {
    pub(super) path: PathBuf,
    pub(super) options: StoreOptions,
}

/// The only thread that proposes to the log and changes twins.
#[derive(Debug)]
pub(super) struct Writer {
    pub(super) shared: Arc<Shared>,
    pub(super) log: Arc<dyn CommandLog>,
    /// While it is empty the host is read-only: the log is ahead of it until it is opened again.
    pub(super) store: Arc<StoreSlot>,
    pub(super) store_place: Option<StorePlace>,
    pub(super) store_attempts: u32,
    pub(super) waiting: Receiver<Queued>,
    pub(super) gate: Gate,
    pub(super) options: HostOptions,
}

impl Writer {
    pub(super) fn run(mut self) {
        // A panic in here is a defect; whoever asks must not wait for ever.
        if catch_unwind(AssertUnwindSafe(|| self.serve())).is_err() {
            tracing::error!("the writer of the twins panicked; no more commands are taken");
            self.shared.fail(HostError::WriterGone);
        }
        if let Err(error) = self.store.close() {
            tracing::warn!(%error, "store did not close well; the log rebuilds what is missing");
        }
    }

    /// Commits what waits until every proposer is gone; meanwhile tries again what the disk refused.
    fn serve(&mut self) {
        loop {
            let waited = match self.gate.pause() {
                None => self.waiting.recv().map_err(RecvTimeoutError::from),
                Some(pause) => self.waiting.recv_timeout(pause),
            };
            match waited {
                Ok(first) => {
                    let batch = self.gather(first);
                    self.commit(batch);
                }
                Err(RecvTimeoutError::Timeout) => self.try_again(),
                Err(RecvTimeoutError::Disconnected) => return,
            }
        }
    }

    fn gather(&self, first: Queued) -> Vec<Queued> {
        let mut bytes = first.bytes;
        let mut batch = vec![first];
        while batch.len() < self.options.batch_commands_max && bytes < self.options.batch_bytes_max
        {
            let Ok(next) = self.waiting.try_recv() else {
                break;
            };
            bytes = bytes.saturating_add(next.bytes);
            batch.push(next);
        }
        self.shared.queued_bytes.fetch_sub(bytes, Ordering::AcqRel);
        batch
    }

    fn commit(&mut self, batch: Vec<Queued>) {
        if let Some(refusal) = self.refusal() {
            refuse(batch, &refusal);
            return;
        }
        let mut log_commands = Vec::with_capacity(batch.len());
        let mut pending = Vec::with_capacity(batch.len());
        for queued in batch {
            log_commands.push(queued.log_command);
            pending.push((queued.customer, queued.command, queued.reply_to));
        }
        match self.log.propose(log_commands).wait() {
            Ok(committed) => {
                self.gate.worked();
                self.apply(committed, pending);
            }
            Err(error) => {
                let error = self.take_failure(error);
                for (_, _, reply_to) in pending {
                    answer(reply_to, Err(error.clone()));
                }
            }
        }
    }

    /// Why nothing can be committed now; looks at the disk before it is full.
    fn refusal(&mut self) -> Option<HostError> {
        if let Some(failure) = self.shared.failure.get() {
            return Some(failure.clone());
        }
        if self.gate.is_due() {
            self.try_again();
        }
        if self.gate.pause().is_none()
            && let Some(lack) = self.gate.lack()
        {
            self.turn_read_only(lack);
        }
        self.shared.refusal()
    }

    /// Turns read-only where the log refused for want of room, and gives up where it failed.
    fn take_failure(&mut self, error: LogError) -> HostError {
        if let LogError::WriteRefused { path, source, .. } = &error {
            self.turn_read_only(format!("{} took nothing more: {source}", path.display()));
            return self.shared.refusal().unwrap_or(HostError::Log(error));
        }
        let fatal = error.is_outcome_unknown()
            || matches!(
                error,
                LogError::Poisoned { .. } | LogError::Closed | LogError::Io { .. }
            );
        let error = HostError::Log(error);
        if fatal {
            tracing::error!(%error, "log failed; no more commands are taken");
            self.shared.fail(error.clone());
        }
        error
    }

    fn turn_read_only(&mut self, reason: String) {
        if self.gate.pause().is_none() {
            tracing::error!(%reason, "node is read-only until there is room");
        }
        self.gate.close(reason);
        self.shared.show(self.gate.status());
    }

    /// Opens the gate when there is room, and with it a store that failed.
    fn try_again(&mut self) {
        if self.shared.failure.get().is_some() {
            self.gate.open();
            return;
        }
        if let Some(lack) = self.gate.lack_to_resume() {
            self.turn_read_only(lack);
            return;
        }
        // The store writes behind: what it met while the disk was full shows only now.
        let flushed = self.store.get().map_or(Ok(()), |store| store.flush());
        if let Err(error) = flushed {
            self.set_store_aside(error.to_string());
        }
        if self.store.get().is_none() && !self.open_store_again() {
            return;
        }
        self.gate.open();
        self.shared.show(HostStatus::ReadWrite);
        tracing::info!("node takes commands again");
    }

    /// Opens the store, or a new one in its place, and brings it to the end of the log. The twins in
    /// memory stay, and the outlines of the others: replay gives the same ones, since they are what the log
    /// says.
    fn open_store_again(&mut self) -> bool {
        let Some(place) = self.store_place.clone() else {
            return false;
        };
        match recovery::open_and_replay(&*self.log, &place) {
            Ok(brought) => {
                self.store.put(brought.store.get());
                self.store_attempts = 0;
                true
            }
            Err(error) => {
                self.store_attempts += 1;
                let reason = format!("store does not open again: {error}");
                if self.store_attempts < self.options.room.store_attempts_max {
                    self.turn_read_only(reason);
                } else {
                    tracing::error!(%reason, "store failed; no more commands are taken");
                    self.shared.fail(HostError::StoreFailed { reason });
                }
                false
            }
        }
    }

    fn apply(&mut self, committed: Committed, pending: Vec<(CustomerId, TwinCommand, ReplyTo)>) {
        let mut index = committed.first_index;
        let mut replies = Vec::with_capacity(pending.len());
        let mut touched = BTreeMap::new();
        for (customer, command, reply_to) in pending {
            let twin = match self.shared.directory.ensure(&customer) {
                Ok(twin) => twin,
                Err(error) => {
                    // It is committed and cannot be applied here: only a start from the log can.
                    let reason = format!("state of twin `{customer}` does not come back: {error}");
                    tracing::error!(%customer, %reason, "store failed; no more commands are taken");
                    self.shared.fail(HostError::StoreFailed { reason });
                    // Those who wait learn that the outcome is unknown, as their channels close.
                    return;
                }
            };
            let result = apply_guarded(&twin, index, command);
            replies.push((reply_to, result));
            touched.insert(customer, twin);
            index = index.next();
        }
        assert_eq!(
            index,
            committed.last_index.next(),
            "the log gives one index to each command"
        );
        self.shared
            .commands
            .fetch_add(replies.len() as u64, Ordering::Relaxed);
        self.shared.batches.fetch_add(1, Ordering::Relaxed);
        let begun = self.gate.now();
        let stored = self.store_changes(touched, committed.last_index);
        let took = self.gate.now().saturating_sub(begun).as_micros();
        let took = u64::try_from(took).unwrap_or(u64::MAX);
        self.shared.store_us.fetch_add(took, Ordering::Relaxed);
        if let Err(reason) = stored {
            self.set_store_aside(reason);
        }
        // Fsynced and applied: acknowledged, also where the store failed, since the log rebuilds it.
        for (reply_to, result) in replies {
            answer(reply_to, Ok(result));
        }
    }

    /// Goes on without a store that failed, read-only, until it can be opened again.
    fn set_store_aside(&mut self, reason: String) {
        if let Err(error) = self.store.close() {
            tracing::warn!(%error, "failed store did not close well");
        }
        if self.store_place.is_some() {
            self.turn_read_only(format!("store failed and is opened again: {reason}"));
        } else {
            tracing::error!(%reason, "store failed; no more commands are taken");
            self.shared.fail(HostError::StoreFailed { reason });
        }
    }

    fn store_changes(
        &self,
        touched: BTreeMap<CustomerId, SharedTwin>,
        applied_index: LogIndex,
    ) -> Result<(), String> {
        let mut batch = Batch::new();
        for twin in touched.values() {
            add_changes(twin, &mut batch).map_err(|error| error.to_string())?;
        }
        let store = self.store.get().ok_or("store is closed")?;
        store
            .apply(&batch, applied_index)
            .map_err(|error| error.to_string())
    }
}

/// Applies a command. A defect that panics quarantines the one twin, here and on every replica.
pub(crate) fn apply_guarded(
    twin: &SharedTwin,
    index: LogIndex,
    command: TwinCommand,
) -> ApplyResult {
    twin.change(|state| {
        let applied = catch_unwind(AssertUnwindSafe(|| state.apply(command)));
        applied.unwrap_or_else(|_panic| {
            let customer = state.customer();
            tracing::error!(%customer, %index, "applying panicked; twin is quarantined");
            state.set_quarantine(&format!(
                "applying log entry {index} panicked: report a defect"
            ))
        })
    })
}

/// Adds what changed of a twin to a batch.
pub(crate) fn add_changes(twin: &SharedTwin, batch: &mut Batch) -> Result<(), OpenError> {
    twin.change(|state| {
        let changes = state.take_changes().map_err(|source| OpenError::Encode {
            customer: state.customer().clone(),
            source,
        })?;
        for (part, value) in changes {
            let key = part.to_key(state.customer()).map_err(OpenError::Store)?;
            match value {
                Some(value) => batch.put(key, value),
                None => batch.delete(key),
            }
        }
        Ok(())
    })
}

fn refuse(batch: Vec<Queued>, error: &HostError) {
    for queued in batch {
        answer(queued.reply_to, Err(error.clone()));
    }
}

fn answer(reply_to: ReplyTo, reply: Result<ApplyResult, HostError>) {
    // Nobody waits any more: the command is committed all the same.
    drop(reply_to.send(reply));
}
