//! A store over any engine: checksums, digest, limits and the applied index.

use std::ops::ControlFlow;
use std::sync::{Mutex, MutexGuard, PoisonError};

use twinscale_log::LogIndex;

use crate::batch::Batch;
use crate::engine::{Change, Engine, EngineError, MemoryEngine};
use crate::envelope::{META_KEY, Meta, seal, unseal};
use crate::error::StoreError;
use crate::state_store::{KEY_BYTES_MAX, StateStore, VALUE_BYTES_MAX, Visit};

pub use crate::engine::MemoryDisk;

/// The first byte of every key.
const KEY_ROOT: &[u8] = b"/";

/// The first key behind all keys.
const KEY_END: &[u8] = b"0";

/// Invariant: `meta` is what the engine holds, unless `failed` says that nobody knows.
#[derive(Debug)]
pub(crate) struct CheckedStore {
    engine: Box<dyn Engine>,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    meta: Meta,
    /// Why the engine's last write failed.
    failed: Option<String>,
}

impl CheckedStore {
    /// Takes over an engine after a check of everything in it.
    pub(crate) fn new(engine: Box<dyn Engine>) -> Result<Self, CheckError> {
        let meta = verify(&*engine)?;
        Ok(Self {
            engine,
            state: Mutex::new(State { meta, failed: None }),
        })
    }

    /// A panic between the engine's write and the note of it leaves `failed` set: see `apply`.
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn engine_error(&self, operation: &'static str, error: &EngineError) -> StoreError {
        StoreError::Engine {
            engine: self.engine.name(),
            operation,
            reason: error.reason(),
        }
    }

    fn check_alive(&self, state: &State) -> Result<(), StoreError> {
        match &state.failed {
            None => Ok(()),
            Some(reason) => Err(StoreError::Engine {
                engine: self.engine.name(),
                operation: "write earlier",
                reason: reason.clone(),
            }),
        }
    }

    fn scan(
        &self,
        start: &[u8],
        end: Option<&[u8]>,
        visit: &mut Visit<'_>,
    ) -> Result<(), StoreError> {
        let mut broken = None;
        self.engine
            .scan(start, end, &mut |key, sealed| match unseal(key, sealed) {
                Ok(value) => visit(key, value),
                Err(error) => {
                    broken = Some(error);
                    ControlFlow::Break(())
                }
            })
            .map_err(|error| self.engine_error("scan", &error))?;
        broken.map_or(Ok(()), Err)
    }

    /// Seals the changes and works out the record that goes with them.
    fn prepare(&self, batch: &Batch, mut meta: Meta) -> Result<(Vec<Change>, Meta), StoreError> {
        let mut changes = Vec::with_capacity(batch.len() + 1);
        for (key, value) in batch.changes() {
            check_key(key)?;
            let before = self
                .engine
                .get(key)
                .map_err(|error| self.engine_error("read", &error))?;
            if let Some(before) = &before {
                meta.remove(before);
            }
            let sealed = match value {
                None => None,
                Some(value) if value.len() > VALUE_BYTES_MAX => {
                    return Err(StoreError::ValueTooLarge {
                        key: key.escape_ascii().to_string(),
                        bytes: value.len(),
                        limit: VALUE_BYTES_MAX,
                    });
                }
                Some(value) => {
                    let sealed = seal(key, value);
                    meta.add(&sealed);
                    Some(sealed)
                }
            };
            if before.is_some() || sealed.is_some() {
                changes.push((key.to_vec(), sealed));
            }
        }
        changes.push((META_KEY.to_vec(), Some(meta.encode())));
        Ok((changes, meta))
    }
}

impl StateStore for CheckedStore {
    fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, StoreError> {
        check_key(key)?;
        self.engine
            .get(key)
            .map_err(|error| self.engine_error("read", &error))?
            .map(|sealed| unseal(key, &sealed).map(<[u8]>::to_vec))
            .transpose()
    }

    fn scan_range(
        &self,
        start: &[u8],
        end: &[u8],
        visit: &mut Visit<'_>,
    ) -> Result<(), StoreError> {
        self.scan(start.max(KEY_ROOT), Some(end.min(KEY_END)), visit)
    }

    fn scan_prefix(&self, prefix: &[u8], visit: &mut Visit<'_>) -> Result<(), StoreError> {
        let end = prefix_end(prefix);
        let end = end.as_deref().unwrap_or(KEY_END);
        self.scan_range(prefix, end, visit)
    }

    fn apply(&self, batch: &Batch, applied_index: LogIndex) -> Result<(), StoreError> {
        let mut state = self.state();
        self.check_alive(&state)?;
        let applied = state.meta.applied_index;
        if applied_index <= applied {
            return Err(StoreError::AppliedAlready {
                given: applied_index,
                applied,
            });
        }
        let next = Meta {
            applied_index,
            ..state.meta
        };
        let (changes, next) = self.prepare(batch, next)?;
        // Until the engine answers, its contents are unknown, also should it panic.
        state.failed = Some("write did not return".to_owned());
        match self.engine.write(changes) {
            Ok(()) => {
                state.failed = None;
                state.meta = next;
                Ok(())
            }
            Err(error) => {
                state.failed = Some(error.reason());
                Err(self.engine_error("write", &error))
            }
        }
    }

    fn applied_index(&self) -> LogIndex {
        self.state().meta.applied_index
    }

    fn entries(&self) -> u64 {
        self.state().meta.entries
    }

    fn flush(&self) -> Result<(), StoreError> {
        self.engine
            .flush()
            .map_err(|error| self.engine_error("flush", &error))
    }

    fn close(self: Box<Self>) -> Result<(), StoreError> {
        self.flush()
    }
}

/// Why an engine's contents were not taken over.
#[derive(Debug)]
pub(crate) enum CheckError {
    Surroundings(std::io::Error),
    Broken(String),
}

impl From<EngineError> for CheckError {
    fn from(error: EngineError) -> Self {
        match error {
            EngineError::Surroundings(error) => Self::Surroundings(error),
            EngineError::Broken(reason) => Self::Broken(reason),
        }
    }
}

/// Reads everything and compares it with the record of what should be there.
fn verify(engine: &dyn Engine) -> Result<Meta, CheckError> {
    let meta = match engine.get(META_KEY)? {
        None => Meta::default(),
        Some(sealed) => {
            Meta::decode(&sealed).map_err(|error| CheckError::Broken(error.to_string()))?
        }
    };
    let mut found = Meta {
        applied_index: meta.applied_index,
        ..Meta::default()
    };
    let mut broken = None;
    engine.scan(&[], None, &mut |key, sealed| {
        if key == META_KEY {
            return ControlFlow::Continue(());
        }
        let checked = check_key(key).and_then(|()| unseal(key, sealed).map(|_| ()));
        match checked {
            Ok(()) => {
                found.add(sealed);
                ControlFlow::Continue(())
            }
            Err(error) => {
                broken = Some(error.to_string());
                ControlFlow::Break(())
            }
        }
    })?;
    if let Some(reason) = broken {
        return Err(CheckError::Broken(reason));
    }
    if found != meta {
        return Err(CheckError::Broken(format!(
            "store holds {} keys with digest {:016x}, but {} keys with digest {:016x} were applied \
             through entry {}",
            found.entries, found.digest, meta.entries, meta.digest, meta.applied_index
        )));
    }
    Ok(meta)
}

fn check_key(key: &[u8]) -> Result<(), StoreError> {
    let rule = if !key.starts_with(KEY_ROOT) {
        "keys begin with /"
    } else if key.len() > KEY_BYTES_MAX {
        "keys have at most 512 bytes"
    } else {
        return Ok(());
    };
    Err(StoreError::InvalidKey {
        key: key
            .iter()
            .take(KEY_BYTES_MAX)
            .copied()
            .flat_map(std::ascii::escape_default)
            .map(char::from)
            .collect(),
        rule,
    })
}

/// Returns the first key behind all that begin with a prefix; `None` when there is none.
fn prefix_end(prefix: &[u8]) -> Option<Vec<u8>> {
    let mut end = prefix.to_vec();
    while let Some(last) = end.pop() {
        if let Some(next) = last.checked_add(1) {
            end.push(next);
            return Some(end);
        }
    }
    None
}

/// Opens a store in memory; what it holds is kept in `disk` when it is closed.
///
/// # Errors
/// [`StoreError::Broken`] when the contents were changed by something else than a store.
pub fn open_in_memory(disk: &MemoryDisk) -> Result<Box<dyn StateStore>, StoreError> {
    match CheckedStore::new(Box::new(MemoryEngine::new(disk.clone()))) {
        Ok(store) => Ok(Box::new(store)),
        Err(CheckError::Broken(reason)) => Err(StoreError::broken(&[], reason)),
        Err(CheckError::Surroundings(error)) => Err(StoreError::io("open", "memory", error)),
    }
}
