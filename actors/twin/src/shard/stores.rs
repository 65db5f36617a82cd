//! One store for all shards of a node.
//!
//! Twins stand under their customers' keys, marks and remembered requests under their shard's. The store
//! counts its batches by itself; how far each shard is applied stands in its mark, written in the batch of
//! what was applied.

use super::error::ShardError;
use super::remembered::{RememberedRequests, number_of};
use super::twins::ShardTwins;
use crate::host::OpenError;
use crate::host::directory::StateSource;
use crate::host::recovery::{load_each, load_one, stored_parts};
use crate::outline::TwinOutline;
use crate::state::TwinState;
use crate::stored::shard_v1::{REMEMBERED, Remembered, SHARD_MARK, ShardMark};
use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use twinscale_log::LogIndex;
use twinscale_protocol::envelope;
use twinscale_protocol::{CustomerId, ShardId};
use twinscale_store::{
    Batch, KeyValue, OpenOutcome, StateStore, StoreOptions, node_key, open_store, rebuild_store,
};

/// One store for all shards of a node.
#[derive(Debug)]
pub struct ShardStores {
    store: Box<dyn StateStore>,
    /// Held while a batch is written, so that batches are numbered in the order in which they are.
    revision: Mutex<LogIndex>,
}

/// What opening the store found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ShardStoresReport {
    /// How it came to be open; `None` = it was given open.
    pub outcome: Option<OpenOutcome>,
    /// Twins in it, of all shards.
    pub twins: usize,
    /// Keys in it.
    pub entries: u64,
}

/// Says which shard a customer belongs to.
type ShardOf<'a> = &'a dyn Fn(&CustomerId) -> ShardId;

impl ShardStores {
    /// Opens the store in a directory with the shards in it; one that cannot be read is set aside, and the
    /// shards begin empty: their logs and their peers have everything.
    ///
    /// # Errors
    /// [`ShardError`] that names what to do.
    pub fn open_at(
        path: &Path,
        options: StoreOptions,
        shard_of: ShardOf<'_>,
    ) -> Result<(Vec<ShardTwins>, Arc<Self>, ShardStoresReport), ShardError> {
        let opened = open_store(path, options).map_err(ShardError::Store)?;
        let outcome = opened.report.outcome;
        let was_sound = !matches!(outcome, OpenOutcome::Rebuilt { .. });
        match read_shards(&*opened.store, shard_of) {
            Ok(read) => Ok(Self::of_read(opened.store, read, Some(outcome))),
            Err(error) if error.needs_rebuild() && was_sound => {
                opened.store.close().map_err(ShardError::Store)?;
                let rebuilt = rebuild_store(path, options, &error.to_string());
                let rebuilt = rebuilt.map_err(ShardError::Store)?;
                let read = read_shards(&*rebuilt.store, shard_of)?;
                let outcome = rebuilt.report.outcome;
                Ok(Self::of_read(rebuilt.store, read, Some(outcome)))
            }
            Err(error) => Err(error),
        }
    }

    /// Takes an open store and reads the shards in it.
    ///
    /// # Errors
    /// [`ShardError`]; where [`ShardError::needs_rebuild`], the store must be set aside.
    pub fn open(
        store: Box<dyn StateStore>,
        shard_of: ShardOf<'_>,
    ) -> Result<(Vec<ShardTwins>, Arc<Self>, ShardStoresReport), ShardError> {
        let read = read_shards(&*store, shard_of)?;
        Ok(Self::of_read(store, read, None))
    }

    fn of_read(
        store: Box<dyn StateStore>,
        read: BTreeMap<ShardId, ReadShard>,
        outcome: Option<OpenOutcome>,
    ) -> (Vec<ShardTwins>, Arc<Self>, ShardStoresReport) {
        let report = ShardStoresReport {
            outcome,
            twins: read.values().map(|shard| shard.twins.len()).sum(),
            entries: store.entries(),
        };
        let stores = Arc::new(Self {
            revision: Mutex::new(store.applied_index()),
            store,
        });
        let shards = read
            .into_iter()
            .map(|(shard, read)| ShardTwins::new(shard, read, Arc::clone(&stores)))
            .collect();
        (shards, stores, report)
    }

    /// A shard that the store holds nothing of.
    pub fn empty(self: &Arc<Self>, shard: ShardId) -> ShardTwins {
        ShardTwins::new(shard, ReadShard::default(), Arc::clone(self))
    }

    /// Writes a batch; all of it or nothing.
    pub(super) fn write(&self, batch: &Batch) -> Result<(), ShardError> {
        let mut revision = self.revision.lock().unwrap_or_else(PoisonError::into_inner);
        let next = revision.next();
        self.store.apply(batch, next).map_err(ShardError::Store)?;
        *revision = next;
        Ok(())
    }

    /// The keys of a twin, with their values.
    pub(super) fn stored_parts(&self, customer: &CustomerId) -> Result<Vec<KeyValue>, ShardError> {
        stored_parts(&*self.store, customer).map_err(ShardError::Store)
    }

    /// Hands what is buffered to the operating system; no fsync.
    ///
    /// # Errors
    /// [`ShardError::Store`].
    pub fn flush(&self) -> Result<(), ShardError> {
        self.store.flush().map_err(ShardError::Store)
    }
}

impl StateSource for ShardStores {
    fn is_open(&self) -> bool {
        true
    }

    fn bring_back(&self, customer: &CustomerId) -> Result<TwinState, OpenError> {
        load_one(&*self.store, customer)
    }
}

/// What a store holds of one shard.
#[derive(Debug, Default)]
pub(super) struct ReadShard {
    /// Checked when they were read, and left in the store.
    pub(super) twins: Vec<(CustomerId, TwinOutline)>,
    pub(super) mark: ShardMark,
    pub(super) remembered: RememberedRequests,
}

/// The key of a shard's mark.
pub(super) fn mark_key(shard: ShardId) -> Vec<u8> {
    node_key("shard")
        .number(u64::from(shard.0))
        .text("mark")
        .build()
}

/// Reads a key of [`mark_key`] or of a remembered request back: the shard.
fn shard_of_key(key: &[u8]) -> Option<ShardId> {
    let rest = key.strip_prefix(node_key("shard").prefix().as_slice())?;
    let digits = rest.split(|byte| *byte == b'/').next()?;
    let number = u64::from_str_radix(str::from_utf8(digits).ok()?, 16).ok()?;
    u32::try_from(number).ok().map(ShardId)
}

fn read_shards(
    store: &dyn StateStore,
    shard_of: ShardOf<'_>,
) -> Result<BTreeMap<ShardId, ReadShard>, ShardError> {
    let mut shards = read_marks(store)?;
    load_each(store, &mut |state| {
        let customer = state.customer().clone();
        let shard = shards.entry(shard_of(&customer)).or_default();
        shard.twins.push((customer, TwinOutline::of(&state)));
    })
    .map_err(ShardError::of_open)?;
    Ok(shards)
}

fn read_marks(store: &dyn StateStore) -> Result<BTreeMap<ShardId, ReadShard>, ShardError> {
    let mut marks: BTreeMap<ShardId, ShardMark> = BTreeMap::new();
    let mut requests: BTreeMap<ShardId, BTreeMap<u64, Remembered>> = BTreeMap::new();
    let mut failure = None;
    let prefix = node_key("shard").prefix();
    let scanned = store.scan_prefix(&prefix, &mut |key, value| {
        let Some(shard) = shard_of_key(key) else {
            return ControlFlow::Continue(());
        };
        let read = if let Some(number) = number_of(shard, key) {
            envelope::open(REMEMBERED, value).map(|one| {
                requests.entry(shard).or_default().insert(number, one);
            })
        } else {
            envelope::open(SHARD_MARK, value).map(|mark| {
                marks.insert(shard, mark);
            })
        };
        match read {
            Ok(()) => ControlFlow::Continue(()),
            Err(source) => {
                failure = Some(ShardError::Mark { shard, source });
                ControlFlow::Break(())
            }
        }
    });
    scanned.map_err(ShardError::Store)?;
    if let Some(failure) = failure {
        return Err(failure);
    }
    let shards = marks.into_iter().map(|(shard, mark)| {
        let entries = requests.remove(&shard).unwrap_or_default();
        let read = ReadShard {
            twins: Vec::new(),
            remembered: RememberedRequests::restore(entries, mark.next_remembered),
            mark,
        };
        (shard, read)
    });
    Ok(shards.collect())
}
