//! `twinscale bench elasticity`: decisions on demand traces, for the scorer.

use crate::assembly::ForecastWeights;
use crate::console;
use crate::elasticity::cuts::check_cuts;
use crate::elasticity::suite::KNOBS;
use crate::elasticity::write::write_decisions;
use crate::elasticity::{ElasticityOptions, Suite, SuiteError, decide, read_suites};
use crate::error::ExpectedError;
use crate::progress::Progress;
use clap::Args;
use std::num::NonZeroUsize;
use std::path::PathBuf;

/// Least and largest price of an under-provisioned step.
const KNOB_MIN: f64 = 1e-3;
const KNOB_MAX: f64 = 1e6;
/// Most prices of one run.
const KNOBS_MAX: usize = 64;

/// Decides on demand traces, one sample at a time, and writes `suite,series,knob,timestamp,desired`.
///
/// The knob is the price of an under-provisioned step, as a multiple of what the VMs that a customer needs
/// on average cost in a step, and of each VM that is missing, as the same multiple of what it costs; larger
/// is safer. All prices share one forecast.
#[derive(Debug, Args)]
pub(in crate::cli) struct ElasticityArguments {
    /// Directory with manifest.json and a folder per split.
    #[arg(long, value_name = "DIR")]
    data: PathBuf,
    /// The split: the folder's name.
    #[arg(long, default_value = "dev")]
    split: String,
    /// Only these suites; all of the manifest when left out.
    #[arg(long = "suite", value_name = "NAME", value_delimiter = ',', num_args = 1..)]
    suites: Vec<String>,
    /// Prices of an under-provisioned step.
    #[arg(long, value_name = "PRICE", value_delimiter = ',', value_parser = parse_knob,
          default_values_t = KNOBS)]
    knobs: Vec<f64>,
    /// The decisions; packed when the name ends in .gz.
    #[arg(long, value_name = "FILE")]
    out: PathBuf,
    /// Root of all randomness.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Worker threads; they change how long it takes, not what comes out.
    #[arg(long, default_value_t = 2, value_parser = clap::value_parser!(u16).range(1..=64))]
    threads: u16,
    /// Other weights than the shipped ones; their card is the .json file beside them.
    #[arg(long, value_name = "FILE")]
    weights: Option<PathBuf>,
}

fn parse_knob(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(knob) if (KNOB_MIN..=KNOB_MAX).contains(&knob) => Ok(knob),
        _ => Err(format!("give a number from {KNOB_MIN} to {KNOB_MAX}")),
    }
}

pub(super) fn run(arguments: &ElasticityArguments, quiet: bool) -> anyhow::Result<()> {
    let knobs = checked_knobs(&arguments.knobs)?;
    let suites =
        read_suites(&arguments.data, &arguments.split, &arguments.suites).map_err(unreadable)?;
    let weights = ForecastWeights::load(arguments.weights.as_deref())?;
    check_cuts(weights.card(), &suites).map_err(|leak| ExpectedError::Refused {
        context: leak.to_string(),
        hint: "use weights whose card names an earlier cut for this series, such as the shipped \
               ones, or train again with --cuts"
            .to_owned(),
    })?;
    // Before hours of work, not after.
    std::fs::File::create(&arguments.out)
        .map_err(|source| ExpectedError::file("create", &arguments.out, source))?;
    let runtime = crate::cli::runtime(usize::from(arguments.threads))?;
    let folder = tempfile::tempdir()
        .map_err(|source| ExpectedError::file("create", &std::env::temp_dir(), source))?;
    let options = ElasticityOptions {
        directory: folder.path().to_owned(),
        seed: arguments.seed,
        threads: NonZeroUsize::new(usize::from(arguments.threads)).unwrap_or(NonZeroUsize::MIN),
        weights,
        knobs,
    };
    let decisions: usize = suites.iter().map(Suite::decisions).sum();
    let traces: usize = suites.iter().map(|suite| suite.traces.len()).sum();
    let progress = Progress::start("decisions", decisions as u64, quiet);
    let done = |count| progress.at(count);
    let decided = runtime.block_on(decide(&suites, &options, &done))?;
    drop(progress);
    let decided: Vec<(Suite, Vec<_>)> = suites.into_iter().zip(decided).collect();
    let knobs = &options.knobs;
    let rows = write_decisions(&arguments.out, &decided, knobs)
        .map_err(|source| ExpectedError::file("write", &arguments.out, source))?;
    if !quiet {
        console::say(&format!(
            "{decisions} decisions on {traces} traces at {} prices, {rows} rows in {}",
            knobs.len(),
            arguments.out.display()
        ));
    }
    Ok(())
}

fn checked_knobs(knobs: &[f64]) -> Result<Vec<f64>, ExpectedError> {
    let mut knobs = knobs.to_vec();
    knobs.sort_by(f64::total_cmp);
    let given = knobs.len();
    knobs.dedup();
    if knobs.len() < given || given > KNOBS_MAX {
        return Err(ExpectedError::input_hint(
            format!("--knobs names {given} prices"),
            format!("give at most {KNOBS_MAX}, each once"),
        ));
    }
    Ok(knobs)
}

fn unreadable(error: SuiteError) -> ExpectedError {
    ExpectedError::input("the demand traces cannot be used", error)
}
