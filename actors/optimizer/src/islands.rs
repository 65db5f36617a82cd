//! Islands: searches apart from each other, whose best plans found a last one together.
//!
//! Where a problem is small against the evaluations, one long search ends in one valley; several short
//! ones of different randomness end in several, and crossing their plans takes the best of each. Islands
//! share nothing while they search, so threads change nothing but the time.

use crate::pace::{self, Deadline};
use crate::plan::Plan;
use crate::problem::Problem;
use crate::search::{SearchOutcome, SearchSettings, search_from};
use std::panic::resume_unwind;
use std::thread;
use std::time::Duration;

/// Most islands.
pub const ISLANDS_MAX: u64 = 4;
/// Evaluations per count of a plan that an island should have.
const EVALUATIONS_PER_COUNT: u64 = 800;
/// Share of the evaluations that the islands use; the rest is for what they found together.
const APART_SHARE: f64 = 0.75;
/// Keeps the randomness of islands apart.
const ISLAND_STRIDE: u64 = 0xD1B5_4A32_D192_ED03;

/// Islands that suit a number of evaluations.
pub fn islands(problem: &Problem, evaluations: u64) -> u64 {
    let options: usize = problem.tiers.iter().map(|tier| tier.options.len()).sum();
    let counts = (options * problem.steps).max(1) as u64;
    (evaluations / (EVALUATIONS_PER_COUNT * counts)).clamp(1, ISLANDS_MAX)
}

/// Searches on islands; `time` truncates, when given.
pub(crate) fn search(
    problem: &Problem,
    settings: &SearchSettings,
    founders: &[&Plan],
    time: Option<Duration>,
) -> SearchOutcome {
    let islands = islands(problem, settings.evaluations);
    if islands == 1 {
        return timed(problem, settings, founders, time);
    }
    let threads = settings.threads.clamp(1, 64);
    let apart = pace::part(settings.evaluations, APART_SHARE) / islands;
    let rounds = islands.div_ceil(threads as u64);
    let slice = time.map(|time| time.mul_f64(APART_SHARE / rounds as f64));
    let numbers: Vec<u64> = (0..islands).collect();
    let mut found: Vec<SearchOutcome> = Vec::new();
    for numbers in numbers.chunks(threads) {
        let inside = (threads / numbers.len()).max(1);
        thread::scope(|scope| {
            let running: Vec<_> = numbers
                .iter()
                .map(|number| {
                    let settings = SearchSettings {
                        seed: settings.seed ^ number.wrapping_mul(ISLAND_STRIDE),
                        evaluations: apart,
                        threads: inside,
                    };
                    scope.spawn(move || timed(problem, &settings, founders, slice))
                })
                .collect();
            for island in running {
                found.push(island.join().unwrap_or_else(|panic| resume_unwind(panic)));
            }
        });
    }
    let plans: Vec<&Plan> = found.iter().map(|outcome| &outcome.plan).collect();
    let used: u64 = found.iter().map(|outcome| outcome.evaluations).sum();
    let last = SearchSettings {
        evaluations: settings.evaluations.saturating_sub(apart * islands),
        ..*settings
    };
    let rest = time.map(|time| time.mul_f64(1.0 - APART_SHARE));
    let together = timed(problem, &last, &plans, rest);
    let cut = found.iter().any(|outcome| outcome.truncated) || together.truncated;
    let generations = found
        .iter()
        .map(|outcome| outcome.ga_generations)
        .sum::<u32>();
    let counted = SearchOutcome {
        evaluations: used + together.evaluations,
        ga_generations: generations + together.ga_generations,
        truncated: cut,
        ..together
    };
    // The last search keeps volumes and link of its own; an island's may be better.
    found.into_iter().fold(counted, |best, island| {
        let better = island.evaluation.feasible()
            && (!best.evaluation.feasible() || island.evaluation.cost < best.evaluation.cost);
        if better {
            SearchOutcome {
                plan: island.plan,
                evaluation: island.evaluation,
                ..best
            }
        } else {
            best
        }
    })
}

fn timed(
    problem: &Problem,
    settings: &SearchSettings,
    founders: &[&Plan],
    time: Option<Duration>,
) -> SearchOutcome {
    let clock = Deadline::starting_now(time.unwrap_or(Duration::MAX));
    search_from(problem, settings, founders, &mut |used, next| {
        clock.may_start(used, next)
    })
}
