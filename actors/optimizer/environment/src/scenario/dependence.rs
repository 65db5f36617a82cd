//! Which steps and series are high together.

use super::{matrix, normal};
use serde::{Deserialize, Serialize};

/// Most series that depend on each other: their matrix grows with the square.
pub(super) const SERIES_MAX: usize = 256;
/// Fewest pairs of ranks that a correlation is believed on at all.
const PAIRS_MIN: usize = 8;
/// As many pairs of independence are taken as seen before any: a few origins say little.
const PAIRS_PRIOR: f64 = 30.0;
/// Longest lag that is fitted.
const LAGS_MAX: usize = 48;
/// What a lag-one correlation of the fading part may be.
const FADING: [f64; 12] = [
    0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.87, 0.93, 0.97, 0.99,
];
/// Parts that the shares of the grid are whole multiples of.
const SHARE_PARTS: u32 = 20;

/// Dependence of forecast errors over the steps of an origin and between series.
///
/// Over steps an error is the sum of one that stays (a level that was forecast wrong), one that fades
/// (phi to the lag) and one of the step alone; between series it is the same at each step.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Dependence {
    /// Share of the variance that stays over all steps of an origin.
    pub(super) staying: f64,
    /// Share of the variance that fades.
    pub(super) fading: f64,
    /// What is left of the fading part after one step.
    pub(super) fading_by: f64,
    /// Correlation between series. Shape: `[series][series]`.
    pub(super) between: Vec<Vec<f64>>,
}

/// Why a dependence is none.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum DependenceError {
    /// There are no series, or more than can be handled.
    #[error("{0} series: 1 to {SERIES_MAX} may depend on each other; model fewer together")]
    Series(usize),
    /// Ranks do not have the shape that was stated.
    #[error("{found} ranks, and {expected} are expected for this number of series and steps")]
    Shape {
        /// Ranks given.
        found: usize,
        /// Ranks that the shape asks for.
        expected: usize,
    },
}

/// How past truths ranked within the forecasts that were made for them.
#[derive(Clone, Copy, Debug)]
pub struct PastRanks<'a> {
    /// Series per origin.
    pub series: usize,
    /// Steps per origin.
    pub steps: usize,
    /// Share of the forecast below the truth; NaN where either is missing. Shape:
    /// `[origin, series, step]`, row-major.
    pub ranks: &'a [f64],
}

impl Dependence {
    /// States that errors stay over all steps and are shared by all series: the widest sums.
    ///
    /// # Errors
    /// [`DependenceError::Series`].
    pub fn in_step(series: usize) -> Result<Self, DependenceError> {
        check_series(series)?;
        Ok(Self {
            staying: 1.0,
            fading: 0.0,
            fading_by: 0.0,
            between: vec![vec![1.0; series]; series],
        })
    }

    /// States that every error stands alone.
    ///
    /// # Errors
    /// [`DependenceError::Series`].
    pub fn none(series: usize) -> Result<Self, DependenceError> {
        check_series(series)?;
        Ok(Self {
            staying: 0.0,
            fading: 0.0,
            fading_by: 0.0,
            between: identity(series),
        })
    }

    /// Learns the dependence from past forecasts and truths.
    ///
    /// Correlations are those of normal scores of the ranks. With few origins they are drawn towards
    /// independence; with none, that is the answer.
    ///
    /// # Errors
    /// [`DependenceError`] for a shape that is none.
    pub fn learn(past: &PastRanks<'_>) -> Result<Self, DependenceError> {
        check_series(past.series)?;
        let origin = past.series * past.steps;
        if origin == 0 || !past.ranks.len().is_multiple_of(origin) {
            return Err(DependenceError::Shape {
                found: past.ranks.len(),
                expected: origin,
            });
        }
        let scores: Vec<f64> = past
            .ranks
            .iter()
            .map(|rank| {
                if rank.is_nan() {
                    f64::NAN
                } else {
                    normal::score(*rank)
                }
            })
            .collect();
        let (staying, fading, fading_by) = over_steps(&scores, past);
        Ok(Self {
            staying,
            fading,
            fading_by,
            between: between_series(&scores, past),
        })
    }

    /// How many series depend on each other.
    pub fn series(&self) -> usize {
        self.between.len()
    }

    /// Correlation of the scores of two series at one step.
    pub fn between(&self, left: usize, right: usize) -> f64 {
        self.between[left][right]
    }

    /// Correlation of the scores of one series at two steps so far apart.
    pub fn at_lag(&self, lag: usize) -> f64 {
        if lag == 0 {
            1.0
        } else {
            shape(self.staying, self.fading, self.fading_by, lag)
        }
    }

    /// Appends the scores of one path. Shape: `[series, step]`, row-major.
    pub(super) fn scores(&self, steps: usize, draw: &mut dyn FnMut() -> f64, into: &mut Vec<f64>) {
        let series = self.series();
        let lower = matrix::factor(&self.between);
        // A path's longer horizon continues its shorter one: what is drawn first is what stays.
        let stays: Vec<f64> = (0..series).map(|_| draw()).collect();
        let mut fades: Vec<f64> = (0..series).map(|_| draw()).collect();
        let alone = (1.0 - self.staying - self.fading).max(0.0);
        let fresh = (1.0 - self.fading_by * self.fading_by).max(0.0).sqrt();
        let from = into.len();
        into.resize(from + series * steps, 0.0);
        for step in 0..steps {
            if step > 0 {
                for fade in &mut fades {
                    *fade = self.fading_by * *fade + fresh * draw();
                }
            }
            let apart: Vec<f64> = stays
                .iter()
                .zip(&fades)
                .map(|(stays, fades)| {
                    self.staying.sqrt() * stays + self.fading.sqrt() * fades + alone.sqrt() * draw()
                })
                .collect();
            for (row, weights) in lower.iter().enumerate() {
                let together: f64 = weights.iter().zip(&apart).map(|(w, x)| w * x).sum();
                into[from + row * steps + step] = together;
            }
        }
    }
}

fn check_series(series: usize) -> Result<(), DependenceError> {
    if (1..=SERIES_MAX).contains(&series) {
        Ok(())
    } else {
        Err(DependenceError::Series(series))
    }
}

pub(super) fn identity(size: usize) -> Vec<Vec<f64>> {
    let mut found = vec![vec![0.0; size]; size];
    for (place, row) in found.iter_mut().enumerate() {
        row[place] = 1.0;
    }
    found
}

/// Correlation at a lag of at least 1.
fn shape(staying: f64, fading: f64, fading_by: f64, lag: usize) -> f64 {
    staying + fading * fading_by.powi(i32::try_from(lag).unwrap_or(i32::MAX))
}

/// Sums for a correlation of scores whose mean is 0 and variance 1 if forecasts are calibrated. They
/// are not assumed to be: a bias that all forecasts share is no dependence between steps.
#[derive(Clone, Copy, Debug, Default)]
struct Pairs {
    count: usize,
    left: f64,
    right: f64,
    left_squares: f64,
    right_squares: f64,
    products: f64,
}

impl Pairs {
    fn add(&mut self, left: f64, right: f64) {
        if left.is_nan() || right.is_nan() {
            return;
        }
        self.count += 1;
        self.left += left;
        self.right += right;
        self.left_squares += left * left;
        self.right_squares += right * right;
        self.products += left * right;
    }

    /// The correlation, drawn towards 0 as far as few pairs ask for.
    fn correlation(&self) -> f64 {
        if self.count < PAIRS_MIN {
            return 0.0;
        }
        let count = self.count as f64;
        let covariance = self.products - self.left * self.right / count;
        let left = self.left_squares - self.left * self.left / count;
        let right = self.right_squares - self.right * self.right / count;
        let scale = (left * right).sqrt();
        if scale > 0.0 {
            (covariance / scale).clamp(-1.0, 1.0) * count / (count + PAIRS_PRIOR)
        } else {
            0.0
        }
    }
}

fn between_series(scores: &[f64], past: &PastRanks<'_>) -> Vec<Vec<f64>> {
    let mut found = identity(past.series);
    let all =
        (0..past.series).flat_map(|left| (left + 1..past.series).map(move |right| (left, right)));
    for (left, right) in all {
        let mut pairs = Pairs::default();
        for origin in scores.chunks_exact(past.series * past.steps) {
            let of = |series: usize| &origin[series * past.steps..(series + 1) * past.steps];
            for (left, right) in of(left).iter().zip(of(right)) {
                pairs.add(*left, *right);
            }
        }
        let correlation = pairs.correlation();
        found[left][right] = correlation;
        found[right][left] = correlation;
    }
    found
}

/// Shares that stay and fade, and how fast: the mixture nearest to the correlations at all lags.
fn over_steps(scores: &[f64], past: &PastRanks<'_>) -> (f64, f64, f64) {
    let lags = LAGS_MAX.min(past.steps.saturating_sub(1));
    let mut seen = Vec::with_capacity(lags);
    for lag in 1..=lags {
        let mut pairs = Pairs::default();
        for row in scores.chunks_exact(past.steps) {
            for (left, right) in row.iter().zip(&row[lag..]) {
                pairs.add(*left, *right);
            }
        }
        seen.push((lag, pairs.count as f64, pairs.correlation()));
    }
    let misfit = |staying: f64, fading: f64, fading_by: f64| -> f64 {
        let terms = seen.iter().map(|(lag, weight, correlation)| {
            let apart = correlation - shape(staying, fading, fading_by, *lag);
            weight * apart * apart
        });
        terms.sum()
    };
    let mut best = (misfit(0.0, 0.0, 0.0), (0.0, 0.0, 0.0));
    let part = |count: u32| f64::from(count) / f64::from(SHARE_PARTS);
    for staying in 0..=SHARE_PARTS {
        for fading in 0..=SHARE_PARTS - staying {
            for fading_by in FADING {
                let shares = (part(staying), part(fading), fading_by);
                let found = misfit(shares.0, shares.1, shares.2);
                if found < best.0 {
                    best = (found, shares);
                }
            }
        }
    }
    best.1
}
