//! A histogram of misses that forgets: in units of their scale, on bins that are fine near zero.
//!
//! Instead of shrinking what is counted, each new miss counts a little more than the one before; when its
//! weight has grown large, all counts are halved a few times. Invariant: counts are integers, so what is
//! stored is what is used.

/// Bins of a histogram.
pub(crate) const BINS: usize = 112;
/// Bin of a miss of zero.
const ZERO_BIN: f64 = 36.0;
/// Bins per unit of the inverse hyperbolic sine of a stretched miss: far out, a bin is an eighth of a
/// power of e wide.
const BINS_PER_LOG: f64 = 8.0;
/// Stretch of a miss: the bins around zero are a thirty-second of a scale wide.
const STRETCH: f64 = 4.0;
/// Weight of the first miss: rounding it costs less than a hundredth.
const WEIGHT_FIRST: f64 = 64.0;
/// Weight past which all counts are divided.
const WEIGHT_MAX: f64 = 4_096.0;
/// Halvings of the counts then.
const HALVINGS: u32 = 6;

/// Misses by size, newer ones weighing more.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Histogram {
    /// Weight per bin.
    pub(crate) counts: Vec<u32>,
    /// Weight of the next miss.
    pub(crate) weight: f64,
}

impl Default for Histogram {
    fn default() -> Self {
        Self {
            counts: vec![0; BINS],
            weight: WEIGHT_FIRST,
        }
    }
}

impl Histogram {
    /// Takes a miss; `growth` is by how much each miss weighs more than the one before.
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "a position among the bins, and a weight that is bounded"
    )]
    pub(crate) fn add(&mut self, miss: f64, growth: f64) {
        self.weight *= growth;
        if self.weight > WEIGHT_MAX {
            self.weight /= f64::from(1_u32 << HALVINGS);
            for count in &mut self.counts {
                *count >>= HALVINGS;
            }
        }
        if let Some(count) = self.counts.get_mut(position(miss) as usize) {
            *count = count.saturating_add(self.weight.round() as u32);
        }
    }

    /// Reads quantiles at ascending levels; zeros while nothing was counted.
    pub(crate) fn quantiles(&self, levels: &[f64], quantiles: &mut [f64]) {
        let total: f64 = self.counts.iter().map(|count| f64::from(*count)).sum();
        let (mut bin, mut below) = (0, 0.0);
        for (level, quantile) in levels.iter().zip(quantiles) {
            let target = level * total;
            while bin + 1 < self.counts.len() && below + f64::from(self.counts[bin]) < target {
                below += f64::from(self.counts[bin]);
                bin += 1;
            }
            let here = f64::from(self.counts[bin]);
            let share = if here > 0.0 {
                ((target - below) / here).clamp(0.0, 1.0)
            } else {
                1.0
            };
            *quantile = if total > 0.0 {
                miss_at(bin as f64 + share)
            } else {
                0.0
            };
        }
    }
}

/// Where a miss lies among the bins; a miss that is no number counts as the largest.
fn position(miss: f64) -> f64 {
    let at = (miss * STRETCH).asinh() * BINS_PER_LOG + ZERO_BIN;
    let last = (BINS - 1) as f64;
    if at.is_nan() {
        last
    } else {
        at.clamp(0.0, last)
    }
}

fn miss_at(position: f64) -> f64 {
    ((position - ZERO_BIN) / BINS_PER_LOG).sinh() / STRETCH
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_are_those_of_what_was_counted() {
        let mut histogram = Histogram::default();
        for at in 0..10_000 {
            // 7919 is coprime to 10,000: the misses 0, 0.001, ... 9.999 in another order.
            histogram.add(f64::from(at * 7919 % 10_000) / 1_000.0, 1.0);
        }
        let levels = [0.1, 0.5, 0.9, 0.99];
        let mut quantiles = [0.0; 4];
        histogram.quantiles(&levels, &mut quantiles);
        for (quantile, level) in quantiles.iter().zip(levels) {
            assert!((quantile - 10.0 * level).abs() < 0.05, "{quantiles:?}");
        }
    }

    #[test]
    fn what_is_old_is_forgotten() {
        let mut histogram = Histogram::default();
        let growth = 2.0_f64.powf(1.0 / 100.0);
        for miss in [5.0; 2_000].into_iter().chain([1.0; 700]) {
            histogram.add(miss, growth);
        }
        let mut quantiles = [0.0; 2];
        // After seven half-lives 1/128 of the weight is old.
        histogram.quantiles(&[0.98, 0.998], &mut quantiles);
        assert!(
            (quantiles[0] - 1.0).abs() < 0.1 && (quantiles[1] - 5.0).abs() < 0.6,
            "{quantiles:?}"
        );
        assert!(histogram.counts.iter().all(|count| *count < 1 << 30));
    }

    #[test]
    fn nothing_counted_and_no_number_do_no_harm() {
        let mut histogram = Histogram::default();
        let mut quantiles = [1.0; 2];
        histogram.quantiles(&[0.5, 0.9], &mut quantiles);
        assert!(quantiles.iter().all(|quantile| *quantile == 0.0));
        for miss in [f64::NAN, f64::INFINITY, -1e300] {
            histogram.add(miss, 1.0);
        }
        histogram.quantiles(&[0.1, 0.9], &mut quantiles);
        assert!(quantiles.iter().all(|quantile| quantile.is_finite()));
    }
}
