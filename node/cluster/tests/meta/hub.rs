//! Errands and reports as calls, and who hears whom.

use futures::FutureExt;
use futures::future::BoxFuture;
use std::collections::BTreeMap;
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
}

impl Hub {
    pub(crate) fn state(&self) -> MutexGuard<'_, HubState> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn reach(&self, node: NodeNumber) -> Result<(Hands, ReportDesk), WireError> {
        let reached = self.state().reached.get(&node).cloned();
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

impl Carrier for Hub {
    fn carry(
        &self,
        node: NodeNumber,
        request: ErrandRequest,
    ) -> BoxFuture<'_, Result<(), WireError>> {
        async move {
            let (hands, _) = self.reach(node)?;
            let request = ErrandRequest::decode(&request.encode().expect("small")).expect("whole");
            let reply = hands.run(request).await;
            decode_errand_reply(&encode_errand_reply(&reply).expect("small")).expect("whole")
        }
        .boxed()
    }
}

impl ReportNetwork for Hub {
    fn send(
        &self,
        node: NodeNumber,
        report: Vec<u8>,
        _limit: Duration,
    ) -> BoxFuture<'_, Result<Vec<u8>, WireError>> {
        async move {
            let (_, desk) = self.reach(node)?;
            let report = NodeReport::decode(&report).expect("whole");
            Ok(desk.receive(report).encode().expect("small"))
        }
        .boxed()
    }

    fn seeds(&self) -> Vec<NodeNumber> {
        self.state().reached.keys().copied().collect()
    }
}
