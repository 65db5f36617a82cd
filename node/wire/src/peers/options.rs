//! How calls are made, and how peers are shown.

use crate::trace::TraceContext;
use std::time::Duration;
use twinscale_protocol::NodeId;

/// How a call is made.
#[derive(Clone, Copy, Debug)]
pub struct CallOptions {
    /// How long the whole call may take.
    pub deadline: Duration,
    /// The trace that it belongs to.
    pub trace: Option<TraceContext>,
}

/// How a stream is made.
#[derive(Clone, Copy, Debug)]
pub struct StreamOptions {
    /// How long the whole stream may take.
    pub deadline: Duration,
    /// The trace that it belongs to.
    pub trace: Option<TraceContext>,
    /// Whether what is sent is compressed, with zstd.
    pub compress: bool,
}

/// A peer as operators see it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PeerStatus {
    /// The node.
    pub peer: NodeId,
    /// Where it is said to listen.
    pub address: String,
    /// Whether it can be called.
    pub state: PeerState,
}

/// Whether a peer can be called.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PeerState {
    /// The first attempt, or the first after a loss, is under way.
    Connecting,
    /// It can.
    Connected {
        /// The version that it runs.
        version: String,
    },
    /// It cannot; the next attempt follows by itself.
    Unreachable {
        /// Why.
        cause: String,
    },
}

impl CallOptions {
    /// A call with a deadline and no trace.
    pub fn within(deadline: Duration) -> Self {
        Self {
            deadline,
            trace: None,
        }
    }
}

impl StreamOptions {
    /// A stream with a deadline, no trace and no compression.
    pub fn within(deadline: Duration) -> Self {
        Self {
            deadline,
            trace: None,
            compress: false,
        }
    }
}
