//! What stands beside a reaction's weights.

use super::network::ReactionNetwork;
use crate::weights::{WeightsError, weights_id};
use serde::{Deserialize, Serialize};
use twinscale_reaction::evaluate::{Verdict, judge};
use twinscale_reaction::study::{Population, Worth};

/// Version of the card.
pub const CARD_VERSION: u32 = 1;

/// Of what a model was made.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct MadeOf {
    /// The simulated population.
    pub population: Population,
    /// Its first customers, which it was trained on.
    pub trained_on: u64,
    /// Those behind them, which were kept back and judge it.
    pub kept_back: u64,
}

/// Says of what a model was made and what it is good for.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ReactionCard {
    /// Version of this card.
    pub card_version: u32,
    /// First 16 hex digits of the SHA-256 of the weights.
    pub weights_id: String,
    /// Root of the training's randomness.
    pub seed: u64,
    /// Steps trained.
    pub steps: u32,
    /// Of what it was made; no real history is in it.
    pub made_of: MadeOf,
    /// What it is worth on the customers kept back.
    pub worth: Worth,
    /// What a linear model of the same customers is worth there.
    pub linear: Worth,
    /// Whether it may be used.
    pub verdict: Verdict,
    /// What it is not good for.
    pub limits: Vec<String>,
}

/// Why weights and card cannot be used together, or not at all.
#[derive(Debug, thiserror::Error)]
pub enum ReactionCardError {
    /// The card is none.
    #[error("the reaction's card cannot be read: {cause}; train again")]
    Unreadable {
        /// What the reader met.
        cause: String,
    },
    /// The weights are unusable.
    #[error(transparent)]
    Weights(#[from] WeightsError),
    /// The card is of another version.
    #[error("the reaction's card has version {found}, expected {CARD_VERSION}: train again")]
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
    /// The gate is shut.
    #[error(
        "the reaction {weights_id} predicts no better than none ({advantage:.3}, from {low:.3} on) on the {customers} \
         customers kept back: train on more customers"
    )]
    Shut {
        /// Which weights.
        weights_id: String,
        /// Share of the error that goes away.
        advantage: f64,
        /// Lower end of its interval.
        low: f64,
        /// Customers.
        customers: usize,
    },
}

impl ReactionCard {
    /// The card of trained weights; the gate judges by `worth` alone.
    ///
    /// # Errors
    /// [`WeightsError`], never in practice.
    pub fn of(
        network: &ReactionNetwork,
        (seed, steps): (u64, u32),
        made_of: MadeOf,
        (worth, linear): (Worth, Worth),
    ) -> Result<Self, WeightsError> {
        Ok(Self {
            card_version: CARD_VERSION,
            weights_id: weights_id(&network.write()?)?.to_string(),
            seed,
            steps,
            made_of,
            worth,
            linear,
            verdict: verdict(&worth),
            limits: LIMITS.iter().map(|limit| (*limit).to_owned()).collect(),
        })
    }

    /// Reads a card.
    ///
    /// # Errors
    /// [`ReactionCardError`] when it is none, or of another version.
    pub fn from_json(bytes: &[u8]) -> Result<Self, ReactionCardError> {
        let unreadable = |error: serde_json::Error| ReactionCardError::Unreadable {
            cause: error.to_string(),
        };
        let value: serde_json::Value = serde_json::from_slice(bytes).map_err(unreadable)?;
        let found = value
            .get("card_version")
            .and_then(serde_json::Value::as_u64);
        if let Some(found) = found.filter(|found| *found != u64::from(CARD_VERSION)) {
            return Err(ReactionCardError::Version {
                found: u32::try_from(found).unwrap_or(u32::MAX),
            });
        }
        serde_json::from_value(value).map_err(unreadable)
    }

    /// Builds the network of the bytes that this card is of, if it may be used.
    ///
    /// # Errors
    /// [`ReactionCardError`] when they do not belong together, or the gate is shut.
    pub fn open(&self, bytes: &[u8]) -> Result<ReactionNetwork, ReactionCardError> {
        let found = weights_id(bytes)?.to_string();
        if found != self.weights_id {
            return Err(ReactionCardError::OtherWeights {
                card: self.weights_id.clone(),
                found,
            });
        }
        // Judged again: a card says what was measured, not what follows from it.
        if verdict(&self.worth) != Verdict::Open {
            return Err(ReactionCardError::Shut {
                weights_id: found,
                advantage: self.worth.own.point,
                low: self.worth.own.low.min(self.worth.shared.low),
                customers: self.worth.customers,
            });
        }
        Ok(ReactionNetwork::read(bytes)?)
    }
}

/// Both the shared model alone and with a customer's own scales must predict better than none.
fn verdict(worth: &Worth) -> Verdict {
    match judge(worth.customers, Some(&worth.shared)) {
        Verdict::Open => judge(worth.customers, Some(&worth.own)),
        shut => shut,
    }
}

/// What no model of this kind is good for.
const LIMITS: [&str; 5] = [
    "made of simulated customers alone: how strongly real ones answer is an assumption until their own history tells",
    "answers to steps before; what a step's demand does to itself is not told apart",
    "latency counts above its objective alone, up to sixteen times; a price up to four times either way",
    "effects are bounded to a fifth and to five times",
    "drivers add up: a customer who answers to latency only when the price is high is not known",
];
