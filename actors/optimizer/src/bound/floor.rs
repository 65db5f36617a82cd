//! Parts of the bound that need no linear program.

use crate::pieces;
use crate::plan::Plan;
use crate::problem::{Problem, TOLERANCE, Tier};
use crate::program::Program;
use crate::search::candidates;

/// Least cost of volumes, link and unserved demand, whatever level each step covers.
pub(super) fn floor_of_rest(problem: &Problem) -> f64 {
    let penalty: f64 = (0..problem.steps)
        .map(|step| {
            let levels = problem.level_min..=problem.level_max;
            let penalties =
                levels.map(|level| problem.penalty[step * problem.levels.len() + level]);
            penalties.fold(f64::INFINITY, f64::min)
        })
        .sum();
    penalty + floor_of_spend(problem).iter().sum::<f64>()
}

/// A problem whose volumes and link ask for as little as the judge's tolerance lets pass.
pub(super) fn slackened(problem: &Problem) -> Problem {
    let mut slack = problem.clone();
    let lower = |amount: &mut f64| *amount = (*amount - TOLERANCE).max(0.0);
    for volume in &mut slack.volumes {
        volume.required_gib.iter_mut().for_each(lower);
        volume.required_iops.iter_mut().for_each(lower);
    }
    if let Some(link) = &mut slack.link {
        link.required_mbps.iter_mut().for_each(lower);
    }
    slack
}

/// Most steps for which the hold times of volumes and link are taken into account, at a cost of their
/// square.
pub(super) const HOLD_STEPS_MAX: usize = 2_000;

/// Least spend on volumes and link at the least level. Shape: `[step]`; only the sum is a bound.
pub(super) fn floor_of_spend(problem: &Problem) -> Vec<f64> {
    let slack = slackened(problem);
    let mut plan = Plan::unchanged(problem);
    let levels = vec![problem.level_min; problem.steps];
    if problem.steps <= HOLD_STEPS_MAX && pieces::settle(&slack, &levels, &mut plan).is_ok() {
        return pieces::spend(problem, &plan)
            .iter()
            .map(|nanos| nanos / 1e9)
            .collect();
    }
    let steps = 0..problem.steps;
    steps
        .map(|step| pieces::least_spend(&slack, step, problem.level_min))
        .collect()
}

/// Adds what volumes and link cost at least at each chosen level to a program; gives the constant part.
pub(super) fn add_rest(problem: &Problem, program: &mut Program) -> f64 {
    let least = floor_of_spend(problem).iter().sum::<f64>();
    if problem.level_min == problem.level_max {
        let penalty: f64 = (0..problem.steps)
            .map(|step| problem.penalty[step * problem.levels.len() + problem.level_max])
            .sum();
        return least + penalty;
    }
    let slack = slackened(problem);
    let mut total = Vec::new();
    for (step, choices) in program.choices.clone().iter().enumerate() {
        let mut terms = Vec::new();
        let mut most = 0.0_f64;
        for (level, column) in choices {
            let spend = pieces::least_spend(&slack, step, *level);
            most = most.max(spend);
            terms.push((*column, -spend));
        }
        // Hold times may ask for more than the step itself: the sum of all does.
        let column = program.linear.column(1.0, (0.0, most + least), false);
        terms.push((column, 1.0));
        program.linear.row((0.0, f64::INFINITY), &terms);
        total.push((column, 1.0));
    }
    program.linear.row((least, f64::INFINITY), &total);
    0.0
}

/// What each step needs at the best price of a single resource.
pub(super) fn steps_share(problem: &Problem, tier: &Tier) -> f64 {
    window_share(problem, tier, (0, problem.steps))
}

pub(crate) fn window_share(problem: &Problem, tier: &Tier, (from, to): (usize, usize)) -> f64 {
    let initial = |option: &usize| tier.options[*option].initial > 0;
    let mut options = candidates(tier);
    options.extend((0..tier.options.len()).filter(initial));
    let best = |resource: usize| {
        let rate = |option: &usize| {
            let option = &tier.options[*option];
            let units = option.capacity[resource];
            if units > 0.0 {
                option.price_per_hour / units
            } else {
                f64::INFINITY
            }
        };
        options.iter().map(rate).fold(f64::INFINITY, f64::min)
    };
    let rates: Vec<f64> = (0..tier.resources).map(best).collect();
    let mut share = 0.0;
    for step in from..to {
        let required = tier.required(step, problem.level_min, problem.levels.len());
        let costs = required.iter().zip(&rates).map(|(units, rate)| {
            if rate.is_finite() {
                (units - TOLERANCE * units.max(1.0)) * rate
            } else {
                0.0
            }
        });
        share += costs.fold(0.0, f64::max) * problem.step_hours;
    }
    share * (1.0 - 1e-9)
}
