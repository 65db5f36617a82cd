//! The newest state of group 0 that this node knows.

use std::sync::{Arc, Mutex, PoisonError};
use tokio::sync::watch;
use twinscale_meta::MetaState;

/// The newest state of group 0 that this node knows, from its own replica or from a copy of the leader's.
///
/// Invariant: it never goes back. Everything in it was committed; it may be old.
#[derive(Debug, Default)]
pub struct MetaShown {
    /// The log index through which the state is applied; `None` = nothing was shown yet.
    index: Mutex<Option<u64>>,
    state: watch::Sender<Arc<MetaState>>,
}

impl MetaShown {
    /// Returns the state, and tells of changes.
    pub fn subscribe(&self) -> watch::Receiver<Arc<MetaState>> {
        self.state.subscribe()
    }

    /// Returns the state.
    pub fn state(&self) -> Arc<MetaState> {
        Arc::clone(&self.state.borrow())
    }

    /// Returns the log index through which it is applied.
    pub fn index(&self) -> Option<u64> {
        *self.index.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Returns both, of one moment.
    pub fn current(&self) -> (Option<u64>, Arc<MetaState>) {
        let index = self.index.lock().unwrap_or_else(PoisonError::into_inner);
        (*index, self.state())
    }

    /// Shows a state, unless one as new is shown already; the state is made only when it is needed.
    pub(super) fn show(&self, through: u64, state: impl FnOnce() -> Arc<MetaState>) {
        let mut index = self.index.lock().unwrap_or_else(PoisonError::into_inner);
        if index.is_some_and(|index| index >= through) {
            return;
        }
        *index = Some(through);
        self.state.send_replace(state());
    }
}
