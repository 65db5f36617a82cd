//! `plan`: a problem file in, a plan file out.

use crate::evaluate::Evaluation;
use crate::exact::{self, ExactTask};
use crate::pace::{self, Deadline};
use crate::pieces;
use crate::plan::Plan;
use crate::problem::{Problem, TOLERANCE};
use crate::request::PlanError;
use crate::search::{SearchOutcome, SearchSettings, search};
use crate::simulate::{self, SimulatedTier, Simulation};
use crate::{evaluate, request};
use serde_json::{Value, json};
use std::time::Duration;

/// How long a plan may take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PlanLimit {
    /// System time; truncates at a generation.
    Deadline(Duration),
    /// Exactly so many candidate plans.
    Evaluations(u64),
}

/// Options of `plan`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PlanOptions {
    /// How long it may take.
    pub limit: PlanLimit,
    /// Threads of the search.
    pub threads: usize,
    /// Root of all randomness.
    pub seed: u64,
}

/// A plan with what is known about it.
#[derive(Clone, Debug)]
pub struct PlannedFile {
    /// The problem.
    pub problem: Problem,
    /// What was found.
    pub outcome: SearchOutcome,
    /// Whether the plan is proven optimal.
    pub exact: bool,
    /// Evaluations that were asked for.
    pub evaluation_budget: u64,
    /// What simulated requests meet, where demand and service times are given.
    pub simulation: Option<Simulation>,
    /// System time used.
    pub elapsed: Duration,
}

/// Plans the problem in `text`, a file of format `alloc-plan/1`.
///
/// # Errors
/// [`PlanError`] for a file that cannot be read as a problem, and when no plan that was found keeps all
/// constraints.
pub fn plan_file(text: &str, options: &PlanOptions) -> Result<PlannedFile, PlanError> {
    let problem = Problem::from_json(text)?;
    let limit = match options.limit {
        PlanLimit::Deadline(limit) => limit,
        PlanLimit::Evaluations(_) => Duration::MAX,
    };
    let deadline = Deadline::starting_now(limit);
    let evaluations = match options.limit {
        PlanLimit::Deadline(limit) => pace::evaluations_within(limit, problem.steps),
        PlanLimit::Evaluations(evaluations) => evaluations,
    };
    let settings = SearchSettings {
        seed: options.seed,
        evaluations,
        threads: options.threads,
    };
    let (outcome, exact) = if let Some(plan) = exact_plan(&problem) {
        (proven(&problem, plan), true)
    } else {
        let may_start = &mut |used, next| deadline.may_start(used, next);
        (search(&problem, &settings, None, may_start), false)
    };
    if let Some(violation) = request::binding(&outcome.evaluation.violations) {
        return Err(request::unsatisfiable(
            violation.rule,
            violation.to_string(),
        ));
    }
    Ok(PlannedFile {
        simulation: simulation(&problem, &outcome.plan, options.seed),
        elapsed: deadline.elapsed(),
        evaluation_budget: evaluations,
        problem,
        outcome,
        exact,
    })
}

impl PlannedFile {
    /// Writes the plan with its search record; wall time is left out, so that equal plans are equal
    /// files.
    pub fn to_json(&self) -> Value {
        let mut file = self.plan_json();
        if let Value::Object(members) = &mut file {
            let record = json!({
                "format": "alloc-plan/1",
                "id": self.problem.id,
                "method": if self.exact { "exact" } else { "genetic" },
                "cost": self.outcome.evaluation.cost,
                "cost_parts": parts(&self.outcome.evaluation),
                "risk": self.outcome.evaluation.risk,
                "levels": self.outcome.evaluation.levels,
                "seed_cost": self.outcome.seed_evaluation.cost,
                "seed_feasible": self.outcome.seed_evaluation.feasible(),
                "search_cost": self.outcome.evaluation.cost,
                "evaluations": self.outcome.evaluations,
                "evaluation_budget": self.evaluation_budget,
                "ga_generations": self.outcome.ga_generations,
                "deadline_hit": self.outcome.truncated,
                "check": self.simulation.map(|found| json!({
                    "violation": found.violation,
                    "half_width": found.half_width,
                    "p99_s": found.p99_s,
                    "p99_half_width_s": found.p99_half_width_s,
                    "requests": found.requests,
                })),
            });
            if let Value::Object(record) = record {
                members.extend(record);
            }
        }
        file
    }

    fn plan_json(&self) -> Value {
        self.outcome.plan.to_json(&self.problem)
    }
}

fn parts(evaluation: &Evaluation) -> Value {
    let parts = evaluation.parts;
    json!({
        "vm": parts.vm,
        "start": parts.start,
        "storage": parts.storage,
        "link": parts.link,
        "penalty": parts.penalty,
    })
}

fn proven(problem: &Problem, plan: Plan) -> SearchOutcome {
    let settings = SearchSettings {
        seed: 0,
        evaluations: 0,
        threads: 1,
    };
    let seed = search(problem, &settings, None, &mut |_, _| true);
    SearchOutcome {
        evaluation: evaluate::evaluate(problem, &plan),
        plan,
        ..seed
    }
}

/// The proven optimum where tiers have one VM type each and nothing couples them: the level is fixed or
/// there is one tier, and the optimum without shared limits keeps them.
fn exact_plan(problem: &Problem) -> Option<Plan> {
    let fixed = problem.level_min == problem.level_max;
    let single = problem.tiers.iter().all(|tier| tier.options.len() == 1);
    let one_tier = problem.tiers.len() == 1 && problem.volumes.is_empty() && problem.link.is_none();
    if !single || !(fixed || one_tier) {
        return None;
    }
    let mut plan = Plan::unchanged(problem);
    pieces::settle_highest(problem, &mut plan).ok()?;
    for tier in 0..problem.tiers.len() {
        let solved = exact::solve(&task(problem, tier)).ok()?;
        plan.counts[tier] = vec![solved.counts];
    }
    evaluate::evaluate(problem, &plan)
        .feasible()
        .then_some(plan)
}

/// A tier with one VM type as an exact task.
fn task(problem: &Problem, index: usize) -> ExactTask {
    let tier = &problem.tiers[index];
    let option = &tier.options[0];
    let levels = problem.levels.len();
    let covers = |count: u32, step: usize, level: usize| {
        let required = tier.required(step, level, levels);
        option
            .capacity
            .iter()
            .zip(required)
            .all(|(capacity, required)| {
                capacity * f64::from(count) >= required - TOLERANCE * 0.5 * required.max(1.0)
            })
    };
    let row = |step: usize| -> Vec<f64> {
        let mut row = Vec::new();
        for count in 0..=tier.vms_max {
            let covered = (0..=problem.level_max)
                .rev()
                .find(|level| covers(count, step, *level));
            let level =
                covered.filter(|level| *level >= problem.level_min && count >= tier.vms_min);
            row.push(level.map_or(f64::INFINITY, |level| {
                problem.penalty[step * levels + level]
            }));
            // What is beyond the highest level changes nothing any more.
            if level == Some(problem.level_max) || row.len() > EXACT_COUNTS_MAX {
                break;
            }
        }
        row
    };
    ExactTask {
        step_price: option.price_per_hour * problem.step_hours,
        start_price: option.start_price,
        unserved: (0..problem.steps).map(row).collect(),
        initial: option.initial,
        vms_max: tier.vms_max,
        delay_steps: tier.delay_steps,
        min_up_steps: tier.min_up_steps,
        starts_max: tier.starts_max,
        stops_max: tier.stops_max,
    }
}

/// Longest table of the exact path.
const EXACT_COUNTS_MAX: usize = 20_000;

/// Simulates the tiers that have a service time, when the file gives demand.
fn simulation(problem: &Problem, plan: &Plan, seed: u64) -> Option<Simulation> {
    if problem.demand_rps.is_empty() {
        return None;
    }
    let scenarios = simulate::scenario_levels();
    let levels = problem.levels.len();
    let mut tiers = Vec::new();
    for (tier, counts) in problem.tiers.iter().zip(&plan.counts) {
        let Some(service) = tier.service else {
            continue;
        };
        let rate = |step: usize, scenario: f64| {
            let row = &problem.demand_rps[step * levels..(step + 1) * levels];
            between_levels(&problem.levels, row, scenario) * service.visits
        };
        let mut cores = vec![0.0; problem.steps];
        for (option, series) in tier.options.iter().zip(counts) {
            let serving = evaluate::serving(option.initial, series, tier.delay_steps);
            for (sum, count) in cores.iter_mut().zip(serving) {
                *sum += option.capacity[0] * f64::from(count);
            }
        }
        let steps = 0..problem.steps;
        tiers.push(SimulatedTier {
            service_time_s: service.service_time_s,
            p99_target_s: service.p99_target_s,
            cores: cores
                .iter()
                .map(|cores| request::whole_cores(*cores))
                .collect(),
            requests_per_s: steps
                .map(|step| scenarios.iter().map(|level| rate(step, *level)).collect())
                .collect(),
        });
    }
    simulate::simulate(&tiers, problem.step_hours * 3600.0, seed)
}

/// Demand at a level, linear in the score `-ln(1 - level)`, constant below the first known level.
fn between_levels(levels: &[f64], values: &[f64], level: f64) -> f64 {
    let score = |level: f64| -(1.0 - level).ln();
    let right = levels
        .iter()
        .position(|known| *known >= level)
        .unwrap_or(levels.len() - 1);
    if right == 0 {
        return values[0];
    }
    let (low, high) = (score(levels[right - 1]), score(levels[right]));
    let share = (score(level) - low) / (high - low);
    values[right - 1] + share * (values[right] - values[right - 1])
}
