//! Closed networks: a fixed number of customers who think and pass through exponential stations.
//!
//! Single servers: exact mean value analysis (Reiser and Lavenberg, Journal of the ACM 27, 1980). Several
//! servers: Buzen's convolution with every demand scaled by a first estimate of the throughput, so that
//! the terms are near probabilities and neither overflow nor cancel. Schweitzer's approximation needs no
//! walk over the population.

use crate::analytic::poisson::PoissonWindow;
use crate::analytic::{AnalyticError, positive};

/// Largest population that is solved exactly.
pub const POPULATION_MAX: u32 = 100_000;
/// Most elementary steps of a solution.
const STEPS_MAX: f64 = 4e9;
/// Rounds of Schweitzer's iteration and the change that ends it.
const ROUNDS_MAX: u32 = 100_000;
const CHANGE_MIN: f64 = 1e-13;

/// A closed network.
#[derive(Clone, Debug, PartialEq)]
pub struct ClosedNetwork {
    /// Work in seconds that a customer brings in one cycle, and servers. Shape: `[station]`.
    pub stations: Vec<(f64, u32)>,
    /// Mean time in seconds that a customer thinks in one cycle.
    pub think: f64,
    /// Customers.
    pub population: u32,
}

/// What the network settles to.
#[derive(Clone, Debug, PartialEq)]
pub struct ClosedSolution {
    /// Cycles per second.
    pub throughput: f64,
    /// Mean time at each station in one cycle, in seconds. Shape: `[station]`.
    pub residence: Vec<f64>,
    /// Mean customers at each station. Shape: `[station]`.
    pub queue: Vec<f64>,
    /// Share of the time that a server is busy. Shape: `[station]`.
    pub utilisation: Vec<f64>,
}

impl ClosedSolution {
    /// Mean time of a cycle without thinking, in seconds.
    pub fn response_mean(&self) -> f64 {
        self.residence.iter().sum()
    }
}

impl ClosedNetwork {
    fn check(&self) -> Result<(), AnalyticError> {
        if self.stations.is_empty() {
            return Err(AnalyticError::parameter(
                "demands",
                0.0,
                "at least one station",
            ));
        }
        for (demand, servers) in &self.stations {
            positive("demands", *demand)?;
            if *servers == 0 {
                return Err(AnalyticError::parameter(
                    "servers",
                    0.0,
                    "at least one server",
                ));
            }
        }
        if !(self.think >= 0.0 && self.think.is_finite()) {
            return Err(AnalyticError::parameter(
                "think",
                self.think,
                "a time of at least 0",
            ));
        }
        if self.population == 0 {
            return Err(AnalyticError::parameter("N", 0.0, "at least one customer"));
        }
        Ok(())
    }

    fn check_size(&self, steps: f64) -> Result<(), AnalyticError> {
        if self.population > POPULATION_MAX || steps > STEPS_MAX {
            return Err(AnalyticError::TooLarge {
                name: "N",
                value: f64::from(self.population),
                limit: f64::from(POPULATION_MAX),
            });
        }
        Ok(())
    }

    /// Solves the network exactly.
    ///
    /// Cost: stations times population for single servers; squared stations times population times servers
    /// for several.
    ///
    /// # Errors
    /// When a parameter is out of range or the network is too large.
    pub fn solve(&self) -> Result<ClosedSolution, AnalyticError> {
        self.check()?;
        let stations = self.stations.len() as f64;
        if self.stations.iter().all(|(_, servers)| *servers == 1) {
            self.check_size(stations * f64::from(self.population))?;
            return Ok(self.mean_values());
        }
        let servers: f64 = self
            .stations
            .iter()
            .map(|(_, servers)| f64::from((*servers).min(self.population)))
            .sum();
        self.check_size(stations * servers * f64::from(self.population))?;
        self.convolution()
    }

    fn mean_values(&self) -> ClosedSolution {
        let mut queue = vec![0.0; self.stations.len()];
        let mut residence = vec![0.0; self.stations.len()];
        let mut throughput = 0.0;
        for customers in 1..=self.population {
            let mut response = 0.0;
            for (index, (demand, _)) in self.stations.iter().enumerate() {
                residence[index] = demand * (1.0 + queue[index]);
                response += residence[index];
            }
            throughput = f64::from(customers) / (self.think + response);
            for (queue, residence) in queue.iter_mut().zip(&residence) {
                *queue = throughput * residence;
            }
        }
        self.solution(throughput, queue)
    }

    fn solution(&self, throughput: f64, queue: Vec<f64>) -> ClosedSolution {
        ClosedSolution {
            throughput,
            residence: queue.iter().map(|queue| queue / throughput).collect(),
            queue,
            utilisation: self
                .stations
                .iter()
                .map(|(demand, servers)| throughput * demand / f64::from(*servers))
                .collect(),
        }
    }

    fn convolution(&self) -> Result<ClosedSolution, AnalyticError> {
        let scale = self.approximate()?.throughput;
        let size = self.population as usize + 1;
        let thinking = PoissonWindow::new(self.think * scale);
        let think: Vec<f64> = (0..size).map(|count| thinking.at(count)).collect();
        let all = self.stations.iter().fold(think.clone(), |sums, station| {
            convolved(&sums, *station, scale)
        });
        let top = size - 1;
        let throughput = scale * all[top - 1] / all[top];
        let mut queue = Vec::with_capacity(self.stations.len());
        for (index, station) in self.stations.iter().enumerate() {
            let others = self
                .stations
                .iter()
                .enumerate()
                .filter(|(other, _)| *other != index)
                .fold(think.clone(), |sums, (_, other)| {
                    convolved(&sums, *other, scale)
                });
            let mean: f64 = weights(*station, scale, size)
                .enumerate()
                .map(|(count, weight)| count as f64 * weight * others[top - count])
                .sum();
            queue.push(mean / all[top]);
        }
        assert!(
            throughput.is_finite() && throughput > 0.0,
            "the scale keeps the terms in range"
        );
        Ok(self.solution(throughput, queue))
    }

    /// Solves the network by Schweitzer's approximation; several servers by Seidmann's split into one fast
    /// server and a delay.
    ///
    /// # Errors
    /// When a parameter is out of range.
    pub fn approximate(&self) -> Result<ClosedSolution, AnalyticError> {
        self.check()?;
        let population = f64::from(self.population);
        let split: Vec<(f64, f64)> = self
            .stations
            .iter()
            .map(|(demand, servers)| {
                let servers = f64::from(*servers);
                (demand / servers, demand * (servers - 1.0) / servers)
            })
            .collect();
        let mut queue = vec![population / split.len() as f64; split.len()];
        let mut throughput = 0.0;
        for _ in 0..ROUNDS_MAX {
            let residence: Vec<f64> = split
                .iter()
                .zip(&queue)
                .map(|((demand, _), queue)| {
                    demand * (1.0 + queue * (population - 1.0) / population)
                })
                .collect();
            let delays: f64 = split.iter().map(|(_, delay)| delay).sum();
            let before = throughput;
            throughput = population / (self.think + delays + residence.iter().sum::<f64>());
            for (queue, residence) in queue.iter_mut().zip(&residence) {
                *queue = throughput * residence;
            }
            if (throughput - before).abs() <= CHANGE_MIN * throughput {
                break;
            }
        }
        let queue = split
            .iter()
            .zip(&queue)
            .map(|((_, delay), queue)| queue + throughput * delay)
            .collect();
        Ok(self.solution(throughput, queue))
    }
}

/// Weights of 0, 1, … customers at a station: `(demand scale)^n / product of min(k, servers)`.
fn weights(station: (f64, u32), scale: f64, size: usize) -> impl Iterator<Item = f64> {
    let (demand, servers) = station;
    let mut weight = 1.0;
    (1..=size).map(move |next| {
        let now = weight;
        weight *= demand * scale / next.min(servers as usize) as f64;
        now
    })
}

/// Convolution of `sums` with the weights of a station: beyond its servers they are geometric.
fn convolved(sums: &[f64], station: (f64, u32), scale: f64) -> Vec<f64> {
    let (demand, servers) = station;
    let servers = (servers as usize).min(sums.len());
    let head: Vec<f64> = weights(station, scale, servers + 1).collect();
    let ratio = demand * scale / f64::from(station.1);
    let mut tail = 0.0;
    (0..sums.len())
        .map(|total| {
            tail = match total.checked_sub(servers) {
                Some(index) => ratio * tail + sums[index],
                None => 0.0,
            };
            let few: f64 = head
                .iter()
                .take(servers)
                .enumerate()
                .take_while(|(count, _)| *count <= total)
                .map(|(count, weight)| weight * sums[total - count])
                .sum();
            few + head[servers] * tail
        })
        .collect()
}
