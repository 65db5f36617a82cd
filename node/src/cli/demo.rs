//! `twinscale demo`: the main job on real traces that ship with the program.

use super::output::{ReplayRun, SharedArguments, replay_prices, run_replay, write, write_picture};
use crate::assembly::ForecastWeights;
use crate::console;
use crate::error::ExpectedError;
use crate::replay::ClusterOptions;
use crate::report::{ReportInput, report_html, report_json, report_table};
use crate::summary::{FirstSteps, report_input};
use crate::workload::{ReplayCustomer, from_samples};
use clap::Args;
use std::num::NonZeroU16;
use std::path::PathBuf;

/// Replays weeks of real customers on embedded nodes and shows what provisioning ahead is worth.
#[derive(Debug, Args)]
pub(super) struct DemoArguments {
    /// Customers, of the twelve that ship.
    #[arg(long, default_value_t = 12, value_parser = clap::value_parser!(u16).range(1..=12))]
    customers: u16,
    /// Weeks of each customer, up to the four that ship.
    #[arg(long, default_value_t = 4, value_parser = clap::value_parser!(u32).range(1..=4))]
    weeks: u32,
    /// Nodes inside this process, over which the customers are sharded; with three or more one of them is
    /// killed on the way. The report is the same, byte for byte.
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u16).range(1..=5))]
    nodes: u16,
    #[command(flatten)]
    shared: SharedArguments,
    /// Where the page goes.
    #[arg(long, value_name = "FILE", default_value = "report.html")]
    report: PathBuf,
    /// Where a picture of the run goes, as SVG, if anywhere.
    #[arg(long, value_name = "FILE")]
    picture: Option<PathBuf>,
}

pub(super) fn run(arguments: &DemoArguments, quiet: bool) -> anyhow::Result<()> {
    let input = replayed(arguments, quiet)?;
    if arguments.shared.json {
        let mut json = report_json(&input)?;
        json.push('\n');
        console::print(&json)?;
    } else {
        console::print(&report_table(&input))?;
    }
    write(&arguments.report, &report_html(&input))?;
    if let Some(path) = &arguments.picture {
        write_picture(path, &input)?;
    }
    if !quiet {
        console::say(&format!("report: {}", arguments.report.display()));
    }
    Ok(())
}

fn replayed(arguments: &DemoArguments, quiet: bool) -> anyhow::Result<ReportInput> {
    let mut customers = from_samples(usize::from(arguments.customers), arguments.weeks)?;
    let weights = ForecastWeights::load(arguments.shared.weights.as_deref())?;
    refuse_leaks(&weights, &customers)?;
    let steps = customers
        .iter()
        .map(|one| one.steps.len())
        .max()
        .unwrap_or(0);
    let run = ReplayRun {
        title: "Twinscale demo",
        label: "replay".to_owned(),
        customers: &customers,
        weights: weights.clone(),
        shared: &arguments.shared,
        has_view: true,
        killed_at: Some(steps / 2),
        cluster: cluster(arguments.nodes, steps),
    };
    let mut first_steps = FirstSteps::default();
    let (outcome, frame) = run_replay(run, &mut first_steps, quiet)?;
    let mut input = report_input(&customers, &outcome, &first_steps, &frame);
    drop((outcome, first_steps));
    replay_prices(
        &mut customers,
        &weights,
        &arguments.shared,
        &mut input,
        quiet,
    )?;
    Ok(input)
}

/// The nodes on which it runs: a single one needs no consensus, and two lose their majority with one of them.
fn cluster(nodes: u16, steps: usize) -> Option<ClusterOptions> {
    let nodes = NonZeroU16::new(nodes).filter(|nodes| nodes.get() > 1)?;
    Some(ClusterOptions {
        nodes,
        kill_node_at: (nodes.get() >= 3).then_some(steps * 2 / 3),
    })
}

/// Weights must not have seen what they are scored on; the warm-up before it is not.
fn refuse_leaks(weights: &ForecastWeights, customers: &[ReplayCustomer]) -> anyhow::Result<()> {
    let origins = customers
        .iter()
        .filter_map(|one| Some((one.origin.as_ref()?, one.scored_start())));
    for (origin, start) in origins {
        for series in &origin.series {
            let seen = weights
                .card()
                .check_cut(&origin.dataset, &series.source_series, start.0);
            seen.map_err(|leak| ExpectedError::Refused {
                context: leak.to_string(),
                hint: "use the shipped weights, or train with an earlier cut".to_owned(),
            })?;
        }
    }
    Ok(())
}
