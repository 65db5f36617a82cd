//! What other nodes ask of this one's groups and router.

use super::directory::Directory;
use super::dispatch::{Answer, invalid, sealed};
use futures::future::BoxFuture;
use std::fmt;
use std::sync::Arc;
use twinscale_consensus::Groups;
use twinscale_protocol::{NodeNumber, WireError, WireErrorCode};
use twinscale_shards::{Router, decode_request};
use twinscale_wire::{Call, Envelope};

/// Gives the calls of consensus to the groups of this node, each in the name of the node that its sender's
/// certificate names.
pub struct ConsensusAnswers {
    groups: Arc<Groups>,
    directory: Arc<Directory>,
}

impl ConsensusAnswers {
    /// Answers with the groups of a node.
    #[must_use]
    pub fn new(groups: Arc<Groups>, directory: Arc<Directory>) -> Self {
        Self { groups, directory }
    }
}

impl fmt::Debug for ConsensusAnswers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ConsensusAnswers").finish_non_exhaustive()
    }
}

impl Answer for ConsensusAnswers {
    fn answer(
        &self,
        node: Option<NodeNumber>,
        call: Call,
    ) -> BoxFuture<'_, Result<Envelope, WireError>> {
        Box::pin(async move {
            // A name that came back may be known here by its old number alone; nobody else has the new one then.
            let is_sender =
                |from| node == Some(from) || (node < Some(from) && !self.directory.has(from));
            let received = self.groups.receive(call.envelope.bytes(), is_sender).await;
            let reply = received.map_err(|error| {
                let text = format!("{}: {error}", call.caller);
                WireError::new(WireErrorCode::PermissionDenied, text)
            })?;
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
