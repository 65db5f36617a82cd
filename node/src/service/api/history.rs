//! `/v1/customers/{customer}/history`: the demand of a series on the grid of its steps, page by page.

#![expect(
    unused_qualifications,
    reason = "in what the macro of utoipa writes for query parameters"
)]

use super::configure::customer_id;
use super::customers::{bad_name, read};
use super::error::{ApiError, ErrorReply};
use crate::service::state::Service;
use axum::Json;
use axum::extract::{Path, Query, State};
use serde::{Deserialize, Serialize};
use std::sync::Arc;
use twinscale_protocol::{DomainTime, FixedValue, MetricName, Seconds, SeriesKey, VmTypeId};
use twinscale_twin::TwinState;
use utoipa::{IntoParams, ToSchema};

/// Steps of one page at most: the writer of all twins waits while they are read.
const STEPS_MAX: usize = 20_000;

/// Which steps.
#[derive(Clone, Debug, Deserialize, IntoParams)]
pub struct HistoryPage {
    /// The VM type.
    pub vm_type: String,
    /// The metric.
    pub metric: String,
    /// From this time on; from the first sample when left out.
    pub from: Option<i64>,
    /// Most steps of the page; at most 20,000.
    pub limit: Option<usize>,
}

/// A page of steps.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct HistoryReply {
    /// Length of a step, in seconds.
    pub interval_s: u32,
    /// Begin of the first step, in seconds since 1970; none where there is no sample.
    pub first_at: Option<i64>,
    /// The mean of each step; none where nothing was observed.
    pub values: Vec<Option<f64>>,
    /// Send this as `from` for the next page; none at the end.
    pub next_from: Option<i64>,
}

/// Shows the demand of a series as its forecaster sees it: the mean of each step, roll-ups of older samples
/// included.
#[utoipa::path(get, path = "/v1/customers/{customer}/history", tag = "customers",
    params(("customer" = String, Path), HistoryPage),
    responses(
        (status = 200, description = "a page", body = HistoryReply),
        (status = 404, description = "no such customer", body = ErrorReply),
    ))]
pub(crate) async fn history(
    State(service): State<Arc<Service>>,
    Path(customer): Path<String>,
    Query(page): Query<HistoryPage>,
) -> Result<Json<HistoryReply>, ApiError> {
    let _permit = service.begin_read()?;
    let customer = customer_id(&customer)?;
    let key = SeriesKey {
        vm_type: VmTypeId::new(&page.vm_type).map_err(bad_name)?,
        metric: MetricName::new(&page.metric).map_err(bad_name)?,
    };
    let limit = page.limit.unwrap_or(STEPS_MAX).clamp(1, STEPS_MAX);
    let default = service.settings().interval;
    let reply = read(&service, &customer, |state| {
        steps(state, &key, default, (page.from, limit))
    })?;
    Ok(Json(reply))
}

fn steps(
    state: &TwinState,
    key: &SeriesKey,
    default: Seconds,
    (from, limit): (Option<i64>, usize),
) -> HistoryReply {
    let interval = state.config().map_or(default, |config| config.interval);
    let step_s = i64::from(interval.0.max(1));
    let nothing = HistoryReply {
        interval_s: interval.0,
        first_at: None,
        values: Vec::new(),
        next_from: None,
    };
    let (Some(oldest), Some(newest)) = (state.oldest_sample_at(key), state.newest_sample_at(key))
    else {
        return nothing;
    };
    let last = newest.floor_to(interval);
    let first = from.map_or(oldest, |from| oldest.max(DomainTime(from)));
    let first = first.floor_to(interval);
    let left = last.seconds_since(first) / step_s + 1;
    let Ok(left) = usize::try_from(left) else {
        return nothing;
    };
    let count = left.min(limit);
    let values = state.interval_means(key, first, interval, count);
    let reach = i64::try_from(count)
        .unwrap_or(i64::MAX)
        .saturating_mul(step_s);
    HistoryReply {
        first_at: Some(first.0),
        values: values
            .into_iter()
            .map(|value| value.map(FixedValue::units))
            .collect(),
        next_from: (count < left).then(|| first.0.saturating_add(reach)),
        ..nothing
    }
}
