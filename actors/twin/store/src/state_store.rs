//! The trait through which the node reads and changes the applied state.

use std::fmt::Debug;
use std::ops::ControlFlow;

use twinscale_log::LogIndex;

use crate::batch::Batch;
use crate::error::StoreError;

/// The longest key, in bytes.
pub const KEY_BYTES_MAX: usize = 512;

/// The largest value, in bytes: as large as the largest command of the log.
pub const VALUE_BYTES_MAX: usize = 16 << 20;

/// Told of each key and value of a scan; breaks to end it.
pub type Visit<'a> = dyn FnMut(&[u8], &[u8]) -> ControlFlow<()> + 'a;

/// A key and its value.
pub type KeyValue = (Vec<u8>, Vec<u8>);

/// A store of the applied state and of how far the log is applied in it.
pub trait StateStore: Debug + Send + Sync {
    /// Returns the value under a key.
    ///
    /// # Errors
    /// [`StoreError::Broken`] when the value fails its checksum; [`StoreError::Engine`].
    fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, StoreError>;

    /// Visits keys in `start..end` in order, with their values.
    ///
    /// # Errors
    /// Those of [`StateStore::get`].
    fn scan_range(&self, start: &[u8], end: &[u8], visit: &mut Visit<'_>)
    -> Result<(), StoreError>;

    /// Visits all keys that begin with a prefix in order, with their values.
    ///
    /// # Errors
    /// Those of [`StateStore::get`].
    fn scan_prefix(&self, prefix: &[u8], visit: &mut Visit<'_>) -> Result<(), StoreError>;

    /// Applies all changes of a batch and the applied index, or nothing of them.
    ///
    /// Visible at once; survives a killed process as far as the engine wrote it, and a power cut
    /// not at all for certain. Replay from the log closes either gap.
    ///
    /// # Errors
    /// [`StoreError::AppliedAlready`] unless `applied_index` is higher than the one before;
    /// [`StoreError::InvalidKey`] and [`StoreError::ValueTooLarge`] change nothing;
    /// [`StoreError::Engine`] ends all use of the store until it is opened again.
    fn apply(&self, batch: &Batch, applied_index: LogIndex) -> Result<(), StoreError>;

    /// Returns the index of the last applied entry, [`LogIndex::ZERO`] for none.
    fn applied_index(&self) -> LogIndex;

    /// Returns the number of keys.
    fn entries(&self) -> u64;

    /// Hands what is buffered to the operating system.
    ///
    /// With sled this is no fsync: never purge log because of it, never acknowledge on it.
    ///
    /// # Errors
    /// [`StoreError::Engine`].
    fn flush(&self) -> Result<(), StoreError>;

    /// Flushes and closes.
    ///
    /// # Errors
    /// [`StoreError::Engine`]; the store is closed all the same.
    fn close(self: Box<Self>) -> Result<(), StoreError>;
}

/// Gathers at most `entries_max` keys and values that begin with a prefix, in order.
///
/// # Errors
/// Those of [`StateStore::scan_prefix`].
pub fn collect_prefix(
    store: &dyn StateStore,
    prefix: &[u8],
    entries_max: usize,
) -> Result<Vec<KeyValue>, StoreError> {
    let mut found = Vec::new();
    if entries_max == 0 {
        return Ok(found);
    }
    store.scan_prefix(prefix, &mut |key, value| {
        found.push((key.to_vec(), value.to_vec()));
        if found.len() < entries_max {
            ControlFlow::Continue(())
        } else {
            ControlFlow::Break(())
        }
    })?;
    Ok(found)
}
