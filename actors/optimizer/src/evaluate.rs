//! The judge of a plan: cost, risk, covered levels and every broken constraint.
//!
//! Written for clearness, not speed; the search keeps running sums of its own and this module has the
//! last word on every plan that leaves the crate. Tolerance is [`TOLERANCE`], relative.

use crate::plan::Plan;
use crate::problem::{Link, Problem, TOLERANCE, Tier, Volume};
use std::fmt;

/// Parts of a plan's cost in $.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct CostParts {
    /// VM hours.
    pub vm: f64,
    /// Starts.
    pub start: f64,
    /// Block storage.
    pub storage: f64,
    /// Network link.
    pub link: f64,
    /// Expected cost of unserved demand.
    pub penalty: f64,
}

/// A broken constraint.
#[derive(Clone, Debug, PartialEq)]
pub struct Violation {
    /// Which rule is broken.
    pub rule: Rule,
    /// Tier, volume or "" for the whole stack.
    pub place: String,
    /// Step, when the rule holds per step.
    pub step: Option<usize>,
    /// What the plan has.
    pub found: f64,
    /// What the rule asks for.
    pub limit: f64,
}

/// The rules that a plan must keep.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Rule {
    /// VMs stay on for the minimum up-time.
    MinUp,
    /// At most so many starts per step.
    Starts,
    /// At most so many stops per step.
    Stops,
    /// At least so many serving VMs.
    VmsMin,
    /// At most so many VMs on.
    VmsMax,
    /// A volume never shrinks.
    VolumeShrinks,
    /// A volume changes once per cool-down.
    VolumeCooldown,
    /// A volume holds what it must.
    VolumeSize,
    /// A volume has at most so many blocks.
    VolumeBlocks,
    /// The link changes once per hold time.
    LinkHold,
    /// The link option exists.
    LinkOption,
    /// The least demand level is covered.
    LevelMin,
    /// Virtual CPUs stay within the quota.
    VcpuQuota,
    /// The spend of a step stays within its limit.
    StepSpend,
    /// The violation probability stays within the risk budget.
    Risk,
    /// The total spend stays within the budget.
    Budget,
}

/// What a plan costs and whether it is allowed.
#[derive(Clone, Debug, PartialEq)]
pub struct Evaluation {
    /// Objective in $: spend and penalty.
    pub cost: f64,
    /// Spend in $.
    pub spend: f64,
    /// Violation probability, weighted over the steps.
    pub risk: f64,
    /// Parts of the cost.
    pub parts: CostParts,
    /// Covered level of each step; `None` when not even the lowest is covered.
    pub levels: Vec<Option<usize>>,
    /// Broken constraints, in order of discovery.
    pub violations: Vec<Violation>,
}

impl Evaluation {
    /// Whether the plan keeps every constraint.
    pub fn feasible(&self) -> bool {
        self.violations.is_empty()
    }
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.rule.name())?;
        if !self.place.is_empty() {
            write!(f, " of {}", self.place)?;
        }
        if let Some(step) = self.step {
            write!(f, " at step {step}")?;
        }
        write!(
            f,
            ": {} against {}",
            shorten(self.found),
            shorten(self.limit)
        )
    }
}

fn shorten(value: f64) -> f64 {
    (value * 1e6).round() / 1e6
}

impl Rule {
    /// Names the rule in words.
    pub fn name(self) -> &'static str {
        match self {
            Self::MinUp => "minimum up-time",
            Self::Starts => "starts per step",
            Self::Stops => "stops per step",
            Self::VmsMin => "least serving VMs",
            Self::VmsMax => "most VMs",
            Self::VolumeShrinks => "volume shrinks",
            Self::VolumeCooldown => "volume cool-down",
            Self::VolumeSize => "volume size",
            Self::VolumeBlocks => "volume blocks",
            Self::LinkHold => "link hold time",
            Self::LinkOption => "link option",
            Self::LevelMin => "least demand level",
            Self::VcpuQuota => "virtual CPU quota",
            Self::StepSpend => "spend per step",
            Self::Risk => "risk budget",
            Self::Budget => "budget",
        }
    }

    /// Says how the policy or the stack would have to change.
    pub fn remedy(self) -> &'static str {
        match self {
            Self::MinUp => "shorten the minimum up-time",
            Self::Starts => "raise the start limit or plan with a longer lead",
            Self::Stops => "raise the stop limit",
            Self::VmsMin => "lower the least number of VMs",
            Self::VmsMax => "raise the most number of VMs",
            Self::VolumeShrinks | Self::VolumeCooldown => "shorten the cool-down of the volume",
            Self::VolumeSize | Self::VolumeBlocks => "raise the block limit of the volume",
            Self::LinkHold | Self::LinkOption => "shorten the hold time of the link",
            Self::LevelMin => {
                "lower level_min, raise the start limit, allow larger VM types or a faster link"
            }
            Self::VcpuQuota => "raise vcpu_quota",
            Self::StepSpend => "raise max_step_spend",
            Self::Risk => "raise risk_budget or the budget",
            Self::Budget => "raise budget or lower level_min",
        }
    }
}

/// Running sums while the parts of a plan are judged.
#[derive(Debug)]
struct Judge<'a> {
    problem: &'a Problem,
    covered: Vec<bool>,
    spend: Vec<f64>,
    vcpu: Vec<f64>,
    parts: CostParts,
    violations: Vec<Violation>,
}

/// How rarely a volume or the link may change.
#[derive(Clone, Copy, Debug)]
struct Hold {
    steps: usize,
    first_change: usize,
}

/// Judges a plan.
///
/// # Panics
/// When the plan's shape is not the problem's.
pub fn evaluate(problem: &Problem, plan: &Plan) -> Evaluation {
    let mut judge = Judge {
        problem,
        covered: vec![true; problem.steps * problem.levels.len()],
        spend: vec![0.0; problem.steps],
        vcpu: vec![0.0; problem.steps],
        parts: CostParts::default(),
        violations: Vec::new(),
    };
    for (tier, counts) in problem.tiers.iter().zip(&plan.counts) {
        judge.tier(tier, counts);
    }
    for (index, volume) in problem.volumes.iter().enumerate() {
        judge.volume(volume, &plan.blocks[index], &plan.iops_blocks[index]);
    }
    if let Some(link) = &problem.link {
        judge.link(link, &plan.link_option);
    }
    judge.total()
}

fn falls_short(found: f64, required: f64) -> bool {
    found < required - TOLERANCE * required.max(1.0)
}

impl Judge<'_> {
    fn breaks(&mut self, rule: Rule, place: &str, step: Option<usize>, (found, limit): (f64, f64)) {
        let place = place.to_owned();
        self.violations.push(Violation {
            rule,
            place,
            step,
            found,
            limit,
        });
    }

    fn tier(&mut self, tier: &Tier, counts: &[Vec<u32>]) {
        let steps = self.problem.steps;
        let mut serving = vec![0.0; steps * tier.resources];
        let mut totals = vec![[0_i64; 4]; steps];
        for (option, series) in tier.options.iter().zip(counts) {
            let starts = starts(option.initial, series);
            let ago = |step: usize, window: usize| -> i64 {
                starts[(step + 1).saturating_sub(window)..=step]
                    .iter()
                    .sum()
            };
            let mut previous = i64::from(option.initial);
            for step in 0..steps {
                let on = i64::from(series[step]);
                let started = starts[step];
                let young = ago(step, tier.min_up_steps);
                if on < young {
                    self.breaks(
                        Rule::MinUp,
                        &tier.name,
                        Some(step),
                        (on as f64, young as f64),
                    );
                }
                let serves = on - ago(step, tier.delay_steps);
                for (sum, capacity) in serving[step * tier.resources..]
                    .iter_mut()
                    .zip(&option.capacity)
                {
                    *sum += serves as f64 * capacity;
                }
                totals[step][0] += started;
                totals[step][1] += (previous - on).max(0);
                totals[step][2] += serves;
                totals[step][3] += on;
                let vm = on as f64 * option.price_per_hour * self.problem.step_hours;
                let start = started as f64 * option.start_price;
                self.parts.vm += vm;
                self.parts.start += start;
                self.spend[step] += vm + start;
                self.vcpu[step] += on as f64 * option.vcpu;
                previous = on;
            }
        }
        for (step, total) in totals.iter().enumerate() {
            self.tier_limits(tier, step, total);
        }
        let levels = self.problem.levels.len();
        for step in 0..steps {
            let have = &serving[step * tier.resources..(step + 1) * tier.resources];
            for level in 0..levels {
                let required = tier.required(step, level, levels);
                if have
                    .iter()
                    .zip(required)
                    .any(|(have, required)| falls_short(*have, *required))
                {
                    self.covered[step * levels + level] = false;
                }
            }
        }
    }

    fn tier_limits(&mut self, tier: &Tier, step: usize, total: &[i64; 4]) {
        let [ups, downs, serving, on] = *total;
        let at = Some(step);
        if ups > i64::from(tier.starts_max) {
            self.breaks(
                Rule::Starts,
                &tier.name,
                at,
                (ups as f64, f64::from(tier.starts_max)),
            );
        }
        if downs > i64::from(tier.stops_max) {
            self.breaks(
                Rule::Stops,
                &tier.name,
                at,
                (downs as f64, f64::from(tier.stops_max)),
            );
        }
        if serving < i64::from(tier.vms_min) {
            self.breaks(
                Rule::VmsMin,
                &tier.name,
                at,
                (serving as f64, f64::from(tier.vms_min)),
            );
        }
        if on > i64::from(tier.vms_max) {
            self.breaks(
                Rule::VmsMax,
                &tier.name,
                at,
                (on as f64, f64::from(tier.vms_max)),
            );
        }
    }

    fn volume(&mut self, volume: &Volume, blocks: &[u32], iops_blocks: &[u32]) {
        let levels = self.problem.levels.len();
        let mut previous = (volume.initial_blocks, volume.initial_iops_blocks);
        let mut changes = Vec::new();
        for step in 0..self.problem.steps {
            let (size, iops) = (blocks[step], iops_blocks[step]);
            let at = Some(step);
            if size < previous.0 {
                let pair = (f64::from(size), f64::from(previous.0));
                self.breaks(Rule::VolumeShrinks, &volume.name, at, pair);
            }
            for (count, most) in [(size, volume.blocks_max), (iops, volume.iops_blocks_max)] {
                if count > most {
                    let pair = (f64::from(count), f64::from(most));
                    self.breaks(Rule::VolumeBlocks, &volume.name, at, pair);
                }
            }
            changes.push((size, iops) != previous);
            let hold = Hold {
                steps: volume.cooldown_steps,
                first_change: volume.first_change,
            };
            self.one_change(Rule::VolumeCooldown, &volume.name, &changes, hold);
            previous = (size, iops);
            let gib = f64::from(size) * volume.block_gib;
            if gib < volume.required_gib[step] - TOLERANCE {
                self.breaks(
                    Rule::VolumeSize,
                    &volume.name,
                    at,
                    (gib, volume.required_gib[step]),
                );
            }
            let speed = volume.iops_free + f64::from(iops) * volume.iops_block;
            self.cover(
                step,
                speed,
                &volume.required_iops[step * levels..(step + 1) * levels],
            );
            let price =
                f64::from(size) * volume.block_price_h + f64::from(iops) * volume.iops_price_h;
            self.parts.storage += price * self.problem.step_hours;
            self.spend[step] += price * self.problem.step_hours;
        }
    }

    /// Un-covers the levels that ask for more than `have`.
    fn cover(&mut self, step: usize, have: f64, required: &[f64]) {
        let levels = required.len();
        for (level, required) in required.iter().enumerate() {
            if have < required - TOLERANCE {
                self.covered[step * levels + level] = false;
            }
        }
    }

    fn one_change(&mut self, rule: Rule, place: &str, changes: &[bool], hold: Hold) {
        let recent = &changes[changes.len().saturating_sub(hold.steps)..];
        let count = recent.iter().filter(|changed| **changed).count();
        let early = changes.len() <= hold.first_change && changes.last() == Some(&true);
        if count > 1 || early {
            let step = changes.len() - 1;
            self.breaks(
                rule,
                place,
                Some(step),
                (count as f64, f64::from(u8::from(!early))),
            );
        }
    }

    fn link(&mut self, link: &Link, chosen: &[u32]) {
        let levels = self.problem.levels.len();
        let mut previous = link.initial_option;
        let mut changes = Vec::new();
        for (step, option) in chosen.iter().copied().enumerate() {
            changes.push(option != previous);
            previous = option;
            let hold = Hold {
                steps: link.hold_steps,
                first_change: link.first_change,
            };
            self.one_change(Rule::LinkHold, "link", &changes, hold);
            let Some((mbps, price)) = link.options.get(option as usize).copied() else {
                let pair = (f64::from(option), (link.options.len() - 1) as f64);
                self.breaks(Rule::LinkOption, "link", Some(step), pair);
                continue;
            };
            self.cover(
                step,
                mbps,
                &link.required_mbps[step * levels..(step + 1) * levels],
            );
            self.parts.link += price * self.problem.step_hours;
            self.spend[step] += price * self.problem.step_hours;
        }
    }

    fn total(mut self) -> Evaluation {
        let problem = self.problem;
        let count = problem.levels.len();
        let mut levels = Vec::with_capacity(problem.steps);
        let mut risk = 0.0;
        for step in 0..problem.steps {
            let level = (0..=problem.level_max)
                .rev()
                .find(|level| self.covered[step * count + level]);
            let weight = problem.step_weight[step];
            risk += level.map_or(weight, |level| weight * problem.uncovered(level));
            self.parts.penalty += level.map_or(0.0, |level| problem.penalty[step * count + level]);
            if level.is_none_or(|level| level < problem.level_min) {
                let pair = (
                    level.map_or(0.0, |l| problem.levels[l]),
                    problem.levels[problem.level_min],
                );
                self.breaks(Rule::LevelMin, "", Some(step), pair);
            }
            levels.push(level);
            if self.vcpu[step] > problem.vcpu_quota + TOLERANCE {
                let pair = (self.vcpu[step], problem.vcpu_quota);
                self.breaks(Rule::VcpuQuota, "", Some(step), pair);
            }
            if self.spend[step] > problem.step_spend_max * (1.0 + TOLERANCE) {
                let pair = (self.spend[step], problem.step_spend_max);
                self.breaks(Rule::StepSpend, "", Some(step), pair);
            }
        }
        let spend: f64 = self.spend.iter().sum();
        if risk > problem.risk_budget + TOLERANCE {
            self.breaks(Rule::Risk, "", None, (risk, problem.risk_budget));
        }
        if spend > problem.budget * (1.0 + TOLERANCE) {
            self.breaks(Rule::Budget, "", None, (spend, problem.budget));
        }
        let (parts, violations) = (self.parts, self.violations);
        Evaluation {
            cost: spend + parts.penalty,
            spend,
            risk,
            parts,
            levels,
            violations,
        }
    }
}

/// VMs that serve: on, and started at least `delay_steps` ago. Shape: `[step]`.
pub(crate) fn serving(initial: u32, series: &[u32], delay_steps: usize) -> Vec<u32> {
    let starts = starts(initial, series);
    let steps = series.iter().enumerate();
    steps
        .map(|(step, on)| {
            let recent = &starts[(step + 1).saturating_sub(delay_steps)..=step];
            let warming = if delay_steps == 0 {
                0
            } else {
                recent.iter().sum()
            };
            on.saturating_sub(u32::try_from(warming).unwrap_or(u32::MAX))
        })
        .collect()
}

/// Starts of one VM type. Shape: `[step]`.
pub(crate) fn starts(initial: u32, series: &[u32]) -> Vec<i64> {
    let before = [initial].into_iter().chain(series.iter().copied());
    before
        .zip(series)
        .map(|(before, on)| i64::from(*on) - i64::from(before.min(*on)))
        .collect()
}

#[cfg(test)]
mod tests;
