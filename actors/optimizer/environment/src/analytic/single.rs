//! One server with Poisson arrivals: M/G/1, first come first served or processor sharing.
//!
//! Means are Pollaczek-Khinchine's. Distributions depend on the law of service: hyperexponential by the
//! poles of the transform, Erlang by the number of phases found (a recursion of positive terms),
//! deterministic by Franx (Operations Research Letters 29, 2001) with the exact exponential tail beyond
//! 64 services, others by numerical inversion (about 1e-9). Processor sharing has a mean that
//! depends on the law's mean alone.

use crate::analytic::inversion::{Transform, invert};
use crate::analytic::poisson::PoissonWindow;
use crate::analytic::{AnalyticError, positive, root, stable};
use crate::law::Law;
use num_complex::Complex64;

/// Service times up to which the deterministic case uses its sum; the terms that the exponential tail
/// leaves out are then less than e^-100 of it.
const EXACT_SERVICES: f64 = 64.0;
/// Most phases of work that the Erlang case follows.
const PHASES_MAX: usize = 4_000_000;

/// Relative tolerance of quantiles by inversion, and the largest squared coefficient of variation for it.
const INVERTED_TOLERANCE: f64 = 1e-11;
const INVERTED_SCV_MAX: f64 = 100.0;

/// A stable M/G/1 queue.
#[derive(Debug)]
pub struct SingleServer {
    lambda: f64,
    law: Law,
    shape: Shape,
}

/// What is known about the waiting time.
#[derive(Debug)]
enum Shape {
    /// Tail of the wait `sum weight e^(-rate t)`. Shape: `[term] (weight, rate)`.
    Exponentials(Vec<(f64, f64)>),
    /// Probability that more than `n` phases are found; phases per second; phases per service.
    Phases(Vec<f64>, f64, usize),
    /// Probability that at most `n` customers wait; weight and rate of the exponential tail.
    Deterministic(Vec<f64>, f64, f64),
    /// By inversion.
    Transform(Transform),
}

impl SingleServer {
    /// Makes the queue of `lambda` arrivals per second and a law of service.
    ///
    /// # Errors
    /// When a parameter is out of range or the queue is not stable.
    pub fn new(lambda: f64, law: Law) -> Result<Self, AnalyticError> {
        let lambda = positive("lam", lambda)?;
        let law = law.checked("service")?;
        let load = stable("the server", lambda * law.mean())?;
        let shape = match &law {
            Law::Exponential { mean } => exponentials(lambda, &[(1.0, *mean)]),
            Law::Hyperexponential { branches } => exponentials(lambda, branches),
            Law::Deterministic { mean } => deterministic(lambda, *mean),
            Law::Erlang { phases, mean } => match erlang(load, *phases, *mean) {
                Some(shape) => shape,
                None => Shape::Transform(Transform::new(&law)),
            },
            Law::Gamma { .. } | Law::Lognormal { .. } => Shape::Transform(Transform::new(&law)),
        };
        Ok(Self { lambda, law, shape })
    }

    /// Whether distributions are exact; else they come from numerical inversion.
    pub fn exact(&self) -> bool {
        !matches!(self.shape, Shape::Transform(_))
    }

    /// Share of the time that the server is busy.
    pub fn utilisation(&self) -> f64 {
        self.lambda * self.law.mean()
    }

    /// Mean waiting time in seconds, first come first served.
    pub fn wait_mean(&self) -> f64 {
        0.5 * self.lambda * self.law.second_moment() / (1.0 - self.utilisation())
    }

    /// Mean response time in seconds, first come first served.
    pub fn response_mean(&self) -> f64 {
        self.wait_mean() + self.law.mean()
    }

    /// Mean response time in seconds when the customers share the server.
    pub fn sharing_response_mean(&self) -> f64 {
        self.law.mean() / (1.0 - self.utilisation())
    }

    /// Probability that a customer waits longer than `seconds`.
    pub fn wait_tail(&self, seconds: f64) -> f64 {
        if seconds <= 0.0 {
            return if seconds < 0.0 {
                1.0
            } else {
                self.utilisation()
            };
        }
        match &self.shape {
            Shape::Exponentials(terms) => terms
                .iter()
                .map(|(weight, rate)| weight * (-rate * seconds).exp())
                .sum(),
            Shape::Phases(more, rate, _) => phases_tail(more, rate * seconds, 0),
            Shape::Deterministic(waiting, weight, rate) => {
                let mean = self.law.mean();
                if seconds > EXACT_SERVICES * mean {
                    weight * (-rate * seconds).exp()
                } else {
                    1.0 - franx(waiting, self.lambda, mean, seconds)
                }
            }
            Shape::Transform(transform) => invert(
                |s| (Complex64::new(1.0, 0.0) - self.wait_transform(transform, s)) / s,
                seconds,
            ),
        }
    }

    /// Probability that a response takes longer than `seconds`.
    pub fn response_tail(&self, seconds: f64) -> f64 {
        if seconds <= 0.0 {
            return 1.0;
        }
        match &self.shape {
            // The transform of the service has the value 1 + rate / lambda at each pole.
            Shape::Exponentials(terms) => terms
                .iter()
                .map(|(weight, rate)| weight * (1.0 + rate / self.lambda) * (-rate * seconds).exp())
                .sum(),
            Shape::Phases(more, rate, phases) => phases_tail(more, rate * seconds, *phases),
            Shape::Deterministic(..) => self.wait_tail(seconds - self.law.mean()),
            Shape::Transform(transform) => invert(
                |s| {
                    let response = self.wait_transform(transform, s) * transform.at(s);
                    (Complex64::new(1.0, 0.0) - response) / s
                },
                seconds,
            ),
        }
    }

    fn wait_transform(&self, transform: &Transform, s: Complex64) -> Complex64 {
        s * (1.0 - self.utilisation()) / (s - self.lambda + transform.at(s) * self.lambda)
    }

    fn quantile(&self, tail: impl Fn(f64) -> f64, level: f64) -> f64 {
        if self.exact() {
            return root::quantile(tail, level, self.response_mean());
        }
        // Beyond this variation the inversion does not resolve the law.
        if self.law.scv() > INVERTED_SCV_MAX {
            return f64::NAN;
        }
        root::quantile_within(tail, level, self.response_mean(), INVERTED_TOLERANCE)
    }

    /// Waiting time in seconds that a share `level` of customers does not exceed.
    pub fn wait_quantile(&self, level: f64) -> f64 {
        self.quantile(|time| self.wait_tail(time), level)
    }

    /// Response time in seconds that a share `level` of customers does not exceed.
    pub fn response_quantile(&self, level: f64) -> f64 {
        self.quantile(|time| self.response_tail(time), level)
    }
}

/// Poles of the wait's transform `(1 - load) / (1 - lambda sum p / (mu + s))`: one below each rate.
fn exponentials(lambda: f64, branches: &[(f64, f64)]) -> Shape {
    let mut rates: Vec<(f64, f64)> = branches
        .iter()
        .filter(|(share, _)| *share > 0.0)
        .map(|(share, mean)| (*share, 1.0 / mean))
        .collect();
    rates.sort_by(|left, right| left.1.total_cmp(&right.1));
    rates.dedup_by(|later, kept| {
        let same = later.1 - kept.1 <= 1e-14 * kept.1;
        if same {
            kept.0 += later.0;
        }
        same
    });
    let load: f64 = rates
        .iter()
        .map(|(share, rate)| lambda * share / rate)
        .sum();
    let mut terms = Vec::with_capacity(rates.len());
    let mut below = 0.0;
    for (index, (share, above)) in rates.iter().enumerate() {
        // In the distance to the rate above, so that a pole close to it keeps its digits.
        let value = |distance: f64| {
            let others: f64 = rates
                .iter()
                .enumerate()
                .filter(|(other, _)| *other != index)
                .map(|(_, (share, rate))| share / (rate - above + distance))
                .sum();
            lambda * (share / distance + others) - 1.0
        };
        let width = above - below;
        let distance = root::falling_root(value, width * 1e-18, width * (1.0 - f64::EPSILON));
        let pole = above - distance;
        let slope: f64 = rates
            .iter()
            .map(|(share, rate)| lambda * share / (rate - above + distance).powi(2))
            .sum();
        terms.push(((1.0 - load) / slope / pole, pole));
        below = *above;
    }
    Shape::Exponentials(terms)
}

/// Phases found by an arrival: `pi(n) = load / phases * sum of pi(n - phases .. n)` by cutting between
/// `n - 1` and `n`.
fn erlang(load: f64, phases: u32, mean: f64) -> Option<Shape> {
    let per_service = phases as usize;
    let ratio = load / f64::from(phases);
    let mut found = vec![1.0 - load];
    let mut recent = 1.0 - load;
    let mut total = 1.0 - load;
    while 1.0 - total > 1e-15 && recent > 1e-18 {
        if found.len() >= PHASES_MAX {
            return None;
        }
        let next = ratio * recent;
        found.push(next);
        total += next;
        recent += next;
        if let Some(index) = found.len().checked_sub(per_service + 1) {
            recent -= found[index];
        }
    }
    let mut more = vec![0.0; found.len()];
    let mut sum = 0.0;
    for index in (0..found.len()).rev() {
        more[index] = sum;
        sum += found[index];
    }
    Some(Shape::Phases(more, f64::from(phases) / mean, per_service))
}

/// Probability that the phases found and `own` ones last longer than the events of a Poisson process of
/// mean `events`.
fn phases_tail(more: &[f64], events: f64, own: usize) -> f64 {
    let window = PoissonWindow::new(events);
    let fewer: f64 = (window.first..)
        .zip(&window.pmf)
        .map(|(count, pmf)| match count.checked_sub(own) {
            None => *pmf,
            Some(found) => pmf * more.get(found).copied().unwrap_or(0.0),
        })
        .sum();
    fewer
}

fn deterministic(lambda: f64, mean: f64) -> Shape {
    let load = lambda * mean;
    let count = 80_usize;
    // Number in the system by the recursion of Ramaswami: all terms positive.
    let arrivals = PoissonWindow::new(load);
    let mut at_least = vec![0.0; count + 2];
    let mut sum = 0.0;
    for index in (0..arrivals.pmf.len().max(count + 2)).rev() {
        sum += arrivals.at(index);
        if let Some(slot) = at_least.get_mut(index) {
            *slot = sum;
        }
    }
    let mut states = vec![1.0 - load];
    for n in 1..count {
        let jumps: f64 = (1..n).map(|i| states[i] * at_least[n + 1 - i]).sum();
        states.push((states[0] * at_least[n] + jumps) / arrivals.at(0));
    }
    let mut sum = states[0];
    let waiting = states[1..]
        .iter()
        .map(|state| {
            sum += state;
            sum
        })
        .collect();
    // The pole: load (e^u - 1) = u for u > 0.
    let value = |u: f64| u - load * u.exp_m1();
    let mut high = 1.0;
    while value(high) > 0.0 {
        high *= 2.0;
    }
    // The maximum of `value` lies between zero and the pole.
    let low = (-load.ln()).min(high);
    let pole = root::falling_root(value, low, high);
    let weight = (1.0 - load) / (load * pole.exp() - 1.0);
    Shape::Deterministic(waiting, weight, pole / mean)
}

/// Probability that the wait is at most `seconds` with deterministic service.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "at most EXACT_SERVICES and not negative"
)]
fn franx(waiting: &[f64], lambda: f64, mean: f64, seconds: f64) -> f64 {
    let services = (seconds / mean).floor() as usize + 1;
    let mean_events = (lambda * (services as f64 * mean - seconds)).max(0.0);
    let mut term = (-mean_events).exp();
    let mut sum = 0.0;
    for index in 0..services {
        sum += term * waiting[services - 1 - index];
        term *= mean_events / (index + 1) as f64;
    }
    sum
}
