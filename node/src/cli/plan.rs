//! `twinscale plan`: solves an allocation problem file.

use crate::console;
use crate::error::ExpectedError;
use crate::report::{front_html, plan_html};
use clap::Args;
use std::path::{Path, PathBuf};
use std::time::Duration;
use twinscale_optimizer::{
    PlanError, PlanLimit, PlanOptions, PlanStart, PlannedFile, Problem, front, plan_file_from,
};

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
    /// A plan file of an earlier run to start from.
    #[arg(long, value_name = "FILE", conflicts_with = "front")]
    warm: Option<PathBuf>,
    /// State of the run: read when the file is there, so that the run goes on from it, and written at the
    /// end.
    #[arg(long, value_name = "FILE", conflicts_with = "front")]
    state: Option<PathBuf>,
    /// Find the set of plans between which only spend, risk and response time decide, instead of one plan.
    #[arg(long)]
    front: bool,
    /// Where the plan goes; standard output when left out.
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
    /// Draw the plan, or the front, as a page: costs, proof, VMs over the steps, what binds.
    #[arg(long, value_name = "FILE")]
    report: Option<PathBuf>,
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
    if arguments.front {
        return run_front(arguments, &text, &options, quiet);
    }
    let warm = arguments.warm.as_deref().map(read).transpose()?;
    let state = arguments.state.as_deref().filter(|path| path.exists());
    let state = state.map(read).transpose()?;
    let start = PlanStart {
        warm: warm.as_deref(),
        state: state.as_deref(),
    };
    let planned =
        plan_file_from(&text, &options, &start).map_err(|error| expected(arguments, error))?;
    write_out(
        arguments,
        &serde_json::to_string_pretty(&planned.to_json())?,
    )?;
    draw(arguments, || plan_html(&planned))?;
    if let Some(path) = &arguments.state {
        std::fs::write(path, planned.state().to_string())
            .map_err(|source| ExpectedError::file("write", path, source))?;
    }
    if !quiet {
        console::say(&summary(&planned));
    }
    Ok(())
}

fn read(path: &Path) -> anyhow::Result<String> {
    let text = std::fs::read_to_string(path);
    Ok(text.map_err(|source| ExpectedError::file("read", path, source))?)
}

fn write_out(arguments: &PlanArguments, json: &str) -> anyhow::Result<()> {
    let json = format!("{json}\n");
    match &arguments.out {
        Some(path) => std::fs::write(path, json)
            .map_err(|source| ExpectedError::file("write", path, source))?,
        None => console::print(&json)?,
    }
    Ok(())
}

fn draw(arguments: &PlanArguments, page: impl FnOnce() -> String) -> anyhow::Result<()> {
    if let Some(path) = &arguments.report {
        std::fs::write(path, page())
            .map_err(|source| ExpectedError::file("write", path, source))?;
    }
    Ok(())
}

fn summary(planned: &PlannedFile) -> String {
    let outcome = &planned.outcome;
    let bound = &planned.solved.bound;
    let response = match &planned.response {
        Ok(response) => format!(", mean response {:.6} s", response.mean_s),
        Err(why) => format!(", {why}"),
    };
    format!(
        "{}: cost {:.6} by {}, seed {:.6} by {}, proven gap {:.2} %, {} evaluations in {:.1} s{}{response}",
        planned.problem.id,
        outcome.evaluation.cost,
        planned.solved.best().origin.name(),
        outcome.seed_evaluation.cost,
        planned.solved.best_seed().origin.name(),
        bound.gap(outcome.evaluation.cost) * 100.0,
        outcome.evaluations,
        planned.elapsed.as_secs_f64(),
        if planned.exact {
            ", proven optimal"
        } else {
            ""
        },
    )
}

fn run_front(
    arguments: &PlanArguments,
    text: &str,
    options: &PlanOptions,
    quiet: bool,
) -> anyhow::Result<()> {
    let problem =
        Problem::from_json(text).map_err(|error| expected(arguments, PlanError::from(error)))?;
    let found = front(&problem, options).map_err(|error| expected(arguments, error))?;
    write_out(
        arguments,
        &serde_json::to_string_pretty(&found.to_json(&problem))?,
    )?;
    draw(arguments, || front_html(&problem, &found))?;
    if !quiet {
        for point in &found.points {
            console::say(&point.to_string());
        }
        if let Some(why) = &found.no_response {
            console::say(&why.to_string());
        }
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
