//! Which twins there are.

use super::SharedTwin;
use crate::state::TwinState;
use std::collections::BTreeMap;
use std::sync::{PoisonError, RwLock};
use twinscale_protocol::CustomerId;

/// The twins of a host by customer.
#[derive(Debug, Default)]
pub(super) struct Directory {
    twins: RwLock<BTreeMap<CustomerId, SharedTwin>>,
}

impl Directory {
    pub(super) fn insert(&self, state: TwinState) {
        let customer = state.customer().clone();
        self.twins
            .write()
            .unwrap_or_else(PoisonError::into_inner)
            .insert(customer, SharedTwin::new(state));
    }

    pub(super) fn find(&self, customer: &CustomerId) -> Option<SharedTwin> {
        self.twins
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .get(customer)
            .cloned()
    }

    pub(super) fn ensure(&self, customer: &CustomerId) -> SharedTwin {
        if let Some(twin) = self.find(customer) {
            return twin;
        }
        let mut twins = self.twins.write().unwrap_or_else(PoisonError::into_inner);
        twins
            .entry(customer.clone())
            .or_insert_with(|| SharedTwin::new(TwinState::new(customer.clone())))
            .clone()
    }

    pub(super) fn customers(&self) -> Vec<CustomerId> {
        let twins = self.twins.read().unwrap_or_else(PoisonError::into_inner);
        twins.keys().cloned().collect()
    }

    pub(super) fn len(&self) -> usize {
        self.twins
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .len()
    }
}
