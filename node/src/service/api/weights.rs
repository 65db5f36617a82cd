//! `/v1/weights`: what forecasts are made with, what is compared with it, who serves others, and the file itself.

#![expect(
    unused_qualifications,
    reason = "in what the macro of utoipa writes for query parameters"
)]

use super::error::{ApiError, ErrorCode, ErrorReply};
use super::views::SilentView;
use crate::service::state::Service;
use crate::weights::message::{NodeWeights, WeightsNodes};
use crate::weights::reader::WeightsReader;
use axum::Json;
use axum::extract::{Path, Query, State};
use axum::http::header;
use axum::response::IntoResponse;
use serde::{Deserialize, Serialize};
use std::sync::Arc;
use twinscale_cluster::admin::FiguresLine;
use twinscale_forecaster::shadow::Rule;
use twinscale_meta::stored::v2::{Trial, TrialMode, WeightsChoice};
use twinscale_protocol::{WeightsId, WireErrorCode};
use utoipa::{IntoParams, ToSchema};

/// Millionths of one.
const MILLION: f64 = 1e6;

/// The weights that forecasts are made with.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct WeightsInService {
    /// The weights that every node should serve.
    pub active: String,
    /// Whether these are what the nodes' programs were started with.
    pub is_shipped: bool,
    /// Since when, in seconds since 1970; none where nobody ever chose others.
    pub active_since: Option<i64>,
    /// Length of their file.
    pub bytes: u64,
    /// SHA-256 of their file, in hex digits.
    pub sha256: String,
    /// What is compared with them.
    pub trial: Option<WeightsTrialView>,
    /// What nodes serve, by node; empty on a node alone.
    pub nodes: Vec<NodeWeightsView>,
    /// Nodes that did not answer.
    pub silent: Vec<SilentView>,
}

/// What is compared with the active weights.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct WeightsTrialView {
    /// Its number.
    pub number: u64,
    /// The weights that forecast in the shadow.
    pub challenger: String,
    /// Whether they were active before, and are to become so again if they lose less.
    pub is_watch: bool,
    /// Since when, in seconds since 1970.
    pub since: i64,
    /// Requests that all nodes forecast in the shadow so far.
    pub requests: u64,
    /// What was measured; none before any steps are over.
    pub measured: Option<WeightsMeasuredView>,
    /// Least of what the rule wants before it decides.
    pub wanted: WeightsWantedView,
}

/// What a comparison measured so far.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct WeightsMeasuredView {
    /// Series with forecasts of both.
    pub series: u64,
    /// Forecasts that were compared.
    pub forecasts: u64,
    /// Time from the first compared step to the last, in seconds.
    pub span_s: u64,
    /// The challenger's loss over that of the active weights.
    pub loss_ratio: f64,
    /// Lower end of its 95 % interval.
    pub loss_ratio_low: f64,
    /// Upper end.
    pub loss_ratio_high: f64,
}

/// What a comparison must have measured before it is decided.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct WeightsWantedView {
    /// Series.
    pub series: u64,
    /// Forecasts.
    pub forecasts: u64,
    /// Time from the first compared step to the last, in seconds.
    pub span_s: u64,
}

/// What a node serves.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct NodeWeightsView {
    /// Its number.
    pub node: u64,
    /// Its name.
    pub name: String,
    /// The weights.
    pub serves: String,
    /// Whether that is what it should serve.
    pub in_step: bool,
    /// Why not, or what it does about it.
    pub note: Option<String>,
}

/// Where a piece of a file begins.
#[derive(Clone, Copy, Debug, Default, Deserialize, IntoParams)]
pub struct WeightsOffset {
    /// The byte; the first one when left out.
    #[serde(default)]
    pub offset: u64,
}

/// Shows the active weights, what is compared with them, and which nodes serve others. What other nodes serve is up
/// to two seconds old.
#[utoipa::path(get, path = "/v1/weights", tag = "node",
    responses(
        (status = 200, description = "what forecasts are made with", body = WeightsInService),
        (status = 429, description = "too many requests read", body = ErrorReply),
        (status = 503, description = "the node starts", body = ErrorReply),
    ))]
pub(crate) async fn weights(
    State(service): State<Arc<Service>>,
) -> Result<Json<WeightsInService>, ApiError> {
    let _permit = service.begin_read()?;
    let reader = reader(&service)?;
    let nodes = reader.nodes().await;
    Ok(Json(shown(reader, nodes.as_deref())))
}

/// Gives a piece of a weights file, at most a MiB of it; empty behind its end. `GET /v1/weights` says how long the
/// active one is and which hash it has.
#[utoipa::path(get, path = "/v1/weights/{weights}/file", tag = "node",
    params(("weights" = String, Path), WeightsOffset),
    responses(
        (status = 200, description = "a piece", body = Vec<u8>, content_type = "application/octet-stream"),
        (status = 400, description = "this is no id of weights", body = ErrorReply),
        (status = 404, description = "nobody registered such weights", body = ErrorReply),
        (status = 503, description = "the file is not here yet", body = ErrorReply),
    ))]
pub(crate) async fn weights_file(
    State(service): State<Arc<Service>>,
    Path(weights): Path<String>,
    Query(WeightsOffset { offset }): Query<WeightsOffset>,
) -> Result<impl IntoResponse, ApiError> {
    let _permit = service.begin_read()?;
    let id = WeightsId::new(&weights).map_err(|error| {
        ApiError::invalid(error.to_string(), "GET /v1/weights names the active ones")
    })?;
    let piece = reader(&service)?.chunk(&id, offset).await;
    let piece = piece.map_err(|error| match error.code {
        WireErrorCode::NotFound => ApiError::new(
            ErrorCode::NotFound,
            error.message,
            "GET /v1/weights names the active ones",
        ),
        _ => ApiError::new(
            ErrorCode::Unavailable,
            error.message,
            "ask again, or another node: files come to every node",
        ),
    })?;
    Ok(([(header::CONTENT_TYPE, "application/octet-stream")], piece))
}

fn reader(service: &Service) -> Result<&WeightsReader, ApiError> {
    service.weights().ok_or_else(|| {
        ApiError::new(
            ErrorCode::Unavailable,
            "this node does not tell of weights yet",
            "ask again when it has started",
        )
    })
}

fn shown(reader: &WeightsReader, nodes: Option<&WeightsNodes>) -> WeightsInService {
    let register = reader.register().unwrap_or_default();
    let active = reader.active_by(&register);
    let seconds = |unix_ms: u64| i64::try_from(unix_ms / 1_000).unwrap_or(i64::MAX);
    let trial = register.trial.as_ref().zip(reader.rule());
    WeightsInService {
        active: active.id.to_string(),
        is_shipped: register.active == WeightsChoice::Shipped,
        active_since: (register.active_since.0 > 0).then(|| seconds(register.active_since.0)),
        bytes: active.bytes,
        sha256: hex(&active.digest),
        trial: trial.map(|(trial, rule)| trial_view(trial, rule, nodes)),
        nodes: nodes.map_or_else(Vec::new, |told| told.nodes.iter().map(node_view).collect()),
        silent: nodes.map_or_else(Vec::new, |told| {
            let silent = told.silent.iter().map(|one| SilentView {
                node: one.node.0,
                reason: one.reason.clone(),
            });
            silent.collect()
        }),
    }
}

fn hex(digest: &[u8; 32]) -> String {
    let digits: Vec<String> = digest.iter().map(|byte| format!("{byte:02x}")).collect();
    digits.concat()
}

fn trial_view(trial: &Trial, rule: &Rule, nodes: Option<&WeightsNodes>) -> WeightsTrialView {
    let shadows = nodes.into_iter().flat_map(|told| &told.nodes);
    let shadows = shadows.filter_map(|node| node.shadow.as_ref());
    let of_trial = shadows.filter(|shadow| shadow.trial == trial.number);
    WeightsTrialView {
        number: trial.number,
        challenger: trial.challenger.to_string(),
        is_watch: trial.mode == TrialMode::Watch,
        since: i64::try_from(trial.since.0 / 1_000).unwrap_or(i64::MAX),
        requests: of_trial.map(|shadow| shadow.done).sum(),
        measured: nodes
            .and_then(|told| told.comparison.as_ref())
            .map(measured),
        wanted: WeightsWantedView {
            series: rule.series_min as u64,
            forecasts: rule.forecasts_min,
            span_s: rule.span_min_s,
        },
    }
}

fn measured(figures: &FiguresLine) -> WeightsMeasuredView {
    let share = |millionths: u32| f64::from(millionths) / MILLION;
    let [low, high] = figures.interval_millionths;
    WeightsMeasuredView {
        series: u64::from(figures.series),
        forecasts: figures.forecasts,
        span_s: figures.span_s,
        loss_ratio: share(figures.ratio_millionths),
        loss_ratio_low: share(low),
        loss_ratio_high: share(high),
    }
}

fn node_view(node: &NodeWeights) -> NodeWeightsView {
    let fetching = node.fetching.as_ref().map(|fetching| {
        let (weights, have, total) = (&fetching.weights, fetching.have, fetching.total);
        format!("fetches {weights} ({have} of {total} bytes)")
    });
    NodeWeightsView {
        node: node.node.0,
        name: node.name.clone(),
        serves: node.serves.to_string(),
        in_step: node.in_step,
        note: fetching.or_else(|| node.trouble.clone()),
    }
}
