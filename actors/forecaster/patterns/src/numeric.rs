//! Robust statistics, tail probabilities and conversions, each in one place.

use statrs::distribution::{Binomial, ContinuousCDF, DiscreteCDF, Gamma, Normal, StudentsT};

/// Turns a median absolute deviation into the standard deviation of a normal distribution.
pub(crate) const MAD_TO_SD: f64 = 1.4826;

/// Turns a count into a signed grid index, saturating.
pub(crate) fn signed(count: usize) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}

/// Turns a grid index that is known not to be negative into a position; a negative one becomes 0.
pub(crate) fn position(index: i64) -> usize {
    usize::try_from(index).unwrap_or(0)
}

/// Rounds a number that is known to be small and not negative to a position.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "clamped to what the type holds; not-a-number becomes 0"
)]
pub(crate) fn rounded(value: f64) -> usize {
    value.round().clamp(0.0, 1e15) as usize
}

/// The mean, 0 of nothing.
pub(crate) fn mean(values: &[f64]) -> f64 {
    if values.is_empty() {
        return 0.0;
    }
    values.iter().sum::<f64>() / values.len() as f64
}

/// The value below which a share of `values` lies (nearest rank), 0 of nothing. Reorders `values`.
pub(crate) fn quantile_in(values: &mut [f64], share: f64) -> f64 {
    if values.is_empty() {
        return 0.0;
    }
    let last = values.len() - 1;
    let at = rounded(share * last as f64).min(last);
    let (_, value, _) = values.select_nth_unstable_by(at, f64::total_cmp);
    *value
}

/// The median: of an even count the mean of the middle two. Reorders `values`.
pub(crate) fn median_in(values: &mut [f64]) -> f64 {
    let count = values.len();
    if count == 0 {
        return 0.0;
    }
    let (below, upper, _) = values.select_nth_unstable_by(count / 2, f64::total_cmp);
    let upper = *upper;
    if count % 2 == 1 {
        return upper;
    }
    let lower = below.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    f64::midpoint(lower, upper)
}

/// The median of a copy.
pub(crate) fn median(values: &[f64]) -> f64 {
    median_in(&mut values.to_vec())
}

/// A robust standard deviation: the median distance from the median, scaled.
pub(crate) fn spread(values: &[f64]) -> f64 {
    let middle = median(values);
    let mut distances: Vec<f64> = values.iter().map(|value| (value - middle).abs()).collect();
    MAD_TO_SD * median_in(&mut distances)
}

/// Mean and standard deviation (of a sample), 0 where there is too little.
pub(crate) fn moments(values: &[f64]) -> (f64, f64) {
    let middle = mean(values);
    if values.len() < 2 {
        return (middle, 0.0);
    }
    let squares: f64 = values.iter().map(|value| (value - middle).powi(2)).sum();
    (middle, (squares / (values.len() as f64 - 1.0)).sqrt())
}

/// Probability that a sum of exponentials with these means exceeds `seen`, by a gamma of the same mean
/// and variance (Satterthwaite 1946).
pub(crate) fn exponential_sum_tail(means: &[f64], seen: f64) -> f64 {
    let total: f64 = means.iter().sum();
    let squares: f64 = means.iter().map(|mean| mean * mean).sum();
    if !(total > 0.0 && squares > 0.0) {
        return 1.0;
    }
    let shape = total * total / squares;
    let rate = total / squares;
    Gamma::new(shape, rate).map_or(1.0, |gamma| gamma.sf(seen.max(0.0)))
}

/// Two-sided probability of a mean this far from 0, in standard errors, from `count` values.
pub(crate) fn student_tail(t: f64, count: usize) -> f64 {
    if count < 2 || !t.is_finite() {
        return 1.0;
    }
    StudentsT::new(0.0, 1.0, count as f64 - 1.0).map_or(1.0, |law| 2.0 * law.sf(t.abs()))
}

/// Probability of a standard normal above `z`.
pub(crate) fn normal_tail(z: f64) -> f64 {
    if z.is_nan() {
        return 1.0;
    }
    Normal::new(0.0, 1.0).map_or(1.0, |law| law.sf(z))
}

/// Probability of at least `hits` in `tries`, each with probability `chance`.
pub(crate) fn binomial_tail(hits: usize, tries: usize, chance: f64) -> f64 {
    if hits == 0 {
        return 1.0;
    }
    let law = Binomial::new(chance.clamp(0.0, 1.0), tries as u64);
    law.map_or(1.0, |law| law.sf(hits as u64 - 1))
}

/// Keeps a share in 0 to 1; not-a-number becomes 0.
pub(crate) fn share(value: f64) -> f64 {
    if value.is_nan() {
        0.0
    } else {
        value.clamp(0.0, 1.0)
    }
}
