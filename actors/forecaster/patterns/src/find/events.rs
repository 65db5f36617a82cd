//! What known events do to demand.
//!
//! Expected is the usual week times the level of the time. The logarithm of what was seen over that is the
//! effect of one event; how far such a logarithm strays without events is known from all other days. The
//! effects of a kind are shrunk to none by a normal prior (Efron and Morris 1975), the more the fewer.

use crate::find::{Found, Series};
use crate::grid::{DAY_S, KnownEvent};
use crate::numeric::{mean, normal_tail, position, share, signed, spread};
use crate::profile::WeekProfile;
use crate::report::{Detail, EXAMPLES_MAX, Evidence, Pattern};
use std::collections::BTreeMap;

/// Prior standard deviation of an effect: half to double is usual.
const PRIOR_SD: f64 = 0.5;

/// How many days without events weigh in the variance of an effect, in events.
const PLACEBO_WEIGHT: f64 = 3.0;

/// Smallest effect that is told.
const EFFECT_MIN: f64 = 0.03;

/// Days before and after that are looked at.
const LEAD_DAYS_MAX: usize = 3;
const LAG_DAYS_MAX: usize = 7;

/// Share of the effect that a day before must show, and below which it is gone after.
const LEAD_SHARE: f64 = 0.25;
const GONE_SHARE: f64 = 0.33;

/// Longest event: longer ones are seasons, and part of the level.
const DAYS_MAX: i64 = 14;

/// Fewest days to know what is usual.
const HISTORY_DAYS_MIN: usize = 21;

/// Smallest factor that is told apart from zero demand; its inverse is the largest.
const RATIO_MIN: f64 = 0.02;

const Z: f64 = 1.96;

pub(crate) fn find(series: &Series<'_>, found: &mut Found) {
    let events = series.grid.events();
    if events.is_empty() {
        found.not_told("event_response", "no events are known".to_owned());
        return;
    }
    if series.slots.days() < HISTORY_DAYS_MIN {
        let reason = format!(
            "not enough history: {} days seen, {HISTORY_DAYS_MIN} needed",
            series.slots.days()
        );
        found.not_told("event_response", reason);
        return;
    }
    let week = WeekProfile::of_slots(&series.slots);
    let effects = Effects { series, week };
    let noise = effects.noise(events);
    let mut kinds: BTreeMap<_, Vec<&KnownEvent>> = BTreeMap::new();
    for event in events {
        if event.end_s - event.start_s <= DAYS_MAX * DAY_S {
            kinds.entry(event.kind).or_default().push(event);
        }
    }
    for events in kinds.values() {
        if let Some(pattern) = effects.pattern(events, noise) {
            found.patterns.push(pattern);
        }
    }
}

struct Effects<'a> {
    series: &'a Series<'a>,
    week: WeekProfile,
}

impl Effects<'_> {
    /// Logarithm of seen over expected in a span of time.
    fn effect(&self, from_s: i64, to_s: i64) -> Option<f64> {
        let slots = &self.series.slots;
        let slot_s = DAY_S / signed(slots.per_day);
        let first_s = slots.day_s(0);
        let from = (from_s - first_s).div_euclid(slot_s).max(0);
        let to = (to_s - first_s + slot_s - 1).div_euclid(slot_s);
        let mut seen = 0.0;
        let mut expected = 0.0;
        for at in position(from)..position(to).min(slots.values.len()) {
            let (day, slot) = (at / slots.per_day, at % slots.per_day);
            let hour = slots.weekday(day) * 24 + slot * 24 / slots.per_day;
            let usual = self.week.middle(hour).zip(slots.level(day));
            if let (Some(value), Some((ratio, level))) = (slots.values[at], usual) {
                seen += value;
                expected += ratio * level;
            }
        }
        (expected > 0.0).then(|| (seen / expected).clamp(RATIO_MIN, RATIO_MIN.recip()).ln())
    }

    /// How far a day without events strays.
    fn noise(&self, events: &[KnownEvent]) -> f64 {
        let slots = &self.series.slots;
        let quiet: Vec<f64> = (0..slots.days())
            .filter(|day| slots.is_seen(*day))
            .filter(|day| {
                let from = slots.day_s(*day);
                !events
                    .iter()
                    .any(|event| event.start_s < from + DAY_S && event.end_s > from)
            })
            .filter_map(|day| self.effect(slots.day_s(day), slots.day_s(day) + DAY_S))
            .collect();
        spread(&quiet).max(1e-3)
    }

    fn pattern(&self, events: &[&KnownEvent], noise: f64) -> Option<Pattern> {
        let effects: Vec<(i64, f64)> = events
            .iter()
            .filter_map(|event| Some((event.start_s, self.effect(event.start_s, event.end_s)?)))
            .collect();
        let values: Vec<f64> = effects.iter().map(|(_, effect)| *effect).collect();
        let count = values.len() as f64;
        let middle = mean(&values);
        let squares: f64 = values.iter().map(|value| (value - middle).powi(2)).sum();
        let variance =
            (PLACEBO_WEIGHT * noise * noise + squares) / (PLACEBO_WEIGHT + (count - 1.0).max(0.0));
        if values.is_empty() {
            return None;
        }
        let precision = count / variance + 1.0 / (PRIOR_SD * PRIOR_SD);
        let shrunk = middle * (count / variance) / precision;
        let sd = precision.recip().sqrt();
        if shrunk.abs() <= Z * sd || shrunk.abs() < EFFECT_MIN {
            return None;
        }
        let agreeing = values.iter().filter(|value| **value * shrunk > 0.0).count();
        let factor = shrunk.exp();
        let level = self.series.level();
        let latest = effects.iter().rev().take(EXAMPLES_MAX);
        Some(Pattern {
            detail: Detail::EventResponse {
                event: events.first()?.kind,
                events: values.len(),
                factor,
                lower: (shrunk - Z * sd).exp(),
                upper: (shrunk + Z * sd).exp(),
                lead_days: self.lead_days(events, shrunk, noise),
                decay_days: self.decay_days(events, shrunk),
            },
            strength: share(1.0 - sd / shrunk.abs()),
            evidence: Evidence {
                size: Some((factor - 1.0) * level),
                size_share: Some(factor - 1.0),
                seen_in: Some(agreeing),
                cycles: Some(values.len()),
                p_value: Some(2.0 * normal_tail(shrunk.abs() / sd)),
                examples_s: latest.map(|(start_s, _)| *start_s).collect(),
                ..Evidence::default()
            },
        })
    }

    /// Mean effect on a day away from the events.
    fn away(&self, events: &[&KnownEvent], span: impl Fn(&KnownEvent) -> i64) -> Option<f64> {
        let values: Vec<f64> = events
            .iter()
            .filter_map(|event| {
                let from = span(event);
                self.effect(from, from + DAY_S)
            })
            .collect();
        (!values.is_empty()).then(|| mean(&values))
    }

    fn lead_days(&self, events: &[&KnownEvent], effect: f64, noise: f64) -> usize {
        let error = noise / (events.len() as f64).sqrt();
        (1..=LEAD_DAYS_MAX)
            .take_while(|days| {
                self.away(events, |event| event.start_s - signed(*days) * DAY_S)
                    .is_some_and(|before| {
                        before * effect > 0.0
                            && before.abs() > 2.0 * error
                            && before.abs() >= LEAD_SHARE * effect.abs()
                    })
            })
            .count()
    }

    fn decay_days(&self, events: &[&KnownEvent], effect: f64) -> Option<usize> {
        (0..LAG_DAYS_MAX).find(|days| {
            self.away(events, |event| event.end_s + signed(*days) * DAY_S)
                .is_none_or(|after| after * effect.signum() < GONE_SHARE * effect.abs())
        })
    }
}
