//! `plan`: a problem file in, a plan file out.

mod state;

use crate::bound::{Bound, Prover};
use crate::diagnose;
use crate::evaluate::Evaluation;
use crate::exact::{self, ExactTask};
use crate::explain::{self, Explanation};
use crate::pace::{self, Deadline};
use crate::pieces;
use crate::plan::Plan;
use crate::problem::{Problem, TOLERANCE};
use crate::request::PlanError;
use crate::response::{self, CheckedResponse, NoResponse, Response, ResponseCheck, Responses};
use crate::search::{SearchOutcome, SearchSettings, search};
use crate::simulate::{self, SimulatedTier, Simulation};
use crate::solve::{self, Allowance, Candidate, Origin, Solved};
use crate::{evaluate, front, request};
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
    /// Mean response time by formula, or why there is none.
    pub response: Result<Response, NoResponse>,
    /// The same by simulation; `None` also for queues that are too large for it.
    pub checked_response: Option<CheckedResponse>,
    /// System time used.
    pub elapsed: Duration,
    /// Seeds, what became of them, and the proven bound.
    pub solved: Solved,
    /// Runs that this one went on from.
    pub rounds: u64,
    /// Root of all randomness of the first run.
    pub seed: u64,
}

/// What a run goes on from.
#[derive(Clone, Copy, Debug, Default)]
pub struct PlanStart<'a> {
    /// A plan file of an earlier run, or of a problem with the same tiers, types and steps.
    pub warm: Option<&'a str>,
    /// The state that an earlier run of the same problem left.
    pub state: Option<&'a str>,
}

/// Plans the problem in `text`, a file of format `alloc-plan/1`.
///
/// # Errors
/// [`PlanError`] for a file that cannot be read as a problem, and when no plan that was found keeps all
/// constraints.
pub fn plan_file(text: &str, options: &PlanOptions) -> Result<PlannedFile, PlanError> {
    plan_file_from(text, options, &PlanStart::default())
}

/// Plans like [`plan_file`], from an earlier plan or state.
///
/// # Errors
/// Those of [`plan_file`], and [`PlanError::Invalid`] for a plan or state that is not of this problem.
pub fn plan_file_from(
    text: &str,
    options: &PlanOptions,
    start: &PlanStart<'_>,
) -> Result<PlannedFile, PlanError> {
    let limit = match options.limit {
        PlanLimit::Deadline(limit) => limit,
        PlanLimit::Evaluations(_) => Duration::MAX,
    };
    let deadline = Deadline::starting_now(limit);
    let problem = Problem::from_json(text)?;
    if let Some(impossible) = diagnose::impossible(&problem) {
        return Err(request::unsatisfiable(impossible.rule, impossible.binding));
    }
    let resumed = start
        .state
        .map(|state| state::read(&problem, state))
        .transpose()?;
    let warm = start
        .warm
        .map(|plan| state::plan(&problem, plan))
        .transpose()?;
    let (seed, rounds) = resumed
        .as_ref()
        .map_or((options.seed, 0), |state| (state.seed, state.rounds));
    let warm = resumed.map(|state| state.plan).or(warm);
    let requests = match options.limit {
        PlanLimit::Deadline(limit) => requests_within(&problem, limit),
        PlanLimit::Evaluations(_) => simulate::REQUESTS_PER_STEP_MAX,
    };
    let allowance = Allowance {
        seed: seed.wrapping_add(rounds.wrapping_mul(ROUND_STRIDE)),
        threads: options.threads,
        evaluations: match options.limit {
            PlanLimit::Deadline(_) => None,
            PlanLimit::Evaluations(evaluations) => Some(evaluations),
        },
        clock: &deadline,
        time: limit.saturating_sub(simulation_time(&problem, requests)),
    };
    let exact = exact_plan(&problem);
    let is_exact = exact.is_some();
    let mut solved = match exact {
        Some(plan) => proven(&problem, plan),
        None => solve::solve(&problem, warm.as_ref(), &allowance),
    };
    if is_exact {
        let prover = Prover::new(&problem);
        solved.explanation = explain::explain(&problem, &prover, &solved, &mut || None);
    }
    let best = solved.best();
    if let Some(violation) = request::binding(&best.evaluation.violations) {
        let mut binding = violation.to_string();
        if let Some(part) = &solved.infeasible {
            binding.push_str("; proven: nothing keeps ");
            binding.push_str(part);
        }
        return Err(request::unsatisfiable(violation.rule, binding));
    }
    let (response, checked_response) = response(&problem, best, options.seed);
    Ok(PlannedFile {
        response,
        checked_response,
        simulation: simulation(&problem, &best.plan, (options.seed, requests)),
        elapsed: deadline.elapsed(),
        evaluation_budget: allowance
            .evaluations
            .unwrap_or_else(|| pace::evaluations_within(limit, problem.steps)),
        outcome: outcome(&solved),
        problem,
        exact: is_exact,
        solved,
        rounds,
        seed,
    })
}

/// The response time of a plan, by formula and by simulation.
fn response(
    problem: &Problem,
    best: &Candidate,
    seed: u64,
) -> (Result<Response, NoResponse>, Option<CheckedResponse>) {
    let responses = match Responses::new(problem) {
        Ok(responses) => responses,
        Err(why) => return (Err(why), None),
    };
    let levels = best.evaluation.levels.iter();
    let levels: Vec<usize> = levels
        .map(|level| level.unwrap_or(problem.level_min))
        .collect();
    let checked = ResponseCheck::new(&responses, seed).check(&best.plan, &levels);
    (Ok(responses.of(&best.plan, &levels)), checked)
}

/// Keeps the randomness of runs that go on from each other apart.
const ROUND_STRIDE: u64 = 0x9E37_79B9_7F4A_7C15;

/// Share of a deadline that the simulation of the plan may take.
const SIMULATION_SHARE: f64 = 0.05;
/// System time of a simulated request on a small server.
const REQUEST_TIME_S: f64 = 70e-9;
/// Least requests per tier, step and scenario that tell anything.
const REQUESTS_PER_STEP_MIN: u32 = 20;

fn simulated_steps(problem: &Problem) -> f64 {
    let tiers = problem.tiers.iter().filter(|tier| tier.service.is_some());
    let scenarios = if problem.demand_rps.is_empty() {
        0
    } else {
        simulate::scenario_levels().len()
    };
    (tiers.count() * problem.steps * scenarios) as f64
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "clamped first"
)]
fn requests_within(problem: &Problem, limit: Duration) -> u32 {
    let time = limit.as_secs_f64() * SIMULATION_SHARE;
    let requests = time / REQUEST_TIME_S / simulated_steps(problem).max(1.0);
    let (least, most) = (REQUESTS_PER_STEP_MIN, simulate::REQUESTS_PER_STEP_MAX);
    requests.clamp(f64::from(least), f64::from(most)) as u32
}

fn simulation_time(problem: &Problem, requests: u32) -> Duration {
    Duration::from_secs_f64(simulated_steps(problem) * f64::from(requests) * REQUEST_TIME_S)
}

/// What was found, in the terms of a search.
fn outcome(solved: &Solved) -> SearchOutcome {
    let (best, seed) = (solved.best(), solved.best_seed());
    SearchOutcome {
        plan: best.plan.clone(),
        evaluation: best.evaluation.clone(),
        seed: seed.plan.clone(),
        seed_evaluation: seed.evaluation.clone(),
        evaluations: solved.evaluations,
        ga_generations: solved.ga_generations,
        truncated: solved.truncated,
    }
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
                "plan_by": self.solved.best().origin.name(),
                "bound": self.solved.bound.to_json(self.outcome.evaluation.cost),
                "cost": self.outcome.evaluation.cost,
                "cost_parts": parts(&self.outcome.evaluation),
                "risk": self.outcome.evaluation.risk,
                "response": self.response.as_ref().ok().map(|response| response.mean_s),
                "response_check": front::response_json(
                    self.response.as_ref().ok().copied(),
                    self.checked_response,
                ),
                "no_response": self.response.as_ref().err().map(ToString::to_string),
                "levels": self.outcome.evaluation.levels,
                "seed_cost": self.outcome.seed_evaluation.cost,
                "seed_feasible": self.outcome.seed_evaluation.feasible(),
                "seed_by": self.solved.best_seed().origin.name(),
                "seeds": self.solved.candidates.iter().filter(|seed| seed.origin <= Origin::Warm)
                    .map(candidate).collect::<Vec<_>>(),
                "search_cost": self.cost_of(Origin::Search),
                "polish_cost": self.cost_of(Origin::Polish),
                "windows": self.solved.windows,
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
                members.extend(self.solved.explanation.to_json());
            }
        }
        file
    }

    /// Cost of the plan that a stage left; `None` when it changed nothing.
    fn cost_of(&self, origin: Origin) -> Option<f64> {
        let found = self
            .solved
            .candidates
            .iter()
            .find(|candidate| candidate.origin == origin);
        found.map(|candidate| candidate.evaluation.cost)
    }

    /// The state that a later run goes on from.
    pub fn state(&self) -> Value {
        state::write(self)
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

fn candidate(found: &Candidate) -> Value {
    json!({
        "by": found.origin.name(),
        "cost": found.evaluation.cost,
        "feasible": found.evaluation.feasible(),
    })
}

fn proven(problem: &Problem, plan: Plan) -> Solved {
    let settings = SearchSettings {
        seed: 0,
        evaluations: 0,
        threads: 1,
    };
    let seed = search(problem, &settings, None, &mut |_, _| true);
    let rule = Candidate {
        origin: Origin::Rule,
        plan: seed.seed,
        evaluation: seed.seed_evaluation,
    };
    let optimum = Candidate {
        origin: Origin::Search,
        evaluation: evaluate::evaluate(problem, &plan),
        plan,
    };
    Solved {
        bound: Bound::exact(optimum.evaluation.cost),
        candidates: vec![rule, optimum],
        evaluations: 0,
        ga_generations: 0,
        explanation: Explanation::default(),
        infeasible: None,
        windows: 0,
        truncated: false,
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
fn simulation(problem: &Problem, plan: &Plan, (seed, requests): (u64, u32)) -> Option<Simulation> {
    if problem.demand_rps.is_empty() {
        return None;
    }
    let scenarios = simulate::scenario_levels();
    let mut tiers = Vec::new();
    for (tier, counts) in problem.tiers.iter().zip(&plan.counts) {
        let Some(service) = tier.service else {
            continue;
        };
        let rate = |step: usize, scenario: f64| {
            problem.demand_at(step, scenario).unwrap_or(0.0) * service.visits
        };
        let steps = 0..problem.steps;
        tiers.push(SimulatedTier {
            service_time_s: service.service_time_s,
            p99_target_s: service.p99_target_s,
            cores: response::serving_cores(tier, counts, problem.steps),
            requests_per_s: steps
                .map(|step| scenarios.iter().map(|level| rate(step, *level)).collect())
                .collect(),
        });
    }
    simulate::simulate_few(&tiers, problem.step_hours * 3600.0, seed, requests)
}
