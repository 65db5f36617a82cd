//! One combination of twins, clients and batch: slices of all contenders in turns.

use super::contender::Name;
use super::quiet;
use super::slice::{self, Latencies, SliceOutcome};
use super::stage::Stage;
use anyhow::bail;
use serde::Serialize;
use std::collections::BTreeMap;
use std::sync::PoisonError;
use std::time::Duration;
use tokio::runtime::Runtime;

/// One combination.
#[derive(Clone, Copy, Debug)]
pub struct Shape {
    /// Twins that exist.
    pub twins: u32,
    /// Clients that ask at once.
    pub clients: u32,
    /// Samples of one request.
    pub batch: u32,
    /// Slices of each contender.
    pub rounds: u32,
    /// Length of one.
    pub slice: Duration,
}

/// What came of one combination.
#[derive(Clone, Debug, Serialize)]
pub struct Cell {
    /// Twins that exist.
    pub twins: u32,
    /// Clients that asked at once.
    pub clients: u32,
    /// Samples of one request.
    pub batch: u32,
    /// Bytes that the product's log took for one request.
    pub log_bytes_per_request: f64,
    /// Figures by contender.
    pub contenders: Vec<Figures>,
}

/// What one contender did.
#[derive(Clone, Debug, Serialize)]
pub struct Figures {
    /// Who.
    pub name: Name,
    /// Samples made durable per second, over all slices.
    pub samples_per_s: f64,
    /// The same of each slice, by round: slices of one round follow one another.
    pub slices: Vec<f64>,
    /// Half of the requests were acknowledged within this time, in milliseconds.
    pub p50_ms: f64,
    /// 99 of 100 were.
    pub p99_ms: f64,
    /// Requests acknowledged.
    pub requests: u64,
    /// Commits, each with an fdatasync of its own.
    pub commits: u64,
}

/// Length of the slice before the measured ones, which fills caches and tells the log's bytes.
const WARM_UP: Duration = Duration::from_millis(300);

/// Measures one combination.
pub fn measure(stage: &Stage, shape: Shape, runtime: &Runtime) -> anyhow::Result<Cell> {
    let log_bytes_per_request = runtime.block_on(warm_up(stage, shape))?;
    let mut outcomes: BTreeMap<Name, Vec<SliceOutcome>> = BTreeMap::new();
    for round in 0..shape.rounds {
        let mut order = stage.names().to_vec();
        // Another one begins each time, so that nobody always follows the same.
        let first = round as usize % order.len().max(1);
        order.rotate_left(first);
        for name in order {
            let outcome = match stage.contender(name) {
                Some(contender) => runtime.block_on(async {
                    let asked = (shape.clients, shape.batch);
                    let outcome = slice::run(&contender, asked, shape.slice).await?;
                    quiet::wait().await?;
                    anyhow::Ok(outcome)
                })?,
                None => raw(stage, shape, log_bytes_per_request)?,
            };
            stage.acknowledged(name, outcome.samples);
            outcomes.entry(name).or_default().push(outcome);
        }
    }
    let names = stage.names().iter();
    let contenders = names
        .filter_map(|name| Some((*name, outcomes.get(name)?)))
        .map(|(name, slices)| figures(name, slices))
        .collect::<anyhow::Result<Vec<_>>>()?;
    Ok(Cell {
        twins: shape.twins,
        clients: shape.clients,
        batch: shape.batch,
        log_bytes_per_request,
        contenders,
    })
}

/// Lets everybody work for a moment; returns the bytes of the log for one request.
async fn warm_up(stage: &Stage, shape: Shape) -> anyhow::Result<f64> {
    let asked = (shape.clients, shape.batch);
    let mut bytes = 0.0;
    for name in stage.names().iter().copied() {
        // The bare disk has to know what the host writes, also where the host takes no part.
        let measures_log = name == Name::Twinscale
            || (name == Name::Disk && !stage.names().contains(&Name::Twinscale));
        let before = if measures_log { stage.log_bytes()? } else { 0 };
        let contender = match name {
            Name::Disk if measures_log => stage.contender(Name::Twinscale),
            name => stage.contender(name),
        };
        let Some(contender) = contender else { continue };
        let outcome = slice::run(&contender, asked, WARM_UP.min(shape.slice)).await?;
        stage.acknowledged(name, outcome.samples);
        if measures_log {
            let written = stage.log_bytes()?.saturating_sub(before) as f64;
            bytes = written / outcome.requests.max(1) as f64;
        }
    }
    quiet::wait().await?;
    Ok(bytes)
}

fn raw(stage: &Stage, shape: Shape, bytes_per_request: f64) -> anyhow::Result<SliceOutcome> {
    let requests = u64::from(shape.clients);
    let bytes = (bytes_per_request * requests as f64).round() as usize;
    let mut file = stage.raw.lock().unwrap_or_else(PoisonError::into_inner);
    let samples = requests * u64::from(shape.batch);
    file.slice(bytes, (requests, samples), shape.slice)
}

fn figures(name: Name, slices: &[SliceOutcome]) -> anyhow::Result<Figures> {
    let mut latencies = Latencies::new()?;
    let (mut samples, mut requests, mut commits, mut took) = (0, 0, 0, Duration::ZERO);
    let mut rates = Vec::with_capacity(slices.len());
    for one in slices {
        samples += one.samples;
        requests += one.requests;
        commits += one.commits;
        took += one.took;
        latencies.join(&one.latencies);
        rates.push(one.samples as f64 / one.took.as_secs_f64().max(1e-9));
    }
    if requests == 0 {
        bail!("{} acknowledged nothing", name.text());
    }
    Ok(Figures {
        name,
        samples_per_s: samples as f64 / took.as_secs_f64().max(1e-9),
        slices: rates,
        p50_ms: latencies.quantile_ms(0.5),
        p99_ms: latencies.quantile_ms(0.99),
        requests,
        commits,
    })
}
