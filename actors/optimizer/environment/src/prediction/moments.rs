//! Response times as mean and variance, and the laws fitted to them.

use statrs::distribution::{ContinuousCDF, Gamma};

/// Steps of the bisection for a quantile: to the last digit of a float.
const BISECTIONS: u32 = 200;

/// Mean and variance of a time.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Moments {
    /// In seconds.
    pub(super) mean: f64,
    /// In seconds squared.
    pub(super) variance: f64,
}

impl Moments {
    /// A time that is always the same.
    pub(super) const fn constant(seconds: f64) -> Self {
        Self {
            mean: seconds,
            variance: 0.0,
        }
    }

    /// One after the other.
    pub(super) fn plus(self, other: Self) -> Self {
        Self {
            mean: self.mean + other.mean,
            variance: self.variance + other.variance,
        }
    }

    /// So many one after the other: a whole number, or the two next to it, with this mean.
    pub(super) fn times(self, count: f64) -> Self {
        let whole = count.floor();
        let part = count - whole;
        Self {
            mean: count * self.mean,
            variance: count * self.variance + part * (1.0 - part) * self.mean * self.mean,
        }
    }

    /// With a probability, else no time at all.
    pub(super) fn with_probability(self, probability: f64) -> Self {
        let rest = 1.0 - probability;
        Self {
            mean: probability * self.mean,
            variance: probability * (self.variance + rest * self.mean * self.mean),
        }
    }

    /// The slowest of so many that begin together.
    ///
    /// What varies is taken for exponential: the k-th of n takes 1/k of its mean, the rest is constant.
    pub(super) fn slowest_of(self, count: f64) -> Self {
        if count <= 1.0 {
            return self.with_probability(count);
        }
        let deviation = self.variance.sqrt().min(self.mean);
        let (mut mean, mut variance) = (self.mean - deviation, 0.0);
        let mut place = 1.0;
        while place <= count.round() {
            mean += deviation / place;
            variance += (deviation / place).powi(2);
            place += 1.0;
        }
        Self { mean, variance }
    }

    /// The slower of two that begin together, by Clark's moments of the greater of two normals.
    pub(super) fn or_slower(self, other: &Self) -> Self {
        let spread = (self.variance + other.variance).sqrt();
        if spread <= 0.0 {
            return if self.mean >= other.mean {
                self
            } else {
                *other
            };
        }
        let apart = (self.mean - other.mean) / spread;
        let density = (-0.5 * apart * apart).exp() / (2.0 * std::f64::consts::PI).sqrt();
        let above = 0.5 * statrs::function::erf::erfc(-apart / std::f64::consts::SQRT_2);
        let mean = self.mean * above + other.mean * (1.0 - above) + spread * density;
        let square = (self.mean.powi(2) + self.variance) * above
            + (other.mean.powi(2) + other.variance) * (1.0 - above)
            + (self.mean + other.mean) * spread * density;
        Self {
            mean,
            variance: (square - mean * mean).max(0.0),
        }
    }

    fn scv(&self) -> f64 {
        if self.mean > 0.0 {
            self.variance / (self.mean * self.mean)
        } else {
            0.0
        }
    }

    /// Share of times that are longer.
    pub(super) fn tail(&self, seconds: f64) -> f64 {
        let scv = self.scv();
        if scv < 1e-9 {
            return f64::from(u8::from(seconds < self.mean));
        }
        if scv > 1.0 {
            // Two exponential branches with balanced means.
            let share = f64::midpoint(1.0, ((scv - 1.0) / (scv + 1.0)).sqrt());
            let branch = |share: f64| share * (-2.0 * share * seconds / self.mean).exp();
            return branch(share) + branch(1.0 - share);
        }
        Gamma::new(1.0 / scv, 1.0 / (scv * self.mean)).map_or(f64::NAN, |law| law.sf(seconds))
    }

    /// Time that a share `level` does not exceed.
    pub(super) fn quantile(&self, level: f64) -> f64 {
        let (mut low, mut high) = (0.0, self.mean.max(f64::MIN_POSITIVE));
        while self.tail(high) > 1.0 - level && high.is_finite() {
            high *= 2.0;
        }
        for _ in 0..BISECTIONS {
            let middle = f64::midpoint(low, high);
            if self.tail(middle) > 1.0 - level {
                low = middle;
            } else {
                high = middle;
            }
        }
        high
    }
}

#[cfg(test)]
mod tests {
    use super::Moments;

    fn close(left: f64, right: f64) {
        assert!(
            (left - right).abs() < 1e-6 * right.abs(),
            "{left}, not {right}"
        );
    }

    #[test]
    fn an_exponential_time_has_its_quantiles_from_both_sides() {
        for scv in [1.0, 1.0 + 1e-9] {
            let time = Moments {
                mean: 2.0,
                variance: 4.0 * scv,
            };
            close(time.quantile(0.95), 2.0 * 20.0_f64.ln());
            close(time.tail(2.0), (-1.0_f64).exp());
        }
        close(Moments::constant(3.0).quantile(0.5), 3.0);
    }

    #[test]
    fn the_slowest_of_exponentials_is_the_harmonic_sum() {
        let time = Moments {
            mean: 1.0,
            variance: 1.0,
        };
        close(time.slowest_of(3.0).mean, 1.0 + 0.5 + 1.0 / 3.0);
        let even = Moments::constant(1.0).or_slower(&Moments::constant(2.0));
        close(even.mean, 2.0);
        let far = time.or_slower(&Moments::constant(100.0));
        close(far.mean, 100.0);
    }
}
