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
use std::path::PathBuf;
use std::time::Duration;
use twinscale_forecaster::actor::ForecasterRequest;
use twinscale_forecaster::bench::run::{BenchError, BenchOptions, run as run_forecast};
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
}

pub(super) fn run(arguments: &BenchArguments, quiet: bool) -> anyhow::Result<()> {
    match arguments {
        BenchArguments::Forecast(arguments) => forecast(arguments, quiet),
        BenchArguments::Elasticity(arguments) => elasticity::run(arguments, quiet),
        BenchArguments::Micro(arguments) => micro(arguments, quiet),
        BenchArguments::Growth(arguments) => growth::run(arguments, quiet),
    }
}

fn forecast(arguments: &ForecastArguments, quiet: bool) -> anyhow::Result<()> {
    let weights = ForecastWeights::load(arguments.weights.as_deref())?;
    let runtime = super::runtime(1)?;
    let clock = DomainClock::starting_at(DomainTime(0));
    let forecaster = runtime.block_on(start_forecaster(&weights, &clock))?;
    let address = forecaster.address().clone();
    let options = BenchOptions {
        directory: arguments.data.clone(),
        split: arguments.split.clone(),
        out: arguments.out.clone(),
    };
    let progress = Progress::start("forecasts", 1, quiet);
    let mut answer = |requests: &[ForecastRequest]| runtime.block_on(ask_all(&address, requests));
    let made = run_forecast(&options, weights.card(), &mut answer, &mut |at| {
        progress.of(at.done as u64, at.total as u64);
    })
    .map_err(expected)?;
    drop(progress);
    runtime.block_on(forecaster.stop());
    if !quiet {
        console::say(&format!("{made} forecasts in {}", arguments.out.display()));
    }
    Ok(())
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
