//! sled 0.34: one database with one tree, so that a batch with the applied index is atomic.
//!
//! Its `flush` issues `sync_file_range` and never fsync: after a power cut anything may be gone.
//! On damage it may panic where it should err; such a panic is caught and reported as damage.

use std::ops::ControlFlow;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;

use super::{Change, Engine, EngineError};
use crate::options::StoreOptions;
use crate::state_store::Visit;

/// How often sled hands its buffers to the operating system by itself, in milliseconds.
///
/// A killed process loses at most this much of the store; replay brings it back.
const FLUSH_EVERY_MS: u64 = 500;

#[derive(Debug)]
struct SledEngine {
    database: Option<sled::Db>,
}

pub(super) fn open(
    directory: &Path,
    options: StoreOptions,
) -> Result<Box<dyn Engine>, EngineError> {
    let config = sled::Config::new()
        .path(directory)
        .cache_capacity(options.cache_bytes_max)
        .flush_every_ms(Some(FLUSH_EVERY_MS));
    let database = guarded(|| config.open())?;
    Ok(Box::new(SledEngine {
        database: Some(database),
    }))
}

impl SledEngine {
    fn database(&self) -> Result<&sled::Db, EngineError> {
        self.database
            .as_ref()
            .ok_or_else(|| EngineError::Broken("database is closed".to_owned()))
    }
}

impl Engine for SledEngine {
    fn name(&self) -> &'static str {
        "sled"
    }

    fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, EngineError> {
        let database = self.database()?;
        let value = guarded(|| database.get(key))?;
        Ok(value.map(|value| value.to_vec()))
    }

    fn scan(
        &self,
        start: &[u8],
        end: Option<&[u8]>,
        visit: &mut Visit<'_>,
    ) -> Result<(), EngineError> {
        let database = self.database()?;
        if end.is_some_and(|end| end <= start) {
            return Ok(());
        }
        let mut entries = guarded(|| {
            Ok(match end {
                Some(end) => database.range(start..end),
                None => database.range(start..),
            })
        })?;
        while let Some((key, value)) = guarded(|| entries.next().transpose())? {
            if let ControlFlow::Break(()) = visit(&key, &value) {
                break;
            }
        }
        Ok(())
    }

    fn write(&self, changes: Vec<Change>) -> Result<(), EngineError> {
        let database = self.database()?;
        let mut batch = sled::Batch::default();
        for (key, value) in changes {
            match value {
                Some(value) => batch.insert(key, value),
                None => batch.remove(key),
            }
        }
        guarded(|| database.apply_batch(batch))
    }

    fn flush(&self) -> Result<(), EngineError> {
        let database = self.database()?;
        guarded(|| database.flush())?;
        Ok(())
    }
}

impl Drop for SledEngine {
    fn drop(&mut self) {
        let database = self.database.take();
        // The last handle flushes when it goes; on a broken store that may panic, and there is
        // nobody to tell: whoever opens the store next checks all of it.
        drop(guarded(|| {
            drop(database);
            Ok(())
        }));
    }
}

/// Runs an operation of sled and turns its errors, and its panics, into ours.
fn guarded<T>(operation: impl FnOnce() -> sled::Result<T>) -> Result<T, EngineError> {
    match catch_unwind(AssertUnwindSafe(operation)) {
        Ok(Ok(value)) => Ok(value),
        Ok(Err(sled::Error::Io(error))) => Err(EngineError::from_io(error)),
        Ok(Err(error)) => Err(EngineError::Broken(error.to_string())),
        Err(panic) => {
            let message = panic
                .downcast_ref::<String>()
                .map(String::as_str)
                .or_else(|| panic.downcast_ref::<&str>().copied())
                .unwrap_or("no message");
            Err(EngineError::Broken(format!("sled panicked: {message}")))
        }
    }
}
