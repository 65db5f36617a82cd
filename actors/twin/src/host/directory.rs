//! Which twins there are, on a host or in a shard, and which of them are in memory.
//!
//! A twin that nobody used for a while is *put away*: its state is dropped and its [`TwinOutline`] stays;
//! whoever asks for it next has it brought back from the store. Invariants: a state is dropped only while
//! nobody holds it and the store has everything of it; a twin is in memory once at most, so that whoever
//! changes it and whoever reads it see one state. What is in memory has no part in what is applied: two
//! replicas that put away different twins stay the same.

use super::SharedTwin;
use super::error::OpenError;
use crate::outline::TwinOutline;
use crate::state::{PartKey, TwinState};
use std::collections::BTreeMap;
use std::fmt::Debug;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError, RwLock};
use tokio::runtime::{Handle, RuntimeFlavor};
use twinscale_protocol::CustomerId;

/// From where states that were put away come back.
pub(crate) trait StateSource: Debug + Send + Sync {
    /// Whether it can be read now: otherwise nothing is put away.
    fn is_open(&self) -> bool;

    /// Reads the state of a twin that was put away.
    fn bring_back(&self, customer: &CustomerId) -> Result<TwinState, OpenError>;
}

/// How many twins there are in memory, and how often that changed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Residency {
    /// Twins whose state is in memory.
    pub resident: u64,
    /// Twins whose state is put away.
    pub away: u64,
    /// States that were brought back, since the start.
    pub brought_back: u64,
    /// States that were put away, since the start.
    pub put_away: u64,
}

impl Residency {
    /// Adds what another directory has.
    #[must_use]
    pub fn plus(self, other: Self) -> Self {
        Self {
            resident: self.resident.saturating_add(other.resident),
            away: self.away.saturating_add(other.away),
            brought_back: self.brought_back.saturating_add(other.brought_back),
            put_away: self.put_away.saturating_add(other.put_away),
        }
    }
}

/// The twins by customer.
#[derive(Debug)]
pub(crate) struct Directory {
    twins: RwLock<BTreeMap<CustomerId, Arc<Slot>>>,
    source: Arc<dyn StateSource>,
    /// Held by those who read the store, alone by whoever replaces what is in it.
    store_reads: RwLock<()>,
    /// May be off by those that were at hand while all were replaced.
    resident: AtomicI64,
    brought_back: AtomicU64,
    put_away: AtomicU64,
    /// Set where the store may lack what memory has: nothing is put away any more.
    keeps_all: AtomicBool,
    /// Set when the twins have gone from here: that none comes back is no failure then.
    is_over: AtomicBool,
    /// Why a state did not come back, the first time that one did not.
    failure: OnceLock<String>,
}

/// The place of one twin.
#[derive(Debug)]
struct Slot {
    held: Mutex<Held>,
    /// Whether somebody asked for it since it was last looked at for putting away.
    is_used: AtomicBool,
}

#[derive(Debug)]
enum Held {
    Here(SharedTwin),
    Away(TwinOutline),
}

impl Slot {
    fn new(held: Held) -> Arc<Self> {
        Arc::new(Self {
            held: Mutex::new(held),
            is_used: AtomicBool::new(true),
        })
    }

    fn held(&self) -> MutexGuard<'_, Held> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Directory {
    /// Knows no twin yet.
    pub(crate) fn new(source: Arc<dyn StateSource>) -> Self {
        Self {
            twins: RwLock::default(),
            source,
            store_reads: RwLock::default(),
            resident: AtomicI64::new(0),
            brought_back: AtomicU64::new(0),
            put_away: AtomicU64::new(0),
            keeps_all: AtomicBool::new(false),
            is_over: AtomicBool::new(false),
            failure: OnceLock::new(),
        }
    }

    /// Takes a twin whose state the store has.
    pub(crate) fn insert_away(&self, customer: CustomerId, outline: TwinOutline) {
        let slot = Slot::new(Held::Away(outline));
        self.write().insert(customer, slot);
    }

    /// Finds a twin, bringing its state back where it was put away.
    pub(crate) fn find(&self, customer: &CustomerId) -> Result<Option<SharedTwin>, OpenError> {
        loop {
            let Some(slot) = self.slot(customer) else {
                return Ok(None);
            };
            slot.is_used.store(true, Ordering::Relaxed);
            let mut held = slot.held();
            if let Held::Here(twin) = &*held {
                return Ok(Some(twin.clone()));
            }
            if let Some(state) = self.bring_back(customer, &slot)? {
                let twin = SharedTwin::new(state);
                self.resident.fetch_add(1, Ordering::Relaxed);
                *held = Held::Here(twin.clone());
                return Ok(Some(twin));
            }
        }
    }

    /// As [`Directory::find`] for those who only look: a state that does not come back is told once, and
    /// kept as the failure of this directory.
    pub(crate) fn look_up(&self, customer: &CustomerId) -> Option<SharedTwin> {
        self.found(customer, self.find(customer))
    }

    /// The state of a twin as it is now, without keeping it in memory for it.
    pub(crate) fn peek(&self, customer: &CustomerId) -> Option<SharedTwin> {
        loop {
            let slot = self.slot(customer)?;
            // Under the slot's lock: nobody brings it back, and changes it, meanwhile.
            let held = slot.held();
            if let Held::Here(twin) = &*held {
                return Some(twin.clone());
            }
            match self.bring_back(customer, &slot) {
                Ok(None) => {}
                Ok(Some(state)) => return Some(SharedTwin::new(state)),
                Err(error) => return self.found(customer, Err(error)),
            }
        }
    }

    /// Finds a twin or makes it. A new one is stored whatever its first command changes: a replica that
    /// starts again must have it as its peers do.
    pub(crate) fn ensure(&self, customer: &CustomerId) -> Result<SharedTwin, OpenError> {
        if let Some(twin) = self.find(customer)? {
            return Ok(twin);
        }
        let mut state = TwinState::new(customer.clone());
        state.mark(PartKey::Meta);
        let twin = SharedTwin::new(state);
        self.resident.fetch_add(1, Ordering::Relaxed);
        // The one writer alone makes twins: nobody came between.
        self.write()
            .insert(customer.clone(), Slot::new(Held::Here(twin.clone())));
        Ok(twin)
    }

    /// What is known of a twin without bringing its state back.
    pub(crate) fn outline(&self, customer: &CustomerId) -> Option<TwinOutline> {
        let slot = self.slot(customer)?;
        let twin = match &*slot.held() {
            Held::Away(outline) => return Some(*outline),
            Held::Here(twin) => twin.clone(),
        };
        Some(twin.read(TwinOutline::of))
    }

    /// Of the outline, the version of the configuration alone.
    pub(crate) fn config_version(&self, customer: &CustomerId) -> Option<u64> {
        let slot = self.slot(customer)?;
        let twin = match &*slot.held() {
            Held::Away(outline) => return Some(outline.config_version),
            Held::Here(twin) => twin.clone(),
        };
        Some(twin.read(TwinState::config_version))
    }

    /// Puts away what nobody used since the last time, and returns how many.
    pub(crate) fn put_away_idle(&self) -> usize {
        self.put_away(|slot| !slot.is_used.swap(false, Ordering::Relaxed))
    }

    /// Puts away what nobody holds, used or not.
    pub(crate) fn put_all_away(&self) -> usize {
        self.put_away(|_slot| true)
    }

    fn put_away(&self, is_idle: impl Fn(&Slot) -> bool) -> usize {
        if self.resident() == 0 || !self.source.is_open() {
            return 0;
        }
        let slots: Vec<Arc<Slot>> = self.read().values().cloned().collect();
        let mut count = 0;
        for slot in slots {
            if !is_idle(&slot) || self.keeps_all.load(Ordering::Acquire) {
                continue;
            }
            let mut held = slot.held();
            let Held::Here(twin) = &*held else {
                continue;
            };
            // Under the slot's lock nobody can get hold of it, and whoever changes it holds it until the
            // store has the change.
            if !twin.is_held_once() || twin.read(TwinState::has_changes) {
                continue;
            }
            let outline = twin.read(TwinOutline::of);
            *held = Held::Away(outline);
            self.resident.fetch_sub(1, Ordering::Relaxed);
            count += 1;
        }
        self.put_away.fetch_add(count, Ordering::Relaxed);
        usize::try_from(count).unwrap_or(usize::MAX)
    }

    /// From now on everything stays in memory: the store did not take what memory has.
    pub(crate) fn keep_all(&self) {
        self.keeps_all.store(true, Ordering::Release);
    }

    /// From now on these twins are no longer here.
    pub(crate) fn end(&self) {
        self.is_over.store(true, Ordering::Release);
    }

    /// Keeps why the store cannot be relied upon; the first reason is the one to show.
    pub(crate) fn note_failure(&self, reason: String) {
        if self.failure.get().is_none() {
            tracing::error!(%reason, "the store does not give back what was put into it");
        }
        self.failure.get_or_init(|| reason);
    }

    /// Why a state did not come back, if one did not.
    pub(crate) fn failure(&self) -> Option<&str> {
        self.failure.get().map(String::as_str)
    }

    pub(crate) fn residency(&self) -> Residency {
        let resident = self.resident();
        Residency {
            resident: resident as u64,
            away: self.len().saturating_sub(resident) as u64,
            brought_back: self.brought_back.load(Ordering::Relaxed),
            put_away: self.put_away.load(Ordering::Relaxed),
        }
    }

    pub(crate) fn resident(&self) -> usize {
        usize::try_from(self.resident.load(Ordering::Relaxed)).unwrap_or_default()
    }

    pub(crate) fn knows(&self, customer: &CustomerId) -> bool {
        self.read().contains_key(customer)
    }

    pub(crate) fn customers(&self) -> Vec<CustomerId> {
        self.read().keys().cloned().collect()
    }

    /// Puts other twins in the place of all, in the store by `write` and here. Readers that hold one of the
    /// old go on to see that; nothing is brought back while the store holds neither the old nor the new.
    pub(crate) fn replace<E>(
        &self,
        outlines: Vec<(CustomerId, TwinOutline)>,
        write: impl FnOnce() -> Result<(), E>,
    ) -> Result<(), E> {
        let _alone = self
            .store_reads
            .write()
            .unwrap_or_else(PoisonError::into_inner);
        write()?;
        let outlines = outlines.into_iter();
        let slots = outlines.map(|(customer, one)| (customer, Slot::new(Held::Away(one))));
        let slots = slots.collect();
        *self.write() = slots;
        self.resident.store(0, Ordering::Relaxed);
        Ok(())
    }

    /// All twins by customer, with those that are in memory.
    pub(crate) fn all(&self) -> Vec<(CustomerId, Option<SharedTwin>)> {
        // No slot is waited for under the lock of all: whoever holds one may wait for that lock.
        let slots: Vec<(CustomerId, Arc<Slot>)> = {
            let twins = self.read();
            let twins = twins.iter();
            twins
                .map(|(customer, slot)| (customer.clone(), Arc::clone(slot)))
                .collect()
        };
        let all = slots.into_iter().map(|(customer, slot)| {
            let here = match &*slot.held() {
                Held::Here(twin) => Some(twin.clone()),
                Held::Away(_) => None,
            };
            (customer, here)
        });
        all.collect()
    }

    pub(crate) fn len(&self) -> usize {
        self.read().len()
    }

    fn found(
        &self,
        customer: &CustomerId,
        found: Result<Option<SharedTwin>, OpenError>,
    ) -> Option<SharedTwin> {
        found.unwrap_or_else(|error| {
            if self.source.is_open() && !self.is_over.load(Ordering::Acquire) {
                self.note_failure(format!(
                    "state of twin `{customer}` does not come back: {error}"
                ));
            } else {
                tracing::debug!(%customer, %error, "the store is closed, or the replica has gone");
            }
            None
        })
    }

    /// Reads a state from the store, under the lock of its slot; `None` when another twin has taken the
    /// slot's place.
    fn bring_back(
        &self,
        customer: &CustomerId,
        slot: &Arc<Slot>,
    ) -> Result<Option<TwinState>, OpenError> {
        beside_the_workers(|| {
            let _others = self
                .store_reads
                .read()
                .unwrap_or_else(PoisonError::into_inner);
            let is_current = self
                .slot(customer)
                .is_some_and(|current| Arc::ptr_eq(&current, slot));
            if !is_current {
                return Ok(None);
            }
            let state = self.source.bring_back(customer)?;
            self.brought_back.fetch_add(1, Ordering::Relaxed);
            Ok(Some(state))
        })
    }

    fn slot(&self, customer: &CustomerId) -> Option<Arc<Slot>> {
        self.read().get(customer).cloned()
    }

    fn read(&self) -> std::sync::RwLockReadGuard<'_, BTreeMap<CustomerId, Arc<Slot>>> {
        self.twins.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> std::sync::RwLockWriteGuard<'_, BTreeMap<CustomerId, Arc<Slot>>> {
        self.twins.write().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Reads from a disk where it keeps no other task waiting: the worker's tasks go on on another thread.
#[expect(
    clippy::disallowed_methods,
    reason = "a twin is looked up in plain code too, which cannot wait for another thread; where there is no other \
              thread it is not called"
)]
fn beside_the_workers<R>(work: impl FnOnce() -> R) -> R {
    let flavor = Handle::try_current().map(|handle| handle.runtime_flavor());
    match flavor {
        Ok(RuntimeFlavor::MultiThread) => tokio::task::block_in_place(work),
        _ => work(),
    }
}
