//! Response times of a request that passes several queues: their tail, by inverting a transform.

use serde::{Deserialize, Serialize};
use std::f64::consts::PI;

/// Terms that are summed before the averaging, and terms averaged: errors below 1e-6 for smooth tails.
const TERMS: u32 = 24;
const AVERAGED: u32 = 11;
/// Binomial coefficients of the averaging, `AVERAGED` over k.
const WEIGHTS: [f64; 12] = [
    1.0, 11.0, 55.0, 165.0, 330.0, 462.0, 462.0, 330.0, 165.0, 55.0, 11.0, 1.0,
];
/// Damping of the inversion; its error is exp(-DAMPING).
const DAMPING: f64 = 18.4;
/// Halvings of the search for a quantile.
const HALVINGS: usize = 60;
/// Below this an `scv` counts as none.
const SCV_MIN: f64 = 1e-3;
/// Points and weights of the normal distribution (Gauss-Hermite), of which the lognormal is made.
const POINTS: [f64; 7] = [
    -3.750_439_717_725_742,
    -2.366_759_410_734_541,
    -1.154_405_394_739_968,
    0.0,
    1.154_405_394_739_968,
    2.366_759_410_734_541,
    3.750_439_717_725_742,
];
const POINT_WEIGHTS: [f64; 7] = [
    0.000_548_268_855_972,
    0.030_757_123_967_586,
    0.240_123_178_605_013,
    0.457_142_857_142_857,
    0.240_123_178_605_013,
    0.030_757_123_967_586,
    0.000_548_268_855_972,
];
/// Order of the Erlang distributions that lie around the points, so that the whole is smooth: quantiles are off
/// by up to 3 % for an `scv` of 2 and by up to 7 % for one of 3, less than with any other order.
const ORDER: i32 = 3;

/// One kind of visit: a service time, and a wait that not all requests have.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Visit {
    /// Mean number of such visits; each whole one surely happens, the rest by chance.
    pub(crate) count: f64,
    pub(crate) service_s: f64,
    pub(crate) service_scv: f64,
    pub(crate) family: Family,
    /// Mean wait of all requests, and how many of them wait at all.
    pub(crate) wait_s: f64,
    pub(crate) wait_probability: f64,
}

/// How service times are distributed, given mean and variability.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Family {
    /// Gamma; exponential where the variability is 1.
    #[default]
    Gamma,
    /// Log-normal: more often short, and more often very long.
    Lognormal,
}

#[derive(Clone, Copy)]
struct Complex {
    re: f64,
    im: f64,
}

impl Complex {
    fn times(self, other: Self) -> Self {
        Self {
            re: self.re * other.re - self.im * other.im,
            im: self.re * other.im + self.im * other.re,
        }
    }

    fn over(self, other: Self) -> Self {
        let size = other.re * other.re + other.im * other.im;
        Self {
            re: (self.re * other.re + self.im * other.im) / size,
            im: (self.im * other.re - self.re * other.im) / size,
        }
    }

    fn plus(self, real: f64) -> Self {
        Self {
            re: self.re + real,
            im: self.im,
        }
    }

    fn scaled(self, factor: f64) -> Self {
        Self {
            re: self.re * factor,
            im: self.im * factor,
        }
    }

    fn exp(self) -> Self {
        let size = self.re.exp();
        Self {
            re: size * self.im.cos(),
            im: size * self.im.sin(),
        }
    }

    fn ln(self) -> Self {
        Self {
            re: self.re.hypot(self.im).ln(),
            im: self.im.atan2(self.re),
        }
    }

    fn power(self, exponent: f64) -> Self {
        self.ln().scaled(exponent).exp()
    }
}

impl Visit {
    /// The transform of the time of one visit: a gamma service time, and an exponential wait with a part at 0.
    fn once(&self, s: Complex) -> Complex {
        let service = match self.family {
            Family::Lognormal if self.variance() > 0.0 => self.lognormal(s),
            _ if self.service_scv < SCV_MIN => s.scaled(-self.service_s).exp(),
            _ => {
                let spread = self.service_scv * self.service_s;
                s.scaled(spread).plus(1.0).power(-1.0 / self.service_scv)
            }
        };
        if self.wait_s <= 0.0 || self.wait_probability <= 0.0 {
            return service;
        }
        let rate = self.wait_probability / self.wait_s;
        let waits = Complex { re: rate, im: 0.0 }.over(s.plus(rate));
        let wait = waits
            .scaled(self.wait_probability)
            .plus(1.0 - self.wait_probability);
        service.times(wait)
    }

    /// Variance of the logarithm that leaves room for that of the Erlang distributions.
    fn variance(&self) -> f64 {
        let order = f64::from(ORDER);
        ((1.0 + self.service_scv) * order / (order + 1.0)).ln()
    }

    /// The transform of Erlang distributions whose means lie as a lognormal distribution does.
    fn lognormal(&self, s: Complex) -> Complex {
        let deviation = self.variance().sqrt();
        let factors = POINTS.map(|point| (deviation * point).exp());
        let parts = || factors.iter().zip(POINT_WEIGHTS);
        let mean: f64 = parts().map(|(factor, weight)| factor * weight).sum();
        let scale = self.service_s / mean / f64::from(ORDER);
        let zero = Complex { re: 0.0, im: 0.0 };
        parts().fold(zero, |sum, (factor, weight)| {
            let one = Complex { re: 1.0, im: 0.0 };
            let phase = one.over(s.scaled(scale * factor).plus(1.0));
            let part = phase.times(phase).times(phase).scaled(weight);
            Complex {
                re: sum.re + part.re,
                im: sum.im + part.im,
            }
        })
    }

    fn all(&self, s: Complex) -> Complex {
        let once = self.once(s);
        let whole = self.count.floor();
        let part = self.count - whole;
        let rest = once.scaled(part).plus(1.0 - part);
        if whole > 0.0 {
            once.power(whole).times(rest)
        } else {
            rest
        }
    }
}

/// Sums the mean times of all visits.
pub(crate) fn mean_s(visits: &[Visit]) -> f64 {
    visits
        .iter()
        .map(|visit| visit.count * (visit.service_s + visit.wait_s))
        .sum()
}

/// Computes the share of requests whose visits together last longer.
///
/// # Source
/// J. Abate, W. Whitt, "Numerical inversion of Laplace transforms of probability distributions", ORSA Journal
/// on Computing 7(1), 1995: the Euler method.
pub(crate) fn tail(visits: &[Visit], time_s: f64) -> f64 {
    if time_s <= 0.0 {
        return 1.0;
    }
    let real_part = |k: u32| {
        let s = Complex {
            re: DAMPING / (2.0 * time_s),
            im: f64::from(k) * PI / time_s,
        };
        let density = visits
            .iter()
            .fold(Complex { re: 1.0, im: 0.0 }, |all, visit| {
                all.times(visit.all(s))
            });
        density.scaled(-1.0).plus(1.0).over(s).re
    };
    let mut sum = real_part(0) / 2.0;
    let mut averaged = 0.0;
    for k in 1..=TERMS + AVERAGED {
        let sign = if k.is_multiple_of(2) { 1.0 } else { -1.0 };
        sum += sign * real_part(k);
        if k >= TERMS {
            let weight = WEIGHTS.get((k - TERMS) as usize).copied().unwrap_or(0.0);
            averaged += weight * sum;
        }
    }
    let scale = f64::from(1_u32 << AVERAGED);
    ((DAMPING / 2.0).exp() / time_s * averaged / scale).clamp(0.0, 1.0)
}

/// Computes the time that a share of requests is within.
pub(crate) fn quantile_s(visits: &[Visit], level: f64) -> f64 {
    let mean_s = mean_s(visits);
    if mean_s <= 0.0 {
        return 0.0;
    }
    let (mut low, mut high) = (0.0, mean_s);
    while tail(visits, high) > 1.0 - level && high < mean_s * 1e4 {
        low = high;
        high *= 2.0;
    }
    for _ in 0..HALVINGS {
        let middle = f64::midpoint(low, high);
        if tail(visits, middle) > 1.0 - level {
            low = middle;
        } else {
            high = middle;
        }
    }
    f64::midpoint(low, high)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn visit(count: f64, service_s: f64, service_scv: f64) -> Visit {
        Visit {
            count,
            service_s,
            service_scv,
            family: Family::Gamma,
            wait_s: 0.0,
            wait_probability: 0.0,
        }
    }

    #[test]
    fn tails_are_those_of_known_distributions() {
        for time in [0.01, 0.5, 1.0, 3.0, 6.0] {
            let exponential = tail(&[visit(1.0, 1.0, 1.0)], time);
            assert!(
                (exponential - (-time).exp()).abs() < 1e-6,
                "{time}: {exponential}"
            );
            let erlang = tail(&[visit(2.0, 1.0, 1.0)], time);
            assert!(
                (erlang - (1.0 + time) * (-time).exp()).abs() < 1e-6,
                "{time}: {erlang}"
            );
        }
        // M/M/1: the response is exponential with the rate mu - lambda.
        let queue = Visit {
            wait_s: 1.5,
            wait_probability: 0.6,
            ..visit(1.0, 1.0, 1.0)
        };
        let level = quantile_s(&[queue], 0.95);
        assert!((level - 20.0_f64.ln() / 0.4).abs() < 1e-4, "{level}");
        assert!((mean_s(&[queue]) - 2.5).abs() < 1e-12);
    }

    #[test]
    fn a_lognormal_tail_is_near_the_true_one() {
        let family = Family::Lognormal;
        let visits = [Visit {
            family,
            ..visit(1.0, 1.0, 2.0)
        }];
        // Quantiles exp(-v/2 + sqrt(v) z) with v = ln 3. Seven points leave ripples of 3 %.
        let variance = 3.0_f64.ln();
        for (level, z) in [(0.5, 0.0), (0.95, 1.644_854), (0.99, 2.326_348)] {
            let expected = (-variance / 2.0 + variance.sqrt() * z).exp();
            let found = quantile_s(&visits, level);
            assert!(
                (found / expected - 1.0).abs() < 0.04,
                "{level}: {found} is not {expected}"
            );
        }
    }

    #[test]
    fn a_visit_by_chance_is_part_of_the_requests() {
        let share = tail(&[visit(0.3, 1.0, 1.0)], 2.0);
        assert!((share - 0.3 * (-2.0_f64).exp()).abs() < 1e-6, "{share}");
    }
}
