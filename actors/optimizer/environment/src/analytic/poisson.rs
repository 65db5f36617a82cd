//! Poisson probabilities without overflow or lost digits.

use statrs::function::gamma::ln_gamma;

/// Probabilities of a Poisson count where they matter.
#[derive(Debug)]
pub(crate) struct PoissonWindow {
    /// Count of the first probability.
    pub(crate) first: usize,
    /// Probabilities of `first`, `first + 1`, and so on; those outside are less than 1e-30.
    pub(crate) pmf: Vec<f64>,
}

impl PoissonWindow {
    /// Computes the probabilities for a `mean` of at least zero.
    ///
    /// Starts at the most likely count and multiplies outwards, so that relative errors stay near 1e-14.
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "means are far below 2^52 and not negative"
    )]
    pub(crate) fn new(mean: f64) -> Self {
        assert!((0.0..1e12).contains(&mean), "a Poisson mean of {mean}");
        if mean <= 0.0 {
            return Self {
                first: 0,
                pmf: vec![1.0],
            };
        }
        let spread = 13.0 * mean.sqrt() + 60.0;
        let first = (mean - spread).max(0.0).floor() as usize;
        let last = (mean + spread).ceil() as usize;
        let mode = mean.floor() as usize;
        let mut pmf = vec![0.0; last - first + 1];
        let at_mode = if mode == 0 {
            (-mean).exp()
        } else {
            let count = mode as f64;
            (count * (mean / count).ln() - (mean - count) - stirling_tail(count)).exp()
                / (2.0 * std::f64::consts::PI * count).sqrt()
        };
        pmf[mode - first] = at_mode;
        for count in mode + 1..=last {
            pmf[count - first] = pmf[count - 1 - first] * mean / count as f64;
        }
        for count in (first..mode).rev() {
            pmf[count - first] = pmf[count + 1 - first] * (count + 1) as f64 / mean;
        }
        Self { first, pmf }
    }

    /// Probability of `count`.
    pub(crate) fn at(&self, count: usize) -> f64 {
        count
            .checked_sub(self.first)
            .and_then(|index| self.pmf.get(index))
            .copied()
            .unwrap_or(0.0)
    }
}

/// Logarithm of n! less Stirling's formula.
fn stirling_tail(count: f64) -> f64 {
    if count < 16.0 {
        return ln_gamma(count + 1.0)
            - (count * count.ln() - count)
            - 0.5 * (2.0 * std::f64::consts::PI * count).ln();
    }
    let inverse = 1.0 / count;
    let square = inverse * inverse;
    inverse * (1.0 / 12.0 - square * (1.0 / 360.0 - square * (1.0 / 1260.0 - square / 1680.0)))
}
