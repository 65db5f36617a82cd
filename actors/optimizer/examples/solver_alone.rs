//! The planner beside `HiGHS` alone, which gets the whole problem as one program, in the same run and with
//! the same time on one thread each: `solver_alone SECONDS PROBLEM...`; a table, then JSON.
#![expect(clippy::print_stdout, reason = "a command line example")]

use serde_json::json;
use std::error::Error;
use std::time::Duration;
use twinscale_optimizer::bench::solver_alone;
use twinscale_optimizer::evaluate::evaluate;
use twinscale_optimizer::{PlanLimit, PlanOptions, Problem, plan_file};

fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args().skip(1);
    let seconds = arguments.next().ok_or("give the seconds for each")?;
    let time = Duration::from_secs_f64(seconds.parse()?);
    let options = PlanOptions {
        limit: PlanLimit::Deadline(time),
        threads: 1,
        seed: 1,
    };
    let mut rows = Vec::new();
    println!(
        "{:34} {:>11} {:>11} {:>11} {:>11}",
        "problem", "planner", "bound", "HiGHS", "its bound"
    );
    for path in arguments {
        let text = std::fs::read_to_string(&path)?;
        let problem = Problem::from_json(&text)?;
        let planned = plan_file(&text, &options)?;
        let alone = solver_alone(&problem, time);
        let solver = alone.plan.as_ref().and_then(|plan| {
            let judged = evaluate(&problem, plan);
            judged.feasible().then_some(judged.cost)
        });
        let (ours, bound) = (planned.outcome.evaluation.cost, planned.solved.bound.cost);
        let shown = solver.map_or("none".to_owned(), |cost| format!("{cost:.4}"));
        println!(
            "{:34} {ours:11.4} {bound:11.4} {shown:>11} {:11.4}",
            problem.id, alone.bound
        );
        rows.push(json!({
            "id": problem.id,
            "seconds": time.as_secs_f64(),
            "planner": ours,
            "planner_bound": bound,
            "highs": solver,
            "highs_bound": alone.bound.is_finite().then_some(alone.bound),
        }));
    }
    println!("{}", json!(rows));
    Ok(())
}
