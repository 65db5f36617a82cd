//! What a series' own history says about the networks' misses.
//!
//! A regression per series, on few features of each step: how far the simple forecasts lie from the
//! networks' median, whether the day is off, whether an event was announced. Its answer shifts all
//! quantiles. It is one more forecaster beside the networks, so that what it is worth is measured like
//! theirs: an adapter that does harm loses its weight, and gets it back when it does good again.
//!
//! Invariant: learning origin by origin or many at once gives the same; what is kept is rounded to `f32`
//! after each origin, so that storing it changes nothing.

use crate::network::CANDIDATES;
use crate::regression::Regression;
use crate::rows::{RowForecasts, StepQuantiles};
use crate::series::Series;
use crate::stored::v2;
use twinscale_protocol::quantile::MEDIAN;

/// Features of a step.
pub(crate) const FEATURES: usize = 14;
/// Simple forecasts whose distance from the median is a feature.
const USED: [usize; 8] = [0, 2, 3, 5, 7, 8, 9, 12];
/// Share of an origin's weight that is left at the next.
const KEPT: f64 = 0.99;
/// How strongly the weights are held at zero, in steps.
const STRENGTH: f64 = 60.0;
/// Bound on a feature and on a target, in units of the row's scale: one outlier teaches no rule.
const CLAMP: f64 = 4.0;
/// Bound on the shift, in units of the row's scale.
const SHIFT_MAX: f64 = 3.0;

/// One series' adapter.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Adapter {
    regression: Regression<FEATURES>,
}

impl Default for Adapter {
    fn default() -> Self {
        Self {
            regression: Regression::starting_at([0.0; FEATURES]),
        }
    }
}

impl Adapter {
    /// Takes back what was stored; a fresh one when it does not fit.
    pub(crate) fn restore(stored: Option<&v2::Adapter>) -> Self {
        let mut adapter = Self::default();
        let Some(stored) = stored else {
            return adapter;
        };
        let numbers = stored.products.iter().chain(&stored.targets);
        let fits = stored.products.len() == FEATURES * (FEATURES + 1) / 2
            && stored.targets.len() == FEATURES
            && numbers.clone().all(|number| number.is_finite());
        if !fits {
            return adapter;
        }
        let mut products = stored.products.iter();
        for row in 0..FEATURES {
            for column in 0..=row {
                let product = f64::from(products.next().copied().unwrap_or(0.0));
                adapter.regression.products[row][column] = product;
                adapter.regression.products[column][row] = product;
            }
        }
        for (target, stored) in adapter.regression.targets.iter_mut().zip(&stored.targets) {
            *target = f64::from(*stored);
        }
        adapter.regression.solve_near(&[0.0; FEATURES], STRENGTH);
        adapter
    }

    /// What is stored: the sums' lower triangle, row by row, and the targets.
    pub(crate) fn store(&self) -> v2::Adapter {
        let rows = self.regression.products.iter().enumerate();
        v2::Adapter {
            products: rows
                .flat_map(|(row, products)| products.iter().take(row + 1).map(|sum| narrow(*sum)))
                .collect(),
            targets: self.regression.targets.map(narrow).to_vec(),
        }
    }

    /// Leaves a share of what was learnt.
    pub(crate) fn forget(&mut self, kept: f64) {
        let sums = self.regression.products.iter_mut().flatten();
        for sum in sums.chain(&mut self.regression.targets) {
            *sum *= kept;
        }
        *self = Self::restore(Some(&self.store()));
    }

    /// Shifts the mean of the networks' quantiles; shape of the result: `[step][quantile]`.
    pub(crate) fn forecast(&self, series: &Series, row: &RowForecasts) -> StepQuantiles {
        let mut shifted = row.mean.clone();
        for (ahead, quantiles) in shifted.iter_mut().enumerate() {
            let features = features(series, row, ahead, quantiles[MEDIAN]);
            let shift = self.regression.predict(&features);
            let shift = shift.clamp(-SHIFT_MAX, SHIFT_MAX) * row.scale.scale;
            *quantiles = quantiles.map(|value| (value + shift).max(0.0));
        }
        shifted
    }

    /// Learns from an origin whose horizon has passed.
    pub(crate) fn learn(&mut self, series: &Series, origin: usize, row: &RowForecasts) {
        let mut keep = KEPT;
        for (ahead, quantiles) in row.mean.iter().enumerate() {
            let Some(truth) = series.value(origin + 1 + ahead) else {
                continue;
            };
            let median = quantiles[MEDIAN];
            let target = ((truth - median) / row.scale.scale).clamp(-CLAMP, CLAMP);
            let features = features(series, row, ahead, median);
            self.regression.learn(&features, target, 1.0, keep);
            keep = 1.0;
        }
        let rounded = self.store();
        *self = Self::restore(Some(&rounded));
    }
}

fn features(series: &Series, row: &RowForecasts, ahead: usize, median: f64) -> [f64; FEATURES] {
    let mut features = [0.0; FEATURES];
    let candidates = row.candidates.get(ahead).unwrap_or(&[0.0; CANDIDATES]);
    let middle = row.scale.normalise(median);
    for (feature, used) in features.iter_mut().zip(USED) {
        *feature = (candidates[used] - middle).clamp(-CLAMP, CLAMP);
    }
    let target = row.origin + 1 + ahead;
    let share = (ahead + 1) as f64 / row.candidates.len().max(1) as f64;
    let flag = |set: bool| f64::from(u8::from(set));
    let rest = [
        1.0,
        // How far the level of now lies off counts less, the farther ahead.
        features[0] * share,
        flag(series.is_holiday(target)),
        flag(series.is_event(target)),
        flag(series.weekday(target) >= 5),
        share,
    ];
    for (feature, value) in features.iter_mut().skip(USED.len()).zip(rest) {
        *feature = value;
    }
    features
}

#[expect(
    clippy::cast_possible_truncation,
    reason = "what is kept is rounded on purpose"
)]
fn narrow(sum: f64) -> f32 {
    sum as f32
}
