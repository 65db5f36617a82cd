//! Runs a policy over a trace at an operator's price.

use crate::features::{State, states};
use crate::guard::{Guard, KEEP, Ladder, SHIFTS};
use crate::money::money;
use crate::policies::{PolicyError, Probabilities, StochasticPolicy, draw, likeliest};
use crate::trace::Trace;
use rand_chacha::ChaCha8Rng;

/// Least sum of a distribution, for rounding.
const SUM_SLACK: f64 = 1e-6;

/// Where a policy acts: a trace, the ladder of prices, a guard and the operator's setting.
#[derive(Clone, Copy, Debug)]
pub struct Setting<'a> {
    /// Demand and counts.
    pub trace: &'a Trace,
    /// The prices.
    pub ladder: &'a Ladder,
    /// How far a policy may go.
    pub guard: &'a Guard,
    /// The operator's setting.
    pub operator: usize,
}

/// What a policy did over a trace.
#[derive(Clone, Debug, PartialEq)]
pub struct Run {
    /// Its choice at each step.
    pub shifts: Vec<usize>,
    /// With what probability it was chosen.
    pub propensities: Vec<f64>,
    /// VMs asked for.
    pub desired: Vec<u32>,
}

/// How a choice is made of probabilities.
#[derive(Debug)]
pub enum Choosing<'a> {
    /// The most probable one.
    Likeliest,
    /// By chance.
    Drawn(&'a mut ChaCha8Rng),
}

impl Setting<'_> {
    /// The operator's price.
    pub fn price(&self) -> f64 {
        self.ladder.price(self.operator)
    }

    /// What can be seen at each step.
    pub fn states(&self) -> Vec<State> {
        states(self.trace, self.ladder, self.guard, self.operator)
    }

    /// What the operator's setting asks for.
    pub fn kept(&self) -> Vec<u32> {
        self.trace.desired(self.operator)
    }

    /// What choices ask for; a choice that is not allowed keeps the operator's setting.
    pub fn desired(&self, shifts: &[usize]) -> Vec<u32> {
        let settings = self.guard.settings(self.ladder, self.operator);
        let chosen: Vec<usize> = shifts
            .iter()
            .map(|shift| {
                settings
                    .get(*shift)
                    .copied()
                    .flatten()
                    .unwrap_or(self.operator)
            })
            .collect();
        self.trace.desired_by(&chosen)
    }

    /// Money of each step at the operator's price.
    pub fn money(&self, desired: &[u32]) -> Vec<f64> {
        money(self.trace.demand(), desired, self.price())
    }

    /// Lets a policy choose at every step.
    ///
    /// Cost: one pass over the states; the policy is asked once, for all of them.
    ///
    /// # Errors
    /// [`PolicyError`] of the policy, or when it answers something that is no distribution.
    pub fn run(
        &self,
        policy: &dyn StochasticPolicy,
        states: &[State],
        choosing: &mut Choosing<'_>,
    ) -> Result<Run, PolicyError> {
        let all = distributions(policy, states)?;
        let mut shifts = Vec::with_capacity(all.len());
        for probabilities in &all {
            shifts.push(match choosing {
                Choosing::Likeliest => likeliest(probabilities),
                Choosing::Drawn(rng) => draw(probabilities, rng),
            });
        }
        let propensities = all.iter().zip(&shifts).map(|(all, shift)| all[*shift]);
        Ok(Run {
            propensities: propensities.collect(),
            desired: self.desired(&shifts),
            shifts,
        })
    }
}

/// Asks a policy and checks that it answers with distributions over what is allowed.
///
/// # Errors
/// [`PolicyError`].
pub fn distributions(
    policy: &dyn StochasticPolicy,
    states: &[State],
) -> Result<Vec<Probabilities>, PolicyError> {
    let all = policy.probabilities(states)?;
    if all.len() != states.len() {
        return Err(PolicyError::Failed {
            cause: format!("{} answers for {} states", all.len(), states.len()),
        });
    }
    for (number, (found, state)) in all.iter().zip(states).enumerate() {
        let sum: f64 = found.iter().sum();
        let is_allowed = (0..SHIFTS).all(|shift| {
            found[shift] >= 0.0 && (found[shift] == 0.0 || state.allowed[shift] || shift == KEEP)
        });
        if !is_allowed || (sum - 1.0).abs() > SUM_SLACK || sum.is_nan() {
            return Err(PolicyError::NoDistribution {
                number,
                found: *found,
            });
        }
    }
    Ok(all)
}
