//! Applies the entries of a shard's log.

use super::error::ShardError;
use super::remembered::RememberedRequests;
use super::snapshot::{CopiedTwin, ShardCopy};
use super::stores::{ReadShard, ShardStores, mark_key};
use crate::host::directory::{Directory, StateSource};
use crate::host::writer::{add_changes, apply_guarded};
use crate::host::{Residency, SharedTwin};
use crate::outline::TwinOutline;
use crate::state::{ApplyResult, PartKey, Refusal, TwinState};
use crate::stored::entry::{self, EntryError};
use crate::stored::shard_v1::{SHARD_BATCH, SHARD_MARK, ShardBatch, ShardCommand, ShardMark};
use std::collections::BTreeMap;
use std::sync::Arc;
use twinscale_log::LogIndex;
use twinscale_protocol::envelope::{self, EnvelopeError};
use twinscale_protocol::{CustomerId, ShardId};
use twinscale_store::Batch;

/// An entry of a shard's log that is committed.
#[derive(Clone, Copy, Debug)]
pub struct ShardEntry<'a> {
    /// Its place.
    pub index: LogIndex,
    /// The bytes of [`super::encode_batch`]; empty = an entry of the consensus itself.
    pub payload: &'a [u8],
}

/// The twins of one shard. One owner applies; others read through a [`ShardReader`].
#[derive(Debug)]
pub struct ShardTwins {
    shard: ShardId,
    directory: Arc<Directory>,
    mark: ShardMark,
    remembered: RememberedRequests,
    /// Commands since the start that were remembered, and did nothing again.
    repeated: u64,
    stores: Arc<ShardStores>,
}

/// Reads the twins of a shard; what it sees is committed, and on a follower may be old.
#[derive(Clone, Debug)]
pub struct ShardReader {
    directory: Arc<Directory>,
}

impl ShardReader {
    /// Finds a customer's twin; one that was put away is brought back.
    pub fn twin(&self, customer: &CustomerId) -> Option<SharedTwin> {
        self.directory.look_up(customer)
    }

    /// A twin's state as it is now, without keeping it in memory for it.
    pub fn peek(&self, customer: &CustomerId) -> Option<SharedTwin> {
        self.directory.peek(customer)
    }

    /// What is known of a twin without bringing its state back.
    pub fn outline(&self, customer: &CustomerId) -> Option<TwinOutline> {
        self.directory.outline(customer)
    }

    /// Counts the changes of a twin's policy and stack.
    pub fn config_version(&self, customer: &CustomerId) -> Option<u64> {
        self.directory.config_version(customer)
    }

    /// Whether a customer has a twin.
    pub fn knows(&self, customer: &CustomerId) -> bool {
        self.directory.knows(customer)
    }

    /// Puts away the states that nobody used since the last time; returns how many.
    pub fn put_away_idle(&self) -> usize {
        self.directory.put_away_idle()
    }

    /// How many states are in memory.
    pub fn residency(&self) -> Residency {
        self.directory.residency()
    }

    /// Why a state did not come back from the store: this node must be started again, which rebuilds the
    /// store.
    pub fn failure(&self) -> Option<&str> {
        self.directory.failure()
    }

    /// Names the customers that have a twin, ascending.
    pub fn customers(&self) -> Vec<CustomerId> {
        self.directory.customers()
    }

    /// How many twins there are.
    pub fn len(&self) -> usize {
        self.directory.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

impl ShardTwins {
    pub(super) fn new(shard: ShardId, read: ReadShard, stores: Arc<ShardStores>) -> Self {
        let directory = Directory::new(Arc::clone(&stores) as Arc<dyn StateSource>);
        for (customer, outline) in read.twins {
            directory.insert_away(customer, outline);
        }
        Self {
            shard,
            directory: Arc::new(directory),
            mark: read.mark,
            remembered: read.remembered,
            repeated: 0,
            stores,
        }
    }

    /// Which shard it is.
    pub fn shard(&self) -> ShardId {
        self.shard
    }

    /// The last applied entry.
    pub fn applied(&self) -> LogIndex {
        LogIndex::new(self.mark.applied)
    }

    /// Commands since the start that were remembered, and did nothing again.
    pub fn repeated(&self) -> u64 {
        self.repeated
    }

    /// What the consensus stored beside the last applied entry; empty at first.
    pub fn consensus(&self) -> &[u8] {
        &self.mark.consensus
    }

    /// A reader of these twins.
    pub fn reader(&self) -> ShardReader {
        ShardReader {
            directory: Arc::clone(&self.directory),
        }
    }

    /// Applies committed entries in order, and stores with them what the consensus must find again.
    ///
    /// Returns the results of each entry's commands, in order. A retry of a remembered request gets the
    /// result of the first.
    ///
    /// # Errors
    /// [`ShardError`]: this replica must not go on, since it would become another one than its peers. What
    /// was applied in memory and not stored is applied again after a restart.
    pub fn apply(
        &mut self,
        entries: &[ShardEntry<'_>],
        consensus: &[u8],
    ) -> Result<Vec<Vec<ApplyResult>>, ShardError> {
        let applied = self.apply_and_store(entries, consensus);
        if let Err(error) = &applied {
            // The store lacks what memory has: what is read until the node ends is read there.
            self.directory.keep_all();
            if error.needs_rebuild() {
                self.directory.note_failure(error.to_string());
            }
        }
        applied
    }

    fn apply_and_store(
        &mut self,
        entries: &[ShardEntry<'_>],
        consensus: &[u8],
    ) -> Result<Vec<Vec<ApplyResult>>, ShardError> {
        let mut batch = Batch::new();
        // Held until they are stored: none is put away before.
        let mut touched = BTreeMap::new();
        let mut results = Vec::with_capacity(entries.len());
        for entry in entries {
            if entry.index <= self.applied() {
                return Err(ShardError::Order {
                    shard: self.shard,
                    applied: self.applied(),
                    given: entry.index,
                });
            }
            results.push(self.apply_entry(*entry, &mut touched, &mut batch)?);
            self.mark.applied = entry.index.get();
        }
        for twin in touched.values() {
            add_changes(twin, &mut batch).map_err(ShardError::of_open)?;
        }
        self.mark.consensus = consensus.to_vec();
        self.mark.next_remembered = self.remembered.next();
        self.put_mark(&mut batch)?;
        self.stores.write(&batch)?;
        Ok(results)
    }

    fn apply_entry(
        &mut self,
        entry: ShardEntry<'_>,
        touched: &mut BTreeMap<CustomerId, SharedTwin>,
        batch: &mut Batch,
    ) -> Result<Vec<ApplyResult>, ShardError> {
        if entry.payload.is_empty() {
            return Ok(Vec::new());
        }
        let (shard, index) = (self.shard, entry.index);
        let ShardBatch { commands } = match envelope::open(SHARD_BATCH, entry.payload) {
            Ok(batch) => batch,
            Err(source @ EnvelopeError::Newer { .. }) => {
                return Err(ShardError::Newer {
                    shard,
                    index,
                    source,
                });
            }
            Err(source) => {
                return Err(ShardError::Entry {
                    shard,
                    index,
                    source,
                });
            }
        };
        let mut results = Vec::with_capacity(commands.len());
        for command in commands {
            results.push(self.apply_command(index, &command, touched, batch)?);
        }
        Ok(results)
    }

    fn apply_command(
        &mut self,
        index: LogIndex,
        ShardCommand { request, payload }: &ShardCommand,
        touched: &mut BTreeMap<CustomerId, SharedTwin>,
        batch: &mut Batch,
    ) -> Result<ApplyResult, ShardError> {
        let shard = self.shard;
        if let Some(before) = self.remembered.find(*request) {
            self.repeated += 1;
            return Ok(before.clone());
        }
        let (customer, twin, result) = match entry::decode(payload) {
            Ok((customer, command)) => {
                let twin = self.ensure(&customer)?;
                let result = apply_guarded(&twin, index, command);
                (customer, twin, result)
            }
            Err(EntryError::Newer { source, .. }) => {
                return Err(ShardError::Newer {
                    shard,
                    index,
                    source,
                });
            }
            // The same bytes are unreadable on every replica, so every replica quarantines the twin.
            Err(EntryError::Command { customer, source }) => {
                let reason = format!("command of log entry {index} cannot be read: {source}");
                tracing::error!(%customer, %reason, "twin is quarantined");
                let twin = self.ensure(&customer)?;
                let result = twin.change(|state| state.set_quarantine(&reason));
                (customer, twin, result)
            }
            Err(error @ EntryError::Customer) => {
                tracing::error!(%shard, %index, %error, "a command is passed over");
                return Ok(ApplyResult::Refused(Refusal::Invalid(error.to_string())));
            }
        };
        touched.insert(customer, twin);
        self.remembered
            .remember(shard, *request, &result, batch)
            .map_err(|source| ShardError::Mark { shard, source })?;
        Ok(result)
    }

    fn ensure(&self, customer: &CustomerId) -> Result<SharedTwin, ShardError> {
        self.directory.ensure(customer).map_err(ShardError::of_open)
    }

    /// Copies the shard as it is after the last applied entry: quick, so that applying can go on. Twins that
    /// are put away are copied as they are stored, and not brought back.
    ///
    /// # Errors
    /// [`ShardError::Store`].
    pub fn copy(&self) -> Result<ShardCopy, ShardError> {
        let twins = self.directory.all().into_iter();
        let twins = twins.map(|(customer, here)| {
            if let Some(twin) = here {
                return Ok(CopiedTwin::State(Box::new(twin.read(Clone::clone))));
            }
            let stored = self.stores.stored_parts(&customer)?;
            Ok(CopiedTwin::Stored(customer, stored))
        });
        Ok(ShardCopy::new(
            self.shard,
            self.mark.clone(),
            twins.collect::<Result<_, ShardError>>()?,
            self.remembered.clone(),
        ))
    }

    /// Puts a snapshot in the place of everything; it was checked whole when it was read.
    ///
    /// # Errors
    /// [`ShardError::Snapshot`] for one of another shard, which changes nothing; [`ShardError::Store`].
    pub fn install(&mut self, copy: ShardCopy) -> Result<(), ShardError> {
        if copy.shard() != self.shard {
            return Err(ShardError::Snapshot {
                shard: self.shard,
                reason: format!("it is of shard {}", copy.shard()),
            });
        }
        let mut batch = Batch::new();
        self.delete_all(&mut batch)?;
        for (key, value) in copy.parts()? {
            batch.put(key, value);
        }
        let outlines = copy.outlines()?;
        let (mark, remembered) = copy.into_marks();
        self.mark = mark;
        self.put_mark(&mut batch)?;
        self.directory
            .replace(outlines, || self.stores.write(&batch))?;
        self.remembered = remembered;
        Ok(())
    }

    /// Removes everything of the shard from the store: its replica has moved away.
    ///
    /// # Errors
    /// [`ShardError::Store`].
    pub fn erase(self) -> Result<(), ShardError> {
        let mut batch = Batch::new();
        self.delete_all(&mut batch)?;
        batch.delete(mark_key(self.shard));
        self.directory.end();
        self.directory
            .replace(Vec::new(), || self.stores.write(&batch))
    }

    fn delete_all(&self, batch: &mut Batch) -> Result<(), ShardError> {
        for customer in self.directory.customers() {
            for (key, _value) in self.stores.stored_parts(&customer)? {
                batch.delete(key);
            }
        }
        let shard = self.shard;
        let remembered = self.remembered.parts(shard);
        for (key, _value) in remembered.map_err(|source| ShardError::Mark { shard, source })? {
            batch.delete(key);
        }
        Ok(())
    }

    fn put_mark(&self, batch: &mut Batch) -> Result<(), ShardError> {
        let shard = self.shard;
        let sealed = envelope::seal(SHARD_MARK, &self.mark)
            .map_err(|source| ShardError::Mark { shard, source })?;
        batch.put(mark_key(shard), sealed);
        Ok(())
    }
}

/// Twins of states, for a snapshot that was read.
pub(super) fn restore(
    customer: CustomerId,
    parts: BTreeMap<PartKey, Vec<u8>>,
) -> Result<TwinState, ShardError> {
    TwinState::restore(customer, parts).map_err(ShardError::Restore)
}
