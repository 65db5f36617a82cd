//! Why group 0 did not do what was asked.

use twinscale_consensus::GroupError;
use twinscale_protocol::{NodeNumber, WireError, WireErrorCode};

/// Why a command was not committed in group 0.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum MetaError {
    /// Another node leads; nothing was done.
    #[error(
        "this node does not lead group 0; {}",
        leader.map_or_else(|| "try again once a leader is known".to_owned(), |leader| format!("ask node {leader}"))
    )]
    NotLeader {
        /// Who leads, as far as this node knows.
        leader: Option<NodeNumber>,
    },
    /// The command can never be committed as it is; nothing was done.
    #[error("command cannot be proposed: {reason}")]
    Invalid {
        /// Why.
        reason: String,
    },
    /// Group 0 serves nobody now; nothing was done.
    #[error("group 0 cannot serve now: {reason}; try again")]
    Unavailable {
        /// Why.
        reason: String,
    },
    /// It may have taken effect, may still, or never will.
    #[error(
        "outcome of the command to group 0 is unknown: {reason}; look whether it took effect before sending \
         it again"
    )]
    OutcomeUnknown {
        /// Why.
        reason: String,
    },
}

impl MetaError {
    /// What a caller can act on.
    pub fn code(&self) -> WireErrorCode {
        match self {
            Self::NotLeader { .. } => WireErrorCode::NotLeader,
            Self::Invalid { .. } => WireErrorCode::Invalid,
            Self::Unavailable { .. } => WireErrorCode::Unavailable,
            Self::OutcomeUnknown { .. } => WireErrorCode::OutcomeUnknown,
        }
    }
}

impl From<GroupError> for MetaError {
    fn from(error: GroupError) -> Self {
        match error {
            GroupError::NotRunning { .. } => Self::NotLeader { leader: None },
            GroupError::NotLeader { leader, .. } => Self::NotLeader { leader },
            error @ GroupError::TooLarge { .. } => Self::Invalid {
                reason: error.to_string(),
            },
            GroupError::OutcomeUnknown { reason, .. } => Self::OutcomeUnknown { reason },
            other => Self::Unavailable {
                reason: other.to_string(),
            },
        }
    }
}

impl From<MetaError> for WireError {
    fn from(error: MetaError) -> Self {
        Self::new(error.code(), error.to_string())
    }
}

/// The error of an errand on a group, as it travels.
pub(super) fn wire_error(error: &GroupError) -> WireError {
    let code = match error {
        GroupError::NotRunning { .. } => WireErrorCode::NotFound,
        GroupError::NotLeader { .. } => WireErrorCode::NotLeader,
        GroupError::MembersChanged { .. } => WireErrorCode::Conflict,
        GroupError::OutcomeUnknown { .. } => WireErrorCode::OutcomeUnknown,
        GroupError::TimedOut { .. } => WireErrorCode::Timeout,
        GroupError::Overloaded { .. } => WireErrorCode::Overloaded,
        _ => WireErrorCode::Unavailable,
    };
    WireError::new(code, error.to_string())
}
