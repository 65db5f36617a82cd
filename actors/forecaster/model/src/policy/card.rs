//! What stands beside a policy's weights.

use super::network::PolicyNetwork;
use crate::weights::{WeightsError, weights_id};
use serde::{Deserialize, Serialize};
use twinscale_policy::guard::{Guard, Ladder};
use twinscale_policy::policies::{Caution, Guarded};
use twinscale_policy::trace::Trace;

/// Version of the card.
pub const CARD_VERSION: u32 = 1;

/// Says of what a policy was made and what it is good for.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct PolicyCard {
    /// Version of this card.
    pub card_version: u32,
    /// First 16 hex digits of the SHA-256 of the weights.
    pub weights_id: String,
    /// Root of all randomness.
    pub seed: u64,
    /// Rounds trained.
    pub rounds: u32,
    /// Folds in all.
    pub folds: usize,
    /// The fold that was kept back.
    pub fold: usize,
    /// Customers that it was trained on.
    pub trained_on: Vec<String>,
    /// Customers that were kept back, which alone it may be judged on.
    pub kept_back: Vec<String>,
    /// Prices that it was trained at.
    pub prices: Vec<f64>,
    /// How far it may go from the operator's price.
    pub guard: Guard,
    /// When its answer counts.
    pub caution: Caution,
    /// Money saved on the customers kept back, by suite.
    pub scores: Vec<PolicyScore>,
    /// What it is not good for.
    pub limits: Vec<String>,
}

/// Why weights and cards cannot be used together, or not on these traces.
#[derive(Debug, thiserror::Error)]
pub enum PolicyCardError {
    /// The weights are unusable.
    #[error(transparent)]
    Weights(#[from] WeightsError),
    /// The card is of another version.
    #[error("the policy's card has version {found}, expected {CARD_VERSION}: train again")]
    Version {
        /// Its version.
        found: u32,
    },
    /// The card is of other weights.
    #[error("the card is of weights {card}, the file has {found}: restore the pair or train again")]
    OtherWeights {
        /// What the card says.
        card: String,
        /// What the bytes are.
        found: String,
    },
    /// The prices are others than those trained at.
    #[error(
        "the policy was trained at the prices {trained:?}, the decisions have {found:?}: decide at those prices or train again"
    )]
    OtherPrices {
        /// Of the card.
        trained: Vec<f64>,
        /// Of the decisions.
        found: Vec<f64>,
    },
    /// No policy was kept from a customer.
    #[error(
        "trace `{trace}`: no policy kept customer `{customer}` back, so none can be judged on it; train again with it"
    )]
    NotKeptBack {
        /// The trace.
        trace: String,
        /// Its customer.
        customer: String,
    },
}

impl PolicyCard {
    /// Builds the policy of the bytes that this card is of.
    ///
    /// # Errors
    /// [`PolicyCardError`] when card, weights and prices do not belong together.
    pub fn open(
        &self,
        bytes: &[u8],
        ladder: &Ladder,
    ) -> Result<Guarded<PolicyNetwork>, PolicyCardError> {
        if self.card_version != CARD_VERSION {
            return Err(PolicyCardError::Version {
                found: self.card_version,
            });
        }
        let found = weights_id(bytes)?.to_string();
        if found != self.weights_id {
            return Err(PolicyCardError::OtherWeights {
                card: self.weights_id.clone(),
                found,
            });
        }
        if self.prices != ladder.prices() {
            return Err(PolicyCardError::OtherPrices {
                trained: self.prices.clone(),
                found: ladder.prices().to_vec(),
            });
        }
        let network = PolicyNetwork::read(bytes)?;
        Ok(Guarded {
            range: network.range(),
            policy: network,
            caution: self.caution,
        })
    }
}

/// For each trace the number of the card whose policy never saw its customer.
///
/// # Errors
/// [`PolicyCardError::NotKeptBack`] when there is none.
pub fn kept_back_by(cards: &[PolicyCard], traces: &[Trace]) -> Result<Vec<usize>, PolicyCardError> {
    let number = |trace: &Trace| {
        let demand = trace.demand();
        let has_kept_back = |card: &PolicyCard| {
            let is_named = |names: &[String]| names.contains(&demand.customer);
            is_named(&card.kept_back) && !is_named(&card.trained_on)
        };
        let found = cards.iter().position(has_kept_back);
        found.ok_or_else(|| PolicyCardError::NotKeptBack {
            trace: demand.name.clone(),
            customer: demand.customer.clone(),
        })
    };
    traces.iter().map(number).collect()
}

/// What a policy saved on the traces of a suite that were kept back.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct PolicyScore {
    /// The suite.
    pub suite: String,
    /// Traces.
    pub traces: usize,
    /// Share saved of the operator's money at each price: of the sums over the traces.
    pub saved: Vec<f64>,
}

/// What no policy of this network is good for.
pub(super) const LIMITS: [&str; 4] = [
    "chooses among counts that the planner gave; makes none",
    "its advantage was seen on the traces of its card alone",
    "no other start-up time is chosen, only a price",
    "supposes that demand does not depend on what is provisioned",
];
