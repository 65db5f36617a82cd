//! The problem in the units of the search: whole numbers held in `f64`.
//!
//! Money counts nano-dollars, capacity counts millionths; every sum of them is exact, so adding and
//! taking back an edit returns to the same bits and the order of sums does not matter. A requirement is
//! lowered by less than the judge's tolerance, capacity is rounded, so what the search calls feasible
//! the judge does too.

use crate::problem::{Problem, Tier};

/// Lanes that are updated together.
pub(super) const LANES: usize = 4;
/// A group of resources.
pub(super) type Lanes = [f64; LANES];

/// Nano-dollars in a dollar.
pub(super) const NANOS: f64 = 1e9;
/// Search units in a unit of capacity.
const CAPACITY_SCALE: f64 = 1e6;
/// Share of a requirement that may be missing; below the judge's tolerance.
const SLACK: f64 = 4e-7;
/// Search units in a violation probability of 1.
const RISK_SCALE: f64 = 1e12;
/// How many times its cheapest cure a missing unit of capacity costs.
const SHORTAGE_FACTOR: f64 = 4.0;
/// Most steps of start-up and minimum up-time that make a shortage dearer.
const SHORTAGE_STEPS_MAX: usize = 8;
/// How many times its excess a broken money limit costs.
pub(super) const MONEY_FACTOR: f64 = 4.0;

/// A tier in search units.
#[derive(Clone, Debug)]
pub(super) struct TierModel {
    /// Number of VM types.
    pub(super) options: usize,
    /// Groups of lanes: the resources, then the count of serving VMs.
    pub(super) groups: usize,
    /// Capacity of a VM. Shape: `[option, group]`.
    pub(super) capacity: Vec<Lanes>,
    /// Needed capacity. Shape: `[step, level, group]`.
    pub(super) need: Vec<Lanes>,
    /// Price of a missing unit of capacity. Shape: `[group]`.
    pub(super) weight: Vec<Lanes>,
    /// Price of a VM for a step. Shape: `[option]`.
    pub(super) step_price: Vec<f64>,
    /// Price of a start. Shape: `[option]`.
    pub(super) start_price: Vec<f64>,
    /// Virtual CPUs. Shape: `[option]`.
    pub(super) vcpu: Vec<f64>,
    /// VMs at step -1. Shape: `[option]`.
    pub(super) initial: Vec<i32>,
    /// Types worth starting: no other is at least as good in everything.
    pub(super) candidates: Vec<usize>,
    pub(super) delay: usize,
    pub(super) min_up: usize,
    pub(super) starts_max: i32,
    pub(super) stops_max: i32,
    pub(super) vms_max: i32,
    /// Price of one start, stop or VM beyond its limit.
    pub(super) switch_weight: f64,
}

/// The problem in search units.
#[derive(Clone, Debug)]
pub(super) struct Model {
    pub(super) steps: usize,
    pub(super) levels: usize,
    pub(super) level_min: usize,
    pub(super) level_max: usize,
    pub(super) tiers: Vec<TierModel>,
    /// Cost of unserved demand. Shape: `[step, level]`.
    pub(super) penalty: Vec<f64>,
    /// Violation probability. Shape: `[step, level]`.
    pub(super) risk: Vec<f64>,
    pub(super) risk_budget: f64,
    pub(super) risk_weight: f64,
    pub(super) vcpu_quota: f64,
    pub(super) vcpu_weight: f64,
    pub(super) step_spend_max: f64,
    pub(super) budget: f64,
    /// Mean price of a VM for a step: the yardstick of temperatures.
    pub(super) unit_price: f64,
    /// Whether moves may replace a type over a long stretch.
    pub(super) blocks: bool,
}

fn nanos(dollars: f64) -> f64 {
    (dollars * NANOS).round()
}

/// Virtual CPUs in thousandths.
fn millis(vcpu: f64) -> f64 {
    (vcpu * 1000.0).round()
}

fn whole(count: u32) -> i32 {
    i32::try_from(count).unwrap_or(i32::MAX)
}

impl Model {
    pub(super) fn new(problem: &Problem) -> Self {
        let levels = problem.levels.len();
        let tiers: Vec<TierModel> = problem
            .tiers
            .iter()
            .map(|tier| TierModel::new(problem, tier))
            .collect();
        let prices: Vec<f64> = tiers
            .iter()
            .flat_map(|tier| tier.step_price.iter().copied())
            .collect();
        let unit_price = (prices.iter().sum::<f64>() / prices.len().max(1) as f64)
            .max(1.0)
            .round();
        let risk = (0..problem.steps)
            .flat_map(|step| (0..levels).map(move |level| (step, level)))
            .map(|(step, level)| {
                (problem.step_weight[step] * problem.uncovered(level) * RISK_SCALE).round()
            })
            .collect();
        let vcpus = tiers
            .iter()
            .flat_map(|tier| tier.vcpu.iter().zip(&tier.step_price));
        let per_vcpu = vcpus
            .map(|(vcpu, price)| price / vcpu.max(1.0))
            .fold(1.0, f64::max);
        Self {
            steps: problem.steps,
            levels,
            level_min: problem.level_min,
            level_max: problem.level_max,
            penalty: problem
                .penalty
                .iter()
                .map(|dollars| nanos(*dollars))
                .collect(),
            risk,
            risk_budget: ((problem.risk_budget + 5e-7) * RISK_SCALE).floor(),
            // Ten VM-steps for a percent of risk.
            risk_weight: unit_price * 1000.0 / RISK_SCALE,
            vcpu_quota: millis(problem.vcpu_quota),
            vcpu_weight: (per_vcpu * MONEY_FACTOR).ceil(),
            step_spend_max: (problem.step_spend_max * NANOS * (1.0 + SLACK)).floor(),
            budget: (problem.budget * NANOS * (1.0 + SLACK)).floor(),
            unit_price,
            blocks: false,
            tiers,
        }
    }
}

impl Model {
    /// The same with the penalty replaced by a price in $ on risk, and no limit on it.
    pub(super) fn with_risk_priced(&self, dollars: f64) -> Self {
        let price = (dollars * NANOS / RISK_SCALE).max(0.0);
        Self {
            penalty: self
                .risk
                .iter()
                .map(|risk| (risk * price).round())
                .collect(),
            risk_budget: f64::INFINITY,
            ..self.clone()
        }
    }
}

impl TierModel {
    fn new(problem: &Problem, tier: &Tier) -> Self {
        let groups = (tier.resources + 1).div_ceil(LANES);
        let mut capacity = Vec::new();
        for option in &tier.options {
            let scaled = option.capacity.iter().map(|units| capacity_units(*units));
            push_lanes(&mut capacity, groups, scaled.chain([CAPACITY_SCALE]));
        }
        let mut need = Vec::new();
        for required in tier.requirement.chunks(tier.resources) {
            let scaled = required.iter().map(|units| {
                ((units - SLACK * units.max(1.0)) * CAPACITY_SCALE)
                    .ceil()
                    .max(0.0)
            });
            let vms = f64::from(tier.vms_min) * CAPACITY_SCALE;
            push_lanes(&mut need, groups, scaled.chain([vms]));
        }
        let prices = tier.options.iter().map(|option| option.price_per_hour);
        let step_price: Vec<f64> = prices.map(|p| nanos(p * problem.step_hours)).collect();
        let dearest = step_price.iter().copied().fold(1.0, f64::max);
        Self {
            options: tier.options.len(),
            groups,
            weight: shortage_weights(&capacity, &step_price, groups, shortage_factor(tier)),
            candidates: candidates(tier),
            capacity,
            need,
            start_price: tier
                .options
                .iter()
                .map(|option| nanos(option.start_price))
                .collect(),
            step_price,
            vcpu: tier
                .options
                .iter()
                .map(|option| millis(option.vcpu))
                .collect(),
            initial: tier
                .options
                .iter()
                .map(|option| whole(option.initial))
                .collect(),
            delay: tier.delay_steps,
            min_up: tier.min_up_steps,
            starts_max: whole(tier.starts_max),
            stops_max: whole(tier.stops_max),
            vms_max: whole(tier.vms_max),
            switch_weight: (dearest * SHORTAGE_FACTOR).ceil(),
        }
    }
}

/// Rounds to the nearest unit where that is exact, else down: capacity must never be overrated.
fn capacity_units(capacity: f64) -> f64 {
    let scaled = capacity * CAPACITY_SCALE;
    let near = scaled.round();
    if (scaled - near).abs() < 1e-3 {
        near
    } else {
        scaled.floor()
    }
}

fn push_lanes(table: &mut Vec<Lanes>, groups: usize, values: impl Iterator<Item = f64>) {
    let mut row = vec![[0.0; LANES]; groups];
    for (index, value) in values.enumerate() {
        row[index / LANES][index % LANES] = value;
    }
    table.extend(row);
}

/// A VM that cures a shortage of one step is paid for while it starts and for its minimum up-time.
fn shortage_factor(tier: &Tier) -> f64 {
    let paid_steps = (tier.delay_steps + tier.min_up_steps).min(SHORTAGE_STEPS_MAX);
    SHORTAGE_FACTOR + paid_steps as f64
}

fn shortage_weights(
    capacity: &[Lanes],
    step_price: &[f64],
    groups: usize,
    factor: f64,
) -> Vec<Lanes> {
    let mut weight = vec![[1.0; LANES]; groups];
    for (index, lane) in weight.iter_mut().flatten().enumerate() {
        let rows = capacity.chunks(groups).zip(step_price);
        let cheapest = rows
            .map(|(row, price)| (row[index / LANES][index % LANES], *price))
            .filter(|(units, _)| *units > 0.0)
            .map(|(units, price)| price / units)
            .fold(f64::INFINITY, f64::min);
        *lane = if cheapest.is_finite() {
            (cheapest * factor).ceil().max(1.0)
        } else {
            1.0
        };
    }
    weight
}

/// Types that no other type beats or equals in price, virtual CPUs and every capacity.
pub(crate) fn candidates(tier: &Tier) -> Vec<usize> {
    let no_worse = |left: usize, right: usize| {
        let (left, right) = (&tier.options[left], &tier.options[right]);
        left.price_per_hour <= right.price_per_hour
            && left.start_price <= right.start_price
            && left.vcpu <= right.vcpu
            && left
                .capacity
                .iter()
                .zip(&right.capacity)
                .all(|(left, right)| left >= right)
    };
    let count = tier.options.len();
    (0..count)
        .filter(|option| {
            !(0..count).any(|other| {
                other != *option
                    && no_worse(other, *option)
                    && (other < *option || !no_worse(*option, other))
            })
        })
        .collect()
}
