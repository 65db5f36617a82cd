//! `twinscale load`: many customers' samples on a running node, and the proof that none is lost.

use super::run::Signals;
use crate::console;
use crate::error::ExpectedError;
use crate::load::acknowledged::AcknowledgedList;
use crate::load::configure::configure;
use crate::load::fleet::{Fleet, LoadShape, Source};
use crate::load::report::LoadReport;
use crate::load::run::{SendOptions, send};
use crate::load::verify::verify;
use crate::progress::Progress;
use crate::service::client::{ApiClient, Target};
use crate::service::wall_clock::{SystemWallClock, WallClock as _};
use crate::trace::{Trace, TraceOptions, read_trace};
use crate::workload::from_samples;
use clap::Args;
use std::path::PathBuf;
use twinscale_cluster_config::{PolicyFile, StackFile, load_policies, load_stacks};
use twinscale_protocol::{CustomerId, FixedValue, Seconds, SeriesKey};

/// Sends the samples of many customers to a running node at a fixed rate, keeps a list of what was
/// acknowledged, and reads all of it back.
#[derive(Debug, Args)]
#[expect(clippy::struct_excessive_bools, reason = "each is a switch of its own")]
pub(super) struct LoadArguments {
    /// Address of the node; of a cluster give several, also separated by commas: one is asked for as long as
    /// it answers, then the next.
    #[arg(
        long,
        value_name = "URL",
        default_value = "http://127.0.0.1:7878",
        value_delimiter = ',',
        conflicts_with = "data_dir"
    )]
    url: Vec<String>,
    /// Data directory of the node: it is found there, also after a restart on another port.
    #[arg(long, value_name = "DIR")]
    data_dir: Option<PathBuf>,
    /// Traces (CSV as for backtest) whose customers are cloned; the shipped samples when left out.
    #[arg(value_name = "FILE")]
    traces: Vec<PathBuf>,
    /// Policies for `--configure` (TOML); those of the samples, or the defaults.
    #[arg(long, value_name = "FILE", requires = "traces")]
    policy: Option<PathBuf>,
    /// Stacks for `--configure` (TOML).
    #[arg(long, value_name = "FILE", requires = "traces")]
    stack: Option<PathBuf>,
    /// Customers, cloned with new names, sizes and phases.
    #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    customers: u32,
    /// Samples a second, all customers together.
    #[arg(long, default_value_t = 1_000, value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    rate: u32,
    /// Seconds that it lasts; SIGINT or SIGTERM ends it before, with its report.
    #[arg(long, default_value_t = 60, value_name = "SECONDS", value_parser = clap::value_parser!(u32).range(1..=604_800))]
    duration: u32,
    /// Batches under way at once.
    #[arg(long, default_value_t = 8, value_parser = clap::value_parser!(u16).range(1..=1_024))]
    connections: u16,
    /// Samples of one request.
    #[arg(long, default_value_t = 500, value_parser = clap::value_parser!(u32).range(1..=50_000))]
    batch: u32,
    /// Root of the clones' differences.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Give every customer its policy and stack first.
    #[arg(long)]
    configure: bool,
    /// Length of a planning step for `--configure`, in seconds.
    #[arg(long, default_value_t = 300, value_name = "SECONDS", value_parser = clap::value_parser!(u32).range(1..=604_800))]
    interval: u32,
    /// The list of what was acknowledged; it is appended to.
    #[arg(long, default_value = "acknowledged.csv", value_name = "FILE")]
    acknowledged: PathBuf,
    /// Read everything on the list back at the end.
    #[arg(long)]
    verify: bool,
    /// Send nothing, only read everything on the list back.
    #[arg(long, conflicts_with_all = ["configure", "verify"])]
    verify_only: bool,
    /// Print the report as JSON.
    #[arg(long)]
    json: bool,
}

/// Worker threads: the load must not take the cores from the node that it measures.
const WORKERS: usize = 1;

pub(super) fn run(arguments: &LoadArguments, quiet: bool) -> anyhow::Result<()> {
    let target = match &arguments.data_dir {
        Some(directory) => Target::DataDir(directory.clone()),
        None => Target::AnyOf(arguments.url.clone()),
    };
    let runtime = super::runtime(WORKERS)?;
    let report = runtime.block_on(async {
        let client = ApiClient::new(target);
        let mut report = if arguments.verify_only {
            LoadReport::default()
        } else {
            load(arguments, &client, quiet).await?
        };
        if arguments.verify || arguments.verify_only {
            let mut signals = Signals::listen()?;
            report.verified = tokio::select! {
                verified = verify(&client, &arguments.acknowledged) => Some(verified?),
                signal = signals.next() => return Err(ExpectedError::Interrupted { signal }.into()),
            };
        }
        anyhow::Ok(report)
    })?;
    if arguments.json {
        let mut json = serde_json::to_string_pretty(&report)?;
        json.push('\n');
        console::print(&json)?;
    } else {
        console::print(&report.table())?;
    }
    match &report.verified {
        Some(verified) if !verified.is_sound() => Err(ExpectedError::Refused {
            context: "what was acknowledged is not what is stored".to_owned(),
            hint: "keep the data directory and the list: this is a defect, or the list is of another node"
                .to_owned(),
        }
        .into()),
        _ => Ok(()),
    }
}

async fn load(
    arguments: &LoadArguments,
    client: &ApiClient,
    quiet: bool,
) -> anyhow::Result<LoadReport> {
    let sources = sources(arguments)?;
    let progress = Progress::start("load", 1, quiet);
    let shape = || LoadShape {
        customers: arguments.customers,
        rate: arguments.rate,
        duration_s: arguments.duration,
        seed: arguments.seed,
        now: SystemWallClock.now(),
    };
    let fleet = |sources| {
        Fleet::new(sources, shape())
            .map_err(|error| ExpectedError::input("the customers cannot be cloned", error))
    };
    let mut list = AcknowledgedList::append_to(&arguments.acknowledged)?;
    if arguments.configure {
        progress.note("policies and stacks");
        let fleet = fleet(sources.clone())?;
        configure(client, &fleet, Seconds(arguments.interval)).await?;
        progress.note("");
    }
    // Made anew, so that times start now.
    let fleet = fleet(sources)?;
    let options = SendOptions {
        connections: usize::from(arguments.connections),
        batch: u64::from(arguments.batch),
    };
    let (mut first, second) = (Signals::listen()?, Signals::listen()?);
    let stop = async {
        first.next().await;
        if !quiet {
            console::say("sending no more; a second signal ends at once");
        }
    };
    let mut report = tokio::select! {
        report = send(client, &fleet, &mut list, options, &progress, stop) => report?,
        signal = second.second() => return Err(ExpectedError::Interrupted { signal: signal? }.into()),
    };
    report.customers = fleet.members().len() as u64;
    report.series = fleet.series_count() as u64;
    report.rate = arguments.rate;
    Ok(report)
}

fn sources(arguments: &LoadArguments) -> anyhow::Result<Vec<Source>> {
    if arguments.traces.is_empty() {
        let customers = from_samples(usize::MAX, 1)?.into_iter();
        return Ok(customers
            .map(|one| Source {
                customer: one.customer,
                series: values(&one.trace),
                policy: one.policy,
                stack: one.stack,
            })
            .collect());
    }
    let policies = match &arguments.policy {
        Some(path) => load_policies(path)
            .map_err(|error| ExpectedError::input("the policy file cannot be used", error))?,
        None => PolicyFile::default(),
    };
    let stacks = match &arguments.stack {
        Some(path) => load_stacks(path)
            .map_err(|error| ExpectedError::input("the stack file cannot be used", error))?,
        None => StackFile::default(),
    };
    let mut found = Vec::new();
    for path in &arguments.traces {
        let trace: Trace = read_trace(path, &TraceOptions::default(), &mut |_| {})
            .map_err(|error| ExpectedError::input("the trace cannot be used", error))?;
        found.extend(
            trace
                .customers
                .into_iter()
                .map(|(customer, trace)| source(customer, &trace, &policies, &stacks)),
        );
    }
    if found.is_empty() {
        return Err(ExpectedError::input_hint(
            "the traces have no samples",
            "give a CSV file with the columns customer,vm_type,metric,timestamp,value",
        )
        .into());
    }
    Ok(found)
}

fn source(
    customer: CustomerId,
    trace: &crate::trace::CustomerTrace,
    policies: &PolicyFile,
    stacks: &StackFile,
) -> Source {
    let policy = policies.policy_of(&customer).clone();
    let series = trace.series.keys().cloned().collect();
    Source {
        stack: stacks.stack_of(&customer, &series, &policy),
        series: values(trace),
        policy,
        customer,
    }
}

fn values(trace: &crate::trace::CustomerTrace) -> Vec<(SeriesKey, Vec<FixedValue>)> {
    let series = trace.series.iter();
    series
        .map(|(key, series)| {
            let values = series.samples.iter().map(|(_, value)| *value);
            (key.clone(), values.collect())
        })
        .collect()
}
