//! Clients that give up on no request before every node was asked some times: what an application behind a
//! balancer sees.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use axum::body::Bytes;
use axum::http::{Method, StatusCode};
use serde::Serialize;
use serde_json::json;
use tokio::time::Instant;
use twinscale::service::client::ApiClient;
use twinscale::service::wall_clock::{SystemWallClock, WallClock as _};

use super::clients::{METRIC, VM_TYPE};

/// How often a request is sent at most.
const ATTEMPTS_MAX: u32 = 8;

/// How long one attempt may take: longer than an election.
const ATTEMPT_LIMIT: Duration = Duration::from_secs(3);

/// Before a request is sent again.
const RETRY_PAUSE: Duration = Duration::from_millis(150);

/// Between two requests of a client.
const PAUSE: Duration = Duration::from_millis(100);

/// Failures that are told at most.
const FAILURES_TOLD: usize = 10;

/// What came of requests that were sent again where that does no harm.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Requests {
    /// Requests.
    pub sent: u64,
    /// Those that were answered at once.
    pub at_once: u64,
    /// Those that were answered after retries.
    pub retried: u64,
    /// Those that were not answered well by any attempt.
    pub failed: u64,
    /// Most attempts that one took.
    pub attempts_max: u32,
    /// The longest time from the first attempt to a good answer, in milliseconds.
    pub slowest_ms: u64,
    /// The first failures.
    pub failures: Vec<String>,
}

impl Requests {
    pub(super) fn add(&mut self, other: Self) {
        self.sent += other.sent;
        self.at_once += other.at_once;
        self.retried += other.retried;
        self.failed += other.failed;
        self.attempts_max = self.attempts_max.max(other.attempts_max);
        self.slowest_ms = self.slowest_ms.max(other.slowest_ms);
        self.failures.extend(other.failures);
        self.failures.truncate(FAILURES_TOLD);
    }

    fn note(&mut self, attempts: u32, took: Duration, failure: Option<String>) {
        self.sent += 1;
        if let Some(failure) = failure {
            self.failed += 1;
            if self.failures.len() < FAILURES_TOLD {
                self.failures.push(failure);
            }
            return;
        }
        if attempts == 1 {
            self.at_once += 1;
        } else {
            self.retried += 1;
        }
        self.attempts_max = self.attempts_max.max(attempts);
        let took = u64::try_from(took.as_millis()).unwrap_or(u64::MAX);
        self.slowest_ms = self.slowest_ms.max(took);
    }
}

/// Writes a sample of a twin of its own and reads a twin, in turn, until it is told to stop.
pub(super) async fn steady(
    nodes: Vec<ApiClient>,
    (own, other): (String, String),
    stop: Arc<AtomicBool>,
) -> Requests {
    let nodes: Vec<ApiClient> = nodes
        .into_iter()
        .map(|node| node.with_request_limit(ATTEMPT_LIMIT))
        .collect();
    let mut requests = Requests::default();
    let mut place = own.len();
    while !stop.load(Ordering::Relaxed) {
        place += 1;
        let at = SystemWallClock.now().0;
        let line = json!({"customer": own, "vm_type": VM_TYPE, "metric": METRIC, "timestamp": at, "value": 1});
        let sample = (
            Method::POST,
            "/v1/telemetry".to_owned(),
            format!("{line}\n"),
        );
        let look = (Method::GET, format!("/v1/customers/{other}"), String::new());
        for request in [sample, look] {
            answered(&nodes, place, &request, &mut requests).await;
            tokio::time::sleep(PAUSE).await;
        }
    }
    requests
}

/// Sends a request to one node after another until one answers it.
async fn answered(
    nodes: &[ApiClient],
    place: usize,
    (method, path, body): &(Method, String, String),
    requests: &mut Requests,
) {
    let begun = Instant::now();
    let mut said = String::new();
    for (attempt, node) in (1..=ATTEMPTS_MAX).zip(nodes.iter().cycle().skip(place % nodes.len())) {
        let sent = node.send(method.clone(), path, Bytes::from(body.clone()));
        said = match sent.await {
            Ok(answer) if answer.status == StatusCode::OK => {
                requests.note(attempt, begun.elapsed(), None);
                return;
            }
            Ok(answer) => {
                let text = String::from_utf8_lossy(&answer.body).into_owned();
                format!("{}: {text}", answer.status)
            }
            Err(error) => error.to_string(),
        };
        tokio::time::sleep(RETRY_PAUSE).await;
    }
    let failure = format!("{method} {path} was not answered in {ATTEMPTS_MAX} attempts: {said}");
    requests.note(ATTEMPTS_MAX, begun.elapsed(), Some(failure));
}
