//! The history that a reaction is learned from, as a twin holds it.

use std::collections::BTreeMap;
use twinscale_protocol::{DomainTime, Seconds, SeriesKey};
use twinscale_reaction::drivers::Span;
use twinscale_reaction::history::Observed;
use twinscale_twin::TwinState;

/// Steps of a history that are learned from at most: the writer of all twins waits while they are read.
const STEPS_MAX: i64 = 40_000;
/// Metrics that a reaction is learned from.
pub(super) const LATENCY: &str = "latency_p99_ms";
const THROTTLED: &str = "throttled_percent";
const PRICE: &str = "price_index";
/// Without a promise so many times the usual latency is the objective.
const UNPROMISED: f64 = 1.5;

/// What is read of a twin: its series on one grid, and what is promised.
pub(super) fn gather(
    state: &TwinState,
    key: &SeriesKey,
    interval: Seconds,
) -> (Option<Observed>, Option<f64>) {
    let stack = state.config().map(|config| &config.stack);
    let tier = stack.and_then(|stack| stack.tiers.iter().find(|tier| tier.demand == *key));
    let target = tier.and_then(|tier| tier.service);
    let target = target.map(|service| service.p99_target_us as f64 / 1_000.0);
    let ends = state.oldest_sample_at(key).zip(state.newest_sample_at(key));
    let Some((oldest, newest)) = ends else {
        return (None, target);
    };
    let step_s = i64::from(interval.0.max(1));
    let last = newest.floor_to(interval);
    let kept = DomainTime(last.0.saturating_sub(STEPS_MAX * step_s));
    let first = oldest.floor_to(interval).max(kept);
    let steps = usize::try_from(last.seconds_since(first) / step_s + 1).unwrap_or(0);
    let means = |key: &SeriesKey| -> Vec<Option<f64>> {
        let values = state
            .interval_means(key, first, interval, steps)
            .into_iter();
        values
            .map(|value| value.map(|value| value.units().max(0.0)))
            .collect()
    };
    let metric = |name: &str| {
        let named = || state.series().filter(|one| one.metric.as_str() == name);
        let own = named().find(|one| one.vm_type == key.vm_type);
        own.or_else(|| named().next())
            .map(means)
            .unwrap_or_default()
    };
    let mut latency = metric(LATENCY);
    let objective = target.or_else(|| usual(&latency).map(|usual| UNPROMISED * usual));
    if let Some(objective) = objective {
        latency
            .iter_mut()
            .flatten()
            .for_each(|one| *one /= objective.max(1e-6));
    }
    let throttled = metric(THROTTLED).into_iter();
    let share = |one: Option<f64>| one.map(|one| (one / 100.0).clamp(0.0, 1.0));
    let mut throttled: Vec<Option<f64>> = throttled.map(share).collect();
    if throttled.is_empty() {
        let name = tier.map(|tier| &tier.name);
        throttled = missed(state, (first, step_s, steps), |tier| Some(tier) == name);
    }
    let price = metric(PRICE).into_iter();
    let concerns = |event: &&twinscale_protocol::Event| {
        event.series.as_ref().is_none_or(|series| series == key)
    };
    let events = state.events().iter().filter(concerns).map(Span::from);
    let observed = Observed {
        start_s: first.0,
        interval_s: interval.0,
        demand: means(key),
        expected: Vec::new(),
        latency,
        throttled,
        price: price.map(|one| one.filter(|one| *one > 1e-6)).collect(),
        events: events.collect(),
    };
    (Some(observed), objective)
}

/// Unserved shares of the steps, of the misses that the twin keeps; nothing when it has none.
fn missed(
    state: &TwinState,
    (first, step_s, steps): (DomainTime, i64, usize),
    is_tier: impl Fn(&twinscale_protocol::TierName) -> bool,
) -> Vec<Option<f64>> {
    let mut found = BTreeMap::new();
    for miss in state.misses_since(first).filter(|miss| is_tier(&miss.tier)) {
        let step = miss.step_at.seconds_since(first) / step_s;
        let (demand, served) = (miss.demand.units(), miss.served.units());
        let share = if demand > 0.0 {
            (1.0 - served / demand).clamp(0.0, 1.0)
        } else {
            0.0
        };
        found.insert(usize::try_from(step).unwrap_or(usize::MAX), share);
    }
    if found.is_empty() {
        return Vec::new();
    }
    (0..steps)
        .map(|step| Some(found.get(&step).copied().unwrap_or(0.0)))
        .collect()
}

/// The middle of what was measured.
fn usual(values: &[Option<f64>]) -> Option<f64> {
    let mut seen: Vec<f64> = values
        .iter()
        .flatten()
        .copied()
        .filter(|one| *one > 0.0)
        .collect();
    seen.sort_by(f64::total_cmp);
    seen.get(seen.len() / 2).copied()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_usual_latency_is_the_middle_one() {
        assert_eq!(usual(&[Some(3.0), None, Some(1.0), Some(200.0)]), Some(3.0));
        assert_eq!(usual(&[None, Some(0.0)]), None);
    }
}
