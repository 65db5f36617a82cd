//! Errands and reports as calls, and who hears whom.

use futures::FutureExt;
use futures::future::BoxFuture;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use twinscale_cluster::meta::{
    Carrier, ErrandRequest, Hands, Heard, NodeReport, ReportDesk, ReportNetwork,
    decode_errand_reply, encode_errand_reply,
};
use twinscale_membership::{SystemWallClock, WallClock};
use twinscale_meta::{NodeObserved, UnixMillis};
use twinscale_protocol::{NodeNumber, WireError, WireErrorCode};

/// What nodes can reach of each other, besides consensus, and who hears whom.
#[derive(Clone, Default)]
pub(crate) struct Hub(Arc<Mutex<HubState>>);

#[derive(Default)]
pub(crate) struct HubState {
    pub(crate) reached: BTreeMap<NodeNumber, (Hands, ReportDesk)>,
    pub(crate) heard: BTreeMap<NodeNumber, NodeObserved>,
    incarnations: BTreeMap<NodeNumber, u64>,
    /// Nodes that reach each other and none of the rest.
    pub(crate) alone: BTreeSet<NodeNumber>,
}

impl Hub {
    pub(crate) fn state(&self) -> MutexGuard<'_, HubState> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn reach(
        &self,
        from: NodeNumber,
        to: NodeNumber,
    ) -> Result<(Hands, ReportDesk), WireError> {
        let state = self.state();
        let is_cut = state.alone.contains(&from) != state.alone.contains(&to);
        let reached = state.reached.get(&to).filter(|_| !is_cut).cloned();
        reached.ok_or_else(|| WireError::new(WireErrorCode::Unavailable, "nobody listens"))
    }

    pub(crate) fn turn(&self, node: NodeNumber, alive: bool, incarnation: u64) {
        let seen = NodeObserved {
            alive,
            ready: true,
            incarnation,
            since: UnixMillis(SystemWallClock.unix_ms()),
            load: 0,
        };
        let mut state = self.state();
        state.heard.insert(node, seen);
        state.incarnations.insert(node, incarnation);
    }

    pub(crate) fn incarnation(&self, node: NodeNumber) -> u64 {
        let state = self.state();
        state.incarnations.get(&node).copied().unwrap_or_default()
    }
}

impl Heard for Hub {
    fn nodes(&self) -> BTreeMap<NodeNumber, NodeObserved> {
        self.state().heard.clone()
    }
}

/// The hub as one node sees it.
pub(crate) struct Side {
    pub(crate) hub: Hub,
    pub(crate) node: NodeNumber,
}

impl Carrier for Side {
    fn carry(
        &self,
        node: NodeNumber,
        request: ErrandRequest,
    ) -> BoxFuture<'_, Result<(), WireError>> {
        async move {
            let (hands, _) = self.hub.reach(self.node, node)?;
            let request = ErrandRequest::decode(&request.encode().expect("small")).expect("whole");
            let reply = hands.run(request).await;
            decode_errand_reply(&encode_errand_reply(&reply).expect("small")).expect("whole")
        }
        .boxed()
    }
}

impl ReportNetwork for Side {
    fn send(
        &self,
        node: NodeNumber,
        report: Vec<u8>,
        _limit: Duration,
    ) -> BoxFuture<'_, Result<Vec<u8>, WireError>> {
        async move {
            let (_, desk) = self.hub.reach(self.node, node)?;
            let report = NodeReport::decode(&report).expect("whole");
            Ok(desk.receive(report).encode().expect("small"))
        }
        .boxed()
    }

    fn seeds(&self) -> Vec<NodeNumber> {
        self.hub.state().reached.keys().copied().collect()
    }
}
