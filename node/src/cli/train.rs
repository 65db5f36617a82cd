//! `twinscale train`: trains weights on a data directory, without a look behind the cut.

use crate::assembly::ForecastWeights;
use crate::console;
use crate::error::ExpectedError;
use crate::progress::Progress;
use clap::Args;
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::SeedableRng as _;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use twinscale_forecast_model::append::{card_onto, weights_file_onto};
use twinscale_forecast_model::train::{
    TrainOptions, TrainProgress, Trained, card, train, weights_file,
};
use twinscale_forecast_model::{Architecture, NETWORKS_MAX, Parent};
use twinscale_forecaster::bench::sources::{SourceSelection, read_sources};
use twinscale_forecaster::training::corpus::Corpus;
use twinscale_forecaster::training::cuts::ExtraCuts;

/// Sets whose licence lets weights be passed on.
const DATASETS_DEFAULT: &str = "appserver_requests,azure_v2_region,cloudcluster_pools,nab_aws,nab_tweets,nasa_http,nyc_taxi,snowflake_vm";

/// What is trained unless said otherwise: networks that err differently are worth more than one alone.
const NETWORKS_DEFAULT: &str = "recurrent,recurrent,dense,recurrent_long";

/// Trains the networks and writes weights with their card.
#[derive(Debug, Args)]
pub(super) struct TrainArguments {
    /// Directory with protocol.json, manifest.json, events.csv and a folder per split.
    #[arg(long, value_name = "DIR")]
    data: PathBuf,
    /// The split: the folder's name.
    #[arg(long, default_value = "dev")]
    split: String,
    /// Sets to train on.
    #[arg(long, value_delimiter = ',', default_value = DATASETS_DEFAULT)]
    datasets: Vec<String>,
    /// Earlier cuts than the protocol's, as CSV: `dataset,customer_or_series,cut_epoch_s`.
    #[arg(long, value_name = "FILE")]
    cuts: Option<PathBuf>,
    /// Weights to write (safetensors); the card goes beside them, with the ending .json.
    #[arg(long, value_name = "FILE")]
    out: PathBuf,
    /// Weights whose networks the file gets first, as they are; the trained ones follow. Their card is the
    /// .json file beside them.
    #[arg(long, value_name = "FILE")]
    onto: Option<PathBuf>,
    /// Networks of the file, the n-th with the n-th seed. Forecasts of `recurrent` and `dense` are mixed, for up
    /// to 48 steps ahead, with `young` for histories of days; those of `recurrent_long` are for up to 168.
    #[arg(long, value_delimiter = ',', default_value = NETWORKS_DEFAULT, value_parser = network)]
    networks: Vec<Architecture>,
    /// Root of all randomness.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Optimiser steps of each network at most; it stops early when a later span of each series does not
    /// improve.
    #[arg(long)]
    steps: Option<u64>,
}

fn network(name: &str) -> Result<Architecture, String> {
    Architecture::ALL
        .into_iter()
        .find(|architecture| architecture.name() == name)
        .ok_or_else(|| {
            let names = Architecture::ALL.map(Architecture::name).join(", ");
            format!("no network is called `{name}`: give one of {names}")
        })
}

pub(super) fn run(arguments: &TrainArguments, quiet: bool) -> anyhow::Result<()> {
    let before = arguments.onto.as_deref();
    let before = before
        .map(|path| ForecastWeights::load(Some(path)))
        .transpose()?;
    let known = match &before {
        Some(before) => Parent::all_of(before.bytes())?.len(),
        None => 0,
    };
    let count = known + arguments.networks.len();
    if count > NETWORKS_MAX {
        let present = arguments.onto.as_deref().map_or_else(String::new, |path| {
            format!(", {known} of them in {},", path.display())
        });
        return Err(ExpectedError::input_hint(
            format!(
                "{count} networks{present} are more than the {NETWORKS_MAX} that a weights file holds"
            ),
            "name fewer after --networks",
        )
        .into());
    }
    let extra_cuts = match &arguments.cuts {
        Some(path) => ExtraCuts::parse(&read(path)?)
            .map_err(|error| ExpectedError::input(path.display().to_string(), error))?,
        None => ExtraCuts::default(),
    };
    let selection = SourceSelection {
        directory: arguments.data.clone(),
        split: arguments.split.clone(),
        datasets: arguments.datasets.clone(),
        extra_cuts,
    };
    let sources = read_sources(&selection)
        .map_err(|error| ExpectedError::input("the training data cannot be used", error))?;
    let corpus = Corpus::build(&sources, &mut ChaCha8Rng::seed_from_u64(arguments.seed))
        .map_err(|error| ExpectedError::input("the training data cannot be used", error))?;
    let trained = train_all(arguments, &corpus, quiet)?;
    let weights = match &before {
        Some(before) => weights_file_onto(before.bytes(), &trained)?,
        None => weights_file(&trained)?,
    };
    let mut card = card(&weights, &trained, &corpus, &origins(&arguments.data)?)?;
    if let Some(before) = &before {
        card = card_onto(before.card(), card);
    }
    let card_path = arguments.out.with_extension("json");
    write(&arguments.out, &weights)?;
    write(&card_path, card.to_json()?.as_bytes())?;
    if !quiet {
        console::say(&format!(
            "weights {} in {}, card in {}",
            card.weights_id,
            arguments.out.display(),
            card_path.display(),
        ));
        for network in &card.networks {
            console::say(&format!(
                "  {}: loss {:.4} at step {} of {}",
                network.network, network.validation_loss, network.best_step, network.steps,
            ));
        }
    }
    Ok(())
}

/// Trains one network after another; each has a checkpoint of its own, so that a run that was broken off
/// goes on where it was.
fn train_all(
    arguments: &TrainArguments,
    corpus: &Corpus,
    quiet: bool,
) -> anyhow::Result<Vec<Trained>> {
    let defaults = TrainOptions::default();
    let steps = arguments.steps.unwrap_or(defaults.steps);
    let count = arguments.networks.len() as u64;
    let progress = Progress::start("training", steps.saturating_mul(count), quiet);
    let networks = (0..).zip(&arguments.networks);
    let trained = networks.map(|(number, architecture): (u64, &Architecture)| {
        let options = TrainOptions {
            architecture: *architecture,
            seed: arguments.seed.saturating_add(number),
            steps,
            checkpoint: Some(arguments.out.with_extension(format!("{number}.checkpoint"))),
            ..defaults.clone()
        };
        let mut tell = |at: &TrainProgress| {
            progress.at(number.saturating_mul(steps).saturating_add(at.step));
            progress.note(format!(
                "network {} of {count} ({}): loss {:.4}, best {:.4}",
                number + 1,
                architecture.name(),
                at.validation_loss,
                at.best_loss
            ));
        };
        train(corpus, &options, &mut tell)
            .map_err(|error| ExpectedError::input("training ended without weights", error).into())
    });
    trained.collect()
}

/// Where each set comes from, by the data directory's manifest, when it has one.
fn origins(data: &Path) -> anyhow::Result<BTreeMap<String, String>> {
    #[derive(serde::Deserialize)]
    struct Entry {
        dataset: String,
        #[serde(default)]
        repository: String,
        #[serde(default)]
        path: String,
        #[serde(default)]
        commit: String,
        #[serde(default)]
        licence: String,
    }
    let path = data.join("manifest.json");
    if !path.exists() {
        return Ok(BTreeMap::new());
    }
    let entries: Vec<Entry> = serde_json::from_str(&read(&path)?)
        .map_err(|error| ExpectedError::input(path.display().to_string(), error))?;
    Ok(entries
        .into_iter()
        .map(|entry| {
            let Entry {
                dataset,
                repository,
                path,
                commit,
                licence,
            } = entry;
            (
                dataset,
                format!("{repository} {path} at {commit}; {licence}"),
            )
        })
        .collect())
}

fn read(path: &Path) -> Result<String, ExpectedError> {
    std::fs::read_to_string(path).map_err(|source| ExpectedError::file("read", path, source))
}

fn write(path: &Path, bytes: &[u8]) -> Result<(), ExpectedError> {
    std::fs::write(path, bytes).map_err(|source| ExpectedError::file("write", path, source))
}
