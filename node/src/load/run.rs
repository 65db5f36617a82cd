//! Keeps the schedule: each batch is sent when it is due, or as soon as a connection is free.

use super::acknowledged::AcknowledgedList;
use super::fleet::{Fleet, LoadSample};
use super::report::{LoadReport, MemoryPoint};
use crate::error::ExpectedError;
use crate::progress::Progress;
use crate::service::api::{NodeReply, TelemetryReply};
use crate::service::client::{ApiAnswer, ApiClient};
use axum::body::Bytes;
use axum::http::{Method, StatusCode};
use futures::future::{join_all, join3};
use hdrhistogram::Histogram;
use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::future::Future;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;
use tokio::sync::watch;
use tokio::time::Instant;

/// Pause before a batch that got no answer is sent again.
const RETRY_PAUSE: Duration = Duration::from_millis(200);

/// Time behind the end of the schedule for batches that are still on their way.
const LINGER: Duration = Duration::from_mins(1);

/// Pause between two looks at the node's memory.
const LOOK_PERIOD: Duration = Duration::from_secs(10);

/// Longest latency that is told apart: an hour, in microseconds.
const LATENCY_US_MAX: u64 = 3_600_000_000;

/// How to send.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SendOptions {
    /// Batches under way at once.
    pub connections: usize,
    /// Samples of a batch.
    pub batch: u64,
}

struct Sender<'a> {
    client: &'a ApiClient,
    fleet: &'a Fleet,
    options: SendOptions,
    begun: Instant,
    /// Number of the next batch.
    next: AtomicU64,
    /// Whether no more is to be sent.
    stopping: watch::Sender<bool>,
    tally: Mutex<Tally<'a>>,
}

struct Tally<'a> {
    list: &'a mut AcknowledgedList,
    report: LoadReport,
    latencies: Histogram<u64>,
}

/// Sends a fleet's samples until all are sent or `stop` resolves; what is acknowledged is on the list before it
/// is counted. At a stop requests under way get their answer, and none is sent again.
///
/// # Errors
/// When the list cannot be written. A node that does not answer is asked again until the end.
pub async fn send(
    client: &ApiClient,
    fleet: &Fleet,
    list: &mut AcknowledgedList,
    options: SendOptions,
    progress: &Progress,
    stop: impl Future<Output = ()>,
) -> Result<LoadReport, ExpectedError> {
    let latencies = Histogram::new_with_max(LATENCY_US_MAX, 3)
        .map_err(|error| ExpectedError::input("latencies cannot be counted", error))?;
    let sender = Sender {
        client,
        fleet,
        options,
        begun: Instant::now(),
        next: AtomicU64::new(0),
        stopping: watch::Sender::new(false),
        tally: Mutex::new(Tally {
            list,
            report: LoadReport::default(),
            latencies,
        }),
    };
    let workers = (0..options.connections.max(1)).map(|_| sender.work());
    let stopped = async {
        stop.await;
        sender.stopping.send_replace(true);
    };
    let worked = tokio::select! {
        worked = join_all(workers) => worked,
        (never, _, ()) = join3(sender.look_at_memory(), sender.show(progress), stopped) => match never {},
    };
    worked.into_iter().collect::<Result<Vec<()>, _>>()?;
    let took = sender.begun.elapsed();
    let Tally {
        mut report,
        latencies,
        ..
    } = sender
        .tally
        .into_inner()
        .unwrap_or_else(PoisonError::into_inner);
    report.took_s = took.as_secs_f64();
    report.set_latencies(&latencies);
    Ok(report)
}

impl<'a> Sender<'a> {
    async fn work(&self) -> Result<(), ExpectedError> {
        let schedule = self.fleet.schedule();
        let batch = self.options.batch.max(1);
        loop {
            let number = self.next.fetch_add(1, Ordering::Relaxed);
            let first = number.saturating_mul(batch);
            if first >= schedule.total {
                return Ok(());
            }
            let samples = first..first.saturating_add(batch).min(schedule.total);
            // A batch is due with its last sample.
            let due = samples.end as f64 / f64::from(schedule.rate);
            let due = self.begun + Duration::from_secs_f64(due);
            let mut stopping = self.stopping.subscribe();
            tokio::select! {
                biased;
                _stopped = stopping.wait_for(|stopping| *stopping) => return Ok(()),
                () = tokio::time::sleep_until(due) => {}
            }
            self.deliver(samples, due).await?;
        }
    }

    /// Sends a batch until it is answered for good, or it is over.
    async fn deliver(
        &self,
        samples: std::ops::Range<u64>,
        due: Instant,
    ) -> Result<(), ExpectedError> {
        let body = Bytes::from(body(self.fleet, samples.clone()));
        let schedule = self.fleet.schedule();
        let length = Duration::from_secs_f64(schedule.total as f64 / f64::from(schedule.rate));
        let over = self.begun + length + LINGER;
        loop {
            let sent = self
                .client
                .send(Method::POST, "/v1/telemetry", body.clone())
                .await;
            let pause = match sent {
                Ok(answer) if answer.status == StatusCode::OK => {
                    return self.acknowledged(&answer, samples, due);
                }
                Ok(answer) if answer.status == StatusCode::TOO_MANY_REQUESTS => {
                    self.count(|report| report.overloaded += 1);
                    answer.retry_after.unwrap_or(RETRY_PAUSE)
                }
                Ok(answer) if answer.status.is_client_error() => {
                    return answer.json::<TelemetryReply>("/v1/telemetry").map(drop);
                }
                Ok(_) | Err(_) => {
                    self.count(|report| report.failed_requests += 1);
                    RETRY_PAUSE
                }
            };
            if *self.stopping.borrow() || Instant::now() + pause > over {
                let count = samples.end.saturating_sub(samples.start);
                self.count(|report| report.unanswered += count);
                return Ok(());
            }
            tokio::time::sleep(pause).await;
        }
    }

    fn acknowledged(
        &self,
        answer: &ApiAnswer,
        samples: std::ops::Range<u64>,
        due: Instant,
    ) -> Result<(), ExpectedError> {
        let reply: TelemetryReply = answer.json("/v1/telemetry")?;
        let refused: BTreeSet<u64> = reply
            .refused
            .lines
            .iter()
            .map(|one| {
                samples
                    .start
                    .saturating_add(u64::from(one.line).saturating_sub(1))
            })
            .collect();
        let late = u64::try_from(due.elapsed().as_micros()).unwrap_or(u64::MAX);
        let mut tally = self.lock();
        tally.latencies.saturating_record(late);
        let report = &mut tally.report;
        report.requests += 1;
        report.refused += reply.refused.count;
        report.duplicates += reply.duplicates;
        report.corrected += reply.corrected;
        for line in reply.refused.lines.iter().take(1) {
            report.refusal.get_or_insert_with(|| line.message.clone());
        }
        if reply.refused.count > refused.len() as u64 {
            // Not all refused lines are named: which of the others are stored is not known.
            report.unlisted += samples.end.saturating_sub(samples.start);
            return Ok(());
        }
        let kept = samples.filter(|number| !refused.contains(number));
        let kept: Vec<LoadSample<'_>> = kept
            .filter_map(|number| self.fleet.sample(number))
            .collect();
        report.acknowledged += kept.len() as u64;
        tally.list.append(kept.into_iter())
    }

    #[expect(
        clippy::infinite_loop,
        reason = "its type says that it never returns; who waits for it drops it"
    )]
    async fn look_at_memory(&self) -> std::convert::Infallible {
        loop {
            if let Ok(node) = self.client.get::<NodeReply>("/v1/node").await {
                let at_s = self.begun.elapsed().as_secs();
                let point = MemoryPoint {
                    at_s,
                    resident_bytes: node.resident_bytes,
                    turns_done: node.turns.done,
                };
                self.count(|report| report.memory.push(point));
            }
            tokio::time::sleep(LOOK_PERIOD).await;
        }
    }

    #[expect(
        clippy::infinite_loop,
        reason = "its type says that it never returns; who waits for it drops it"
    )]
    async fn show(&self, progress: &Progress) -> std::convert::Infallible {
        let total = self.fleet.schedule().total;
        loop {
            let done = self.lock().report.acknowledged;
            progress.of(done, total);
            tokio::time::sleep(Duration::from_millis(500)).await;
        }
    }

    fn count(&self, change: impl FnOnce(&mut LoadReport)) {
        change(&mut self.lock().report);
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Tally<'a>> {
        self.tally.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn body(fleet: &Fleet, samples: std::ops::Range<u64>) -> String {
    let mut lines = String::new();
    for sample in samples.filter_map(|number| fleet.sample(number)) {
        let LoadSample {
            customer,
            series,
            at,
            value,
        } = sample;
        // The alphabets of names need no escapes; writing to a string cannot fail.
        let _written = writeln!(
            lines,
            "{{\"customer\":\"{customer}\",\"vm_type\":\"{}\",\"metric\":\"{}\",\"timestamp\":{at},\
             \"value\":{}}}",
            series.vm_type,
            series.metric,
            value.units()
        );
    }
    lines
}
