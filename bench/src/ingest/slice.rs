//! Lets clients ask one contender for a while.

use super::contender::Contender;
use hdrhistogram::Histogram;
use std::sync::Arc;
use std::time::Duration;
use tokio::task::JoinSet;
use tokio::time::Instant;

/// Longest latency that is told apart: a minute, in microseconds.
const LATENCY_US_MAX: u64 = 60_000_000;

/// How long requests took.
#[derive(Clone, Debug)]
pub struct Latencies(Histogram<u64>);

impl Latencies {
    /// None yet.
    pub fn new() -> anyhow::Result<Self> {
        Ok(Self(Histogram::new_with_max(LATENCY_US_MAX, 3)?))
    }

    /// Notes one.
    pub fn note(&mut self, took: Duration) {
        let us = u64::try_from(took.as_micros()).unwrap_or(u64::MAX);
        self.0.saturating_record(us);
    }

    /// Adds others.
    pub fn join(&mut self, other: &Self) {
        // Both have the same bounds.
        let _added = self.0.add(&other.0);
    }

    /// The latency that a share of the requests stays within, in milliseconds.
    pub fn quantile_ms(&self, quantile: f64) -> f64 {
        self.0.value_at_quantile(quantile) as f64 / 1_000.0
    }
}

/// What came of one slice.
#[derive(Clone, Debug)]
pub struct SliceOutcome {
    /// Requests acknowledged.
    pub requests: u64,
    /// Samples in them.
    pub samples: u64,
    /// Commits.
    pub commits: u64,
    /// From the first request to the last acknowledgement.
    pub took: Duration,
    /// From each request to its acknowledgement.
    pub latencies: Latencies,
}

/// Lets `clients` ask for `length`, each waiting for its answer.
pub async fn run(
    contender: &Arc<dyn Contender>,
    (clients, batch): (u32, u32),
    length: Duration,
) -> anyhow::Result<SliceOutcome> {
    let commits = contender.commits().await?;
    let begun = Instant::now();
    let deadline = begun + length;
    // Tasks of their own, so that clients use all workers of the runtime.
    let mut asking = JoinSet::new();
    for _ in 0..clients {
        let contender = Arc::clone(contender);
        asking.spawn(async move { client(&*contender, batch, deadline).await });
    }
    let mut asked: Vec<(u64, Latencies)> = Vec::new();
    while let Some(client) = asking.join_next().await {
        asked.push(client??);
    }
    let took = begun.elapsed();
    let mut requests = 0;
    let mut latencies = Latencies::new()?;
    for (count, some) in &asked {
        requests += count;
        latencies.join(some);
    }
    Ok(SliceOutcome {
        requests,
        samples: requests * u64::from(batch),
        commits: contender.commits().await? - commits,
        took,
        latencies,
    })
}

async fn client(
    contender: &dyn Contender,
    batch: u32,
    deadline: Instant,
) -> anyhow::Result<(u64, Latencies)> {
    let mut latencies = Latencies::new()?;
    let mut requests = 0;
    while Instant::now() < deadline {
        let prepared = contender.prepare(batch);
        let asked = Instant::now();
        contender.store(prepared).await?;
        latencies.note(asked.elapsed());
        requests += 1;
    }
    Ok((requests, latencies))
}
