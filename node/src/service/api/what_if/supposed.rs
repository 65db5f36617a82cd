//! What a question supposes: events, growth and drivers, checked, and what events and growth do to a forecast.

use super::ahead::{check_within, end_of_event};
use super::{SupposedDriver, SupposedEvent, WhatIfRequest, reaction};
use crate::service::api::error::ApiError;
use crate::service::api::word;
use twinscale_protocol::forecaster::{ForecastReply, ForecastRequest, SeriesForecast};
use twinscale_protocol::{DomainTime, Event, EventKind, FixedValue, SeriesKey};

/// Events of one question at most.
const EVENTS_MAX: usize = 32;
/// Largest factor of an event.
const FACTOR_MAX: f64 = 1_000.0;
/// Growth is at least this: fewer customers than a hundredth are another question.
const GROWTH_MIN: f64 = -0.99;
/// Growth is at most this.
const GROWTH_MAX: f64 = 99.0;

/// An event whose effect was stated: its span and factor.
type Stated = (DomainTime, DomainTime, f64);

/// How a series answered to past events of a kind.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Learnt {
    pub(super) events: usize,
    pub(super) factor: f64,
    /// The 95 % interval of the factor.
    pub(super) range: (f64, f64),
}

/// What is supposed, checked.
#[derive(Debug)]
pub(super) struct Supposed {
    /// Events of which the twin's own experience is asked.
    pub(super) announced: Vec<Event>,
    /// Events whose effect was stated: span and factor.
    stated: Vec<Stated>,
    growth: f64,
    /// Prices and service.
    pub(super) drivers: Vec<SupposedDriver>,
    /// All of it in words.
    pub(super) words: Vec<String>,
}

impl Supposed {
    pub(super) fn of(asked: &WhatIfRequest, request: &ForecastRequest) -> Result<Self, ApiError> {
        let growth = asked.growth;
        if !(GROWTH_MIN..=GROWTH_MAX).contains(&growth) {
            return Err(ApiError::invalid(
                format!("growth {growth} is not between {GROWTH_MIN} and {GROWTH_MAX}"),
                "give it as a share: 0.2 = a fifth more",
            ));
        }
        if asked.events.len() > EVENTS_MAX {
            return Err(ApiError::invalid(
                format!("{} events are more than {EVENTS_MAX}", asked.events.len()),
                "ask for fewer at once",
            ));
        }
        let is_empty = asked.events.is_empty() && asked.drivers.is_empty();
        if is_empty && growth.abs() < f64::EPSILON {
            return Err(ApiError::invalid(
                "nothing is to be changed",
                "give events, growth, drivers, or several of them",
            ));
        }
        let (drivers, words) = reaction::drivers::checked(asked, request)?;
        let mut supposed = Self {
            announced: Vec::new(),
            stated: Vec::new(),
            growth,
            drivers,
            words,
        };
        for event in &asked.events {
            supposed.add(event, request)?;
        }
        if growth.abs() >= f64::EPSILON {
            supposed
                .words
                .push(format!("demand {:+.0} %", 100.0 * growth));
        }
        Ok(supposed)
    }

    fn add(&mut self, event: &SupposedEvent, request: &ForecastRequest) -> Result<(), ApiError> {
        let start = DomainTime(event.start.0);
        let end = DomainTime(end_of_event(event));
        let kind = word(event.kind);
        if end <= start {
            return Err(ApiError::invalid(
                format!("{kind} ends at {end}, not after its start {start}"),
                "give an end (exclusive) that is later",
            ));
        }
        check_within(&kind, (start.0, end.0), request)?;
        match event.factor {
            Some(factor) if factor > 0.0 && factor <= FACTOR_MAX => {
                self.words
                    .push(format!("{kind} from {start} to {end}, demand x {factor}"));
                self.stated.push((start, end, factor));
            }
            Some(factor) => {
                return Err(ApiError::invalid(
                    format!("factor {factor} of {kind} is not above 0 and up to {FACTOR_MAX}"),
                    "give what demand is multiplied by, or leave it out",
                ));
            }
            None => {
                self.words.push(format!(
                    "{kind} from {start} to {end}, as far as the twin knows such events"
                ));
                self.announced.push(Event {
                    kind: event.kind,
                    name: format!("what if: {kind}"),
                    start,
                    end,
                    known_from: request.issued_at,
                    series: None,
                });
            }
        }
        Ok(())
    }

    /// Takes what series learnt of the announced kinds of events in place of the networks' answer, and says so.
    pub(super) fn use_learnt(
        &mut self,
        learnt: &[(SeriesKey, EventKind, Learnt)],
        today: &ForecastReply,
        then: &mut ForecastReply,
    ) {
        for (before, after) in today.forecasts.iter().zip(&mut then.forecasts) {
            let of_series = |event: &Event| {
                let mut known = learnt.iter();
                let known = known.find(|(key, kind, _)| *key == before.key && *kind == event.kind);
                known.map(|(_, _, learnt)| (event.clone(), *learnt))
            };
            let known: Vec<(Event, Learnt)> = self.announced.iter().filter_map(of_series).collect();
            if known.len() < self.announced.len() {
                // The networks answer for all events of a series at once.
                continue;
            }
            *after = before.clone();
            for (event, learnt) in known {
                multiply(after, &[(event.start, event.end, learnt.factor)], 0.0);
                let (low, high) = learnt.range;
                self.words.push(format!(
                    "{} answered {} events with x {:.2} ({low:.2} to {high:.2}), {} seen",
                    before.key,
                    word(event.kind),
                    learnt.factor,
                    learnt.events
                ));
            }
        }
    }

    /// The request with what is announced, which the networks and the adapter answer.
    pub(super) fn announced_in(&self, request: &ForecastRequest) -> ForecastRequest {
        let mut request = request.clone();
        request.events.extend(self.announced.iter().cloned());
        request
    }

    /// Multiplies what the stated events and growth change.
    pub(super) fn change(&self, forecast: &mut SeriesForecast) {
        multiply(forecast, &self.stated, self.growth);
    }
}

/// Multiplies a forecast by the factors of events and by growth; its peak by the largest factor of its steps.
fn multiply(forecast: &mut SeriesForecast, stated: &[Stated], growth: f64) {
    let interval_s = i64::from(forecast.interval.0);
    let first_s = forecast.first_step_at.0;
    let mut largest = 1.0_f64;
    let peak_steps = forecast.peak.as_ref().map_or(0, |peak| peak.steps);
    for (step, quantiles) in forecast.quantiles.iter_mut().enumerate() {
        let ahead = i64::try_from(step).unwrap_or(i64::MAX);
        let at = first_s.saturating_add(ahead.saturating_mul(interval_s));
        let factor = factor_of(stated, at, at.saturating_add(interval_s));
        if step < usize::from(peak_steps) {
            largest = largest.max(factor);
        }
        *quantiles = quantiles.map(|value| scaled(value, factor * (1.0 + growth)));
    }
    if let Some(peak) = &mut forecast.peak {
        let factor = largest * (1.0 + growth);
        peak.quantiles = peak.quantiles.map(|value| scaled(value, factor));
        peak.mean = scaled(peak.mean, 1.0 + growth);
    }
}

/// Factor of a step: that of each stated event, for the part of the step that it covers.
fn factor_of(stated: &[Stated], from: i64, to: i64) -> f64 {
    let length = (to - from).max(1) as f64;
    stated.iter().fold(1.0, |all, (start, end, factor)| {
        let covered = (to.min(end.0) - from.max(start.0)).max(0) as f64 / length;
        all * (1.0 + covered * (factor - 1.0))
    })
}

fn scaled(value: FixedValue, factor: f64) -> FixedValue {
    FixedValue::from_model(value.units() * factor)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::service::api::Moment;
    use crate::service::api::what_if::DriverKind;
    use twinscale_protocol::QUANTILES;
    use twinscale_protocol::forecaster::{ForecastContext, ForecastSource, PeakForecast};
    use twinscale_protocol::{CustomerId, MetricName, Seconds, VmTypeId};

    fn request() -> ForecastRequest {
        ForecastRequest {
            customer: CustomerId::new("acme").expect("an id"),
            issued_at: DomainTime(36_000),
            interval: Seconds(3600),
            horizon_steps: 24,
            series: Vec::new(),
            events: Vec::new(),
        }
    }

    fn forecast() -> SeriesForecast {
        SeriesForecast {
            key: SeriesKey {
                vm_type: VmTypeId::new("web").expect("an id"),
                metric: MetricName::new("requests").expect("a name"),
            },
            first_step_at: DomainTime(36_000),
            interval: Seconds(3600),
            quantiles: vec![[FixedValue::from_model(10.0); QUANTILES]; 24],
            peak: Some(PeakForecast {
                steps: 2,
                quantiles: [FixedValue::from_model(10.0); 12],
                mean: FixedValue::from_model(8.0),
            }),
            source: ForecastSource::Stale,
            context: ForecastContext::default(),
        }
    }

    fn campaign(start: i64, end: i64, factor: Option<f64>) -> SupposedEvent {
        SupposedEvent {
            kind: EventKind::Campaign,
            start: Moment(start),
            end: Some(Moment(end)),
            factor,
        }
    }

    #[test]
    fn a_stated_factor_counts_for_the_part_that_it_covers() {
        let asked = WhatIfRequest {
            events: vec![campaign(39_600, 45_000, Some(3.0))],
            growth: 0.5,
            ..WhatIfRequest::default()
        };
        let supposed = Supposed::of(&asked, &request()).expect("sound");
        let mut changed = forecast();
        supposed.change(&mut changed);
        let medians = changed.quantiles.iter().map(|step| step[3].units());
        let medians: Vec<f64> = medians.take(4).collect();
        assert_eq!(medians, [15.0, 45.0, 30.0, 15.0]);
        let peak = changed.peak.expect("a peak");
        assert!((peak.quantiles[0].units() - 45.0).abs() < 1e-9);
        assert!((peak.mean.units() - 12.0).abs() < 1e-9);
        assert_eq!(supposed.words.len(), 2);
    }

    #[test]
    fn an_event_without_a_factor_is_announced() {
        let asked = WhatIfRequest {
            events: vec![campaign(39_600, 45_000, None)],
            ..WhatIfRequest::default()
        };
        let supposed = Supposed::of(&asked, &request()).expect("sound");
        let announced = supposed.announced_in(&request()).events;
        assert_eq!(announced.len(), 1);
        assert_eq!(announced[0].known_from, DomainTime(36_000));
        let mut same = forecast();
        supposed.change(&mut same);
        assert_eq!(same, forecast());
    }

    #[test]
    fn what_cannot_be_answered_is_named() {
        let refused = |asked: WhatIfRequest| {
            let error = Supposed::of(&asked, &request()).expect_err("unsound");
            error.message().to_owned()
        };
        assert!(refused(WhatIfRequest::default()).contains("nothing"));
        let events = |event| WhatIfRequest {
            events: vec![event],
            ..WhatIfRequest::default()
        };
        assert!(refused(events(campaign(500_000, 510_000, None))).contains("outside the horizon"));
        assert!(refused(events(campaign(40_000, 40_000, None))).contains("not after its start"));
        assert!(refused(events(campaign(39_600, 45_000, Some(0.0)))).contains("factor 0"));
        assert!(refused(events(campaign(39_600, 45_000, Some(f64::NAN)))).contains("NaN"));
        let growth = WhatIfRequest {
            growth: f64::INFINITY,
            ..WhatIfRequest::default()
        };
        assert!(refused(growth).contains("growth inf"));
        let driver = |what, value, end: i64| WhatIfRequest {
            drivers: vec![SupposedDriver {
                what,
                value,
                start: None,
                end: Some(Moment(end)),
            }],
            ..WhatIfRequest::default()
        };
        assert!(refused(driver(DriverKind::Price, 9.0, 50_000)).contains("price of 9"));
        assert!(refused(driver(DriverKind::Latency, f64::NAN, 50_000)).contains("NaN"));
        assert!(refused(driver(DriverKind::Throttled, 1.5, 50_000)).contains("throttled of 1.5"));
        assert!(
            refused(driver(DriverKind::Throttled, 0.1, 36_000)).contains("not after its start")
        );
    }
}
