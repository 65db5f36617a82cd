//! The whole way to a plan with its proof: seeds, search, polish and bound under one limit.
//!
//! Seeds are the plan by rule, the rounded relaxation and a plan that is handed in; the genetic search
//! goes on from the best of them, windows of its plan are planned anew by branch-and-bound, and the
//! tiers' programs raise the bound and are offered as plans on the way. Under a number of evaluations
//! all of that is counted in evaluations, windows and nodes, so the same number gives the same bytes on
//! any machine and any number of threads; a deadline divides its time instead.

use crate::bound::{Bound, BoundMethod, Prover};
use crate::evaluate::{Evaluation, evaluate};
use crate::explain::{self, Explanation};
use crate::islands;
use crate::linear::Effort;
use crate::pace::{self, Deadline};
use crate::plan::Plan;
use crate::polish::Polisher;
use crate::problem::Problem;
use crate::search::{self, SearchSettings};
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;
use std::time::Duration;

/// Most nodes of a window.
const WINDOW_NODES: u32 = 200;
/// Most iterations of the simplex method in a relaxation.
const ITERATIONS: u32 = 400_000;
/// Stream of the generator that draws windows.
const WINDOW_STREAM: u64 = 1 << 48;
/// Evaluations that count as much as a window.
const EVALUATIONS_PER_WINDOW: u64 = 50_000;
/// Evaluations from which tiers are branched on, and those that count as much as one of its nodes.
const EVALUATIONS_BRANCHED: u64 = 100_000;
/// Gap at which a plan counts as optimal: the margin of a bound by branch-and-bound.
const PROVEN_GAP: f64 = 5e-6;
/// Columns per second that branch-and-bound deals with, roughly.
const COLUMNS_PER_SECOND: f64 = 2_500.0;
/// Share of the time for bounds that a small problem's branch-and-bound at once may take, and how many
/// times the nodes of a tier.
const WHOLE_SHARE: f64 = 0.7;
const WHOLE_NODES: u32 = 10;
/// Evaluations that a column of a program is worth: larger programs are not branched on.
const EVALUATIONS_PER_COLUMN: u64 = 1_000;
/// Least time that a branch-and-bound of a window is given under a deadline.
const WINDOW_TIME: Duration = Duration::from_millis(20);

/// Where a plan came from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Origin {
    /// The plan by rule.
    Rule,
    /// The rounded linear relaxation.
    Relaxation,
    /// The plan that was handed in.
    Warm,
    /// The genetic search.
    Search,
    /// Windows planned anew by branch-and-bound.
    Polish,
}

impl Origin {
    /// Names the origin.
    pub fn name(self) -> &'static str {
        match self {
            Self::Rule => "rule",
            Self::Relaxation => "relaxation",
            Self::Warm => "warm start",
            Self::Search => "search",
            Self::Polish => "polish",
        }
    }
}

/// A plan on the way.
#[derive(Clone, Debug, PartialEq)]
pub struct Candidate {
    /// Where it came from.
    pub origin: Origin,
    /// The plan.
    pub plan: Plan,
    /// Its judgement.
    pub evaluation: Evaluation,
}

/// What came out.
#[derive(Clone, Debug)]
pub struct Solved {
    /// All seeds, then what search and polish made of them, in this order; the last is the plan.
    pub candidates: Vec<Candidate>,
    /// The proven bound.
    pub bound: Bound,
    /// Evaluations of the search.
    pub evaluations: u64,
    /// Generations of the search.
    pub ga_generations: u32,
    /// Why the plan costs what it costs; empty when none is allowed.
    pub explanation: Explanation,
    /// What has been proven to have no solution.
    pub infeasible: Option<String>,
    /// Windows planned anew.
    pub windows: u64,
    /// Whether a deadline cut the search short.
    pub truncated: bool,
}

/// What a solution may take.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Allowance<'a> {
    pub(crate) seed: u64,
    pub(crate) threads: usize,
    /// Evaluations when they are counted.
    pub(crate) evaluations: Option<u64>,
    /// The clock, and the time that may be used of it.
    pub(crate) clock: &'a Deadline,
    pub(crate) time: Duration,
}

/// Shares of a deadline at which the stages end: relaxation, search, windows, tiers, windows
/// again, explanation.
const RELAXED_AT: f64 = 0.6;
const SEARCHED_AT: f64 = 0.4;
const SEARCHED_LATE: f64 = 0.7;
const WINDOWS_SHARE: f64 = 0.2;
const BRANCHED_AT: f64 = 0.85;
const ENDED_AT: f64 = 0.92;
const EXPLAINED_AT: f64 = 0.97;

impl Allowance<'_> {
    fn counted(&self) -> bool {
        self.evaluations.is_some()
    }

    /// Time left until a share of the deadline.
    fn until(&self, share: f64) -> Duration {
        self.time
            .mul_f64(share)
            .saturating_sub(self.clock.elapsed())
    }

    fn effort(&self, nodes: u32, time: Duration) -> Effort {
        Effort {
            nodes,
            iterations: ITERATIONS,
            time: (!self.counted()).then_some(time),
            heuristics: 0.05,
        }
    }
}

impl Candidate {
    fn new(problem: &Problem, origin: Origin, plan: Plan) -> Self {
        let evaluation = evaluate(problem, &plan);
        Self {
            origin,
            plan,
            evaluation,
        }
    }

    /// Whether it is the better plan: allowed first, then cheaper.
    pub fn beats(&self, other: &Self) -> bool {
        match (self.evaluation.feasible(), other.evaluation.feasible()) {
            (true, true) => self.evaluation.cost < other.evaluation.cost,
            (feasible, _) => feasible,
        }
    }
}

impl Solved {
    /// The plan.
    ///
    /// # Panics
    /// Never: there is always the plan by rule.
    pub fn best(&self) -> &Candidate {
        self.candidates
            .last()
            .expect("the plan by rule is always there")
    }

    /// The best of the seeds.
    pub fn best_seed(&self) -> &Candidate {
        let seeds = self
            .candidates
            .iter()
            .filter(|seed| seed.origin <= Origin::Warm);
        seeds.fold(&self.candidates[0], |best, seed| {
            if seed.beats(best) { seed } else { best }
        })
    }
}

/// Solves a problem.
pub(crate) fn solve(problem: &Problem, warm: Option<&Plan>, allowance: &Allowance<'_>) -> Solved {
    let mut prover = Prover::new(problem);
    prover.relax(&mut || {
        let time = allowance.until(RELAXED_AT);
        (allowance.counted() || time > Duration::from_millis(5)).then(|| allowance.effort(0, time))
    });
    let mut founders: Vec<Candidate> = Vec::new();
    // Tiers whose relaxation did not end in time are planned by rule.
    if prover.relaxed.iter().any(|counts| !counts.is_empty()) {
        let rounded = search::rounded(problem, &prover.relaxed);
        founders.push(Candidate::new(problem, Origin::Relaxation, rounded));
    }
    founders.extend(warm.map(|plan| Candidate::new(problem, Origin::Warm, plan.clone())));
    let searched = run_search(problem, &founders, allowance);
    let rule = Candidate {
        origin: Origin::Rule,
        plan: searched.seed.clone(),
        evaluation: searched.seed_evaluation.clone(),
    };
    let found = Candidate {
        origin: Origin::Search,
        plan: searched.plan,
        evaluation: searched.evaluation,
    };
    let mut solved = Solved {
        candidates: [rule].into_iter().chain(founders).collect(),
        bound: prover.bound(),
        evaluations: searched.evaluations,
        ga_generations: searched.ga_generations,
        explanation: Explanation::default(),
        infeasible: prover.infeasible.clone(),
        windows: 0,
        truncated: searched.truncated,
    };
    // The search keeps volumes and link of its own; a founder's may be better.
    let seed = solved.best_seed().clone();
    let best = if seed.beats(&found) {
        Candidate {
            origin: Origin::Search,
            ..seed
        }
    } else {
        found
    };
    let feasible = best.evaluation.feasible();
    solved.candidates.push(best);
    if feasible {
        improve(problem, &mut prover, &mut solved, allowance);
    }
    solved.bound = prover.bound();
    if feasible {
        let explained = allowance
            .evaluations
            .is_none_or(|all| all >= EVALUATIONS_BRANCHED);
        solved.explanation = explain::explain(problem, &prover, &solved, &mut || {
            let time = allowance.until(EXPLAINED_AT);
            let on = if allowance.counted() {
                explained
            } else {
                time > WINDOW_TIME
            };
            on.then(|| allowance.effort(0, time))
        });
    }
    solved
}

/// Share of a deadline at which the search ends: late where the tiers' programs are too large for
/// branch-and-bound to end in the time that is left.
fn searched_at(problem: &Problem, time: Duration) -> f64 {
    let options: usize = problem.tiers.iter().map(|tier| tier.options.len()).sum();
    let columns = (2 * options * problem.steps) as f64;
    let load = columns / time.as_secs_f64().max(1e-3) / COLUMNS_PER_SECOND;
    SEARCHED_AT + (SEARCHED_LATE - SEARCHED_AT) * load.min(1.0)
}

fn run_search(
    problem: &Problem,
    founders: &[Candidate],
    allowance: &Allowance<'_>,
) -> search::SearchOutcome {
    let time = allowance.until(searched_at(problem, allowance.time));
    let evaluations = allowance
        .evaluations
        .unwrap_or_else(|| pace::evaluations_within(time, problem.steps));
    let settings = SearchSettings {
        seed: allowance.seed,
        evaluations,
        threads: allowance.threads,
    };
    let plans: Vec<&Plan> = founders.iter().map(|founder| &founder.plan).collect();
    let time = (!allowance.counted()).then_some(time);
    islands::search(problem, &settings, &plans, time)
}

/// Polishes windows and branches on tiers.
fn improve(
    problem: &Problem,
    prover: &mut Prover<'_>,
    solved: &mut Solved,
    allowance: &Allowance<'_>,
) {
    let mut polisher = Polisher::new(problem, solved.best().plan.clone());
    let mut rng = ChaCha8Rng::seed_from_u64(allowance.seed);
    rng.set_stream(WINDOW_STREAM);
    let mut windows = allowance
        .evaluations
        .map_or(u64::MAX, |all| all / EVALUATIONS_PER_WINDOW);
    let searched = searched_at(problem, allowance.time);
    let windows_at = searched + (BRANCHED_AT - searched) * WINDOWS_SHARE;
    polish(
        prover,
        &mut polisher,
        (&mut windows, windows_at),
        (allowance, &mut rng),
    );
    branch(prover, &mut polisher, allowance);
    // What the tiers' programs left of the time.
    let mut rest = if allowance.counted() { 0 } else { u64::MAX };
    polish(
        prover,
        &mut polisher,
        (&mut rest, ENDED_AT),
        (allowance, &mut rng),
    );
    solved.windows = polisher.windows;
    let polished = Candidate {
        origin: Origin::Polish,
        plan: polisher.plan,
        evaluation: polisher.evaluation,
    };
    if polished.beats(solved.best()) {
        solved.candidates.push(polished);
    }
}

fn polish(
    prover: &Prover<'_>,
    polisher: &mut Polisher<'_>,
    (windows, share): (&mut u64, f64),
    (allowance, rng): (&Allowance<'_>, &mut ChaCha8Rng),
) {
    while *windows > 0 {
        let time = allowance.until(share);
        if !allowance.counted() && time < WINDOW_TIME {
            break;
        }
        if prover.bound().gap(polisher.evaluation.cost) <= PROVEN_GAP {
            break;
        }
        let weights: Vec<f64> = prover
            .room(&polisher.plan)
            .iter()
            .map(|room| room.max(1e-6))
            .collect();
        polisher.round(&weights, &allowance.effort(WINDOW_NODES, time), rng);
        *windows -= 1;
    }
}

/// Raises the bound tier by tier, those with most room first; what is found on the way is offered.
fn branch(prover: &mut Prover<'_>, polisher: &mut Polisher<'_>, allowance: &Allowance<'_>) {
    let nodes = match allowance.evaluations {
        Some(evaluations) if evaluations < EVALUATIONS_BRANCHED => return,
        Some(evaluations) => u32::try_from(evaluations / EVALUATIONS_BRANCHED).unwrap_or(u32::MAX),
        None => u32::MAX,
    };
    let columns: Vec<usize> = (0..polisher.plan.counts.len())
        .map(|tier| prover.columns_of(tier))
        .collect();
    let affordable = |columns: usize| {
        let all = allowance.evaluations.unwrap_or(u64::MAX);
        columns as u64 <= all / EVALUATIONS_PER_COLUMN
    };
    if prover.small() && affordable(columns.iter().sum()) {
        let levels = polisher.levels();
        let time = allowance.until(BRANCHED_AT).mul_f64(WHOLE_SHARE);
        if allowance.counted() || time > WINDOW_TIME {
            let effort = allowance.effort(nodes.saturating_mul(WHOLE_NODES), time);
            let plan = polisher.plan.clone();
            if let Some((plan, levels)) = prover.branch_whole((&plan, &levels), &effort) {
                polisher.offer_settled(plan, &levels);
            }
        }
        if prover.bound().method == Some(BoundMethod::Optimum) {
            return;
        }
    }
    let room = prover.room(&polisher.plan);
    let mut tiers: Vec<usize> = (0..room.len()).collect();
    tiers.sort_by(|left, right| room[*right].total_cmp(&room[*left]));
    for (done, tier) in tiers.iter().enumerate() {
        let left = allowance.until(BRANCHED_AT);
        let share = left / u32::try_from(tiers.len() - done).unwrap_or(1);
        let too_late = !allowance.counted() && share < WINDOW_TIME;
        if too_late || !affordable(columns[*tier]) || prover.settled(*tier) {
            continue;
        }
        let levels = polisher.levels();
        let plan = polisher.plan.clone();
        let effort = allowance.effort(nodes, share);
        if let Some(counts) = prover.branch(*tier, (&plan, &levels), &effort) {
            polisher.offer_tier(*tier, counts);
        }
    }
}
