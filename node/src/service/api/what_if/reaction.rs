//! How a customer's demand would answer to other prices and service: what is asked, of which history, and what it
//! does to a forecast.

use super::ahead::check_within;
use super::supposed::Learnt;
use super::{DriverKind, ReactionView, SupposedDriver, WhatIfRequest};
use crate::service::api::customers::read;
use crate::service::api::error::{ApiError, ErrorCode};
use crate::service::api::word;
use crate::service::state::Service;
use std::collections::BTreeMap;
use twinscale_forecast_model::reaction::load_shipped_reaction;
use twinscale_protocol::forecaster::{ForecastReply, ForecastRequest, SeriesForecast};
use twinscale_protocol::{
    CustomerId, DomainTime, EventKind, FixedValue, Quantiles, Seconds, SeriesKey,
};
use twinscale_reaction::drivers::{Component, LATENCY_MAX, PRICE_MAX, Span};
use twinscale_reaction::effect::{LEVELS, MIDDLE, SharedEffect};
use twinscale_reaction::estimate::{ComponentEstimate, Estimate, Prior, estimate};
use twinscale_reaction::history::{History, Observed};
use twinscale_reaction::response::{Effect, effects, moved, of_component};
use twinscale_reaction::supposed::{Supposed, What, paths};
use twinscale_twin::TwinState;

/// Drivers of one question at most.
const DRIVERS_MAX: usize = 8;
/// Steps of a history that are learned from at most: the writer of all twins waits while they are read.
const STEPS_MAX: i64 = 40_000;
/// Metrics that a reaction is learned from.
const LATENCY: &str = "latency_p99_ms";
const THROTTLED: &str = "throttled_percent";
const PRICE: &str = "price_index";
/// Without a promise so many times the usual latency is the objective.
const UNPROMISED: f64 = 1.5;
/// Standard deviations of the outer levels of an effect, and of an interval of 95 %.
const OUTER_Z: f64 = 1.644_853_626_951_472_7;
const LEARNT_Z: f64 = 1.959_963_984_540_054;
/// Standard deviations of the forecast's levels and of its peak's, of a normal law.
const LEVEL_Z: [f64; 8] = [-1.645, -1.282, -0.674, 0.0, 0.674, 1.282, 1.645, 2.326];
const PEAK_Z: [f64; 12] = [
    -0.674, 0.0, 0.674, 1.282, 1.645, 2.054, 2.326, 2.576, 2.878, 3.090, 3.291, 3.540,
];

/// What a series' demand would do.
#[derive(Debug)]
pub(super) struct SeriesReaction {
    key: SeriesKey,
    effects: Vec<Effect>,
    pub(super) views: Vec<ReactionView>,
    /// Kinds of events that its own history tells of.
    pub(super) learnt: Vec<(EventKind, Learnt)>,
}

/// Checks what is supposed of drivers, and puts it in words.
pub(super) fn checked(
    asked: &WhatIfRequest,
    request: &ForecastRequest,
) -> Result<(Vec<SupposedDriver>, Vec<String>), ApiError> {
    if asked.drivers.len() > DRIVERS_MAX {
        return Err(ApiError::invalid(
            format!(
                "{} drivers are more than {DRIVERS_MAX}",
                asked.drivers.len()
            ),
            "ask for fewer at once",
        ));
    }
    let mut words = Vec::new();
    for driver in &asked.drivers {
        let (start, end) = span(driver, request.issued_at.0);
        if start >= end {
            return Err(ApiError::invalid(
                format!(
                    "{} ends at {}, not after its start {}",
                    driver.what.word(),
                    DomainTime(end),
                    DomainTime(start)
                ),
                "give a start before the end, or neither",
            ));
        }
        check_within(driver.what.word(), (start, end), request)?;
        let value = driver.value;
        let (low, high, rule) = driver.what.limits();
        if !(low..=high).contains(&value) {
            return Err(ApiError::invalid(
                format!("{} of {value} is not usable", driver.what.word()),
                rule,
            ));
        }
        words.push(in_words(driver));
    }
    Ok((asked.drivers.clone(), words))
}

fn in_words(driver: &SupposedDriver) -> String {
    let value = driver.value;
    let what = match driver.what {
        DriverKind::Price => format!("price {:+.0} %", 100.0 * (value - 1.0)),
        DriverKind::Latency => format!("latency x {value} of its objective"),
        DriverKind::LatencyMs => format!("latency of {value} ms"),
        DriverKind::Throttled => format!("{:.0} % of requests throttled", 100.0 * value),
    };
    match (driver.start, driver.end) {
        (None, None) => what,
        (start, end) => {
            let time = |at: Option<super::Moment>, none: &str| {
                at.map_or(none.to_owned(), |at| DomainTime(at.0).to_string())
            };
            format!(
                "{what} from {} to {}",
                time(start, "now"),
                time(end, "the end")
            )
        }
    }
}

fn span(driver: &SupposedDriver, issued_s: i64) -> (i64, i64) {
    let start = driver.start.map_or(issued_s, |at| at.0);
    (start, driver.end.map_or(i64::MAX, |at| at.0))
}

impl DriverKind {
    fn word(self) -> &'static str {
        match self {
            Self::Price => "price",
            Self::Latency | Self::LatencyMs => "latency",
            Self::Throttled => "throttled",
        }
    }

    fn limits(self) -> (f64, f64, &'static str) {
        match self {
            Self::Price => (
                (-PRICE_MAX).exp(),
                PRICE_MAX.exp(),
                "give the price over today's, from 0.25 to 4: 1.1 = a tenth more",
            ),
            Self::Latency => (
                0.0,
                LATENCY_MAX.exp(),
                "give latency over its objective, up to 16: 2 = twice",
            ),
            Self::LatencyMs => (0.0, 1e7, "give milliseconds, up to 10000000"),
            Self::Throttled => (0.0, 1.0, "give a share from 0 to 1: 0.05 = 5 %"),
        }
    }
}

/// A series' history and the objective of its latency, in milliseconds.
type Gathered = (SeriesKey, Option<Observed>, Option<f64>);

/// Finds how the forecast series would answer.
pub(super) async fn reactions(
    service: &Service,
    customer: &CustomerId,
    request: &ForecastRequest,
    (drivers, kinds): (Vec<SupposedDriver>, Vec<EventKind>),
    forecasts: &ForecastReply,
) -> Result<Vec<SeriesReaction>, ApiError> {
    let mut gathered: Vec<Gathered> = Vec::new();
    for forecast in &forecasts.forecasts {
        // One by one, so that the writer gets its turn between them.
        let key = forecast.key.clone();
        let interval = request.interval;
        let found = read(service, customer, |state| gather(state, &key, interval))?;
        gathered.push((key, found.0, found.1));
    }
    let asked = Asked {
        drivers,
        kinds,
        issued_s: request.issued_at.0,
        interval_s: request.interval.0,
        steps: usize::from(request.horizon_steps),
        events: request.events.iter().map(Span::from).collect(),
    };
    let found = tokio::task::spawn_blocking(move || answers(&gathered, &asked)).await;
    found.map_err(|error| {
        tracing::error!(%error, "reactions could not be looked for");
        unavailable("they could not be looked for")
    })?
}

fn unavailable(why: &str) -> ApiError {
    ApiError::new(
        ErrorCode::Unavailable,
        format!("the reactions of demand are not known: {why}"),
        "ask again, or give events a factor and growth in place of drivers",
    )
}

/// What is read of a twin: its series on one grid, and what is promised.
fn gather(
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

/// What is asked of all series.
struct Asked {
    drivers: Vec<SupposedDriver>,
    /// Kinds of events whose effect is asked.
    kinds: Vec<EventKind>,
    issued_s: i64,
    interval_s: u32,
    steps: usize,
    events: Vec<Span>,
}

fn answers(gathered: &[Gathered], asked: &Asked) -> Result<Vec<SeriesReaction>, ApiError> {
    let (shared, _) = load_shipped_reaction().map_err(|error| unavailable(&error.to_string()))?;
    let one = |(key, observed, objective): &Gathered| {
        answer(&shared, asked, (key, observed.as_ref(), *objective))
    };
    gathered.iter().map(one).collect()
}

fn answer(
    shared: &dyn SharedEffect,
    asked: &Asked,
    (key, observed, objective): (&SeriesKey, Option<&Observed>, Option<f64>),
) -> Result<SeriesReaction, ApiError> {
    let failed = |error: twinscale_reaction::effect::EffectError| unavailable(&error.to_string());
    // A history of which nothing can be learned is as good as none.
    let history = observed.and_then(|observed| History::new(observed.clone()).ok());
    let known = match &history {
        Some(history) => estimate(history, shared, Prior::Shared).map_err(failed)?,
        None => Estimate::unknown(shared.scales(), asked.interval_s),
    };
    let mut supposed = Vec::new();
    for driver in &asked.drivers {
        let what = match driver.what {
            DriverKind::Price => What::Price(driver.value),
            DriverKind::Latency => What::Latency(driver.value),
            DriverKind::Throttled => What::Throttled(driver.value),
            DriverKind::LatencyMs => {
                let objective = objective.ok_or_else(|| no_objective(key))?;
                What::Latency(driver.value / objective.max(1e-6))
            }
        };
        let (start_s, end_s) = span(driver, asked.issued_s);
        supposed.push(Supposed {
            what,
            start_s,
            end_s,
        });
    }
    let prices = observed.map_or(&[][..], |observed| &observed.price);
    let price = prices.iter().rev().flatten().next().copied().unwrap_or(1.0);
    let ahead = (asked.issued_s, asked.interval_s, asked.steps);
    let (today, then) = paths(&known.drivers, price, ahead, &asked.events, &supposed);
    let effects = effects(shared, &known, &today, &then).map_err(failed)?;
    let moved = moved(shared, &today, &then).map_err(failed)?;
    let view = |(component, by): (Component, f64)| {
        let one = &known.components[component.place()];
        view(key, one, of_component(shared, one, by))
    };
    Ok(SeriesReaction {
        key: key.clone(),
        effects,
        views: moved.into_iter().map(view).collect(),
        learnt: learnt_events(shared, &known, &asked.kinds).map_err(failed)?,
    })
}

fn no_objective(key: &SeriesKey) -> ApiError {
    ApiError::invalid(
        format!("{key} has no objective of latency"),
        format!(
            "give its tier service.p99_target_us, send {LATENCY}, or say how many times its objective: x2"
        ),
    )
}

fn view(key: &SeriesKey, one: &ComponentEstimate, effect: Effect) -> ReactionView {
    let name = match one.component {
        Component::LatencyNow => "latency, within hours".to_owned(),
        Component::LatencyLater => "latency, over days".to_owned(),
        Component::ThrottleNow => "throttling, within hours".to_owned(),
        Component::ThrottleLater => "throttling, over days".to_owned(),
        Component::Price => "price".to_owned(),
        Component::Event(kind) => word(kind),
    };
    ReactionView {
        vm_type: key.vm_type.to_string(),
        metric: key.metric.to_string(),
        answers_to: name,
        is_learned: one.is_learned(),
        episodes: one.episodes,
        factor: effect[MIDDLE].exp(),
        lower: effect[0].exp(),
        upper: effect[LEVELS.len() - 1].exp(),
    }
}

/// What the history tells of kinds of events, while they last.
fn learnt_events(
    shared: &dyn SharedEffect,
    known: &Estimate,
    kinds: &[EventKind],
) -> Result<Vec<(EventKind, Learnt)>, twinscale_reaction::effect::EffectError> {
    let mut found = Vec::new();
    for kind in kinds {
        let place = Component::Event(*kind).place();
        let one = &known.components[place];
        if !one.is_learned() {
            continue;
        }
        let mut row = twinscale_reaction::drivers::NORMAL;
        row[place][0] = 1.0;
        let profile = shared.profiles(&[row])?[0][place];
        let half = (LEARNT_Z * one.sd * profile).abs();
        let middle = one.mean * profile;
        let learnt = Learnt {
            events: one.episodes,
            factor: middle.exp(),
            range: ((middle - half).exp(), (middle + half).exp()),
        };
        found.push((*kind, learnt));
    }
    Ok(found)
}

impl SeriesReaction {
    /// Puts what the reaction tells of events beside what patterns tell: where both do, the surer one counts.
    pub(super) fn tell(&self, learnt: &mut Vec<(SeriesKey, EventKind, Learnt)>) {
        let width = |one: &Learnt| (one.range.1 / one.range.0).ln();
        for (kind, own) in &self.learnt {
            let known = learnt.iter_mut();
            let known = known.filter(|(key, other, _)| *key == self.key && other == kind);
            match known.map(|(_, _, known)| known).next() {
                Some(known) if width(own) < width(known) => *known = *own,
                Some(_) => {}
                None => learnt.push((self.key.clone(), *kind, *own)),
            }
        }
    }

    /// Says where each effect comes from.
    pub(super) fn words(&self) -> Vec<String> {
        let word = |one: &ReactionView| {
            let from = match (one.is_learned, one.episodes) {
                (true, count) => format!("learned from {count} of this customer's own"),
                (false, 0) => {
                    "by the shared model of simulated customers: this one's history has none"
                        .to_owned()
                }
                (false, count) => format!(
                    "by the shared model of simulated customers: {count} of this one's own say too little"
                ),
            };
            format!(
                "{} answers to {} with up to x {:.2} ({:.2} to {:.2}), {from}",
                self.key, one.answers_to, one.factor, one.lower, one.upper
            )
        };
        self.views.iter().map(word).collect()
    }

    /// Changes a forecast, its ranges with it.
    pub(super) fn change(&self, forecast: &mut SeriesForecast) {
        for (quantiles, effect) in forecast.quantiles.iter_mut().zip(&self.effects) {
            *quantiles = changed(quantiles, effect);
        }
        let Some(peak) = &mut forecast.peak else {
            return;
        };
        let first = self.effects.iter().take(usize::from(peak.steps));
        let highest = first.max_by(|left, right| left[MIDDLE].total_cmp(&right[MIDDLE]));
        if let Some(effect) = highest {
            let values = peak.quantiles;
            let median = values[1].units();
            for ((value, before), z) in peak.quantiles.iter_mut().zip(values).zip(PEAK_Z) {
                *value = FixedValue::from_model(widened(before.units(), median, (effect, z)));
            }
        }
    }
}

fn changed(quantiles: &Quantiles, effect: &Effect) -> Quantiles {
    let median = quantiles[twinscale_protocol::quantile::MEDIAN].units();
    let mut changed = *quantiles;
    for (value, z) in changed.iter_mut().zip(LEVEL_Z) {
        *value = FixedValue::from_model(widened(value.units(), median, (effect, z)));
    }
    changed
}

/// A quantile times the effect, as far from the new median as both uncertainties together say: distances of
/// logarithms add up as those of independent numbers.
fn widened(value: f64, median: f64, (effect, z): (&Effect, f64)) -> f64 {
    let middle = effect[MIDDLE];
    let outer = if z < 0.0 {
        middle - effect[0]
    } else {
        effect[LEVELS.len() - 1] - middle
    };
    if value <= 0.0 || median <= 0.0 {
        return value * middle.exp();
    }
    let (own, more) = ((value / median).ln(), outer * z / OUTER_Z);
    median * (middle + own.hypot(more).copysign(z)).exp()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_forecast_is_multiplied_and_its_range_widened() {
        let quantiles: Quantiles =
            [5.0, 6.0, 8.0, 10.0, 12.0, 14.0, 16.0, 20.0].map(FixedValue::from_model);
        let sure = [0.5_f64.ln(); 5];
        let halved = changed(&quantiles, &sure);
        for (before, after) in quantiles.iter().zip(&halved) {
            assert!(
                (after.units() - 0.5 * before.units()).abs() < 1e-5,
                "{halved:?}"
            );
        }
        let none = changed(&quantiles, &[0.0; 5]);
        for (before, after) in quantiles.iter().zip(&none) {
            assert!((after.units() - before.units()).abs() < 1e-5, "{none:?}");
        }
        let unsure = [-0.4, -0.2, 0.0, 0.2, 0.4];
        let wide = changed(&quantiles, &unsure);
        assert!(wide.is_sorted(), "{wide:?}");
        assert!((wide[3].units() - 10.0).abs() < 1e-5);
        let expected = 10.0 * 1.6_f64.ln().hypot(0.4).exp();
        assert!((wide[6].units() - expected).abs() < 0.01, "{wide:?}");
        let idle = [FixedValue::from_model(0.0); 8];
        assert_eq!(changed(&idle, &unsure), idle);
    }

    #[test]
    fn the_usual_latency_is_the_middle_one() {
        assert_eq!(usual(&[Some(3.0), None, Some(1.0), Some(200.0)]), Some(3.0));
        assert_eq!(usual(&[None, Some(0.0)]), None);
    }
}
