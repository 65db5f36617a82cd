//! `twinscale backtest`: a person's own history in, savings out.

use super::output::{ReplayRun, SharedArguments, replay_prices, run_replay, write, write_pages};
use crate::assembly::ForecastWeights;
use crate::console;
use crate::decisions::CsvSink;
use crate::error::ExpectedError;
use crate::progress::Progress;
use crate::report::{ReportInput, report_json, report_table};
use crate::summary::{FirstSteps, report_input};
use crate::trace::{Events, Trace, TraceOptions, read_events, read_trace};
use crate::workload::{ReplayCustomer, ReplayWindow, from_trace};
use clap::Args;
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use twinscale_cluster_config::{PolicyFile, StackFile, load_policies, load_stacks};
use twinscale_protocol::{CustomerId, DomainTime, VmTypeId};

/// Replays your own history and shows what provisioning ahead would have saved.
#[derive(Debug, Args)]
pub(super) struct BacktestArguments {
    /// CSV or CSV.gz with the columns `customer,vm_type,metric,timestamp,value`; timestamps are epoch
    /// seconds or RFC 3339.
    #[arg(required = true, value_name = "FILE")]
    traces: Vec<PathBuf>,
    /// Events: campaigns, releases, holidays and when they were known.
    #[arg(long, value_name = "FILE")]
    events: Option<PathBuf>,
    /// Policies (TOML): service level, money, limits, what one VM can do.
    #[arg(long, value_name = "FILE")]
    policy: Option<PathBuf>,
    /// Stacks (TOML): tiers, VM types, prices; without it each VM type is a tier at an assumed price.
    #[arg(long, value_name = "FILE")]
    stack: Option<PathBuf>,
    /// Start of the replay (RFC 3339 or epoch seconds); the last third of the history when left out.
    #[arg(long, value_name = "TIME", value_parser = parse_time, requires = "until")]
    from: Option<DomainTime>,
    /// End of the replay.
    #[arg(long, value_name = "TIME", value_parser = parse_time, requires = "from")]
    until: Option<DomainTime>,
    /// Folder for report.html, report.json, forecasts.csv and decisions.csv.
    #[arg(long, value_name = "DIR", default_value = "backtest")]
    out: PathBuf,
    #[command(flatten)]
    shared: SharedArguments,
}

fn parse_time(text: &str) -> Result<DomainTime, String> {
    if let Ok(seconds) = text.parse::<i64>() {
        return Ok(DomainTime(seconds));
    }
    text.parse::<jiff::Timestamp>()
        .map(|timestamp| DomainTime(timestamp.as_second()))
        .map_err(|_unparsed| {
            format!("`{text}` is no time: write 2024-01-31T12:00:00Z or epoch seconds")
        })
}

pub(super) fn run(arguments: &BacktestArguments, quiet: bool) -> anyhow::Result<()> {
    let mut customers = load(arguments, quiet)?;
    std::fs::create_dir_all(&arguments.out)
        .map_err(|source| ExpectedError::file("create", &arguments.out, source))?;
    let input = replayed(arguments, &mut customers, quiet)?;
    let mut json = report_json(&input)?;
    json.push('\n');
    write(&arguments.out.join("report.json"), &json)?;
    write_pages(&arguments.out, &input)?;
    if arguments.shared.json {
        console::print(&json)?;
    } else {
        console::print(&report_table(&input))?;
    }
    if !quiet {
        console::say(&format!(
            "report.html, report.json, forecasts.csv and decisions.csv are in {}",
            arguments.out.display()
        ));
    }
    Ok(())
}

fn load(arguments: &BacktestArguments, quiet: bool) -> anyhow::Result<Vec<ReplayCustomer>> {
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
    let events = match &arguments.events {
        Some(path) => read_events(path)
            .map_err(|error| ExpectedError::input("the events file cannot be used", error))?,
        None => Events::default(),
    };
    let options = TraceOptions {
        known_vm_types: known_vm_types(&stacks),
        ..TraceOptions::default()
    };
    let mut whole = Trace::default();
    for path in &arguments.traces {
        let progress = Progress::start("reading", 1, quiet);
        let trace = read_trace(path, &options, &mut |at| {
            progress.of(
                at.bytes_read,
                at.bytes_total.unwrap_or(at.bytes_read.max(1)),
            );
        })
        .map_err(|error| ExpectedError::input("the trace cannot be used", error))?;
        join(&mut whole, trace, path)?;
    }
    let window = arguments
        .from
        .zip(arguments.until)
        .map(|(start, end)| ReplayWindow { start, end });
    from_trace(whole, &policies, &stacks, &events, window)
}

/// The VM types of each customer that the stack file names: those its tiers use, and those whose series
/// are a demand. Any other in the trace is a mistake of one of the two files.
fn known_vm_types(stacks: &StackFile) -> BTreeMap<CustomerId, BTreeSet<VmTypeId>> {
    let named = stacks.customers().filter_map(|customer| {
        let stack = stacks.stated(customer)?;
        let tiers = stack.tiers.iter().flat_map(|tier| {
            let own = tier.vm_types.iter().map(|option| &option.vm_type);
            own.chain([&tier.demand.vm_type])
        });
        let volumes = stack.volumes.iter().map(|volume| &volume.demand.vm_type);
        let link = stack.link.iter().map(|link| &link.demand.vm_type);
        let known = tiers.chain(volumes).chain(link).cloned().collect();
        Some((customer.clone(), known))
    });
    named.collect()
}

/// Adds a file's customers; series of one customer may come from several files.
fn join(whole: &mut Trace, trace: Trace, path: &Path) -> Result<(), ExpectedError> {
    for (name, customer) in trace.customers {
        let known = whole.customers.entry(name.clone()).or_default();
        for (key, series) in customer.series {
            if known.series.contains_key(&key) {
                return Err(ExpectedError::input_hint(
                    format!(
                        "{}: series `{key}` of customer `{name}` was in an earlier file",
                        path.display()
                    ),
                    "put each series into one file",
                ));
            }
            known.series.insert(key, series);
        }
    }
    Ok(())
}

fn replayed(
    arguments: &BacktestArguments,
    customers: &mut [ReplayCustomer],
    quiet: bool,
) -> anyhow::Result<ReportInput> {
    let weights = ForecastWeights::load(arguments.shared.weights.as_deref())?;
    let run = ReplayRun {
        title: "Twinscale backtest",
        label: "replay".to_owned(),
        customers,
        weights: weights.clone(),
        shared: &arguments.shared,
        has_view: true,
        killed_at: None,
        cluster: None,
    };
    let mut sink = CsvSink::create(&arguments.out, FirstSteps::default())?;
    let (outcome, frame) = run_replay(run, &mut sink, quiet)?;
    let first_steps = sink.finish()?;
    let mut input = report_input(customers, &outcome, &first_steps, &frame);
    drop((outcome, first_steps));
    replay_prices(customers, &weights, &arguments.shared, &mut input, quiet)?;
    Ok(input)
}
