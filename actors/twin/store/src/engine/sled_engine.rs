//! sled 0.34: one database with one tree, so that a batch with the applied index is atomic.
//!
//! Its `flush` issues `sync_file_range` and never fsync: after a power cut anything may be gone.
//! On damage it may panic where it should err; such a panic is caught and reported as damage.

use std::io;
use std::ops::ControlFlow;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::time::Duration;

use super::{Change, Engine, EngineError};
use crate::options::StoreOptions;
use crate::state_store::Visit;

/// How often sled hands its buffers to the operating system by itself, in milliseconds.
///
/// A killed process loses at most this much of the store; replay brings it back.
const FLUSH_EVERY_MS: u64 = 500;

/// What sled says of a database whose lock another handle holds.
const LOCK_HELD: &str = "could not acquire lock";

/// Attempts to open a database whose lock is held, and the pause between them: ten seconds in all.
const LOCK_ATTEMPTS_MAX: u32 = 1_000;
const LOCK_PAUSE: Duration = Duration::from_millis(10);

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
    Ok(Box::new(SledEngine {
        database: Some(open_when_free(&config)?),
    }))
}

/// Opens the database; one that was just closed may hold its lock a little longer, until sled's own
/// flushing thread lets go of it. Our own lock is held by now, so nobody else can have it.
fn open_when_free(config: &sled::Config) -> Result<sled::Db, EngineError> {
    let mut attempts_left = LOCK_ATTEMPTS_MAX;
    loop {
        match guarded(|| config.open()) {
            Err(EngineError::Broken(text)) if text.contains(LOCK_HELD) => {
                if attempts_left == 0 {
                    let busy = io::Error::new(io::ErrorKind::ResourceBusy, text);
                    return Err(EngineError::Surroundings(busy));
                }
                attempts_left -= 1;
                // sled has nothing to wait on.
                std::thread::park_timeout(LOCK_PAUSE);
            }
            opened => return opened,
        }
    }
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
