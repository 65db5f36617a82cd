//! Consensus over the wire.

use super::directory::Directory;
use bytes::Bytes;
use futures::future::BoxFuture;
use std::fmt;
use std::sync::Arc;
use twinscale_consensus::{PeerCall, PeerError, PeerNetwork};
use twinscale_protocol::NodeNumber;
use twinscale_wire::{CallError, CallOptions, Envelope, Peers};

/// Carries the calls of consensus groups between nodes.
///
/// Votes, heartbeats and chunks of snapshots share a connection: HTTP/2 interleaves them, and a chunk is
/// small beside the window of a stream.
#[derive(Clone)]
pub struct WirePeers {
    peers: Peers,
    directory: Arc<Directory>,
}

impl fmt::Debug for WirePeers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WirePeers").finish_non_exhaustive()
    }
}

impl WirePeers {
    /// Calls through connections that are kept elsewhere.
    #[must_use]
    pub fn new(peers: Peers, directory: Arc<Directory>) -> Self {
        Self { peers, directory }
    }
}

impl PeerNetwork for WirePeers {
    fn call(&self, to: NodeNumber, call: PeerCall) -> BoxFuture<'_, Result<Bytes, PeerError>> {
        Box::pin(async move {
            let unreachable = |reason: &str| PeerError::Unreachable {
                node: to,
                reason: reason.to_owned(),
            };
            let name = self.directory.name_of(to);
            let name = name.ok_or_else(|| unreachable("the registry has no such node"))?;
            let request = Envelope::checked(call.request).map_err(|error| PeerError::Refused {
                reason: format!("request of this node is not readable: {error}"),
            })?;
            let options = CallOptions::within(call.deadline);
            let answered = self.peers.call(&name, request, options).await;
            match answered {
                Ok(reply) => Ok(reply.bytes().clone()),
                Err(CallError::Deadline { deadline, .. }) => Err(PeerError::TimedOut {
                    node: to,
                    after: deadline,
                }),
                Err(CallError::Answered { error, .. }) => Err(PeerError::Refused {
                    reason: error.to_string(),
                }),
                Err(error) => Err(unreachable(&error.to_string())),
            }
        })
    }
}
