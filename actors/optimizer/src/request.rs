//! From a [`PlanRequest`] to a [`Plan`]: the optimizer's whole decision, without actor, clock or file.
//!
//! Tiers are first planned one by one, each covering its demand as its own prices suggest: a tier with
//! one VM type by the exact path, one with several by the search. Where together they break a limit that
//! they share (budget, virtual CPUs, risk), one search plans them all at once. Volumes and the link
//! cover the policy's highest level, or the highest that they can.

mod answer;
mod build;
mod check;
mod solve;

pub(crate) use self::build::whole as whole_cores;
pub(crate) use self::solve::{binding, unsatisfiable};
use crate::evaluate::Rule;
use crate::problem::ProblemError;
use std::num::NonZeroUsize;
use twinscale_protocol::optimizer::{Plan, PlanRequest};
use twinscale_protocol::{WireError, WireErrorCode};

/// Why there is no plan.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum PlanError {
    /// The request holds a value that cannot be used.
    #[error(transparent)]
    Invalid(#[from] ProblemError),
    /// No plan that was found keeps all rules; the nearest is not handed out.
    #[error("no plan keeps the policy: {binding}; {remedy}")]
    Unsatisfiable {
        /// The rule that binds.
        rule: Rule,
        /// Rule, place, step and both sides of the comparison.
        binding: String,
        /// What to change.
        remedy: String,
    },
}

impl From<PlanError> for WireError {
    fn from(error: PlanError) -> Self {
        Self::new(WireErrorCode::Invalid, error.to_string())
    }
}

/// Makes a plan; a function of the request alone, on any number of threads.
///
/// # Errors
/// [`PlanError`] for a value that cannot be used, and for a policy that nothing satisfies.
pub fn plan(request: &PlanRequest, threads: NonZeroUsize) -> Result<Plan, PlanError> {
    let demand = build::Demand::new(request)?;
    let solved = solve::solve(&demand, threads)?;
    Ok(answer::plan(&demand, &solved))
}

#[cfg(test)]
mod tests;
