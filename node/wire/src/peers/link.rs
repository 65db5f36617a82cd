//! One peer: a connection for calls and one for streams, so that a large stream never delays a call.

use super::lane::{Lane, LaneParts};
use super::{PeerStatus, Shared};
use crate::admission::Slots;
use tokio::sync::watch;
use twinscale_protocol::NodeId;

#[derive(Debug)]
pub(super) struct Link {
    pub(super) calls: Lane,
    pub(super) streams: Lane,
    pub(super) slots: Slots,
    address: watch::Sender<String>,
}

impl Link {
    pub(super) fn start(shared: &Shared, peer: &NodeId, address: &str) -> Self {
        let address = watch::Sender::new(address.to_owned());
        let lane = |salt| {
            Lane::start(LaneParts {
                peer: peer.clone(),
                address: address.subscribe(),
                credentials: shared.credentials.clone(),
                settings: shared.settings.clone(),
                metrics: shared.metrics.clone(),
                salt,
            })
        };
        Self {
            calls: lane(0),
            streams: lane(1),
            slots: Slots::new(&shared.settings),
            address,
        }
    }

    pub(super) fn move_to(&self, address: &str) {
        self.address.send_if_modified(|known| {
            let is_new = known != address;
            if is_new {
                address.clone_into(known);
            }
            is_new
        });
    }

    pub(super) fn status(&self, peer: &NodeId) -> PeerStatus {
        PeerStatus {
            peer: peer.clone(),
            address: self.address.borrow().clone(),
            state: self.calls.state(),
        }
    }
}
