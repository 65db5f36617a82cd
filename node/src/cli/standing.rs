//! How a stack stands, for people: what `simulate` and `what-if` have in common.

use super::table::Table;
use crate::console;
use crate::error::ExpectedError;
use clap::ValueEnum;
use serde::Serialize;
use std::fmt::Write as _;
use std::path::Path;
use twinscale_cluster_config::read_text;
use twinscale_environment::model::{CheckedModel, read_model};
use twinscale_environment::prediction::ClassPrediction;
use twinscale_environment::simulation::{ClassOutcome, Measured, Outcome};
use twinscale_environment::what_if::{Engine, Standing};

/// Resources that are listed; the rest is hardly used.
const RESOURCES_SHOWN: usize = 5;

/// How to answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum EngineName {
    /// By queueing formulas.
    Analytic,
    /// By formulas and by discrete events beside them.
    Both,
}

impl EngineName {
    pub(super) const fn engine(self, seed: u64, threads: usize) -> Engine {
        match self {
            Self::Analytic => Engine::Analytic,
            Self::Both => Engine::Events { seed, threads },
        }
    }
}

pub(super) fn read(file: &Path) -> Result<String, ExpectedError> {
    std::fs::read_to_string(file).map_err(|source| ExpectedError::file("read", file, source))
}

/// Reads a stack model and says what may still surprise.
pub(super) fn read_stack(file: &Path, quiet: bool) -> Result<CheckedModel, ExpectedError> {
    let name = file.display().to_string();
    let checked = read_text(file).and_then(|text| read_model(&text, &name));
    let checked = checked
        .map_err(|error| ExpectedError::input(format!("{name} is no stack model"), error))?;
    if !quiet {
        for warning in &checked.warnings {
            console::say(&format!("warning: {warning}"));
        }
    }
    Ok(checked)
}

pub(super) fn print_json(value: &impl Serialize) -> anyhow::Result<()> {
    console::print(&json(value)?)?;
    Ok(())
}

pub(super) fn write_json(value: &impl Serialize, path: &Path) -> anyhow::Result<()> {
    std::fs::write(path, json(value)?)
        .map_err(|source| ExpectedError::file("write", path, source))?;
    Ok(())
}

fn json(value: &impl Serialize) -> anyhow::Result<String> {
    let mut text = serde_json::to_string_pretty(value)?;
    text.push('\n');
    Ok(text)
}

/// A time with a unit that suits it.
fn time(seconds: f64) -> String {
    if !seconds.is_finite() {
        "-".to_owned()
    } else if seconds < 1.0 {
        format!("{:.3} ms", seconds * 1e3)
    } else {
        format!("{seconds:.3} s")
    }
}

fn percent(share: f64) -> String {
    format!("{:.2} %", share * 100.0)
}

/// What a standing looks like: cost, classes by engine, what is used.
pub(super) fn text(standing: &Standing) -> String {
    let mut text = format!("cost      ${:.4} per hour", standing.cost.total_usd);
    if standing.cost.assumed_usd > 0.0 {
        let assumed = standing.cost.assumed_usd;
        let _infallible = write!(text, ", ${assumed:.4} of it at assumed prices");
    }
    text.push('\n');
    if let Some(overloaded) = &standing.overloaded {
        let _infallible = writeln!(text, "overloaded  {overloaded}");
    }
    text.push('\n');
    if standing.predicted.is_some() || standing.simulated.is_some() {
        text.push_str(&classes(standing));
        text.push('\n');
    }
    text.push_str(&resources(standing));
    if let Some(predicted) = &standing.predicted {
        for left_out in &predicted.left_out {
            let _infallible = writeln!(text, "formulas leave out: {left_out}");
        }
    }
    if let Some(simulated) = &standing.simulated {
        text.push_str(&notes(simulated));
    }
    text
}

fn classes(standing: &Standing) -> String {
    let mut table = Table::new(&[
        "CLASS",
        "BY",
        "PER S",
        "MEAN",
        "P50",
        "P95",
        "P99",
        "SERVED",
        "OVER P99 SLA",
    ]);
    for (class, rate) in &standing.rates_per_s {
        let name = class.as_str();
        let predicted = standing.predicted.iter().flat_map(|all| &all.classes);
        for found in predicted.filter(|found| found.class == *class) {
            table.row(predicted_row(name, *rate, found));
        }
        let simulated = standing.simulated.iter().flat_map(|all| &all.classes);
        for found in simulated.filter(|found| found.class == *class) {
            table.row(simulated_row(name, *rate, found));
        }
    }
    table.text()
}

fn predicted_row(name: &str, rate: f64, found: &ClassPrediction) -> Vec<String> {
    vec![
        name.to_owned(),
        "formulas".to_owned(),
        format!("{rate:.2}"),
        time(found.mean_response_s),
        time(found.p50_response_s),
        time(found.p95_response_s),
        time(found.p99_response_s),
        "-".to_owned(),
        found.missed_p99.map_or("-".to_owned(), percent),
    ]
}

fn simulated_row(name: &str, rate: f64, found: &ClassOutcome) -> Vec<String> {
    let measured = |measured: &Measured| {
        let width = 100.0 * measured.half_width_99 / measured.value;
        format!("{} ±{width:.1}%", time(measured.value))
    };
    vec![
        name.to_owned(),
        "events".to_owned(),
        format!("{rate:.2}"),
        measured(&found.mean_response_s),
        measured(&found.p50_response_s),
        measured(&found.p95_response_s),
        measured(&found.p99_response_s),
        percent(found.availability.value),
        found
            .missed_p99
            .map_or("-".to_owned(), |missed| percent(missed.value)),
    ]
}

fn resources(standing: &Standing) -> String {
    let mut table = Table::new(&["RESOURCE", "USED", "FULL AT LOAD"]);
    for used in standing.resources.iter().take(RESOURCES_SHOWN) {
        table.row(vec![
            used.resource.clone(),
            percent(used.utilisation),
            format!("x {:.2}", used.full_at_load),
        ]);
    }
    table.text()
}

fn notes(simulated: &Outcome) -> String {
    let mut text = format!(
        "{} runs, {:.1} million events\n",
        simulated.replications,
        simulated.events as f64 / 1e6
    );
    for tier in simulated.tiers.iter().filter(|tier| tier.refused > 0) {
        let _infallible = writeln!(text, "{} refused {} requests", tier.tier, tier.refused);
    }
    for call in simulated.calls.iter().filter(|call| call.timed_out > 0) {
        let (from, to) = (&call.from, &call.to);
        let _infallible = writeln!(text, "{from} gave up on {} calls to {to}", call.timed_out);
    }
    if simulated.overloaded {
        text.push_str("more requests were in flight than a run can hold: some were turned away\n");
    }
    text
}
