//! `twinscale patterns`: what demand looks like, of a running customer or of a file.

use super::asked_node::AskedNode;
use crate::console;
use crate::error::ExpectedError;
use crate::service::api::PatternsReply;
use clap::Args;
use std::path::{Path, PathBuf};
use twinscale_forecaster::bench::files::{LoadedSeries, read_series};
use twinscale_patterns::{
    Candidate, Grid, Report, SAMPLES_MAX, changes, find, sentences, siblings, svg,
};
use twinscale_protocol::CustomerId;

/// Series that an error names.
const NAMES_SHOWN: usize = 5;

/// Format of the JSON output.
const FORMAT: &str = "twinscale-patterns-list/1";

/// Explains what demand looks like: cycles, business hours, jobs, growth, steps, spikes, answers to events.
///
/// Each pattern comes with a strength from 0 to 1 and the evidence for it.
#[derive(Debug, Args)]
#[command(
    group = clap::ArgGroup::new("subject").required(true).args(["trace", "customer"]),
    after_help = "\
Examples:
  $ twinscale patterns --trace samples/traces/nyc_taxi.csv.gz --interval 3600
  $ twinscale patterns --trace samples/traces/snowflake_vm.csv.gz --interval 3600 --siblings 3
  $ twinscale patterns --customer acme --json"
)]
pub(super) struct PatternsArguments {
    /// A file `customer,vm_type,metric,timestamp,value`, plain or .gz.
    #[arg(long, value_name = "FILE", requires = "interval")]
    trace: Option<PathBuf>,
    /// Length of the file's steps in seconds.
    #[arg(long, value_name = "SECONDS", value_parser = clap::value_parser!(u32).range(1..=86_400))]
    interval: Option<u32>,
    /// Only series whose name `customer/vm_type/metric` holds this text.
    #[arg(long, value_name = "TEXT", requires = "trace")]
    only: Option<String>,
    /// Name so many series of the file that have demand like it.
    #[arg(long, value_name = "N", requires = "trace", default_value_t = 0)]
    siblings: usize,
    /// Write a picture of each series to this folder.
    #[arg(long, value_name = "DIR", requires = "trace")]
    svg: Option<PathBuf>,
    /// A customer of a running node.
    #[arg(long, value_name = "NAME")]
    customer: Option<CustomerId>,
    #[command(flatten)]
    node: AskedNode,
    /// Print all with its evidence as JSON.
    #[arg(long)]
    json: bool,
}

pub(super) fn run(arguments: &PatternsArguments) -> anyhow::Result<()> {
    match (&arguments.trace, arguments.interval, &arguments.customer) {
        (Some(trace), Some(interval_s), _) => of_trace(arguments, trace, interval_s),
        (_, _, Some(customer)) => of_customer(arguments, customer),
        _ => anyhow::bail!("neither a trace nor a customer was given"),
    }
}

fn of_customer(arguments: &PatternsArguments, customer: &CustomerId) -> anyhow::Result<()> {
    let path = format!("/v1/customers/{customer}/patterns");
    let reply: PatternsReply = super::runtime(1)?.block_on(arguments.node.client().get(&path))?;
    if arguments.json {
        return super::standing::print_json(&reply);
    }
    for series in &reply.series {
        let name = format!("{}/{}", series.vm_type, series.metric);
        say(&name, &series.sentences)?;
    }
    Ok(())
}

fn of_trace(arguments: &PatternsArguments, trace: &Path, interval_s: u32) -> anyhow::Result<()> {
    let loaded = read_series(trace, interval_s)
        .map_err(|error| ExpectedError::input("the trace cannot be used", error))?;
    let grids = loaded
        .iter()
        .map(|series| Ok((series.id.as_str(), grid(series)?)))
        .collect::<Result<Vec<_>, ExpectedError>>()?;
    let wanted = |id: &str| {
        arguments
            .only
            .as_ref()
            .is_none_or(|text| id.contains(text.as_str()))
    };
    if !grids.iter().any(|(id, _)| wanted(id)) {
        let known: Vec<&str> = grids.iter().map(|(id, _)| *id).take(NAMES_SHOWN).collect();
        return Err(ExpectedError::input_hint(
            format!("{}: no series is named so", trace.display()),
            format!(
                "there are {} series, such as {}",
                grids.len(),
                known.join(", ")
            ),
        )
        .into());
    }
    let all: Vec<Candidate> = match arguments.siblings {
        0 => Vec::new(),
        _ => grids
            .iter()
            .map(|(id, grid)| Candidate::of(*id, grid))
            .collect(),
    };
    let mut listed = Vec::new();
    for (id, grid) in grids.iter().filter(|(id, _)| wanted(id)) {
        let report = find(grid);
        if let Some(directory) = &arguments.svg {
            draw(directory, id, grid, &report)?;
        }
        let alike = alike(&all, id, arguments.siblings);
        if arguments.json {
            listed.push(serde_json::json!({
                "series": id,
                "report": report,
                "changes": changes(grid),
                "siblings": alike,
            }));
            continue;
        }
        let mut lines = sentences(&report);
        lines.extend(
            alike
                .into_iter()
                .map(|(name, reason)| format!("Like {name}: {reason}")),
        );
        say(id, &lines)?;
    }
    if arguments.json {
        let report = serde_json::json!({"format": FORMAT, "series": listed});
        console::print(&format!("{report:#}\n"))?;
    }
    Ok(())
}

/// Other series that are like one, each with the reason; none where no candidates were made.
fn alike(all: &[Candidate], id: &str, count: usize) -> Vec<(String, String)> {
    let (own, others): (Vec<Candidate>, Vec<Candidate>) = all
        .iter()
        .cloned()
        .partition(|candidate| candidate.name == id);
    let Some(own) = own.first() else {
        return Vec::new();
    };
    siblings(&own.fingerprint, &others, count)
        .iter()
        .map(|sibling| (sibling.candidate.name.clone(), sibling.reason()))
        .collect()
}

fn say(name: &str, lines: &[String]) -> anyhow::Result<()> {
    let mut text = format!("{name}\n");
    for line in lines {
        text.push_str("  ");
        text.push_str(line);
        text.push('\n');
    }
    if lines.is_empty() {
        text.push_str("  Nothing stands out.\n");
    }
    console::print(&text)?;
    Ok(())
}

fn grid(series: &LoadedSeries) -> Result<Grid, ExpectedError> {
    let surplus = series.values.len().saturating_sub(SAMPLES_MAX);
    let kept = series.values.get(surplus..).unwrap_or_default();
    let skipped = i64::try_from(surplus).unwrap_or(i64::MAX);
    let moved_s = skipped.saturating_mul(i64::from(series.interval_s));
    let start_s = series.start_s.saturating_add(moved_s);
    Grid::new(start_s, series.interval_s, kept)
        .map_err(|error| ExpectedError::input(format!("series {}", series.id), error))
}

fn draw(directory: &Path, id: &str, grid: &Grid, report: &Report) -> Result<(), ExpectedError> {
    std::fs::create_dir_all(directory)
        .map_err(|source| ExpectedError::file("make", directory, source))?;
    let path = directory.join(format!("{}.svg", id.replace('/', "_")));
    std::fs::write(&path, svg(id, grid, report))
        .map_err(|source| ExpectedError::file("write", &path, source))
}
