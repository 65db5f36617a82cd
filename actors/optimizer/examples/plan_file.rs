//! Plans one problem file: `plan_file PROBLEM OUT [FLAG VALUE]...` with the flags
//! `--deadline SECONDS | --evaluations N`, `--threads N`, `--seed N`, `--warm PLAN`, `--state FILE` (read
//! when it is there, written at the end), and `--front points` for the set of spend, risk and response time.
#![expect(clippy::print_stdout, reason = "a command line example")]

use std::error::Error;
use std::fs;
use std::path::Path;
use std::time::Duration;
use twinscale_optimizer::{
    PlanLimit, PlanOptions, PlanStart, PlannedFile, Problem, front, plan_file_from,
};

#[derive(Debug)]
struct Flags {
    options: PlanOptions,
    warm: Option<String>,
    state: Option<String>,
    front: bool,
}

fn flags(given: &[String]) -> Result<Flags, Box<dyn Error>> {
    let mut flags = Flags {
        options: PlanOptions {
            limit: PlanLimit::Deadline(Duration::from_secs(10)),
            threads: 1,
            seed: 1,
        },
        warm: None,
        state: None,
        front: false,
    };
    let options = &mut flags.options;
    for flag in given.chunks(2) {
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
            "--warm" => flags.warm = Some(fs::read_to_string(value)?),
            "--state" => flags.state = Some(value.clone()),
            "--front" => flags.front = true,
            _ => return Err(format!("{name} is not known").into()),
        }
    }
    Ok(flags)
}

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [problem, out, given @ ..] = arguments.as_slice() else {
        return Err("give a problem file and a plan file".into());
    };
    let flags = flags(given)?;
    let text = fs::read_to_string(problem)?;
    if flags.front {
        let problem = Problem::from_json(&text)?;
        let found = front(&problem, &flags.options)?;
        fs::write(out, found.to_json(&problem).to_string())?;
        for point in &found.points {
            println!("{point}");
        }
        if let Some(why) = &found.no_response {
            println!("{why}");
        }
        return Ok(());
    }
    let state = flags.state.as_ref().filter(|path| Path::new(path).exists());
    let state = state.map(fs::read_to_string).transpose()?;
    let start = PlanStart {
        warm: flags.warm.as_deref(),
        state: state.as_deref(),
    };
    let planned = plan_file_from(&text, &flags.options, &start)?;
    fs::write(out, planned.to_json().to_string())?;
    if let Some(path) = &flags.state {
        fs::write(path, planned.state().to_string())?;
    }
    report(&planned);
    Ok(())
}

fn report(planned: &PlannedFile) {
    let cost = planned.outcome.evaluation.cost;
    println!(
        "{} seed {:.4} ({}) plan {:.4} ({}) bound {:.4} gap {:.3} % evaluations {} windows {} secs {:.2}",
        planned.problem.id,
        planned.outcome.seed_evaluation.cost,
        planned.solved.best_seed().origin.name(),
        cost,
        planned.solved.best().origin.name(),
        planned.solved.bound.cost,
        planned.solved.bound.gap(cost) * 100.0,
        planned.outcome.evaluations,
        planned.solved.windows,
        planned.elapsed.as_secs_f64(),
    );
}
