//! `GET /v1/customers/{customer}/forecast`: the newest forecasts, how good they have been, and sample paths.

#![expect(
    unused_qualifications,
    reason = "in what the macro of utoipa writes for query parameters"
)]

use super::configure::customer_id;
use super::customers::{not_yet, read};
use super::error::{ApiError, ErrorCode, ErrorReply};
use super::what_if::forecasts;
use crate::service::state::Service;
use axum::Json;
use axum::extract::{Path, Query, State};
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;
use std::sync::Arc;
use twinscale_environment::scenario::{Dependence, PastRanks, RankPaths};
use twinscale_forecaster::insight::{Insight, insight};
use twinscale_optimizer::demand::DemandCurve;
use twinscale_protocol::forecaster::{self, SeriesForecast};
use twinscale_protocol::{CustomerId, DomainTime, FixedValue, QUANTILE_LEVELS, SeriesKey};
use twinscale_twin::TwinState;
use twinscale_twin::cycle::forecast_request;
use twinscale_twin::stored::v1::ForecastRecord;
use utoipa::{IntoParams, ToSchema};

/// Sample paths of one answer at most.
const PATHS_MAX: u16 = 200;

/// Steps ahead of one answer at most.
pub(super) const STEPS_MAX: u16 = 168;

/// How far ahead, and whether sample paths are wanted.
#[derive(Clone, Debug, Default, Deserialize, IntoParams)]
pub struct ForecastPage {
    /// Sample paths of each series; none when left out, at most 200.
    pub paths: Option<u16>,
    /// Seed of the paths; the same seed gives the same paths of a forecast.
    #[serde(default)]
    pub seed: u64,
    /// Steps ahead, at most 168: the forecast is made now and not stored. The newest stored one is shown when left
    /// out.
    pub steps: Option<u16>,
}

/// The newest forecasts of a customer.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct ForecastReply {
    /// End of the last observed interval.
    pub issued_at: i64,
    /// The levels of the quantiles.
    pub levels: Vec<f64>,
    /// One per series.
    pub series: Vec<SeriesForecastView>,
}

/// The forecast of one series.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct SeriesForecastView {
    /// What was measured.
    pub vm_type: String,
    /// The metric.
    pub metric: String,
    /// Start of the first step.
    pub first_step_at: i64,
    /// Length of a step, in seconds.
    pub interval_s: u32,
    /// What made it.
    #[schema(value_type = Object)]
    pub source: serde_json::Value,
    /// Per step, one value per level.
    pub quantiles: Vec<Vec<f64>>,
    /// What it saw, and what it trusts.
    pub reasons: Vec<String>,
    /// Share of each forecaster in it; empty before any could be compared with what came.
    pub trust: Vec<TrustView>,
    /// How good issued forecasts were, by part of the horizon; parts without one that is over are left out.
    pub accuracy: Vec<AccuracyView>,
    /// Sample paths, per path one value per step. Paths of one number belong together across series: their steps
    /// and series are high and low together as past misses were.
    pub paths: Vec<Vec<f64>>,
}

/// Share of a forecaster in a forecast.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct TrustView {
    /// `network-1`, `network-2`, … in the order of the weights file, or `adapter`: what the series' own history
    /// says about their misses.
    pub forecaster: String,
    /// Share in the median.
    pub median: f64,
    /// Share in the highest quantile.
    pub highest: f64,
}

/// How good issued forecasts were.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct AccuracyView {
    /// First step ahead of this part of the horizon, from 1.
    pub first_step: u64,
    /// Last step ahead.
    pub last_step: u64,
    /// Steps that count; older ones count in part.
    pub steps: f64,
    /// Weighted quantile loss, as a share of the demand.
    pub weighted_loss: f64,
    /// Share of the demand inside the 80 % range.
    pub inside_80: f64,
    /// Share inside the 90 % range.
    pub inside_90: f64,
    /// Share above the 0.99 quantile.
    pub above_99: f64,
    /// Median less demand, as a share of the demand.
    pub bias: f64,
}

/// Shows the newest forecasts of a customer, or makes some as far ahead as asked: a range per step, why they are as
/// they are, how good they have been, and sample paths where asked for.
#[utoipa::path(get, path = "/v1/customers/{customer}/forecast", tag = "customers",
    params(("customer" = String, Path), ForecastPage),
    responses(
        (status = 200, description = "the forecasts", body = ForecastReply),
        (status = 400, description = "more paths or steps than are given at once", body = ErrorReply),
        (status = 404, description = "no such customer, or no forecast yet", body = ErrorReply),
        (status = 503, description = "the forecaster does not answer now", body = ErrorReply),
    ))]
pub(crate) async fn forecast(
    State(service): State<Arc<Service>>,
    Path(customer): Path<String>,
    Query(page): Query<ForecastPage>,
) -> Result<Json<ForecastReply>, ApiError> {
    let _permit = service.begin_read()?;
    let customer = customer_id(&customer)?;
    let paths = page.paths.unwrap_or(0);
    if paths > PATHS_MAX {
        return Err(ApiError::invalid(
            format!("{paths} paths are more than {PATHS_MAX}"),
            "ask for fewer, or again with another seed",
        ));
    }
    // Drawing takes longer than a look at a state may: it happens on a copy.
    let (record, insights) = match page.steps {
        None => read(&service, &customer, known)?.ok_or_else(|| not_yet(&customer, "forecast"))?,
        Some(steps) => made_now(&service, &customer, steps).await?,
    };
    let seed = page.seed;
    let reply = tokio::task::spawn_blocking(move || reply(&record, &insights, paths, seed)).await;
    reply.map(Json).map_err(|error| {
        tracing::error!(%error, "a forecast could not be shown");
        ApiError::new(
            ErrorCode::Unavailable,
            "the sample paths could not be drawn",
            "ask again, or without paths",
        )
    })
}

/// Asks the forecaster how the next `steps` will be; nothing of it is stored.
async fn made_now(
    service: &Service,
    customer: &CustomerId,
    steps: u16,
) -> Result<(ForecastRecord, Vec<Option<Insight>>), ApiError> {
    check_steps(steps)?;
    let now = service.now();
    let request = read(service, customer, |state| forecast_request(state, now))?;
    let Some(mut request) = request else {
        return Err(not_yet(customer, "stack that is served from a series"));
    };
    request.horizon_steps = steps;
    let issued_at = request.issued_at;
    let made = forecasts(service, request).await?;
    Ok(with_insights(issued_at, made))
}

/// Refuses more steps than forecasts are made for.
pub(super) fn check_steps(steps: u16) -> Result<(), ApiError> {
    if (1..=STEPS_MAX).contains(&steps) {
        return Ok(());
    }
    Err(ApiError::invalid(
        format!("{steps} steps ahead are not between 1 and {STEPS_MAX}"),
        format!("ask for up to {STEPS_MAX}, or for coarser steps"),
    ))
}

/// The forecasts, with what was learnt of each series.
fn known(state: &TwinState) -> Option<(ForecastRecord, Vec<Option<Insight>>)> {
    let record = state.forecast()?.clone();
    let forecasts = record.forecasts.iter();
    let insights = forecasts.map(|one| insight(state.calibration(&one.key)));
    let insights = insights.collect();
    Some((record, insights))
}

/// What was forecast outside of a service, with sample paths: how many, and their seed.
pub(crate) fn shown_forecasts(
    issued_at: DomainTime,
    made: forecaster::ForecastReply,
    (paths, seed): (u16, u64),
) -> ForecastReply {
    let (record, insights) = with_insights(issued_at, made);
    reply(&record, &insights, paths, seed)
}

fn with_insights(
    issued_at: DomainTime,
    made: forecaster::ForecastReply,
) -> (ForecastRecord, Vec<Option<Insight>>) {
    let insights = made.calibrations.iter().map(|bytes| insight(bytes));
    let insights = insights.collect();
    let record = ForecastRecord {
        issued_at,
        forecasts: made.forecasts,
        surprised: false,
    };
    (record, insights)
}

fn reply(
    record: &ForecastRecord,
    insights: &[Option<Insight>],
    paths: u16,
    seed: u64,
) -> ForecastReply {
    let mut drawn = draw(&record.forecasts, insights, paths, seed).into_iter();
    let series = record.forecasts.iter().zip(insights);
    let series = series.map(|(one, insight)| view(one, insight.as_ref(), drawn.next()));
    ForecastReply {
        issued_at: record.issued_at.0,
        levels: QUANTILE_LEVELS.to_vec(),
        series: series.collect(),
    }
}

fn view(
    one: &SeriesForecast,
    insight: Option<&Insight>,
    paths: Option<Vec<Vec<f64>>>,
) -> SeriesForecastView {
    let SeriesKey { vm_type, metric } = &one.key;
    let steps = one.quantiles.iter();
    let trust = insight.map(|insight| insight.trust.as_slice());
    let accuracy = insight.map(|insight| insight.accuracy.as_slice());
    SeriesForecastView {
        vm_type: vm_type.to_string(),
        metric: metric.to_string(),
        first_step_at: one.first_step_at.0,
        interval_s: one.interval.0,
        source: serde_json::to_value(&one.source).unwrap_or_default(),
        quantiles: steps
            .map(|step| step.iter().copied().map(FixedValue::units).collect())
            .collect(),
        reasons: reasons(one, insight),
        trust: trust
            .unwrap_or_default()
            .iter()
            .map(|trust| TrustView {
                forecaster: trust.forecaster.clone(),
                median: trust.median,
                highest: trust.highest,
            })
            .collect(),
        accuracy: accuracy
            .unwrap_or_default()
            .iter()
            .map(|part| AccuracyView {
                first_step: part.first_step as u64,
                last_step: part.last_step as u64,
                steps: part.accuracy.steps,
                weighted_loss: part.accuracy.weighted_loss,
                inside_80: part.accuracy.inside_80,
                inside_90: part.accuracy.inside_90,
                above_99: part.accuracy.above_99,
                bias: part.accuracy.bias,
            })
            .collect(),
        paths: paths.unwrap_or_default(),
    }
}

/// Why a forecast is as it is, in plain sentences, the weightiest first.
fn reasons(one: &SeriesForecast, insight: Option<&Insight>) -> Vec<String> {
    let mut reasons = Vec::new();
    let context = &one.context;
    let asked = context.samples.saturating_add(context.missing);
    if context.missing > 0 {
        reasons.push(format!(
            "{} of {asked} samples of its history are missing",
            context.missing
        ));
    }
    if !context.events.is_empty() {
        reasons.push(format!("announced: {}", context.events.join(", ")));
    }
    let Some(insight) = insight else {
        return reasons;
    };
    if let Some(changed_s) = insight.changed_s {
        let at = twinscale_protocol::DomainTime(changed_s);
        reasons.push(format!(
            "demand changed its ways by {at}: what was learnt before counts less"
        ));
    }
    let leading = insight
        .trust
        .iter()
        .max_by(|one, other| one.median.total_cmp(&other.median));
    if let Some(leading) = leading {
        reasons.push(format!(
            "{} had the least loss lately and makes {:.0} % of the median",
            leading.forecaster,
            100.0 * leading.median
        ));
    }
    let far = insight.accuracy.last();
    if let Some(part) = far.filter(|part| part.accuracy.bias.abs() > 0.05) {
        reasons.push(format!(
            "issued medians of steps {} to {} were {:.0} % too {} lately",
            part.first_step,
            part.last_step,
            100.0 * part.accuracy.bias.abs(),
            if part.accuracy.bias > 0.0 {
                "high"
            } else {
                "low"
            }
        ));
    }
    reasons
}

/// Draws sample paths of all series together. Shape: `[series][path][step]`.
fn draw(
    forecasts: &[SeriesForecast],
    insights: &[Option<Insight>],
    paths: u16,
    seed: u64,
) -> Vec<Vec<Vec<f64>>> {
    let steps = forecasts.iter().map(|one| one.quantiles.len()).max();
    let (Some(steps), true) = (steps, paths > 0) else {
        return Vec::new();
    };
    let ranks = past_ranks(insights, steps);
    let past = PastRanks {
        series: forecasts.len(),
        steps,
        ranks: &ranks,
    };
    let dependence = Dependence::learn(&past).or_else(|_error| Dependence::none(forecasts.len()));
    let Ok(dependence) = dependence else {
        return Vec::new();
    };
    let Ok(drawn) = RankPaths::draw(&dependence, usize::from(paths), steps, seed) else {
        return Vec::new();
    };
    let of_series = |(number, one): (usize, &SeriesForecast)| {
        let curves: Vec<DemandCurve> = one.quantiles.iter().map(DemandCurve::new).collect();
        (0..drawn.paths())
            .map(|path| {
                let ranks = drawn.ranks(path, number).iter();
                let steps = curves.iter().zip(ranks);
                steps.map(|(curve, rank)| curve.quantile(*rank)).collect()
            })
            .collect()
    };
    forecasts.iter().enumerate().map(of_series).collect()
}

/// How demand ranked within past forecasts. Shape: `[origin, series, step]`, NaN where it is not known.
fn past_ranks(insights: &[Option<Insight>], steps: usize) -> Vec<f64> {
    let known = || insights.iter().flatten().flat_map(|one| &one.ranks);
    let origins: BTreeSet<i64> = known().map(|ranks| ranks.first_s).collect();
    let mut all = Vec::with_capacity(origins.len() * insights.len() * steps);
    for origin in origins {
        for insight in insights {
            let ranks = insight.as_ref().map(|insight| insight.ranks.as_slice());
            let mut ranks = ranks.unwrap_or_default().iter();
            let shares = ranks.find(|ranks| ranks.first_s == origin);
            let shares = shares.map(|ranks| ranks.shares.as_slice());
            all.extend((0..steps).map(|step| {
                let share = shares.and_then(|shares| shares.get(step).copied().flatten());
                share.unwrap_or(f64::NAN)
            }));
        }
    }
    all
}
