//! The store of a host as writer and readers share it: the writer opens, changes and closes it, readers
//! bring twins back from it.

use super::directory::StateSource;
use super::error::OpenError;
use super::recovery::load_one;
use crate::state::TwinState;
use std::sync::{Arc, PoisonError, RwLock};
use twinscale_protocol::CustomerId;
use twinscale_store::{StateStore, StoreError};

/// An open store, or none while there is no room for one.
#[derive(Debug, Default)]
pub(crate) struct StoreSlot(RwLock<Option<Opened>>);

pub(super) type Opened = Arc<Box<dyn StateStore>>;

impl StoreSlot {
    pub(super) fn of(store: Option<Box<dyn StateStore>>) -> Arc<Self> {
        Arc::new(Self(RwLock::new(store.map(Arc::new))))
    }

    pub(super) fn get(&self) -> Option<Opened> {
        let opened = self.0.read().unwrap_or_else(PoisonError::into_inner);
        opened.clone()
    }

    pub(super) fn put(&self, store: Option<Opened>) {
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = store;
    }

    /// Closes the store, which is there no more from now on; a reader that is at it closes it when it is
    /// done.
    pub(super) fn close(&self) -> Result<(), StoreError> {
        let taken = {
            let mut opened = self.0.write().unwrap_or_else(PoisonError::into_inner);
            opened.take()
        };
        match taken.and_then(Arc::into_inner) {
            Some(store) => store.close(),
            None => Ok(()),
        }
    }
}

impl StateSource for StoreSlot {
    fn is_open(&self) -> bool {
        let opened = self.0.read().unwrap_or_else(PoisonError::into_inner);
        opened.is_some()
    }

    fn bring_back(&self, customer: &CustomerId) -> Result<TwinState, OpenError> {
        let opened = self.get().ok_or(OpenError::Closed)?;
        load_one(&**opened, customer)
    }
}
