//! Demand of one step as a distribution: from a forecast's quantiles to every level.
//!
//! Between two known levels the quantile is linear in the exponential score `-ln(1 - level)`, which is
//! monotone in the level; past the last known level the last slope goes on, so the tail is exponential
//! and joins without a jump. Below the first level the first slope goes on, down to zero at the least.
//! All integrals have a closed form.

use twinscale_protocol::{FixedValue, PEAK_LEVELS, PeakQuantiles, QUANTILE_LEVELS, Quantiles};

/// Demand of one step, in the demand metric's unit.
#[derive(Clone, Debug, PartialEq)]
pub struct DemandCurve {
    /// Scores of the knots, ascending; the first is 0, and at least two follow.
    scores: Vec<f64>,
    /// Demand at the knots, not descending.
    values: Vec<f64>,
    /// Demand per score past the last knot.
    tail: f64,
}

fn score(level: f64) -> f64 {
    -(1.0 - level).ln()
}

impl DemandCurve {
    /// Takes a forecast's quantiles; a value below the one before counts as that one.
    pub fn new(quantiles: &Quantiles) -> Self {
        Self::of(&QUANTILE_LEVELS, quantiles)
    }

    /// Takes a peak's quantiles; a value below the one before counts as that one.
    pub fn of_peak(quantiles: &PeakQuantiles) -> Self {
        Self::of(&PEAK_LEVELS, quantiles)
    }

    fn of(levels: &[f64], quantiles: &[FixedValue]) -> Self {
        let (mut scores, mut values) = (vec![0.0], vec![0.0]);
        let mut largest = 0.0_f64;
        for (value, level) in quantiles.iter().zip(levels) {
            largest = largest.max(value.units());
            values.push(largest);
            scores.push(score(*level));
        }
        let slope = |right: usize| {
            (values[right] - values[right - 1]) / (scores[right] - scores[right - 1])
        };
        let tail = slope(values.len() - 1);
        values[0] = (values[1] - slope(2) * scores[1]).max(0.0);
        Self {
            scores,
            values,
            tail,
        }
    }

    fn last(&self) -> usize {
        self.values.len() - 1
    }

    /// Demand that is not exceeded with probability `level`, which is clamped to 0..1.
    pub fn quantile(&self, level: f64) -> f64 {
        let score = score(level.clamp(0.0, 1.0 - f64::EPSILON));
        let last = self.last();
        if score >= self.scores[last] {
            return self.values[last] + self.tail * (score - self.scores[last]);
        }
        let right = self
            .scores
            .iter()
            .position(|knot| *knot > score)
            .unwrap_or(last)
            .max(1);
        let share =
            (score - self.scores[right - 1]) / (self.scores[right] - self.scores[right - 1]);
        self.values[right - 1] + share * (self.values[right] - self.values[right - 1])
    }

    /// Probability that demand stays within `supply`.
    pub fn probability_within(&self, supply: f64) -> f64 {
        self.score_of(supply)
            .map_or(0.0, |score| 1.0 - (-score).exp())
    }

    /// Expected demand beyond `supply`, in the demand metric's unit: E[(D - supply)+].
    pub fn excess(&self, supply: f64) -> f64 {
        let Some(from) = self.score_of(supply) else {
            // All demand lies above: the mean less the supply.
            return self.excess_above(0, self.scores[0], self.values[0], supply);
        };
        let last = self.last();
        if from >= self.scores[last] {
            return if from.is_finite() {
                self.tail * (-from).exp()
            } else {
                0.0
            };
        }
        let right = self
            .scores
            .iter()
            .position(|knot| *knot > from)
            .unwrap_or(last)
            .max(1);
        self.excess_above(right - 1, from, supply, supply)
    }

    /// Integral of (demand - supply) over the levels past score `from`, which lies in piece `piece` and
    /// has demand `value`.
    fn excess_above(&self, piece: usize, from: f64, value: f64, supply: f64) -> f64 {
        let last = self.last();
        let mut sum = 0.0;
        let (mut left, mut low) = (from, value);
        for right in piece + 1..=last {
            let slope = (self.values[right] - self.values[right - 1])
                / (self.scores[right] - self.scores[right - 1]);
            let (end, high) = (self.scores[right], self.values[right]);
            // Antiderivative of (a + b z) e^-z is -(a + b z + b) e^-z.
            sum += (-left).exp() * (low - supply + slope) - (-end).exp() * (high - supply + slope);
            (left, low) = (end, high);
        }
        sum + (-left).exp() * (low - supply + self.tail)
    }

    /// Score up to which demand stays within `supply`; `None` when it never does.
    fn score_of(&self, supply: f64) -> Option<f64> {
        let last = self.last();
        if supply < self.values[0] {
            return None;
        }
        if supply >= self.values[last] {
            let beyond = supply - self.values[last];
            let share = if self.tail > 0.0 {
                beyond / self.tail
            } else {
                f64::INFINITY
            };
            return Some(self.scores[last] + share);
        }
        let right = self
            .values
            .iter()
            .position(|value| *value > supply)
            .unwrap_or(last)
            .max(1);
        let rise = self.values[right] - self.values[right - 1];
        let share = (supply - self.values[right - 1]) / rise;
        Some(self.scores[right - 1] + share * (self.scores[right] - self.scores[right - 1]))
    }
}

#[cfg(test)]
mod tests;
