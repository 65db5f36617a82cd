//! A port through which chaos tests strike the actors of a running daemon.
//!
//! Off unless asked for, on a loopback address only, and apart from the API: no client of a node that
//! serves can reach it. A blow is answered once it is dealt; what comes of it is seen through the API.

use super::api::{ApiError, ErrorCode};
use super::limits::ANSWER_LIMIT;
use super::server::serve;
use super::state::Service;
use crate::error::ExpectedError;
use axum::body::Bytes;
use axum::extract::State;
use axum::routing::post;
use axum::{Json, Router};
use clap::ValueEnum;
use serde::{Deserialize, Serialize};
use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::TcpListener;
use tokio::sync::oneshot;
use twinscale_forecaster::actor::{ForecasterFault, ForecasterRequest};
use twinscale_optimizer::{OptimizerFault, OptimizerRequest};
use twinscale_protocol::CustomerId;
use twinscale_provisioner::{ProvisionerFault, ProvisionerRequest};
use twinscale_supervision::Supervised;
use twinscale_twin::{TwinFault, TwinMessage};

/// Connections at once: a test needs one.
const CONNECTIONS_MAX: usize = 4;

/// How long a job hangs where the strike does not say it: longer than any limit.
const HANG_S: u32 = 36_000;

/// What is struck.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub enum StrikeVictim {
    /// The twin of a customer.
    Twin,
    /// The forecaster.
    Forecaster,
    /// The optimizer.
    Optimizer,
    /// The provisioner.
    Provisioner,
}

/// How it is struck.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub enum StrikeBlow {
    /// Its handler panics, behind the messages that wait already.
    Panic,
    /// Its supervisor kills it, wherever it is.
    Kill,
    /// Its handler never ends.
    Hang,
    /// A job panics; for the provisioner the lane of a customer.
    PanicJob,
    /// A job hangs; for the provisioner the lane of a customer.
    HangJob,
}

/// One strike.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StrikeRequest {
    /// What is struck.
    pub victim: StrikeVictim,
    /// Whose twin, or whose lane of the provisioner.
    #[serde(default)]
    pub customer: Option<String>,
    /// How.
    pub blow: StrikeBlow,
    /// How long a job of forecaster or optimizer hangs, in seconds; ten hours when left out.
    #[serde(default)]
    pub hang_s: Option<u32>,
}

/// The blow was dealt.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StrikeReply {
    /// The incarnation that was struck.
    pub id: String,
}

/// The open port.
#[derive(Debug)]
pub struct FaultPort {
    listener: TcpListener,
    address: SocketAddr,
}

impl FaultPort {
    /// Opens it.
    ///
    /// # Errors
    /// When the address is none of this machine alone, or cannot be used.
    pub async fn open(address: SocketAddr) -> Result<Self, ExpectedError> {
        if !address.ip().is_loopback() {
            return Err(ExpectedError::input_hint(
                format!(
                    "the fault port cannot be at {address}: others could fell this node's actors"
                ),
                "give a loopback address, such as --fault-port 127.0.0.1:0",
            ));
        }
        let failed = |error| ExpectedError::Environment {
            context: format!("cannot listen for faults on {address}"),
            hint: "choose another address with --fault-port; port 0 takes any free one".to_owned(),
            source: Some(Box::new(error)),
        };
        let listener = TcpListener::bind(address).await.map_err(failed)?;
        let address = listener.local_addr().map_err(failed)?;
        Ok(Self { listener, address })
    }

    /// Where it is.
    pub fn address(&self) -> SocketAddr {
        self.address
    }
}

/// Takes strikes until it is dropped; none without a port.
pub(super) async fn serve_faults(port: Option<FaultPort>, service: &Arc<Service>) -> Infallible {
    if let Some(FaultPort { listener, address }) = port {
        tracing::warn!(%address, "the fault port is open: whoever reaches it can fell every actor");
        let router = Router::new()
            .route("/chaos/v1/strike", post(strike))
            .with_state(Arc::clone(service));
        let never = std::future::pending();
        serve(listener, router, CONNECTIONS_MAX, Duration::ZERO, never).await;
    }
    std::future::pending().await
}

async fn strike(
    State(service): State<Arc<Service>>,
    body: Bytes,
) -> Result<Json<StrikeReply>, ApiError> {
    let request: StrikeRequest = serde_json::from_slice(&body).map_err(|error| {
        let hint = "for example: {\"victim\": \"forecaster\", \"blow\": \"panic\"}";
        ApiError::invalid(format!("the strike cannot be read: {error}"), hint)
    })?;
    let id = deal(&service, &request).await?;
    tracing::warn!(?request, id, "an actor was struck on purpose");
    Ok(Json(StrikeReply { id }))
}

async fn deal(service: &Service, request: &StrikeRequest) -> Result<String, ApiError> {
    let node = service.node();
    match request.victim {
        StrikeVictim::Twin => {
            let customer = customer(request)?;
            let woken = service.keeper().wake(&customer).await.map_err(|error| {
                let hint = "GET /v1/node says how the node is";
                ApiError::new(ErrorCode::Unavailable, error.to_string(), hint)
            })?;
            let kept = woken.ok_or_else(|| {
                let text = format!("no twin of customer {customer} is driven");
                ApiError::new(ErrorCode::NotFound, text, "configure it first")
            })?;
            fell(kept.actor(), request.blow, twin_fault(request)?).await
        }
        StrikeVictim::Forecaster => {
            fell(node.forecaster(), request.blow, forecaster_fault(request)).await
        }
        StrikeVictim::Optimizer => {
            fell(node.optimizer(), request.blow, optimizer_fault(request)).await
        }
        StrikeVictim::Provisioner => {
            let fault = provisioner_fault(request)?;
            fell(node.provisioner(), request.blow, fault).await
        }
    }
}

/// Deals a blow to a child and names the incarnation that it hit.
async fn fell<M: Send + 'static>(
    child: &Supervised<M>,
    blow: StrikeBlow,
    fault: M,
) -> Result<String, ApiError> {
    let missed = |error: String| {
        let hint = "strike again when it runs: GET /v1/node says how it is";
        ApiError::new(ErrorCode::Unavailable, error, hint)
    };
    let running = child.address().running(ANSWER_LIMIT).await;
    let mailbox = running.map_err(|error| missed(error.to_string()))?;
    if blow == StrikeBlow::Kill {
        child.kill_child();
    } else {
        let sent = mailbox.send(fault).await;
        sent.map_err(|error| missed(error.to_string()))?;
    }
    Ok(mailbox.actor_id().to_string())
}

fn twin_fault(request: &StrikeRequest) -> Result<TwinMessage, ApiError> {
    Ok(TwinMessage::Fault(match request.blow {
        StrikeBlow::Panic | StrikeBlow::Kill => TwinFault::Panic,
        StrikeBlow::Hang => TwinFault::Hang,
        StrikeBlow::PanicJob | StrikeBlow::HangJob => {
            let text = "a twin runs no jobs";
            return Err(ApiError::invalid(
                text,
                "strike it with panic, kill or hang",
            ));
        }
    }))
}

fn forecaster_fault(request: &StrikeRequest) -> ForecasterRequest {
    ForecasterRequest::Fault(match request.blow {
        StrikeBlow::Panic | StrikeBlow::Kill => ForecasterFault::Panic,
        StrikeBlow::Hang => ForecasterFault::Hang,
        StrikeBlow::PanicJob => ForecasterFault::PanicThread,
        StrikeBlow::HangJob => ForecasterFault::HangThread(hang(request)),
    })
}

fn optimizer_fault(request: &StrikeRequest) -> OptimizerRequest {
    // Nobody waits for the answer of a job that fails on purpose.
    let (reply_to, _reply) = oneshot::channel();
    OptimizerRequest::Fault(match request.blow {
        StrikeBlow::Panic | StrikeBlow::Kill => OptimizerFault::Panic,
        StrikeBlow::Hang => OptimizerFault::Hang,
        StrikeBlow::PanicJob => OptimizerFault::PanicJob(reply_to),
        StrikeBlow::HangJob => OptimizerFault::HangJob(hang(request), reply_to),
    })
}

fn provisioner_fault(request: &StrikeRequest) -> Result<ProvisionerRequest, ApiError> {
    Ok(ProvisionerRequest::Fault(match request.blow {
        StrikeBlow::Panic | StrikeBlow::Kill => ProvisionerFault::Panic,
        StrikeBlow::Hang => ProvisionerFault::Hang,
        StrikeBlow::PanicJob => ProvisionerFault::PanicLane(customer(request)?),
        StrikeBlow::HangJob => ProvisionerFault::HangLane(customer(request)?),
    }))
}

fn customer(request: &StrikeRequest) -> Result<CustomerId, ApiError> {
    let hint = "name a customer: GET /v1/customers lists them";
    let name = request.customer.as_deref().ok_or_else(|| {
        let text = format!(
            "{:?} of {:?} strikes one customer",
            request.blow, request.victim
        );
        ApiError::invalid(text, hint)
    })?;
    CustomerId::new(name).map_err(|error| ApiError::invalid(error.to_string(), hint))
}

fn hang(request: &StrikeRequest) -> Duration {
    Duration::from_secs(u64::from(request.hang_s.unwrap_or(HANG_S)))
}
