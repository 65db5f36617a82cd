//! From a solved plan to the reply: costs, levels and risk as the forecast's distribution has them.

use super::build::{self, Demand};
use super::solve::Solved;
use crate::evaluate;
use crate::plan::Plan as Counts;
use crate::simulate::{self, SimulatedTier};
use twinscale_protocol::optimizer::{
    Plan, PlanAllocation, PlanCost, PlanVms, PlanVolume, SearchRecord, SimulationCheck,
};
use twinscale_protocol::{MicroDollars, PartsPerMillion, VmCount};

/// Share by which supply may fall short of a level that it still covers.
const SHORT_SHARE: f64 = 1e-6;

/// Serving VMs and what they supply.
#[derive(Debug)]
struct Supply {
    /// In the demand metric's unit. Shape: `[tier][step]`.
    demand: Vec<Vec<f64>>,
    /// Whole cores. Shape: `[tier][step]`.
    cores: Vec<Vec<u32>>,
}

/// Makes the reply.
pub(super) fn plan(demand: &Demand<'_>, solved: &Solved) -> Plan {
    let request = demand.request;
    let supply = supply(demand, &solved.plan);
    let cost = cost(demand, &solved.plan, &supply);
    let seed_supply = self::supply(demand, &solved.seed);
    let seed_cost = self::cost(demand, &solved.seed, &seed_supply).total();
    Plan {
        number: request.number,
        parent: request.parent,
        trigger: request.trigger,
        first_step_at: request.first_step_at,
        interval: request.interval,
        steps: request.steps,
        allocation: allocation(demand, &solved.plan),
        levels: levels(demand, &supply),
        cost,
        risk: risk(demand, &supply),
        search: SearchRecord {
            method: solved.method,
            seed_cost,
            search_cost: cost.total(),
            evaluations: u32::try_from(solved.evaluations).unwrap_or(u32::MAX),
            truncated: false,
            check: check(demand, &supply),
        },
    }
}

fn allocation(demand: &Demand<'_>, plan: &Counts) -> PlanAllocation {
    let mut vms = Vec::new();
    for (tier, counts) in demand.request.tiers.iter().zip(&plan.counts) {
        for (option, series) in tier.options.iter().zip(counts) {
            vms.push(PlanVms {
                tier: tier.name.clone(),
                vm_type: option.vm_type.clone(),
                counts: series.iter().map(|count| VmCount(*count)).collect(),
            });
        }
    }
    vms.sort_by(|left, right| (&left.tier, &left.vm_type).cmp(&(&right.tier, &right.vm_type)));
    let volumes = demand.request.volumes.iter().zip(&plan.blocks);
    PlanAllocation {
        vms,
        volumes: volumes
            .map(|(volume, blocks)| PlanVolume {
                volume: volume.name.clone(),
                blocks: blocks.clone(),
            })
            .collect(),
        link: plan.link_option.clone(),
    }
}

fn supply(demand: &Demand<'_>, plan: &Counts) -> Supply {
    let steps = demand.steps();
    let mut supply = Supply {
        demand: Vec::new(),
        cores: Vec::new(),
    };
    for (tier, counts) in demand.request.tiers.iter().zip(&plan.counts) {
        let mut plain = vec![0.0; steps];
        let mut cores = vec![0.0; steps];
        for (option, series) in tier.options.iter().zip(counts) {
            let serving =
                evaluate::serving(option.initial.0, series, usize::from(tier.delay_steps));
            for (step, count) in serving.iter().enumerate() {
                plain[step] += option.capacity.units() * f64::from(*count);
                cores[step] += option.vcpu.0 as f64 / 1000.0 * f64::from(*count);
            }
        }
        let within = plain.iter().zip(&cores);
        supply.demand.push(
            within
                .map(|(plain, cores)| demand.within_target(tier, *plain, *cores))
                .collect(),
        );
        supply
            .cores
            .push(cores.iter().map(|cores| build::whole(*cores)).collect());
    }
    supply
}

fn cost(demand: &Demand<'_>, plan: &Counts, supply: &Supply) -> PlanCost {
    let request = demand.request;
    let (mut vms, mut starts, mut storage, mut link, mut unserved) = (0.0, 0.0, 0.0, 0.0, 0.0);
    for (tier, counts) in request.tiers.iter().zip(&plan.counts) {
        for (option, series) in tier.options.iter().zip(counts) {
            let on: f64 = series.iter().map(|count| f64::from(*count)).sum();
            vms += on * option.price_per_hour.dollars() * demand.step_hours;
            let started: i64 = evaluate::starts(option.initial.0, series).iter().sum();
            starts += started as f64 * option.start_cost.dollars();
        }
    }
    for (volume, blocks) in request.volumes.iter().zip(&plan.blocks) {
        let held: f64 = blocks.iter().map(|blocks| f64::from(*blocks)).sum();
        storage += held * volume.price_block_hour.dollars() * demand.step_hours;
    }
    if let Some(problem) = &request.link {
        let options = plan
            .link_option
            .iter()
            .filter_map(|option| problem.options.get(*option as usize));
        link += options
            .map(|option| option.price_per_hour.dollars())
            .sum::<f64>()
            * demand.step_hours;
    }
    for (tier, supplies) in supply.demand.iter().enumerate() {
        for (step, supply) in supplies.iter().enumerate() {
            unserved += demand.unserved_cost(tier, step, *supply);
        }
    }
    let money =
        |dollars: f64| MicroDollars::from_dollars(dollars).unwrap_or(MicroDollars(i64::MAX));
    PlanCost {
        vms: money(vms),
        starts: money(starts),
        storage: money(storage),
        link: money(link),
        unserved: money(unserved),
    }
}

/// Highest of the policy's levels that every tier covers, per step; 0 when not even the lowest is.
fn levels(demand: &Demand<'_>, supply: &Supply) -> Vec<PartsPerMillion> {
    let covers = |step: usize, level: f64| {
        demand
            .curves
            .iter()
            .zip(&supply.demand)
            .all(|(curves, supply)| {
                supply[step] >= curves[step].quantile(level) * (1.0 - SHORT_SHARE)
            })
    };
    (0..demand.steps())
        .map(|step| {
            let highest = demand
                .levels
                .iter()
                .rev()
                .find(|level| covers(step, **level));
            PartsPerMillion::from_share(highest.copied().unwrap_or(0.0))
        })
        .collect()
}

/// Demand-weighted probability that the tier with the least cover falls short.
fn risk(demand: &Demand<'_>, supply: &Supply) -> PartsPerMillion {
    let short = |step: usize| -> f64 {
        let tiers = demand.curves.iter().zip(&supply.demand);
        tiers
            .map(|(curves, supply)| 1.0 - curves[step].probability_within(supply[step]))
            .fold(0.0, f64::max)
    };
    let weights = demand.weights.iter().enumerate();
    PartsPerMillion::from_share(weights.map(|(step, weight)| weight * short(step)).sum())
}

/// Simulated requests under the plan, when a tier says how requests are served.
fn check(demand: &Demand<'_>, supply: &Supply) -> Option<SimulationCheck> {
    let seconds = f64::from(demand.request.interval.0);
    let levels = simulate::scenario_levels();
    let mut tiers = Vec::new();
    for (index, tier) in demand.request.tiers.iter().enumerate() {
        let Some(service) = build::service(tier) else {
            continue;
        };
        let rates = demand.curves[index].iter().map(|curve| {
            levels
                .iter()
                .map(|level| curve.quantile(*level) / seconds)
                .collect::<Vec<_>>()
        });
        tiers.push(SimulatedTier {
            service_time_s: service.service_time_s,
            p99_target_s: service.p99_target_s,
            cores: supply.cores[index].clone(),
            requests_per_s: rates.collect(),
        });
    }
    let found = simulate::simulate(&tiers, seconds, demand.request.seed)?;
    Some(SimulationCheck {
        violation: PartsPerMillion::from_share(found.violation),
        half_width: PartsPerMillion::from_share(found.half_width),
        p99_us: micros(found.p99_s),
        requests: found.requests,
    })
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "clamped first"
)]
fn micros(seconds: f64) -> u64 {
    (seconds * 1e6).clamp(0.0, 1e15) as u64
}
