//! The response time as the discrete-event engine sees it, beside the formula.
//!
//! The engine simulates the queues of a plan customer by customer, without the formula's answers. Each of
//! [`REPLICATIONS`] independent replications draws some steps, evenly over the steps' weights from a random
//! beginning in a slice of its own, so that all together cover the horizon, and simulates every tier of
//! each at both demands. The mean of their results estimates the objective, and their spread gives the
//! interval, which is rather too wide than too narrow, since the slices differ. Steps and random numbers
//! of a queue follow from the seed alone, so that plans are compared under the same arrivals, and a queue
//! that several plans share is simulated once.

use super::{CORES, Demand, MEDIAN_SHARE, Response, Responses, serving_cores};
use crate::plan::Plan;
use crate::problem::Problem;
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use std::collections::BTreeMap;
use std::time::Duration;
use twinscale_environment::events::line::{Line, settling};
use twinscale_environment::events::replicate::{Model, Run};
use twinscale_environment::events::streams::Streams;
use twinscale_environment::events::tally::{Source, Tally};
use twinscale_environment::law::Law;

/// Independent replications.
const REPLICATIONS: usize = 32;
/// Two-sided 99 % quantile of Student's t distribution with one degree of freedom less than these.
const T_99: f64 = 2.744;
/// Customers of a plan, roughly: they decide how many steps a replication draws.
const CUSTOMERS_OF_PLAN: f64 = 8e5;
/// Most steps that a replication draws.
const DRAWS_MAX: f64 = 16.0;
/// Least customers of a queue that are counted.
const COUNTED: f64 = 500.0;
/// Customers before counting for each server: the engine begins with as many busy as the load says.
const WARM_UP_PER_SERVER: f64 = 3.0;
/// Times that a queue takes to forget, before counting and while counting.
const WARM_UP_TIMES: f64 = 2.0;
const COUNTED_TIMES: f64 = 2.0;
/// Longest time to forget that is waited for, in customers.
const FORGET_MAX: f64 = 20_000.0;
/// System time of a front for each customer of one of its plans: its plans share about four fifths of
/// their queues. Measured.
const TIME_OF_CUSTOMER_S: f64 = 3e-6;
/// Most cores of a queue that is simulated: each takes memory, and customers of the warm-up.
const CORES_MAX: u32 = 20_000;
/// Most customers of a check, over all plans, in sum over the queues.
const CUSTOMERS_MAX: u64 = 400_000_000;

/// What simulated requests met.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct CheckedResponse {
    /// The objective, simulated.
    pub mean_s: f64,
    /// Half-width of its 99 % confidence interval, in seconds.
    pub half_width_s: f64,
}

impl CheckedResponse {
    /// Whether the interval holds a figure.
    pub fn holds(&self, response: &Response) -> bool {
        (response.mean_s - self.mean_s).abs() <= self.half_width_s
    }
}

/// A queue of a draw: (replication, draw, tier, demand, cores).
type Key = (usize, usize, usize, Demand, u32);

/// Checks plans of one problem by simulation.
#[derive(Debug)]
pub struct ResponseCheck<'r, 'a> {
    responses: &'r Responses<'a>,
    seed: u64,
    draws: usize,
    /// The steps that are drawn. Shape: `[replication][draw]`.
    steps: Vec<Vec<usize>>,
    met: BTreeMap<Key, f64>,
    /// Customers simulated so far.
    pub customers: u64,
}

impl<'r, 'a> ResponseCheck<'r, 'a> {
    /// Draws the steps that are looked at.
    ///
    /// Determinism: checks follow from the problem, the plan and the seed.
    pub fn new(responses: &'r Responses<'a>, seed: u64) -> Self {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        let draws = draws(responses.problem);
        let steps = (0..REPLICATIONS).map(|replication| {
            let begin = (replication as f64 + rng.random::<f64>()) / REPLICATIONS as f64;
            let places = (0..draws).map(|draw| (draw as f64 + begin) / draws as f64);
            places
                .map(|place| step_at(&responses.weights, place))
                .collect()
        });
        Self {
            responses,
            seed,
            draws,
            steps: steps.collect(),
            met: BTreeMap::new(),
            customers: 0,
        }
    }

    /// Simulates what requests meet under a plan that covers `levels`; `None` when a queue is too large to
    /// be simulated or too much has been simulated already.
    ///
    /// # Panics
    /// When the plan's shape is not the problem's.
    ///
    /// Cost: about 30 ns for each customer of `2 * 32` queues per tier and step drawn,
    /// fewer after the first plan.
    pub fn check(&mut self, plan: &Plan, levels: &[usize]) -> Option<CheckedResponse> {
        let problem = self.responses.problem;
        let tiers = problem.tiers.iter().zip(&plan.counts);
        let cores: Vec<Vec<u32>> = tiers
            .map(|(tier, counts)| serving_cores(tier, counts, problem.steps))
            .collect();
        let mut found = Vec::with_capacity(REPLICATIONS);
        for replication in 0..REPLICATIONS {
            let mut sum = 0.0;
            for draw in 0..self.draws {
                sum += self.request(&cores, levels, (replication, draw))?;
            }
            found.push(sum / self.draws as f64);
        }
        let count = found.len() as f64;
        let mean_s = found.iter().sum::<f64>() / count;
        let squares: f64 = found.iter().map(|one| (one - mean_s).powi(2)).sum();
        Some(CheckedResponse {
            mean_s,
            half_width_s: T_99 * (squares / (count - 1.0) / count).sqrt(),
        })
    }

    /// Response time in seconds of a request in a step that was drawn.
    fn request(
        &mut self,
        cores: &[Vec<u32>],
        levels: &[usize],
        (replication, draw): (usize, usize),
    ) -> Option<f64> {
        let step = self.steps[replication][draw];
        let mut sum = 0.0;
        for (tier, cores) in cores.iter().enumerate() {
            let mut met = |demand| self.met((replication, draw, tier, demand, cores[step]), step);
            let (median, covered) = (met(Demand::Median)?, met(Demand::Level(levels[step]))?);
            let both = MEDIAN_SHARE * median + (1.0 - MEDIAN_SHARE) * covered;
            sum += self.responses.tiers[tier].visits * both;
        }
        Some(sum)
    }

    /// Mean response time in seconds that customers of a queue met.
    fn met(&mut self, key: Key, step: usize) -> Option<f64> {
        if let Some(met) = self.met.get(&key) {
            return Some(*met);
        }
        let (replication, draw, tier, demand, cores) = key;
        let responses = self.responses;
        let most = responses.step_seconds();
        let arrivals = responses.arrivals(tier, step, demand);
        let service_s = responses.tiers[tier].service_s;
        let met = if arrivals <= 0.0 {
            service_s.min(most)
        } else if !responses.row(tier, step, demand).stable(cores) {
            most
        } else {
            if cores > CORES_MAX || self.customers > CUSTOMERS_MAX {
                return None;
            }
            let line = Line {
                servers: cores,
                gap: Law::Exponential {
                    mean: 1.0 / arrivals,
                },
                service: Law::Exponential { mean: service_s },
            };
            // Queues of one draw, tier and demand meet the same random numbers, whatever their cores.
            let mut rng = ChaCha8Rng::seed_from_u64(self.seed);
            let place = (replication * self.draws + draw) * responses.tiers.len() + tier;
            rng.set_stream(place as u64);
            rng.set_word_pos(2 * demand.place() as u128);
            let (met, customers) = simulated(&line, rng.random())?;
            self.customers += customers;
            met.min(most)
        };
        self.met.insert(key, met);
        Some(met)
    }
}

/// System time to check a front of a problem on a small server, roughly.
pub(crate) fn checking_time(problem: &Problem) -> Duration {
    Duration::from_secs_f64(customers_of_draw(problem) * draws(problem) as f64 * TIME_OF_CUSTOMER_S)
}

/// Customers of a plan for each step that a replication draws, roughly.
fn customers_of_draw(problem: &Problem) -> f64 {
    let customers = problem.tiers.iter().map(|tier| {
        let cores = tier.requirement.iter().skip(CORES).step_by(tier.resources);
        WARM_UP_PER_SERVER * cores.copied().fold(0.0, f64::max) + 2.0 * COUNTED
    });
    2.0 * REPLICATIONS as f64 * customers.sum::<f64>().min(f64::from(u32::MAX))
}

/// Steps that a replication draws: fewer where large queues take long to forget how they began.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "clamped to a small range first"
)]
fn draws(problem: &Problem) -> usize {
    (CUSTOMERS_OF_PLAN / customers_of_draw(problem)).clamp(1.0, DRAWS_MAX) as usize
}

/// The step in which a share of the sum of all weights is reached.
fn step_at(weights: &[f64], share: f64) -> usize {
    let mut sum = 0.0;
    let reached = weights.iter().position(|weight| {
        sum += weight;
        sum > share
    });
    reached.unwrap_or(weights.len().saturating_sub(1))
}

/// Mean response time in seconds of customers at a station, and how many were simulated.
fn simulated(line: &Line, seed: u64) -> Option<(f64, u64)> {
    let figures = line.figures();
    let response = figures
        .iter()
        .find(|figure| figure.key == "mean_response")?;
    let (Source::Ratio(index) | Source::Controlled(index)) = response.source else {
        return None;
    };
    let mut tally: Tally = line.tally();
    let mut run: Box<dyn Run> = line.start(&Streams::new(seed, 0));
    let forget = settling(line.load(), 0.0, 1.0).clamp(1.0, FORGET_MAX);
    let warm_up = whole(WARM_UP_TIMES * forget + WARM_UP_PER_SERVER * f64::from(line.servers));
    let counted = whole(COUNTED.max(COUNTED_TIMES * forget));
    run.advance(warm_up, &mut tally);
    tally.clear();
    run.advance(counted, &mut tally);
    let ratio = tally.ratios.get(index)?;
    Some((ratio.above / ratio.below, warm_up + counted))
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "within the limits of cores and of times to forget"
)]
fn whole(customers: f64) -> u64 {
    customers as u64
}
