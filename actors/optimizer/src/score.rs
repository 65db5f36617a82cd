//! Cost and risk of whole plans, fast: the judge's arithmetic without its words.
//!
//! A [`Scorer`] keeps tables of a problem and buffers, so that a plan is scored in one pass over its
//! counts without allocating. It agrees with [`mod@crate::evaluate`], which says what is broken and where.

use crate::plan::Plan;
use crate::problem::{Problem, TOLERANCE, Tier};
use crate::request;
use crate::response::{Response, Responses};

/// Resources and the count of serving VMs that are summed together.
const LANES: usize = 4;
type Lanes = [f64; LANES];

/// Cost and risk of a plan.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Score {
    /// Objective in $: spend and penalty.
    pub cost: f64,
    /// Spend in $.
    pub spend: f64,
    /// Violation probability, weighted over the steps.
    pub risk: f64,
    /// Broken constraints; 0 when the plan is allowed.
    pub broken: u32,
}

/// A VM type in a table.
#[derive(Clone, Debug)]
struct TypeTable {
    step_price: f64,
    start_price: f64,
    vcpu: f64,
    initial: i64,
    /// Capacity, then 1 for the count. Shape: `[group]`.
    capacity: Vec<Lanes>,
}

/// A tier in a table.
#[derive(Clone, Debug)]
struct TierTable {
    groups: usize,
    /// Least that suffices. Shape: `[step, level, group]`.
    need: Vec<Lanes>,
    types: Vec<TypeTable>,
    delay: usize,
    min_up: usize,
    vms_min: f64,
    starts_max: i64,
    stops_max: i64,
    vms_max: i64,
    /// Lane of the count of serving VMs.
    count_lane: usize,
}

/// Scores plans of one problem.
#[derive(Clone, Debug)]
pub struct Scorer<'a> {
    problem: &'a Problem,
    tiers: Vec<TierTable>,
    /// Serving capacity. Shape: `[tier][step, group]`.
    serving: Vec<Vec<Lanes>>,
    spend: Vec<f64>,
    vcpu: Vec<f64>,
    /// Starts, stops and VMs of a tier. Shape: `[step]`.
    switches: Vec<[i64; 3]>,
    /// Starts of a type. Shape: `[step]`.
    starts: Vec<i64>,
    /// Covered levels; the least that must be where none is. Shape: `[step]`.
    levels: Vec<usize>,
}

impl TierTable {
    fn new(problem: &Problem, tier: &Tier) -> Self {
        let groups = (tier.resources + 1).div_ceil(LANES);
        let row = |values: &mut dyn Iterator<Item = f64>| {
            let mut row = vec![[0.0; LANES]; groups];
            for (lane, value) in row.iter_mut().flatten().zip(values) {
                *lane = value;
            }
            row
        };
        let need = tier
            .requirement
            .chunks(tier.resources)
            .flat_map(|required| {
                let least = required
                    .iter()
                    .map(|units| units - TOLERANCE * units.max(1.0));
                row(&mut least.chain([f64::NEG_INFINITY]))
            });
        let types = tier.options.iter().map(|option| TypeTable {
            step_price: option.price_per_hour * problem.step_hours,
            start_price: option.start_price,
            vcpu: option.vcpu,
            initial: i64::from(option.initial),
            capacity: row(&mut option.capacity.iter().copied().chain([1.0])),
        });
        Self {
            groups,
            need: need.collect(),
            types: types.collect(),
            delay: tier.delay_steps,
            min_up: tier.min_up_steps,
            vms_min: f64::from(tier.vms_min),
            starts_max: i64::from(tier.starts_max),
            stops_max: i64::from(tier.stops_max),
            vms_max: i64::from(tier.vms_max),
            count_lane: tier.resources,
        }
    }
}

/// Where the VMs of a type are added.
#[derive(Debug)]
struct Sums<'b> {
    serving: &'b mut [Lanes],
    switches: &'b mut [[i64; 3]],
    spend: &'b mut [f64],
    vcpu: &'b mut [f64],
    starts: &'b mut [i64],
}

impl Sums<'_> {
    /// Adds a type; gives how often its minimum up-time is broken.
    fn add(&mut self, tier: &TierTable, described: &TypeTable, series: &[u32]) -> u32 {
        let (mut before, mut young, mut warming) = (described.initial, 0, 0);
        let mut broken = 0;
        let rows = self.serving.chunks_exact_mut(tier.groups);
        let rows = rows
            .zip(self.switches.iter_mut())
            .zip(self.spend.iter_mut());
        let rows = rows.zip(self.vcpu.iter_mut()).zip(series).enumerate();
        for (step, ((((have, switches), spend), vcpu), count)) in rows {
            let on = i64::from(*count);
            let started = (on - before).max(0);
            self.starts[step] = started;
            young += started - ago(self.starts, step, tier.min_up);
            warming += started - ago(self.starts, step, tier.delay);
            broken += u32::from(on < young);
            switches[0] += started;
            switches[1] += (before - on).max(0);
            switches[2] += on;
            let serves = (on - warming) as f64;
            for (have, units) in have.iter_mut().zip(&described.capacity) {
                add_lanes(have, units, serves);
            }
            let vms = on as f64;
            *spend += vms * described.step_price + started as f64 * described.start_price;
            *vcpu += vms * described.vcpu;
            before = on;
        }
        broken
    }
}

/// Starts of `steps` steps before; those of the step itself for 0.
#[inline]
fn ago(starts: &[i64], step: usize, steps: usize) -> i64 {
    if step >= steps {
        starts[step - steps]
    } else {
        0
    }
}

#[inline]
fn add_lanes(have: &mut Lanes, units: &Lanes, by: f64) {
    for lane in 0..LANES {
        have[lane] += by * units[lane];
    }
}

impl<'a> Scorer<'a> {
    /// Makes the tables.
    pub fn new(problem: &'a Problem) -> Self {
        let steps = problem.steps;
        let tiers: Vec<TierTable> = problem
            .tiers
            .iter()
            .map(|tier| TierTable::new(problem, tier))
            .collect();
        Self {
            problem,
            serving: tiers
                .iter()
                .map(|tier| vec![[0.0; LANES]; steps * tier.groups])
                .collect(),
            tiers,
            spend: vec![0.0; steps],
            vcpu: vec![0.0; steps],
            switches: vec![[0; 3]; steps],
            starts: vec![0; steps],
            levels: vec![problem.level_min; steps],
        }
    }

    /// Scores a plan.
    ///
    /// # Panics
    /// When the plan's shape is not the problem's.
    pub fn score(&mut self, plan: &Plan) -> Score {
        self.spend.fill(0.0);
        self.vcpu.fill(0.0);
        let mut broken = 0;
        for (index, counts) in plan.counts.iter().enumerate() {
            broken += self.tier(index, counts);
        }
        broken += self.volumes(plan);
        broken += self.link(plan);
        self.total(plan, broken)
    }

    /// Levels that the plan scored last covers, `level_min` where it covers none. Shape: `[step]`.
    pub fn levels(&self) -> &[usize] {
        &self.levels
    }

    /// Response time under the plan scored last.
    pub fn response(&self, responses: &Responses<'_>) -> Response {
        responses.of_cores(&self.levels, |tier, step| {
            let serving = self.serving[tier][step * self.tiers[tier].groups][0];
            request::whole_cores(serving)
        })
    }

    fn tier(&mut self, index: usize, counts: &[Vec<u32>]) -> u32 {
        let tier = &self.tiers[index];
        let serving = &mut self.serving[index];
        serving.fill([0.0; LANES]);
        self.switches.fill([0; 3]);
        let mut broken = 0;
        let mut sums = Sums {
            serving,
            switches: &mut self.switches,
            spend: &mut self.spend,
            vcpu: &mut self.vcpu,
            starts: &mut self.starts,
        };
        for (described, series) in tier.types.iter().zip(counts) {
            if described.initial > 0 || series.iter().any(|count| *count > 0) {
                broken += sums.add(tier, described, series);
            }
        }
        let (group, lane) = (tier.count_lane / LANES, tier.count_lane % LANES);
        for (step, [ups, downs, on]) in self.switches.iter().enumerate() {
            broken += u32::from(*ups > tier.starts_max)
                + u32::from(*downs > tier.stops_max)
                + u32::from(*on > tier.vms_max)
                + u32::from(serving[step * tier.groups + group][lane] < tier.vms_min);
        }
        broken
    }

    fn volumes(&mut self, plan: &Plan) -> u32 {
        let mut broken = 0;
        for (index, volume) in self.problem.volumes.iter().enumerate() {
            let (blocks, iops) = (&plan.blocks[index], &plan.iops_blocks[index]);
            let mut before = (volume.initial_blocks, volume.initial_iops_blocks);
            let mut last_change: Option<usize> = None;
            for step in 0..self.problem.steps {
                let now = (blocks[step], iops[step]);
                broken += u32::from(now.0 < before.0)
                    + u32::from(now.0 > volume.blocks_max)
                    + u32::from(now.1 > volume.iops_blocks_max);
                if now != before {
                    broken += early(
                        step,
                        volume.first_change,
                        last_change,
                        volume.cooldown_steps,
                    );
                    last_change = Some(step);
                }
                before = now;
                let gib = f64::from(now.0) * volume.block_gib;
                broken += u32::from(gib < volume.required_gib[step] - TOLERANCE);
                let price = f64::from(now.0) * volume.block_price_h
                    + f64::from(now.1) * volume.iops_price_h;
                self.spend[step] += price * self.problem.step_hours;
            }
        }
        broken
    }

    fn link(&mut self, plan: &Plan) -> u32 {
        let Some(link) = &self.problem.link else {
            return 0;
        };
        let mut broken = 0;
        let mut before = link.initial_option;
        let mut last_change: Option<usize> = None;
        for (step, option) in plan.link_option.iter().copied().enumerate() {
            if option != before {
                broken += early(step, link.first_change, last_change, link.hold_steps);
                last_change = Some(step);
            }
            before = option;
            match link.options.get(option as usize) {
                Some((_, price)) => self.spend[step] += price * self.problem.step_hours,
                None => broken += 1,
            }
        }
        broken
    }

    /// Whether tiers, volumes and link cover a level at a step.
    fn covers(&self, plan: &Plan, step: usize, level: usize) -> bool {
        let levels = self.problem.levels.len();
        let index = step * levels + level;
        let tiers = self.tiers.iter().zip(&self.serving).all(|(tier, serving)| {
            let need = &tier.need[index * tier.groups..(index + 1) * tier.groups];
            let have = &serving[step * tier.groups..(step + 1) * tier.groups];
            have.iter()
                .zip(need)
                .all(|(have, need)| have.iter().zip(need).all(|(have, need)| have >= need))
        });
        let volumes = self.problem.volumes.iter().zip(&plan.iops_blocks);
        tiers
            && volumes.into_iter().all(|(volume, blocks)| {
                let iops = volume.iops_free + f64::from(blocks[step]) * volume.iops_block;
                iops >= volume.required_iops[index] - TOLERANCE
            })
            && self.problem.link.as_ref().is_none_or(|link| {
                let option = link.options.get(plan.link_option[step] as usize);
                option.is_none_or(|(mbps, _)| *mbps >= link.required_mbps[index] - TOLERANCE)
            })
    }

    fn total(&mut self, plan: &Plan, mut broken: u32) -> Score {
        let problem = self.problem;
        let levels = problem.levels.len();
        let (mut spend, mut risk, mut penalty) = (0.0, 0.0, 0.0);
        let spend_max = problem.step_spend_max * (1.0 + TOLERANCE);
        for step in 0..problem.steps {
            let mut below = (0..=problem.level_max).rev();
            let level = below.find(|level| self.covers(plan, step, *level));
            let weight = problem.step_weight[step];
            self.levels[step] = level.unwrap_or(problem.level_min);
            if let Some(level) = level {
                risk += weight * problem.uncovered(level);
                penalty += problem.penalty[step * levels + level];
            } else {
                risk += weight;
            }
            broken += u32::from(level.is_none_or(|level| level < problem.level_min));
            broken += u32::from(self.vcpu[step] > problem.vcpu_quota + TOLERANCE)
                + u32::from(self.spend[step] > spend_max);
            spend += self.spend[step];
        }
        broken += u32::from(risk > problem.risk_budget + TOLERANCE)
            + u32::from(spend > problem.budget * (1.0 + TOLERANCE));
        Score {
            cost: spend + penalty,
            spend,
            risk,
            broken,
        }
    }
}

/// 1 when a change comes too soon.
fn early(step: usize, first_change: usize, last_change: Option<usize>, hold: usize) -> u32 {
    u32::from(step < first_change || last_change.is_some_and(|last| step - last < hold))
}

#[cfg(test)]
mod tests;
