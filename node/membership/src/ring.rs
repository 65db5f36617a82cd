//! The cluster's keys: a ring accepts several and sends with one, so that keys change without an outage.
//!
//! Rotation: every node accepts the new key; then every node sends with it; then every node retires the
//! old one, once its report says that nothing came in under it any more.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, PoisonError, RwLock};

use crate::key::{ClusterKey, KeyId};
use crate::limits::KEYS_MAX;

/// What a key of a ring is used for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeyState {
    /// Datagrams under it are taken.
    Accepted,
    /// Datagrams under it are taken, and it seals ours.
    Sending,
}

/// One key of a ring, for the operator who rotates.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KeyReport {
    /// The key.
    pub id: KeyId,
    /// What it is used for.
    pub state: KeyState,
    /// Datagrams opened with it since it was accepted.
    pub opened: u64,
    /// When the last one came, in milliseconds since 1970; `None` before the first.
    pub last_opened_unix_ms: Option<u64>,
}

/// Why a ring cannot be changed so.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum KeyRingError {
    /// Every place is taken.
    #[error("the ring holds {KEYS_MAX} keys already; retire one that no node sends with any more")]
    Full,
    /// The ring has no such key.
    #[error("key {0} is not in the ring; accept it on every node first")]
    Unknown(KeyId),
    /// A node cannot do without the key it sends with.
    #[error("key {0} is the one in use for sending; send with another one first")]
    StillSending(KeyId),
}

#[derive(Debug)]
struct Entry {
    key: ClusterKey,
    opened: AtomicU64,
    /// Zero before the first.
    last_opened_unix_ms: AtomicU64,
}

/// The keys of a node: all are accepted, one seals.
#[derive(Debug)]
pub struct KeyRing {
    keys: BTreeMap<KeyId, Entry>,
    sending: KeyId,
}

impl KeyRing {
    /// Makes a ring of one key that is used for both.
    pub fn new(sending: ClusterKey) -> Self {
        let id = sending.id();
        Self {
            keys: BTreeMap::from([(id, entry(sending))]),
            sending: id,
        }
    }

    /// Accepts one more key; a key that is there already is left as it is.
    ///
    /// # Errors
    /// [`KeyRingError::Full`].
    pub fn accept(&mut self, key: ClusterKey) -> Result<(), KeyRingError> {
        if self.keys.len() >= KEYS_MAX && !self.keys.contains_key(&key.id()) {
            return Err(KeyRingError::Full);
        }
        self.keys.entry(key.id()).or_insert_with(|| entry(key));
        Ok(())
    }

    /// Sends with another of the accepted keys from now on.
    ///
    /// # Errors
    /// [`KeyRingError::Unknown`].
    pub fn send_with(&mut self, id: KeyId) -> Result<(), KeyRingError> {
        if !self.keys.contains_key(&id) {
            return Err(KeyRingError::Unknown(id));
        }
        self.sending = id;
        Ok(())
    }

    /// Takes a key out of the ring; what is sealed with it is refused from now on.
    ///
    /// # Errors
    /// [`KeyRingError::StillSending`] or [`KeyRingError::Unknown`].
    pub fn retire(&mut self, id: KeyId) -> Result<(), KeyRingError> {
        if id == self.sending {
            return Err(KeyRingError::StillSending(id));
        }
        self.keys
            .remove(&id)
            .map(drop)
            .ok_or(KeyRingError::Unknown(id))
    }

    /// Lists the keys by id.
    pub fn report(&self) -> Vec<KeyReport> {
        let report = |(id, entry): (&KeyId, &Entry)| {
            let last = entry.last_opened_unix_ms.load(Ordering::Relaxed);
            KeyReport {
                id: *id,
                state: if *id == self.sending {
                    KeyState::Sending
                } else {
                    KeyState::Accepted
                },
                opened: entry.opened.load(Ordering::Relaxed),
                last_opened_unix_ms: (last > 0).then_some(last),
            }
        };
        self.keys.iter().map(report).collect()
    }

    pub(crate) fn accepted(&self, id: KeyId) -> Option<&ClusterKey> {
        self.keys.get(&id).map(|entry| &entry.key)
    }

    /// The sending key; `None` cannot happen while the ring's rules hold, and is answered, not asserted.
    pub(crate) fn sending(&self) -> Option<&ClusterKey> {
        self.accepted(self.sending)
    }

    pub(crate) fn note_opened(&self, id: KeyId, unix_ms: u64) {
        if let Some(entry) = self.keys.get(&id) {
            entry.opened.fetch_add(1, Ordering::Relaxed);
            entry
                .last_opened_unix_ms
                .fetch_max(unix_ms, Ordering::Relaxed);
        }
    }
}

fn entry(key: ClusterKey) -> Entry {
    Entry {
        key,
        opened: AtomicU64::new(0),
        last_opened_unix_ms: AtomicU64::new(0),
    }
}

/// A ring that the running transport and the operator's commands share.
#[derive(Clone, Debug)]
pub struct SharedKeyRing(Arc<RwLock<KeyRing>>);

impl SharedKeyRing {
    /// Shares a ring.
    pub fn new(ring: KeyRing) -> Self {
        Self(Arc::new(RwLock::new(ring)))
    }

    /// Accepts one more key, see [`KeyRing::accept`].
    ///
    /// # Errors
    /// [`KeyRingError::Full`].
    pub fn accept(&self, key: ClusterKey) -> Result<(), KeyRingError> {
        self.change(|ring| ring.accept(key))
    }

    /// Sends with another key, see [`KeyRing::send_with`].
    ///
    /// # Errors
    /// [`KeyRingError::Unknown`].
    pub fn send_with(&self, id: KeyId) -> Result<(), KeyRingError> {
        self.change(|ring| ring.send_with(id))
    }

    /// Takes a key out, see [`KeyRing::retire`].
    ///
    /// # Errors
    /// [`KeyRingError::StillSending`] or [`KeyRingError::Unknown`].
    pub fn retire(&self, id: KeyId) -> Result<(), KeyRingError> {
        self.change(|ring| ring.retire(id))
    }

    /// Uses another ring from now on; counts begin anew.
    pub fn replace(&self, ring: KeyRing) {
        self.change(|current| *current = ring);
    }

    /// Lists the keys by id.
    pub fn report(&self) -> Vec<KeyReport> {
        self.read(KeyRing::report)
    }

    pub(crate) fn read<T>(&self, read: impl FnOnce(&KeyRing) -> T) -> T {
        read(&self.0.read().unwrap_or_else(PoisonError::into_inner))
    }

    fn change<T>(&self, change: impl FnOnce(&mut KeyRing) -> T) -> T {
        change(&mut self.0.write().unwrap_or_else(PoisonError::into_inner))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::key::key_for_test;

    #[test]
    fn a_ring_accepts_sends_and_retires_in_that_order_only() {
        let (old, new) = (key_for_test(1), key_for_test(2));
        let (old_id, new_id) = (old.id(), new.id());
        let mut ring = KeyRing::new(old);
        assert_eq!(ring.send_with(new_id), Err(KeyRingError::Unknown(new_id)));
        assert_eq!(ring.retire(old_id), Err(KeyRingError::StillSending(old_id)));
        ring.accept(new).expect("room");
        ring.accept(key_for_test(2)).expect("already there");
        assert_eq!(ring.report().len(), 2);
        ring.send_with(new_id).expect("accepted");
        assert_eq!(ring.sending().expect("a key").id(), new_id);
        ring.retire(old_id).expect("not in use");
        assert_eq!(ring.retire(old_id), Err(KeyRingError::Unknown(old_id)));
        assert!(ring.accepted(old_id).is_none());
    }

    #[test]
    fn a_ring_is_bounded() {
        let mut ring = KeyRing::new(key_for_test(0));
        for number in 1..4 {
            ring.accept(key_for_test(number)).expect("room");
        }
        assert_eq!(ring.accept(key_for_test(9)), Err(KeyRingError::Full));
        ring.accept(key_for_test(3)).expect("one that is there");
    }
}
