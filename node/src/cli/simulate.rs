//! `twinscale simulate`: what a stack's requests meet, by formulas and by discrete events.

mod closed;

use super::standing::{self, EngineName};
use crate::console;
use crate::error::ExpectedError;
use crate::progress::Progress;
use clap::Args;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use twinscale_environment::cases::{self, CaseOptions, CasesOutput};
use twinscale_environment::events::replicate::{CUSTOMERS_MAX, REPLICATIONS};
use twinscale_environment::what_if::{Change, Engine};

/// Says that the shipped model of reactions is meant.
const SHIPPED: &str = "shipped";

/// Parts of a thousand that a progress line counts.
const PARTS: f64 = 1000.0;

/// Simulates a customer's stack, or every case of a file of queueing cases.
///
/// A stack is read from a model file (`twinscale stack`). Formulas answer at once and say what they leave out;
/// discrete events follow every request and give each figure with the interval that holds it with 99 %. With
/// --reaction demand answers to what it meets, step by step, beside the same demand that does not.
#[derive(Debug, Args)]
pub(super) struct SimulateArguments {
    /// The stack model, a TOML file.
    #[arg(long, value_name = "FILE", required_unless_present = "cases")]
    model: Option<PathBuf>,
    /// A file of queueing cases in the format `queue-ref/1`: each is solved and simulated.
    #[arg(long, value_name = "FILE", conflicts_with = "model")]
    cases: Option<PathBuf>,
    /// How to answer for a stack.
    #[arg(long, value_enum, default_value_t = EngineName::Both)]
    engine: EngineName,
    /// Times the load that the model states.
    #[arg(long, value_name = "FACTOR")]
    load: Option<f64>,
    /// Let demand answer to what it meets: the shipped model of reactions, or weights of `twinscale reaction train`.
    /// Without it nothing answers.
    #[arg(long, value_name = "FILE", num_args = 0..=1, default_missing_value = SHIPPED, requires = "model")]
    reaction: Option<String>,
    /// Demand of each step over what the model states, with --reaction: a path such as 1,1,1.6,1.6,1,1.
    #[arg(long, value_name = "FACTOR,...", value_delimiter = ',', value_parser = parse_factor, requires = "reaction")]
    path: Vec<f64>,
    /// Length of a step of the path, in seconds.
    #[arg(long, value_name = "SECONDS", default_value_t = 300, requires = "reaction", value_parser = clap::value_parser!(u32).range(1..=86_400))]
    step: u32,
    /// Customers that are counted in each queueing case, such as 1e7.
    #[arg(long, value_name = "N", default_value = "1e6", value_parser = parse_count)]
    customers: u64,
    /// Root of all randomness: the same seed gives the same result, on any number of threads.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Threads; they change how long it takes, not what comes out.
    #[arg(long, default_value_t = 2, value_parser = clap::value_parser!(u16).range(1..=64))]
    threads: u16,
    /// Where the result goes, as JSON.
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
    /// Print the result as JSON.
    #[arg(long)]
    json: bool,
}

fn parse_factor(text: &str) -> Result<f64, String> {
    match text.trim().parse::<f64>() {
        Ok(factor) if (0.0..=1e6).contains(&factor) => Ok(factor),
        _ => Err(format!(
            "`{text}` is no factor: write a number of at least 0, such as 1.6"
        )),
    }
}

/// Reads a number of customers such as `10000000` or `1e7`.
fn parse_count(text: &str) -> Result<u64, String> {
    let refused = || {
        format!(
            "`{text}` is no number of customers: write {REPLICATIONS} to {CUSTOMERS_MAX}, such as 1e7"
        )
    };
    let number: f64 = text.replace('_', "").parse().map_err(|_error| refused())?;
    let within = number >= f64::from(REPLICATIONS) && number <= CUSTOMERS_MAX as f64;
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "checked to be within the range"
    )]
    let count = number as u64;
    if within { Ok(count) } else { Err(refused()) }
}

pub(super) fn run(arguments: &SimulateArguments, quiet: bool) -> anyhow::Result<()> {
    match (&arguments.cases, &arguments.model) {
        (Some(file), _) => run_cases(file, arguments, quiet),
        (None, Some(file)) => run_model(file, arguments, quiet),
        (None, None) => Err(ExpectedError::input_hint(
            "nothing to simulate is named",
            "give --model FILE or --cases FILE",
        )
        .into()),
    }
}

fn run_cases(file: &Path, arguments: &SimulateArguments, quiet: bool) -> anyhow::Result<()> {
    let text = standing::read(file)?;
    let options = CaseOptions {
        customers: arguments.customers,
        seed: arguments.seed,
        threads: usize::from(arguments.threads),
        stop: None,
    };
    let progress = Progress::start("simulating", 1, quiet);
    let done = AtomicU64::new(0);
    let cases = count_cases(&text).max(1);
    let found = cases::run(&text, &options, &|part| {
        let sum = done.fetch_add(part.customers, Ordering::Relaxed) + part.customers;
        let all = arguments.customers.saturating_mul(cases);
        progress.of(sum.min(all), all);
        true
    })
    .map_err(|error| {
        ExpectedError::input(format!("{} cannot be simulated", file.display()), error)
    })?;
    drop(progress);
    if let Some(out) = &arguments.out {
        standing::write_json(&found, out)?;
    }
    if arguments.json || arguments.out.is_none() {
        standing::print_json(&found)?;
    }
    if !quiet {
        say_cases(&found);
    }
    Ok(())
}

/// How many cases a text holds, for the progress line alone.
fn count_cases(text: &str) -> u64 {
    text.matches("\"id\"").count() as u64
}

fn say_cases(found: &CasesOutput) {
    let wrong: Vec<&str> = found
        .cases
        .iter()
        .filter_map(|case| case.error.as_deref())
        .collect();
    let events: u64 = found.cases.iter().map(|case| case.des_events).sum();
    console::say(&format!(
        "{} cases, {} of them with an error, {:.1} million events",
        found.cases.len(),
        wrong.len(),
        events as f64 / 1e6
    ));
    for error in wrong {
        console::say(error);
    }
}

fn run_model(file: &Path, arguments: &SimulateArguments, quiet: bool) -> anyhow::Result<()> {
    let model = standing::read_stack(file, quiet)?;
    let mut model = model.model;
    if let Some(factor) = arguments.load {
        let load = Change::Load {
            class: None,
            factor,
        };
        load.apply(&mut model)
            .map_err(|error| ExpectedError::input("--load cannot be applied", error))?;
    }
    if let Some(weights) = &arguments.reaction {
        let weights = Some(Path::new(weights)).filter(|_| weights != SHIPPED);
        return closed::run(&model, weights, arguments);
    }
    let engine = arguments
        .engine
        .engine(arguments.seed, usize::from(arguments.threads));
    let progress = Progress::start("simulating", 1, quiet);
    let found = twinscale_environment::what_if::standing(&model, engine, &|share| {
        progress.of(parts(share), parts(1.0));
        true
    });
    drop(progress);
    let found = found.map_err(|error| {
        ExpectedError::input(format!("{} cannot be simulated", file.display()), error)
    })?;
    if let Some(out) = &arguments.out {
        standing::write_json(&found, out)?;
    }
    if arguments.json {
        standing::print_json(&found)?;
    } else {
        console::print(&standing::text(&found))?;
    }
    if engine == Engine::Analytic && found.predicted.is_none() {
        let told = found.overloaded.unwrap_or_default();
        return Err(ExpectedError::Infeasible {
            context: format!("{}: {told}", file.display()),
            hint: "`--engine events` shows what is served all the same".to_owned(),
        }
        .into());
    }
    Ok(())
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a share lies between 0 and 1"
)]
pub(super) fn parts(share: f64) -> u64 {
    (share * PARTS) as u64
}

#[cfg(test)]
mod tests {
    use super::parse_count;

    #[test]
    fn counts_are_read_as_people_write_them() {
        assert_eq!(parse_count("1e7"), Ok(10_000_000));
        assert_eq!(parse_count("1_000_000"), Ok(1_000_000));
        for wrong in ["0", "-5", "1e30", "many", "NaN", ""] {
            let told = parse_count(wrong).expect_err("it is none");
            assert!(told.contains(&format!("`{wrong}`")), "{told}");
        }
    }
}
