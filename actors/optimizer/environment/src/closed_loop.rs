//! A stack whose demand answers to what it meets: retries, abandonment, customers who stay away.
//!
//! A [`Load`] says what would come if nobody answered. What steps meet is told to a [`DemandReaction`], which says
//! what later steps' demand is multiplied by; both are brought together by repeating: a step answers to earlier
//! steps alone, so that after as many passes as there are steps nothing moves any more, and mostly much sooner.
//! Nothing here knows why demand answers; the caller brings that. Without a reaction a load meets what it met
//! before this module was.

use crate::flow::{FlowError, class_rates};
use crate::model::{ServiceLevel, StackModel};
use crate::prediction::{Prediction, PredictionError, predict_at};
use crate::simulation::{AllocationChange, Load, Options, Outcome, SimulationError, simulate};
use serde::Serialize;
use std::collections::BTreeMap;
use twinscale_protocol::RequestClassName;

/// Most steps of a load that is closed: a week of five minutes.
pub const STEPS_MAX: usize = 2_016;
/// A pass that moves no factor by more than this is the last.
const STILL: f64 = 1e-6;
/// Largest factor of a reaction either way; what says more is broken.
const FACTOR_MAX: f64 = 100.0;
/// Share of its capacity at which a stack that is used up is looked at.
const ALMOST_FULL: f64 = 0.98;
/// Latency over its objective where formulas have none, or nobody was served.
const LATENCY_MAX: f64 = 16.0;
/// Without any promise, so many times the response at a tenth of the load is the objective.
const UNPROMISED: f64 = 2.0;

/// What one step met.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct MetStep {
    /// Mean response time over what is promised, over all classes by their rates.
    pub latency: f64,
    /// Share of the requests that was not served.
    pub throttled: f64,
}

/// How demand answers.
pub trait DemandReaction: std::fmt::Debug {
    /// What each step's demand is multiplied by. Shape as `met`; the factor of a step may depend on earlier steps
    /// alone. `step_s` is the length of a step in seconds.
    ///
    /// # Errors
    /// A text when there is no answer.
    fn factors(&self, met: &[MetStep], step_s: f64) -> Result<Vec<f64>, String>;
}

/// How a stack's answers are found.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum By<'a> {
    /// By formulas, each step in its steady state.
    Formulas,
    /// By discrete events, with changes of the allocation.
    Events(&'a Options, &'a [AllocationChange]),
}

/// A load beside the same load with a reaction.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Closed {
    /// By step: what is met when nobody answers.
    pub without: Vec<MetStep>,
    /// By step: what is met when demand answers.
    pub with: Vec<MetStep>,
    /// By step: what demand is multiplied by.
    pub factors: Vec<f64>,
    /// Passes until nothing moved.
    pub passes: usize,
}

/// Why a load cannot be closed.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum ClosedLoopError {
    /// Longer than is closed.
    #[error("{steps} steps are more than {STEPS_MAX}: give fewer or longer steps")]
    TooLong {
        /// Steps given.
        steps: usize,
    },
    /// A class has another number of steps.
    #[error(
        "class `{class}` has {found} steps, the load has {expected}: give all classes the same"
    )]
    Length {
        /// The class.
        class: String,
        /// Its steps.
        found: usize,
        /// Those of the longest class.
        expected: usize,
    },
    /// The reaction has no answer, or one that is none.
    #[error("the reaction has no answer: {cause}")]
    Reaction {
        /// Why.
        cause: String,
    },
    /// The model is not whole.
    #[error(transparent)]
    Flow(#[from] FlowError),
    /// It cannot be simulated.
    #[error(transparent)]
    Simulation(#[from] SimulationError),
}

/// Lets demand answer to what it meets.
///
/// Determinism: a function of its arguments. Cost: a prediction per step, or a simulation, in each pass.
///
/// # Errors
/// [`ClosedLoopError`].
pub fn close(
    model: &StackModel,
    load: &Load,
    reaction: &dyn DemandReaction,
    by: By<'_>,
) -> Result<Closed, ClosedLoopError> {
    let steps = load.steps();
    if steps > STEPS_MAX {
        return Err(ClosedLoopError::TooLong { steps });
    }
    for (class, rates) in &load.rates {
        if rates.len() != steps {
            return Err(ClosedLoopError::Length {
                class: class.to_string(),
                found: rates.len(),
                expected: steps,
            });
        }
    }
    let stand = Stand {
        model,
        objectives: objectives(model)?,
        by,
    };
    let without = stand.meets(load)?;
    let mut with = without.clone();
    let mut factors = vec![1.0; steps];
    // One pass more than steps, which finds that nothing moves.
    for pass in 1..=steps + 1 {
        let next = checked(reaction.factors(&with, load.step_s), steps)?;
        let pairs = next.iter().zip(&factors);
        let moved = pairs
            .map(|(next, now)| (next - now).abs())
            .fold(0.0, f64::max);
        if moved <= STILL {
            return Ok(Closed {
                without,
                with,
                factors,
                passes: pass,
            });
        }
        factors = next;
        with = stand.meets(&times(load, &factors))?;
    }
    Err(ClosedLoopError::Reaction {
        cause: "factors of steps depend on later steps".to_owned(),
    })
}

fn checked(found: Result<Vec<f64>, String>, steps: usize) -> Result<Vec<f64>, ClosedLoopError> {
    let found = found.map_err(|cause| ClosedLoopError::Reaction { cause })?;
    let wrong = |cause: String| Err(ClosedLoopError::Reaction { cause });
    if found.len() != steps {
        return wrong(format!("{} factors for {steps} steps", found.len()));
    }
    let is_factor = |factor: &f64| *factor >= 1.0 / FACTOR_MAX && *factor <= FACTOR_MAX;
    match found.iter().find(|factor| !is_factor(factor)) {
        Some(factor) => wrong(format!(
            "a factor of {factor} is not between 1/{FACTOR_MAX} and {FACTOR_MAX}"
        )),
        None => Ok(found),
    }
}

fn times(load: &Load, factors: &[f64]) -> Load {
    let times = |rates: &Vec<f64>| {
        let pairs = rates.iter().zip(factors);
        pairs.map(|(rate, factor)| rate * factor).collect()
    };
    let rates = load.rates.iter();
    Load {
        step_s: load.step_s,
        rates: rates
            .map(|(class, rates)| (class.clone(), times(rates)))
            .collect(),
    }
}

/// Mean response times that are promised, by class.
fn objectives(model: &StackModel) -> Result<BTreeMap<RequestClassName, f64>, ClosedLoopError> {
    let tenth: BTreeMap<_, _> = class_rates(model)?
        .into_iter()
        .map(|(class, rate)| (class, rate / 10.0))
        .collect();
    let idle = predict_at(model, tenth).ok();
    let of = |(class, stated): (&RequestClassName, &crate::model::RequestClass)| {
        let usual = mean_of(idle.as_ref(), class).map(|mean| UNPROMISED * mean);
        let objective = promised_mean(&stated.sla)
            .or(usual)
            .unwrap_or(f64::INFINITY);
        (class.clone(), objective)
    };
    Ok(model.classes.iter().map(of).collect())
}

/// The mean that a promise asks for, of exponential responses: their quantiles are so many means.
fn promised_mean(promised: &ServiceLevel) -> Option<f64> {
    let levels = [
        (promised.p50_s, 0.5),
        (promised.p95_s, 0.95),
        (promised.p99_s, 0.99),
    ];
    let means = levels
        .into_iter()
        .filter_map(|(limit, level): (Option<f64>, f64)| {
            let means: f64 = -(1.0 - level).ln();
            Some(limit? / means)
        });
    means.reduce(f64::min)
}

fn mean_of(prediction: Option<&Prediction>, class: &RequestClassName) -> Option<f64> {
    let mut classes = prediction?.classes.iter();
    classes
        .find(|one| one.class == *class)
        .map(|one| one.mean_response_s)
}

struct Stand<'a> {
    model: &'a StackModel,
    objectives: BTreeMap<RequestClassName, f64>,
    by: By<'a>,
}

impl Stand<'_> {
    fn meets(&self, load: &Load) -> Result<Vec<MetStep>, ClosedLoopError> {
        match self.by {
            By::Formulas => (0..load.steps())
                .map(|step| self.predicted(load, step))
                .collect(),
            By::Events(options, changes) => {
                let found = simulate(self.model, load, changes, options, &|_| true)?;
                Ok((0..load.steps())
                    .map(|step| self.simulated(&found, step))
                    .collect())
            }
        }
    }

    fn predicted(&self, load: &Load, step: usize) -> Result<MetStep, ClosedLoopError> {
        let rates: BTreeMap<RequestClassName, f64> = load
            .rates
            .iter()
            .map(|(class, rates)| (class.clone(), rates.get(step).copied().unwrap_or(0.0)))
            .collect();
        let (found, utilisation) = match predict_at(self.model, rates.clone()) {
            Ok(found) => (Some(found), 1.0),
            Err(PredictionError::Flow(error)) => return Err(error.into()),
            Err(PredictionError::Overloaded { utilisation, .. }) => {
                // What cannot be served is shed; the rest meets an almost full stack.
                let share = ALMOST_FULL / utilisation;
                let left = rates
                    .iter()
                    .map(|(class, rate)| (class.clone(), rate * share));
                (
                    predict_at(self.model, left.collect()).ok(),
                    utilisation.max(1.0),
                )
            }
        };
        let (mut sum, mut all) = (0.0, 0.0);
        for (class, rate) in &rates {
            let objective = self.objectives.get(class).copied().unwrap_or(f64::INFINITY);
            let over = mean_of(found.as_ref(), class).map(|mean| mean / objective);
            sum += rate * over.unwrap_or(LATENCY_MAX);
            all += rate;
        }
        Ok(MetStep {
            latency: if all > 0.0 { sum / all } else { 0.0 },
            throttled: 1.0 - 1.0 / utilisation,
        })
    }

    fn simulated(&self, found: &Outcome, step: usize) -> MetStep {
        let (mut latency, mut served, mut failed, mut all) = (0.0, 0.0, 0.0, 0.0);
        for class in &found.classes {
            let objective = self.objectives.get(&class.class).copied();
            let objective = objective.unwrap_or(f64::INFINITY);
            let Some(met) = class.steps.get(step) else {
                continue;
            };
            let requests = met.requests as f64;
            all += requests;
            failed += requests
                * if met.failed.is_finite() {
                    met.failed
                } else {
                    0.0
                };
            if met.mean_response_s.is_finite() {
                let of_class = requests * (1.0 - met.failed);
                latency += of_class * met.mean_response_s / objective;
                served += of_class;
            }
        }
        MetStep {
            // Where nobody was served, everybody waited in vain.
            latency: match (served > 0.0, all > 0.0) {
                (true, _) => latency / served,
                (false, true) => LATENCY_MAX,
                (false, false) => 0.0,
            },
            throttled: if all > 0.0 { failed / all } else { 0.0 },
        }
    }
}

#[cfg(test)]
mod tests;
