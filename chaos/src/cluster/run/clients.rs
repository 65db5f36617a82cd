//! The clients of a run: some read and compare-and-set the twins' policies, some send samples.
//!
//! Each writes what it asks and is told into the history. The register of a twin is the budget of its policy:
//! every write carries a budget that no other carries, and is done only if the configuration still has the
//! version that was read with the budget before. A request goes to any node; only what the API says was not
//! done counts as refused, and everything without an answer is of unknown outcome.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use axum::body::Bytes;
use axum::http::{Method, StatusCode};
use rand::{Rng as _, SeedableRng as _};
use rand_chacha::ChaCha8Rng;
use serde_json::{Value, json};
use tokio::time::Instant;
use twinscale::service::api::{ErrorCode, ErrorReply, TelemetryReply};
use twinscale::service::client::{ApiAnswer, ApiClient};
use twinscale::service::wall_clock::{SystemWallClock, WallClock as _};

use super::super::history::{Answer, Operation, Sample};
use super::super::recorder::{Pending, Recorder};
use super::mix;
use crate::error::ChaosError;

/// Longer than most fail-overs; a client that waits longer asks another node.
const REQUEST_LIMIT: Duration = Duration::from_secs(5);

/// A reader asks another node soon, as a balancer in front of the nodes would: what it sees is whether the
/// register can be read, and not how long one client sticks to a node that is cut off.
const READER_LIMIT: Duration = Duration::from_millis(700);

/// Before a reader asks another node after one that did not answer.
const READER_RETRY: Duration = Duration::from_millis(50);

/// How long a reader leaves a node alone that did not answer, as a balancer does.
const AWAY: Duration = Duration::from_secs(3);

/// Writers of one register, who compete.
pub(super) const WRITERS: u32 = 2;

/// The first budget, in dollars: far above what any plan costs, so that no write changes a plan.
const FIRST_BUDGET: u64 = 1_000_000;

/// What all clients share.
#[derive(Debug)]
pub(super) struct Shared {
    pub(super) nodes: Vec<ApiClient>,
    readers: Vec<ApiClient>,
    pub(super) recorder: Recorder,
    pub(super) seed: u64,
    /// Between two operations of a register's client.
    pub(super) pause: Duration,
    /// Between two samples of a twin.
    pub(super) spacing: Duration,
    budgets: AtomicU64,
    /// From now on demand stays as it is.
    is_calm: AtomicBool,
    registers_stop: AtomicBool,
    samples_stop: AtomicBool,
}

impl Shared {
    pub(super) fn new(
        nodes: &[ApiClient],
        recorder: Recorder,
        seed: u64,
        (pause, spacing): (Duration, Duration),
    ) -> Self {
        let limited = |limit| {
            let nodes = nodes.iter().cloned();
            nodes
                .map(|node: ApiClient| node.with_request_limit(limit))
                .collect()
        };
        Self {
            readers: limited(READER_LIMIT),
            nodes: limited(REQUEST_LIMIT),
            recorder,
            seed,
            pause,
            spacing,
            budgets: AtomicU64::new(FIRST_BUDGET),
            is_calm: AtomicBool::new(false),
            registers_stop: AtomicBool::new(false),
            samples_stop: AtomicBool::new(false),
        }
    }

    /// Registers are asked no more; demand stays, so that plans come to rest.
    pub(super) fn calm(&self) {
        self.is_calm.store(true, Ordering::Relaxed);
        self.registers_stop.store(true, Ordering::Relaxed);
    }

    pub(super) fn stop(&self) {
        self.calm();
        self.samples_stop.store(true, Ordering::Relaxed);
    }
}

fn any<'a>(nodes: &'a [ApiClient], random: &mut ChaCha8Rng) -> (u32, &'a ApiClient) {
    let place = random.random_range(0..nodes.len());
    (u32::try_from(place).unwrap_or(0), &nodes[place])
}

/// What a register holds and the version that guards it, as last read.
#[derive(Clone, Copy, Debug)]
struct Seen {
    value: Option<u64>,
    version: u64,
}

/// Reads and writes the register of one twin until it is told to stop.
pub(super) async fn write_register(
    shared: Arc<Shared>,
    customer: String,
    process: u32,
) -> Result<(), ChaosError> {
    let mut random = ChaCha8Rng::seed_from_u64(mix(shared.seed, u64::from(process)));
    let mut seen: Option<Seen> = None;
    while !shared.registers_stop.load(Ordering::Relaxed) {
        let writes = seen.filter(|_| random.random());
        seen = if let Some(seen) = writes {
            set(&shared, (&customer, process), seen, &mut random).await?
        } else {
            let asked = any(&shared.nodes, &mut random);
            look(&shared, (&customer, process), asked).await?
        };
        tokio::time::sleep(shared.pause.mul_f64(random.random_range(0.5..1.5))).await;
    }
    Ok(())
}

/// Reads the register of one twin, through one node after another, until it is told to stop.
pub(super) async fn read_register(
    shared: Arc<Shared>,
    customer: String,
    process: u32,
) -> Result<(), ChaosError> {
    let mut random = ChaCha8Rng::seed_from_u64(mix(shared.seed, u64::from(process)));
    let nodes = u32::try_from(shared.readers.len()).unwrap_or(1);
    let mut next = random.random_range(0..nodes);
    let mut away_until = vec![Instant::now(); shared.readers.len()];
    while !shared.registers_stop.load(Ordering::Relaxed) {
        // The next one that is not left alone; when all are, the one that is back first.
        let order = (1..=nodes).map(|step| (next + step) % nodes);
        let now = Instant::now();
        let back = |node: &u32| away_until[*node as usize].max(now);
        next = order.min_by_key(back).unwrap_or(next);
        let asked = (next, &shared.readers[next as usize]);
        if look(&shared, (&customer, process), asked).await?.is_none() {
            away_until[next as usize] = Instant::now() + AWAY;
            tokio::time::sleep(READER_RETRY).await;
            continue;
        }
        tokio::time::sleep(shared.pause.mul_f64(random.random_range(0.5..1.5))).await;
    }
    Ok(())
}

async fn look(
    shared: &Shared,
    (customer, process): (&str, u32),
    (node, client): (u32, &ApiClient),
) -> Result<Option<Seen>, ChaosError> {
    let asked = (Some(node), Operation::Read);
    let pending = shared.recorder.invoke(process, customer, asked)?;
    let path = format!("/v1/customers/{customer}/policy");
    let answered = client.send(Method::GET, &path, Bytes::new()).await;
    let answer = match answered {
        Ok(answer) if answer.status == StatusCode::OK => answer,
        other => {
            end_badly(pending, other);
            return Ok(None);
        }
    };
    let policy: Value = serde_json::from_slice(&answer.body).unwrap_or_default();
    let (Some(version), true) = (answer.version, policy.is_object()) else {
        pending.unknown("an answer without a version or a policy");
        return Ok(None);
    };
    // A budget that was never written is none of the runner's values.
    let value = policy["budget_per_day_usd"].as_f64().map(whole);
    pending.ok(Answer::Read { value });
    Ok(Some(Seen { value, version }))
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "budgets of a run are whole numbers that a float holds exactly"
)]
fn whole(value: f64) -> u64 {
    value.round() as u64
}

async fn set(
    shared: &Shared,
    (customer, process): (&str, u32),
    seen: Seen,
    random: &mut ChaCha8Rng,
) -> Result<Option<Seen>, ChaosError> {
    let (node, client) = any(&shared.nodes, random);
    let value = shared.budgets.fetch_add(1, Ordering::Relaxed);
    let operation = Operation::CompareAndSet {
        expected: seen.value,
        value,
    };
    let pending = shared
        .recorder
        .invoke(process, customer, (Some(node), operation))?;
    let path = format!("/v1/customers/{customer}/policy");
    let body = Bytes::from(policy(Some(value)).to_string());
    let sent = client
        .send_if(Method::PUT, &path, body, Some(seen.version))
        .await;
    match sent {
        Ok(answer) if answer.status == StatusCode::OK => {
            pending.ok(Answer::Done);
            // One write is one step of the version.
            let version = seen.version + 1;
            Ok(Some(Seen {
                value: Some(value),
                version,
            }))
        }
        Ok(answer) if answer.status == StatusCode::PRECONDITION_FAILED => {
            pending.ok(Answer::Conflict);
            Ok(None)
        }
        other => {
            end_badly(pending, other);
            Ok(None)
        }
    }
}

/// The policy of every twin of a run, with the budget that is its register.
pub(super) fn policy(budget: Option<u64>) -> Value {
    let mut policy = json!({"mode": "enforce", "limits": {"cooldown_in_s": 0}});
    if let (Some(budget), Some(keys)) = (budget, policy.as_object_mut()) {
        keys.insert("budget_per_day_usd".to_owned(), budget.into());
    }
    policy
}

/// Ends an operation without a good answer: refused where the API says that nothing was done.
fn end_badly<E: std::fmt::Display>(pending: Pending, answered: Result<ApiAnswer, E>) {
    let answer = match answered {
        Err(error) => return pending.unknown(error.to_string()),
        Ok(answer) => answer,
    };
    let status = answer.status;
    match serde_json::from_slice::<ErrorReply>(&answer.body) {
        Ok(reply) => {
            let text = format!("{status}: {}", reply.error.message);
            match reply.error.code {
                ErrorCode::OutcomeUnknown | ErrorCode::Internal | ErrorCode::Timeout => {
                    pending.unknown(text);
                }
                _ => pending.fail(text),
            }
        }
        Err(_) => pending.unknown(format!("{status} with an unexpected body")),
    }
}

/// Sends the samples of some twins until it is told to stop: each once more until it is answered.
pub(super) async fn send_samples(
    shared: Arc<Shared>,
    customers: Vec<String>,
    process: u32,
) -> Result<(), ChaosError> {
    let mut random = ChaCha8Rng::seed_from_u64(mix(shared.seed, u64::from(process)));
    let mut waiting: Vec<Vec<Sample>> = vec![Vec::new(); customers.len()];
    while !shared.samples_stop.load(Ordering::Relaxed) {
        let begun = Instant::now();
        for (customer, waiting) in customers.iter().zip(&mut waiting) {
            let at = u64::try_from(SystemWallClock.now().0).unwrap_or(0);
            if waiting.last().is_none_or(|last| last.sequence < at) {
                let is_calm = shared.is_calm.load(Ordering::Relaxed);
                let value = demand(customer, at, is_calm);
                waiting.push(Sample {
                    sequence: at,
                    value,
                });
            }
            let of_twin = (customer.as_str(), process);
            if send(&shared, of_twin, waiting, &mut random).await? {
                waiting.clear();
            }
        }
        tokio::time::sleep_until(begun + shared.spacing).await;
    }
    Ok(())
}

/// Between one and four VMs' worth, another in every minute; once it is calm, always the same.
fn demand(customer: &str, at: u64, is_calm: bool) -> i64 {
    let minute = if is_calm { 0 } else { at / 60 };
    let name = customer
        .bytes()
        .fold(0, |sum, byte| mix(sum, u64::from(byte)));
    i64::try_from(1 + mix(name, minute) % 4).unwrap_or(1)
}

async fn send(
    shared: &Shared,
    (customer, process): (&str, u32),
    samples: &[Sample],
    random: &mut ChaCha8Rng,
) -> Result<bool, ChaosError> {
    let (node, client) = any(&shared.nodes, random);
    let operation = Operation::Samples {
        samples: samples.to_vec(),
    };
    let pending = shared
        .recorder
        .invoke(process, customer, (Some(node), operation))?;
    let lines = samples.iter().map(|sample| {
        let line = json!({"customer": customer, "vm_type": VM_TYPE, "metric": METRIC,
            "timestamp": sample.sequence, "value": sample.value});
        format!("{line}\n")
    });
    let body = Bytes::from(lines.collect::<String>());
    let sent = client.send(Method::POST, "/v1/telemetry", body).await;
    match sent {
        Ok(answer) if answer.status == StatusCode::OK => {
            let reply: Option<TelemetryReply> = serde_json::from_slice(&answer.body).ok();
            match reply.map(|reply| reply.refused) {
                Some(refused) if refused.count == 0 => pending.ok(Answer::Done),
                Some(refused) if refused.count == samples.len() as u64 => {
                    pending.fail(format!("refused: {:?}", refused.lines.first()));
                }
                _ => pending.unknown("some lines were refused"),
            }
            Ok(true)
        }
        other => {
            end_badly(pending, other);
            Ok(false)
        }
    }
}

/// What twins of a run send.
pub(super) const VM_TYPE: &str = "web";
/// Its metric.
pub(super) const METRIC: &str = "vm_count";
