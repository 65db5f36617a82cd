//! How the node is: alive, ready, and what goes on inside.

use super::error::{ApiError, ErrorReply};
use crate::assembly::{Node, SHARED_MAILBOX};
use crate::service::keeper::KeeperReport;
use crate::service::state::{Service, ServiceCounters};
use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde::{Deserialize, Serialize};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use twinscale_supervision::{ChildState, Supervised};
use twinscale_twin::HostStatus;
use utoipa::ToSchema;

/// The process answers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct HealthReply {
    /// Always `live`.
    pub status: String,
}

/// Whether the node serves.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ReadyReply {
    /// Whether it takes samples and runs the loop.
    pub ready: bool,
    /// Why it does not, or what is impaired.
    pub reasons: Vec<NotReady>,
}

/// Something that is not as it should be.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct NotReady {
    /// What a program can act on.
    pub code: String,
    /// For people.
    pub message: String,
    /// Whether the node serves all the same.
    pub serves: bool,
}

/// What goes on inside a node.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct NodeReply {
    /// Its name.
    pub name: String,
    /// The program's version.
    pub version: String,
    /// The node's clock, in seconds since 1970.
    pub now: i64,
    /// When it started.
    pub started_at: i64,
    /// Seconds since then.
    pub uptime_s: i64,
    /// Where it listens.
    pub listen: String,
    /// Whether it serves, and what is wrong: as `GET /v1/ready` says.
    pub readiness: ReadyReply,
    /// Memory that the process holds, in bytes; 0 where the system does not say.
    pub resident_bytes: u64,
    /// Whose samples it holds.
    pub customers: CustomerCounts,
    /// What came in since the start.
    pub ingest: IngestCounts,
    /// The writer of all twins.
    pub writer: WriterCounts,
    /// Turns of all twins since the start.
    pub turns: TurnCounts,
    /// The actors that all twins share.
    pub actors: Vec<ActorView>,
    /// What the forecaster serves.
    #[serde(default)]
    pub weights: Option<WeightsView>,
    /// The compute threads of these actors, by kind.
    pub threads: Vec<ThreadsView>,
    /// Compute threads that hung and were replaced.
    pub abandoned_threads: u32,
    /// At so many of these the node ends.
    pub abandoned_threads_max: u32,
    /// The twins' actors.
    pub twins: TwinActorCounts,
}

/// What the forecaster of a node serves.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct WeightsView {
    /// The weights of the newest engine.
    pub serves: String,
    /// The weights that it should serve.
    pub wanted: String,
    /// Why it does not.
    pub failed: Option<String>,
    /// Series whose forecasts by a challenger are compared here.
    pub shadow_series: u64,
}

/// Customers and series.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct CustomerCounts {
    /// Customers with a twin.
    pub total: u64,
    /// Of these, without a policy.
    pub unconfigured: u64,
    /// Most of these.
    pub unconfigured_max: u64,
    /// Series of all customers.
    pub series: u64,
    /// Most of these.
    pub series_max: u64,
}

/// Samples since the start.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct IngestCounts {
    /// Requests with samples.
    pub requests: u64,
    /// Samples stored for the first time.
    pub accepted: u64,
    /// Samples that came again.
    pub duplicates: u64,
    /// Samples that came again with another value.
    pub corrected: u64,
    /// Lines refused.
    pub refused: u64,
    /// Requests that were told to come back.
    pub overloaded: u64,
}

/// The writer of all twins.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct WriterCounts {
    /// Commands committed and applied.
    pub commands: u64,
    /// Batches in which they were: one fsync each.
    pub batches: u64,
    /// Commands refused because its queue was full.
    pub overloaded: u64,
}

/// Turns since the start.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct TurnCounts {
    /// Turns that ended.
    pub done: u64,
    /// Turns without an answer.
    pub failed: u64,
    /// Turns without a fresh forecast.
    pub stale: u64,
    /// Turns that began a whole interval late.
    pub late: u64,
    /// Turns that run now.
    pub running: u64,
    /// Most of these.
    pub running_max: u64,
}

/// The twins' actors.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct TwinActorCounts {
    /// That run.
    pub running: u64,
    /// Twins that have none until a turn is due or somebody asks for one.
    #[serde(default)]
    pub resting: u64,
    /// Twins whose state is in memory, led here or not; all others stand in the store alone.
    #[serde(default)]
    pub resident: u64,
    /// That come back.
    pub restarting: u64,
    /// Whose supervisor gave up.
    pub given_up: u64,
    /// Restarts of all.
    pub restarts: u64,
    /// Messages that wait for one of them or are being handled.
    pub mailbox: u64,
    /// Most of these.
    pub mailbox_max: u64,
}

/// One actor.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ActorView {
    /// Its name.
    pub name: String,
    /// `running`, `restarting` or `given-up`.
    pub state: String,
    /// Names the incarnation that runs; after a restart it is another one.
    pub id: Option<String>,
    /// Why it is not running.
    pub reason: Option<String>,
    /// Restarts since the start.
    pub restarts: u64,
    /// Messages that wait or are being handled.
    pub mailbox: u64,
    /// Most of these.
    pub mailbox_max: u64,
}

/// Compute threads of one kind, since the start.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ThreadsView {
    /// Whose they are.
    pub name: String,
    /// Jobs that came to their end.
    pub done: u64,
    /// Jobs that panicked and cost their thread.
    pub panicked: u64,
    /// Jobs that outlasted their limit and cost their thread.
    pub hung: u64,
}

/// Says that the process answers.
#[utoipa::path(get, path = "/v1/health", tag = "node",
    responses((status = 200, description = "the process answers", body = HealthReply)))]
pub(crate) async fn health() -> Json<HealthReply> {
    Json(HealthReply {
        status: "live".to_owned(),
    })
}

/// Says whether the node serves, and what is wrong.
#[utoipa::path(get, path = "/v1/ready", tag = "node",
    responses(
        (status = 200, description = "it serves", body = ReadyReply),
        (status = 503, description = "it does not", body = ReadyReply),
    ))]
pub(crate) async fn ready(State(service): State<Arc<Service>>) -> Response {
    let reply = readiness(&service);
    let status = if reply.ready {
        StatusCode::OK
    } else {
        StatusCode::SERVICE_UNAVAILABLE
    };
    (status, Json(reply)).into_response()
}

/// Shows what goes on inside.
#[utoipa::path(get, path = "/v1/node", tag = "node",
    responses(
        (status = 200, description = "what goes on", body = NodeReply),
        (status = 429, description = "too many requests read", body = ErrorReply),
    ))]
pub(crate) async fn node(State(service): State<Arc<Service>>) -> Result<Json<NodeReply>, ApiError> {
    let _permit = service.begin_read()?;
    Ok(Json(view(&service)))
}

/// What is not as it should be.
pub(crate) fn readiness(service: &Service) -> ReadyReply {
    let mut reasons = Vec::new();
    let mut note = |code: &str, message: String, serves: bool| {
        reasons.push(NotReady {
            code: code.to_owned(),
            message,
            serves,
        });
    };
    if service.is_stopping() {
        note("stopping", "the node was asked to stop".to_owned(), false);
    }
    match service.twins().status() {
        HostStatus::ReadWrite => {}
        HostStatus::ReadOnly {
            reason,
            free_bytes,
            needed_bytes,
            ..
        } => {
            let free = free_bytes.map_or_else(|| "unknown".to_owned(), |free| free.to_string());
            let message = format!(
                "nothing is stored until there is room ({free} bytes free, {needed_bytes} needed), then it \
                 goes on by itself: {reason}"
            );
            note("read-only", message, false);
        }
        HostStatus::Failed { reason } => note("writer-failed", reason, false),
    }
    let health = service.node().health();
    for failure in health.failures() {
        note(failure.code(), failure.to_string(), false);
    }
    let (abandoned, abandoned_max) = health.abandoned_threads();
    if abandoned > 0 && abandoned < abandoned_max {
        let message = format!(
            "{abandoned} compute threads hang and were replaced; at {abandoned_max} the node ends"
        );
        note("threads-hang", message, true);
    }
    let given_up = service.keeper().report().given_up;
    if given_up > 0 {
        let message = format!("{given_up} twins ended too often; all others are served");
        note("twins-given-up", message, true);
    }
    ReadyReply {
        ready: reasons.iter().all(|reason| reason.serves),
        reasons,
    }
}

fn view(service: &Service) -> NodeReply {
    let now = service.now();
    let counted = service.admission().counted();
    let metrics = service.twins().metrics();
    let KeeperReport {
        running,
        resting,
        restarting,
        given_up,
        restarts,
        turns_done,
        turns_failed,
        turns_stale,
        turns_late,
        turns_running,
        rested: _,
        woken: _,
    } = service.keeper().report();
    let settings = service.settings();
    let (abandoned_threads, abandoned_threads_max) = service.node().health().abandoned_threads();
    let (mailbox, mailbox_max) = twin_mailboxes(service.node());
    NodeReply {
        name: settings.name.to_string(),
        version: env!("CARGO_PKG_VERSION").to_owned(),
        now: now.0,
        started_at: service.started_at().0,
        uptime_s: now.seconds_since(service.started_at()),
        listen: service.listen().to_string(),
        readiness: readiness(service),
        resident_bytes: resident_bytes(),
        customers: CustomerCounts {
            total: service.twins().customers().len() as u64,
            unconfigured: counted.unconfigured as u64,
            unconfigured_max: settings.unconfigured_max as u64,
            series: counted.series as u64,
            series_max: settings.series_max as u64,
        },
        ingest: ingest(service.counters()),
        writer: WriterCounts {
            commands: metrics.commands,
            batches: metrics.batches,
            overloaded: metrics.overloaded,
        },
        turns: TurnCounts {
            done: turns_done,
            failed: turns_failed,
            stale: turns_stale,
            late: turns_late,
            running: turns_running as u64,
            running_max: settings.turns_at_once as u64,
        },
        actors: actors(service.node()),
        weights: Some(weights(service.node())),
        threads: threads(service.node()),
        abandoned_threads,
        abandoned_threads_max,
        twins: TwinActorCounts {
            running: running as u64,
            resting: resting as u64,
            resident: service.twins().residency().resident,
            restarting: restarting as u64,
            given_up: given_up as u64,
            restarts,
            mailbox,
            mailbox_max,
        },
    }
}

fn ingest(counters: &ServiceCounters) -> IngestCounts {
    let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
    IngestCounts {
        requests: read(&counters.telemetry_requests),
        accepted: read(&counters.accepted),
        duplicates: read(&counters.duplicates),
        corrected: read(&counters.corrected),
        refused: read(&counters.refused),
        overloaded: read(&counters.overloaded),
    }
}

fn weights(node: &Node) -> WeightsView {
    let serving = node.serving();
    let served = serving.served();
    WeightsView {
        serves: served.weights.to_string(),
        wanted: serving.wanted().to_string(),
        failed: served.failed.map(|(_id, reason)| reason),
        shadow_series: serving.shadow_ever().series,
    }
}

/// Shows the actors that all twins share.
pub(crate) fn actors(node: &Node) -> Vec<ActorView> {
    vec![
        actor(node.forecaster()),
        actor(node.optimizer()),
        actor(node.provisioner()),
    ]
}

/// Shows the compute threads of these actors, by kind.
pub(crate) fn threads(node: &Node) -> Vec<ThreadsView> {
    let kinds = node.health().threads().into_iter();
    kinds
        .map(|(name, counts)| ThreadsView {
            name: name.to_owned(),
            done: counts.done,
            panicked: counts.panicked,
            hung: counts.hung,
        })
        .collect()
}

/// Names the incarnation of an actor that runs.
pub(crate) fn running_id<M: Send + 'static>(supervised: &Supervised<M>) -> Option<String> {
    let mailbox = supervised.address().current();
    mailbox.map(|mailbox| mailbox.actor_id().to_string())
}

/// Messages that wait for any twin, and the room of all their mailboxes.
pub(crate) fn twin_mailboxes(node: &Node) -> (u64, u64) {
    let actors = node.health().actors();
    let found = actors.iter().find(|(kind, _)| *kind == "twin");
    found.map_or((0, 0), |(_, counts)| (counts.waiting, counts.capacity))
}

fn actor<M: Send + 'static>(supervised: &Supervised<M>) -> ActorView {
    let report = supervised.report().borrow().clone();
    let (state, reason) = match report.state {
        ChildState::Running => ("running", None),
        ChildState::Restarting { reason } => ("restarting", Some(reason)),
        ChildState::GivenUp { reason } => ("given-up", Some(reason)),
    };
    let mailbox = supervised.address().current();
    ActorView {
        name: supervised.address().name().to_owned(),
        state: state.to_owned(),
        id: running_id(supervised),
        reason,
        restarts: report.restarts,
        mailbox: mailbox.map_or(0, |mailbox| mailbox.depth()) as u64,
        mailbox_max: SHARED_MAILBOX as u64,
    }
}

/// Memory that this process holds, as Linux tells it.
fn resident_bytes() -> u64 {
    let pages = std::fs::read_to_string("/proc/self/statm")
        .ok()
        .and_then(|text| text.split(' ').nth(1)?.parse::<u64>().ok());
    pages.unwrap_or_default() * rustix::param::page_size() as u64
}
