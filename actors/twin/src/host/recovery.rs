//! Bringing the twins back: the store as far as it goes, the log behind it.

use super::directory::{Directory, StateSource};
use super::error::OpenError;
use super::store_slot::StoreSlot;
use super::writer::{StorePlace, add_changes, apply_guarded};
use crate::outline::TwinOutline;
use crate::state::{KEYS_PREFIX, PartKey, RestoreError, TwinState};
use crate::stored::entry::{self, EntryError};
use crate::stored::v1::COMMAND;
use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::sync::Arc;
use twinscale_log::{CommandLog, Entry, LogIndex, ReadLimits};
use twinscale_protocol::CustomerId;
use twinscale_store::{
    Batch, KeyValue, MemoryDisk, OpenOutcome, ReplayReport, StateStore, StoreError,
    customer_prefix, open_in_memory, open_store, rebuild_store, replay,
};

/// What opening a host found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HostOpenReport {
    /// How the store came to be open, where the host opened it.
    pub store: Option<OpenOutcome>,
    /// Twins that are there.
    pub twins: usize,
    /// Log entries that were applied again.
    pub replayed: u64,
    /// The last applied entry.
    pub applied_index: LogIndex,
}

/// States in memory at which those that nobody holds are put away while the log is replayed.
const REPLAY_RESIDENT_MAX: usize = 1_024;

/// The parts of the customer whose keys are being read: keys of one customer stand together.
#[derive(Default)]
struct Gathered {
    customer: Option<CustomerId>,
    parts: BTreeMap<PartKey, Vec<u8>>,
}

/// Reads all twins of a store, one after the other, and checks each as it is read.
pub(crate) fn load_each(
    store: &dyn StateStore,
    take: &mut dyn FnMut(TwinState),
) -> Result<(), OpenError> {
    let mut gathered = Gathered::default();
    let mut failure = None;
    let mut visit = |key: &[u8], value: &[u8]| match gathered.take(key, value) {
        Ok(None) => ControlFlow::Continue(()),
        Ok(Some(state)) => {
            take(state);
            ControlFlow::Continue(())
        }
        Err(error) => {
            failure = Some(error);
            ControlFlow::Break(())
        }
    };
    store
        .scan_prefix(KEYS_PREFIX, &mut visit)
        .map_err(OpenError::Store)?;
    let last = match failure {
        Some(error) => Err(error),
        None => gathered.finish(),
    };
    if let Some(state) = last.map_err(OpenError::Restore)? {
        take(state);
    }
    Ok(())
}

/// The keys of a twin in a store, with their values.
pub(crate) fn stored_parts(
    store: &dyn StateStore,
    customer: &CustomerId,
) -> Result<Vec<KeyValue>, StoreError> {
    let prefix = customer_prefix(customer.as_str())?;
    let mut parts = Vec::new();
    store.scan_prefix(&prefix, &mut |key, value| {
        parts.push((key.to_vec(), value.to_vec()));
        ControlFlow::Continue(())
    })?;
    Ok(parts)
}

/// Puts a twin together of its keys and values.
pub(crate) fn restore_stored(
    customer: &CustomerId,
    stored: Vec<KeyValue>,
) -> Result<TwinState, RestoreError> {
    let mut gathered = Gathered {
        customer: Some(customer.clone()),
        parts: BTreeMap::new(),
    };
    for (key, value) in stored {
        gathered.take(&key, &value)?;
    }
    if gathered.parts.is_empty() {
        return Err(RestoreError::Inconsistent {
            customer: customer.clone(),
            part: PartKey::Meta,
            reason: "the store holds nothing of a twin that was put away in it",
        });
    }
    TwinState::restore(customer.clone(), gathered.parts)
}

/// Reads one twin of a store, which must be there.
pub(crate) fn load_one(
    store: &dyn StateStore,
    customer: &CustomerId,
) -> Result<TwinState, OpenError> {
    let stored = stored_parts(store, customer).map_err(OpenError::Store)?;
    restore_stored(customer, stored).map_err(OpenError::Restore)
}

/// Twins that stand at the end of the log, and the store that does.
pub(super) struct Brought {
    /// Without a store while there is no room for one.
    pub(super) store: Arc<StoreSlot>,
    pub(super) directory: Directory,
    pub(super) report: HostOpenReport,
}

/// Opens the store of a place and brings it, and the twins in it, to the end of the log.
pub(super) fn open_and_replay(
    log: &dyn CommandLog,
    place: &StorePlace,
) -> Result<Brought, OpenError> {
    let (store, directory, outcome) = open_and_load(place)?;
    let mut brought = replay_onto(log, store, directory)?;
    brought.report.store = Some(outcome);
    Ok(brought)
}

/// Brings an open store, and the twins in it, to the end of the log.
pub(super) fn load_and_replay(
    log: &dyn CommandLog,
    store: Box<dyn StateStore>,
) -> Result<Brought, OpenError> {
    let store = StoreSlot::of(Some(store));
    let directory = load(&store)?;
    replay_onto(log, store, directory)
}

/// Makes the twins from the log alone.
pub(super) fn replay_into_memory(log: &dyn CommandLog) -> Result<Brought, OpenError> {
    // Nothing is put away while this is empty, and what a store in memory would hold is held already.
    let store = StoreSlot::of(None);
    let scratch = open_in_memory(&MemoryDisk::default()).map_err(OpenError::Store)?;
    let directory = Directory::new(Arc::clone(&store) as Arc<dyn StateSource>);
    let replay = replay_log(log, &*scratch, &directory)?;
    Ok(Brought {
        store,
        report: report(&directory, &replay),
        directory,
    })
}

fn replay_onto(
    log: &dyn CommandLog,
    store: Arc<StoreSlot>,
    directory: Directory,
) -> Result<Brought, OpenError> {
    let opened = store.get().ok_or(OpenError::Closed)?;
    let replay = replay_log(log, &**opened, &directory)?;
    directory.put_all_away();
    Ok(Brought {
        store,
        report: report(&directory, &replay),
        directory,
    })
}

fn report(directory: &Directory, replay: &ReplayReport) -> HostOpenReport {
    HostOpenReport {
        store: None,
        twins: directory.len(),
        replayed: replay.entries,
        applied_index: replay.applied_after,
    }
}

/// The twins of an open store, each checked and put away.
fn load(store: &Arc<StoreSlot>) -> Result<Directory, OpenError> {
    let directory = Directory::new(Arc::clone(store) as Arc<dyn StateSource>);
    let opened = store.get().ok_or(OpenError::Closed)?;
    load_each(&**opened, &mut |state| {
        directory.insert_away(state.customer().clone(), TwinOutline::of(&state));
    })?;
    Ok(directory)
}

/// Opens a store and reads its twins; one that cannot be read is set aside for an empty one.
fn open_and_load(
    place: &StorePlace,
) -> Result<(Arc<StoreSlot>, Directory, OpenOutcome), OpenError> {
    let StorePlace { path, options } = place;
    let opened = open_store(path, *options).map_err(OpenError::Store)?;
    let outcome = opened.report.outcome;
    let was_sound = !matches!(outcome, OpenOutcome::Rebuilt { .. });
    let store = StoreSlot::of(Some(opened.store));
    match load(&store) {
        Ok(directory) => Ok((store, directory, outcome)),
        Err(error) if error.needs_rebuild() && was_sound => {
            let reason = error.to_string();
            store.close().map_err(OpenError::Store)?;
            let rebuilt = rebuild_store(path, *options, &reason).map_err(OpenError::Store)?;
            let store = StoreSlot::of(Some(rebuilt.store));
            let directory = load(&store)?;
            Ok((store, directory, rebuilt.report.outcome))
        }
        Err(error) => Err(error),
    }
}

/// Applies what the log holds behind the store's applied index.
fn replay_log(
    log: &dyn CommandLog,
    store: &dyn StateStore,
    directory: &Directory,
) -> Result<ReplayReport, OpenError> {
    let mut apply = |entry: &Entry, batch: &mut Batch| {
        // The batch before this one is in the store.
        if batch.is_empty() && directory.resident() > REPLAY_RESIDENT_MAX {
            directory.put_all_away();
        }
        apply_entry(directory, entry, batch)
    };
    replay(log, store, ReadLimits::default(), &mut apply)
        .map_err(|error| OpenError::Replay(Box::new(error)))
}

fn apply_entry(directory: &Directory, entry: &Entry, batch: &mut Batch) -> Result<(), OpenError> {
    let index = entry.index;
    if entry.kind != COMMAND.0 {
        let kind = entry.kind;
        return Err(OpenError::Kind { index, kind });
    }
    let customer = match entry::decode(&entry.payload) {
        Ok((customer, command)) => {
            let twin = directory.ensure(&customer)?;
            apply_guarded(&twin, index, command);
            customer
        }
        // The same bytes are unreadable on every replica, so every replica quarantines the twin.
        Err(EntryError::Command { customer, source }) => {
            let reason = format!("command of log entry {index} cannot be read: {source}");
            tracing::error!(%customer, %reason, "twin is quarantined");
            let twin = directory.ensure(&customer)?;
            twin.change(|state| state.set_quarantine(&reason));
            customer
        }
        Err(source) => return Err(OpenError::Entry { index, source }),
    };
    add_changes(&directory.ensure(&customer)?, batch)
}

impl Gathered {
    /// Takes a key; returns the twin before it, where it was the first of the next.
    fn take(&mut self, key: &[u8], value: &[u8]) -> Result<Option<TwinState>, RestoreError> {
        let Some((customer, part)) = PartKey::from_key(key) else {
            let key = key.escape_ascii().to_string();
            return Err(RestoreError::Key { key });
        };
        let mut before = None;
        if self.customer.as_ref() != Some(&customer) {
            before = self.finish()?;
            self.customer = Some(customer);
        }
        self.parts.insert(part, value.to_vec());
        Ok(before)
    }

    fn finish(&mut self) -> Result<Option<TwinState>, RestoreError> {
        let parts = std::mem::take(&mut self.parts);
        let customer = self.customer.take();
        customer
            .map(|customer| TwinState::restore(customer, parts))
            .transpose()
    }
}
