//! What a policy would have saved, from decisions that another one made.
//!
//! The money of a step depends on the choices of one start-up time, since what serves is the least that was
//! asked for over it, and states do not depend on choices at all. So the weight of a step's money is the
//! product of the ratios of probabilities over one start-up time and the step itself: exact, and bounded,
//! where a weight over the whole trace would be useless. The doubly robust estimate adds a model of each
//! choice's savings, fitted on other customers: it adds no bias, and lowers the spread where the model is any
//! good, which it is not for rare misses at high prices.

use crate::environment::{Choosing, Setting, distributions};
use crate::features::{FEATURES, State};
use crate::guard::SHIFTS;
use crate::policies::{PolicyError, StochasticPolicy};
use crate::ridge::{Ridge, predicted};
use rand_chacha::ChaCha8Rng;
use serde::{Deserialize, Serialize};

/// Penalty of the model of savings, per row.
const PENALTY: f64 = 1e-2;

/// Decisions as they were made, with what came of them.
#[derive(Clone, Debug, PartialEq)]
pub struct Log {
    /// Whose.
    pub customer: String,
    /// Steps from a request until it serves.
    pub start_up_steps: usize,
    /// What was seen at each step.
    pub states: Vec<State>,
    /// The choice at each step.
    pub shifts: Vec<usize>,
    /// With what probability it was chosen.
    pub propensities: Vec<f64>,
    /// Money saved in each step, compared with what the operator's setting would have cost: known, since
    /// demand does not depend on decisions.
    pub saved: Vec<f64>,
    /// Money of the operator's setting, mean over the steps.
    pub operator_money: f64,
}

/// Lets a behaviour policy decide and writes down what came of it.
///
/// # Errors
/// [`PolicyError`] of the behaviour policy.
pub fn log(
    setting: &Setting<'_>,
    behaviour: &dyn StochasticPolicy,
    rng: &mut ChaCha8Rng,
) -> Result<Log, PolicyError> {
    let states = setting.states();
    let run = setting.run(behaviour, &states, &mut Choosing::Drawn(rng))?;
    let kept = setting.money(&setting.kept());
    let paid = setting.money(&run.desired);
    let saved = kept.iter().zip(&paid).map(|(kept, paid)| kept - paid);
    let demand = setting.trace.demand();
    Ok(Log {
        customer: demand.customer.clone(),
        start_up_steps: demand.start_up_steps,
        saved: saved.collect(),
        operator_money: kept.iter().sum::<f64>() / (kept.len().max(1) as f64),
        states,
        shifts: run.shifts,
        propensities: run.propensities,
    })
}

/// Savings of each choice in a state, fitted on logs.
#[derive(Clone, Debug, PartialEq)]
pub struct SavingsModel {
    /// Shape `[choice][FEATURES + 1]`.
    weights: Vec<Vec<f64>>,
}

impl SavingsModel {
    /// Fits on logs, which must be of other customers than those that it is used for.
    pub fn fit<'a>(logs: impl Iterator<Item = &'a Log>) -> Self {
        let mut sums = vec![Ridge::new(FEATURES); SHIFTS];
        for log in logs {
            for ((state, shift), saved) in log.states.iter().zip(&log.shifts).zip(&log.saved) {
                sums[*shift].add(&state.features, *saved);
            }
        }
        Self {
            weights: sums.into_iter().map(|sums| sums.solve(PENALTY)).collect(),
        }
    }

    fn of(&self, state: &State, shift: usize) -> f64 {
        predicted(&self.weights[shift], &state.features)
    }
}

/// Mean money that a policy saves per step of a log, by each estimator.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Estimate {
    /// By importance weights.
    pub weighted: f64,
    /// By importance weights that sum to the number of steps.
    pub self_normalised: f64,
    /// By the model of savings alone; biased, since the model sees one choice at a time.
    pub modelled: f64,
    /// Doubly robust: the model, corrected by the weighted rest.
    pub doubly_robust: f64,
    /// Steps that the weights are worth: their sum squared over the sum of their squares.
    pub effective_steps: f64,
}

/// Estimates what a policy would have saved.
///
/// # Errors
/// [`PolicyError`] of the policy.
pub fn estimate(
    log: &Log,
    policy: &dyn StochasticPolicy,
    model: &SavingsModel,
) -> Result<Estimate, PolicyError> {
    let all = distributions(policy, &log.states)?;
    let ratios: Vec<f64> = all
        .iter()
        .zip(log.shifts.iter().zip(&log.propensities))
        .map(|(probabilities, (shift, propensity))| probabilities[*shift] / propensity)
        .collect();
    let steps = log.saved.len().max(1) as f64;
    let (mut weighted, mut modelled, mut rest) = (0.0, 0.0, 0.0);
    let (mut sum, mut squares) = (0.0, 0.0);
    for (step, saved) in log.saved.iter().enumerate() {
        let window = step.saturating_sub(log.start_up_steps)..=step;
        let weight: f64 = ratios.get(window).unwrap_or_default().iter().product();
        let state = &log.states[step];
        let expected = (0..SHIFTS).filter(|shift| all[step][*shift] > 0.0);
        modelled += expected
            .map(|shift| all[step][shift] * model.of(state, shift))
            .sum::<f64>();
        weighted += weight * saved;
        rest += weight * (saved - model.of(state, log.shifts[step]));
        sum += weight;
        squares += weight * weight;
    }
    Ok(Estimate {
        weighted: weighted / steps,
        self_normalised: if sum > 0.0 { weighted / sum } else { 0.0 },
        modelled: modelled / steps,
        doubly_robust: (modelled + rest) / steps,
        effective_steps: if squares > 0.0 {
            sum * sum / squares
        } else {
            0.0
        },
    })
}
