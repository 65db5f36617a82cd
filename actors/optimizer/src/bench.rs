//! Micro-benchmarks: how many evaluations and plans a core makes per second.

use crate::pace::Deadline;
use crate::request;
use crate::search::{SearchSettings, search};
use crate::{PlanError, Problem};
use std::num::NonZeroUsize;
use std::time::Duration;
use twinscale_protocol::optimizer::PlanRequest;

/// Evaluations per second of the search on one thread, over at least `evaluations` of them.
pub fn evaluations_per_second(problem: &Problem, evaluations: u64) -> f64 {
    let clock = Deadline::starting_now(Duration::MAX);
    let settings = SearchSettings {
        seed: 1,
        evaluations,
        threads: 1,
    };
    let outcome = search(problem, &settings, None, &mut |_, _| true);
    outcome.evaluations as f64 / clock.elapsed().as_secs_f64().max(1e-9)
}

/// Plans per second of one thread, over `repetitions` rounds of the requests.
///
/// # Errors
/// [`PlanError`] of the first request that cannot be planned.
pub fn plans_per_second(requests: &[PlanRequest], repetitions: u32) -> Result<f64, PlanError> {
    let clock = Deadline::starting_now(Duration::MAX);
    let mut plans = 0.0;
    for _ in 0..repetitions {
        for request in requests {
            request::plan(request, NonZeroUsize::MIN)?;
            plans += 1.0;
        }
    }
    Ok(plans / clock.elapsed().as_secs_f64().max(1e-9))
}
