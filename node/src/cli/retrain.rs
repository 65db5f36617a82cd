//! `twinscale weights retrain`: trains weights further on the history of a running cluster's customers.

mod active;
mod history;

use super::cluster::{Connection, bring, command_of, parse_node, register};
use crate::console;
use crate::error::ExpectedError;
use crate::progress::Progress;
use crate::service::client::{ApiClient, Target};
use clap::Args;
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::SeedableRng as _;
use serde::Serialize;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use twinscale_cluster::admin::WeightsOrder;
use twinscale_forecast_model::train::{
    TrainOptions, TrainProgress, Trained, card, train, weights_file,
};
use twinscale_forecast_model::{Parent, weights_id};
use twinscale_forecaster::training::corpus::Corpus;
use twinscale_meta::stored::v2::SCHEMA;
use twinscale_protocol::{NodeId, WeightsId};

/// Optimiser steps of each network, unless said otherwise: a few passes over what a small cluster has.
const STEPS_DEFAULT: u64 = 600;

/// Steps between two looks at the validation spans.
const VALIDATE_EVERY: u64 = 100;

/// Looks without a better loss after which it stops.
const PATIENCE: u32 = 3;

/// By how much the validation loss must fall for the weights to count as better.
const BETTER_BY: f64 = 0.001;

/// Trains weights further.
#[derive(Debug, Args)]
#[command(after_help = "\
Example:
  $ twinscale weights retrain --server http://127.0.0.1:7878 --out next.safetensors --submit

Reads what every customer's demand was, keeps the last eighth of each series back, and trains further from the
weights given with --from, or else from those that the cluster forecasts with, which it fetches. Run it again with the same --out to go on with a training
that was broken off. With --submit, weights whose loss on what was kept back is lower are brought to the cluster
and compared there with the active ones; --certificates and --node say how to reach it.")]
pub(in crate::cli) struct RetrainArguments {
    /// The API of a node; any one will do.
    #[arg(long, value_name = "URL")]
    server: String,
    /// Weights to write; the card goes beside them, with the ending .json.
    #[arg(long, value_name = "FILE", default_value = "retrained.safetensors")]
    out: PathBuf,
    /// The weights to go on from; the active ones of the cluster when left out.
    #[arg(long, value_name = "FILE")]
    from: Option<PathBuf>,
    /// Optimiser steps of each network at most.
    #[arg(long, default_value_t = STEPS_DEFAULT)]
    steps: u64,
    /// Root of all randomness.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Bring the weights to the cluster, and have them compared, if they are better.
    #[arg(long, requires = "certificates", requires = "nodes")]
    submit: bool,
    /// Folder with the certificate of an operator, for --submit.
    #[arg(long, value_name = "DIR", env = "TWINSCALE_CERTIFICATES")]
    certificates: Option<PathBuf>,
    /// A node to bring the weights to, by the name in its certificate.
    #[arg(
        long = "node",
        value_name = "NAME=HOST:PORT",
        env = "TWINSCALE_NODE",
        value_delimiter = ',',
        value_parser = parse_node
    )]
    nodes: Vec<(NodeId, String)>,
    /// Print what came of it as JSON.
    #[arg(long)]
    json: bool,
}

/// What a training came to, for programs.
#[derive(Debug, Serialize)]
struct Outcome {
    /// Whether the validation loss is lower than before.
    improved: bool,
    /// The weights that it began from.
    parent: WeightsId,
    /// The weights that it made.
    weights: WeightsId,
    /// Mean validation loss of the networks before.
    loss_before: f64,
    /// The same after.
    loss_after: f64,
    /// Customers whose history was read.
    customers: usize,
    /// Series that were trained on.
    series: usize,
    /// Whether it was brought to the cluster.
    submitted: bool,
}

/// A network with its loss before and after.
struct Further {
    trained: Trained,
    before: f64,
}

pub(in crate::cli) async fn run(arguments: &RetrainArguments, quiet: bool) -> anyhow::Result<()> {
    let client = ApiClient::new(Target::Url(arguments.server.clone()));
    let parent_bytes = match &arguments.from {
        Some(path) => read(path)?,
        None => active::fetch_active(&client, quiet).await?,
    };
    let unusable = |error| ExpectedError::input("the weights to go on from cannot be used", error);
    let parents = Parent::all_of(&parent_bytes).map_err(unusable)?;
    let parent = weights_id(&parent_bytes).map_err(unusable)?;
    let read = history::read_all(&client, quiet).await?;
    let mut rng = ChaCha8Rng::seed_from_u64(arguments.seed);
    let corpus = Corpus::build(&read.series, &mut rng).map_err(|error| ExpectedError::Input {
        context: "the cluster's history cannot be trained on yet".to_owned(),
        hint: Some("wait until some series have three days of samples".to_owned()),
        source: Some(Box::new(error)),
    })?;
    let (customers, origin) = (read.customers, read.origin);
    drop(read.series);
    let further = train_further(arguments, &corpus, parents, &parent, quiet)?;
    let trained: Vec<Trained> = further.iter().map(|one| one.trained.clone()).collect();
    let mean =
        |of: fn(&Further) -> f64| further.iter().map(of).sum::<f64>() / further.len().max(1) as f64;
    let (before, after) = (
        mean(|one| one.before),
        mean(|one| one.trained.progress.best_loss),
    );
    let weights = weights_file(&trained)?;
    let mut card = card(&weights, &trained, &corpus, &origin)?;
    card.parent = Some(parent.clone());
    let series = card.datasets.values().map(|one| one.cut_s.len()).sum();
    let card_bytes = card.to_json()?.into_bytes();
    write(&arguments.out, &weights)?;
    write(&arguments.out.with_extension("json"), &card_bytes)?;
    let mut outcome = Outcome {
        improved: after < before * (1.0 - BETTER_BY),
        parent,
        weights: card.weights_id.clone(),
        loss_before: before,
        loss_after: after,
        customers,
        series,
        submitted: false,
    };
    if arguments.submit && outcome.improved {
        submit(arguments, (&weights, &card_bytes), quiet).await?;
        outcome.submitted = true;
    }
    let text = serde_json::to_vec_pretty(&outcome)?;
    write(&arguments.out.with_extension("outcome.json"), &text)?;
    tell(arguments, &outcome)
}

fn tell(arguments: &RetrainArguments, outcome: &Outcome) -> anyhow::Result<()> {
    if arguments.json {
        return super::cluster::print_json("twinscale-retrain/1", outcome);
    }
    let Outcome {
        loss_before,
        loss_after,
        ..
    } = outcome;
    let what = match (outcome.improved, outcome.submitted) {
        (true, true) => "they are compared with the active ones now: `twinscale weights show`",
        (true, false) => "bring them with `twinscale weights put`",
        (false, _) => {
            "they are not better than those before on what was kept back, and nothing was submitted"
        }
    };
    console::print(&format!(
        "weights {} in {}: validation loss {loss_after:.4}, before {loss_before:.4}, of {} series of {} customers; \
         {what}\n",
        outcome.weights,
        arguments.out.display(),
        outcome.series,
        outcome.customers,
    ))?;
    Ok(())
}

/// Trains one network after the other further; each has a checkpoint of its own.
fn train_further(
    arguments: &RetrainArguments,
    corpus: &Corpus,
    parents: Vec<Parent>,
    parent: &WeightsId,
    quiet: bool,
) -> anyhow::Result<Vec<Further>> {
    let count = parents.len() as u64;
    let steps = arguments.steps;
    let progress = Progress::start("training", steps.saturating_mul(count), quiet);
    let numbered = (0..).zip(parents);
    let further = numbered.map(|(number, network): (u64, Parent)| {
        // Another parent is another training.
        let checkpoint = format!("{parent}.{number}.checkpoint");
        let options = TrainOptions {
            seed: arguments.seed.saturating_add(number),
            steps,
            validate_every: VALIDATE_EVERY,
            patience: PATIENCE,
            checkpoint: Some(arguments.out.with_extension(checkpoint)),
            ..network.options()
        };
        let before_path = arguments
            .out
            .with_extension(format!("{parent}.{number}.before"));
        let mut before = resumed_loss(&before_path, &options);
        let mut tell = |at: &TrainProgress| {
            if at.step == 0 {
                before = Some(at.validation_loss);
                if let Err(error) = write(&before_path, at.validation_loss.to_string().as_bytes()) {
                    progress.line(&error.to_string());
                }
            }
            progress.at(number.saturating_mul(steps).saturating_add(at.step));
            progress.note(format!(
                "network {} of {count}: loss {:.4}, best {:.4}",
                number + 1,
                at.validation_loss,
                at.best_loss
            ));
        };
        let trained = train(corpus, &options, &mut tell);
        let trained = trained
            .map_err(|error| ExpectedError::input("training ended without weights", error))?;
        let before = before.unwrap_or(trained.progress.best_loss);
        // It came to its end: the next training is another one.
        for path in options.checkpoint.iter().chain([&before_path]) {
            drop(std::fs::remove_file(path));
        }
        Ok(Further { trained, before })
    });
    further.collect()
}

/// The loss before a training that was broken off.
fn resumed_loss(path: &Path, options: &TrainOptions) -> Option<f64> {
    let has_checkpoint = options
        .checkpoint
        .as_ref()
        .is_some_and(|path| path.exists());
    let text = std::fs::read_to_string(path).ok()?;
    has_checkpoint.then(|| text.trim().parse().ok()).flatten()
}

async fn submit(
    arguments: &RetrainArguments,
    (weights, card): (&[u8], &[u8]),
    quiet: bool,
) -> anyhow::Result<()> {
    let certificates = arguments.certificates.as_deref().ok_or_else(|| {
        ExpectedError::input_hint(
            "nobody's certificate is given to submit with",
            "give --certificates and --node",
        )
    })?;
    let connection = Connection::open(certificates, arguments.nodes.clone(), 30)?;
    let known = register(&connection).await?;
    if known.gate < SCHEMA {
        return Err(ExpectedError::input_hint(
            format!(
                "weights in service need schema {SCHEMA}, and the cluster's is {}",
                known.gate
            ),
            "upgrade every node, then `twinscale schema raise`",
        )
        .into());
    }
    let (notice, _reply) = bring(&connection, weights, card, quiet).await?;
    let order = WeightsOrder::Shadow {
        weights: notice.id.to_string(),
    };
    command_of(&connection, order).await?;
    Ok(())
}

fn read(path: &Path) -> Result<Vec<u8>, ExpectedError> {
    std::fs::read(path).map_err(|source| ExpectedError::file("read", path, source))
}

fn write(path: &Path, bytes: &[u8]) -> Result<(), ExpectedError> {
    std::fs::write(path, bytes).map_err(|source| ExpectedError::file("write", path, source))
}

/// Where the data of a dataset comes from.
type Origins = BTreeMap<String, String>;
