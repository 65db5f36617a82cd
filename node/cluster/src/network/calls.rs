//! Calls between nodes by number.

use super::directory::Directory;
use bytes::Bytes;
use futures::future::BoxFuture;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;
use twinscale_protocol::{NodeNumber, WireError, WireErrorCode};
use twinscale_shards::ShardNetwork;
use twinscale_wire::{CallOptions, Envelope, Peers};

/// Calls nodes by the numbers that group 0 gave them.
#[derive(Clone)]
pub struct NodeCalls {
    peers: Peers,
    directory: Arc<Directory>,
}

impl fmt::Debug for NodeCalls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("NodeCalls").finish_non_exhaustive()
    }
}

impl NodeCalls {
    /// Calls through connections that are kept elsewhere.
    #[must_use]
    pub fn new(peers: Peers, directory: Arc<Directory>) -> Self {
        Self { peers, directory }
    }

    /// Sends an envelope to a node and returns the one that it answers with.
    ///
    /// # Errors
    /// [`WireErrorCode::Unavailable`] and [`WireErrorCode::Overloaded`] when it certainly did not get it;
    /// any other code when it may have.
    pub async fn call(
        &self,
        node: NodeNumber,
        request: Vec<u8>,
        limit: Duration,
    ) -> Result<Bytes, WireError> {
        let name = self.directory.name_of(node).ok_or_else(|| {
            let text = format!("the registry has no node {node}");
            WireError::new(WireErrorCode::Unavailable, text)
        })?;
        let request = Envelope::checked(request.into()).map_err(|error| {
            // Nothing was sent, and it would not be taken a second time either.
            WireError::new(WireErrorCode::Unavailable, error.to_string())
        })?;
        let asked = self.peers.call(&name, request, CallOptions::within(limit));
        let reply = asked
            .await
            .map_err(|error| WireError::new(error.code(), error.to_string()))?;
        Ok(reply.bytes().clone())
    }
}

impl ShardNetwork for NodeCalls {
    fn ask(
        &self,
        node: u64,
        request: Vec<u8>,
        limit: Duration,
    ) -> BoxFuture<'_, Result<Vec<u8>, WireError>> {
        Box::pin(async move {
            let reply = self.call(NodeNumber(node), request, limit).await?;
            Ok(reply.to_vec())
        })
    }
}
