//! The set of plans between which only taste decides: spend against risk.
//!
//! Plans of least spend for a row of risk limits (the epsilon-constraint method, each by the whole way
//! to a plan) found a front that NSGA-II fills in. The limits take the place of the file's risk budget;
//! all its other limits hold, and the cost of unserved demand is left out, since risk stands for it.
//!
//! A front's size is its hypervolume: the share of the box from the least spend and risk to a reference
//! point that its plans dominate.

use crate::command::{PlanLimit, PlanOptions};
use crate::diagnose;
use crate::pace::{self, Deadline};
use crate::plan::Plan;
use crate::problem::Problem;
use crate::request::{self, PlanError};
use crate::search::SearchSettings;
use crate::search::nsga::{self, Member};
use crate::solve::{Allowance, solve};
use serde_json::{Value, json};
use std::time::Duration;

/// Risk limits whose plans found the front.
const LIMITS: usize = 14;
/// Share of the effort for them.
const LIMITS_SHARE: f64 = 0.75;

/// A plan of the front.
#[derive(Clone, Debug, PartialEq)]
pub struct FrontPoint {
    /// The plan.
    pub plan: Plan,
    /// Spend in $.
    pub spend: f64,
    /// Violation probability, weighted over the steps.
    pub risk: f64,
}

/// A front by ascending risk.
#[derive(Clone, Debug, PartialEq)]
pub struct Front {
    /// The plans; none dominates another.
    pub points: Vec<FrontPoint>,
    /// Evaluations that filled it in.
    pub evaluations: u64,
}

impl Front {
    /// Hypervolume up to a reference point (spend, risk), as a share of the box from `ideal` to it.
    pub fn hypervolume(&self, ideal: (f64, f64), reference: (f64, f64)) -> f64 {
        let points = self.points.iter().map(|point| (point.spend, point.risk));
        hypervolume(points.collect(), ideal, reference)
    }

    /// Writes the front, plans included.
    pub fn to_json(&self, problem: &Problem) -> Value {
        json!({
            "format": "alloc-front/1",
            "id": problem.id,
            "objectives": ["spend", "risk"],
            "evaluations": self.evaluations,
            "points": self.points.iter().map(|point| json!({
                "spend": point.spend,
                "risk": point.risk,
                "plan": point.plan.to_json(problem),
            })).collect::<Vec<_>>(),
        })
    }
}

/// The share of the box from `ideal` to `reference` that points (spend, risk) dominate.
pub fn hypervolume(mut points: Vec<(f64, f64)>, ideal: (f64, f64), reference: (f64, f64)) -> f64 {
    points.retain(|point| point.0 < reference.0 && point.1 < reference.1);
    points.sort_by(|left, right| left.1.total_cmp(&right.1).then(left.0.total_cmp(&right.0)));
    let (mut area, mut height) = (0.0, reference.0);
    for (spend, risk) in points {
        if spend < height {
            area += (height - spend.max(ideal.0)).max(0.0) * (reference.1 - risk.max(ideal.1));
            height = spend.max(ideal.0);
        }
    }
    area / ((reference.0 - ideal.0) * (reference.1 - ideal.1))
}

/// Finds the front of a problem.
///
/// # Errors
/// [`PlanError`] when no plan that was found keeps all constraints but the risk budget.
pub fn front(problem: &Problem, options: &PlanOptions) -> Result<Front, PlanError> {
    let time = match options.limit {
        PlanLimit::Deadline(time) => Some(time),
        PlanLimit::Evaluations(_) => None,
    };
    let clock = Deadline::starting_now(time.unwrap_or(Duration::MAX));
    let mut bare = problem.clone();
    bare.penalty.fill(0.0);
    bare.risk_budget = 1.0;
    if let Some(impossible) = diagnose::impossible(&bare) {
        return Err(request::unsatisfiable(impossible.rule, impossible.binding));
    }
    let limits = limits(problem);
    let mut members: Vec<Member> = Vec::new();
    let mut warm: Option<Plan> = None;
    let mut violation = None;
    for (done, limit) in limits.iter().enumerate() {
        let mut limited = bare.clone();
        limited.risk_budget = *limit;
        let left = limits.len() - done;
        let slice = time.map(|time| {
            let until = time.mul_f64(LIMITS_SHARE).saturating_sub(clock.elapsed());
            until / u32::try_from(left).unwrap_or(1)
        });
        let plan = limited_plan(&limited, options, (slice, limits.len()), warm.as_ref());
        match Member::new(&bare, plan.0) {
            Some(member) => {
                warm = Some(member.plan.clone());
                members.push(member);
            }
            None => violation = plan.1.or(violation),
        }
    }
    if members.is_empty()
        && let Some(error) = violation
    {
        return Err(error);
    }
    let settings = SearchSettings {
        seed: options.seed,
        evaluations: match options.limit {
            PlanLimit::Evaluations(evaluations) => evaluations / 4,
            PlanLimit::Deadline(_) => u64::MAX,
        },
        threads: options.threads,
    };
    let rest = time.map_or(Duration::MAX, |time| time.saturating_sub(clock.elapsed()));
    let rest = Deadline::starting_now(rest);
    let (members, evaluations) = nsga::refine(&bare, &settings, members, &mut |used, next| {
        rest.may_start(used, next)
    });
    let points = members.into_iter().map(|member| FrontPoint {
        plan: member.plan,
        spend: member.spend,
        risk: member.risk,
    });
    Ok(Front {
        points: points.collect(),
        evaluations,
    })
}

/// Risk limits from the least to the most that levels allow, evenly spread over their logarithm.
fn limits(problem: &Problem) -> Vec<f64> {
    let weight: f64 = problem.step_weight.iter().sum();
    let least = (weight * problem.uncovered(problem.level_max)).max(1e-4);
    let most = (weight * problem.uncovered(problem.level_min)).max(least);
    if most <= least * (1.0 + 1e-9) {
        return vec![most];
    }
    let places = (0..LIMITS).map(|place| place as f64 / (LIMITS - 1) as f64);
    places
        .map(|share| least * (most / least).powf(share) * (1.0 + 1e-9))
        .collect()
}

/// A plan of little spend under a risk limit, and what it breaks if it is not allowed.
fn limited_plan(
    problem: &Problem,
    options: &PlanOptions,
    (slice, parts): (Option<Duration>, usize),
    warm: Option<&Plan>,
) -> (Plan, Option<PlanError>) {
    let clock = Deadline::starting_now(slice.unwrap_or(Duration::MAX));
    let evaluations = match options.limit {
        PlanLimit::Evaluations(evaluations) => {
            Some(pace::part(evaluations, LIMITS_SHARE) / parts as u64)
        }
        PlanLimit::Deadline(_) => None,
    };
    let allowance = Allowance {
        seed: options.seed,
        threads: options.threads,
        evaluations,
        clock: &clock,
        time: slice.unwrap_or(Duration::MAX),
    };
    let solved = solve(problem, warm, &allowance);
    let best = solved.best();
    let broken = request::binding(&best.evaluation.violations)
        .map(|broken| request::unsatisfiable(broken.rule, broken.to_string()));
    (best.plan.clone(), broken)
}

#[cfg(test)]
mod tests;
