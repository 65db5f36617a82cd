//! `twinscale train`: trains weights on a data directory, without a look behind the cut.

use crate::console;
use crate::error::ExpectedError;
use crate::progress::Progress;
use clap::Args;
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::SeedableRng as _;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use twinscale_forecast_model::train::{TrainOptions, card, train};
use twinscale_forecaster::bench::sources::{SourceSelection, read_sources};
use twinscale_forecaster::training::corpus::Corpus;
use twinscale_forecaster::training::cuts::ExtraCuts;

/// Sets whose licence lets weights be passed on.
const DATASETS_DEFAULT: &str = "appserver_requests,azure_v2_region,cloudcluster_pools,nab_aws,nab_tweets,nasa_http,nyc_taxi,snowflake_vm";

/// Trains the recurrent network and writes weights with their card.
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
    /// Root of all randomness.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Optimiser steps at most; it stops early when a later span of each series does not improve.
    #[arg(long)]
    steps: Option<u64>,
}

pub(super) fn run(arguments: &TrainArguments, quiet: bool) -> anyhow::Result<()> {
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
    let defaults = TrainOptions::default();
    let options = TrainOptions {
        seed: arguments.seed,
        steps: arguments.steps.unwrap_or(defaults.steps),
        checkpoint: Some(arguments.out.with_extension("checkpoint")),
        ..defaults
    };
    let progress = Progress::start("training", options.steps, quiet);
    let trained = train(&corpus, &options, &mut |at| {
        progress.at(at.step);
        progress.note(format!(
            "loss {:.4}, best {:.4}",
            at.validation_loss, at.best_loss
        ));
    })
    .map_err(|error| ExpectedError::input("training ended without weights", error))?;
    drop(progress);
    let card = card(&trained, &options, &corpus, &origins(&arguments.data)?)?;
    let card_path = arguments.out.with_extension("json");
    write(&arguments.out, &trained.weights)?;
    write(&card_path, card.to_json()?.as_bytes())?;
    if !quiet {
        console::say(&format!(
            "weights {} in {}, card in {}: loss {:.4} at step {} of {}",
            card.weights_id,
            arguments.out.display(),
            card_path.display(),
            trained.progress.best_loss,
            trained.progress.best_step,
            trained.progress.step,
        ));
    }
    Ok(())
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
