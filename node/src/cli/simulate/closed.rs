//! `twinscale simulate --reaction`: a stack whose demand answers to what it meets, beside one that does not.

use super::super::reaction::read_model;
use super::super::standing::{self, EngineName};
use super::super::table::Table;
use super::SimulateArguments;
use crate::console;
use crate::error::ExpectedError;
use crate::reaction::Responder;
use std::path::Path;
use twinscale_environment::closed_loop::{By, Closed, close};
use twinscale_environment::flow::class_rates;
use twinscale_environment::model::StackModel;
use twinscale_environment::simulation::{Load, Options};
use twinscale_reaction::effect::{LEVELS, MIDDLE};

/// Steps of a path that was not given: the stated load for two hours of five minutes.
const STEPS: usize = 24;
/// Runs of each pass by discrete events.
const RUNS: u32 = 8;

pub(super) fn run(
    model: &StackModel,
    weights: Option<&Path>,
    arguments: &SimulateArguments,
) -> anyhow::Result<()> {
    let (network, card) = read_model(weights)?;
    let path = match arguments.path.as_slice() {
        [] => vec![1.0; STEPS],
        path => path.to_vec(),
    };
    let unusable = |error: &dyn std::fmt::Display| {
        ExpectedError::input_hint(
            error.to_string(),
            "check the model with `twinscale stack check`",
        )
    };
    let rates = class_rates(model).map_err(|error| unusable(&error))?;
    let rates = rates.into_iter();
    let load = Load {
        step_s: f64::from(arguments.step),
        rates: rates
            .map(|(class, rate)| (class, path.iter().map(|by| by * rate).collect()))
            .collect(),
    };
    let options = Options {
        seed: arguments.seed,
        threads: usize::from(arguments.threads),
        replications: RUNS,
        warm_up_s: 0.0,
        stop: None,
    };
    let by = match arguments.engine {
        EngineName::Analytic => By::Formulas,
        EngineName::Both => By::Events(&options, &[]),
    };
    let closed = |level: usize| {
        let responder = Responder {
            model: &network,
            estimate: None,
            level,
        };
        close(model, &load, &responder, by).map_err(|error| unusable(&error))
    };
    let median = closed(MIDDLE)?;
    let ends = [closed(0)?, closed(LEVELS.len() - 1)?];
    let output = serde_json::json!({
        "format": "twinscale-closed-loop/1",
        "weights_id": card.weights_id,
        "step_s": load.step_s,
        "path": path,
        "median": median,
        "low": ends[0],
        "high": ends[1],
    });
    if let Some(out) = &arguments.out {
        standing::write_json(&output, out)?;
    }
    if arguments.json {
        return standing::print_json(&output);
    }
    console::print(&text(&path, &median, &ends))?;
    Ok(())
}

fn text(path: &[f64], median: &Closed, ends: &[Closed; 2]) -> String {
    let mut table = Table::new(&[
        "STEP",
        "DEMAND",
        "ANSWERS",
        "90 % RANGE",
        "LATENCY",
        "WITHOUT",
        "UNSERVED",
        "WITHOUT",
    ]);
    for (step, by) in path.iter().enumerate() {
        let (with, without) = (&median.with[step], &median.without[step]);
        let [low, high] = [0, 1].map(|end: usize| ends[end].factors[step]);
        table.row(vec![
            (step + 1).to_string(),
            format!("x {by:.2}"),
            format!("x {:.3}", median.factors[step]),
            format!("{:.3} to {:.3}", low.min(high), low.max(high)),
            format!("x {:.2}", with.latency),
            format!("x {:.2}", without.latency),
            format!("{:.2} %", 100.0 * with.throttled),
            format!("{:.2} %", 100.0 * without.throttled),
        ]);
    }
    let unserved = |closed: &Closed, answers: bool| {
        let met = if answers {
            &closed.with
        } else {
            &closed.without
        };
        let steps = path.iter().zip(met).zip(&closed.factors);
        let all = steps.fold((0.0, 0.0), |sum, ((by, met), factor)| {
            let demand = by * if answers { *factor } else { 1.0 };
            (sum.0 + demand * met.throttled, sum.1 + demand)
        });
        100.0 * all.0 / f64::max(all.1, f64::MIN_POSITIVE)
    };
    let served = |closed: &Closed, answers: bool| {
        let met = if answers {
            &closed.with
        } else {
            &closed.without
        };
        let steps = path.iter().zip(met).zip(&closed.factors);
        steps
            .map(|((by, met), factor)| {
                by * if answers { *factor } else { 1.0 } * (1.0 - met.throttled)
            })
            .sum::<f64>()
    };
    format!(
        "{}unserved {:.2} % of what came, {:.2} % if nobody answers; served {:+.2} % of what would be; {} passes\n",
        table.text(),
        unserved(median, true),
        unserved(median, false),
        100.0 * (served(median, true) / served(median, false).max(f64::MIN_POSITIVE) - 1.0),
        median.passes
    )
}
