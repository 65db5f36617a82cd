//! How groups reach their peers: bytes there and bytes back, within a deadline.

use std::time::Duration;

use bytes::Bytes;
use futures::future::BoxFuture;

use twinscale_protocol::NodeNumber;

/// What a call carries; a network may give each a lane of its own, so that a snapshot delays no heartbeat.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum PeerLane {
    /// Entries and heartbeats.
    Entries,
    /// Votes and requests to stand for election.
    Votes,
    /// Chunks of snapshots.
    Snapshots,
}

/// One call of a peer.
#[derive(Clone, Debug)]
pub struct PeerCall {
    /// What it carries.
    pub lane: PeerLane,
    /// The request, to be given to [`crate::Groups::receive`] of the peer as it is.
    pub request: Bytes,
    /// After this time nobody waits for the reply any more.
    pub deadline: Duration,
}

/// Why a call has no reply; the peer may have received it all the same.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PeerError {
    /// There is no way to the peer.
    #[error("node {node} cannot be reached: {reason}")]
    Unreachable {
        /// The peer.
        node: NodeNumber,
        /// Why.
        reason: String,
    },
    /// No reply came in time.
    #[error("node {node} did not reply within {after:?}")]
    TimedOut {
        /// The peer.
        node: NodeNumber,
        /// The deadline.
        after: Duration,
    },
    /// The peer, or what it sent, is not what was asked for.
    #[error("request refused: {reason}")]
    Refused {
        /// Why.
        reason: String,
    },
}

/// A way to the other nodes.
pub trait PeerNetwork: Send + Sync + 'static {
    /// Sends a request to a node and returns its reply.
    fn call(&self, to: NodeNumber, call: PeerCall) -> BoxFuture<'_, Result<Bytes, PeerError>>;
}
