//! Errands and reports over the wire.

use crate::meta::{
    Carrier, ERRAND_REPLY, ErrandRequest, Hands, NodeReport, ReportDesk, ReportNetwork,
    decode_errand_reply, encode_errand_reply,
};
use crate::network::{Answer, NodeCalls, invalid, sealed};
use futures::future::BoxFuture;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;
use twinscale_membership::{Liveness, MembershipView};
use twinscale_protocol::{NodeNumber, WireError, WireErrorCode};
use twinscale_wire::{Call, Envelope};

/// Carries errands and reports; what a node asks of itself does not leave it.
#[derive(Clone)]
pub(super) struct MetaNetwork {
    pub(super) own: NodeNumber,
    pub(super) calls: NodeCalls,
    pub(super) hands: Hands,
    pub(super) desk: ReportDesk,
    pub(super) members: watch::Receiver<Arc<MembershipView>>,
}

impl Carrier for MetaNetwork {
    fn carry(
        &self,
        node: NodeNumber,
        request: ErrandRequest,
    ) -> BoxFuture<'_, Result<(), WireError>> {
        Box::pin(async move {
            if node == self.own {
                return self.hands.run(request).await;
            }
            let limit = request.limit();
            let request = request.encode().map_err(|error| invalid(&error))?;
            let reply = self.calls.call(node, request, limit).await?;
            decode_errand_reply(&reply).map_err(|error| invalid(&error))?
        })
    }
}

impl ReportNetwork for MetaNetwork {
    fn send(
        &self,
        node: NodeNumber,
        report: Vec<u8>,
        limit: Duration,
    ) -> BoxFuture<'_, Result<Vec<u8>, WireError>> {
        Box::pin(async move {
            if node == self.own {
                let report = NodeReport::decode(&report).map_err(|error| invalid(&error))?;
                let reply = self.desk.receive(report).encode();
                return reply.map_err(|error| invalid(&error));
            }
            Ok(self.calls.call(node, report, limit).await?.to_vec())
        })
    }

    fn seeds(&self) -> Vec<NodeNumber> {
        let view = self.members.borrow();
        let alive = view
            .members
            .values()
            .filter(|member| member.liveness == Liveness::Alive);
        alive.map(|member| member.id).collect()
    }
}

/// Does errands for the leader of group 0.
pub(super) struct ErrandAnswers(pub(super) Hands);

impl Answer for ErrandAnswers {
    fn answer(
        &self,
        _node: Option<NodeNumber>,
        call: Call,
    ) -> BoxFuture<'_, Result<Envelope, WireError>> {
        Box::pin(async move {
            let request = ErrandRequest::decode(call.envelope.bytes());
            let done = self.0.run(request.map_err(|error| invalid(&error))?).await;
            let reply = encode_errand_reply(&done).map_err(|error| invalid(&error))?;
            let sealed = sealed(reply)?;
            debug_assert_eq!(sealed.kind(), ERRAND_REPLY, "its own kind");
            Ok(sealed)
        })
    }
}

/// Takes reports of other nodes: each of itself alone.
pub(super) struct ReportAnswers(pub(super) ReportDesk);

impl Answer for ReportAnswers {
    fn answer(
        &self,
        node: Option<NodeNumber>,
        call: Call,
    ) -> BoxFuture<'_, Result<Envelope, WireError>> {
        Box::pin(async move {
            let report = NodeReport::decode(call.envelope.bytes());
            let report = report.map_err(|error| invalid(&error))?;
            if node != Some(report.node) {
                let text = format!("{} reports for node {}", call.caller, report.node);
                return Err(WireError::new(WireErrorCode::PermissionDenied, text));
            }
            let reply = self.0.receive(report).encode();
            sealed(reply.map_err(|error| invalid(&error))?)
        })
    }
}
