//! What transport and observer share about incarnations: which gossip knows, and who knows our state.

use chitchat::ChitchatId;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Mutex, PoisonError};
use tokio::sync::Notify;
use twinscale_protocol::NodeNumber;

use crate::limits::INCARNATIONS_MAX;

#[derive(Debug, Default)]
pub(crate) struct Roster {
    known: Mutex<BTreeSet<ChitchatId>>,
    /// The newest version of our own state that each member said to know.
    confirmed: Mutex<BTreeMap<NodeNumber, u64>>,
    confirmed_more: Notify,
}

impl Roster {
    /// Takes in what a digest names, unless gossip would then keep too many incarnations.
    pub(crate) fn admit(&self, digest: &[(ChitchatId, u64)]) -> bool {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        let added: BTreeSet<_> = digest
            .iter()
            .map(|(id, _)| id)
            .filter(|id| !known.contains(id))
            .collect();
        let fits = known.len() + added.len() <= INCARNATIONS_MAX;
        if fits {
            known.extend(added.into_iter().cloned());
        }
        fits
    }

    /// Starts again from what gossip keeps; what it forgot makes room.
    pub(crate) fn replace(&self, known: BTreeSet<ChitchatId>) {
        *self.known.lock().unwrap_or_else(PoisonError::into_inner) = known;
    }

    /// Notes that a member knows our own state up to a version.
    pub(crate) fn confirm(&self, member: NodeNumber, version: u64) {
        let mut confirmed = self
            .confirmed
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        if confirmed.len() < INCARNATIONS_MAX || confirmed.contains_key(&member) {
            let newest = confirmed.entry(member).or_insert(0);
            *newest = version.max(*newest);
            self.confirmed_more.notify_waiters();
        }
    }

    pub(crate) fn has_confirmed(&self, member: NodeNumber, version: u64) -> bool {
        let confirmed = self
            .confirmed
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        confirmed
            .get(&member)
            .is_some_and(|known| *known >= version)
    }

    /// Waits for the next confirmation.
    pub(crate) async fn confirmed_more(&self) {
        self.confirmed_more.notified().await;
    }
}
