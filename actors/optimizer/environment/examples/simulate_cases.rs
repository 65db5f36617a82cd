//! Runs a file of queueing cases:
//! `simulate_cases --cases FILE --out OUT.json [--customers 1e7] [--seed N] [--threads N] [--precision R]`.
//!
//! `--precision` ends a simulation early, when every interval's half-width is at most that share of its
//! figure.
#![expect(clippy::print_stdout, reason = "a command line example")]

use std::error::Error;
use twinscale_environment::cases::{CaseOptions, run};
use twinscale_environment::events::StopRule;

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a number of customers such as 1e7; the run checks its range"
)]
fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let mut options = CaseOptions {
        customers: 1_000_000,
        seed: 1,
        threads: 1,
        stop: None,
    };
    let (mut cases, mut out) = (None, None);
    for flag in arguments.chunks(2) {
        let [name, value] = flag else {
            return Err(format!("{flag:?} lacks a value").into());
        };
        match name.as_str() {
            "--cases" => cases = Some(value),
            "--out" => out = Some(value),
            "--customers" => options.customers = value.parse::<f64>()? as u64,
            "--seed" => options.seed = value.parse()?,
            "--threads" => options.threads = value.parse()?,
            "--precision" => {
                options.stop = Some(StopRule {
                    relative_half_width: value.parse()?,
                });
            }
            _ => return Err(format!("{name} is not known").into()),
        }
    }
    let (Some(cases), Some(out)) = (cases, out) else {
        return Err("give --cases FILE and --out FILE".into());
    };
    let text = std::fs::read_to_string(cases)?;
    let output = run(&text, &options, &|_| true)?;
    std::fs::write(out, serde_json::to_string_pretty(&output)?)?;
    for case in &output.cases {
        match &case.error {
            Some(error) => println!("{error}"),
            None => println!(
                "{} customers {} events {}",
                case.id, case.des_customers, case.des_events
            ),
        }
    }
    Ok(())
}
