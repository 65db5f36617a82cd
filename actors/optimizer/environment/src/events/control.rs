//! Control variates: what the drawn times themselves say about the error of a figure.
//!
//! A replication whose gaps were longer than their law's mean, or whose services were longer, meets other
//! queues than the law would; the means of the laws are parameters, so how far the draws are off is known.
//! A linear regression over the replications takes that part of the error away (Asmussen and Glynn,
//! Stochastic Simulation, section V.2). Only draws serve as controls, never an answer.

use crate::events::tally::Tally;

/// Replications whose draws vary less than this have nothing to say.
const VARIANCE_MIN: f64 = 1e-24;
/// Share of a control's variance that earlier ones must leave for it to be told apart.
const DIFFERENT_MIN: f64 = 1e-6;

/// Controls of all replications.
#[derive(Debug)]
pub(crate) struct Controls {
    /// Relative deviation of each control from its mean, orthogonal to each other over the replications
    /// and with their own mean beside them. Shape: `[control] (mean, [replication])`.
    columns: Vec<(f64, Vec<f64>)>,
    count: usize,
}

/// Errors of the replications.
#[derive(Debug)]
pub(crate) struct Deviations {
    /// Part of the value that the controls explain.
    pub(crate) explained: f64,
    /// What is left, scaled so that its variance over the number of replications is that of the value.
    pub(crate) left: Vec<f64>,
    /// Degrees of freedom of that variance.
    pub(crate) freedom: f64,
}

impl Controls {
    /// No controls for a number of replications.
    pub(crate) fn none(count: usize) -> Self {
        Self {
            columns: Vec::new(),
            count,
        }
    }

    /// Controls of the replications' tallies.
    pub(crate) fn new(tallies: &[&Tally]) -> Self {
        let count = tallies.len();
        let mut columns: Vec<(f64, Vec<f64>)> = Vec::new();
        for control in 0..tallies.first().map_or(0, |tally| tally.controls.len()) {
            let values = tallies.iter().map(|tally| {
                let ratio = tally.controls[control];
                ratio.above / ratio.below - 1.0
            });
            let mut values: Vec<f64> = values.collect();
            let mut mean = values.iter().sum::<f64>() / count as f64;
            for value in &mut values {
                *value -= mean;
            }
            let before = dot(&values, &values);
            // Gram-Schmidt, so that the regression is one division per control.
            for (other_mean, other) in &columns {
                let factor = dot(&values, other) / dot(other, other);
                mean -= factor * other_mean;
                for (value, other) in values.iter_mut().zip(other) {
                    *value -= factor * other;
                }
            }
            let after = dot(&values, &values);
            if after > VARIANCE_MIN && after > DIFFERENT_MIN * before {
                columns.push((mean, values));
            }
        }
        Self { columns, count }
    }

    /// Splits the replications' deviations into what the controls explain and what is left.
    pub(crate) fn split(&self, deviations: &[f64]) -> Deviations {
        let count = self.count as f64;
        let mut left = deviations.to_vec();
        let (mut explained, mut distance) = (0.0, 0.0);
        for (mean, column) in &self.columns {
            let length = dot(column, column);
            let slope = dot(&left, column) / length;
            for (left, value) in left.iter_mut().zip(column) {
                *left -= slope * value;
            }
            explained += slope * mean;
            distance += mean * mean / length;
        }
        let freedom = count - 1.0 - self.columns.len() as f64;
        // The slopes are estimates, which costs freedom and, away from the means, precision.
        let scale = ((count - 1.0) / freedom * (1.0 + count * distance)).sqrt();
        if !self.columns.is_empty() {
            for left in &mut left {
                *left *= scale;
            }
        }
        Deviations {
            explained,
            left,
            freedom,
        }
    }
}

fn dot(left: &[f64], right: &[f64]) -> f64 {
    left.iter()
        .zip(right)
        .map(|(left, right)| left * right)
        .sum()
}
