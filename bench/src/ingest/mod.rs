//! Samples from request to durable acknowledgement.
//!
//! [`work`] says which samples a request carries (pure), [`contender`] is who stores them: [`host`],
//! [`api`] and [`sqlite`]; [`raw`] is what the disk allows. [`slice`] lets clients ask one contender for a
//! while, [`cell`] alternates slices so that noise hits all, [`report`] and [`chart`] show what came of it.
//!
//! Invariants: a request counts when its samples are on disk, each for the first time; nobody's work in the
//! background runs on into the slice of another.

mod api;
mod cell;
mod chart;
mod contender;
mod host;
mod quiet;
mod raw;
mod report;
mod slice;
mod sqlite;
mod stage;
mod work;

#[cfg(test)]
mod tests;

use anyhow::Context as _;
use clap::Args;
use report::Report;
use stage::Stage;
use std::path::{Path, PathBuf};
use std::time::Duration;
use twinscale::console;
use twinscale::micro::Machine;
use twinscale::progress::Progress;

/// Measures Twinscale's write path beside SQLite with the same durability.
///
/// Every contender gets the same requests: samples of one customer after another, each client waiting for
/// its answer before it asks again. SQLite keeps the same samples in one table keyed by customer, series and
/// time, in WAL mode with synchronous=FULL, once with a transaction for each request and once with one for
/// all requests that wait. The bare disk writes what the log writes for one request of each client, then
/// fdatasync.
#[derive(Clone, Debug, Args)]
pub struct IngestArguments {
    /// Twins that exist, with their history.
    #[arg(long, value_delimiter = ',', default_values_t = [100, 1_000, 10_000], value_parser = clap::value_parser!(u32).range(1..=100_000))]
    pub twins: Vec<u32>,
    /// Clients that ask at once.
    #[arg(long, value_delimiter = ',', default_values_t = [1, 8, 64], value_parser = clap::value_parser!(u32).range(1..=64))]
    pub clients: Vec<u32>,
    /// Samples of one request.
    #[arg(long, value_delimiter = ',', default_values_t = [1, 100], value_parser = clap::value_parser!(u32).range(1..=10_000))]
    pub batches: Vec<u32>,
    /// Slices of each contender for each combination; they alternate.
    #[arg(long, default_value_t = 8, value_parser = clap::value_parser!(u32).range(1..=100))]
    pub rounds: u32,
    /// Milliseconds of one slice.
    #[arg(long, default_value_t = 600, value_parser = clap::value_parser!(u32).range(10..=600_000))]
    pub slice_ms: u32,
    /// Five-minute steps of history that each of a twin's two series has.
    #[arg(long, default_value_t = 576, value_parser = clap::value_parser!(u32).range(0..=20_000))]
    pub history: u32,
    /// Contenders that take part.
    #[arg(long, value_delimiter = ',', value_enum, default_values_t = contender::Name::ALL)]
    pub only: Vec<contender::Name>,
    /// Folder on the disk to measure; a scratch folder is made in it and removed.
    #[arg(long, value_name = "DIR")]
    pub directory: Option<PathBuf>,
    /// Print the figures as JSON.
    #[arg(long)]
    pub json: bool,
    /// Write the figures as JSON to a file as well.
    #[arg(long, value_name = "FILE")]
    pub out: Option<PathBuf>,
    /// Draw throughput and latency by number of twins, as SVG.
    #[arg(long, value_name = "FILE")]
    pub chart: Option<PathBuf>,
}

/// Worker threads of the clients, and as many of the API.
const WORKERS: usize = 2;

/// Measures and prints.
///
/// # Errors
/// When a contender refuses, or a file cannot be written.
pub fn run(arguments: &IngestArguments, quiet: bool) -> anyhow::Result<()> {
    let progress = Progress::start("ingest", 1, quiet);
    // Written after each combination, so that a run that is cut off leaves what it had measured.
    let save = |report: &Report| {
        let write = |path: &Path, text: String| {
            std::fs::write(path, text)
                .with_context(|| format!("failed to write {}", path.display()))
        };
        if let Some(path) = &arguments.out {
            write(path, json(report)?)?;
        }
        if let Some(path) = &arguments.chart {
            write(path, chart::svg(report))?;
        }
        Ok(())
    };
    let report = measure(arguments, &progress, &save)?;
    drop(progress);
    if arguments.json {
        console::print(&json(&report)?)?;
    } else {
        console::print(&report.text())?;
    }
    Ok(())
}

fn json(report: &Report) -> anyhow::Result<String> {
    Ok(format!("{:#}\n", serde_json::to_value(report)?))
}

fn measure(
    arguments: &IngestArguments,
    progress: &Progress,
    save: &dyn Fn(&Report) -> anyhow::Result<()>,
) -> anyhow::Result<Report> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(WORKERS)
        .thread_name("client")
        .enable_all()
        .build()?;
    let combinations = arguments.clients.len() * arguments.batches.len();
    let total = (arguments.twins.len() * combinations) as u64;
    let mut report = Report::new(Machine::here());
    for twins in &arguments.twins {
        progress.note(format!("{twins} twins: history"));
        let stage = Stage::build(arguments, *twins, &runtime)?;
        for (clients, batch) in arguments.combinations() {
            progress.of(report.cells.len() as u64, total);
            progress.note(format!(
                "{twins} twins, {clients} clients, batches of {batch}"
            ));
            let shape = cell::Shape {
                twins: *twins,
                clients,
                batch,
                rounds: arguments.rounds,
                slice: Duration::from_millis(u64::from(arguments.slice_ms)),
            };
            report.cells.push(cell::measure(&stage, shape, &runtime)?);
            save(&report)?;
        }
        progress.note(format!("{twins} twins: counting what is stored"));
        stage.finish()?;
    }
    Ok(report)
}

impl IngestArguments {
    fn combinations(&self) -> impl Iterator<Item = (u32, u32)> {
        let clients = self.clients.iter();
        clients.flat_map(|clients| self.batches.iter().map(|batch| (*clients, *batch)))
    }
}
