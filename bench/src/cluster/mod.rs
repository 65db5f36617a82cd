//! Acknowledged writes and remote calls of a cluster on one machine, beside etcd and Redis.
//!
//! [`contender`] is what each must do; [`twinscale`], [`etcd`] and [`redis`] are who does it; [`slice`] lets
//! clients ask one contender for a while; [`report`] shows what came of it.
//!
//! Invariants: one contender runs at a time, so that nobody pays for another's heartbeats; contenders alternate
//! in rounds, so that noise hits all; a write counts when its promise holds, which the report names.

mod contender;
mod etcd;
mod idle;
mod processes;
mod redis;
mod report;
mod slice;
mod twinscale;

use ::twinscale::console;
use ::twinscale::micro::Machine;
use ::twinscale::progress::Progress;
use clap::Args;
use contender::{Contender, ContenderKind};
use report::{ClusterReport, LeftOut, Row};
use slice::{Measure, Slice, measure};
use std::path::PathBuf;
use std::time::Duration;

/// Measures a cluster of three nodes beside etcd and Redis.
///
/// Samples go in requests of several of one customer: for etcd in one transaction, for Redis in one pipeline.
/// A command changes one small value: for Twinscale a customer's policy. A call reads it through a node that
/// does not lead, as the leader confirmed by a majority has it. Redis has one primary that syncs every write
/// and two replicas; a write waits until one of them has it in memory, and reads ask nobody: it promises less.
/// Rivals that are not installed are left out (Debian: etcd-server, redis-server).
#[derive(Clone, Debug, Args)]
pub struct ClusterArguments {
    /// Clients that write at once.
    #[arg(long, default_value_t = 32, value_parser = clap::value_parser!(u32).range(1..=256))]
    clients: u32,
    /// Samples of one request; etcd takes at most 128 operations in a transaction.
    #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..=128))]
    batch: u32,
    /// Rounds in which the contenders alternate.
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..=100))]
    rounds: u32,
    /// Seconds of one slice.
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..=600))]
    seconds: u32,
    /// Shards of Twinscale's cluster.
    #[arg(long, default_value_t = 16, value_parser = clap::value_parser!(u32).range(1..=4_096))]
    shards: u32,
    /// Also measures an idle cluster of so many shards; may name several.
    #[arg(long, value_delimiter = ',', default_values_t = [64, 256], value_parser = clap::value_parser!(u32).range(1..=4_096))]
    idle: Vec<u32>,
    /// Only these contenders.
    #[arg(long, value_enum, value_delimiter = ',')]
    only: Vec<ContenderKind>,
    /// Folder for the clusters' data; all on one disk.
    #[arg(long, value_name = "DIR", default_value = "/var/tmp")]
    directory: PathBuf,
    /// Print the report as JSON.
    #[arg(long)]
    json: bool,
}

/// Runs the benchmark and prints its report.
pub fn run(arguments: &ClusterArguments, quiet: bool) -> anyhow::Result<()> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()?;
    let report = runtime.block_on(compare(arguments, quiet))?;
    if arguments.json {
        console::print(&format!("{}\n", serde_json::to_string(&report)?))?;
    } else {
        console::print(&report.table())?;
    }
    Ok(())
}

async fn compare(arguments: &ClusterArguments, quiet: bool) -> anyhow::Result<ClusterReport> {
    let mut kinds = ContenderKind::ALL.to_vec();
    kinds.retain(|kind| arguments.only.is_empty() || arguments.only.contains(kind));
    let mut left_out = Vec::new();
    kinds.retain(|kind| match kind.missing() {
        None => true,
        Some(because) => {
            left_out.push(LeftOut {
                contender: kind.name(),
                because,
            });
            false
        }
    });
    let slices = u64::from(arguments.rounds) * kinds.len() as u64 * Measure::ALL.len() as u64;
    let progress = Progress::start("slices", slices, quiet);
    let mut done = 0;
    let mut rows: Vec<Row> = Vec::new();
    for _round in 0..arguments.rounds {
        for kind in &kinds {
            progress.note(format!("starting {}", kind.name()));
            let scratch = tempfile::tempdir_in(&arguments.directory)?;
            let contender = kind.start(scratch.path(), arguments.shards).await?;
            for one in Measure::ALL {
                progress.note(format!("{}: {}", kind.name(), one.name()));
                let slice = slice(arguments, one, &*contender).await?;
                report::add(&mut rows, (kind.name(), kind.promise(), one), slice);
                done += 1;
                progress.at(done);
            }
        }
    }
    let mut idle = Vec::new();
    for shards in &arguments.idle {
        progress.note(format!("idle with {shards} shards"));
        let time = Duration::from_secs(u64::from(arguments.seconds));
        idle.push(idle::idle(&arguments.directory, *shards, time).await?);
    }
    Ok(ClusterReport {
        idle,
        schema: "twinscale-bench-cluster/1",
        machine: Machine::here(),
        clients: arguments.clients,
        batch: arguments.batch,
        rows,
        left_out,
    })
}

async fn slice(
    arguments: &ClusterArguments,
    what: Measure,
    contender: &dyn Contender,
) -> anyhow::Result<Slice> {
    let clients = match what {
        Measure::Call => 1,
        Measure::Samples | Measure::Commands => arguments.clients,
    };
    let time = Duration::from_secs(u64::from(arguments.seconds));
    // What is slow only once is not measured.
    measure(contender, what, (clients, arguments.batch), time / 5).await?;
    measure(contender, what, (clients, arguments.batch), time).await
}
