//! How a call to a peer can fail.

use crate::refusal::{Refusal, RefusalReason};
use std::time::Duration;
use twinscale_protocol::envelope::EnvelopeError;
use twinscale_protocol::{NodeId, WireError, WireErrorCode};

/// How a call to a peer can fail.
#[derive(Clone, Debug, thiserror::Error)]
pub enum CallError {
    /// No address of the node is known.
    #[error("no address of node `{peer}` is known: it is no member, or gossip has not told yet")]
    UnknownPeer {
        /// The node.
        peer: NodeId,
    },
    /// The node cannot be reached; nothing was sent.
    #[error("node `{peer}` cannot be reached: {cause}")]
    Unreachable {
        /// The node.
        peer: NodeId,
        /// Why the last attempt failed.
        cause: String,
    },
    /// One of the two ends refuses the other; nothing was done.
    #[error("call to node `{peer}` refused: {refusal}")]
    Refused {
        /// The node.
        peer: NodeId,
        /// Why.
        refusal: Refusal,
    },
    /// As much is under way with the node as may be; nothing was sent.
    #[error("node `{peer}` has {limit} under way, as many as may be: wait for some to end")]
    Overloaded {
        /// The node.
        peer: NodeId,
        /// The limit that is reached.
        limit: String,
    },
    /// The deadline passed.
    #[error(
        "node `{peer}` did not answer within {} ms; {}",
        .deadline.as_millis(),
        if *.was_sent { "what was asked may have happened" } else { "nothing was sent" }
    )]
    Deadline {
        /// The node.
        peer: NodeId,
        /// How long it had.
        deadline: Duration,
        /// Whether the peer may have seen the request.
        was_sent: bool,
    },
    /// The connection ended with the call under way.
    #[error(
        "connection to node `{peer}` ended with the call under way, which may have happened: {cause}"
    )]
    Interrupted {
        /// The node.
        peer: NodeId,
        /// What ended it.
        cause: String,
    },
    /// What the node answered is no envelope.
    #[error("node `{peer}` answered what is no envelope: {cause}")]
    Malformed {
        /// The node.
        peer: NodeId,
        /// Why it is none.
        cause: String,
    },
    /// The node answered with an error.
    #[error("node `{peer}`: {error}")]
    Answered {
        /// The node.
        peer: NodeId,
        /// Its error.
        error: WireError,
    },
}

impl CallError {
    pub(crate) fn malformed(peer: &NodeId, error: &EnvelopeError) -> Self {
        Self::Malformed {
            peer: peer.clone(),
            cause: error.to_string(),
        }
    }

    /// What a caller can act on.
    pub fn code(&self) -> WireErrorCode {
        match self {
            Self::UnknownPeer { .. } | Self::Unreachable { .. } => WireErrorCode::Unavailable,
            Self::Refused { refusal, .. } => code_of_refusal(refusal.reason),
            Self::Overloaded { .. } => WireErrorCode::Overloaded,
            Self::Deadline {
                was_sent: false, ..
            } => WireErrorCode::Unavailable,
            Self::Deadline { was_sent: true, .. } | Self::Interrupted { .. } => {
                WireErrorCode::OutcomeUnknown
            }
            Self::Malformed { .. } => WireErrorCode::OutcomeUnknown,
            Self::Answered { error, .. } => error.code,
        }
    }

    /// What to count it under.
    pub fn reason(&self) -> &'static str {
        match self {
            Self::UnknownPeer { .. } => "unknown-peer",
            Self::Unreachable { .. } => "unreachable",
            Self::Refused { refusal, .. } => refusal.reason.as_str(),
            Self::Overloaded { .. } => "overloaded-here",
            Self::Deadline { .. } => "deadline",
            Self::Interrupted { .. } => "interrupted",
            Self::Malformed { .. } => "malformed-reply",
            Self::Answered { error, .. } => error.code.as_str(),
        }
    }
}

fn code_of_refusal(reason: RefusalReason) -> WireErrorCode {
    match reason {
        RefusalReason::Overloaded | RefusalReason::TooManyConnections => WireErrorCode::Overloaded,
        RefusalReason::Malformed | RefusalReason::Oversize | RefusalReason::UnknownKind => {
            WireErrorCode::Invalid
        }
        RefusalReason::HandshakeTimeout | RefusalReason::NotTls | RefusalReason::BadTls => {
            WireErrorCode::Unavailable
        }
        _ => WireErrorCode::PermissionDenied,
    }
}
