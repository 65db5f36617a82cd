//! Commands for shards over the wire.

use super::directory::Directory;
use bytes::Bytes;
use futures::future::BoxFuture;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;
use twinscale_protocol::{NodeNumber, WireError, WireErrorCode};
use twinscale_shards::ShardNetwork;
use twinscale_wire::{CallOptions, Envelope, Peers};

/// Carries commands to the nodes that lead their shards.
#[derive(Clone)]
pub struct WireShards {
    peers: Peers,
    directory: Arc<Directory>,
}

impl fmt::Debug for WireShards {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WireShards").finish_non_exhaustive()
    }
}

impl WireShards {
    /// Calls through connections that are kept elsewhere.
    #[must_use]
    pub fn new(peers: Peers, directory: Arc<Directory>) -> Self {
        Self { peers, directory }
    }
}

impl ShardNetwork for WireShards {
    fn ask(
        &self,
        node: u64,
        request: Vec<u8>,
        limit: Duration,
    ) -> BoxFuture<'_, Result<Vec<u8>, WireError>> {
        Box::pin(async move {
            let name = self.directory.name_of(NodeNumber(node)).ok_or_else(|| {
                let text = format!("the registry has no node {node}");
                WireError::new(WireErrorCode::Unavailable, text)
            })?;
            let request = Envelope::checked(Bytes::from(request)).map_err(|error| {
                // Nothing was sent, and it would not be taken a second time either.
                WireError::new(WireErrorCode::Unavailable, error.to_string())
            })?;
            let answered = self
                .peers
                .call(&name, request, CallOptions::within(limit))
                .await;
            let reply =
                answered.map_err(|error| WireError::new(error.code(), error.to_string()))?;
            Ok(reply.bytes().to_vec())
        })
    }
}
