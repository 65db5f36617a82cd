//! Analytic queueing: response times of M/M/c, first come first served.
//!
//! `c` equal servers, Poisson arrivals at rate `lambda`, exponential service at rate `mu` each; a tier's
//! cores are the servers. Source: Erlang C as in Kleinrock, Queueing Systems I, section 3.5; the sojourn
//! time's tail by conditioning on waiting. What has other laws goes to the discrete-event engine.

use crate::problem::Service;

/// Share of requests that may miss the target of a [`Service`].
pub const MISS_SHARE: f64 = 0.01;
/// Most servers that [`servers_for`] looks at.
const SERVERS_MAX: u32 = 1_000_000;
/// Tolerance of the comparison with [`MISS_SHARE`].
const MISS_TOLERANCE: f64 = 1e-9;
/// Halvings until a bisection has used up the digits of `f64`.
const HALVINGS: u32 = 200;

/// A stable M/M/c queue.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Queue {
    servers: f64,
    lambda: f64,
    mu: f64,
    wait_probability: f64,
}

impl Queue {
    /// Makes a queue of `servers` servers, arrivals per second and services per second; `None` when it
    /// is not stable or a rate is not positive and finite.
    pub fn new(servers: u32, lambda: f64, mu: f64) -> Option<Self> {
        let sensible = lambda >= 0.0 && lambda.is_finite() && mu > 0.0 && mu.is_finite();
        if !sensible || lambda >= f64::from(servers) * mu {
            return None;
        }
        let load = lambda / mu;
        let blocked = (1..=servers).fold(1.0, |blocked, i| erlang_b_next(blocked, i, load));
        Some(Self::of(servers, lambda, mu, blocked))
    }

    fn of(servers: u32, lambda: f64, mu: f64, blocked: f64) -> Self {
        let servers = f64::from(servers);
        let busy = lambda / mu / servers;
        let wait_probability = blocked / (1.0 - busy * (1.0 - blocked));
        Self {
            servers,
            lambda,
            mu,
            wait_probability,
        }
    }

    /// Probability that a request waits (Erlang C).
    pub fn wait_probability(&self) -> f64 {
        self.wait_probability
    }

    /// Share of the time that a server is busy.
    pub fn utilisation(&self) -> f64 {
        self.lambda / (self.servers * self.mu)
    }

    /// Rate at which a waiting line of requests drains.
    fn drain(&self) -> f64 {
        self.servers * self.mu - self.lambda
    }

    /// Mean waiting time in seconds.
    pub fn wait_mean(&self) -> f64 {
        self.wait_probability / self.drain()
    }

    /// Mean response time (waiting and service) in seconds.
    pub fn response_mean(&self) -> f64 {
        self.wait_mean() + 1.0 / self.mu
    }

    /// Mean number of waiting requests.
    pub fn waiting_mean(&self) -> f64 {
        self.lambda * self.wait_mean()
    }

    /// Probability that a request waits longer than `seconds`.
    pub fn wait_tail(&self, seconds: f64) -> f64 {
        self.wait_probability * (-self.drain() * seconds).exp()
    }

    /// Probability that a response takes longer than `seconds`.
    pub fn response_tail(&self, seconds: f64) -> f64 {
        let (mu, drain, wait) = (self.mu, self.drain(), self.wait_probability);
        let service = (-mu * seconds).exp();
        if (drain - mu).abs() < 1e-9 * mu {
            return service * (1.0 + wait * mu * seconds);
        }
        let both = (drain * service - mu * (-drain * seconds).exp()) / (drain - mu);
        (1.0 - wait) * service + wait * both
    }

    /// Waiting time in seconds that a share `level` of requests does not exceed.
    pub fn wait_quantile(&self, level: f64) -> f64 {
        let tail = (1.0 - level).max(f64::MIN_POSITIVE);
        ((self.wait_probability / tail).ln() / self.drain()).max(0.0)
    }

    /// Response time in seconds that a share `level` of requests does not exceed.
    pub fn response_quantile(&self, level: f64) -> f64 {
        let tail = (1.0 - level).max(f64::MIN_POSITIVE);
        let mut high = 1.0 / self.mu;
        while self.response_tail(high) > tail && high.is_finite() {
            high *= 2.0;
        }
        let mut low = 0.0;
        for _ in 0..HALVINGS {
            let middle = f64::midpoint(low, high);
            if self.response_tail(middle) > tail {
                low = middle;
            } else {
                high = middle;
            }
        }
        f64::midpoint(low, high)
    }
}

/// Erlang B of `i` servers from that of one less.
fn erlang_b_next(blocked: f64, i: u32, load: f64) -> f64 {
    load * blocked / (f64::from(i) + load * blocked)
}

/// Least number of reference cores that keep the target of `service` at `requests` per second; `None`
/// when service alone already misses it or the number is beyond reason.
///
/// Cost: O(cores).
pub fn servers_for(service: &Service, requests: f64) -> Option<u32> {
    let mu = 1.0 / service.service_time_s;
    if !requests.is_finite() || (-mu * service.p99_target_s).exp() > MISS_SHARE + MISS_TOLERANCE {
        return None;
    }
    let load = (requests / mu).max(0.0);
    let mut blocked = 1.0;
    for servers in 1..=SERVERS_MAX {
        blocked = erlang_b_next(blocked, servers, load);
        if f64::from(servers) <= load {
            continue;
        }
        let queue = Queue::of(servers, load * mu, mu, blocked);
        if queue.response_tail(service.p99_target_s) <= MISS_SHARE + MISS_TOLERANCE {
            return Some(servers);
        }
    }
    None
}

/// Most requests per second that `servers` reference cores serve within the target of `service`.
///
/// Cost: O(cores) times the digits of `f64`.
pub fn requests_within(service: &Service, servers: u32) -> f64 {
    let mu = 1.0 / service.service_time_s;
    let keeps = |requests: f64| {
        Queue::new(servers, requests, mu).is_some_and(|queue| {
            queue.response_tail(service.p99_target_s) <= MISS_SHARE + MISS_TOLERANCE
        })
    };
    let (mut low, mut high) = (0.0, f64::from(servers) * mu);
    if !keeps(low) {
        return 0.0;
    }
    for _ in 0..48 {
        let middle = f64::midpoint(low, high);
        if keeps(middle) {
            low = middle;
        } else {
            high = middle;
        }
    }
    low
}

#[cfg(test)]
mod tests;
