//! `twinscale plan`: solves an allocation problem file.

use crate::console;
use crate::error::ExpectedError;
use clap::Args;
use std::path::PathBuf;
use std::time::Duration;
use twinscale_optimizer::{PlanError, PlanLimit, PlanOptions, plan_file};

/// A deadline that suits a person who waits.
const DEADLINE_DEFAULT: Duration = Duration::from_secs(10);

/// Solves an allocation problem file of format `alloc-plan/1`.
#[derive(Debug, Args)]
pub(super) struct PlanArguments {
    /// The problem file.
    #[arg(long, value_name = "FILE")]
    problem: PathBuf,
    /// System time that the search may use, such as 10s or 500ms. It only truncates; the plan records it.
    #[arg(long, value_name = "TIME", value_parser = parse_duration, conflicts_with = "evaluations")]
    deadline: Option<Duration>,
    /// Candidate plans that the search evaluates: the same number gives the same plan on any machine.
    #[arg(long, value_name = "N")]
    evaluations: Option<u64>,
    /// Threads of the search; the plan does not depend on them.
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u16).range(1..=64))]
    threads: u16,
    /// Root of the search's randomness.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Where the plan goes; standard output when left out.
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
}

/// Reads a length of time such as `10s`, `500ms` or `2m`.
pub(super) fn parse_duration(text: &str) -> Result<Duration, String> {
    text.parse::<jiff::SignedDuration>()
        .ok()
        .and_then(|signed| Duration::try_from(signed).ok())
        .filter(|duration| !duration.is_zero())
        .ok_or_else(|| format!("`{text}` is no length of time: write 10s, 500ms or 2m"))
}

pub(super) fn run(arguments: &PlanArguments, quiet: bool) -> anyhow::Result<()> {
    let text = std::fs::read_to_string(&arguments.problem)
        .map_err(|source| ExpectedError::file("read", &arguments.problem, source))?;
    let limit = match arguments.evaluations {
        Some(evaluations) => PlanLimit::Evaluations(evaluations),
        None => PlanLimit::Deadline(arguments.deadline.unwrap_or(DEADLINE_DEFAULT)),
    };
    let options = PlanOptions {
        limit,
        threads: usize::from(arguments.threads),
        seed: arguments.seed,
    };
    let planned = plan_file(&text, &options).map_err(|error| expected(arguments, error))?;
    let mut json = serde_json::to_string_pretty(&planned.to_json())?;
    json.push('\n');
    match &arguments.out {
        Some(path) => std::fs::write(path, json)
            .map_err(|source| ExpectedError::file("write", path, source))?,
        None => console::print(&json)?,
    }
    if !quiet {
        let outcome = &planned.outcome;
        console::say(&format!(
            "{}: cost {:.6}, seed {:.6}, {} evaluations in {:.1} s{}",
            planned.problem.id,
            outcome.evaluation.cost,
            outcome.seed_evaluation.cost,
            outcome.evaluations,
            planned.elapsed.as_secs_f64(),
            if planned.exact {
                ", proven optimal"
            } else {
                ""
            },
        ));
    }
    Ok(())
}

fn expected(arguments: &PlanArguments, error: PlanError) -> ExpectedError {
    let file = arguments.problem.display();
    match error {
        PlanError::Invalid(error) => {
            ExpectedError::input(format!("{file} is no problem that can be planned"), error)
        }
        PlanError::Unsatisfiable {
            binding, remedy, ..
        } => ExpectedError::Infeasible {
            context: format!("{file}: no plan keeps all constraints: {binding}"),
            hint: remedy,
        },
    }
}
