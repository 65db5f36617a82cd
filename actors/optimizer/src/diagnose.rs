//! Limits that no plan can keep, named: which one, where, and by how much.
//!
//! Every test compares a limit with the least that any plan needs, or a need with the most that any plan
//! reaches; so what is named here is proven, in time linear in the problem. What only the interplay of
//! limits forbids is left to the search and to the linear relaxation.

use crate::bound::window_share;
use crate::evaluate::Rule;
use crate::pieces;
use crate::problem::{Problem, TOLERANCE, Tier};

/// A limit that cannot be kept.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Impossible {
    pub(crate) rule: Rule,
    /// Rule, place, step and both sides of the comparison.
    pub(crate) binding: String,
    /// By how much, as a share of the limit.
    excess: f64,
}

/// Finds the limit that is missed by the largest share.
pub(crate) fn impossible(problem: &Problem) -> Option<Impossible> {
    let mut found = Vec::new();
    for tier in &problem.tiers {
        tier_limits(problem, tier, &mut found);
    }
    volumes_and_link(problem, &mut found);
    shared_limits(problem, &mut found);
    found
        .into_iter()
        .max_by(|left, right| left.excess.total_cmp(&right.excess))
}

fn excess(need: f64, limit: f64) -> f64 {
    (need - limit) / limit.abs().max(1e-3)
}

fn round(value: f64) -> f64 {
    (value * 1e4).round() / 1e4
}

/// Compares a need with a limit; `text` finishes the sentence.
fn compare(
    found: &mut Vec<Impossible>,
    rule: Rule,
    place: &str,
    (need, limit): (f64, f64),
    text: &str,
) {
    if need > limit + TOLERANCE * limit.abs().max(1.0) {
        let (need_shown, limit_shown) = (round(need), round(limit));
        let missing = round(need - limit);
        found.push(Impossible {
            rule,
            binding: format!(
                "{}{place}: {need_shown} {text}, the limit is {limit_shown}: {missing} short",
                rule.name()
            ),
            excess: excess(need, limit),
        });
    }
}

fn tier_limits(problem: &Problem, tier: &Tier, found: &mut Vec<Impossible>) {
    let levels = problem.levels.len();
    let name = &tier.name;
    compare(
        found,
        Rule::VmsMax,
        &format!(" of {name}"),
        (f64::from(tier.vms_min), f64::from(tier.vms_max)),
        "serving VMs are the least",
    );
    for resource in 0..tier.resources {
        let units = tier.options.iter().map(|option| option.capacity[resource]);
        let largest = units.fold(0.0, f64::max);
        let initial = tier
            .options
            .iter()
            .map(|option| option.capacity[resource] * f64::from(option.initial));
        let initial: f64 = initial.sum();
        let what = problem.resource_name(resource);
        let mut worst: Option<(f64, usize, Rule, f64)> = None;
        for step in 0..problem.steps {
            let need = tier.required(step, problem.level_min, levels)[resource];
            let starts = (step + 1).saturating_sub(tier.delay_steps) as f64;
            let reach = initial + starts * f64::from(tier.starts_max) * largest;
            let most = f64::from(tier.vms_max) * largest;
            let (rule, have) = if largest <= 0.0 {
                (Rule::LevelMin, 0.0)
            } else if most <= reach {
                (Rule::VmsMax, most)
            } else {
                (Rule::Starts, reach)
            };
            let missing = need - TOLERANCE * need.max(1.0) - have;
            if missing > 0.0 && worst.is_none_or(|(most, ..)| missing > most) {
                worst = Some((missing, step, rule, have));
            }
        }
        if let Some((missing, step, rule, have)) = worst {
            let (missing, have) = (round(missing), round(have));
            let why = if largest <= 0.0 {
                format!("no VM type gives {what}")
            } else {
                format!("at most {have} of {what} can serve by then")
            };
            found.push(Impossible {
                rule,
                binding: format!(
                    "{} of {name} at step {step}: {why}, level {} asks for {missing} more",
                    rule.name(),
                    problem.levels[problem.level_min],
                ),
                excess: missing / have.max(1e-3),
            });
        }
    }
}

/// Least virtual CPUs of a tier at a step, were VMs divisible.
fn vcpu_least(problem: &Problem, tier: &Tier, step: usize) -> f64 {
    let required = tier.required(step, problem.level_min, problem.levels.len());
    let mut least = 0.0_f64;
    for (resource, need) in required.iter().enumerate() {
        let options = tier
            .options
            .iter()
            .filter(|option| option.capacity[resource] > 0.0);
        let rates = options.map(|option| option.vcpu / option.capacity[resource]);
        let rate = rates.fold(f64::INFINITY, f64::min);
        if rate.is_finite() {
            least = least.max((need - TOLERANCE * need.max(1.0)) * rate);
        }
    }
    let smallest = tier
        .options
        .iter()
        .map(|option| option.vcpu)
        .fold(f64::INFINITY, f64::min);
    if smallest.is_finite() {
        least.max(smallest * f64::from(tier.vms_min))
    } else {
        least
    }
}

fn shared_limits(problem: &Problem, found: &mut Vec<Impossible>) {
    let (mut vcpu, mut spend, mut total) = ((0.0, 0), (0.0, 0), 0.0);
    for step in 0..problem.steps {
        let tiers = problem.tiers.iter();
        let cpus: f64 = tiers
            .clone()
            .map(|tier| vcpu_least(problem, tier, step))
            .sum();
        let vms: f64 = tiers
            .map(|tier| window_share(problem, tier, (step, step + 1)))
            .sum();
        let money = vms + pieces::least_spend(problem, step, problem.level_min);
        total += money;
        if cpus > vcpu.0 {
            vcpu = (cpus, step);
        }
        if money > spend.0 {
            spend = (money, step);
        }
    }
    let text = format!(
        "are the least that level {} needs",
        problem.levels[problem.level_min]
    );
    let at = |step: usize| format!(" at step {step}");
    compare(
        found,
        Rule::VcpuQuota,
        &at(vcpu.1),
        (vcpu.0, problem.vcpu_quota),
        &text,
    );
    let text = format!("$ {text}");
    compare(
        found,
        Rule::StepSpend,
        &at(spend.1),
        (spend.0, problem.step_spend_max),
        &text,
    );
    compare(found, Rule::Budget, "", (total, problem.budget), &text);
    let uncovered = problem.uncovered(problem.level_max);
    let risk: f64 = problem
        .step_weight
        .iter()
        .map(|weight| weight * uncovered)
        .sum();
    let text = "remains at the highest level in every step";
    compare(
        found,
        Rule::Risk,
        "",
        (risk - TOLERANCE, problem.risk_budget),
        text,
    );
}

fn volumes_and_link(problem: &Problem, found: &mut Vec<Impossible>) {
    let levels = problem.levels.len();
    let largest = |values: &mut dyn Iterator<Item = f64>| values.fold(0.0, f64::max);
    for volume in &problem.volumes {
        let place = format!(" of {}", volume.name);
        let most = f64::from(volume.blocks_max) * volume.block_gib;
        let need = largest(&mut volume.required_gib.iter().copied());
        compare(
            found,
            Rule::VolumeBlocks,
            &place,
            (need, most),
            "GiB are needed",
        );
        let most = volume.iops_free + f64::from(volume.iops_blocks_max) * volume.iops_block;
        let rows = volume.required_iops.chunks(levels);
        let need = largest(&mut rows.map(|row| row[problem.level_min]));
        compare(
            found,
            Rule::VolumeBlocks,
            &place,
            (need, most),
            "I/O operations a second are needed",
        );
    }
    if let Some(link) = &problem.link {
        let most = largest(&mut link.options.iter().map(|(mbps, _)| *mbps));
        let rows = link.required_mbps.chunks(levels);
        let need = largest(&mut rows.map(|row| row[problem.level_min]));
        compare(found, Rule::LinkOption, "", (need, most), "Mbps are needed");
    }
}

#[cfg(test)]
mod tests;
