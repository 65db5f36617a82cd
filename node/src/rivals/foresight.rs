//! The two ends: a fleet for the known peak, and perfect foresight.

use super::case::{CaseOption, TierCase, covering};
use super::lifetimes::{VmLife, life, lifetimes_of_counts, long_before};
use super::{evaluate, reactive};
use std::collections::BTreeMap;
use twinscale_protocol::{DomainTime, FixedValue};

/// Most mixes tried per demand; past it only the cheapest type is used.
const MIXES_MAX: usize = 20_000;

/// Serves a tier with as many VMs, always, as `multiple` times the largest demand before the window needed.
///
/// Without any history it is told the window's own peak.
pub fn static_peak(case: &TierCase, multiple: f64) -> Vec<VmLife> {
    let Some((index, _)) = case.cheapest() else {
        return Vec::new();
    };
    let known = case.history.iter().flatten().max();
    let peak = known.or_else(|| case.demand.iter().flatten().max());
    let peak = peak.copied().unwrap_or_default().units();
    let count = case.bounded(case.covering_units(peak * multiple));
    lifetimes_of_counts(case, index, count, &vec![count; case.demand.len()])
}

/// Serves a tier with full knowledge: every interval covered from its start, at the least cost found.
///
/// Each VM is asked for one start-up time ahead and released as soon as it is not needed; one that is
/// needed again within a start-up time stays. A tier with several VM types takes the cheaper of its
/// cheapest type alone and the cheapest mix of each interval.
pub fn perfect_foresight(case: &TierCase) -> Vec<VmLife> {
    let Some((index, option)) = case.cheapest() else {
        return Vec::new();
    };
    let demand = case.demand_carried();
    let alone: Vec<u32> = demand.iter().map(|d| case.needed(*d, option)).collect();
    let single = layered(case, index, &alone);
    if case.options.len() < 2 {
        return single;
    }
    let mut mixes: BTreeMap<FixedValue, Vec<u32>> = BTreeMap::new();
    for value in &demand {
        mixes
            .entry(*value)
            .or_insert_with(|| cheapest_mix(case, *value, index));
    }
    let mut mixed: Vec<VmLife> = Vec::new();
    for option in 0..case.options.len() {
        let counts: Vec<u32> = demand
            .iter()
            .map(|value| {
                mixes
                    .get(value)
                    .and_then(|mix| mix.get(option))
                    .copied()
                    .unwrap_or_default()
            })
            .collect();
        mixed.extend(layered(case, option, &counts));
    }
    mixed.sort();
    let rank = |lives: &[VmLife]| {
        let outcome = evaluate(case, lives);
        (outcome.unserved_unit_seconds, outcome.cost)
    };
    let mixed_is_better = rank(&mixed) < rank(&single);
    if mixed_is_better { mixed } else { single }
}

/// Makes lifetimes of counts that are known in advance, layer by layer: the k-th VM runs while at least k
/// are needed.
fn layered(case: &TierCase, option: usize, counts: &[u32]) -> Vec<VmLife> {
    let mut lives: Vec<VmLife> = Vec::new();
    let mut open: Vec<VmLife> = Vec::new();
    // Layers that were closed, by layer: where they may be taken up again.
    let mut closed: BTreeMap<usize, VmLife> = BTreeMap::new();
    let before = reactive::initial(case);
    for (step, count) in counts.iter().enumerate() {
        let now = case.step_at(step);
        let count = *count as usize;
        let asked = now.minus(case.start_up);
        lives.extend(expired(&mut closed, asked));
        while open.len() > count {
            if let Some(mut last) = open.pop() {
                last.ended = Some(now);
                closed.insert(open.len(), last);
            }
        }
        while open.len() < count {
            let layer = open.len();
            match closed.remove(&layer) {
                Some(mut life) => {
                    life.ended = None;
                    open.push(life);
                }
                // What serves before the window is there already, as with every other rival.
                None if step == 0 && layer < before as usize => {
                    open.push(life(case.start_up, option, long_before(case)));
                }
                None => open.push(life(case.start_up, option, asked)),
            }
        }
    }
    lives.extend(closed.into_values());
    lives.extend(open);
    lives.sort();
    lives
}

/// Takes out the layers that ended too long ago to be taken up again.
fn expired(closed: &mut BTreeMap<usize, VmLife>, horizon: DomainTime) -> Vec<VmLife> {
    let gone: Vec<usize> = closed
        .iter()
        .filter(|(_, life)| life.ended < Some(horizon))
        .map(|(layer, _)| *layer)
        .collect();
    gone.iter()
        .filter_map(|layer| closed.remove(layer))
        .collect()
}

/// Finds the cheapest counts per type that cover a demand: every useful number of the other types, filled
/// up with the cheapest per capacity.
fn cheapest_mix(case: &TierCase, demand: FixedValue, cheapest: usize) -> Vec<u32> {
    let alone = |count: u32| {
        let mut counts = vec![0; case.options.len()];
        if let Some(slot) = counts.get_mut(cheapest) {
            *slot = count;
        }
        counts
    };
    let Some(base) = case.options.get(cheapest) else {
        return Vec::new();
    };
    let mut best = alone(case.needed(demand, base));
    // What the ceiling leaves short is worse than any mix that covers.
    let covers = capacity(case, &best) >= demand.0;
    let mut best_price = if covers { price(case, &best) } else { i64::MAX };
    let bounds: Vec<u32> = case
        .options
        .iter()
        .enumerate()
        .map(|(index, option)| match index {
            index if index == cheapest => 0,
            _ if !covers => covering(demand, option),
            // That many already weigh as much as one of the cheapest type, at no lower price.
            _ => covering(base.capacity, option).min(covering(demand, option)),
        })
        .collect();
    let mixes = bounds
        .iter()
        .map(|bound| *bound as usize + 1)
        .fold(1_usize, usize::saturating_mul);
    if mixes > MIXES_MAX {
        return best;
    }
    for mix in 0..mixes {
        let mut counts = mix_of(mix, &bounds);
        let covered = capacity(case, &counts);
        let rest = FixedValue(demand.0.saturating_sub(covered));
        if let Some(slot) = counts.get_mut(cheapest) {
            *slot = covering(rest, base);
        }
        let total: u32 = counts
            .iter()
            .fold(0, |sum, count| sum.saturating_add(*count));
        let fits = (case.floor..=case.ceiling).contains(&total);
        if fits && price(case, &counts) < best_price {
            best_price = price(case, &counts);
            best = counts;
        }
    }
    best
}

/// The counts that a number stands for: mixed radix, one digit per type.
fn mix_of(mut number: usize, bounds: &[u32]) -> Vec<u32> {
    bounds
        .iter()
        .map(|bound| {
            let radix = *bound as usize + 1;
            let digit = number % radix;
            number /= radix;
            u32::try_from(digit).unwrap_or(u32::MAX)
        })
        .collect()
}

fn price(case: &TierCase, counts: &[u32]) -> i64 {
    sum(case, counts, |option| option.price_per_hour.0)
}

fn capacity(case: &TierCase, counts: &[u32]) -> i64 {
    sum(case, counts, |option| option.capacity.0)
}

fn sum(case: &TierCase, counts: &[u32], of: impl Fn(&CaseOption) -> i64) -> i64 {
    case.options
        .iter()
        .zip(counts)
        .map(|(option, count)| of(option).saturating_mul(i64::from(*count)))
        .fold(0, i64::saturating_add)
}
