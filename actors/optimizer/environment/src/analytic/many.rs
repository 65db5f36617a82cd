//! M/M/c, first come first served.
//!
//! Poisson arrivals, `c` equal servers with exponential service. Erlang C comes from the recursion of
//! Erlang B, which only adds and divides positive numbers. Source: Kleinrock, Queueing Systems I,
//! section 3.5; the response time by conditioning on waiting.

use crate::analytic::{AnalyticError, positive, root, stable};

/// Most servers that are solved.
pub const SERVERS_MAX: u32 = 1_000_000;

/// A stable M/M/c queue.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ManyServers {
    servers: f64,
    lambda: f64,
    mu: f64,
    wait_probability: f64,
}

impl ManyServers {
    /// Makes the queue of `servers`, `lambda` arrivals per second and `mu` services per second and server.
    ///
    /// Cost: O(servers).
    ///
    /// # Errors
    /// When a rate is not positive, there is no server, or the queue is not stable.
    pub fn new(servers: u32, lambda: f64, mu: f64) -> Result<Self, AnalyticError> {
        let (lambda, mu) = (positive("lam", lambda)?, positive("mu", mu)?);
        let servers = servers_checked(servers)?;
        let load = lambda / mu;
        let busy = stable("the station", load / f64::from(servers))?;
        let blocked = erlang_b(servers, load);
        Ok(Self {
            servers: f64::from(servers),
            lambda,
            mu,
            wait_probability: blocked / (1.0 - busy * (1.0 - blocked)),
        })
    }

    /// Probability that a customer waits (Erlang C).
    pub fn wait_probability(&self) -> f64 {
        self.wait_probability
    }

    /// Share of the time that a server is busy.
    pub fn utilisation(&self) -> f64 {
        self.lambda / (self.servers * self.mu)
    }

    /// Rate at which a waiting line drains.
    fn drain(&self) -> f64 {
        self.servers * self.mu * (1.0 - self.utilisation())
    }

    /// Mean waiting time in seconds.
    pub fn wait_mean(&self) -> f64 {
        self.wait_probability / self.drain()
    }

    /// Mean response time in seconds.
    pub fn response_mean(&self) -> f64 {
        self.wait_mean() + 1.0 / self.mu
    }

    /// Mean number of waiting customers.
    pub fn waiting_mean(&self) -> f64 {
        self.lambda * self.wait_mean()
    }

    /// Probability that a customer waits longer than `seconds`.
    pub fn wait_tail(&self, seconds: f64) -> f64 {
        self.wait_probability * (-self.drain() * seconds).exp()
    }

    /// Probability that a response takes longer than `seconds`.
    pub fn response_tail(&self, seconds: f64) -> f64 {
        let (mu, drain, wait) = (self.mu, self.drain(), self.wait_probability);
        let service = (-mu * seconds).exp();
        let apart = (drain - mu) * seconds;
        let both = if apart.abs() < 1.0 {
            // Safe where the rates meet: (1 - e^-x) / x.
            let ratio = if apart.abs() < f64::MIN_POSITIVE {
                1.0
            } else {
                -(-apart).exp_m1() / apart
            };
            mu * seconds * ratio * service
        } else {
            mu * (service - (-drain * seconds).exp()) / (drain - mu)
        };
        service + wait * both
    }

    /// Waiting time in seconds that a share `level` of customers does not exceed.
    pub fn wait_quantile(&self, level: f64) -> f64 {
        let tail = (1.0 - level).max(f64::MIN_POSITIVE);
        ((self.wait_probability / tail).ln() / self.drain()).max(0.0)
    }

    /// Response time in seconds that a share `level` of customers does not exceed.
    pub fn response_quantile(&self, level: f64) -> f64 {
        root::quantile(|time| self.response_tail(time), level, self.response_mean())
    }
}

/// Probability that all of `servers` are busy when nobody waits (Erlang B) under a load in servers.
///
/// Cost: O(servers).
pub fn erlang_b(servers: u32, load: f64) -> f64 {
    (1..=servers).fold(1.0, |blocked, server| {
        load * blocked / (f64::from(server) + load * blocked)
    })
}

/// Returns `servers` when there is one and not too many.
pub(crate) fn servers_checked(servers: u32) -> Result<u32, AnalyticError> {
    if servers == 0 {
        return Err(AnalyticError::parameter("c", 0.0, "at least one server"));
    }
    if servers > SERVERS_MAX {
        return Err(AnalyticError::TooLarge {
            name: "c",
            value: f64::from(servers),
            limit: f64::from(SERVERS_MAX),
        });
    }
    Ok(servers)
}
