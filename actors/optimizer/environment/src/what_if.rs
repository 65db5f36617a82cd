//! What if: a stack as it is beside the same stack with something changed.
//!
//! A [`Change`] makes a new model of a model; [`compare`] answers for both: what it costs, what requests meet
//! and miss, and what is used up first. Formulas answer always; the simulation answers as well where it is
//! asked to, with the same requests and the same work on both sides.

mod change;
mod cost;

pub use self::change::{Change, ChangeError};
pub use self::cost::{HourlyCost, hourly_cost};
use crate::flow::{Flow, FlowError, class_rates, flow};
use crate::model::StackModel;
use crate::prediction::{Prediction, PredictionError, ResourceUse, predict, resources};
use crate::simulation::{Load, Options, Outcome, Precision, SimulationError, simulate};
use serde::Serialize;
use twinscale_protocol::RequestClassName;

/// Requests of one run of a simulation.
const REQUESTS_PER_RUN: f64 = 20_000.0;
/// Shortest run, in seconds: long against what a request takes.
const RUN_S_MIN: f64 = 60.0;
/// Share of a run that does not count.
const WARM_UP: f64 = 0.2;
/// Intervals of a simulation are narrow enough at this share of their value.
const PRECISION: f64 = 0.02;
/// Runs that are enough whatever the precision.
const RUNS_MAX: u32 = 64;

/// A stack as it is, and as it would be.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct WhatIf {
    /// What is changed, in words.
    pub changes: Vec<String>,
    /// As it is.
    pub today: Standing,
    /// As it would be.
    pub then: Standing,
}

/// How a stack stands.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Standing {
    /// What it costs for one hour, in US dollars.
    pub cost: HourlyCost,
    /// Requests per second of each class.
    pub rates_per_s: Vec<(RequestClassName, f64)>,
    /// What formulas say; `None` when something is used up, and `overloaded` says what.
    pub predicted: Option<Prediction>,
    /// What has no steady state.
    pub overloaded: Option<String>,
    /// What is used, the most used first: the first one is full first when all load grows alike.
    pub resources: Vec<ResourceUse>,
    /// What the simulation says, where it was asked.
    pub simulated: Option<Outcome>,
}

/// Why there is no answer.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum WhatIfError {
    /// A change names what the stack does not have, or leaves nothing of it.
    #[error(transparent)]
    Change(#[from] ChangeError),
    /// The model is not whole.
    #[error(transparent)]
    Flow(#[from] FlowError),
    /// It cannot be simulated.
    #[error(transparent)]
    Simulation(#[from] SimulationError),
}

/// Whether to simulate as well.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Engine {
    /// Formulas alone.
    Analytic,
    /// Discrete events as well, from a seed, on some threads.
    Events {
        /// Root of all randomness.
        seed: u64,
        /// Threads; the answer does not depend on them.
        threads: usize,
    },
}

/// Answers for a stack and for the same stack with changes, in their order.
///
/// # Errors
/// [`WhatIfError`].
pub fn compare(
    model: &StackModel,
    changes: &[Change],
    engine: Engine,
    proceed: &(dyn Fn(f64) -> bool + Sync),
) -> Result<WhatIf, WhatIfError> {
    let mut then = model.clone();
    for change in changes {
        change.apply(&mut then)?;
    }
    Ok(WhatIf {
        changes: changes.iter().map(ToString::to_string).collect(),
        today: standing(model, engine, proceed)?,
        then: standing(&then, engine, proceed)?,
    })
}

/// How a stack stands under the load that its model states.
///
/// # Errors
/// [`WhatIfError`].
pub fn standing(
    model: &StackModel,
    engine: Engine,
    proceed: &(dyn Fn(f64) -> bool + Sync),
) -> Result<Standing, WhatIfError> {
    let found: Flow = flow(model)?;
    let (predicted, overloaded) = match predict(model) {
        Ok(prediction) => (Some(prediction), None),
        Err(PredictionError::Flow(error)) => return Err(error.into()),
        Err(error @ PredictionError::Overloaded { .. }) => (None, Some(error.to_string())),
    };
    let simulated = match engine {
        Engine::Analytic => None,
        Engine::Events { seed, threads } => Some(simulated(model, (seed, threads), proceed)?),
    };
    Ok(Standing {
        cost: hourly_cost(model),
        rates_per_s: found.rates_per_s.clone().into_iter().collect(),
        predicted,
        overloaded,
        resources: resources(&found),
        simulated,
    })
}

/// Simulates a model at the rates that it states until its figures are known to 2 %, or after 64 runs.
///
/// # Errors
/// [`WhatIfError`].
pub fn simulated(
    model: &StackModel,
    (seed, threads): (u64, usize),
    proceed: &(dyn Fn(f64) -> bool + Sync),
) -> Result<Outcome, WhatIfError> {
    let rates = class_rates(model)?;
    let all: f64 = rates.values().sum();
    let seconds = (REQUESTS_PER_RUN / all.max(f64::MIN_POSITIVE)).clamp(RUN_S_MIN, 1e9);
    let load = Load::steady(rates.into_iter().collect(), seconds);
    let options = Options {
        seed,
        threads,
        replications: 1,
        warm_up_s: WARM_UP * seconds,
        stop: Some(Precision {
            relative_half_width: PRECISION,
            replications_max: RUNS_MAX,
        }),
    };
    Ok(simulate(model, &load, &[], &options, proceed)?)
}

#[cfg(test)]
mod tests;
