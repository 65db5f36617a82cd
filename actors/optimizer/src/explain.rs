//! Why a plan costs what it costs: parts, binding constraints, what they cost, and the runner-up.
//!
//! A constraint binds in a step when the plan could not have one VM, start, stop or block less (or more)
//! there. Its price is the dual value of the linear relaxation: what one unit less of it would save.
//! What a whole rule costs a tier is told by relaxations with and without it.

use crate::bound::Prover;
use crate::evaluate::{self, Rule};
use crate::linear::Effort;
use crate::pieces;
use crate::plan::Plan;
use crate::problem::{COUNT_MAX, Problem, Tier};
use crate::solve::Solved;
use serde_json::{Map, Value, json};

/// Cost of a tier in $.
#[derive(Clone, Debug, PartialEq)]
pub struct TierCost {
    /// Name of the tier.
    pub tier: String,
    /// VM hours.
    pub vm: f64,
    /// Starts.
    pub start: f64,
    /// Number of starts.
    pub starts: u64,
}

/// A constraint that binds at a step.
#[derive(Clone, Debug, PartialEq)]
pub struct Binding {
    /// The step; `None` for one over all steps.
    pub step: Option<usize>,
    /// Its name with its place.
    pub constraint: String,
    /// What is left of it, in its own unit.
    pub slack: f64,
    /// What one unit less of it would save in $, in the relaxation; `None` when that is not known.
    pub price: Option<f64>,
}

/// What a rule costs a tier.
#[derive(Clone, Debug, PartialEq)]
pub struct Without {
    /// Name of the tier.
    pub tier: String,
    /// The rule.
    pub rule: &'static str,
    /// What the relaxation saves without it in $.
    pub saves: f64,
}

/// The plan that came second, and why not first.
#[derive(Clone, Debug, PartialEq)]
pub struct RunnerUp {
    /// Where it came from.
    pub by: &'static str,
    /// Its cost in $.
    pub cost: f64,
    /// Why it is not the plan.
    pub why_not: String,
}

/// Everything that is told about a plan.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Explanation {
    /// Cost by tier.
    pub tiers: Vec<TierCost>,
    /// Constraints that bind, by step.
    pub binding: Vec<Binding>,
    /// What rules cost, dearest first; empty where there was no time to tell.
    pub without: Vec<Without>,
    /// The runner-up; `None` when every other plan is the same.
    pub runner_up: Option<RunnerUp>,
}

/// The rules of a tier that can be left out.
const RULES: [Rule; 5] = [
    Rule::MinUp,
    Rule::Starts,
    Rule::Stops,
    Rule::VmsMin,
    Rule::VmsMax,
];

/// Explains the plan of a solution; `may_go_on` gives the effort of each further relaxation, or ends.
pub(crate) fn explain(
    problem: &Problem,
    prover: &Prover<'_>,
    solved: &Solved,
    may_go_on: &mut dyn FnMut() -> Option<Effort>,
) -> Explanation {
    let plan = &solved.best().plan;
    Explanation {
        tiers: tier_costs(problem, plan),
        binding: binding(problem, prover, solved),
        without: without(problem, prover, may_go_on),
        runner_up: runner_up(problem, solved),
    }
}

fn tier_costs(problem: &Problem, plan: &Plan) -> Vec<TierCost> {
    let tiers = problem.tiers.iter().zip(&plan.counts);
    tiers
        .map(|(tier, counts)| {
            let mut cost = TierCost {
                tier: tier.name.clone(),
                vm: 0.0,
                start: 0.0,
                starts: 0,
            };
            for (option, series) in tier.options.iter().zip(counts) {
                let hours: f64 = series.iter().map(|count| f64::from(*count)).sum();
                let starts: i64 = evaluate::starts(option.initial, series).iter().sum();
                cost.vm += hours * option.price_per_hour * problem.step_hours;
                cost.start += starts as f64 * option.start_price;
                cost.starts += starts.unsigned_abs();
            }
            cost
        })
        .collect()
}

/// Collects what binds.
#[derive(Debug)]
struct Binder<'a> {
    problem: &'a Problem,
    prover: &'a Prover<'a>,
    found: Vec<Binding>,
}

fn binding(problem: &Problem, prover: &Prover<'_>, solved: &Solved) -> Vec<Binding> {
    let best = solved.best();
    let mut binder = Binder {
        problem,
        prover,
        found: Vec::new(),
    };
    let mut vcpu = vec![0.0; problem.steps];
    let mut spend: Vec<f64> = pieces::spend(problem, &best.plan)
        .iter()
        .map(|nanos| nanos / 1e9)
        .collect();
    for (index, counts) in best.plan.counts.iter().enumerate() {
        let levels = &best.evaluation.levels;
        binder.tier(index, counts, levels);
        for (option, series) in problem.tiers[index].options.iter().zip(counts) {
            let starts = evaluate::starts(option.initial, series);
            for step in 0..problem.steps {
                let on = f64::from(series[step]);
                vcpu[step] += on * option.vcpu;
                spend[step] += on * option.price_per_hour * problem.step_hours
                    + starts[step] as f64 * option.start_price;
            }
        }
    }
    let options = problem.tiers.iter().flat_map(|tier| &tier.options);
    let least = |values: &mut dyn Iterator<Item = f64>| values.fold(f64::INFINITY, f64::min);
    let cpu = least(&mut options.clone().map(|option| option.vcpu));
    let price = least(&mut options.map(|option| option.price_per_hour * problem.step_hours));
    for step in 0..problem.steps {
        let left = problem.vcpu_quota - vcpu[step];
        if left < cpu {
            binder.add(Some(step), Rule::VcpuQuota.name().to_owned(), left, None);
        }
        let left = problem.step_spend_max - spend[step];
        if left < price {
            binder.add(Some(step), Rule::StepSpend.name().to_owned(), left, None);
        }
    }
    let left = problem.budget - best.evaluation.spend;
    if left < price {
        binder.add(None, Rule::Budget.name().to_owned(), left, None);
    }
    binder.risk(
        &best.evaluation.levels,
        problem.risk_budget - best.evaluation.risk,
    );
    let mut found = binder.found;
    found.sort_by_key(|binding| binding.step);
    found
}

impl Binder<'_> {
    fn add(&mut self, step: Option<usize>, constraint: String, slack: f64, price: Option<f64>) {
        self.found.push(Binding {
            step,
            constraint,
            slack,
            price,
        });
    }

    fn risk(&mut self, levels: &[Option<usize>], left: f64) {
        let problem = self.problem;
        let steps = levels.iter().enumerate();
        let next = steps.filter_map(|(step, level)| {
            let level = level.filter(|level| *level > problem.level_min)?;
            let more = problem.uncovered(level - 1) - problem.uncovered(level);
            Some(problem.step_weight[step] * more)
        });
        let smallest = next.fold(f64::INFINITY, f64::min);
        if smallest.is_finite() && left < smallest {
            self.add(None, Rule::Risk.name().to_owned(), left, None);
        }
    }

    /// What binds in a tier.
    fn tier(&mut self, index: usize, counts: &[Vec<u32>], levels: &[Option<usize>]) {
        let problem = self.problem;
        let tier = &problem.tiers[index];
        let serving: Vec<Vec<u32>> = tier
            .options
            .iter()
            .zip(counts)
            .map(|(option, series)| evaluate::serving(option.initial, series, tier.delay_steps))
            .collect();
        let (ups, downs) = switches(problem, tier, counts);
        for step in 0..problem.steps {
            let active = serving
                .iter()
                .enumerate()
                .filter(|(_, series)| series[step] > 0);
            let active: Vec<usize> = active.map(|(option, _)| option).collect();
            let level = levels[step].unwrap_or(problem.level_min);
            let required = tier.required(step, level, problem.levels.len());
            for (resource, need) in required.iter().enumerate() {
                let units = |option: &usize| tier.options[*option].capacity[resource];
                let have = active
                    .iter()
                    .map(|at| units(at) * f64::from(serving[*at][step]));
                let slack = have.sum::<f64>() - need;
                let least = active.iter().map(units).fold(f64::INFINITY, f64::min);
                if slack < least {
                    let name = format!("{} of {}", problem.resource_name(resource), tier.name);
                    let price = self.prover.cover_price(index, step, resource);
                    self.add(Some(step), name, slack, price);
                }
            }
            let serve: u32 = serving.iter().map(|series| series[step]).sum();
            let least = self.prover.cover_price(index, step, tier.resources);
            let limits = [
                (
                    Rule::VmsMin,
                    f64::from(serve) - f64::from(tier.vms_min),
                    least,
                ),
                (Rule::Starts, f64::from(tier.starts_max) - ups[step], None),
                (Rule::Stops, f64::from(tier.stops_max) - downs[step], None),
            ];
            for (rule, slack, price) in limits {
                if slack < 1.0 {
                    let name = format!("{} of {}", rule.name(), tier.name);
                    self.add(Some(step), name, slack, price);
                }
            }
        }
    }
}

/// Starts and stops of a tier. Shape: `[step]` each.
fn switches(problem: &Problem, tier: &Tier, counts: &[Vec<u32>]) -> (Vec<f64>, Vec<f64>) {
    let mut ups = vec![0.0; problem.steps];
    let mut downs = vec![0.0; problem.steps];
    for (option, series) in tier.options.iter().zip(counts) {
        let mut before = option.initial;
        for (step, count) in series.iter().enumerate() {
            ups[step] += f64::from(count.saturating_sub(before));
            downs[step] += f64::from(before.saturating_sub(*count));
            before = *count;
        }
    }
    (ups, downs)
}

/// Relaxations of each tier without one of its rules.
fn without(
    problem: &Problem,
    prover: &Prover<'_>,
    may_go_on: &mut dyn FnMut() -> Option<Effort>,
) -> Vec<Without> {
    let mut found = Vec::new();
    for (index, tier) in problem.tiers.iter().enumerate() {
        let mut with = None;
        for rule in RULES {
            let mut free = problem.clone();
            let changed = &mut free.tiers[index];
            match rule {
                Rule::MinUp => changed.min_up_steps = changed.delay_steps.max(1),
                Rule::Starts => changed.starts_max = COUNT_MAX,
                Rule::Stops => changed.stops_max = COUNT_MAX,
                Rule::VmsMin => changed.vms_min = 0,
                _ => changed.vms_max = COUNT_MAX,
            }
            if free.tiers[index] == *tier {
                continue;
            }
            let Some(effort) = may_go_on() else {
                break;
            };
            with = with.or_else(|| prover.tier_proof(index, problem, &effort));
            let freed = prover.tier_proof(index, &free, &effort);
            let saves = with.zip(freed).map(|(with, freed)| with - freed);
            if let Some(saves) = saves.filter(|saves| *saves > 1e-6) {
                found.push(Without {
                    tier: tier.name.clone(),
                    rule: rule.name(),
                    saves,
                });
            }
        }
    }
    found.sort_by(|left, right| right.saves.total_cmp(&left.saves));
    found
}

fn runner_up(problem: &Problem, solved: &Solved) -> Option<RunnerUp> {
    let best = solved.best();
    let others = solved
        .candidates
        .iter()
        .filter(|other| other.plan != best.plan);
    let second = others.reduce(|second, other| if other.beats(second) { other } else { second })?;
    let why_not = match crate::request::binding(&second.evaluation.violations) {
        Some(violation) => format!("it breaks a limit: {violation}"),
        None => dearer_by(
            problem,
            (&second.plan, second.evaluation.cost),
            (&best.plan, best.evaluation.cost),
        ),
    };
    Some(RunnerUp {
        by: second.origin.name(),
        cost: second.evaluation.cost,
        why_not,
    })
}

/// Says in which part another plan is dearest against the plan.
fn dearer_by(problem: &Problem, other: (&Plan, f64), best: (&Plan, f64)) -> String {
    let fixed = |plan: &Plan| pieces::spend(problem, plan).iter().sum::<f64>() / 1e9;
    let mut parts = vec![(
        "volumes and link".to_owned(),
        fixed(other.0) - fixed(best.0),
    )];
    let tiers = tier_costs(problem, other.0)
        .into_iter()
        .zip(tier_costs(problem, best.0));
    for (theirs, ours) in tiers {
        parts.push((format!("VM hours of {}", theirs.tier), theirs.vm - ours.vm));
        parts.push((
            format!("starts of {}", theirs.tier),
            theirs.start - ours.start,
        ));
    }
    let known: f64 = parts.iter().map(|(_, more)| more).sum();
    parts.push(("unserved demand".to_owned(), other.1 - best.1 - known));
    parts.sort_by(|left, right| right.1.total_cmp(&left.1));
    let (name, most) = &parts[0];
    format!(
        "it costs {:.4} $ more, most of it for {name} ({most:+.4} $)",
        other.1 - best.1
    )
}

impl Explanation {
    /// Writes the explanation as members of a plan file.
    pub(crate) fn to_json(&self) -> Map<String, Value> {
        let mut steps: Vec<Value> = Vec::new();
        for chunk in self.binding.chunk_by(|left, right| left.step == right.step) {
            let constraints = chunk.iter().map(|binding| {
                json!({
                    "constraint": binding.constraint,
                    "slack": binding.slack,
                    "price": binding.price,
                })
            });
            steps.push(json!({
                "step": chunk[0].step,
                "constraints": constraints.collect::<Vec<_>>(),
            }));
        }
        let tiers = self.tiers.iter().map(|tier| {
            json!({
                "tier": tier.tier,
                "vm": tier.vm,
                "start": tier.start,
                "starts": tier.starts,
            })
        });
        let without = self.without.iter().map(
            |without| json!({"tier": without.tier, "rule": without.rule, "saves": without.saves}),
        );
        let runner_up = self
            .runner_up
            .as_ref()
            .map(|second| json!({"by": second.by, "cost": second.cost, "why_not": second.why_not}));
        Map::from_iter([
            ("tier_costs".to_owned(), tiers.collect()),
            ("binding".to_owned(), Value::Array(steps)),
            ("without".to_owned(), without.collect()),
            ("runner_up".to_owned(), json!(runner_up)),
        ])
    }
}
