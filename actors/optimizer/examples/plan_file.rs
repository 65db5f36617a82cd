//! Plans one problem file: `plan_file PROBLEM OUT (--deadline S | --evaluations N) [--threads N] [--seed N]`.
#![expect(clippy::print_stdout, reason = "a command line example")]

use std::error::Error;
use std::time::Duration;
use twinscale_optimizer::{PlanLimit, PlanOptions, plan_file};

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [problem, out, flags @ ..] = arguments.as_slice() else {
        return Err("give a problem file and a plan file".into());
    };
    let mut options = PlanOptions {
        limit: PlanLimit::Deadline(Duration::from_secs(10)),
        threads: 1,
        seed: 1,
    };
    for flag in flags.chunks(2) {
        let [name, value] = flag else {
            return Err(format!("{flag:?} lacks a value").into());
        };
        match name.as_str() {
            "--deadline" => {
                options.limit = PlanLimit::Deadline(Duration::from_secs_f64(value.parse()?));
            }
            "--evaluations" => options.limit = PlanLimit::Evaluations(value.parse()?),
            "--threads" => options.threads = value.parse()?,
            "--seed" => options.seed = value.parse()?,
            _ => return Err(format!("{name} is not known").into()),
        }
    }
    let text = std::fs::read_to_string(problem)?;
    let planned = plan_file(&text, &options)?;
    std::fs::write(out, planned.to_json().to_string())?;
    println!(
        "{} seed {:.4} search {:.4} evaluations {} of {} ga_generations {} secs {:.2}",
        planned.problem.id,
        planned.outcome.seed_evaluation.cost,
        planned.outcome.evaluation.cost,
        planned.outcome.evaluations,
        planned.evaluation_budget,
        planned.outcome.ga_generations,
        planned.elapsed.as_secs_f64(),
    );
    Ok(())
}
