//! Micro-benchmarks: how many evaluations and plans a core makes per second.

use crate::evaluate::evaluate;
use crate::pace::Deadline;
use crate::request;
use crate::score::Scorer;
use crate::search::{DeltaBench, SearchSettings, search};
use crate::{PlanError, Problem};
use std::hint::black_box;
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

/// Speeds of one core on one problem.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct EvaluationSpeed {
    /// Whole plans scored per second.
    pub full: f64,
    /// Whole plans judged in words per second.
    pub judged: f64,
    /// Moves applied to a plan, priced and taken back per second.
    pub delta: f64,
    /// Moves of the search per second, those screened out included.
    pub searched: f64,
}

/// Moves between two readings of the clock.
const DELTAS: usize = 20_000;

/// Measures evaluations on the plan that a short search finds.
pub fn evaluation_speed(problem: &Problem, each: Duration) -> EvaluationSpeed {
    let settings = SearchSettings {
        seed: 1,
        evaluations: 20_000,
        threads: 1,
    };
    let plan = search(problem, &settings, None, &mut |_, _| true).plan;
    let mut scorer = Scorer::new(problem);
    let full = per_second(each, 64, || {
        black_box(scorer.score(black_box(&plan)));
    });
    let judged = per_second(each, 16, || {
        black_box(evaluate(black_box(problem), black_box(&plan)));
    });
    let mut moves = DeltaBench::new(problem, &plan);
    let delta = DELTAS as f64
        * per_second(each, 1, || {
            black_box(moves.run(DELTAS));
        });
    let searched = evaluations_per_second(problem, 300_000);
    EvaluationSpeed {
        full,
        judged,
        delta,
        searched,
    }
}

/// Runs of `work` per second, over at least `time`, the clock read once in `batch` runs.
fn per_second(time: Duration, batch: u32, mut work: impl FnMut()) -> f64 {
    let clock = Deadline::starting_now(Duration::MAX);
    let mut done = 0.0;
    loop {
        for _ in 0..batch {
            work();
        }
        done += f64::from(batch);
        let elapsed = clock.elapsed();
        if elapsed >= time {
            return done / elapsed.as_secs_f64();
        }
    }
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
