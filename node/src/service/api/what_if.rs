//! `POST /v1/customers/{customer}/what-if`: forecast and plan with announced events, growth, other prices and service,
//! beside those without.
//!
//! Everything happens on a copy of the twin's state: nothing is stored, provisioned or learnt. Both sides look as far
//! ahead as what is supposed needs, also past the customer's own horizon.

mod ahead;
mod reaction;
mod supposed;

use self::supposed::{Learnt, Supposed};
use super::body::BodyReader;
use super::configure::{customer_id, plan};
use super::customers::read;
use super::error::{ApiError, ErrorCode, ErrorReply};
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
    CustomerId, EventKind, FixedValue, QUANTILE_LEVELS, SeriesKey, WireErrorCode,
};
use twinscale_twin::cycle::forecast_request;
use twinscale_twin::{ApplyResult, ForecastClient as _, TwinCommand, TwinConfig, TwinState};
use utoipa::ToSchema;

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
    /// Prices and service that would be otherwise, at most 8; demand answers as the reaction of this customer says.
    #[serde(default)]
    pub drivers: Vec<SupposedDriver>,
    /// Steps that both sides look ahead, from 1 to 168. When left out, the customer's horizon, and up to 168 where an
    /// event or driver lies or ends beyond it; one without an end is looked at for a day.
    // An older node refuses keys that it does not know.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(minimum = 1, maximum = 168)]
    pub steps: Option<u16>,
}

/// A price or a quality of service that is only supposed.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct SupposedDriver {
    /// What would be otherwise.
    pub what: DriverKind,
    /// How: see `what`.
    pub value: f64,
    /// From when on; from now on when left out.
    #[schema(value_type = Option<MomentForms>)]
    pub start: Option<Moment>,
    /// Until when, exclusive; to the end of the horizon when left out.
    #[schema(value_type = Option<MomentForms>)]
    pub end: Option<Moment>,
}

/// What demand may answer to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum DriverKind {
    /// The price over today's: 1.1 = a tenth more.
    Price,
    /// Response time over its objective: 2 = twice.
    Latency,
    /// Response time in milliseconds, against the objective of the tier.
    LatencyMs,
    /// Share of requests refused or not served: 0.05 = 5 %.
    Throttled,
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
    /// Steps that forecasts and plans look ahead, on both sides; 0 from a node that does not tell.
    #[serde(default)]
    pub steps: u16,
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
    /// How demand answers to what is supposed of price and service, and where that comes from.
    pub reactions: Vec<ReactionView>,
}

/// How a series' demand answers in one way, in the step in which it does most.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct ReactionView {
    /// What is measured.
    pub vm_type: String,
    /// The metric.
    pub metric: String,
    /// What it answers to.
    pub answers_to: String,
    /// Whether the customer's own history says so; the shared model of simulated customers does otherwise.
    pub is_learned: bool,
    /// Incidents, changes or events of the customer's history that it was seen in.
    pub episodes: usize,
    /// What demand is multiplied by.
    pub factor: f64,
    /// Lower end of its 90 % range.
    pub lower: f64,
    /// Upper end.
    pub upper: f64,
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

/// Answers what events, growth, prices and service would do to a customer's demand and to what its plan costs. Nothing
/// is stored.
#[utoipa::path(post, path = "/v1/customers/{customer}/what-if", tag = "customers",
    params(("customer" = String, Path)),
    request_body(content = WhatIfRequest, content_type = "application/json"),
    responses(
        (status = 200, description = "both sides", body = WhatIfReply),
        (status = 400, description = "it cannot be answered, or lies beyond 168 steps", body = ErrorReply),
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
    let Some(mut request) = forecast_request(&state, service.now()) else {
        return Err(ApiError::invalid(
            format!("customer `{customer}` has no stack that is served from a series"),
            format!("PUT /v1/customers/{customer}/stack first"),
        ));
    };
    request.horizon_steps = ahead::steps(&asked, &request)?;
    let mut supposed = Supposed::of(&asked, &request)?;
    let (today, then) = tokio::join!(
        forecasts(&service, request.clone()),
        forecasts(&service, supposed.announced_in(&request)),
    );
    let (today, mut then) = (today?, then?);
    let mut reactions = Vec::new();
    if !(supposed.announced.is_empty() && supposed.drivers.is_empty()) {
        let kinds = supposed.announced.iter().map(|event| event.kind).collect();
        let question = (supposed.drivers.clone(), kinds);
        reactions = reaction::reactions(&service, &customer, &request, question, &today).await?;
    }
    if !supposed.announced.is_empty() {
        let mut learnt = learnt(&service, &customer, &today).await?;
        for one in &reactions {
            one.tell(&mut learnt);
        }
        supposed.use_learnt(&learnt, &today, &mut then);
    }
    for (place, forecast) in then.forecasts.iter_mut().enumerate() {
        if let Some(reaction) = reactions
            .get(place)
            .filter(|_| !supposed.drivers.is_empty())
        {
            reaction.change(forecast);
            supposed.words.extend(reaction.words());
        }
        supposed.change(forecast);
    }
    let series = today.forecasts.iter().zip(&then.forecasts).map(series);
    let series = series.collect();
    let plan_today = plan_under(&service, &state, &request, today).await;
    let plan_then = plan_under(&service, &state, &request, then).await;
    let note = plan_then.as_ref().err().or(plan_today.as_ref().err());
    Ok(Json(WhatIfReply {
        customer: customer.to_string(),
        issued_at: request.issued_at.0,
        steps: request.horizon_steps,
        changes: supposed.words,
        levels: QUANTILE_LEVELS.to_vec(),
        series,
        note: note.cloned(),
        reactions: reactions.into_iter().flat_map(|one| one.views).collect(),
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
            ErrorCode::Unavailable,
            "the answers to past events could not be looked for",
            "ask again, or give the event a factor",
        )
    })
}

async fn asked(request: Request) -> Result<WhatIfRequest, ApiError> {
    let (head, body) = request.into_parts();
    let body = BodyReader::start(&head.headers, body, DOCUMENT_BYTES_MAX).await?;
    serde_json::from_slice(&body.whole().await?).map_err(|error| {
        ApiError::invalid(
            format!("the body is no question: {error}"),
            "send {\"events\": [{\"kind\": \"campaign\", \"start\": 1700000000, \"factor\": 3}], \"growth\": 0.2, \"drivers\": [{\"what\": \"price\", \"value\": 1.1}]}",
        )
    })
}

/// What the forecaster of this node answers.
pub(super) async fn forecasts(
    service: &Service,
    request: ForecastRequest,
) -> Result<ForecastReply, ApiError> {
    let forecaster = ForecasterClient {
        forecasters: Arc::clone(service.node().forecasters()),
        instruments: service.node().instruments().clone(),
    };
    let answer = forecaster.forecast(request, ANSWER_LIMIT).await;
    answer.map_err(|error| match error.code {
        // Such as weights that have no network for so many steps: asked again, it is refused again.
        WireErrorCode::Invalid => ApiError::invalid(
            format!("the forecaster cannot answer: {error}"),
            "ask for fewer steps",
        ),
        _ => ApiError::new(
            ErrorCode::Unavailable,
            format!("the forecaster gave no answer: {error}"),
            "ask again; GET /v1/ready says what is wrong",
        ),
    })
}

/// Plans as if these forecasts were the newest, over the steps that were asked; the text says why not.
async fn plan_under(
    service: &Service,
    state: &TwinState,
    request: &ForecastRequest,
    reply: ForecastReply,
) -> Result<PlanCostView, String> {
    let mut state = state.clone();
    // A plan covers the horizon of the configuration, however far its forecasts reach.
    if let Some(config) = state.config().cloned() {
        let horizon_steps = request.horizon_steps;
        let configured = state.apply(TwinCommand::Configure(TwinConfig {
            horizon_steps,
            ..config
        }));
        if let ApplyResult::Refused(refusal) = configured {
            return Err(refusal.to_string());
        }
    }
    let stored = state.apply(TwinCommand::StoreForecast {
        issued_at: request.issued_at,
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
