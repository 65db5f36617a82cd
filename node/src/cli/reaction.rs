//! `twinscale reaction`: trains, shows and checks the model of how demand answers.

mod real;
mod text;

use super::standing;
use crate::console;
use crate::error::ExpectedError;
use crate::progress::Progress;
use crate::reaction::Station;
use clap::{Args, Subcommand};
use std::path::{Path, PathBuf};
use twinscale_forecast_model::reaction::{
    MadeOf, ReactionCard, ReactionNetwork, ReactionProgress, ReactionTrainOptions, load_reaction,
    load_shipped_reaction, train_reaction,
};
use twinscale_reaction::effect::{KnownRow, LinearEffect};
use twinscale_reaction::evaluate::Verdict;
use twinscale_reaction::study::{CUSTOMERS_MAX, Population, Worth, worth};

/// Steps of a day of five minutes.
const STEPS_PER_DAY: usize = 288;
const INTERVAL_S: u32 = 300;
/// Every so many steps of a customer are learned from: neighbours say the same.
const STRIDE: usize = 8;

/// Trains, shows and checks the model of how demand answers to latency, throttling, price and events.
///
/// What-if uses the shipped one (`twinscale what-if --customer`), the simulator with --reaction. See docs/reaction.md.
#[derive(Debug, Subcommand)]
pub(super) enum ReactionCommand {
    /// Train on simulated customers, judge on others that were kept back, and write weights with their card.
    Train(TrainArguments),
    /// Show what a model says of common questions, what it was made of and what it is worth.
    Show(ShowArguments),
    /// Check a model on real traces with dated events, beside no reaction and beside the patterns' answer.
    Check(CheckArguments),
}

#[derive(Debug, Args)]
pub(super) struct TrainArguments {
    /// Weights to write (safetensors); the card goes beside them, with the ending .json.
    #[arg(long, value_name = "FILE")]
    out: PathBuf,
    /// Root of all randomness.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Simulated customers to train on.
    #[arg(long, default_value_t = 240, value_parser = clap::value_parser!(u64).range(1..=1_000))]
    customers: u64,
    /// Further ones that are kept back to judge by; fewer than 20 leave the gate shut.
    #[arg(long, default_value_t = 60, value_parser = clap::value_parser!(u64).range(1..=200))]
    kept_back: u64,
    /// Days of each customer.
    #[arg(long, default_value_t = 35, value_parser = clap::value_parser!(u16).range(7..=120))]
    days: u16,
    /// Optimiser steps.
    #[arg(long)]
    steps: Option<u32>,
}

/// Which model.
#[derive(Debug, Args)]
struct ModelArguments {
    /// Weights of `twinscale reaction train`, with their card beside them; the shipped ones when left out.
    #[arg(long, value_name = "FILE")]
    weights: Option<PathBuf>,
}

#[derive(Debug, Args)]
pub(super) struct ShowArguments {
    #[command(flatten)]
    model: ModelArguments,
    /// Print the card as JSON.
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Args)]
pub(super) struct CheckArguments {
    #[command(flatten)]
    model: ModelArguments,
    /// Directory with protocol.json, events.csv and a folder per split.
    #[arg(long, value_name = "DIR")]
    data: PathBuf,
    /// The split: the folder's name.
    #[arg(long, default_value = "dev")]
    split: String,
    /// Only these sets; all with events when left out. May be given again.
    #[arg(long, value_name = "NAME")]
    dataset: Vec<String>,
    /// Print all figures as JSON.
    #[arg(long)]
    json: bool,
}

pub(super) fn run(command: &ReactionCommand, quiet: bool) -> anyhow::Result<()> {
    match command {
        ReactionCommand::Train(arguments) => train(arguments, quiet),
        ReactionCommand::Show(arguments) => show(arguments),
        ReactionCommand::Check(arguments) => check(arguments, quiet),
    }
}

/// Reads the model of `--weights` and its card, or the shipped ones.
pub(super) fn read_model(
    weights: Option<&Path>,
) -> anyhow::Result<(ReactionNetwork, ReactionCard)> {
    let Some(path) = weights else {
        return Ok(load_shipped_reaction()?);
    };
    let bytes = std::fs::read(path).map_err(|source| ExpectedError::file("read", path, source))?;
    let card_path = path.with_extension("json");
    let card = std::fs::read(&card_path)
        .map_err(|source| ExpectedError::file("read", &card_path, source))?;
    let found = load_reaction(&bytes, &card);
    Ok(found.map_err(|error| {
        ExpectedError::input(format!("{} cannot be used", path.display()), error)
    })?)
}

fn train(arguments: &TrainArguments, quiet: bool) -> anyhow::Result<()> {
    let made_of = MadeOf {
        population: Population {
            seed: arguments.seed,
            interval_s: INTERVAL_S,
            steps: usize::from(arguments.days) * STEPS_PER_DAY,
        },
        trained_on: arguments.customers,
        kept_back: arguments.kept_back,
    };
    debug_assert!(arguments.customers + arguments.kept_back <= CUSTOMERS_MAX as u64);
    let known = simulated(&made_of, quiet);
    let options = ReactionTrainOptions {
        seed: arguments.seed,
        steps: arguments
            .steps
            .unwrap_or(ReactionTrainOptions::default().steps),
        ..ReactionTrainOptions::default()
    };
    let progress = Progress::start("training", u64::from(options.steps), quiet);
    let mut tell = |one: &ReactionProgress| {
        progress.at(u64::from(one.step));
        progress.note(format!("loss {:.4}", one.loss));
    };
    let network = train_reaction(&known, &options, &mut tell)
        .map_err(|error| ExpectedError::input("training ended without a model", error))?;
    drop(progress);
    let (found, linear) = judged(&made_of, &network, &LinearEffect::fit(&known), quiet)?;
    let card = ReactionCard::of(
        &network,
        (options.seed, options.steps),
        made_of,
        (found, linear),
    )?;
    let card_path = arguments.out.with_extension("json");
    write(&arguments.out, &network.write()?)?;
    write(
        &card_path,
        (serde_json::to_string_pretty(&card)? + "\n").as_bytes(),
    )?;
    console::print(&text::worth(&card))?;
    if card.verdict != Verdict::Open && !quiet {
        console::say("the gate is shut: nothing will use these weights");
    }
    Ok(())
}

/// Simulates the customers to train on, one by one.
fn simulated(made_of: &MadeOf, quiet: bool) -> Vec<Vec<KnownRow>> {
    let progress = Progress::start("simulating", made_of.trained_on, quiet);
    let one = |number| {
        let customer = made_of.population.customer(number, &mut Station);
        progress.at(number + 1);
        customer.known(STRIDE)
    };
    (0..made_of.trained_on).map(one).collect()
}

fn judged(
    made_of: &MadeOf,
    network: &ReactionNetwork,
    linear: &LinearEffect,
    quiet: bool,
) -> anyhow::Result<(Worth, Worth)> {
    let progress = Progress::start("judging", made_of.kept_back, quiet);
    let one = |number| {
        let customer = made_of
            .population
            .customer(made_of.trained_on + number, &mut Station);
        progress.at(number + 1);
        customer
    };
    let kept_back: Vec<_> = (0..made_of.kept_back).map(one).collect();
    let unknown = |error| ExpectedError::input("the model cannot be judged", error);
    Ok((
        worth(&kept_back, network).map_err(unknown)?,
        worth(&kept_back, linear).map_err(unknown)?,
    ))
}

fn write(path: &Path, bytes: &[u8]) -> Result<(), ExpectedError> {
    std::fs::write(path, bytes).map_err(|source| ExpectedError::file("write", path, source))
}

fn show(arguments: &ShowArguments) -> anyhow::Result<()> {
    let (network, card) = read_model(arguments.model.weights.as_deref())?;
    if arguments.json {
        return standing::print_json(&card);
    }
    console::print(&(text::questions(&network)? + &text::worth(&card)))?;
    Ok(())
}

fn check(arguments: &CheckArguments, quiet: bool) -> anyhow::Result<()> {
    let (network, card) = read_model(arguments.model.weights.as_deref())?;
    let rows = real::rows(arguments, &network, quiet)?;
    let found = real::summary(rows);
    if arguments.json {
        return standing::print_json(&serde_json::json!({
            "format": "twinscale-reaction-check/1",
            "weights_id": card.weights_id,
            "check": found,
        }));
    }
    console::print(&real::text(&found))?;
    Ok(())
}
