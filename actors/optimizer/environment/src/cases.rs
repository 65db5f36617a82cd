//! Files of queueing cases in the format `queue-ref/1`, solved and simulated.
//!
//! A file is a JSON object with `format` and `cases`; a case has an `id`, a `kind` and `params`. What a
//! file says of expected results is not read. A case that makes no sense gets an error of its own; the
//! others are run.

mod answers;
mod kendall;
mod kind;
mod laws;
mod params;
mod problem;
mod queues;
mod stations;

use crate::events::estimate::Estimate;
use crate::events::{Progress, SimulationError, SimulationOptions, StopRule, simulate};
use answers::Answers;
use params::Params;
use serde::Serialize;
use serde_json::{Map, Value};
use thiserror::Error;

/// The format that is read.
pub const FORMAT: &str = "queue-ref/1";
/// Most cases of a file.
pub const CASES_MAX: usize = 10_000;

/// How to run a file.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct CaseOptions {
    /// Customers counted in each simulated case, at most.
    pub customers: u64,
    /// Root of all randomness.
    pub seed: u64,
    /// Threads; the result does not depend on them.
    pub threads: usize,
    /// Ends a simulation early, when there is a rule.
    pub stop: Option<StopRule>,
}

/// Results of a file.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct CasesOutput {
    /// Results in the order of the file.
    pub cases: Vec<CaseOutput>,
}

/// Results of one case.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct CaseOutput {
    /// Its id.
    pub id: String,
    /// Why there are no results.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
    /// Results by formula.
    pub analytic: Map<String, Value>,
    /// Which formula, where it is not exact.
    #[serde(skip_serializing_if = "Map::is_empty")]
    pub analytic_kind: Map<String, Value>,
    /// Results of the simulation.
    pub des: Map<String, Value>,
    /// Half-widths of intervals that hold with 99 % for all figures of the case together.
    pub des_half_width_99: Map<String, Value>,
    /// Half-widths of intervals that hold with 99 % for each figure alone.
    pub des_half_width_99_each: Map<String, Value>,
    /// Customers counted in the simulation.
    pub des_customers: u64,
    /// Arrivals and departures simulated.
    pub des_events: u64,
}

/// Why a file cannot be run.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum CasesError {
    /// It is not JSON.
    #[error("the cases are not JSON; give an object with \"format\" and \"cases\"")]
    Json(#[from] serde_json::Error),
    /// It is JSON of another shape.
    #[error("{what}; give {remedy}")]
    Format {
        /// What was found.
        what: String,
        /// What is read.
        remedy: &'static str,
    },
    /// The options make no sense.
    #[error(transparent)]
    Options(#[from] SimulationError),
}

/// Why a case has no results.
#[derive(Clone, Debug, Error, PartialEq)]
enum CaseError {
    #[error("kind {kind:?} is not known; give {}", kind::KNOWN)]
    Kind { kind: String },
    #[error("{name} is missing; give {remedy}")]
    Missing { name: String, remedy: &'static str },
    #[error("{name} is {value}; give {remedy}")]
    Value {
        name: String,
        value: String,
        remedy: &'static str,
    },
    #[error(transparent)]
    Analytic(#[from] crate::analytic::AnalyticError),
    #[error(transparent)]
    Simulation(#[from] SimulationError),
}

/// Runs every case of a file. `proceed` is called every now and then, from any thread; once it answers
/// false the simulations that have not ended report that they were stopped.
///
/// Determinism: a function of the text, the customers, the seed and the stop rule; not of the threads.
///
/// # Errors
/// When the text is not a file of the format or the number of customers is out of range.
pub fn run(
    text: &str,
    options: &CaseOptions,
    proceed: &(dyn Fn(Progress) -> bool + Sync),
) -> Result<CasesOutput, CasesError> {
    let file: Value = serde_json::from_str(&params::readable(text))?;
    let cases = cases_of(&file)?;
    let options = SimulationOptions {
        customers: options.customers,
        seed: options.seed,
        threads: options.threads,
        stop: options.stop,
    };
    options.check()?;
    let outputs = (1..).zip(cases).map(|(number, case)| {
        let id = match case.get("id") {
            Some(Value::String(id)) => id.clone(),
            Some(Value::Number(id)) => id.to_string(),
            _ => format!("number {number}"),
        };
        let mut output = CaseOutput {
            id,
            ..CaseOutput::default()
        };
        if let Err(error) = run_case(case, &options, proceed, &mut output) {
            output.error = Some(format!("case {}: {error}", output.id));
        }
        output
    });
    Ok(CasesOutput {
        cases: outputs.collect(),
    })
}

fn cases_of(file: &Value) -> Result<&Vec<Value>, CasesError> {
    let bad = |what: String, remedy| CasesError::Format { what, remedy };
    match file.get("format") {
        Some(Value::String(format)) if format == FORMAT => {}
        Some(other) => return Err(bad(format!("format is {other}"), "\"queue-ref/1\"")),
        None => return Err(bad("format is missing".to_owned(), "\"queue-ref/1\"")),
    }
    let Some(Value::Array(cases)) = file.get("cases") else {
        return Err(bad("cases is not a list".to_owned(), "a list of cases"));
    };
    if cases.len() > CASES_MAX {
        let what = format!("the file has {} cases", cases.len());
        return Err(bad(what, "at most 10,000"));
    }
    Ok(cases)
}

fn run_case(
    case: &Value,
    options: &SimulationOptions,
    proceed: &(dyn Fn(Progress) -> bool + Sync),
    output: &mut CaseOutput,
) -> Result<(), CaseError> {
    let text = |name: &str| {
        case.get(name)
            .and_then(Value::as_str)
            .unwrap_or("")
            .to_lowercase()
    };
    let (kind, name) = (text("kind"), text("name"));
    let empty = Map::new();
    let params = match case.get("params") {
        Some(Value::Object(params)) => params,
        _ => &empty,
    };
    let problem = kind::problem(&kind, &name, Params::new(params))?;
    let mut answers = Answers::default();
    problem.solve(&mut answers)?;
    (output.analytic, output.analytic_kind) = answers.into_maps();
    // Cases of one file are told apart, so that their errors are independent.
    let options = SimulationOptions {
        seed: seed_of(&output.id, options.seed),
        ..*options
    };
    let found = simulate(problem.model()?.as_ref(), &options, proceed)?;
    for estimate in &found.estimates {
        output.add(estimate, problem.scalar());
    }
    output.des_customers = found.customers;
    output.des_events = found.events;
    Ok(())
}

/// Seed of a case: FNV-1a of its id, from the seed of the run.
fn seed_of(id: &str, seed: u64) -> u64 {
    let start = 0xcbf2_9ce4_8422_2325 ^ seed.wrapping_mul(0x9e37_79b9_7f4a_7c15);
    id.bytes().fold(start, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3)
    })
}

impl CaseOutput {
    /// Adds a figure; `scalar` when a list of one is written as its only value.
    fn add(&mut self, estimate: &Estimate, scalar: bool) {
        let place = if scalar { None } else { estimate.figure.place };
        let add = |map: &mut Map<String, Value>, value: f64| {
            let key = estimate.figure.key.clone();
            match place {
                None => {
                    map.insert(key, Value::from(value));
                }
                Some(_) => {
                    if let Value::Array(list) = map.entry(key).or_insert(Value::Array(Vec::new())) {
                        list.push(Value::from(value));
                    }
                }
            }
        };
        add(&mut self.des, estimate.value);
        add(&mut self.des_half_width_99, estimate.half_width_joint);
        add(&mut self.des_half_width_99_each, estimate.half_width_each);
    }
}

#[cfg(test)]
mod tests;
