//! The mean response time of requests under a plan: the third objective, beside spend and risk.
//!
//! A request of the customer visits tier `k` `visits_k` times. A tier is an M/M/c queue: Poisson arrivals
//! at `visits_k` times the demand, exponential service of mean `service_time_s`, and as many servers as the
//! plan has serving reference cores, whole ones. The response time of a request at a demand is
//!
//! ```text
//! R_t(d) = sum over tiers k of visits_k * W(cores_kt, visits_k * d, service_time_k)
//! ```
//!
//! with `W` the mean response time of the queue (waiting and service), in seconds. A queue that is not
//! stable has no mean: it counts as long as the step is, and so does one whose mean is longer. The
//! objective is the mean over the steps, weighted with `step_weight`, of `(R_t(median demand) +
//! R_t(demand at the covered level)) / 2`: what requests meet usually, and what they meet at the demand that
//! the plan is made for. Source of `W`: Erlang C, as in [`crate::queueing`].
//!
//! A file without `demand_quantiles_rps`, or with a tier without `service_time_s`, has no such objective;
//! [`Responses::new`] says why. The targets `p99_target_s` are kept by the requirement and do not count here.

mod check;
mod row;

pub(crate) use self::check::checking_time;
pub use self::check::{CheckedResponse, ResponseCheck};
use self::row::Row;
use crate::evaluate;
use crate::plan::Plan;
use crate::problem::{Problem, Tier};
use crate::request;
use std::fmt;
use std::sync::OnceLock;

/// Level of the usual demand.
const MEDIAN: f64 = 0.5;
/// Share of the objective that the usual demand has; the rest is that of the covered level.
const MEDIAN_SHARE: f64 = 0.5;
/// Where a tier's capacity in reference cores stands among its resources.
const CORES: usize = 0;

/// Mean response time of a request, in seconds.
#[expect(clippy::struct_field_names, reason = "the unit stands last in a name")]
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Response {
    /// The objective: the mean of the two.
    pub mean_s: f64,
    /// At the median demand of each step.
    pub median_s: f64,
    /// At the demand of the level that each step covers.
    pub covered_s: f64,
}

/// Why a problem has no response time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NoResponse {
    /// The file gives no demand.
    Demand,
    /// A tier has no service time.
    Service {
        /// Name of the tier.
        tier: String,
    },
}

impl fmt::Display for NoResponse {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Demand => write!(f, "no response time: `demand_quantiles_rps` is missing"),
            Self::Service { tier } => write!(
                f,
                "no response time: `tiers.{tier}.service_time_s` is missing"
            ),
        }
    }
}

/// Response times of one problem; tables are made when they are first needed.
///
/// Cost: a plan takes two look-ups per tier and step; a table about 20 times the root of its cores, once.
#[derive(Debug)]
pub struct Responses<'a> {
    problem: &'a Problem,
    tiers: Vec<TierQueues>,
    /// Weights of the steps, of sum 1. Shape: `[step]`.
    weights: Vec<f64>,
}

#[derive(Debug)]
struct TierQueues {
    visits: f64,
    service_s: f64,
    /// Shape: `[step, demand]`, the median first, then the levels.
    rows: Vec<OnceLock<Row>>,
}

impl<'a> Responses<'a> {
    /// Makes the queues of a problem.
    ///
    /// # Errors
    /// [`NoResponse`] when the file does not describe the queues of all tiers.
    pub fn new(problem: &'a Problem) -> Result<Self, NoResponse> {
        if problem.demand_rps.is_empty() {
            return Err(NoResponse::Demand);
        }
        let demands = problem.levels.len() + 1;
        let tiers = problem.tiers.iter().map(|tier| {
            let service = tier.service.ok_or_else(|| NoResponse::Service {
                tier: tier.name.clone(),
            })?;
            Ok(TierQueues {
                visits: service.visits,
                service_s: service.service_time_s,
                rows: (0..problem.steps * demands)
                    .map(|_| OnceLock::new())
                    .collect(),
            })
        });
        let tiers = tiers.collect::<Result<Vec<_>, _>>()?;
        let total: f64 = problem.step_weight.iter().sum();
        let weight = |weight: &f64| {
            if total > 0.0 {
                weight / total
            } else {
                1.0 / problem.steps as f64
            }
        };
        Ok(Self {
            problem,
            tiers,
            weights: problem.step_weight.iter().map(weight).collect(),
        })
    }

    /// The response time under a plan that covers `levels`. Shape of `levels`: `[step]`.
    ///
    /// # Panics
    /// When the plan's shape is not the problem's.
    pub fn of(&self, plan: &Plan, levels: &[usize]) -> Response {
        let tiers = self.problem.tiers.iter().zip(&plan.counts);
        let steps = self.problem.steps;
        let cores: Vec<Vec<u32>> = tiers
            .map(|(tier, counts)| serving_cores(tier, counts, steps))
            .collect();
        self.of_cores(levels, |tier, step| cores[tier][step])
    }

    /// The response time with so many serving cores per (tier, step).
    pub(crate) fn of_cores(
        &self,
        levels: &[usize],
        cores: impl Fn(usize, usize) -> u32,
    ) -> Response {
        let (mut median_s, mut covered_s) = (0.0, 0.0);
        for (index, tier) in self.tiers.iter().enumerate() {
            let (mut median, mut covered) = (0.0, 0.0);
            let steps = levels.iter().zip(&self.weights).enumerate();
            for (step, (level, weight)) in steps {
                let cores = cores(index, step);
                median += weight * self.row(index, step, Demand::Median).mean(cores);
                covered += weight * self.row(index, step, Demand::Level(*level)).mean(cores);
            }
            median_s += tier.visits * median;
            covered_s += tier.visits * covered;
        }
        Response {
            mean_s: MEDIAN_SHARE * median_s + (1.0 - MEDIAN_SHARE) * covered_s,
            median_s,
            covered_s,
        }
    }

    /// The problem with so many cores more that a second of the objective is worth `dollars`: in each tier,
    /// step and level the least number of them whose next one costs more than it gains.
    ///
    /// A plan that covers a level of it covers the same level of the problem, so what finds cheap plans
    /// finds quick ones.
    pub(crate) fn demanding(&self, problem: &Problem, dollars: f64) -> Problem {
        let mut demanding = problem.clone();
        let levels = problem.levels.len();
        for (index, tier) in demanding.tiers.iter_mut().enumerate() {
            let Some(core_price) = core_price(tier, problem.step_hours) else {
                continue;
            };
            let worth = dollars * self.tiers[index].visits;
            for (place, required) in tier
                .requirement
                .iter_mut()
                .skip(CORES)
                .step_by(tier.resources)
                .enumerate()
            {
                let (step, level) = (place / levels, place % levels);
                let worth = worth * self.weights[step];
                let least = whole_up(*required);
                let cores = self.worth_having((index, step, level), least, core_price / worth);
                *required = required.max(f64::from(cores));
            }
        }
        demanding
    }

    /// The least number of cores from `least` on whose next one gains no more than `seconds` at a level.
    fn worth_having(
        &self,
        (tier, step, level): (usize, usize, usize),
        least: u32,
        seconds: f64,
    ) -> u32 {
        let median = self.row(tier, step, Demand::Median);
        let covered = self.row(tier, step, Demand::Level(level));
        let most = median.negligible_from().max(covered.negligible_from());
        let gain = |cores: u32| {
            MEDIAN_SHARE * median.gain(cores) + (1.0 - MEDIAN_SHARE) * covered.gain(cores)
        };
        let mut cores = least;
        while cores < most && gain(cores) > seconds {
            cores += 1;
        }
        cores
    }

    fn row(&self, tier: usize, step: usize, demand: Demand) -> &Row {
        let demands = self.problem.levels.len() + 1;
        let queues = &self.tiers[tier];
        queues.rows[step * demands + demand.place()].get_or_init(|| {
            Row::new(
                self.arrivals(tier, step, demand) * queues.service_s,
                queues.service_s,
                self.step_seconds(),
            )
        })
    }

    /// Arrivals at a tier per second.
    fn arrivals(&self, tier: usize, step: usize, demand: Demand) -> f64 {
        let levels = self.problem.levels.len();
        let requests = match demand {
            Demand::Median => self.problem.demand_at(step, MEDIAN).unwrap_or(0.0),
            Demand::Level(level) => self.problem.demand_rps[step * levels + level],
        };
        requests * self.tiers[tier].visits
    }

    fn step_seconds(&self) -> f64 {
        self.problem.step_hours * 3600.0
    }
}

/// Which demand of a step.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Demand {
    Median,
    Level(usize),
}

impl Demand {
    fn place(self) -> usize {
        match self {
            Self::Median => 0,
            Self::Level(level) => level + 1,
        }
    }
}

/// Price in $ of a reference core for a step at the cheapest type; `None` when no type has any.
fn core_price(tier: &Tier, step_hours: f64) -> Option<f64> {
    let rates = tier.options.iter().filter_map(|option| {
        let cores = option.capacity.get(CORES)?;
        (*cores > 0.0).then(|| option.price_per_hour * step_hours / cores)
    });
    rates.min_by(f64::total_cmp)
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "clamped first"
)]
fn whole_up(cores: f64) -> u32 {
    cores.ceil().clamp(0.0, f64::from(u32::MAX)) as u32
}

/// Whole serving reference cores of a tier. Shape: `[step]`.
pub(crate) fn serving_cores(tier: &Tier, counts: &[Vec<u32>], steps: usize) -> Vec<u32> {
    let mut cores = vec![0.0; steps];
    for (option, series) in tier.options.iter().zip(counts) {
        let serving = evaluate::serving(option.initial, series, tier.delay_steps);
        for (sum, count) in cores.iter_mut().zip(serving) {
            *sum += option.capacity[CORES] * f64::from(count);
        }
    }
    cores
        .iter()
        .map(|cores| request::whole_cores(*cores))
        .collect()
}

#[cfg(test)]
mod tests;
