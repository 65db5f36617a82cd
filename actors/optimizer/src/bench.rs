//! Micro-benchmarks: how many evaluations and plans a core makes per second.

use crate::evaluate::evaluate;
use crate::linear::Effort;
use crate::pace::Deadline;
use crate::pieces;
use crate::plan::Plan;
use crate::program::{Levels, Limits, Program, Scope};
use crate::request;
use crate::response::Responses;
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
    /// Whole plans scored with their response time per second; `None` where queues are not described.
    pub with_response: Option<f64>,
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
    let responses = Responses::new(problem).ok();
    let with_response = responses.as_ref().map(|responses| {
        per_second(each, 64, || {
            scorer.score(black_box(&plan));
            black_box(scorer.response(responses));
        })
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
        with_response,
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

/// What a solver of linear programs alone makes of a problem.
#[derive(Clone, Debug)]
pub struct SolverAlone {
    /// The plan, when any was found; the judge may still find it broken.
    pub plan: Option<Plan>,
    /// Its proven bound on VMs, starts and unserved demand, with what the settled volumes and link cost.
    pub bound: f64,
}

/// The whole problem as one program for `HiGHS`, on one thread, without a seed: what the search is
/// compared with. Volumes and link are settled beforehand, for the highest level that they can cover.
pub fn solver_alone(problem: &Problem, time: Duration) -> SolverAlone {
    let clock = Deadline::starting_now(time);
    let mut plan = Plan::unchanged(problem);
    if pieces::settle_highest(problem, &mut plan).is_err() {
        return SolverAlone {
            plan: None,
            bound: f64::NEG_INFINITY,
        };
    }
    let highest = |step: usize| {
        let levels = (problem.level_min..=problem.level_max).rev();
        let covers = |level: &usize| pieces::covers(problem, &plan, step, *level);
        levels.into_iter().find(covers).unwrap_or(problem.level_min)
    };
    let highest: Vec<usize> = (0..problem.steps).map(highest).collect();
    let fixed = pieces::spend(problem, &plan);
    let fixed: Vec<f64> = fixed.iter().map(|nanos| nanos / 1e9).collect();
    let all: Vec<usize> = (0..problem.tiers.len()).collect();
    let limits = Limits {
        vcpu: vec![problem.vcpu_quota; problem.steps],
        spend: fixed
            .iter()
            .map(|fixed| problem.step_spend_max - fixed)
            .collect(),
        budget: problem.budget - fixed.iter().sum::<f64>(),
        risk: problem.risk_budget,
    };
    let program = Program::new(&Scope {
        problem,
        tiers: &all,
        window: (0, problem.steps),
        levels: Levels::UpTo(&highest),
        around: None,
        limits: Some(&limits),
    });
    let effort = Effort {
        nodes: u32::MAX,
        iterations: u32::MAX,
        time: Some(time.saturating_sub(clock.elapsed())),
        heuristics: 0.05,
    };
    let Ok(branched) = program.linear.branch(&effort, None) else {
        return SolverAlone {
            plan: None,
            bound: f64::NEG_INFINITY,
        };
    };
    let found = branched.columns.map(|columns| {
        program.write(&columns, &mut plan);
        let mut settled = plan.clone();
        let levels = program.chosen(&columns, problem.level_max);
        let cheaper = pieces::settle(problem, &levels, &mut settled).is_ok()
            && evaluate(problem, &settled).feasible();
        if cheaper { settled } else { plan }
    });
    SolverAlone {
        plan: found,
        bound: branched.bound + fixed.iter().sum::<f64>(),
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
