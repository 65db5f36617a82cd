//! GI/M/1: any law of gaps, one server with exponential service.
//!
//! Source: Kleinrock, Queueing Systems I, section 6.4: the share of customers who wait is the root of
//! `sigma = A(mu (1 - sigma))` with the transform `A` of the gaps, and waits are exponential.

use crate::analytic::inversion::Transform;
use crate::analytic::{AnalyticError, positive, root, stable};
use crate::law::Law;
use num_complex::Complex64;

/// A stable GI/M/1 queue.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct RenewalArrivals {
    mu: f64,
    load: f64,
    wait_probability: f64,
}

impl RenewalArrivals {
    /// Makes the queue of a law of gaps and `mu` services per second. Exact.
    ///
    /// # Errors
    /// When a parameter is out of range or the queue is not stable.
    pub fn new(gap: Law, mu: f64) -> Result<Self, AnalyticError> {
        let gap = gap.checked("arrival")?;
        let load = stable("the server", 1.0 / gap.mean() / positive("mu", mu)?)?;
        let transform = Transform::new(&gap);
        let value = |sigma: f64| transform.at(Complex64::new(mu * (1.0 - sigma), 0.0)).re - sigma;
        Ok(Self {
            mu,
            load,
            wait_probability: root::falling_root(value, 0.0, 1.0 - 1e-9 * (1.0 - load)),
        })
    }

    /// Share of the time that the server is busy.
    pub fn utilisation(&self) -> f64 {
        self.load
    }

    /// Probability that a customer waits.
    pub fn wait_probability(&self) -> f64 {
        self.wait_probability
    }

    /// Rate of the exponential response.
    fn rate(&self) -> f64 {
        self.mu * (1.0 - self.wait_probability)
    }

    /// Mean waiting time in seconds.
    pub fn wait_mean(&self) -> f64 {
        self.wait_probability / self.rate()
    }

    /// Mean response time in seconds.
    pub fn response_mean(&self) -> f64 {
        1.0 / self.rate()
    }

    /// Response time in seconds that a share `level` of customers does not exceed.
    pub fn response_quantile(&self, level: f64) -> f64 {
        -(1.0 - level).max(f64::MIN_POSITIVE).ln() / self.rate()
    }

    /// Waiting time in seconds that a share `level` of customers does not exceed.
    pub fn wait_quantile(&self, level: f64) -> f64 {
        let tail = (1.0 - level).max(f64::MIN_POSITIVE);
        ((self.wait_probability / tail).ln() / self.rate()).max(0.0)
    }
}
