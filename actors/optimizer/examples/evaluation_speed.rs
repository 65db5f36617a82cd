//! Evaluations per second of one core: `evaluation_speed PROBLEM...`; a table, then JSON.
#![expect(clippy::print_stdout, reason = "a command line example")]

use serde_json::json;
use std::error::Error;
use std::time::Duration;
use twinscale_optimizer::Problem;
use twinscale_optimizer::bench::evaluation_speed;

/// Time for each figure.
const EACH: Duration = Duration::from_millis(400);

fn main() -> Result<(), Box<dyn Error>> {
    let mut rows = Vec::new();
    println!(
        "{:34} {:>12} {:>12} {:>12} {:>12} {:>12}",
        "problem", "full/s", "response/s", "judged/s", "delta/s", "searched/s"
    );
    for path in std::env::args().skip(1) {
        let problem = Problem::from_json(&std::fs::read_to_string(&path)?)?;
        let speed = evaluation_speed(&problem, EACH);
        println!(
            "{:34} {:12.0} {:12.0} {:12.0} {:12.0} {:12.0}",
            problem.id,
            speed.full,
            speed.with_response.unwrap_or(f64::NAN),
            speed.judged,
            speed.delta,
            speed.searched
        );
        rows.push(json!({
            "id": problem.id,
            "full_per_s": speed.full,
            "with_response_per_s": speed.with_response,
            "judged_per_s": speed.judged,
            "delta_per_s": speed.delta,
            "searched_per_s": speed.searched,
        }));
    }
    println!("{}", json!(rows));
    Ok(())
}
