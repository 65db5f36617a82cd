//! Chooses the way to a plan and goes it.

use super::PlanError;
use super::build::Demand;
use crate::evaluate::{Rule, Violation, evaluate};
use crate::exact::{self, ExactError};
use crate::pieces::{self, Unsettled};
use crate::plan::Plan;
use crate::problem::Problem;
use crate::search::{SearchSettings, search};
use std::num::NonZeroUsize;
use twinscale_protocol::optimizer::{PlanAllocation, PlanMethod};

/// A plan in the solvers' terms, with how it came about.
#[derive(Debug)]
pub(super) struct Solved {
    pub(super) plan: Plan,
    /// The plan by rule that a search starts from.
    pub(super) seed: Plan,
    pub(super) method: PlanMethod,
    pub(super) evaluations: u64,
}

/// A search on behalf of a request.
#[derive(Debug)]
struct Solver<'a> {
    demand: &'a Demand<'a>,
    threads: NonZeroUsize,
    evaluations: u64,
    genetic: bool,
}

/// Plans all tiers, volumes and the link.
pub(super) fn solve(demand: &Demand<'_>, threads: NonZeroUsize) -> Result<Solved, PlanError> {
    let all: Vec<usize> = (0..demand.request.tiers.len()).collect();
    let joint = demand.problem(&all, true)?;
    let mut plan = Plan::unchanged(&joint);
    pieces::settle_highest(&joint, &mut plan).map_err(|unsettled| too_small(&joint, unsettled))?;
    let last = demand
        .request
        .last_plan
        .as_ref()
        .and_then(|last| counts_of(&joint, last));
    let mut solver = Solver {
        demand,
        threads,
        evaluations: 0,
        genetic: false,
    };
    let budget = u64::from(demand.request.evaluations);
    let shares_limits = demand.request.rules.budget.is_some()
        || demand.request.rules.vcpu_quota.is_some()
        || joint.uncovered(0) > joint.risk_budget;
    let searched: Vec<usize> = all
        .iter()
        .copied()
        .filter(|tier| demand.request.tiers[*tier].options.len() > 1)
        .collect();
    // A joint search may have to follow: it needs as much again.
    let alone = if shares_limits { budget / 2 } else { budget } / searched.len().max(1) as u64;
    for tier in all {
        let last = last.as_ref().map(|counts| counts[tier].clone());
        plan.counts[tier] = solver.tier(tier, last, alone)?;
    }
    let seed = seed(&joint);
    let judged = evaluate(&joint, &plan);
    if judged.feasible() {
        let method = solver.method();
        return Ok(Solved {
            plan,
            seed,
            method,
            evaluations: solver.evaluations,
        });
    }
    let left = budget.saturating_sub(solver.evaluations);
    let plan = solver.search(&joint, Some(&plan), left)?;
    Ok(Solved {
        plan,
        seed,
        method: solver.method(),
        evaluations: solver.evaluations,
    })
}

/// The plan by rule.
fn seed(problem: &Problem) -> Plan {
    let settings = SearchSettings {
        seed: 0,
        evaluations: 0,
        threads: 1,
    };
    search(problem, &settings, None, &mut |_, _| true).plan
}

impl Solver<'_> {
    fn method(&self) -> PlanMethod {
        match (self.genetic, self.evaluations) {
            (false, _) => PlanMethod::Exact,
            (true, 0) => PlanMethod::Heuristic,
            (true, _) => PlanMethod::Genetic,
        }
    }

    /// Plans one tier by itself. Shape of counts: `[option][step]`.
    fn tier(
        &mut self,
        tier: usize,
        last: Option<Vec<Vec<u32>>>,
        evaluations: u64,
    ) -> Result<Vec<Vec<u32>>, PlanError> {
        if self.demand.request.tiers[tier].options.len() == 1 {
            match exact::solve(&self.demand.exact_task(tier)) {
                Ok(plan) => return Ok(vec![plan.counts]),
                Err(ExactError::Infeasible { step }) => return Err(self.out_of_reach(tier, step)),
                Err(ExactError::TooLarge) => {}
            }
        }
        let problem = self.demand.problem(&[tier], false)?;
        let warm = last.map(|counts| Plan {
            counts: vec![counts],
            ..Plan::unchanged(&problem)
        });
        let mut plan = self.search(&problem, warm.as_ref(), evaluations)?;
        Ok(plan.counts.swap_remove(0))
    }

    fn search(
        &mut self,
        problem: &Problem,
        warm: Option<&Plan>,
        evaluations: u64,
    ) -> Result<Plan, PlanError> {
        let threads = self.threads.get();
        let settings = SearchSettings {
            seed: self.demand.request.seed,
            evaluations,
            threads,
        };
        let outcome = search(problem, &settings, warm, &mut |_, _| true);
        self.evaluations += outcome.evaluations;
        self.genetic = true;
        match binding(&outcome.evaluation.violations) {
            None => Ok(outcome.plan),
            Some(violation) => Err(unsatisfiable(violation.rule, violation.to_string())),
        }
    }

    /// Names what keeps a tier with one VM type from covering its demand.
    fn out_of_reach(&self, tier: usize, step: usize) -> PlanError {
        let problem = &self.demand.request.tiers[tier];
        let needed = self.demand.curves[tier][step].quantile(self.demand.levels[0]);
        let most = self.demand.supply(tier, 0, problem.max_vms.0);
        if most < needed {
            let binding = format!(
                "{} of {} at step {step}: {} VMs cover {most:.3} of the {needed:.3} that level {} \
                 asks for",
                Rule::VmsMax.name(),
                problem.name,
                problem.max_vms.0,
                self.demand.levels[0],
            );
            return unsatisfiable(Rule::VmsMax, binding);
        }
        let binding = format!(
            "{} of {} at step {step}: at most {} starts and {} stops per step leave no allowed count",
            Rule::Starts.name(),
            problem.name,
            problem.start_max_per_step.0,
            problem.stop_max_per_step.0,
        );
        unsatisfiable(Rule::Starts, binding)
    }
}

pub(crate) fn unsatisfiable(rule: Rule, binding: String) -> PlanError {
    PlanError::Unsatisfiable {
        rule,
        binding,
        remedy: rule.remedy().to_owned(),
    }
}

/// The broken rule to name: the one that is exceeded by the largest share.
pub(crate) fn binding(violations: &[Violation]) -> Option<&Violation> {
    let excess = |violation: &Violation| {
        (violation.found - violation.limit).abs() / violation.limit.abs().max(1e-3)
    };
    violations
        .iter()
        .max_by(|left, right| excess(left).total_cmp(&excess(right)))
}

fn too_small(problem: &Problem, unsettled: Unsettled) -> PlanError {
    match unsettled {
        Unsettled::Volume(index) => {
            let volume = &problem.volumes[index];
            let most = f64::from(volume.blocks_max) * volume.block_gib;
            let needed = volume.required_gib.iter().copied().fold(0.0, f64::max);
            let binding = format!(
                "{} of {}: {} blocks hold {most} GiB, the forecast asks for {needed:.3} GiB with at \
                 most one change in {} steps",
                Rule::VolumeBlocks.name(),
                volume.name,
                volume.blocks_max,
                volume.cooldown_steps,
            );
            unsatisfiable(Rule::VolumeBlocks, binding)
        }
        Unsettled::Link => {
            let largest = problem.link.iter().flat_map(|link| &link.options);
            let most = largest.map(|(mbps, _)| *mbps).fold(0.0, f64::max);
            let binding = format!(
                "{}: the largest of {most} Mbps does not carry demand level {}",
                Rule::LinkOption.name(),
                problem.levels[problem.level_min],
            );
            unsatisfiable(Rule::LinkOption, binding)
        }
    }
}

/// The last plan's counts over this problem's tiers and types; `None` when it does not fit.
fn counts_of(problem: &Problem, last: &PlanAllocation) -> Option<Vec<Vec<Vec<u32>>>> {
    let of = |tier: &str, option: &str| {
        let vms = last
            .vms
            .iter()
            .find(|vms| vms.tier.as_str() == tier && vms.vm_type.as_str() == option)?;
        let counts: Vec<u32> = vms.counts.iter().map(|count| count.0).collect();
        (counts.len() == problem.steps).then_some(counts)
    };
    let tiers = problem.tiers.iter().map(|tier| {
        tier.options
            .iter()
            .map(|option| of(&tier.name, &option.name))
            .collect::<Option<Vec<_>>>()
    });
    tiers.collect()
}
