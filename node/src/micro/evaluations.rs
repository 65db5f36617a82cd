//! Evaluations of candidate plans per second: inside the search, beside the full check of a plan.

use super::{Figure, median_of_day};
use anyhow::Context as _;
use serde_json::{Value, json};
use std::hint::black_box;
use twinscale_log::MonotonicClock;
use twinscale_optimizer::Problem;
use twinscale_optimizer::bench::evaluations_per_second;
use twinscale_optimizer::evaluate::evaluate;
use twinscale_optimizer::search::{SearchSettings, search};

/// Evaluations of the timed search: half a second on a small server.
const SEARCHED: u64 = 1_000_000;

/// Evaluations that find the plan whose full check is timed.
const TO_FIND: u64 = 5_000;

/// Full checks that are timed.
const CHECKS: u32 = 100_000;

/// Steps of the problem, an hour each.
const STEPS: u32 = 24;

/// Levels that a requirement is given for, and their distance from the median.
const LEVELS: [(f64, f64); 5] = [
    (0.5, 1.0),
    (0.8, 1.1),
    (0.9, 1.17),
    (0.95, 1.25),
    (0.99, 1.45),
];

/// Measures both on one thread.
pub(super) fn evaluations(clock: &dyn MonotonicClock) -> anyhow::Result<Figure> {
    let problem = Problem::from_json(&problem().to_string())
        .context("the problem of this benchmark cannot be read")?;
    let settings = SearchSettings {
        seed: 1,
        evaluations: TO_FIND,
        threads: 1,
    };
    let plan = search(&problem, &settings, None, &mut |_, _| true).plan;
    let started = clock.elapsed();
    for _ in 0..CHECKS {
        black_box(evaluate(black_box(&problem), black_box(&plan)));
    }
    let seconds = clock.elapsed().saturating_sub(started).as_secs_f64();
    Ok(Figure {
        name: "candidate plans evaluated, searching",
        value: evaluations_per_second(&problem, SEARCHED),
        unit: "plans/s",
        limit_name: "full check of one plan of the same problem",
        limit: f64::from(CHECKS) / seconds.max(1e-9),
    })
}

/// One tier with three VM types over a day, format `alloc-plan/1`.
fn problem() -> Value {
    let medians: Vec<f64> = (0..STEPS)
        .map(|hour| median_of_day(f64::from(hour)))
        .collect();
    let requirement = medians.iter().map(|median| {
        let levels = LEVELS.iter().map(|(_, factor)| vec![median * factor]);
        levels.collect::<Vec<_>>()
    });
    let penalty = medians.iter().map(|median| {
        let levels = LEVELS.iter().map(|(level, _)| 2.0 * median * (1.0 - level));
        levels.collect::<Vec<_>>()
    });
    let weight = 1.0 / f64::from(STEPS);
    json!({
        "format": "alloc-plan/1",
        "id": "micro",
        "steps": STEPS,
        "step_hours": 1,
        "levels": LEVELS.map(|(level, _)| level),
        "level_min": 0,
        "level_max": LEVELS.len() - 1,
        "risk_budget": 0.1,
        "step_weight": vec![weight; STEPS as usize],
        "penalty": penalty.collect::<Vec<_>>(),
        "types": {
            "size1": {"price": 0.098, "vcpu": 2},
            "size2": {"price": 0.192, "vcpu": 4},
            "size3": {"price": 0.282, "vcpu": 6},
        },
        "tiers": {
            "web": {
                "requirement": requirement.collect::<Vec<_>>(),
                "capacity": {"size1": [1], "size2": [2], "size3": [3]},
                "delay_steps": 0,
                "min_up_steps": 1,
                "min_vms": 1,
                "max_vms": 500,
                "max_start_per_step": 100,
                "max_stop_per_step": 100,
                "start_cost_h": 0.08,
                "initial": {"size1": 40},
            },
        },
        "vcpu_quota": 4_000,
        "max_step_spend": 1_000,
        "budget": 10_000,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_problem_has_a_plan_that_the_full_check_accepts() {
        let problem = Problem::from_json(&problem().to_string()).expect("a valid problem");
        let settings = SearchSettings {
            seed: 1,
            evaluations: TO_FIND,
            threads: 1,
        };
        let found = search(&problem, &settings, None, &mut |_, _| true);
        assert!(found.evaluation.feasible(), "{:?}", found.evaluation);
        // The search has work to do here: it beats the heuristic that it starts from.
        assert!(found.evaluation.cost < found.seed_evaluation.cost);
    }
}
