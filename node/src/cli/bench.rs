//! `twinscale bench`: figures that compare with a rival or a limit.

mod elasticity;
mod growth;

use crate::assembly::{ForecastWeights, start_forecaster};
use crate::clients::wire;
use crate::console;
use crate::error::ExpectedError;
use crate::micro::{Machine, measure_all, table};
use crate::progress::Progress;
use clap::{Args, Subcommand};
use std::fmt::Write as _;
use std::path::PathBuf;
use std::time::Duration;
use twinscale_forecaster::actor::ForecasterRequest;
use twinscale_forecaster::bench::run::{
    BenchError, BenchOptions, BenchOutcome, run as run_forecast,
};
use twinscale_forecaster::bench::tally::Losses;
use twinscale_protocol::forecaster::{ForecastReply, ForecastRequest};
use twinscale_protocol::{DomainTime, WireError};
use twinscale_supervision::{Address, DomainClock};

/// A cold request back-casts over weeks of context; a busy machine takes seconds for many at once.
const ASK_LIMIT: Duration = Duration::from_mins(5);

/// Requests under way at once: well under the forecaster's mailbox.
const ASKS_AT_ONCE: usize = 64;

/// Where the benchmark beside a database is: a crate of its own, so that the product does not compile one.
const MORE: &str = "Ingest beside SQLite on the same disk:
  cargo run --release --manifest-path bench/Cargo.toml -- ingest --help";

/// Measures Twinscale against rivals and limits.
#[derive(Debug, Subcommand)]
#[command(after_help = MORE)]
pub(super) enum BenchArguments {
    /// Forecast every scored series of a data directory at every origin, for the scorer.
    Forecast(ForecastArguments),
    /// Decide on every demand trace of a data directory at several prices of a miss, for the scorer.
    Elasticity(elasticity::ElasticityArguments),
    /// Compare the losses in event windows with the events announced and without.
    Events(EventsArguments),
    /// Measure memory, forecasts, plans and log appends, each beside its limit.
    Micro(MicroArguments),
    /// Measure what twins cost as they become many: memory, turns, forecasts, plans.
    Growth(growth::GrowthArguments),
}

/// Small measurements of this machine.
#[derive(Debug, Args)]
pub(super) struct MicroArguments {
    /// Seconds of each measurement of the log.
    #[arg(long, default_value_t = 2, value_parser = clap::value_parser!(u32).range(1..=60))]
    seconds: u32,
    /// Print the figures as JSON.
    #[arg(long)]
    json: bool,
}

/// Format of the JSON output.
const MICRO_FORMAT: &str = "twinscale-micro/1";

/// Writes the submission file of the forecast protocol.
#[derive(Debug, Args)]
pub(super) struct ForecastArguments {
    /// Directory with protocol.json, events.csv and a folder per split.
    #[arg(long, value_name = "DIR")]
    data: PathBuf,
    /// The split: the folder's name.
    #[arg(long, default_value = "dev")]
    split: String,
    /// The submission; compressed when it ends in .gz.
    #[arg(long, value_name = "FILE")]
    out: PathBuf,
    /// Other weights than the shipped ones; their card is the .json file beside them.
    #[arg(long, value_name = "FILE")]
    weights: Option<PathBuf>,
    /// Days of history that a forecast may look back, as a young customer has; all it can use by default.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=3650))]
    history_days: Option<u32>,
}

/// Forecasts twice, with events announced and without, and tells the losses in the events' windows.
#[derive(Debug, Args)]
pub(super) struct EventsArguments {
    /// Directory with protocol.json, events.csv and a folder per split.
    #[arg(long, value_name = "DIR")]
    data: PathBuf,
    /// The split: the folder's name.
    #[arg(long, default_value = "dev")]
    split: String,
    /// Other weights than the shipped ones; their card is the .json file beside them.
    #[arg(long, value_name = "FILE")]
    weights: Option<PathBuf>,
    /// Print the losses as JSON.
    #[arg(long)]
    json: bool,
}

/// Format of the JSON output.
const EVENTS_FORMAT: &str = "twinscale-bench-events/1";

pub(super) fn run(arguments: &BenchArguments, quiet: bool) -> anyhow::Result<()> {
    match arguments {
        BenchArguments::Forecast(arguments) => forecast(arguments, quiet),
        BenchArguments::Elasticity(arguments) => elasticity::run(arguments, quiet),
        BenchArguments::Events(arguments) => events(arguments, quiet),
        BenchArguments::Micro(arguments) => micro(arguments, quiet),
        BenchArguments::Growth(arguments) => growth::run(arguments, quiet),
    }
}

fn forecast(arguments: &ForecastArguments, quiet: bool) -> anyhow::Result<()> {
    let options = BenchOptions {
        directory: arguments.data.clone(),
        split: arguments.split.clone(),
        out: Some(arguments.out.clone()),
        history_days: arguments.history_days,
        with_events: true,
    };
    let weights = ForecastWeights::load(arguments.weights.as_deref())?;
    let made = forecast_all(&weights, &[options], quiet)?;
    if !quiet {
        let forecasts: usize = made.iter().map(|outcome| outcome.forecasts).sum();
        let out = arguments.out.display();
        console::say(&format!("{forecasts} forecasts in {out}"));
    }
    Ok(())
}

fn events(arguments: &EventsArguments, quiet: bool) -> anyhow::Result<()> {
    let runs = [true, false].map(|with_events| BenchOptions {
        directory: arguments.data.clone(),
        split: arguments.split.clone(),
        out: None,
        history_days: None,
        with_events,
    });
    let weights = ForecastWeights::load(arguments.weights.as_deref())?;
    let made = forecast_all(&weights, &runs, quiet)?;
    let [with, without] = made.as_slice() else {
        anyhow::bail!("two runs were asked for, {} came back", made.len());
    };
    if arguments.json {
        let report = serde_json::json!({
            "format": EVENTS_FORMAT,
            "announced": with.tallies,
            "not_announced": without.tallies,
        });
        console::print(&format!("{report:#}\n"))?;
    } else {
        console::print(&events_table(with, without))?;
    }
    Ok(())
}

/// Weighted quantile losses of datasets that have events: announced, not announced, and their ratio.
fn events_table(with: &BenchOutcome, without: &BenchOutcome) -> String {
    let mut table = format!(
        "{:<20}{:>8}{:>12}{:>12}{:>8}{:>14}{:>12}{:>8}\n",
        "dataset", "steps", "announced", "not", "ratio", "elsewhere", "not", "ratio"
    );
    let show = |losses: Losses| {
        losses
            .weighted()
            .map_or_else(|| "-".to_owned(), |loss| format!("{loss:.4}"))
    };
    let ratio = |losses: Losses, others: Losses| match (losses.weighted(), others.weighted()) {
        (Some(loss), Some(other)) if other > 0.0 => format!("{:.3}", loss / other),
        _ => "-".to_owned(),
    };
    for (dataset, told) in &with.tallies {
        let Some(untold) = without.tallies.get(dataset) else {
            continue;
        };
        if told.in_events.steps == 0 {
            continue;
        }
        let (inside, outside) = (
            (told.in_events, untold.in_events),
            (told.elsewhere, untold.elsewhere),
        );
        // Writing to a string cannot fail.
        let _written = writeln!(
            table,
            "{dataset:<20}{:>8}{:>12}{:>12}{:>8}{:>14}{:>12}{:>8}",
            told.in_events.steps,
            show(inside.0),
            show(inside.1),
            ratio(inside.0, inside.1),
            show(outside.0),
            show(outside.1),
            ratio(outside.0, outside.1),
        );
    }
    table
}

fn forecast_all(
    weights: &ForecastWeights,
    runs: &[BenchOptions],
    quiet: bool,
) -> anyhow::Result<Vec<BenchOutcome>> {
    let runtime = super::runtime(1)?;
    let clock = DomainClock::starting_at(DomainTime(0));
    let forecaster = runtime.block_on(start_forecaster(weights, &clock))?;
    let address = forecaster.address().clone();
    let progress = Progress::start("forecasts", 1, quiet);
    let mut answer = |requests: &[ForecastRequest]| runtime.block_on(ask_all(&address, requests));
    let made = runs
        .iter()
        .enumerate()
        .map(|(number, options)| {
            let before = number as u64;
            run_forecast(options, weights.card(), &mut answer, &mut |at| {
                let (done, total) = (at.done as u64, at.total as u64);
                progress.of(before * total + done, runs.len() as u64 * total);
            })
            .map_err(expected)
        })
        .collect::<Result<Vec<_>, _>>()?;
    drop(progress);
    runtime.block_on(forecaster.stop());
    Ok(made)
}

fn micro(arguments: &MicroArguments, quiet: bool) -> anyhow::Result<()> {
    let runtime = super::runtime(2)?;
    let progress = Progress::start("measuring", 1, quiet);
    let machine = Machine::here();
    let figures = measure_all(&runtime, arguments.seconds, &progress)?;
    drop(progress);
    if arguments.json {
        let report = serde_json::json!({
            "format": MICRO_FORMAT,
            "machine": machine,
            "figures": figures,
        });
        console::print(&format!("{report:#}\n"))?;
    } else {
        console::print(&format!("{machine}\n{}", table(&figures)))?;
    }
    Ok(())
}

async fn ask_all(
    address: &Address<ForecasterRequest>,
    requests: &[ForecastRequest],
) -> Vec<Result<ForecastReply, WireError>> {
    let mut replies = Vec::with_capacity(requests.len());
    for chunk in requests.chunks(ASKS_AT_ONCE) {
        let asks = chunk.iter().map(|request| {
            address.ask(ASK_LIMIT, move |reply_to| {
                ForecasterRequest::Forecast(Box::new(request.clone()), reply_to)
            })
        });
        let answers = futures::future::join_all(asks).await;
        replies.extend(answers.into_iter().map(|answer| match answer {
            Ok(reply) => reply,
            Err(error) => Err(wire(&error)),
        }));
    }
    replies
}

fn expected(error: BenchError) -> ExpectedError {
    match error {
        BenchError::Leak(leak) => ExpectedError::Refused {
            context: leak.to_string(),
            hint:
                "use weights whose card names an earlier cut for this series, such as the shipped \
                   ones, or train again with --cuts"
                    .to_owned(),
        },
        error => ExpectedError::input("the forecast benchmark cannot run", error),
    }
}
