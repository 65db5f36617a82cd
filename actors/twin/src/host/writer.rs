//! The writer's thread: commit, apply, store, reply, in this order.

use super::error::{HostError, OpenError};
use super::{HostOptions, Shared, SharedTwin};
use crate::state::ApplyResult;
use crate::stored::v1::TwinCommand;
use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::sync::mpsc::Receiver;
use tokio::sync::oneshot;
use twinscale_log::{Command, CommandLog, Committed, LogError, LogIndex};
use twinscale_protocol::CustomerId;
use twinscale_store::{Batch, StateStore};

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

/// The only thread that proposes to the log and changes twins.
#[derive(Debug)]
pub(super) struct Writer {
    shared: Arc<Shared>,
    log: Arc<dyn CommandLog>,
    store: Box<dyn StateStore>,
    waiting: Receiver<Queued>,
    options: HostOptions,
}

impl Writer {
    pub(super) fn new(
        shared: Arc<Shared>,
        log: Arc<dyn CommandLog>,
        store: Box<dyn StateStore>,
        waiting: Receiver<Queued>,
        options: HostOptions,
    ) -> Self {
        Self {
            shared,
            log,
            store,
            waiting,
            options,
        }
    }

    pub(super) fn run(self) {
        while let Ok(first) = self.waiting.recv() {
            let batch = self.gather(first);
            self.commit(batch);
        }
        if let Err(error) = self.store.close() {
            tracing::warn!(%error, "store did not close well; the log rebuilds what is missing");
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

    fn commit(&self, batch: Vec<Queued>) {
        if let Some(failure) = self.shared.failure.get() {
            refuse(batch, failure);
            return;
        }
        let mut log_commands = Vec::with_capacity(batch.len());
        let mut pending = Vec::with_capacity(batch.len());
        for queued in batch {
            log_commands.push(queued.log_command);
            pending.push((queued.customer, queued.command, queued.reply_to));
        }
        match self.log.propose(log_commands).wait() {
            Ok(committed) => self.apply(committed, pending),
            Err(error) => {
                let fatal = error.is_outcome_unknown()
                    || matches!(
                        error,
                        LogError::Poisoned { .. } | LogError::Closed | LogError::Io { .. }
                    );
                let error = HostError::Log(error);
                if fatal {
                    tracing::error!(%error, "log failed; no more commands are taken");
                    // The first failure is the one to show.
                    self.shared.failure.get_or_init(|| error.clone());
                }
                for (_, _, reply_to) in pending {
                    answer(reply_to, Err(error.clone()));
                }
            }
        }
    }

    fn apply(&self, committed: Committed, pending: Vec<(CustomerId, TwinCommand, ReplyTo)>) {
        let mut index = committed.first_index;
        let mut replies = Vec::with_capacity(pending.len());
        let mut touched = BTreeMap::new();
        for (customer, command, reply_to) in pending {
            let twin = self.shared.directory.ensure(&customer);
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
        if let Err(reason) = self.store_changes(touched, committed.last_index) {
            tracing::error!(%reason, "store failed; no more commands are taken");
            self.shared
                .failure
                .get_or_init(|| HostError::StoreFailed { reason });
        }
        // Fsynced and applied: acknowledged, also where the store failed, since the log rebuilds it.
        for (reply_to, result) in replies {
            answer(reply_to, Ok(result));
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
        self.store
            .apply(&batch, applied_index)
            .map_err(|error| error.to_string())
    }
}

/// Applies a command. A defect that panics quarantines the one twin, here and on every replica.
pub(super) fn apply_guarded(
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
pub(super) fn add_changes(twin: &SharedTwin, batch: &mut Batch) -> Result<(), OpenError> {
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
