//! Open Jackson networks: Poisson arrivals, exponential stations, random routing.
//!
//! Source: Jackson, Networks of waiting lines, Operations Research 5 (1957). In a line of M/M/1 stations
//! the times at the stations are independent (Reich, Burke), so the response is a sum of exponentials.

use crate::analytic::many::ManyServers;
use crate::analytic::poisson::PoissonWindow;
use crate::analytic::{AnalyticError, positive, root};

/// Most stations of a network.
pub const STATIONS_MAX: usize = 500;
/// Largest coefficient of the partial fractions that keeps enough digits.
const COEFFICIENT_MAX: f64 = 1e3;

/// An open network.
#[derive(Clone, Debug, PartialEq)]
pub struct OpenNetwork {
    /// Arrivals from outside per second. Shape: `[station]`.
    pub outside: Vec<f64>,
    /// Probability of going from one station to another; what is left leaves. Shape: `[from][to]`.
    pub routing: Vec<Vec<f64>>,
    /// Servers and services per second of each. Shape: `[station]`.
    pub stations: Vec<(u32, f64)>,
}

/// What the network settles to.
#[derive(Clone, Debug, PartialEq)]
pub struct OpenSolution {
    /// Arrivals per second. Shape: `[station]`.
    pub arrivals: Vec<f64>,
    /// The stations, each as if alone; none where nobody comes. Shape: `[station]`.
    pub stations: Vec<Option<ManyServers>>,
    /// Mean time from entering to leaving the network, in seconds.
    pub response_mean: f64,
}

impl OpenNetwork {
    /// Solves the traffic equations and each station. Exact. Cost: the third power of the stations.
    ///
    /// # Errors
    /// When a parameter is out of range, customers never leave, or a station is not stable.
    pub fn solve(&self) -> Result<OpenSolution, AnalyticError> {
        self.check()?;
        let arrivals = self.arrivals()?;
        let entering: f64 = positive("the sum of lam", self.outside.iter().sum())?;
        let mut in_system = 0.0;
        let mut stations = Vec::with_capacity(arrivals.len());
        for (index, (arrivals, (servers, mu))) in arrivals.iter().zip(&self.stations).enumerate() {
            if *arrivals <= 0.0 {
                stations.push(None);
                continue;
            }
            let station = ManyServers::new(*servers, *arrivals, *mu)
                .map_err(|error| name_station(error, index))?;
            in_system += arrivals * station.response_mean();
            stations.push(Some(station));
        }
        Ok(OpenSolution {
            arrivals,
            stations,
            response_mean: in_system / entering,
        })
    }

    fn check(&self) -> Result<(), AnalyticError> {
        let count = self.stations.len();
        if count == 0 || count > STATIONS_MAX {
            return Err(AnalyticError::parameter(
                "the number of stations",
                count as f64,
                "1 to 500 stations",
            ));
        }
        let square =
            self.routing.len() == count && self.routing.iter().all(|row| row.len() == count);
        if self.outside.len() != count || !square {
            return Err(AnalyticError::parameter(
                "the number of stations",
                count as f64,
                "as many arrivals and rows and columns of the routing as stations",
            ));
        }
        for lambda in &self.outside {
            if !(*lambda >= 0.0 && lambda.is_finite()) {
                return Err(AnalyticError::parameter(
                    "lam",
                    *lambda,
                    "a rate of at least 0",
                ));
            }
        }
        for row in &self.routing {
            let total: f64 = row.iter().sum();
            if !(row.iter().all(|share| *share >= 0.0) && total <= 1.0 + 1e-12) {
                return Err(AnalyticError::parameter(
                    "a row of the routing",
                    total,
                    "probabilities with a sum of at most 1",
                ));
            }
        }
        Ok(())
    }

    /// Solves `arrivals = outside + routing^T arrivals`.
    fn arrivals(&self) -> Result<Vec<f64>, AnalyticError> {
        let count = self.stations.len();
        let mut rows: Vec<Vec<f64>> = (0..count)
            .map(|to| {
                let mut row: Vec<f64> = (0..count)
                    .map(|from| f64::from(u8::from(from == to)) - self.routing[from][to])
                    .collect();
                row.push(self.outside[to]);
                row
            })
            .collect();
        for column in 0..count {
            let pivot = (column..count)
                .max_by(|left, right| {
                    rows[*left][column]
                        .abs()
                        .total_cmp(&rows[*right][column].abs())
                })
                .unwrap_or(column);
            rows.swap(column, pivot);
            let head = rows[column].clone();
            if head[column].abs() < 1e-12 {
                return Err(AnalyticError::parameter(
                    "the routing",
                    1.0,
                    "a way out of the network from every station",
                ));
            }
            for row in rows.iter_mut().skip(column + 1) {
                let factor = row[column] / head[column];
                for (cell, above) in row.iter_mut().zip(&head).skip(column) {
                    *cell -= factor * above;
                }
            }
        }
        let mut arrivals = vec![0.0; count];
        for row in (0..count).rev() {
            let known: f64 = (row + 1..count)
                .map(|to| rows[row][to] * arrivals[to])
                .sum();
            arrivals[row] = (rows[row][count] - known) / rows[row][row];
        }
        Ok(arrivals)
    }
}

fn name_station(error: AnalyticError, index: usize) -> AnalyticError {
    match error {
        AnalyticError::Unstable { utilisation, .. } => AnalyticError::Unstable {
            name: format!("station {}", index + 1),
            utilisation,
        },
        other => other,
    }
}

/// Largest number of events that uniformization steps through for one tail.
const EVENTS_MAX: f64 = 1e7;

/// Partial fractions of a sum of exponentials, where they keep enough digits.
fn partial_fractions(rates: &[f64]) -> Option<Vec<f64>> {
    let coefficients: Vec<f64> = (0..rates.len())
        .map(|own| {
            (0..rates.len())
                .filter(|other| *other != own)
                .map(|other| rates[other] / (rates[other] - rates[own]))
                .product()
        })
        .collect();
    coefficients
        .iter()
        .all(|value: &f64| value.abs() < COEFFICIENT_MAX)
        .then_some(coefficients)
}

/// Probability that a sum of independent exponentials with `rates` exceeds `seconds`.
///
/// By partial fractions where the rates are well apart, else by uniformization, which only adds; NaN where
/// that would take more than 1e7 steps, because some rates nearly meet and others are far slower.
pub fn hypoexponential_tail(rates: &[f64], seconds: f64) -> f64 {
    if seconds <= 0.0 {
        return 1.0;
    }
    if let Some(coefficients) = partial_fractions(rates) {
        return coefficients
            .iter()
            .zip(rates)
            .map(|(coefficient, rate)| coefficient * (-rate * seconds).exp())
            .sum();
    }
    let fastest = rates.iter().copied().fold(0.0, f64::max);
    if fastest * seconds > EVENTS_MAX {
        return f64::NAN;
    }
    let window = PoissonWindow::new(fastest * seconds);
    let mut phases = vec![0.0; rates.len()];
    phases[0] = 1.0;
    let mut sum = 0.0;
    for event in 0..window.first + window.pmf.len() {
        sum += window.at(event) * phases.iter().sum::<f64>();
        let mut moved = 0.0;
        for (phase, rate) in phases.iter_mut().zip(rates) {
            let leaving = *phase * rate / fastest;
            *phase += moved - leaving;
            moved = leaving;
        }
    }
    sum
}

/// Time in seconds that a share `level` of sums of independent exponentials with `rates` does not exceed;
/// NaN where [`hypoexponential_tail`] is.
pub fn hypoexponential_quantile(rates: &[f64], level: f64) -> f64 {
    let mean: f64 = rates.iter().map(|rate| 1.0 / rate).sum();
    // The quantiles of a sum are within a few dozen means.
    if hypoexponential_tail(rates, 40.0 * mean).is_nan() {
        return f64::NAN;
    }
    root::quantile(|time| hypoexponential_tail(rates, time), level, mean)
}
