//! Checks a request and turns it into problems in units of the solvers.

use super::check;
use crate::demand::DemandCurve;
use crate::exact::ExactTask;
use crate::problem::{
    COUNT_MAX, Link, Problem, ProblemError, STEPS_MAX, Service, Tier, VmOption, Volume,
};
use crate::queueing;
use twinscale_protocol::optimizer::{
    PlanRequest, TierProblem, VmOption as VmOptionProblem, VolumeProblem,
};

/// Levels that a policy may name and that plans are made of.
const LEVELS: [f64; 5] = [0.5, 0.8, 0.9, 0.95, 0.99];
/// Longest table of one tier's costs by count.
const TABLE_MAX: u32 = 100_000;
/// Share by which supply may fall short of a level that it still covers.
const SHORT_SHARE: f64 = 1e-9;

/// A request with its demand as distributions.
#[derive(Debug)]
pub(super) struct Demand<'a> {
    pub(super) request: &'a PlanRequest,
    pub(super) step_hours: f64,
    /// Levels between the policy's lowest and highest, ascending.
    pub(super) levels: Vec<f64>,
    /// Shape: `[tier][step]`.
    pub(super) curves: Vec<Vec<DemandCurve>>,
    /// Share of the demand in each step.
    pub(super) weights: Vec<f64>,
}

impl<'a> Demand<'a> {
    pub(super) fn new(request: &'a PlanRequest) -> Result<Self, ProblemError> {
        let steps = usize::from(request.steps);
        if steps == 0 || steps > STEPS_MAX {
            let remedy = format!("plan 1 to {STEPS_MAX} steps");
            return Err(ProblemError::new("steps", steps, remedy));
        }
        if request.interval.0 == 0 {
            return Err(ProblemError::new(
                "interval",
                0,
                "give a step of at least one second",
            ));
        }
        check::request(request, steps)?;
        let curves: Vec<Vec<DemandCurve>> = request.tiers.iter().map(curves).collect();
        Ok(Self {
            step_hours: f64::from(request.interval.0) / 3600.0,
            levels: levels(request)?,
            weights: weights(&curves, steps),
            curves,
            request,
        })
    }

    pub(super) fn steps(&self) -> usize {
        usize::from(self.request.steps)
    }

    pub(super) fn level_max(&self) -> f64 {
        self.levels.last().copied().unwrap_or(LEVELS[0])
    }

    /// Demand that `count` VMs of an option serve within the tier's response time.
    pub(super) fn supply(&self, tier: usize, option: usize, count: u32) -> f64 {
        let tier = &self.request.tiers[tier];
        let option = &tier.options[option];
        let plain = option.capacity.units() * f64::from(count);
        let cores = option.vcpu.0 as f64 / 1000.0 * f64::from(count);
        self.within_target(tier, plain, cores)
    }

    /// Demand that capacity and cores together serve within the tier's response time.
    pub(super) fn within_target(&self, tier: &TierProblem, plain: f64, cores: f64) -> f64 {
        let Some(service) = service(tier) else {
            return plain;
        };
        let requests = queueing::requests_within(&service, whole(cores));
        plain.min(requests * f64::from(self.request.interval.0))
    }

    /// Expected cost in $ of what a supply leaves unserved in a step, and of missing a priced peak.
    pub(super) fn unserved_cost(&self, tier: usize, step: usize, supply: f64) -> f64 {
        let price = self.request.tiers[tier]
            .unserved_price_per_unit_hour
            .dollars();
        let curve = &self.curves[tier][step];
        let unserved = price * curve.excess(supply) * self.step_hours;
        self.missed_price(tier, step).map_or(unserved, |price| {
            unserved + price * (1.0 - curve.probability_within(supply))
        })
    }

    /// Price in $ of missing a step, where it belongs to a priced peak.
    fn missed_price(&self, tier: usize, step: usize) -> Option<f64> {
        let peak = self.request.tiers[tier].peak?;
        (step < usize::from(peak.steps)).then(|| peak.missed_step_price.dollars())
    }

    /// Supply of a tier with one VM type past which no VM pays: the policy's highest level, or where a
    /// VM costs more than what it may save of a priced peak.
    fn most(&self, tier: usize, step: usize) -> f64 {
        let curve = &self.curves[tier][step];
        let by_level = curve.quantile(self.level_max());
        let Some(missed) = self.missed_price(tier, step) else {
            return by_level;
        };
        let problem = &self.request.tiers[tier];
        let option = &problem.options[0];
        let unserved = problem.unserved_price_per_unit_hour.dollars() * option.capacity.units();
        // One VM more saves at most this much, and only if demand is beyond what the others serve.
        let saved = missed + unserved * self.step_hours;
        let vm = option.price_per_hour.dollars() * self.step_hours;
        if saved > vm {
            by_level.max(curve.quantile(1.0 - vm / saved))
        } else {
            by_level
        }
    }

    /// The exact task of a tier with one VM type.
    pub(super) fn exact_task(&self, tier: usize) -> ExactTask {
        let problem = &self.request.tiers[tier];
        let option = &problem.options[0];
        let vms_max = problem.max_vms.0.min(TABLE_MAX);
        let steps = 0..self.steps();
        let most = steps.map(|step| self.most(tier, step)).fold(0.0, f64::max);
        let mut supplies = vec![self.supply(tier, 0, 0)];
        let mut count = 0;
        while count < vms_max && (count < problem.min_vms.0 || supplies[count as usize] < most) {
            count += 1;
            supplies.push(self.supply(tier, 0, count));
        }
        let row = |step: usize| -> Vec<f64> { self.cost_row(tier, step, &supplies) };
        ExactTask {
            step_price: option.price_per_hour.dollars() * self.step_hours,
            start_price: option.start_cost.dollars(),
            unserved: (0..self.steps()).map(row).collect(),
            initial: option.initial.0,
            vms_max: problem.max_vms.0,
            delay_steps: usize::from(problem.delay_steps),
            min_up_steps: min_up_steps(problem),
            starts_max: problem.start_max_per_step.0,
            stops_max: problem.stop_max_per_step.0,
        }
    }

    /// Cost of unserved demand by serving count; what lies past the highest level counts alike, and
    /// counts that miss the lowest level are not allowed, except where the start limit keeps all others
    /// out of reach.
    fn cost_row(&self, tier: usize, step: usize, supplies: &[f64]) -> Vec<f64> {
        let curve = &self.curves[tier][step];
        let least = curve.quantile(self.levels[0]) * (1.0 - SHORT_SHARE);
        let most = self.most(tier, step);
        let problem = &self.request.tiers[tier];
        let within_reach = reach(problem, step);
        let rows = (0_u32..).zip(supplies);
        rows.map(|(count, supply)| {
            let enough = count >= problem.min_vms.0 && *supply >= least;
            if !enough && (within_reach == problem.max_vms.0 || count < within_reach) {
                f64::INFINITY
            } else {
                self.unserved_cost(tier, step, supply.min(most))
            }
        })
        .collect()
    }

    /// The problem of some tiers, with or without volumes, link and shared limits.
    pub(super) fn problem(&self, tiers: &[usize], shared: bool) -> Result<Problem, ProblemError> {
        let (request, rules) = (self.request, &self.request.rules);
        let levels = self.levels.len();
        let mut penalty = Vec::with_capacity(self.steps() * levels);
        for step in 0..self.steps() {
            for level in &self.levels {
                let costs = tiers.iter().map(|tier| {
                    self.unserved_cost(*tier, step, self.curves[*tier][step].quantile(*level))
                });
                penalty.push(costs.sum());
            }
        }
        let quota = rules
            .vcpu_quota
            .filter(|_| shared)
            .map_or(1e12, |quota| quota.0 as f64 / 1000.0);
        let budget = rules
            .budget
            .filter(|_| shared)
            .map_or(1e12, |budget| budget.dollars().max(0.0));
        Ok(Problem {
            id: request.customer.to_string(),
            steps: self.steps(),
            step_hours: self.step_hours,
            level_min: 0,
            level_max: levels - 1,
            risk_budget: rules.risk_budget.share(),
            step_weight: self.weights.clone(),
            penalty,
            demand_rps: Vec::new(),
            resources: Vec::new(),
            tiers: tiers
                .iter()
                .map(|tier| self.tier(*tier))
                .collect::<Result<_, _>>()?,
            volumes: if shared { self.volumes() } else { Vec::new() },
            link: self.link().filter(|_| shared),
            vcpu_quota: quota,
            step_spend_max: 1e12,
            budget,
            levels: self.levels.clone(),
        })
    }

    fn tier(&self, index: usize) -> Result<Tier, ProblemError> {
        let tier = &self.request.tiers[index];
        let service = service(tier);
        let mut requirement = Vec::new();
        for (step, curve) in self.curves[index].iter().enumerate() {
            let (capacity, vcpu) = reachable(tier, step);
            for level in &self.levels {
                let demand = curve.quantile(*level);
                requirement.push(demand.min(capacity));
                if let Some(service) = &service {
                    let requests = demand / f64::from(self.request.interval.0);
                    let cores = queueing::servers_for(service, requests);
                    let cores = cores.ok_or_else(|| too_slow(tier, index, step, requests))?;
                    requirement.push(f64::from(cores).min(vcpu));
                }
            }
        }
        let options = tier.options.iter().map(|option| {
            let vcpu = option.vcpu.0 as f64 / 1000.0;
            let mut capacity = vec![option.capacity.units()];
            capacity.extend(service.map(|_| vcpu));
            VmOption {
                name: option.vm_type.to_string(),
                price_per_hour: option.price_per_hour.dollars(),
                start_price: option.start_cost.dollars(),
                vcpu,
                capacity,
                initial: option.initial.0,
            }
        });
        Ok(Tier {
            name: tier.name.to_string(),
            resources: 1 + usize::from(service.is_some()),
            requirement,
            options: options.collect(),
            delay_steps: usize::from(tier.delay_steps),
            min_up_steps: min_up_steps(tier),
            vms_min: tier.min_vms.0.min(reach(tier, 0)),
            vms_max: tier.max_vms.0,
            starts_max: tier.start_max_per_step.0,
            stops_max: tier.stop_max_per_step.0,
            service,
        })
    }

    fn volumes(&self) -> Vec<Volume> {
        let level = self.level_max();
        let volumes = self.request.volumes.iter().map(|volume| Volume {
            name: volume.name.to_string(),
            block_gib: volume.block.0 as f64,
            block_price_h: volume.price_block_hour.dollars(),
            required_gib: required_gib(volume, level),
            iops_free: 0.0,
            iops_block: 1.0,
            iops_price_h: 0.0,
            required_iops: vec![0.0; self.steps() * self.levels.len()],
            cooldown_steps: usize::from(volume.cooldown_steps),
            first_change: rest(volume.cooldown_steps, volume.steps_since_change),
            blocks_max: volume.blocks_max,
            iops_blocks_max: 0,
            initial_blocks: volume.initial,
            initial_iops_blocks: 0,
        });
        volumes.collect()
    }

    fn link(&self) -> Option<Link> {
        let link = self.request.link.as_ref()?;
        let first_change = rest(link.hold_steps, link.steps_since_change);
        let now = link
            .options
            .get(link.initial as usize)
            .map_or(0.0, |o| o.bandwidth.0 as f64);
        let required = link
            .demand
            .iter()
            .enumerate()
            .flat_map(|(step, quantiles)| {
                let curve = DemandCurve::new(quantiles);
                // What may not change yet need not carry more than it can.
                let most = if step < first_change {
                    now
                } else {
                    f64::INFINITY
                };
                let levels = self.levels.iter();
                levels
                    .map(|level| curve.quantile(*level).min(most))
                    .collect::<Vec<_>>()
            });
        let options = link.options.iter();
        Some(Link {
            options: options
                .map(|o| (o.bandwidth.0 as f64, o.price_per_hour.dollars()))
                .collect(),
            required_mbps: required.collect(),
            hold_steps: usize::from(link.hold_steps),
            first_change,
            initial_option: link.initial,
        })
    }
}

/// Demand per step as distributions. What is on in the steps of a peak must hold until a next plan can
/// change anything, so each of them has the distribution of the peak.
fn curves(tier: &TierProblem) -> Vec<DemandCurve> {
    let peak = tier.peak.as_ref().map(|peak| {
        (
            usize::from(peak.steps),
            DemandCurve::of_peak(&peak.quantiles),
        )
    });
    let steps = tier.demand.iter().enumerate();
    steps
        .map(|(step, quantiles)| match &peak {
            Some((until, curve)) if step < *until => curve.clone(),
            _ => DemandCurve::new(quantiles),
        })
        .collect()
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "clamped first"
)]
pub(crate) fn whole(cores: f64) -> u32 {
    (cores + SHORT_SHARE).clamp(0.0, f64::from(COUNT_MAX)) as u32
}

fn min_up_steps(tier: &TierProblem) -> usize {
    usize::from(tier.min_up_steps.max(tier.delay_steps).max(1))
}

/// Size to hold per step; before the volume may change, no more than it has.
fn required_gib(volume: &VolumeProblem, level: f64) -> Vec<f64> {
    let first_change = rest(volume.cooldown_steps, volume.steps_since_change);
    let now = f64::from(volume.initial) * volume.block.0 as f64;
    let sizes = volume
        .demand
        .iter()
        .map(|quantiles| DemandCurve::new(quantiles).quantile(level));
    let steps = sizes.enumerate();
    steps
        .map(|(step, gib)| {
            if step < first_change {
                gib.min(now)
            } else {
                gib
            }
        })
        .collect()
}

/// Starts that can serve at a step, from step 0 on.
fn ready_starts(tier: &TierProblem, step: usize) -> u32 {
    let rounds = (step + 1).saturating_sub(usize::from(tier.delay_steps));
    tier.start_max_per_step
        .0
        .saturating_mul(u32::try_from(rounds).unwrap_or(u32::MAX))
}

/// Most VMs that can serve at a step, whatever is planned.
fn reach(tier: &TierProblem, step: usize) -> u32 {
    let now = tier
        .options
        .iter()
        .fold(0_u32, |sum, option| sum.saturating_add(option.initial.0));
    now.saturating_add(ready_starts(tier, step))
        .min(tier.max_vms.0)
}

/// Capacity and virtual CPUs that can serve at a step when every start is of the largest type; no bound
/// once the limits on starts no longer hold back.
fn reachable(tier: &TierProblem, step: usize) -> (f64, f64) {
    if reach(tier, step) == tier.max_vms.0 {
        return (f64::INFINITY, f64::INFINITY);
    }
    let largest = tier
        .options
        .iter()
        .max_by_key(|option| (option.capacity, option.vcpu));
    let sum = |of: fn(&VmOptionProblem) -> f64| -> f64 {
        let now: f64 = tier
            .options
            .iter()
            .map(|o| of(o) * f64::from(o.initial.0))
            .sum();
        now + largest.map_or(0.0, of) * f64::from(ready_starts(tier, step))
    };
    (
        sum(|option| option.capacity.units()),
        sum(|option| option.vcpu.0 as f64 / 1000.0),
    )
}

/// First step that may change what last changed `since` steps before step 0.
fn rest(hold_steps: u16, since: Option<u16>) -> usize {
    since.map_or(0, |since| usize::from(hold_steps.saturating_sub(since)))
}

pub(super) fn service(tier: &TierProblem) -> Option<Service> {
    let model = tier.service.as_ref()?;
    Some(Service {
        service_time_s: model.service_time_us as f64 / 1e6,
        visits: 1.0,
        p99_target_s: model.p99_target_us as f64 / 1e6,
    })
}

fn levels(request: &PlanRequest) -> Result<Vec<f64>, ProblemError> {
    let (least, most) = (
        request.rules.level_min.share(),
        request.rules.level_max.share(),
    );
    for (path, level) in [("rules.level_min", least), ("rules.level_max", most)] {
        if level <= 0.0 || level >= 1.0 {
            return Err(ProblemError::new(
                path,
                level,
                "give a level above 0 and below 1",
            ));
        }
    }
    if least > most {
        let remedy = format!("give at most level_max, which is {most}");
        return Err(ProblemError::new("rules.level_min", least, remedy));
    }
    let between = LEVELS
        .into_iter()
        .filter(|level| *level > least && *level < most);
    let mut levels: Vec<f64> = [least].into_iter().chain(between).chain([most]).collect();
    levels.dedup();
    Ok(levels)
}

/// Share of each step in the median demand, each tier alike; equal shares without demand.
fn weights(curves: &[Vec<DemandCurve>], steps: usize) -> Vec<f64> {
    let mut weights = vec![0.0; steps];
    for tier in curves {
        let medians: Vec<f64> = tier.iter().map(|curve| curve.quantile(0.5)).collect();
        let total: f64 = medians.iter().sum();
        if total > 0.0 {
            for (weight, median) in weights.iter_mut().zip(&medians) {
                *weight += median / total;
            }
        }
    }
    let total: f64 = weights.iter().sum();
    if total <= 0.0 {
        return vec![1.0 / steps as f64; steps];
    }
    weights.iter().map(|weight| weight / total).collect()
}

fn too_slow(tier: &TierProblem, index: usize, step: usize, requests: f64) -> ProblemError {
    let target = tier.service.map_or(0, |service| service.p99_target_us);
    let remedy = format!(
        "no number of cores keeps it at step {step} with {requests:.3} requests a second: raise \
         p99_target_us or lower service_time_us"
    );
    ProblemError::new(
        format!("tiers[{index}].service.p99_target_us"),
        target,
        remedy,
    )
}
