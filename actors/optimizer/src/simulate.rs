//! The discrete-event check: what simulated requests meet under a plan.
//!
//! Each tier with a queueing model is a line of requests before the cores that serve in a step. Demand
//! follows scenarios, one per slice of the forecast's distribution, the same in every step of a
//! scenario; within a step arrivals are Poisson. A step is long against the queue, so at most
//! [`REQUESTS_PER_STEP_MAX`] requests of it are simulated and the step's result is weighted with its
//! demand. The queue carries over from step to step. Randomness comes from the seed alone, one stream per
//! tier and scenario, so that two plans meet the same arrivals (common random numbers).

use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use std::cmp::Reverse;
use std::collections::BinaryHeap;

/// Requests simulated per tier, step and scenario at most.
pub const REQUESTS_PER_STEP_MAX: u32 = 400;
/// Scenarios of demand.
const SCENARIOS: u32 = 20;
/// Two-sided 99 % quantile of Student's t distribution with 19 degrees of freedom.
const T_99: f64 = 2.861;
/// Buckets of the response time histogram per factor of e.
const BUCKETS_PER_E: f64 = 50.0;
/// Shortest response time told apart, in seconds.
const RESPONSE_MIN_S: f64 = 1e-6;
/// Buckets of the histogram: up to e^40 times the shortest.
const BUCKETS: usize = 2000;

/// One tier as the engine sees it.
#[derive(Clone, Debug, PartialEq)]
pub struct SimulatedTier {
    /// Mean service time of a request on a core, in seconds.
    pub service_time_s: f64,
    /// Response time to keep, in seconds.
    pub p99_target_s: f64,
    /// Serving cores. Shape: `[step]`.
    pub cores: Vec<u32>,
    /// Requests per second. Shape: `[step][scenario]`, scenarios as given by [`scenario_levels`].
    pub requests_per_s: Vec<Vec<f64>>,
}

/// What the requests met.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Simulation {
    /// Share of requests over their target, weighted by demand.
    pub violation: f64,
    /// Half-width of its 99 % confidence interval over the scenarios.
    pub half_width: f64,
    /// 99th percentile of the response time, in seconds.
    pub p99_s: f64,
    /// Half-width of its 99 % confidence interval over the scenarios.
    pub p99_half_width_s: f64,
    /// Requests simulated.
    pub requests: u64,
}

/// Levels of the demand distribution that the scenarios stand for: the middles of equal slices.
pub fn scenario_levels() -> Vec<f64> {
    (0..SCENARIOS)
        .map(|scenario| (f64::from(scenario) + 0.5) / f64::from(SCENARIOS))
        .collect()
}

/// Simulates tiers; `None` without requests.
///
/// Determinism: a function of its arguments. Cost: about 0.1 us per request and logarithm of the cores.
pub fn simulate(tiers: &[SimulatedTier], step_seconds: f64, seed: u64) -> Option<Simulation> {
    simulate_few(tiers, step_seconds, seed, REQUESTS_PER_STEP_MAX)
}

/// Simulates at most so many requests per tier, step and scenario: fewer are quicker and less certain.
pub fn simulate_few(
    tiers: &[SimulatedTier],
    step_seconds: f64,
    seed: u64,
    requests_per_step: u32,
) -> Option<Simulation> {
    let mut all = Tally::new();
    let mut shares = Vec::new();
    let mut p99s = Vec::new();
    for scenario in 0..SCENARIOS {
        let mut tally = Tally::new();
        for (index, tier) in (0_u64..).zip(tiers) {
            let mut rng = ChaCha8Rng::seed_from_u64(seed);
            rng.set_stream((index << 32) | u64::from(scenario));
            let sample = Sample {
                scenario: scenario as usize,
                step_seconds,
                requests_per_step,
            };
            run(tier, sample, &mut rng, &mut tally);
        }
        if tally.weight > 0.0 {
            shares.push(tally.late / tally.weight);
            p99s.push(tally.quantile(0.99));
        }
        all.add(&tally);
    }
    if all.weight <= 0.0 {
        return None;
    }
    Some(Simulation {
        violation: all.late / all.weight,
        half_width: half_width(&shares),
        p99_s: all.quantile(0.99),
        p99_half_width_s: half_width(&p99s),
        requests: all.requests,
    })
}

/// Half-width of the 99 % confidence interval of a mean; infinite for fewer than two values.
fn half_width(values: &[f64]) -> f64 {
    let count = values.len() as f64;
    if values.len() < 2 {
        return f64::INFINITY;
    }
    let mean = values.iter().sum::<f64>() / count;
    let squares: f64 = values.iter().map(|value| (value - mean).powi(2)).sum();
    T_99 * (squares / (count - 1.0) / count).sqrt()
}

/// Response times with weights.
#[derive(Debug)]
struct Tally {
    weight: f64,
    late: f64,
    requests: u64,
    histogram: Vec<f64>,
}

impl Tally {
    fn new() -> Self {
        Self {
            weight: 0.0,
            late: 0.0,
            requests: 0,
            histogram: vec![0.0; BUCKETS],
        }
    }

    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "clamped first"
    )]
    fn record(&mut self, response_s: f64, target_s: f64, weight: f64) {
        self.weight += weight;
        self.requests += 1;
        if response_s > target_s {
            self.late += weight;
        }
        let bucket = ((response_s / RESPONSE_MIN_S).max(1.0).ln() * BUCKETS_PER_E) as usize;
        self.histogram[bucket.min(BUCKETS - 1)] += weight;
    }

    fn add(&mut self, other: &Self) {
        self.weight += other.weight;
        self.late += other.late;
        self.requests += other.requests;
        for (sum, weight) in self.histogram.iter_mut().zip(&other.histogram) {
            *sum += weight;
        }
    }

    /// Upper end of the bucket that holds the quantile: at most 2 % above it.
    fn quantile(&self, level: f64) -> f64 {
        let mut left = self.weight * level;
        for (bucket, weight) in self.histogram.iter().enumerate() {
            left -= weight;
            if left <= 0.0 {
                return RESPONSE_MIN_S * ((bucket + 1) as f64 / BUCKETS_PER_E).exp();
            }
        }
        f64::INFINITY
    }
}

/// A moment in seconds, ordered.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Moment(f64);

impl Eq for Moment {}

impl PartialOrd for Moment {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Moment {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.0.total_cmp(&other.0)
    }
}

/// What part of the demand is simulated.
#[derive(Clone, Copy, Debug)]
struct Sample {
    scenario: usize,
    step_seconds: f64,
    requests_per_step: u32,
}

/// First come, first served: a request begins when the core that is free first is free.
fn run(
    tier: &SimulatedTier,
    Sample {
        scenario,
        step_seconds,
        requests_per_step,
    }: Sample,
    rng: &mut ChaCha8Rng,
    tally: &mut Tally,
) {
    // Moments at which each core becomes free, relative to the start of the step.
    let mut free: BinaryHeap<Reverse<Moment>> = BinaryHeap::new();
    for (step, cores) in tier.cores.iter().enumerate() {
        let rate = tier.requests_per_s[step]
            .get(scenario)
            .copied()
            .unwrap_or(0.0);
        set_cores(&mut free, *cores);
        let expected = rate * step_seconds;
        if expected <= 0.0 {
            free.clear();
            continue;
        }
        let simulated = expected.min(f64::from(requests_per_step));
        let (weight, end) = (expected / simulated, simulated / rate);
        let mut now = exponential(1.0 / rate, rng);
        while now < end {
            let Some(Reverse(Moment(free_at))) = free.pop() else {
                // No core serves: every request is late.
                tally.record(f64::MAX, tier.p99_target_s, weight);
                now += exponential(1.0 / rate, rng);
                continue;
            };
            let done = free_at.max(now) + exponential(tier.service_time_s, rng);
            tally.record(done - now, tier.p99_target_s, weight);
            free.push(Reverse(Moment(done)));
            now += exponential(1.0 / rate, rng);
        }
        let later = free
            .drain()
            .map(|Reverse(Moment(at))| Reverse(Moment((at - end).max(0.0))));
        free = later.collect();
    }
}

/// Adds idle cores or takes those away that are free first; what runs ends where it runs.
fn set_cores(free: &mut BinaryHeap<Reverse<Moment>>, cores: u32) {
    while free.len() < cores as usize {
        free.push(Reverse(Moment(0.0)));
    }
    while free.len() > cores as usize {
        free.pop();
    }
}

fn exponential(mean: f64, rng: &mut ChaCha8Rng) -> f64 {
    // 1 - random is in (0, 1], so the logarithm is finite.
    -mean * (1.0 - rng.random::<f64>()).ln()
}

#[cfg(test)]
mod tests;
