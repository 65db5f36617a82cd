//! `twinscale bench growth`: what twins cost as they become many.

use crate::assembly::ForecastWeights;
use crate::console;
use crate::error::ExpectedError;
use crate::growth::{GrowthOptions, GrowthReport, GrowthRow, measure};
use crate::micro::Machine;
use crate::progress::Progress;
use clap::Args;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use twinscale_log::SystemMonotonicClock;

/// Most twins: what one node holds.
const TWINS_MAX: i64 = 100_000;

/// Measures memory per twin, turns, forecasts, plans and waking for several numbers of twins.
///
/// Each number has a process of its own: a node with log, store and recorded provider, whose twins have two
/// series with two days of five-minute history and the default policy. All twins get their history and are
/// put away; some of them get an actor, three turns each, and are put away again, asked, and sent a sample.
/// Memory is read after each, and after a start with all twins. Forecasts and plans go through the actors,
/// as many at once as a node lets turns run. With 100,000 twins it takes some ten minutes and 5 GB of disk.
#[derive(Debug, Args)]
pub(in crate::cli) struct GrowthArguments {
    /// Numbers of twins.
    #[arg(long, value_name = "COUNT", value_delimiter = ',', default_values_t = [1_000, 10_000, 100_000],
          value_parser = clap::value_parser!(u32).range(1..=TWINS_MAX))]
    twins: Vec<u32>,
    /// Most twins that are given turns; the others have their history and rest.
    #[arg(long, value_name = "COUNT", default_value_t = 1_000,
          value_parser = clap::value_parser!(u32).range(1..=TWINS_MAX))]
    active_max: u32,
    /// Folder on whose disk logs and stores are written; scratch folders in it are removed.
    #[arg(long, value_name = "DIR")]
    directory: Option<PathBuf>,
    /// Print the figures as JSON.
    #[arg(long)]
    json: bool,
}

/// Worker threads of the node, as `twinscale run` has.
const WORKERS: usize = 2;

pub(super) fn run(arguments: &GrowthArguments, quiet: bool) -> anyhow::Result<()> {
    let rows = match arguments.twins.as_slice() {
        [twins] => vec![here(*twins, arguments, quiet)?],
        many => many
            .iter()
            .map(|twins| in_own_process(*twins, arguments, quiet))
            .collect::<anyhow::Result<Vec<GrowthRow>>>()?,
    };
    let machine = Machine::here();
    let report = GrowthReport::new(&machine, rows)?;
    if arguments.json {
        let mut json = serde_json::to_string_pretty(&report)?;
        json.push('\n');
        console::print(&json)?;
    } else {
        console::print(&format!("{machine}\n{}", report.table()))?;
    }
    Ok(())
}

fn here(twins: u32, arguments: &GrowthArguments, quiet: bool) -> anyhow::Result<GrowthRow> {
    let place = arguments
        .directory
        .clone()
        .unwrap_or_else(std::env::temp_dir);
    let folder = tempfile::tempdir_in(&place)
        .map_err(|source| ExpectedError::file("make a folder in", &place, source))?;
    let options = GrowthOptions {
        directory: folder.path().to_owned(),
        twins,
        active_max: arguments.active_max,
        weights: ForecastWeights::load(None)?,
    };
    let progress = Progress::start("measuring", 1, quiet);
    let runtime = crate::cli::runtime(WORKERS)?;
    let clock = SystemMonotonicClock::start();
    runtime.block_on(measure(&options, &clock, &progress))
}

/// The same command for one number of twins, in a process whose memory nothing else has used.
fn in_own_process(
    twins: u32,
    arguments: &GrowthArguments,
    quiet: bool,
) -> anyhow::Result<GrowthRow> {
    let program = std::env::current_exe()?;
    let mut command = Command::new(&program);
    command.args(["bench", "growth", "--json", "--twins", &twins.to_string()]);
    command.args(["--active-max", &arguments.active_max.to_string()]);
    if let Some(directory) = &arguments.directory {
        command.arg("--directory").arg(directory);
    }
    if quiet {
        command.arg("--quiet");
    }
    let output = command
        .stdin(Stdio::null())
        .stderr(Stdio::inherit())
        .output()
        .map_err(|source| ExpectedError::file("run", &program, source))?;
    let failed = || {
        ExpectedError::input_hint(
            format!("the run with {twins} twins ended with {}", output.status),
            "its own words stand above",
        )
    };
    if !output.status.success() {
        return Err(failed().into());
    }
    let report: GrowthReport = serde_json::from_slice(&output.stdout)?;
    Ok(report.rows.into_iter().next().ok_or_else(failed)?)
}
