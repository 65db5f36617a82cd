//! What other nodes ask of this one's groups and router.

use super::dispatch::{Answer, invalid, sealed};
use futures::future::BoxFuture;
use std::fmt;
use std::sync::Arc;
use twinscale_consensus::Groups;
use twinscale_protocol::{NodeNumber, WireError, WireErrorCode};
use twinscale_shards::{Router, decode_request};
use twinscale_wire::{Call, Envelope};

/// Gives the calls of consensus to the groups of this node.
pub struct ConsensusAnswers(pub Arc<Groups>);

impl fmt::Debug for ConsensusAnswers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ConsensusAnswers").finish_non_exhaustive()
    }
}

impl Answer for ConsensusAnswers {
    fn answer(
        &self,
        _node: Option<NodeNumber>,
        call: Call,
    ) -> BoxFuture<'_, Result<Envelope, WireError>> {
        Box::pin(async move {
            let received = self.0.receive(call.envelope.bytes()).await;
            let reply = received
                .map_err(|error| WireError::new(WireErrorCode::Invalid, error.to_string()))?;
            sealed(reply)
        })
    }
}

/// Gives the commands that other nodes send on to the router of this node.
#[derive(Debug)]
pub struct ShardAnswers(pub Arc<Router>);

impl Answer for ShardAnswers {
    fn answer(
        &self,
        _node: Option<NodeNumber>,
        call: Call,
    ) -> BoxFuture<'_, Result<Envelope, WireError>> {
        Box::pin(async move {
            let request = decode_request(call.envelope.bytes()).map_err(|error| invalid(&error))?;
            sealed(self.0.answer(request).await)
        })
    }
}
