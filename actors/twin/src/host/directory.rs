//! Which twins there are: on a host, or in a shard.

use super::SharedTwin;
use crate::state::TwinState;
use std::collections::BTreeMap;
use std::sync::{PoisonError, RwLock};
use twinscale_protocol::CustomerId;

/// The twins of a host by customer.
#[derive(Debug, Default)]
pub(crate) struct Directory {
    twins: RwLock<BTreeMap<CustomerId, SharedTwin>>,
}

impl Directory {
    pub(crate) fn insert(&self, state: TwinState) {
        let customer = state.customer().clone();
        self.twins
            .write()
            .unwrap_or_else(PoisonError::into_inner)
            .insert(customer, SharedTwin::new(state));
    }

    /// Takes a twin that another directory held.
    pub(crate) fn adopt(&self, customer: CustomerId, twin: SharedTwin) {
        self.twins
            .write()
            .unwrap_or_else(PoisonError::into_inner)
            .insert(customer, twin);
    }

    pub(crate) fn find(&self, customer: &CustomerId) -> Option<SharedTwin> {
        self.twins
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .get(customer)
            .cloned()
    }

    pub(crate) fn ensure(&self, customer: &CustomerId) -> SharedTwin {
        if let Some(twin) = self.find(customer) {
            return twin;
        }
        let mut twins = self.twins.write().unwrap_or_else(PoisonError::into_inner);
        twins
            .entry(customer.clone())
            .or_insert_with(|| SharedTwin::new(TwinState::new(customer.clone())))
            .clone()
    }

    pub(crate) fn customers(&self) -> Vec<CustomerId> {
        let twins = self.twins.read().unwrap_or_else(PoisonError::into_inner);
        twins.keys().cloned().collect()
    }

    /// Puts other twins in the place of all: readers that hold one of the old go on to see that.
    pub(crate) fn replace(&self, states: Vec<TwinState>) {
        let states = states.into_iter();
        let twins = states.map(|state| (state.customer().clone(), SharedTwin::new(state)));
        let twins = twins.collect();
        *self.twins.write().unwrap_or_else(PoisonError::into_inner) = twins;
    }

    /// All twins, by customer.
    pub(crate) fn all(&self) -> Vec<SharedTwin> {
        let twins = self.twins.read().unwrap_or_else(PoisonError::into_inner);
        twins.values().cloned().collect()
    }

    pub(crate) fn len(&self) -> usize {
        self.twins
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .len()
    }
}
