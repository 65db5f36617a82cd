//! Bringing the twins back: the store as far as it goes, the log behind it.

use super::directory::Directory;
use super::error::OpenError;
use super::writer::{StorePlace, add_changes, apply_guarded};
use crate::state::{KEYS_PREFIX, PartKey, RestoreError, TwinState};
use crate::stored::entry::{self, EntryError};
use crate::stored::v1::COMMAND;
use std::collections::BTreeMap;
use std::ops::ControlFlow;
use twinscale_log::{CommandLog, Entry, LogIndex, ReadLimits};
use twinscale_protocol::CustomerId;
use twinscale_store::{
    Batch, MemoryDisk, OpenOutcome, ReplayReport, StateStore, open_in_memory, open_store,
    rebuild_store, replay,
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

/// The parts of the customer whose keys are being read: keys of one customer stand together.
#[derive(Default)]
struct Gathered {
    customer: Option<CustomerId>,
    parts: BTreeMap<PartKey, Vec<u8>>,
}

/// Reads all twins of a store.
pub(crate) fn load(store: &dyn StateStore) -> Result<Directory, OpenError> {
    let directory = Directory::default();
    let mut gathered = Gathered::default();
    let mut failure = None;
    let mut visit = |key: &[u8], value: &[u8]| {
        let taken = gathered.take(&directory, key, value);
        match taken {
            Ok(()) => ControlFlow::Continue(()),
            Err(error) => {
                failure = Some(error);
                ControlFlow::Break(())
            }
        }
    };
    store
        .scan_prefix(KEYS_PREFIX, &mut visit)
        .map_err(OpenError::Store)?;
    match failure {
        Some(error) => Err(error),
        None => gathered.finish(&directory),
    }
    .map_err(OpenError::Restore)?;
    Ok(directory)
}

/// Twins that stand at the end of the log, and the store that does.
pub(super) struct Brought {
    /// `None` while there is no room for one.
    pub(super) store: Option<Box<dyn StateStore>>,
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
    let directory = load(&*store)?;
    replay_onto(log, store, directory)
}

/// Makes the twins from the log alone.
pub(super) fn replay_into_memory(log: &dyn CommandLog) -> Result<Brought, OpenError> {
    let store = open_in_memory(&MemoryDisk::default()).map_err(OpenError::Store)?;
    let brought = replay_onto(log, store, Directory::default())?;
    Ok(Brought {
        store: None,
        ..brought
    })
}

fn replay_onto(
    log: &dyn CommandLog,
    store: Box<dyn StateStore>,
    directory: Directory,
) -> Result<Brought, OpenError> {
    let replay = replay_log(log, &*store, &directory)?;
    let report = HostOpenReport {
        store: None,
        twins: directory.len(),
        replayed: replay.entries,
        applied_index: replay.applied_after,
    };
    Ok(Brought {
        store: Some(store),
        directory,
        report,
    })
}

/// Opens a store and reads its twins; one that cannot be read is set aside for an empty one.
fn open_and_load(
    place: &StorePlace,
) -> Result<(Box<dyn StateStore>, Directory, OpenOutcome), OpenError> {
    let StorePlace { path, options } = place;
    let opened = open_store(path, *options).map_err(OpenError::Store)?;
    let was_sound = !matches!(opened.report.outcome, OpenOutcome::Rebuilt { .. });
    match load(&*opened.store) {
        Ok(directory) => Ok((opened.store, directory, opened.report.outcome)),
        Err(error) if error.needs_rebuild() && was_sound => {
            let reason = error.to_string();
            opened.store.close().map_err(OpenError::Store)?;
            let rebuilt = rebuild_store(path, *options, &reason).map_err(OpenError::Store)?;
            let directory = load(&*rebuilt.store)?;
            Ok((rebuilt.store, directory, rebuilt.report.outcome))
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
    let mut apply = |entry: &Entry, batch: &mut Batch| apply_entry(directory, entry, batch);
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
            let twin = directory.ensure(&customer);
            apply_guarded(&twin, index, command);
            customer
        }
        // The same bytes are unreadable on every replica, so every replica quarantines the twin.
        Err(EntryError::Command { customer, source }) => {
            let reason = format!("command of log entry {index} cannot be read: {source}");
            tracing::error!(%customer, %reason, "twin is quarantined");
            let twin = directory.ensure(&customer);
            twin.change(|state| state.set_quarantine(&reason));
            customer
        }
        Err(source) => return Err(OpenError::Entry { index, source }),
    };
    add_changes(&directory.ensure(&customer), batch)
}

impl Gathered {
    fn take(
        &mut self,
        directory: &Directory,
        key: &[u8],
        value: &[u8],
    ) -> Result<(), RestoreError> {
        let Some((customer, part)) = PartKey::from_key(key) else {
            let key = key.escape_ascii().to_string();
            return Err(RestoreError::Key { key });
        };
        if self.customer.as_ref() != Some(&customer) {
            self.finish(directory)?;
            self.customer = Some(customer);
        }
        self.parts.insert(part, value.to_vec());
        Ok(())
    }

    fn finish(&mut self, directory: &Directory) -> Result<(), RestoreError> {
        let parts = std::mem::take(&mut self.parts);
        if let Some(customer) = self.customer.take() {
            directory.insert(TwinState::restore(customer, parts)?);
        }
        Ok(())
    }
}
