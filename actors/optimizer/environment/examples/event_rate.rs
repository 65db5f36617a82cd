//! Measures events (arrivals at and departures from stations) per second of the simulator:
//! `event_rate [--customers 2e7] [--repeats N] [--json]`.
//!
//! Each model runs on one and on two threads in turn, so that both meet the same machine; the fastest of the
//! repeats counts, since everything else on the machine only slows it down. The rate per second of processor
//! time tells what a core does on a busy machine; were it lower on two threads, these would hinder each other.
#![expect(clippy::print_stdout, reason = "a command line example")]

use rustix::time::{ClockId, clock_gettime};
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

/// Events per second on one and on two threads.
#[derive(Clone, Copy, Default)]
struct Rate {
    wall: [f64; 2],
    processor: [f64; 2],
}

/// Processor time of all threads so far, in seconds.
fn processor_seconds() -> f64 {
    let time = clock_gettime(ClockId::ProcessCPUTime);
    time.tv_sec as f64 + time.tv_nsec as f64 * 1e-9
}

/// Seconds on the clock and of processor time, and what was simulated.
#[expect(
    clippy::disallowed_methods,
    reason = "a benchmark measures the machine's time"
)]
fn timed(
    model: &dyn Model,
    options: &SimulationOptions,
) -> Result<(f64, f64, Simulated), Box<dyn Error>> {
    let (start, processor) = (Instant::now(), processor_seconds());
    let simulated = simulate(model, options, &|_| true)?;
    let wall = start.elapsed().as_secs_f64();
    Ok((wall, processor_seconds() - processor, simulated))
}

fn measure(model: &dyn Model, customers: u64, repeats: u32) -> Result<Rate, Box<dyn Error>> {
    let mut rate = Rate::default();
    for _ in 0..repeats {
        let mut results = Vec::new();
        for threads in [1, 2] {
            let options = SimulationOptions {
                customers,
                seed: 1,
                threads,
                stop: None,
            };
            let (wall, processor, simulated) = timed(model, &options)?;
            let events = simulated.events as f64;
            let index = threads - 1;
            rate.wall[index] = rate.wall[index].max(events / wall);
            rate.processor[index] = rate.processor[index].max(events / processor);
            results.push(simulated);
        }
        if results[0] != results[1] {
            return Err("threads change the result".into());
        }
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
        rates.push((*name, measure(model.as_ref(), customers, repeats)?));
    }
    if json {
        let rows: Vec<serde_json::Value> = rates
            .iter()
            .map(|(name, rate)| {
                serde_json::json!({
                    "model": name,
                    "events_per_s": rate.wall,
                    "events_per_processor_s": rate.processor,
                    "speed_up": rate.wall[1] / rate.wall[0],
                })
            })
            .collect();
        let table = serde_json::json!({"customers": customers, "repeats": repeats, "rates": rows});
        println!("{table:#}");
        return Ok(());
    }
    println!("million events      per second           per processor second");
    println!("model         1 thread  2 threads  speed-up  1 thread  2 threads");
    for (name, rate) in &rates {
        let millions = [rate.wall, rate.processor].map(|pair| pair.map(|events| events / 1e6));
        println!(
            "{name:<12} {:>9.1} {:>10.1} {:>9.2} {:>9.1} {:>10.1}",
            millions[0][0],
            millions[0][1],
            millions[0][1] / millions[0][0],
            millions[1][0],
            millions[1][1],
        );
    }
    Ok(())
}
