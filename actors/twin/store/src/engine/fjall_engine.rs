//! fjall 3: one keyspace, batches through its journal. Its flush is an fsync.

use std::ops::{Bound, ControlFlow};
use std::path::Path;

use fjall::{Database, Keyspace, KeyspaceCreateOptions, PersistMode};

use super::{Change, Engine, EngineError};
use crate::options::StoreOptions;
use crate::state_store::Visit;

const KEYSPACE: &str = "state";

/// The smallest that fjall allows: the log holds everything, the journal need not.
const JOURNAL_BYTES_MAX: u64 = 64 << 20;

struct FjallEngine {
    database: Database,
    keyspace: Keyspace,
}

impl std::fmt::Debug for FjallEngine {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter
            .debug_struct("FjallEngine")
            .finish_non_exhaustive()
    }
}

pub(super) fn open(
    directory: &Path,
    options: StoreOptions,
) -> Result<Box<dyn Engine>, EngineError> {
    let database = Database::builder(directory)
        .cache_size(options.cache_bytes_max)
        .max_journaling_size(JOURNAL_BYTES_MAX)
        .worker_threads(1)
        .open()
        .map_err(translate)?;
    let keyspace = database
        .keyspace(KEYSPACE, KeyspaceCreateOptions::default)
        .map_err(translate)?;
    Ok(Box::new(FjallEngine { database, keyspace }))
}

impl Engine for FjallEngine {
    fn name(&self) -> &'static str {
        "fjall"
    }

    fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, EngineError> {
        let value = self.keyspace.get(key).map_err(translate)?;
        Ok(value.map(|value| value.to_vec()))
    }

    fn scan(
        &self,
        start: &[u8],
        end: Option<&[u8]>,
        visit: &mut Visit<'_>,
    ) -> Result<(), EngineError> {
        if end.is_some_and(|end| end <= start) {
            return Ok(());
        }
        let bounds: (Bound<&[u8]>, Bound<&[u8]>) = (
            Bound::Included(start),
            end.map_or(Bound::Unbounded, Bound::Excluded),
        );
        for entry in self.keyspace.range::<&[u8], _>(bounds) {
            let (key, value) = entry.into_inner().map_err(translate)?;
            if let ControlFlow::Break(()) = visit(&key, &value) {
                break;
            }
        }
        Ok(())
    }

    fn write(&self, changes: Vec<Change>) -> Result<(), EngineError> {
        let mut batch = self.database.batch();
        for (key, value) in changes {
            match value {
                Some(value) => batch.insert(&self.keyspace, key, value),
                None => batch.remove(&self.keyspace, key),
            }
        }
        batch.commit().map_err(translate)
    }

    fn flush(&self) -> Result<(), EngineError> {
        self.database
            .persist(PersistMode::SyncAll)
            .map_err(translate)
    }
}

fn translate(error: fjall::Error) -> EngineError {
    match error {
        fjall::Error::Io(error) => EngineError::from_io(error),
        error => EngineError::Broken(error.to_string()),
    }
}
