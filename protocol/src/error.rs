//! Errors as they travel: a closed set of codes with a text for people.

use serde::{Deserialize, Serialize};
use std::fmt;

/// What a caller can act on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum WireErrorCode {
    /// The request can never work as it is.
    Invalid,
    /// What it names does not exist.
    NotFound,
    /// The state moved on; read again and decide again.
    Conflict,
    /// The sender's generation is not the current one.
    StaleGeneration,
    /// Another node leads the shard.
    NotLeader,
    /// The caller may not do this.
    PermissionDenied,
    /// Cannot be served at the moment.
    Unavailable,
    /// It took too long; the outcome may be unknown.
    Timeout,
    /// A queue is full; try later.
    Overloaded,
    /// A defect of this program.
    Internal,
    /// It may or may not have happened: reload from the source of truth, never guess.
    OutcomeUnknown,
}

/// An error reply.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[error("{code}: {message}")]
pub struct WireError {
    /// What a caller can act on.
    pub code: WireErrorCode,
    /// For people: value, place and remedy.
    pub message: String,
}

impl WireError {
    /// Makes an error of a code and a text.
    pub fn new(code: WireErrorCode, message: impl Into<String>) -> Self {
        Self {
            code,
            message: message.into(),
        }
    }
}

impl WireErrorCode {
    /// Its name, as programs and labels have it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Invalid => "invalid",
            Self::NotFound => "not-found",
            Self::Conflict => "conflict",
            Self::StaleGeneration => "stale-generation",
            Self::NotLeader => "not-leader",
            Self::PermissionDenied => "permission-denied",
            Self::Unavailable => "unavailable",
            Self::Timeout => "timeout",
            Self::Overloaded => "overloaded",
            Self::Internal => "internal",
            Self::OutcomeUnknown => "outcome-unknown",
        }
    }
}

impl fmt::Display for WireErrorCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}
