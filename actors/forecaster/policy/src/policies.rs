//! Policies: who chooses among the settings that the guard allows.

use crate::features::{FEATURES, SAVED_SLOW, State};
use crate::guard::{KEEP, SHIFTS};
use rand::Rng;
use rand_chacha::ChaCha8Rng;
use serde::{Deserialize, Serialize};

/// Probability of each choice in a state; 0 where it is not allowed, and 1 in sum.
pub type Probabilities = [f64; SHIFTS];

/// Why a policy has no answer.
#[derive(Debug, thiserror::Error)]
pub enum PolicyError {
    /// What computes it failed.
    #[error("the policy has no answer: {cause}")]
    Failed {
        /// What it said.
        cause: String,
    },
    /// It answered something that is no distribution over the allowed choices.
    #[error(
        "the policy's answer for state {number} is no distribution over what is allowed: {found:?}"
    )]
    NoDistribution {
        /// Which state, counted from 0.
        number: usize,
        /// What it answered.
        found: Probabilities,
    },
}

/// Chooses by chance, with known probabilities.
pub trait StochasticPolicy {
    /// One distribution per state, in their order.
    ///
    /// # Errors
    /// [`PolicyError`] when there is no answer; callers then keep the operator's setting.
    fn probabilities(&self, states: &[State]) -> Result<Vec<Probabilities>, PolicyError>;
}

impl<P: StochasticPolicy + ?Sized> StochasticPolicy for &P {
    fn probabilities(&self, states: &[State]) -> Result<Vec<Probabilities>, PolicyError> {
        (**self).probabilities(states)
    }
}

/// All weight on one choice.
pub fn certain(shift: usize) -> Probabilities {
    let mut probabilities = [0.0; SHIFTS];
    probabilities[shift.min(SHIFTS - 1)] = 1.0;
    probabilities
}

/// Always the same distance from the operator's setting, where it is allowed, else the operator's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shifted {
    /// The choice.
    pub shift: usize,
}

impl StochasticPolicy for Shifted {
    fn probabilities(&self, states: &[State]) -> Result<Vec<Probabilities>, PolicyError> {
        let choose = |state: &State| {
            let is_allowed = state.allowed.get(self.shift).copied().unwrap_or(false);
            certain(if is_allowed { self.shift } else { KEEP })
        };
        Ok(states.iter().map(choose).collect())
    }
}

/// The choice that would have saved most of late, when it would have saved enough. Nothing is learned: the
/// rule that a network must beat to be worth its weights.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct FollowBest {
    /// Least share of the operator's money that must have been saved.
    pub saved_min: f64,
}

impl Default for FollowBest {
    fn default() -> Self {
        Self { saved_min: 0.02 }
    }
}

impl StochasticPolicy for FollowBest {
    fn probabilities(&self, states: &[State]) -> Result<Vec<Probabilities>, PolicyError> {
        let choose = |state: &State| {
            let (mut best, mut most) = (KEEP, self.saved_min);
            let shifts = (0..SHIFTS).filter(|shift| *shift != KEEP);
            for (shift, saved) in shifts.zip(state.features.iter().skip(SAVED_SLOW)) {
                if state.allowed[shift] && f64::from(*saved) > most {
                    (best, most) = (shift, f64::from(*saved));
                }
            }
            certain(best)
        };
        Ok(states.iter().map(choose).collect())
    }
}

/// A table over buckets of one number of the state.
#[derive(Clone, Debug, PartialEq)]
pub struct Tabular {
    /// Which number.
    pub feature: usize,
    /// Where the buckets part, ascending; one bucket more than these.
    pub edges: Vec<f32>,
    /// Weight of each choice per bucket; a missing bucket keeps the operator's setting.
    pub weights: Vec<[f64; SHIFTS]>,
}

impl StochasticPolicy for Tabular {
    fn probabilities(&self, states: &[State]) -> Result<Vec<Probabilities>, PolicyError> {
        let choose = |state: &State| {
            let value = state.features.get(self.feature).copied().unwrap_or(0.0);
            let bucket = self.edges.partition_point(|edge| *edge <= value);
            let weights = self.weights.get(bucket).copied();
            masked(weights.unwrap_or_else(|| certain(KEEP)), state.allowed)
        };
        Ok(states.iter().map(choose).collect())
    }
}

/// Brings weights to a distribution over what is allowed; without any weight the operator's is kept.
pub fn masked(weights: [f64; SHIFTS], allowed: [bool; SHIFTS]) -> Probabilities {
    let mut probabilities = weights;
    for (weight, is_allowed) in probabilities.iter_mut().zip(allowed) {
        if !is_allowed || !weight.is_finite() || *weight < 0.0 {
            *weight = 0.0;
        }
    }
    let sum: f64 = probabilities.iter().sum();
    if sum <= 0.0 || !sum.is_finite() {
        return certain(KEEP);
    }
    probabilities.map(|weight| weight / sum)
}

/// Keeps part of the probability for a uniform choice: what a log must be written under.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Exploring<P> {
    /// Who chooses otherwise.
    pub policy: P,
    /// Share that is uniform over what is allowed, 0 to 1.
    pub share: f64,
}

impl<P: StochasticPolicy> StochasticPolicy for Exploring<P> {
    fn probabilities(&self, states: &[State]) -> Result<Vec<Probabilities>, PolicyError> {
        let share = self.share.clamp(0.0, 1.0);
        let mut all = self.policy.probabilities(states)?;
        for (probabilities, state) in all.iter_mut().zip(states) {
            let allowed = state.allowed.iter().filter(|is| **is).count().max(1);
            for (probability, is_allowed) in probabilities.iter_mut().zip(&state.allowed) {
                let uniform = f64::from(u8::from(*is_allowed)) / (allowed as f64);
                *probability = (1.0 - share) * *probability + share * uniform;
            }
        }
        Ok(all)
    }
}

/// What each number of a state was in training.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct TrainedRange {
    /// Lowest that counts as known, one per number.
    pub low: Vec<f32>,
    /// Highest that counts as known, one per number.
    pub high: Vec<f32>,
}

/// Of so many training states one lies below, and one above, what counts as known.
const ONE_OUTSIDE_OF: usize = 1_000;

impl TrainedRange {
    /// Takes all but the outermost thousandth of each number on both sides. Nothing is known without
    /// states.
    pub fn of(states: &[State]) -> Self {
        let mut range = Self {
            low: vec![f32::INFINITY; FEATURES],
            high: vec![f32::NEG_INFINITY; FEATURES],
        };
        for feature in 0..FEATURES {
            let mut values: Vec<f32> = states.iter().map(|one| one.features[feature]).collect();
            values.sort_by(f32::total_cmp);
            let cut = values.len() / ONE_OUTSIDE_OF;
            if let (Some(low), Some(high)) = (
                values.get(cut),
                values.get((values.len() - cut).saturating_sub(1)),
            ) {
                range.low[feature] = *low;
                range.high[feature] = *high;
            }
        }
        range
    }

    /// How many numbers of a state lie outside.
    pub fn outside(&self, state: &State) -> usize {
        let bounds = self.low.iter().zip(&self.high);
        let known = state.features.iter().zip(bounds);
        known
            .filter(|(value, (low, high))| !(**low..=**high).contains(*value))
            .count()
    }
}

/// When a policy's answer counts.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Caution {
    /// Numbers of a state that may lie outside what training saw.
    pub outside_max: usize,
    /// How many times as probable as the operator's setting a choice must be.
    pub sure_factor: f64,
}

impl Default for Caution {
    fn default() -> Self {
        Self {
            outside_max: 1,
            sure_factor: 1.5,
        }
    }
}

/// Takes a policy's most probable choice when it is sure and on known ground, else the operator's setting.
#[derive(Clone, Debug)]
pub struct Guarded<P> {
    /// Who is asked.
    pub policy: P,
    /// What it knows.
    pub range: TrainedRange,
    /// When its answer counts.
    pub caution: Caution,
}

impl<P: StochasticPolicy> StochasticPolicy for Guarded<P> {
    fn probabilities(&self, states: &[State]) -> Result<Vec<Probabilities>, PolicyError> {
        let mut all = self.policy.probabilities(states)?;
        for (probabilities, state) in all.iter_mut().zip(states) {
            let best = likeliest(probabilities);
            let is_sure = probabilities[best] >= self.caution.sure_factor * probabilities[KEEP];
            let is_known = self.range.outside(state) <= self.caution.outside_max;
            *probabilities = certain(if is_sure && is_known && state.allowed[best] {
                best
            } else {
                KEEP
            });
        }
        Ok(all)
    }
}

/// The most probable choice; among equals the first.
pub fn likeliest(probabilities: &Probabilities) -> usize {
    let mut best = 0;
    for (shift, probability) in probabilities.iter().enumerate() {
        if *probability > probabilities[best] {
            best = shift;
        }
    }
    best
}

/// Draws a choice.
pub fn draw(probabilities: &Probabilities, rng: &mut ChaCha8Rng) -> usize {
    let mut left: f64 = rng.random();
    for (shift, probability) in probabilities.iter().enumerate() {
        left -= probability;
        if left < 0.0 && *probability > 0.0 {
            return shift;
        }
    }
    // Rounding left a rest.
    likeliest(probabilities)
}
