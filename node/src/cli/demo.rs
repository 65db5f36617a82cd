//! `twinscale demo`: the main job on real traces that ship with the program.

use super::output::{self, SharedArguments};
use crate::assembly::{ForecastWeights, NodeOptions};
use crate::console;
use crate::error::ExpectedError;
use crate::progress::Progress;
use crate::replay::{ReplayOptions, replay};
use crate::report::{ReportInput, report_html, report_json, report_table};
use crate::summary::{FirstSteps, ReportFrame, report_input};
use crate::workload::{ReplayCustomer, from_samples};
use clap::Args;
use std::path::PathBuf;
use twinscale_provisioner::SimCloudConfig;

/// Replays weeks of real customers on an embedded node and shows what provisioning ahead is worth.
#[derive(Debug, Args)]
pub(super) struct DemoArguments {
    /// Customers, of the twelve that ship.
    #[arg(long, default_value_t = 12, value_parser = clap::value_parser!(u16).range(1..=12))]
    customers: u16,
    /// Weeks of each customer, up to the four that ship.
    #[arg(long, default_value_t = 4, value_parser = clap::value_parser!(u32).range(1..=4))]
    weeks: u32,
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
        output::write_picture(path, &input)?;
    }
    if !quiet {
        console::say(&format!("report: {}", arguments.report.display()));
    }
    Ok(())
}

fn replayed(arguments: &DemoArguments, quiet: bool) -> anyhow::Result<ReportInput> {
    let seed = arguments.shared.seed;
    let customers = from_samples(usize::from(arguments.customers), arguments.weeks)?;
    let weights = ForecastWeights::load(arguments.shared.weights.as_deref())?;
    refuse_leaks(&weights, &customers)?;
    let folder = tempfile::tempdir()
        .map_err(|source| ExpectedError::file("create", &std::env::temp_dir(), source))?;
    let steps = customers
        .iter()
        .map(|one| one.steps.len())
        .max()
        .unwrap_or(0);
    let killed_at = Some(steps / 2);
    let cloud = SimCloudConfig::with_seed(seed);
    let rival_start_up = cloud.start_up.shape.median;
    let options = ReplayOptions {
        node: NodeOptions {
            directory: folder.path().to_owned(),
            seed,
            optimizer_threads: arguments.shared.optimizer_threads(),
            weights,
            cloud,
        },
        kill_forecaster_at: killed_at,
    };
    let runtime = super::runtime(usize::from(arguments.shared.threads))?;
    let progress = Progress::start("replay", steps as u64, quiet);
    let mut first_steps = FirstSteps::default();
    let outcome = runtime.block_on(replay(&customers, options, &mut first_steps, &progress))?;
    drop(progress);
    let frame = ReportFrame {
        title: "Twinscale demo",
        seed,
        rival_start_up,
        killed_at,
        notes: output::notes(rival_start_up),
    };
    Ok(report_input(&customers, &outcome, &first_steps, &frame))
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

fn write(path: &std::path::Path, text: &str) -> Result<(), ExpectedError> {
    std::fs::write(path, text).map_err(|source| ExpectedError::file("write", path, source))
}
