//! An engine in memory, for tests and for replays that need no disk.

use std::collections::BTreeMap;
use std::ops::{Bound, ControlFlow};
use std::sync::{Arc, PoisonError, RwLock};

use super::{Change, Engine, EngineError};
use crate::state_store::Visit;

/// What an in-memory store keeps when it is closed; clones share it.
#[derive(Clone, Debug, Default)]
pub struct MemoryDisk {
    map: Arc<RwLock<BTreeMap<Vec<u8>, Vec<u8>>>>,
}

#[derive(Debug)]
pub(crate) struct MemoryEngine {
    disk: MemoryDisk,
}

impl MemoryEngine {
    pub(crate) fn new(disk: MemoryDisk) -> Self {
        Self { disk }
    }
}

impl Engine for MemoryEngine {
    fn name(&self) -> &'static str {
        "memory"
    }

    fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, EngineError> {
        let map = self.disk.map.read().unwrap_or_else(PoisonError::into_inner);
        Ok(map.get(key).cloned())
    }

    fn scan(
        &self,
        start: &[u8],
        end: Option<&[u8]>,
        visit: &mut Visit<'_>,
    ) -> Result<(), EngineError> {
        // A copy of the range, so that a visitor may use the store.
        let found: Vec<(Vec<u8>, Vec<u8>)> = {
            let map = self.disk.map.read().unwrap_or_else(PoisonError::into_inner);
            if end.is_some_and(|end| end <= start) {
                return Ok(());
            }
            let bounds = (
                Bound::Included(start),
                end.map_or(Bound::Unbounded, Bound::Excluded),
            );
            map.range::<[u8], _>(bounds)
                .map(|(key, value)| (key.clone(), value.clone()))
                .collect()
        };
        for (key, value) in found {
            if let ControlFlow::Break(()) = visit(&key, &value) {
                break;
            }
        }
        Ok(())
    }

    fn write(&self, changes: Vec<Change>) -> Result<(), EngineError> {
        let mut map = self
            .disk
            .map
            .write()
            .unwrap_or_else(PoisonError::into_inner);
        for (key, value) in changes {
            match value {
                Some(value) => map.insert(key, value),
                None => map.remove(&key),
            };
        }
        Ok(())
    }

    fn flush(&self) -> Result<(), EngineError> {
        Ok(())
    }
}
