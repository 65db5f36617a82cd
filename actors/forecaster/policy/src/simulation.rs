//! What decisions lead to: start-up, bills, misses.
//!
//! A VM serves from its request plus the start-up time on; releases act at once and take the newest request
//! first. So what serves is the least that was asked for over the last start-up time. Misses are counted
//! from the first step on that a decision can influence, bills from the first step, both in observed steps
//! alone.

use crate::trace::{Demand, TraceError};
use serde::{Deserialize, Serialize};

/// What decisions on one trace lead to. Shares in percent.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Score {
    /// Mean shortfall over demand.
    pub theta_under: f64,
    /// Mean surplus over demand.
    pub theta_over: f64,
    /// Share of steps with too few VMs.
    pub tau_under: f64,
    /// Share of steps with too many VMs.
    pub tau_over: f64,
    /// Share of steps in which supply and demand turn differently.
    pub instability: f64,
    /// Cube root of the sum of the cubes of the five above.
    pub sigma: f64,
    /// Billed VM-seconds as a multiple of perfect foresight's.
    pub cost: f64,
    /// Share of the demand that is not served.
    pub unserved: f64,
    /// VM starts per day.
    pub starts_per_day: f64,
}

/// VMs that serve in each step. `desired[t]` is in force from step `t` on; before, `initial` was.
pub fn serving(desired: &[u32], initial: u32, start_up_steps: usize) -> Vec<u32> {
    (0..desired.len())
        .map(|step| {
            let from = step.saturating_sub(start_up_steps);
            let before = (step < start_up_steps).then_some(initial);
            let asked = desired.get(from..=step).unwrap_or_default();
            asked.iter().copied().chain(before).min().unwrap_or(initial)
        })
        .collect()
}

/// Seconds billed in each step on top of what runs, since a VM lived shorter than the minimum.
///
/// Charged at the step of the release; 0 where a step is at least as long as the minimum.
pub fn surcharge_s(desired: &[u32], initial: u32, step_s: u32, minimum_bill_s: u32) -> Vec<f64> {
    let mut seconds = vec![0.0; desired.len()];
    if step_s >= minimum_bill_s {
        return seconds;
    }
    // Batches of VMs with their time of request, oldest first: as many entries as changes, not as VMs.
    let mut batches = vec![(i64::MIN / 2, initial)];
    let mut running = initial;
    for (step, (wanted, seconds)) in desired.iter().zip(&mut seconds).enumerate() {
        let now_s = i64::try_from(step)
            .unwrap_or(i64::MAX)
            .saturating_mul(i64::from(step_s));
        while running > *wanted {
            let Some((born_s, count)) = batches.last_mut() else {
                break;
            };
            let released = (*count).min(running - wanted);
            let lacking = i64::from(minimum_bill_s) - now_s.saturating_sub(*born_s);
            *seconds += (lacking.max(0) as f64) * f64::from(released);
            *count -= released;
            running -= released;
            if *count == 0 {
                batches.pop();
            }
        }
        if running < *wanted {
            batches.push((now_s, wanted - running));
            running = *wanted;
        }
    }
    seconds
}

/// The least plan that is never short: at each step the highest demand until a VM asked for then serves.
pub fn clairvoyant(demand: &Demand) -> Vec<u32> {
    let vms = &demand.vms;
    let plan: Vec<u32> = (0..vms.len())
        .map(|step| {
            let until = (step + demand.start_up_steps + 1).min(vms.len());
            let ahead = vms.get(step..until).unwrap_or_default();
            ahead.iter().copied().max().unwrap_or(1)
        })
        .collect();
    if demand.decision_steps <= 1 {
        return plan;
    }
    plan.chunks(demand.decision_steps)
        .flat_map(|held| {
            let most = held.iter().copied().max().unwrap_or(1);
            std::iter::repeat_n(most, held.len())
        })
        .collect()
}

/// VM-seconds billed in the observed steps.
pub fn billed_s(demand: &Demand, desired: &[u32]) -> f64 {
    let observed = |step: usize| demand.is_observed.get(step).copied().unwrap_or(false);
    let vm_steps: u64 = desired
        .iter()
        .enumerate()
        .filter(|(step, _)| observed(*step))
        .map(|(_, desired)| u64::from(*desired))
        .sum();
    let extra: f64 = surcharge_s(
        desired,
        demand.initial,
        demand.step_s,
        demand.minimum_bill_s,
    )
    .iter()
    .enumerate()
    .filter(|(step, _)| observed(*step))
    .map(|(_, seconds)| seconds)
    .sum();
    vm_steps as f64 * f64::from(demand.step_s) + extra
}

#[derive(Default)]
struct Sums {
    steps: f64,
    short_share: f64,
    over_share: f64,
    short_steps: f64,
    over_steps: f64,
    short_vms: f64,
    demand_vms: f64,
    turns: f64,
    turned_apart: f64,
}

/// Scores what was asked for in each step.
///
/// # Errors
/// [`TraceError`] when there is not one count per step.
pub fn score(demand: &Demand, desired: &[u32]) -> Result<Score, TraceError> {
    demand.check()?;
    if desired.len() != demand.steps() {
        let rule = format!("is not one count per step, which are {}", demand.steps());
        return Err(demand.refuse("desired", desired.len(), rule));
    }
    let serving = serving(desired, demand.initial, demand.start_up_steps);
    let sums = sums(demand, &serving);
    let share = |sum: f64| 100.0 * sum / sums.steps;
    let five = [
        share(sums.short_share),
        share(sums.over_share),
        share(sums.short_steps),
        share(sums.over_steps),
        100.0 * sums.turned_apart / sums.turns.max(1.0),
    ];
    let [theta_under, theta_over, tau_under, tau_over, instability] = five;
    Ok(Score {
        theta_under,
        theta_over,
        tau_under,
        tau_over,
        instability,
        sigma: five
            .iter()
            .map(|part| part.powi(3))
            .sum::<f64>()
            .powf(1.0 / 3.0),
        cost: billed_s(demand, desired) / billed_s(demand, &clairvoyant(demand)),
        unserved: 100.0 * sums.short_vms / sums.demand_vms,
        starts_per_day: starts_per_day(demand, desired),
    })
}

fn sums(demand: &Demand, serving: &[u32]) -> Sums {
    let mut sums = Sums::default();
    // The step before, when it was scored and observed.
    let mut before: Option<(u32, u32)> = None;
    let steps = demand.vms.iter().zip(serving).zip(&demand.is_observed);
    for ((needed, served), is_observed) in steps.skip(demand.start_up_steps) {
        if !is_observed {
            before = None;
            continue;
        }
        let short = f64::from(needed.saturating_sub(*served));
        let over = f64::from(served.saturating_sub(*needed));
        let needed_vms = f64::from(*needed);
        sums.steps += 1.0;
        sums.short_share += short / needed_vms;
        sums.over_share += over / needed_vms;
        sums.short_steps += f64::from(u8::from(served < needed));
        sums.over_steps += f64::from(u8::from(served > needed));
        sums.short_vms += short;
        sums.demand_vms += needed_vms;
        if let Some((needed_before, served_before)) = before {
            sums.turns += 1.0;
            let apart = served.cmp(&served_before) != needed.cmp(&needed_before);
            sums.turned_apart += f64::from(u8::from(apart));
        }
        before = Some((*needed, *served));
    }
    sums
}

fn starts_per_day(demand: &Demand, desired: &[u32]) -> f64 {
    let before = std::iter::once(&demand.initial).chain(desired);
    let starts: u64 = desired
        .iter()
        .zip(before)
        .zip(&demand.is_observed)
        .filter(|(_, is_observed)| **is_observed)
        .map(|((desired, before), _)| u64::from(desired.saturating_sub(*before)))
        .sum();
    let observed = demand.is_observed.iter().filter(|is| **is).count();
    starts as f64 * 86_400.0 / (observed as f64 * f64::from(demand.step_s))
}
