//! The search for a cheap plan: a genetic algorithm over whole plans.
//!
//! Same problem, settings and last plan give the same plan bit for bit, on any number of threads.

mod anneal;
mod blocks;
mod delta;
mod genetic;
mod heuristic;
mod model;
mod moves;
pub(crate) mod nsga;
mod screen;
mod state;

pub(crate) use self::delta::DeltaBench;
pub(crate) use self::model::candidates;
use crate::evaluate::{Evaluation, evaluate};
use crate::plan::Plan;
use crate::problem::Problem;

/// Individuals of the genetic algorithm; more threads than these are not used.
pub const POPULATION: usize = genetic::POPULATION;

/// How long and on what the search works.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SearchSettings {
    /// Root of all randomness.
    pub seed: u64,
    /// Candidate plans to price, exactly; 0 gives the seed.
    pub evaluations: u64,
    /// Threads, at least 1; more than the population are not used.
    pub threads: usize,
}

/// What the search found.
#[derive(Clone, Debug, PartialEq)]
pub struct SearchOutcome {
    /// The best plan.
    pub plan: Plan,
    /// Its judgement; not always feasible.
    pub evaluation: Evaluation,
    /// The seed by rule.
    pub seed: Plan,
    /// Judgement of the seed by rule.
    pub seed_evaluation: Evaluation,
    /// Candidate plans priced.
    pub evaluations: u64,
    /// Generations of the genetic algorithm.
    pub ga_generations: u32,
    /// Whether `may_start` stopped the search before its evaluations were used.
    pub truncated: bool,
}

/// Searches for a cheap plan.
///
/// `may_start` is asked before every generation, with the evaluations used so far, whether so many more
/// may begin; a deadline says no and so truncates the search, it changes nothing else. Cost: about 1 us per evaluation.
pub fn search(
    problem: &Problem,
    settings: &SearchSettings,
    last_plan: Option<&Plan>,
    may_start: &mut dyn FnMut(u64, u64) -> bool,
) -> SearchOutcome {
    let founders: Vec<&Plan> = last_plan.into_iter().collect();
    found(
        problem,
        settings,
        &genetic::Start {
            founders: &founders,
            hot: genetic::HOT_FIRST,
            blocks: false,
        },
        may_start,
    )
}

/// Searches like [`search`], from several plans besides the seed by rule.
pub fn search_from(
    problem: &Problem,
    settings: &SearchSettings,
    founders: &[&Plan],
    may_start: &mut dyn FnMut(u64, u64) -> bool,
) -> SearchOutcome {
    found(
        problem,
        settings,
        &genetic::Start {
            founders,
            hot: genetic::HOT_FOUNDED,
            blocks: true,
        },
        may_start,
    )
}

fn found(
    problem: &Problem,
    settings: &SearchSettings,
    start: &genetic::Start<'_>,
    may_start: &mut dyn FnMut(u64, u64) -> bool,
) -> SearchOutcome {
    let found = genetic::run(problem, settings, start, may_start);
    SearchOutcome {
        evaluation: evaluate(problem, &found.plan),
        seed_evaluation: evaluate(problem, &found.seed),
        seed: found.seed,
        plan: found.plan,
        evaluations: found.evaluations,
        ga_generations: found.ga_generations,
        truncated: found.truncated,
    }
}

/// Builds a plan from the counts of a relaxation. Shape of `relaxed`: `[tier][option][step]`.
pub(crate) fn rounded(problem: &Problem, relaxed: &[Vec<Vec<f64>>]) -> Plan {
    genetic::rounded(problem, relaxed)
}

#[cfg(test)]
mod tests;
