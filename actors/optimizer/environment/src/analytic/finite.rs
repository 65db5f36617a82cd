//! M/M/c/K: at most `K` customers in the system, others are turned away.
//!
//! Source: the birth-death balance (Kleinrock, Queueing Systems I, section 3.6). The response time of
//! accepted customers is the mixture over the state that they find, each an Erlang wait and a service,
//! written as sums of positive Poisson terms.

use crate::analytic::many::servers_checked;
use crate::analytic::poisson::PoissonWindow;
use crate::analytic::{AnalyticError, positive, root};

/// Largest `K` that is solved.
pub const ROOM_MAX: u32 = 1_000_000;

/// An M/M/c/K queue.
#[derive(Clone, Debug, PartialEq)]
pub struct FiniteRoom {
    servers: usize,
    lambda: f64,
    mu: f64,
    /// Probability of each number in the system. Shape: `[K + 1]`.
    states: Vec<f64>,
}

impl FiniteRoom {
    /// Makes the queue of `servers` with `room` for customers in service and waiting.
    ///
    /// Cost: O(room).
    ///
    /// # Errors
    /// When a rate is not positive, there is no server, or `room` is less than `servers` or too large.
    pub fn new(servers: u32, room: u32, lambda: f64, mu: f64) -> Result<Self, AnalyticError> {
        let (lambda, mu) = (positive("lam", lambda)?, positive("mu", mu)?);
        let servers = servers_checked(servers)?;
        if room < servers {
            return Err(AnalyticError::parameter(
                "K",
                f64::from(room),
                "at least as many as there are servers",
            ));
        }
        if room > ROOM_MAX {
            return Err(AnalyticError::TooLarge {
                name: "K",
                value: f64::from(room),
                limit: f64::from(ROOM_MAX),
            });
        }
        Ok(Self {
            servers: servers as usize,
            lambda,
            mu,
            states: birth_death(room, |state| {
                lambda / (mu * f64::from((state + 1).min(servers)))
            }),
        })
    }

    /// Probability of each number in the system. Shape: `[K + 1]`.
    pub fn states(&self) -> &[f64] {
        &self.states
    }

    /// Share of customers turned away.
    pub fn blocking(&self) -> f64 {
        self.states.last().copied().unwrap_or(1.0)
    }

    /// Customers served per second.
    pub fn throughput(&self) -> f64 {
        let accepting = self.states.len() - 1;
        self.lambda * self.states.iter().take(accepting).sum::<f64>()
    }

    /// Share of the time that a server is busy.
    pub fn utilisation(&self) -> f64 {
        self.throughput() / (self.servers as f64 * self.mu)
    }

    /// Mean number of customers in the system.
    pub fn in_system_mean(&self) -> f64 {
        (0..).zip(&self.states).map(|(n, p)| f64::from(n) * p).sum()
    }

    /// Mean number of waiting customers.
    pub fn waiting_mean(&self) -> f64 {
        let waiting = (1..).zip(self.states.iter().skip(self.servers + 1));
        waiting.map(|(n, p)| f64::from(n) * p).sum()
    }

    /// Mean waiting time of accepted customers in seconds.
    pub fn wait_mean(&self) -> f64 {
        self.waiting_mean() / self.throughput()
    }

    /// Mean response time of accepted customers in seconds.
    pub fn response_mean(&self) -> f64 {
        self.in_system_mean() / self.throughput()
    }

    /// Probability that an accepted customer waits.
    pub fn wait_probability(&self) -> f64 {
        let accepting = self.states.len() - 1;
        let accepted = &self.states[..accepting];
        accepted.iter().skip(self.servers).sum::<f64>() / accepted.iter().sum::<f64>()
    }

    /// Probability that the response of an accepted customer takes longer than `seconds`.
    ///
    /// Cost: O(K).
    pub fn response_tail(&self, seconds: f64) -> f64 {
        let accepting = self.states.len() - 1;
        let accepted: f64 = self.states[..accepting].iter().sum();
        let service = (-self.mu * seconds).exp();
        let at_once: f64 = self.states[..self.servers.min(accepting)].iter().sum();
        let waiting = &self.states[self.servers.min(accepting)..accepting];
        let rate = self.mu * self.servers as f64;
        let events = PoissonWindow::new(rate * seconds);
        // Departures needed first are 1, 2, … for the waiting states. `served` is the probability that
        // they have happened and the service that followed has not ended, for one more departure each
        // time the loop steps down.
        let ratio = 1.0 - 1.0 / self.servers as f64;
        let last = waiting.len().max(events.first + events.pmf.len());
        let mut in_service = vec![0.0; waiting.len() + 1];
        let mut served = 0.0;
        for needed in (1..=last).rev() {
            served = ratio * served + events.at(needed);
            if needed <= waiting.len() {
                in_service[needed] = served;
            }
        }
        let mut still_waiting = 0.0;
        let mut sum = at_once * service;
        for (before, state) in waiting.iter().enumerate() {
            still_waiting += events.at(before);
            sum += state * (still_waiting + in_service[before + 1]);
        }
        sum / accepted
    }

    /// Probability that an accepted customer waits longer than `seconds`.
    ///
    /// Cost: O(K).
    pub fn wait_tail(&self, seconds: f64) -> f64 {
        let accepting = self.states.len() - 1;
        let accepted: f64 = self.states[..accepting].iter().sum();
        let events = PoissonWindow::new(self.mu * self.servers as f64 * seconds);
        let mut still_waiting = 0.0;
        let mut sum = 0.0;
        for (before, state) in self.states[self.servers.min(accepting)..accepting]
            .iter()
            .enumerate()
        {
            still_waiting += events.at(before);
            sum += state * still_waiting;
        }
        sum / accepted
    }

    /// Response time in seconds that a share `level` of accepted customers does not exceed.
    pub fn response_quantile(&self, level: f64) -> f64 {
        root::quantile(|time| self.response_tail(time), level, self.response_mean())
    }

    /// Waiting time in seconds that a share `level` of accepted customers does not exceed.
    pub fn wait_quantile(&self, level: f64) -> f64 {
        root::quantile(|time| self.wait_tail(time), level, self.response_mean())
    }
}

/// Probabilities of the states 0 to `last` where `step(n)` is the birth rate in `n` over the death rate
/// in `n + 1`. Rescales on the way, so that no weight overflows.
pub(crate) fn birth_death(last: u32, step: impl Fn(u32) -> f64) -> Vec<f64> {
    let mut logs = Vec::with_capacity(last as usize + 1);
    // The weight is `weight * 2^(exponent * 512)`.
    let (mut weight, mut exponent) = (1.0_f64, 0_i32);
    logs.push((weight, exponent));
    let big = 2.0_f64.powi(512);
    for state in 0..last {
        weight *= step(state);
        if weight > big {
            weight /= big;
            exponent += 1;
        } else if weight < 1.0 / big && weight > 0.0 {
            weight *= big;
            exponent -= 1;
        }
        logs.push((weight, exponent));
    }
    let top = logs
        .iter()
        .map(|(_, exponent)| *exponent)
        .max()
        .unwrap_or(0);
    let mut states: Vec<f64> = logs
        .iter()
        .map(|(weight, exponent)| match top - exponent {
            0 => *weight,
            1 => weight / big,
            _ => 0.0,
        })
        .collect();
    let largest = states.iter().copied().fold(0.0, f64::max);
    for state in &mut states {
        *state /= largest;
    }
    let total: f64 = states.iter().sum();
    for state in &mut states {
        *state /= total;
    }
    states
}
