//! Changes that take effect together.

use std::collections::BTreeMap;

/// Puts and deletes, at most one per key: the later one counts.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Batch {
    changes: BTreeMap<Vec<u8>, Option<Vec<u8>>>,
}

/// What a batch says about one key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pending<'a> {
    /// The batch leaves the key as the store has it.
    Unchanged,
    /// The batch puts this value.
    Put(&'a [u8]),
    /// The batch deletes the key.
    Deleted,
}

impl Batch {
    /// Makes an empty batch.
    pub fn new() -> Self {
        Self::default()
    }

    /// Puts a value under a key.
    pub fn put(&mut self, key: impl Into<Vec<u8>>, value: impl Into<Vec<u8>>) {
        self.changes.insert(key.into(), Some(value.into()));
    }

    /// Deletes a key; one that is not there is no error.
    pub fn delete(&mut self, key: impl Into<Vec<u8>>) {
        self.changes.insert(key.into(), None);
    }

    /// Returns what the batch says about a key, for changes that depend on earlier ones in it.
    pub fn pending(&self, key: &[u8]) -> Pending<'_> {
        match self.changes.get(key) {
            None => Pending::Unchanged,
            Some(None) => Pending::Deleted,
            Some(Some(value)) => Pending::Put(value),
        }
    }

    /// Returns the number of keys that the batch changes.
    pub fn len(&self) -> usize {
        self.changes.len()
    }

    /// Says whether the batch changes nothing.
    pub fn is_empty(&self) -> bool {
        self.changes.is_empty()
    }

    /// Returns the changes in the order of their keys; `None` deletes.
    pub(crate) fn changes(&self) -> impl Iterator<Item = (&[u8], Option<&[u8]>)> {
        self.changes
            .iter()
            .map(|(key, value)| (key.as_slice(), value.as_deref()))
    }
}
