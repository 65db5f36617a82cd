//! Nodes as a run needs them: they serve, and their twins have something to do.

use std::time::Duration;

use axum::body::Bytes;
use axum::http::{Method, StatusCode};
use serde_json::json;
use tokio::time::Instant;
use twinscale::service::api::ReadyReply;
use twinscale::service::client::ApiClient;

use super::super::faults::Faults;
use super::processes::Processes;
use super::{PATIENCE, clients};
use crate::error::ChaosError;

/// Length of the twins' steps: short, so that VMs come and go all the time.
const INTERVAL_S: u32 = 30;

/// Waits until all nodes say that they serve; else tells which does not, and what it says.
pub(super) async fn ready(nodes: &[ApiClient]) -> Result<(), (usize, String)> {
    let deadline = Instant::now() + PATIENCE;
    for (number, node) in nodes.iter().enumerate() {
        let node = node.clone().with_request_limit(Duration::from_secs(2));
        loop {
            let said = match node.get::<ReadyReply>("/v1/ready").await {
                Ok(reply) if reply.ready => break,
                Ok(reply) => format!("{:?}", reply.reasons),
                Err(error) => error.to_string(),
            };
            if Instant::now() >= deadline {
                return Err((number, said));
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }
    Ok(())
}

pub(super) async fn all_ready(
    faults: &mut Faults<Processes>,
    nodes: &[ApiClient],
) -> Result<(), ChaosError> {
    let ready = ready(nodes).await;
    ready.map_err(|silent| not_ready(faults.deployment(), silent))
}

pub(super) fn not_ready(processes: &Processes, (node, said): (usize, String)) -> ChaosError {
    let words = processes.last_words(node);
    ChaosError::Product {
        reason: format!(
            "node {node} does not serve after {PATIENCE:?}: {said}; its last words: {words}"
        ),
    }
}

/// Gives each twin a policy and a stack.
pub(super) async fn configure(nodes: &[ApiClient], twins: &[String]) -> Result<(), ChaosError> {
    let stack = json!({
        "interval_s": INTERVAL_S,
        "horizon_steps": 12,
        "tier": {"web": {
            "demand": format!("{}/{}", clients::VM_TYPE, clients::METRIC),
            "vm_type": [{"name": clients::VM_TYPE}],
        }},
    });
    let wishes = json!({"policy": clients::policy(None), "stack": stack}).to_string();
    for (twin, node) in twins.iter().zip(nodes.iter().cycle()) {
        let path = format!("/v1/customers/{twin}");
        let deadline = Instant::now() + PATIENCE;
        loop {
            let body = Bytes::from(wishes.clone());
            let said = match node.send(Method::PUT, &path, body).await {
                Ok(answer) if answer.status == StatusCode::OK => break,
                Ok(answer) => String::from_utf8_lossy(&answer.body).into_owned(),
                Err(error) => error.to_string(),
            };
            if Instant::now() >= deadline {
                let reason = format!("{twin} cannot be configured: {said}");
                return Err(ChaosError::Product { reason });
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }
    Ok(())
}
