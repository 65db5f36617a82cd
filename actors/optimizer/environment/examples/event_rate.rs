//! Measures events (arrivals at and departures from stations) per second of the simulator:
//! `event_rate [--customers 2e7] [--repeats N] [--json]`.
//!
//! Each model runs on one and on two threads in turn, so that both meet the same machine; the fastest of the
//! repeats counts, since everything else on the machine only slows it down.
#![expect(clippy::print_stdout, reason = "a command line example")]

use std::error::Error;
use std::time::Instant;
use twinscale_environment::events::chain::{Chain, Stage};
use twinscale_environment::events::line::Line;
use twinscale_environment::events::replicate::{Model, Simulated};
use twinscale_environment::events::{SimulationOptions, simulate};
use twinscale_environment::law::Law;

fn exponential(mean: f64) -> Law {
    Law::Exponential { mean }
}

/// A station at 80 % load.
fn line(servers: u32) -> Box<dyn Model> {
    Box::new(Line {
        servers,
        gap: exponential(1.0 / (0.8 * f64::from(servers))),
        service: exponential(1.0),
    })
}

/// Web, application, cache and, for three in ten, database.
fn tiers() -> Box<dyn Model> {
    let stage = |servers, service, visited| Stage {
        servers,
        service,
        visited,
    };
    let lognormal = |mean, scv| Law::Lognormal { mean, scv };
    Box::new(Chain {
        gap: exponential(0.01),
        stages: vec![
            stage(1, exponential(0.004), 1.0),
            stage(8, lognormal(0.06, 1.0), 1.0),
            stage(1, exponential(0.0008), 1.0),
            stage(4, lognormal(0.08, 2.0), 0.3),
        ],
    })
}

struct Rate {
    name: &'static str,
    one_thread: f64,
    two_threads: f64,
}

#[expect(
    clippy::disallowed_methods,
    reason = "a benchmark measures the machine's time"
)]
fn seconds(
    model: &dyn Model,
    options: &SimulationOptions,
) -> Result<(f64, Simulated), Box<dyn Error>> {
    let start = Instant::now();
    let simulated = simulate(model, options, &|_| true)?;
    Ok((start.elapsed().as_secs_f64(), simulated))
}

fn measure(
    name: &'static str,
    model: &dyn Model,
    customers: u64,
    repeats: u32,
) -> Result<Rate, Box<dyn Error>> {
    let mut rate = Rate {
        name,
        one_thread: 0.0,
        two_threads: 0.0,
    };
    for _ in 0..repeats {
        let options = |threads| SimulationOptions {
            customers,
            seed: 1,
            threads,
            stop: None,
        };
        let (one_seconds, one) = seconds(model, &options(1))?;
        let (two_seconds, two) = seconds(model, &options(2))?;
        if one != two {
            return Err(format!("{name}: threads change the result").into());
        }
        rate.one_thread = rate.one_thread.max(one.events as f64 / one_seconds);
        rate.two_threads = rate.two_threads.max(two.events as f64 / two_seconds);
    }
    Ok(rate)
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a number of customers such as 2e7; the simulation checks its range"
)]
fn main() -> Result<(), Box<dyn Error>> {
    let (mut customers, mut repeats, mut json) = (20_000_000, 3, false);
    let mut arguments = std::env::args().skip(1);
    while let Some(flag) = arguments.next() {
        let mut value = || arguments.next().ok_or(format!("{flag} lacks a value"));
        match flag.as_str() {
            "--customers" => customers = value()?.parse::<f64>()? as u64,
            "--repeats" => repeats = value()?.parse()?,
            "--json" => json = true,
            _ => return Err(format!("{flag} is not known").into()),
        }
    }
    let models = [
        ("M/M/1", line(1)),
        ("M/M/8", line(8)),
        ("M/M/32", line(32)),
        ("M/M/500", line(500)),
        ("three tiers", tiers()),
    ];
    let mut rates = Vec::new();
    for (name, model) in &models {
        rates.push(measure(name, model.as_ref(), customers, repeats)?);
    }
    if json {
        let rows: Vec<serde_json::Value> = rates
            .iter()
            .map(|rate| {
                serde_json::json!({
                    "model": rate.name,
                    "events_per_s_one_thread": rate.one_thread,
                    "events_per_s_two_threads": rate.two_threads,
                    "speed_up": rate.two_threads / rate.one_thread,
                })
            })
            .collect();
        let table = serde_json::json!({"customers": customers, "repeats": repeats, "rates": rows});
        println!("{table:#}");
        return Ok(());
    }
    println!("model          1 thread M/s   2 threads M/s   speed-up");
    for rate in &rates {
        println!(
            "{:<12} {:>14.1} {:>15.1} {:>10.2}",
            rate.name,
            rate.one_thread / 1e6,
            rate.two_threads / 1e6,
            rate.two_threads / rate.one_thread,
        );
    }
    Ok(())
}
