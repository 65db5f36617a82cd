//! `GET /v1/customers/{customer}/patterns`: what a customer's series look like.

#![expect(
    unused_qualifications,
    reason = "in what the macro of utoipa writes for query parameters"
)]

use super::configure::customer_id;
use super::customers::{bad_name, read};
use super::error::{ApiError, ErrorCode, ErrorReply};
use crate::service::state::Service;
use axum::Json;
use axum::extract::{Path, Query, State};
use serde::{Deserialize, Serialize};
use std::sync::Arc;
use twinscale_patterns::{Change, Grid, KnownEvent, Report, changes, find, sentences};
use twinscale_protocol::{
    CustomerId, DomainTime, FixedValue, MetricName, Seconds, SeriesKey, VmTypeId,
};
use twinscale_twin::TwinState;
use utoipa::{IntoParams, ToSchema};

/// Steps of one series that are looked at, at most: the writer of all twins waits while they are read.
const STEPS_MAX: i64 = 40_000;
/// Series of one answer at most.
const SERIES_MAX: usize = 64;

/// Which series.
#[derive(Clone, Debug, Default, Deserialize, IntoParams)]
pub struct PatternsPage {
    /// Only this VM type.
    pub vm_type: Option<String>,
    /// Only this metric.
    pub metric: Option<String>,
}

/// What a customer's series look like.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct PatternsReply {
    /// Whose.
    pub customer: String,
    /// One per series that was asked for, at most 64.
    pub series: Vec<SeriesPatternsView>,
}

/// What one series looks like.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct SeriesPatternsView {
    /// What is measured.
    pub vm_type: String,
    /// The metric.
    pub metric: String,
    /// A sentence for each pattern, and for each change of regime.
    pub sentences: Vec<String>,
    /// The patterns with strength and evidence, format `twinscale-patterns/1`.
    #[schema(value_type = Object)]
    pub report: serde_json::Value,
    /// Changes of regime, oldest first.
    #[schema(value_type = Vec<Object>)]
    pub changes: Vec<serde_json::Value>,
}

/// Explains what a customer's demand looks like: cycles, business hours, jobs, growth, steps, spikes, answers to
/// events, each with strength and evidence.
#[utoipa::path(get, path = "/v1/customers/{customer}/patterns", tag = "customers",
    params(("customer" = String, Path), PatternsPage),
    responses(
        (status = 200, description = "the patterns", body = PatternsReply),
        (status = 404, description = "no such customer", body = ErrorReply),
    ))]
pub(crate) async fn patterns(
    State(service): State<Arc<Service>>,
    Path(customer): Path<String>,
    Query(page): Query<PatternsPage>,
) -> Result<Json<PatternsReply>, ApiError> {
    let _permit = service.begin_read()?;
    let customer = customer_id(&customer)?;
    let vm_type = page.vm_type.map(VmTypeId::new).transpose();
    let vm_type = vm_type.map_err(bad_name)?;
    let metric = page.metric.map(MetricName::new).transpose();
    let metric = metric.map_err(bad_name)?;
    let wanted = |key: &SeriesKey| {
        vm_type.as_ref().is_none_or(|wanted| *wanted == key.vm_type)
            && metric.as_ref().is_none_or(|wanted| *wanted == key.metric)
    };
    let keys: Vec<SeriesKey> = read(&service, &customer, |state| {
        let keys = state.series().filter(|key| wanted(key));
        keys.take(SERIES_MAX).cloned().collect()
    })?;
    let grids = grids(&service, &customer, &keys)?;
    let looked = tokio::task::spawn_blocking(move || grids.into_iter().map(view).collect()).await;
    let series = looked.map_err(|error| {
        tracing::error!(%error, "patterns could not be looked for");
        ApiError::new(
            ErrorCode::Unavailable,
            "the patterns could not be looked for",
            "ask again, for one series",
        )
    })?;
    Ok(Json(PatternsReply {
        customer: customer.to_string(),
        series,
    }))
}

/// The histories of series, each as far back as is looked at; those without a sample are left out.
pub(super) fn grids(
    service: &Service,
    customer: &CustomerId,
    keys: &[SeriesKey],
) -> Result<Vec<(SeriesKey, Grid)>, ApiError> {
    let interval = service.settings().interval;
    let mut grids = Vec::with_capacity(keys.len());
    for key in keys {
        // One by one, so that the writer gets its turn between them.
        if let Some(grid) = read(service, customer, |state| grid(state, key, interval))? {
            grids.push((key.clone(), grid));
        }
    }
    Ok(grids)
}

fn grid(state: &TwinState, key: &SeriesKey, default: Seconds) -> Option<Grid> {
    let interval = state.config().map_or(default, |config| config.interval);
    let (oldest, newest) = (state.oldest_sample_at(key)?, state.newest_sample_at(key)?);
    let step_s = i64::from(interval.0.max(1));
    let last = newest.floor_to(interval);
    let first = oldest
        .floor_to(interval)
        .max(DomainTime(last.0.saturating_sub(STEPS_MAX * step_s)));
    let steps = last.seconds_since(first) / step_s + 1;
    let steps = usize::try_from(steps).ok()?;
    let values = state.interval_means(key, first, interval, steps);
    let values: Vec<Option<f64>> = values
        .into_iter()
        .map(|value| value.map(FixedValue::units))
        .collect();
    let concerns = |event: &&twinscale_protocol::Event| {
        event.series.as_ref().is_none_or(|series| series == key)
    };
    let events = state.events().iter().filter(concerns).map(KnownEvent::from);
    let grid = Grid::new(first.0, interval.0, &values).ok()?;
    Some(grid.with_events(events))
}

fn view((key, grid): (SeriesKey, Grid)) -> SeriesPatternsView {
    let report: Report = find(&grid);
    let found: Vec<Change> = changes(&grid);
    let json = |value: &Change| serde_json::to_value(value).unwrap_or_default();
    SeriesPatternsView {
        vm_type: key.vm_type.to_string(),
        metric: key.metric.to_string(),
        sentences: sentences(&report),
        report: serde_json::to_value(&report).unwrap_or_default(),
        changes: found.iter().map(json).collect(),
    }
}
