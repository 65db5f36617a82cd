//! Bringing a store forward to the end of the log.

use twinscale_log::{CommandLog, Entry, LogError, LogIndex, ReadLimits};

use crate::batch::Batch;
use crate::error::StoreError;
use crate::state_store::StateStore;

/// What a replay did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ReplayReport {
    /// The last applied entry before.
    pub applied_before: LogIndex,
    /// The last applied entry after: the last of the log.
    pub applied_after: LogIndex,
    /// How many entries were applied.
    pub entries: u64,
    /// How many batches they were applied in.
    pub batches: u64,
}

/// Why a replay stopped; what was applied before stays applied.
#[derive(Debug, thiserror::Error)]
pub enum ReplayError<E> {
    /// The store has applied entries that the log does not have: the log lost its end.
    #[error(
        "store has applied entries through {applied}, but the log ends at {last}; restore the log's \
         last segment from a copy, or rebuild this node from a snapshot or a peer"
    )]
    LogLostEnd {
        /// The last entry that the store has applied.
        applied: LogIndex,
        /// The last entry of the log.
        last: LogIndex,
    },
    /// The log no longer holds the entries that the store needs next.
    #[error(
        "store has applied entries through {applied}, but the log starts at {first}; load a snapshot \
         through entry {first} or later into the store, then replay"
    )]
    SnapshotNeeded {
        /// The last entry that the store has applied.
        applied: LogIndex,
        /// The first entry that the log holds.
        first: LogIndex,
    },
    /// The log could not be read.
    #[error("replay cannot read the log")]
    Log(#[source] LogError),
    /// The store could not be changed.
    #[error("replay cannot change the store")]
    Store(#[source] StoreError),
    /// The caller could not apply an entry.
    #[error("replay cannot apply entry {index}")]
    Apply {
        /// The entry.
        index: LogIndex,
        /// What the caller said.
        #[source]
        source: E,
    },
}

/// Applies the log's entries behind the store's applied index, in order, batch by batch.
///
/// `apply` turns an entry into changes. Entries of one read share a batch: changes that depend on
/// state look into [`Batch::pending`] first and into the store second.
///
/// # Errors
/// [`ReplayError`]; the store then stands at the end of some earlier batch.
pub fn replay<E>(
    log: &dyn CommandLog,
    store: &dyn StateStore,
    limits: ReadLimits,
    apply: &mut dyn FnMut(&Entry, &mut Batch) -> Result<(), E>,
) -> Result<ReplayReport, ReplayError<E>> {
    let applied_before = store.applied_index();
    let (first, last) = (log.first_index(), log.last_index());
    if applied_before > last {
        return Err(ReplayError::LogLostEnd {
            applied: applied_before,
            last,
        });
    }
    if applied_before.next() < first {
        return Err(ReplayError::SnapshotNeeded {
            applied: applied_before,
            first,
        });
    }
    let mut report = ReplayReport {
        applied_before,
        applied_after: applied_before,
        entries: 0,
        batches: 0,
    };
    loop {
        let entries = log
            .read(report.applied_after.next(), limits)
            .map_err(ReplayError::Log)?;
        let Some(last) = entries.last().map(|entry| entry.index) else {
            return Ok(report);
        };
        let mut batch = Batch::new();
        for entry in &entries {
            apply(entry, &mut batch).map_err(|source| ReplayError::Apply {
                index: entry.index,
                source,
            })?;
        }
        store.apply(&batch, last).map_err(ReplayError::Store)?;
        report.applied_after = last;
        report.entries += entries.len() as u64;
        report.batches += 1;
    }
}
