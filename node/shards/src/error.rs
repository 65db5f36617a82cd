//! Why a shard did not take a command.

use serde::{Deserialize, Serialize};
use twinscale_consensus::GroupError;
use twinscale_protocol::{CustomerId, ShardId, WireError, WireErrorCode};

/// Why a shard did not take a command. It goes over the wire: a new kind goes to the end.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error, Serialize, Deserialize)]
pub enum ShardsError {
    /// Another node leads; nothing was done.
    #[error(
        "this node does not lead shard {shard}; {}",
        leader.map_or_else(|| "try again once a leader is known".to_owned(), |leader| format!("ask node {leader}"))
    )]
    NotLeader {
        /// The shard.
        shard: ShardId,
        /// Who leads, as far as this node knows.
        leader: Option<u64>,
    },
    /// This node holds no replica; nothing was done.
    #[error("this node holds no replica of shard {shard}; ask one that does")]
    NotHere {
        /// The shard.
        shard: ShardId,
    },
    /// Too much waits; nothing was done.
    #[error("shard {shard} is overloaded: {reason}; try again later")]
    Overloaded {
        /// The shard.
        shard: ShardId,
        /// What is full.
        reason: String,
    },
    /// The command is none that a shard takes; nothing was done.
    #[error("shard {shard} refuses the command: {reason}")]
    Invalid {
        /// The shard.
        shard: ShardId,
        /// Why.
        reason: String,
    },
    /// The shard serves nobody now; nothing was done.
    #[error("shard {shard} cannot serve now: {reason}; try again")]
    Unavailable {
        /// The shard.
        shard: ShardId,
        /// Why.
        reason: String,
    },
    /// It may have taken effect, may still, or never will.
    #[error(
        "outcome of the command to shard {shard} is unknown: {reason}; send it again under the same request id"
    )]
    OutcomeUnknown {
        /// The shard.
        shard: ShardId,
        /// Why.
        reason: String,
    },
    /// This node does not know yet into how many shards the customers are spread; nothing was done.
    #[error(
        "this node has just started and does not know yet which shard a customer belongs to; try again, or ask \
         another node"
    )]
    Unplaced,
    /// The command is of a customer of another shard; nothing was done.
    #[error(
        "customer `{customer}` belongs to shard {belongs_to} and not to shard {shard}: the node that sent the \
         command is mistaken; look at `twinscale doctor` there"
    )]
    Misplaced {
        /// The shard that was asked.
        shard: ShardId,
        /// The customer.
        customer: CustomerId,
        /// The shard that the customer belongs to.
        belongs_to: ShardId,
    },
    /// A node cannot be reached from here; nothing was done.
    #[error("shard {shard} cannot serve now: node {node} cannot be reached: {reason}; try again")]
    Unreachable {
        /// The shard.
        shard: ShardId,
        /// The node.
        node: u64,
        /// Why.
        reason: String,
    },
    /// The node that was asked sees too little of the shard to have it serve; nothing was done.
    #[error("this node cannot have shard {shard} serve now: {reason}; ask another node")]
    CutOff {
        /// The shard.
        shard: ShardId,
        /// What it sees.
        reason: String,
    },
    /// The command is newer than what every node knows; nothing was done.
    #[error(
        "shard {shard} takes no command of schema {schema} while the cluster's is {gate}: upgrade every node, then \
         `twinscale schema raise`"
    )]
    BeyondGate {
        /// The shard.
        shard: ShardId,
        /// The schema that the command needs.
        schema: u32,
        /// The cluster's gate.
        gate: u32,
    },
}

impl ShardsError {
    /// Makes the error of a shard of that of its group.
    pub fn of_group(shard: ShardId, error: GroupError) -> Self {
        match error {
            GroupError::NotRunning { .. } => Self::NotHere { shard },
            GroupError::NotLeader { leader, .. } => Self::NotLeader {
                shard,
                leader: leader.map(|leader| leader.0),
            },
            GroupError::Overloaded { limit, .. } => Self::Overloaded {
                shard,
                reason: format!("{limit} entries are under way"),
            },
            error @ GroupError::TooLarge { .. } => Self::Invalid {
                shard,
                reason: error.to_string(),
            },
            GroupError::OutcomeUnknown { reason, .. } => Self::OutcomeUnknown { shard, reason },
            other => Self::Unavailable {
                shard,
                reason: other.to_string(),
            },
        }
    }

    /// Whether it may have taken effect all the same.
    pub fn is_outcome_unknown(&self) -> bool {
        matches!(self, Self::OutcomeUnknown { .. })
    }

    /// Whether another attempt, or another node, comes to the same.
    pub fn is_final(&self) -> bool {
        matches!(
            self,
            Self::Invalid { .. } | Self::Misplaced { .. } | Self::BeyondGate { .. }
        )
    }

    /// What a caller can act on.
    pub fn code(&self) -> WireErrorCode {
        match self {
            Self::Overloaded { .. } => WireErrorCode::Overloaded,
            Self::Invalid { .. } | Self::Misplaced { .. } => WireErrorCode::Invalid,
            Self::BeyondGate { .. } => WireErrorCode::Conflict,
            Self::OutcomeUnknown { .. } => WireErrorCode::OutcomeUnknown,
            Self::NotLeader { .. }
            | Self::NotHere { .. }
            | Self::Unavailable { .. }
            | Self::Unplaced
            | Self::Unreachable { .. }
            | Self::CutOff { .. } => WireErrorCode::Unavailable,
        }
    }
}

impl From<ShardsError> for WireError {
    fn from(error: ShardsError) -> Self {
        Self::new(error.code(), error.to_string())
    }
}
