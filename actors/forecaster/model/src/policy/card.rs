//! What stands beside a policy's weights.

use serde::{Deserialize, Serialize};
use twinscale_policy::guard::Guard;
use twinscale_policy::policies::Caution;

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
