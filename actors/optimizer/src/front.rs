//! The set of plans between which only taste decides: spend, risk and response time.
//!
//! Plans of least spend for a row of risk limits (the epsilon-constraint method, each by the whole way
//! to a plan) found a front, and so do some at which response time has a price; NSGA-II fills it in. The
//! limits take the place of the file's risk budget; all its other limits hold, and the cost of unserved
//! demand is left out, since risk stands for it. Response time is that of [`crate::response`]; where a file
//! does not describe its queues the front has spend and risk alone and says why. Every response time of a
//! front is checked by simulation.
//!
//! A front's size is its hypervolume: the share of the box from the least spend and risk to a reference
//! point that its plans dominate.

use crate::command::{PlanLimit, PlanOptions};
use crate::diagnose;
use crate::pace::{self, Deadline};
use crate::plan::Plan;
use crate::problem::Problem;
use crate::request::{self, PlanError};
use crate::response::{self, CheckedResponse, NoResponse, Response, ResponseCheck, Responses};
use crate::score::Scorer;
use crate::search::SearchSettings;
use crate::search::nsga::members::{Member, select};
use crate::search::nsga::{self, Aim, Task};
use crate::solve::{Allowance, solve};
use serde_json::{Value, json};
use std::fmt;
use std::time::Duration;

/// Risk limits whose plans found the front.
const LIMITS: usize = 14;
/// Share of the effort for them, or for one alone; and with those at which response has a price.
const LIMITS_SHARE: f64 = 0.75;
const LIMIT_SHARE: f64 = 0.25;
const FOUNDED_SHARE: f64 = 0.8;
/// What a relative change of response is worth against one of spend, for founders, each at the limits of
/// these shares of their logarithm.
const WORTHS: [f64; 3] = [0.08, 0.4, 2.0];
const WORTH_LIMITS: [f64; 2] = [0.25, 0.75];
/// Share of the effort at which children of risk end and those of response begin.
const FLAT_SHARE: f64 = 0.88;
/// Most of a deadline that the simulation is left.
const CHECK_SHARE_MAX: f64 = 0.3;

/// A plan of the front.
#[derive(Clone, Debug, PartialEq)]
pub struct FrontPoint {
    /// The plan.
    pub plan: Plan,
    /// Spend in $.
    pub spend: f64,
    /// Violation probability, weighted over the steps.
    pub risk: f64,
    /// Mean response time by formula; `None` where the problem does not describe queues.
    pub response: Option<Response>,
    /// The same by simulation; `None` also for queues that are too large for it.
    pub checked: Option<CheckedResponse>,
}

/// A front by ascending risk, then spend.
#[derive(Clone, Debug, PartialEq)]
pub struct Front {
    /// The plans; none dominates another.
    pub points: Vec<FrontPoint>,
    /// Why there is no response time, when there is none.
    pub no_response: Option<NoResponse>,
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
            "objectives": if self.no_response.is_none() {
                vec!["spend", "risk", "response"]
            } else {
                vec!["spend", "risk"]
            },
            "no_response": self.no_response.as_ref().map(ToString::to_string),
            "evaluations": self.evaluations,
            "points": self.points.iter().map(|point| json!({
                "spend": point.spend,
                "risk": point.risk,
                "response": point.response.map(|response| response.mean_s),
                "response_check": response_json(point.response, point.checked),
                "plan": point.plan.to_json(problem),
            })).collect::<Vec<_>>(),
        })
    }
}

impl fmt::Display for FrontPoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "spend {:.6} risk {:.6}", self.spend, self.risk)?;
        if let Some(response) = self.response {
            write!(f, " response {:.6} s", response.mean_s)?;
        }
        if let Some(checked) = self.checked {
            let (mean, half_width) = (checked.mean_s, checked.half_width_s);
            write!(f, " simulated {mean:.6} +- {half_width:.6} s")?;
        }
        Ok(())
    }
}

/// A response time by formula and by simulation, as members of a file; `null` without one.
pub(crate) fn response_json(
    response: Option<Response>,
    checked: Option<CheckedResponse>,
) -> Option<Value> {
    response.map(|response| {
        json!({
            "median_s": response.median_s,
            "covered_s": response.covered_s,
            "simulated_s": checked.map(|checked| checked.mean_s),
            "simulated_half_width_s": checked.map(|checked| checked.half_width_s),
        })
    })
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
    let mut bare = problem.clone();
    bare.penalty.fill(0.0);
    bare.risk_budget = 1.0;
    if let Some(impossible) = diagnose::impossible(&bare) {
        return Err(request::unsatisfiable(impossible.rule, impossible.binding));
    }
    let (responses, no_response) = match Responses::new(&bare) {
        Ok(responses) => (Some(responses), None),
        Err(why) => (None, Some(why)),
    };
    let work = Work::new(&bare, responses.as_ref(), options);
    let (members, evaluations) = work.refine(work.founders()?);
    let mut check = responses
        .as_ref()
        .map(|responses| ResponseCheck::new(responses, options.seed));
    let points = members.into_iter().map(|member| FrontPoint {
        checked: check
            .as_mut()
            .and_then(|check| check.check(&member.plan, &member.levels)),
        plan: member.plan,
        spend: member.spend,
        risk: member.risk,
        response: member.response,
    });
    Ok(Front {
        points: points.collect(),
        no_response,
        evaluations,
    })
}

/// A front in the making.
#[derive(Debug)]
struct Work<'a> {
    problem: &'a Problem,
    responses: Option<&'a Responses<'a>>,
    options: &'a PlanOptions,
    clock: Deadline,
    /// The deadline, when there is one, less the time for the simulation.
    time: Option<Duration>,
}

impl<'a> Work<'a> {
    fn new(
        problem: &'a Problem,
        responses: Option<&'a Responses<'a>>,
        options: &'a PlanOptions,
    ) -> Self {
        let check = responses.map_or(Duration::ZERO, |_| response::checking_time(problem));
        let time = match options.limit {
            PlanLimit::Deadline(time) => {
                Some(time.saturating_sub(check.min(time.mul_f64(CHECK_SHARE_MAX))))
            }
            PlanLimit::Evaluations(_) => None,
        };
        Self {
            problem,
            responses,
            options,
            clock: Deadline::starting_now(time.unwrap_or(Duration::MAX)),
            time,
        }
    }

    /// System time left until a share of the deadline; `None` without one.
    fn until(&self, share: f64) -> Option<Duration> {
        let time = self.time?.mul_f64(share);
        Some(time.saturating_sub(self.clock.elapsed()))
    }

    /// Evaluations in a share of all; `None` under a deadline.
    fn evaluations(&self, share: f64) -> Option<u64> {
        match self.options.limit {
            PlanLimit::Evaluations(evaluations) => Some(pace::part(evaluations, share)),
            PlanLimit::Deadline(_) => None,
        }
    }

    /// Plans of least spend under risk limits, and at prices on response.
    fn founders(&self) -> Result<Vec<Member>, PlanError> {
        let mut scorer = Scorer::new(self.problem);
        let limits = limits(self.problem);
        let mut members: Vec<Member> = Vec::new();
        let mut warm: Option<Plan> = None;
        let mut violation = None;
        for (done, limit) in limits.iter().enumerate() {
            let (plan, broken) = self.founder(
                Founding {
                    problem: self.problem,
                    limit: *limit,
                    shares: (0.0, limits_share(&limits)),
                    parts: (limits.len() - done, limits.len()),
                },
                warm.as_ref(),
            );
            match Member::new(plan, &mut scorer, self.responses) {
                Some(member) => {
                    warm = Some(member.plan.clone());
                    members.push(member);
                }
                None => violation = broken.or(violation),
            }
        }
        if members.is_empty()
            && let Some(error) = violation
        {
            return Err(error);
        }
        let quick = self.quick_founders(&members, &limits, &mut scorer);
        members.extend(quick);
        Ok(members)
    }

    /// Founders at prices on response.
    fn quick_founders(
        &self,
        members: &[Member],
        limits: &[f64],
        scorer: &mut Scorer<'_>,
    ) -> Vec<Member> {
        let mut quick = Vec::new();
        let Some(responses) = self.responses else {
            return quick;
        };
        let mut places: Vec<usize> = WORTH_LIMITS
            .iter()
            .map(|share| pace::part(limits.len() as u64, *share))
            .filter_map(|place| usize::try_from(place).ok())
            .collect();
        places.dedup();
        let turns = places
            .iter()
            .flat_map(|place| WORTHS.map(|worth| (limits[*place], worth)));
        let turns: Vec<(f64, f64)> = turns.collect();
        for (done, (limit, worth)) in turns.iter().copied().enumerate() {
            let allowed = members.iter().filter(|member| member.risk <= limit);
            let cheap = allowed.min_by(|left, right| left.spend.total_cmp(&right.spend));
            let Some(cheap) = cheap else {
                continue;
            };
            let price = nsga::response_price(cheap, worth);
            let demanding = responses.demanding(self.problem, price);
            let founding = Founding {
                problem: &demanding,
                limit,
                shares: (limits_share(limits), FOUNDED_SHARE),
                parts: (turns.len() - done, turns.len()),
            };
            let (plan, _) = self.founder(founding, Some(&cheap.plan));
            let member = Member::new(plan, scorer, self.responses);
            quick.extend(member.map(|member| Member { worth, ..member }));
        }
        quick
    }

    /// A plan of little spend under a risk limit, and what it breaks if it is not allowed.
    fn founder(&self, founding: Founding<'_>, warm: Option<&Plan>) -> (Plan, Option<PlanError>) {
        let mut limited = founding.problem.clone();
        limited.risk_budget = founding.limit;
        let (left, all) = founding.parts;
        let slice = self
            .until(founding.shares.1)
            .map(|time| time / u32::try_from(left).unwrap_or(1));
        let clock = Deadline::starting_now(slice.unwrap_or(Duration::MAX));
        let allowance = Allowance {
            seed: self.options.seed,
            threads: self.options.threads,
            evaluations: self
                .evaluations(founding.shares.1 - founding.shares.0)
                .map(|evaluations| evaluations / all as u64),
            clock: &clock,
            time: slice.unwrap_or(Duration::MAX),
        };
        let solved = solve(&limited, warm, &allowance);
        let best = solved.best();
        let broken = request::binding(&best.evaluation.violations)
            .map(|broken| request::unsatisfiable(broken.rule, broken.to_string()));
        (best.plan.clone(), broken)
    }

    /// Fills the front in.
    fn refine(&self, members: Vec<Member>) -> (Vec<Member>, u64) {
        let founded = if self.responses.is_some() {
            FOUNDED_SHARE
        } else {
            LIMITS_SHARE
        };
        let mut front = select(members);
        let mut evaluations = 0;
        let aims = match self.responses {
            Some(_) => vec![
                (Aim::Risk, founded, FLAT_SHARE),
                (Aim::Response, FLAT_SHARE, 1.0),
            ],
            None => vec![(Aim::Risk, founded, 1.0)],
        };
        for (aim, from, to) in aims {
            let task = Task {
                problem: self.problem,
                responses: self.responses,
                settings: SearchSettings {
                    seed: self.options.seed,
                    evaluations: self.evaluations(to - from).unwrap_or(u64::MAX),
                    threads: self.options.threads,
                },
            };
            let rest = self.until(to).unwrap_or(Duration::MAX);
            let rest = Deadline::starting_now(rest);
            let (refined, used) = nsga::refine(&task, aim, front, &mut |used, next| {
                rest.may_start(used, next)
            });
            front = refined;
            evaluations += used;
        }
        (front, evaluations)
    }
}

/// How a plan that founds the front is sought.
#[derive(Clone, Copy, Debug)]
struct Founding<'a> {
    problem: &'a Problem,
    /// Most risk.
    limit: f64,
    /// Shares of the effort at which the founders of its kind begin and end.
    shares: (f64, f64),
    /// Founders of its kind that are left, this one too, and all.
    parts: (usize, usize),
}

/// Share of the effort at which the plans for risk limits end: soon where there is one limit, since then
/// only response time is left to find.
fn limits_share(limits: &[f64]) -> f64 {
    if limits.len() > 1 {
        LIMITS_SHARE
    } else {
        LIMIT_SHARE
    }
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

#[cfg(test)]
mod tests;
