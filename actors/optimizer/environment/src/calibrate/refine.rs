//! Fits what utilisation does not show to means and quantiles of response times.
//!
//! Maximum likelihood for errors that are about normal: a mean over n requests and a quantile of n requests
//! have the errors of their sampling, and on top of that what the formulas themselves are off.

use crate::calibrate::least_squares::{Matrix, dot, inverse, solve, value};
use crate::calibrate::observation::Row;
use crate::calibrate::shape::Shape;
use crate::calibrate::transform::{Family, Visit, mean_s, tail};
use crate::calibrate::waiting::{relative_wait, wait_probability};
use serde::{Deserialize, Serialize};

/// Most intervals that one fit looks at.
const ROWS_MAX: usize = 40;
/// Unknowns from which on only means are fitted: a large stack's tails would take minutes.
const TAIL_UNKNOWNS_MAX: usize = 40;
/// Step of a numeric derivative.
const STEP: f64 = 1e-5;
/// Share of the cost that a step must win for another to be tried.
const GAIN_MIN: f64 = 1e-5;
/// Steps of the fit; it has converged after about ten.
const STEPS: usize = 25;
/// Requests in an interval that make a quantile worth reading.
const REQUESTS_MIN: f64 = 30.0;
/// Utilisation beyond which an interval is no steady state.
const UTILISATION_MAX: f64 = 0.97;
/// Utilisation at which waits are computed at most: they are infinite at 1.
const STEADY_MAX: f64 = 0.999;
/// Successive response times are alike: as many requests count as one.
const ALIKE: f64 = 4.0;
/// How far the formulas are off: a mean, and a tail probability at each level.
const MEAN_ERROR: f64 = 0.01;
const TAIL_ERRORS: [(f64, f64); 3] = [(0.5, 0.05), (0.95, 0.08), (0.99, 0.12)];
/// How sure stated values are, as a logarithm for factors.
const STATED_ERROR: f64 = 1.0;
/// Stands for a standard error without bound, in a form that every format can store.
const UNKNOWN_ERROR: f64 = 1e9;
/// Bounds of factors and of variabilities.
const FACTOR_BOUNDS: (f64, f64) = (0.01, 100.0);

/// What response times tell.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Waits {
    /// Of each station: how many times as long requests wait as in an M/M/c queue.
    pub(crate) factors: Vec<f64>,
    /// Of each station: squared coefficient of variation of service times.
    pub(crate) scvs: Vec<f64>,
    /// Of each station: how service times are distributed; what fits better of the two.
    pub(crate) families: Vec<Family>,
    /// Of each class: time outside of the stations, in seconds.
    pub(crate) delays_s: Vec<f64>,
    /// Standard errors in the same order; of factors and variabilities relative.
    pub(crate) errors: Vec<f64>,
}

impl Waits {
    /// What a model states.
    pub(crate) fn stated(shape: &Shape) -> Self {
        let stations = &shape.stations;
        let unknowns = stations.len() * 2 + shape.classes.len();
        Self {
            factors: stations
                .iter()
                .map(|s| f64::midpoint(1.0, s.stated_scv))
                .collect(),
            scvs: stations
                .iter()
                .map(|s| s.stated_scv.clamp(FACTOR_BOUNDS.0, FACTOR_BOUNDS.1))
                .collect(),
            families: stations.iter().map(|s| s.stated_family).collect(),
            delays_s: shape.delays_s.clone(),
            errors: vec![UNKNOWN_ERROR; unknowns],
        }
    }
}

/// The state of a stack at a load: demands by station and class, utilisation by station.
#[derive(Clone, Debug)]
pub(crate) struct State<'a> {
    shape: &'a Shape,
    demands_s: &'a [Vec<f64>],
    pub(crate) rates: &'a [f64],
    pub(crate) utilisation: Vec<f64>,
    /// Of each station: how many wait in an M/M/c queue, and how long by a service time.
    queues: Vec<(f64, f64)>,
}

impl<'a> State<'a> {
    pub(crate) fn new(
        shape: &'a Shape,
        demands_s: &'a [Vec<f64>],
        rates: &'a [f64],
        vms: &[f64],
        utilisation: Vec<f64>,
    ) -> Self {
        let stations = shape.stations.iter().zip(vms).zip(&utilisation);
        let queues = stations
            .map(|((station, vms), busy)| {
                let servers = station.servers(*vms);
                let busy = busy.min(STEADY_MAX);
                (
                    wait_probability(servers, busy),
                    relative_wait(servers, busy),
                )
            })
            .collect();
        Self {
            shape,
            demands_s,
            rates,
            utilisation,
            queues,
        }
    }

    /// The visits of one request of a class.
    pub(crate) fn visits(&self, class: usize, waits: &Waits) -> Vec<Visit> {
        let stations = self.shape.stations.iter().enumerate();
        stations
            .filter(|(_, station)| value(&station.visits, class) > 0.0)
            .map(|(at, station)| {
                let demands: &[f64] = self.demands_s.get(at).map_or(&[], Vec::as_slice);
                let service_s = value(demands, class) / station.speed();
                let queue = self.queues.get(at).copied();
                let (wait_probability, relative_wait) = queue.unwrap_or_default();
                // Who shares cores is delayed by its own work, who queues by that of others.
                let base_s = if station.is_shared {
                    service_s
                } else {
                    self.mean_service_s(demands, &station.visits) / station.speed()
                };
                let factor = value(&waits.factors, at);
                Visit {
                    count: value(&station.visits, class),
                    service_s,
                    service_scv: value(&waits.scvs, at),
                    family: waits.families.get(at).copied().unwrap_or_default(),
                    wait_s: factor * base_s * relative_wait,
                    wait_probability,
                }
            })
            .collect()
    }

    fn mean_service_s(&self, demands: &[f64], visits: &[f64]) -> f64 {
        let arrivals: Vec<f64> = self.rates.iter().zip(visits).map(|(a, b)| a * b).collect();
        let all: f64 = arrivals.iter().sum();
        if all > 0.0 {
            dot(&arrivals, demands) / all
        } else {
            0.0
        }
    }
}

/// Fits to some intervals, from what was known before. Each turn tries another distribution at one station.
pub(crate) fn refine<'a>(
    shape: &Shape,
    demands_s: &[Vec<f64>],
    rows: impl Iterator<Item = &'a Row>,
    before: &Waits,
    turn: u64,
) -> Waits {
    let rows: Vec<&Row> = rows.collect();
    let step = rows.len().div_ceil(ROWS_MAX).max(1);
    // The newest, and evenly back from there.
    let rows: Vec<&Row> = rows.into_iter().rev().step_by(step).collect();
    let states: Vec<(State<'_>, &Row)> = rows
        .iter()
        .map(|row| (state_of(shape, demands_s, row), *row))
        .filter(|(state, _)| state.utilisation.iter().all(|busy| *busy < UTILISATION_MAX))
        .collect();
    let fit = Fit {
        shape,
        stated: Waits::stated(shape),
        scales: scales(shape, &rows),
        with_tails: shape.stations.len() * 2 + shape.classes.len() <= TAIL_UNKNOWNS_MAX,
        states,
    };
    let (found, cost) = fit.run(before);
    if !fit.with_tails || shape.stations.is_empty() {
        return found;
    }
    let at = usize::try_from(turn % shape.stations.len() as u64).unwrap_or_default();
    let mut other = found.clone();
    if let Some(family) = other.families.get_mut(at) {
        *family = match family {
            Family::Gamma => Family::Lognormal,
            Family::Lognormal => Family::Gamma,
        };
    }
    let (other, other_cost) = fit.run(&other);
    if other_cost < cost { other } else { found }
}

fn state_of<'a>(shape: &'a Shape, demands_s: &'a [Vec<f64>], row: &'a Row) -> State<'a> {
    let utilisation: Vec<f64> = shape
        .stations
        .iter()
        .enumerate()
        .map(|(at, station)| {
            let measured = row.utilisation.get(at).copied().flatten();
            measured.unwrap_or_else(|| {
                let demands: &[f64] = demands_s.get(at).map_or(&[], Vec::as_slice);
                let busy: f64 = (0..row.rates.len())
                    .map(|c| value(&row.rates, c) * value(&station.visits, c) * value(demands, c))
                    .sum();
                busy / station.cores(value(&row.vms, at)).max(f64::MIN_POSITIVE)
            })
        })
        .collect();
    State::new(shape, demands_s, &row.rates, &row.vms, utilisation)
}

/// Mean response time of each class over the intervals: the measure of its delay.
fn scales(shape: &Shape, rows: &[&Row]) -> Vec<f64> {
    (0..shape.classes.len())
        .map(|class| {
            let seen: Vec<f64> = rows
                .iter()
                .filter_map(|row| row.responses.get(class).copied().flatten())
                .map(|times| times.mean_s)
                .collect();
            let mean = seen.iter().sum::<f64>() / seen.len().max(1) as f64;
            if mean > 0.0 { mean } else { 1.0 }
        })
        .collect()
}

struct Fit<'a> {
    shape: &'a Shape,
    stated: Waits,
    scales: Vec<f64>,
    with_tails: bool,
    states: Vec<(State<'a>, &'a Row)>,
}

/// Where a fit is.
struct Place {
    point: Vec<f64>,
    left: Vec<f64>,
    cost: f64,
}

impl Fit<'_> {
    /// Levenberg-Marquardt on logarithms of factors and variabilities, and on delays by their scale.
    fn run(&self, before: &Waits) -> (Waits, f64) {
        let families = &before.families;
        let point = self.point(before);
        let left = self.residuals(&point, families);
        let mut here = Place {
            cost: dot(&left, &left),
            point,
            left,
        };
        let mut damping = 1e-2;
        let mut normal: Matrix = Vec::new();
        for _ in 0..STEPS {
            let slopes = self.slopes(&here, families);
            normal = slopes
                .iter()
                .map(|a| slopes.iter().map(|b| dot(a, b)).collect())
                .collect();
            let down: Vec<f64> = slopes.iter().map(|slope| -dot(slope, &here.left)).collect();
            let Some(better) = self.step(&here, families, (&normal, &down), &mut damping) else {
                break;
            };
            let gain = here.cost - better.cost;
            here = better;
            if gain < GAIN_MIN * here.cost {
                break;
            }
        }
        let mut found = self.waits(&here.point, families);
        found.errors = self.errors(&normal, &here);
        (found, here.cost)
    }

    /// A step that makes the cost less, tried shorter while it does not.
    fn step(
        &self,
        here: &Place,
        families: &[Family],
        (normal, down): (&Matrix, &[f64]),
        damping: &mut f64,
    ) -> Option<Place> {
        for _ in 0..8 {
            let mut damped = normal.clone();
            for (at, line) in damped.iter_mut().enumerate() {
                if let Some(cell) = line.get_mut(at) {
                    *cell += *damping * (*cell + 1e-9);
                }
            }
            *damping *= 5.0;
            let Some(change) = solve(&damped, down) else {
                continue;
            };
            let moved = here.point.iter().zip(&change).map(|(x, d)| x + d);
            let point = self.bounded(moved.collect());
            let left = self.residuals(&point, families);
            let cost = dot(&left, &left);
            if cost < here.cost {
                *damping = (*damping / 25.0).max(1e-9);
                return Some(Place { point, left, cost });
            }
        }
        None
    }

    /// Standard errors; when the formulas fit worse than assumed, all is less sure.
    fn errors(&self, normal: &Matrix, here: &Place) -> Vec<f64> {
        let unknowns = here.point.len();
        let spare = here.left.len().saturating_sub(unknowns).max(1) as f64;
        let worse = (here.cost / spare).max(1.0);
        let Some(covariance) = inverse(normal) else {
            return vec![UNKNOWN_ERROR; unknowns];
        };
        (0..unknowns)
            .map(|at| {
                let variance = covariance.get(at).map_or(0.0, |line| value(line, at));
                let class = at.checked_sub(self.shape.stations.len() * 2);
                let scale = class.map_or(1.0, |class| value(&self.scales, class));
                (variance * worse).sqrt() * scale
            })
            .collect()
    }

    fn point(&self, waits: &Waits) -> Vec<f64> {
        let (least, most) = FACTOR_BOUNDS;
        let logarithms = waits.factors.iter().chain(&waits.scvs);
        let delays = waits.delays_s.iter().zip(&self.scales);
        logarithms
            .map(|factor| factor.clamp(least, most).ln())
            .chain(delays.map(|(delay, scale)| delay / scale))
            .collect()
    }

    fn bounded(&self, mut point: Vec<f64>) -> Vec<f64> {
        let (least, most) = FACTOR_BOUNDS;
        let factors = self.shape.stations.len() * 2;
        for (at, x) in point.iter_mut().enumerate() {
            *x = if at < factors {
                x.clamp(least.ln(), most.ln())
            } else {
                x.max(0.0)
            };
        }
        point
    }

    fn waits(&self, point: &[f64], families: &[Family]) -> Waits {
        let stations = self.shape.stations.len();
        let factor = |at: usize| value(point, at).exp();
        Waits {
            factors: (0..stations).map(factor).collect(),
            scvs: (stations..stations * 2).map(factor).collect(),
            families: families.to_vec(),
            delays_s: self
                .scales
                .iter()
                .enumerate()
                .map(|(class, scale)| value(point, stations * 2 + class) * scale)
                .collect(),
            errors: Vec::new(),
        }
    }

    /// Derivatives of all residuals by each unknown.
    fn slopes(&self, here: &Place, families: &[Family]) -> Vec<Vec<f64>> {
        let Place { point, left, .. } = here;
        (0..point.len())
            .map(|at| {
                let mut moved = point.clone();
                if let Some(x) = moved.get_mut(at) {
                    *x += STEP;
                }
                let after = self.residuals(&moved, families);
                after
                    .iter()
                    .zip(left)
                    .map(|(a, b)| (a - b) / STEP)
                    .collect()
            })
            .collect()
    }

    /// What the formulas leave of each mean and quantile, by the error that is expected of it.
    fn residuals(&self, point: &[f64], families: &[Family]) -> Vec<f64> {
        let waits = self.waits(point, families);
        let stated = self.point(&self.stated);
        let mut residuals: Vec<f64> = point
            .iter()
            .zip(&stated)
            .map(|(x, prior)| (x - prior) / STATED_ERROR)
            .collect();
        for (state, row) in &self.states {
            for class in 0..self.shape.classes.len() {
                self.class_residuals(&mut residuals, state, row, class, &waits);
            }
        }
        residuals
    }

    fn class_residuals(
        &self,
        residuals: &mut Vec<f64>,
        state: &State<'_>,
        row: &Row,
        class: usize,
        waits: &Waits,
    ) {
        let requests = value(&row.requests, class);
        let Some(times) = row.responses.get(class).copied().flatten() else {
            return;
        };
        if requests < REQUESTS_MIN {
            return;
        }
        let visits = state.visits(class, waits);
        let delay_s = value(&waits.delays_s, class);
        let expected = delay_s + mean_s(&visits);
        let error = (MEAN_ERROR * MEAN_ERROR + ALIKE / requests).sqrt();
        residuals.push((expected - times.mean_s) / times.mean_s / error);
        if !self.with_tails {
            return;
        }
        let quantiles = [times.p50_s, times.p95_s, times.p99_s];
        for ((level, model_error), quantile) in TAIL_ERRORS.into_iter().zip(quantiles) {
            let Some(quantile) = quantile.filter(|time| time.is_finite() && *time > 0.0) else {
                continue;
            };
            let share = 1.0 - level;
            let error = (model_error * model_error + ALIKE * level / (share * requests)).sqrt();
            let beyond = tail(&visits, quantile - delay_s).max(1e-9);
            residuals.push((beyond / share).ln() / error);
        }
    }
}
