//! `POST /v1/customers/{customer}/what-if`: forecast and plan with announced events and growth, beside those without.
//!
//! Everything happens on a copy of the twin's state: nothing is stored, provisioned or learnt.

use super::body::BodyReader;
use super::configure::{customer_id, plan};
use super::customers::read;
use super::error::{ApiError, ErrorReply};
use super::patterns::grids;
use super::sample_line::{Moment, MomentForms};
use super::views::{PlanCostView, cost_view};
use crate::clients::ForecasterClient;
use crate::service::limits::{ANSWER_LIMIT, DOCUMENT_BYTES_MAX};
use crate::service::state::Service;
use axum::Json;
use axum::extract::{Path, Request, State};
use serde::{Deserialize, Serialize};
use std::sync::Arc;
use twinscale_patterns::{Detail, find};
use twinscale_protocol::forecaster::{ForecastReply, ForecastRequest, SeriesForecast};
use twinscale_protocol::{
    CustomerId, DomainTime, Event, EventKind, FixedValue, QUANTILE_LEVELS, QUANTILES, Quantiles,
    SeriesKey,
};
use twinscale_twin::cycle::forecast_request;
use twinscale_twin::{ApplyResult, ForecastClient as _, TwinCommand, TwinState};
use utoipa::ToSchema;

/// Events of one question at most.
const EVENTS_MAX: usize = 32;
/// Largest factor of an event.
const FACTOR_MAX: f64 = 1_000.0;
/// Growth is at least this: fewer customers than a hundredth are another question.
const GROWTH_MIN: f64 = -0.99;
/// Growth is at most this.
const GROWTH_MAX: f64 = 99.0;
/// Length of an event without an end, in seconds: a day.
const EVENT_S: i64 = 86_400;

/// What is to be changed.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct WhatIfRequest {
    /// Events that would be announced now, at most 32.
    #[serde(default)]
    pub events: Vec<SupposedEvent>,
    /// Growth of the demand as a share: 0.2 = a fifth more, -0.5 = half.
    #[serde(default)]
    pub growth: f64,
}

/// An event that is only supposed.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct SupposedEvent {
    /// What kind it is.
    #[schema(value_type = String, example = "campaign")]
    pub kind: EventKind,
    /// When it starts.
    #[schema(value_type = MomentForms)]
    pub start: Moment,
    /// When it ends, exclusive; a day later when left out.
    #[schema(value_type = Option<MomentForms>)]
    pub end: Option<Moment>,
    /// What demand is multiplied by while it lasts; what the twin has learnt of such events when left out.
    pub factor: Option<f64>,
}

/// A customer as it is expected, and as it would be.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct WhatIfReply {
    /// Whose.
    pub customer: String,
    /// End of the last observed interval.
    pub issued_at: i64,
    /// What was supposed, in words.
    pub changes: Vec<String>,
    /// The levels of the quantiles.
    pub levels: Vec<f64>,
    /// One per series.
    pub series: Vec<WhatIfSeries>,
    /// What the plan costs as expected; none where there can be no plan.
    pub plan: Option<PlanCostView>,
    /// What it would cost.
    pub plan_then: Option<PlanCostView>,
    /// Why there is no plan.
    pub note: Option<String>,
}

/// A series as it is expected, and as it would be.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct WhatIfSeries {
    /// What is measured.
    pub vm_type: String,
    /// The metric.
    pub metric: String,
    /// Start of the first step.
    pub first_step_at: i64,
    /// Length of a step, in seconds.
    pub interval_s: u32,
    /// Per step, one value per level: as expected.
    pub quantiles: Vec<Vec<f64>>,
    /// As it would be.
    pub quantiles_then: Vec<Vec<f64>>,
}

/// Answers what events and growth would do to a customer's demand and to what its plan costs. Nothing is stored.
#[utoipa::path(post, path = "/v1/customers/{customer}/what-if", tag = "customers",
    params(("customer" = String, Path)),
    request_body(content = WhatIfRequest, content_type = "application/json"),
    responses(
        (status = 200, description = "both sides", body = WhatIfReply),
        (status = 400, description = "it cannot be answered", body = ErrorReply),
        (status = 404, description = "no such customer", body = ErrorReply),
        (status = 503, description = "the forecaster does not answer now", body = ErrorReply),
    ))]
pub(crate) async fn what_if(
    State(service): State<Arc<Service>>,
    Path(customer): Path<String>,
    request: Request,
) -> Result<Json<WhatIfReply>, ApiError> {
    let _permit = service.begin_read()?;
    let customer = customer_id(&customer)?;
    let asked = asked(request).await?;
    let state = read(&service, &customer, Clone::clone)?;
    let Some(request) = forecast_request(&state, service.now()) else {
        return Err(ApiError::invalid(
            format!("customer `{customer}` has no stack that is served from a series"),
            format!("PUT /v1/customers/{customer}/stack first"),
        ));
    };
    let mut supposed = Supposed::of(&asked, &request)?;
    let (today, then) = tokio::join!(
        forecasts(&service, request.clone()),
        forecasts(&service, supposed.announced_in(&request)),
    );
    let (today, mut then) = (today?, then?);
    if !supposed.announced.is_empty() {
        let learnt = learnt(&service, &customer, &today).await?;
        supposed.use_learnt(&learnt, &today, &mut then);
    }
    for forecast in &mut then.forecasts {
        supposed.change(forecast);
    }
    let series = today.forecasts.iter().zip(&then.forecasts).map(series);
    let series = series.collect();
    let plan_today = plan_under(&service, &state, request.issued_at, today).await;
    let plan_then = plan_under(&service, &state, request.issued_at, then).await;
    let note = plan_then.as_ref().err().or(plan_today.as_ref().err());
    Ok(Json(WhatIfReply {
        customer: customer.to_string(),
        issued_at: request.issued_at.0,
        changes: supposed.words,
        levels: QUANTILE_LEVELS.to_vec(),
        series,
        note: note.cloned(),
        plan: plan_today.ok(),
        plan_then: plan_then.ok(),
    }))
}

/// Answers to kinds of events that the histories of the forecast series show.
async fn learnt(
    service: &Service,
    customer: &CustomerId,
    forecasts: &ForecastReply,
) -> Result<Vec<(SeriesKey, EventKind, Learnt)>, ApiError> {
    let keys: Vec<SeriesKey> = forecasts
        .forecasts
        .iter()
        .map(|one| one.key.clone())
        .collect();
    let grids = grids(service, customer, &keys)?;
    let found = tokio::task::spawn_blocking(move || {
        let answers = grids.iter().flat_map(|(key, grid)| {
            let patterns = find(grid).patterns.into_iter();
            patterns.filter_map(move |pattern| match pattern.detail {
                Detail::EventResponse {
                    event,
                    events,
                    factor,
                    lower,
                    upper,
                    ..
                } => {
                    let learnt = Learnt {
                        events,
                        factor,
                        range: (lower, upper),
                    };
                    Some((key.clone(), event, learnt))
                }
                _ => None,
            })
        });
        answers.collect()
    });
    found.await.map_err(|error| {
        tracing::error!(%error, "answers to events could not be looked for");
        ApiError::new(
            super::ErrorCode::Unavailable,
            "the answers to past events could not be looked for",
            "ask again, or give the event a factor",
        )
    })
}

/// How a series answered to past events of a kind.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Learnt {
    events: usize,
    factor: f64,
    /// The 95 % interval of the factor.
    range: (f64, f64),
}

async fn asked(request: Request) -> Result<WhatIfRequest, ApiError> {
    let (head, body) = request.into_parts();
    let body = BodyReader::start(&head.headers, body, DOCUMENT_BYTES_MAX).await?;
    serde_json::from_slice(&body.whole().await?).map_err(|error| {
        ApiError::invalid(
            format!("the body is no question: {error}"),
            "send {\"events\": [{\"kind\": \"campaign\", \"start\": 1700000000, \"factor\": 3}], \"growth\": 0.2}",
        )
    })
}

async fn forecasts(service: &Service, request: ForecastRequest) -> Result<ForecastReply, ApiError> {
    let forecaster = ForecasterClient {
        forecasters: Arc::clone(service.node().forecasters()),
        instruments: service.node().instruments().clone(),
    };
    let answer = forecaster.forecast(request, ANSWER_LIMIT).await;
    answer.map_err(|error| {
        ApiError::new(
            super::ErrorCode::Unavailable,
            format!("the forecaster gave no answer: {error}"),
            "ask again; GET /v1/ready says what is wrong",
        )
    })
}

/// Plans as if these forecasts were the newest; the text says why not.
async fn plan_under(
    service: &Service,
    state: &TwinState,
    issued_at: DomainTime,
    reply: ForecastReply,
) -> Result<PlanCostView, String> {
    let mut state = state.clone();
    let stored = state.apply(TwinCommand::StoreForecast {
        issued_at,
        surprised: false,
        forecasts: reply.forecasts,
        calibrations: reply.calibrations,
        feedback: None,
    });
    match stored {
        ApplyResult::ForecastStored => {}
        ApplyResult::Refused(refusal) => return Err(refusal.to_string()),
        other => return Err(format!("the twin cannot take a forecast now: {other:?}")),
    }
    Ok(cost_view(&plan(service, &state).await?))
}

/// What is supposed, checked.
#[derive(Debug)]
struct Supposed {
    /// Events of which the twin's own experience is asked.
    announced: Vec<Event>,
    /// Events whose effect was stated: span and factor.
    stated: Vec<(DomainTime, DomainTime, f64)>,
    growth: f64,
    words: Vec<String>,
}

impl Supposed {
    fn of(asked: &WhatIfRequest, request: &ForecastRequest) -> Result<Self, ApiError> {
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
        if asked.events.is_empty() && growth.abs() < f64::EPSILON {
            return Err(ApiError::invalid(
                "nothing is to be changed",
                "give events, growth or both",
            ));
        }
        let mut supposed = Self {
            announced: Vec::new(),
            stated: Vec::new(),
            growth,
            words: Vec::new(),
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
        let end = event
            .end
            .map_or(start.0.saturating_add(EVENT_S), |end| end.0);
        let end = DomainTime(end);
        let kind = super::word(event.kind);
        if end <= start {
            return Err(ApiError::invalid(
                format!("{kind} ends at {end}, not after its start {start}"),
                "give an end (exclusive) that is later",
            ));
        }
        let steps = i64::from(request.horizon_steps);
        let length_s = steps.saturating_mul(i64::from(request.interval.0));
        let horizon = DomainTime(request.issued_at.0.saturating_add(length_s));
        if start >= horizon || end <= request.issued_at {
            return Err(ApiError::invalid(
                format!(
                    "{kind} from {start} to {end} lies outside the horizon from {} to {horizon}",
                    request.issued_at
                ),
                "ask for an event within the horizon, or give the customer's stack a longer one (horizon_steps)",
            ));
        }
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
    fn use_learnt(
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
                let mut one = Self {
                    announced: Vec::new(),
                    stated: vec![(event.start, event.end, learnt.factor)],
                    growth: 0.0,
                    words: Vec::new(),
                };
                one.change(after);
                let (low, high) = learnt.range;
                one.words.push(format!(
                    "{} answered {} events with x {:.2} ({low:.2} to {high:.2}) , {} seen",
                    before.key,
                    super::word(event.kind),
                    learnt.factor,
                    learnt.events
                ));
                self.words.append(&mut one.words);
            }
        }
    }

    /// The request with what is announced, which the networks and the adapter answer.
    fn announced_in(&self, request: &ForecastRequest) -> ForecastRequest {
        let mut request = request.clone();
        request.events.extend(self.announced.iter().cloned());
        request
    }

    /// Multiplies what the stated events and growth change.
    fn change(&self, forecast: &mut SeriesForecast) {
        let interval_s = i64::from(forecast.interval.0);
        let first_s = forecast.first_step_at.0;
        let mut largest = 1.0_f64;
        let peak_steps = forecast.peak.as_ref().map_or(0, |peak| peak.steps);
        for (step, quantiles) in forecast.quantiles.iter_mut().enumerate() {
            let ahead = i64::try_from(step).unwrap_or(i64::MAX);
            let at = first_s.saturating_add(ahead.saturating_mul(interval_s));
            let factor = self.factor(at, at.saturating_add(interval_s));
            if step < usize::from(peak_steps) {
                largest = largest.max(factor);
            }
            *quantiles = times(quantiles, factor * (1.0 + self.growth));
        }
        if let Some(peak) = &mut forecast.peak {
            let factor = largest * (1.0 + self.growth);
            peak.quantiles = peak.quantiles.map(|value| scaled(value, factor));
            peak.mean = scaled(peak.mean, 1.0 + self.growth);
        }
    }

    /// Factor of a step: that of each stated event, for the part of the step that it covers.
    fn factor(&self, from: i64, to: i64) -> f64 {
        let length = (to - from).max(1) as f64;
        self.stated.iter().fold(1.0, |all, (start, end, factor)| {
            let covered = (to.min(end.0) - from.max(start.0)).max(0) as f64 / length;
            all * (1.0 + covered * (factor - 1.0))
        })
    }
}

fn times(quantiles: &Quantiles, factor: f64) -> [FixedValue; QUANTILES] {
    quantiles.map(|value| scaled(value, factor))
}

fn scaled(value: FixedValue, factor: f64) -> FixedValue {
    FixedValue::from_model(value.units() * factor)
}

fn series((today, then): (&SeriesForecast, &SeriesForecast)) -> WhatIfSeries {
    let shown = |forecast: &SeriesForecast| {
        let steps = forecast.quantiles.iter();
        steps
            .map(|step| step.iter().copied().map(FixedValue::units).collect())
            .collect()
    };
    WhatIfSeries {
        vm_type: today.key.vm_type.to_string(),
        metric: today.key.metric.to_string(),
        first_step_at: today.first_step_at.0,
        interval_s: today.interval.0,
        quantiles: shown(today),
        quantiles_then: shown(then),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use twinscale_protocol::forecaster::{ForecastContext, ForecastSource, PeakForecast};
    use twinscale_protocol::{MetricName, Seconds, VmTypeId};

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
            growth: 0.0,
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
            growth: 0.0,
        };
        assert!(refused(events(campaign(500_000, 510_000, None))).contains("outside the horizon"));
        assert!(refused(events(campaign(40_000, 40_000, None))).contains("not after its start"));
        assert!(refused(events(campaign(39_600, 45_000, Some(0.0)))).contains("factor 0"));
        assert!(refused(events(campaign(39_600, 45_000, Some(f64::NAN)))).contains("NaN"));
        let growth = WhatIfRequest {
            events: Vec::new(),
            growth: f64::INFINITY,
        };
        assert!(refused(growth).contains("growth inf"));
    }
}
