//! Follows the service demands of one tier: least squares at first, a Kalman filter from there.

use crate::calibrate::least_squares::{Matrix, Normal, dot, inverse, non_negative, value};
use crate::calibrate::observation::Row;
use crate::calibrate::shape::Station;
use serde::{Deserialize, Serialize};

/// How much a demand may drift from one interval to the next, as a share of itself.
const DRIFT: f64 = 0.003;
/// The same for what is busy without requests, as a share of the tier's cores.
const BACKGROUND_DRIFT: f64 = 0.000_2;
/// How sure the stated demands are, as a share of themselves: hardly.
const STATED_ERROR: f64 = 1.0;
/// How much may be busy without requests, as a share of the tier's cores.
const BACKGROUND_ERROR: f64 = 0.02;
/// Least error of a measured utilisation: meters round to a thousandth or so.
const UTILISATION_ERROR: f64 = 0.001;
/// Surprise (squared, by what was expected) from which on a demand may have jumped.
const JUMP_SURPRISE: f64 = 12.0;
/// How far a demand may have jumped, as a share of itself.
const JUMP: f64 = 0.3;
/// Share of a new squared error in the running mean of errors.
const NOISE_SHARE: f64 = 0.03;

/// Demands of one tier and how sure they are.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Filter {
    /// Places of the classes that come here, whose demands stand first; last is what is busy without requests.
    classes: Vec<usize>,
    mean: Vec<f64>,
    covariance: Matrix,
    /// Variance of measured busy cores around what the demands give.
    noise: f64,
    /// Intervals in a row that surprised.
    surprises: u32,
    /// Jumps that were taken for one.
    pub(crate) jumps: u64,
}

impl Filter {
    /// Learns from the first intervals.
    pub(crate) fn start<'a>(
        station: &Station,
        rows: impl Iterator<Item = (&'a Row, f64, f64)>,
    ) -> Option<Self> {
        let classes: Vec<usize> = (0..station.visits.len())
            .filter(|at| value(&station.visits, *at) > 0.0)
            .collect();
        let unknowns = classes.len() + 1;
        let mut normal = Normal::new(unknowns);
        let mut cores = 0.0_f64;
        for (row, busy, all) in rows {
            normal.add(&weights(station, &classes, row), busy);
            cores = cores.max(all);
        }
        if normal.rows < unknowns || cores <= 0.0 {
            return None;
        }
        let free = non_negative(&normal);
        let spare = (normal.rows - unknowns).max(1) as f64;
        let noise = (normal.residual(&free) / spare).max((UTILISATION_ERROR * cores).powi(2));
        // Once more with what the model states, weighed by the noise: it decides what the intervals leave open.
        let mut weighed = Normal::new(unknowns);
        weighed.matrix.clone_from(&normal.matrix);
        weighed.right.clone_from(&normal.right);
        for (place, class) in classes.iter().enumerate() {
            let stated = value(&station.stated_s, *class);
            let known = value(&free, place);
            let error = STATED_ERROR * stated.max(known).max(1e-6);
            add_prior(&mut weighed, place, stated, noise.sqrt() / error);
        }
        let error = BACKGROUND_ERROR * cores;
        add_prior(&mut weighed, unknowns - 1, 0.0, noise.sqrt() / error);
        let mean = non_negative(&weighed);
        let covariance = inverse(&weighed.matrix)?
            .into_iter()
            .map(|line| line.into_iter().map(|cell| cell * noise).collect())
            .collect();
        Some(Self {
            classes,
            mean,
            covariance,
            noise,
            surprises: 0,
            jumps: 0,
        })
    }

    /// Learns from one more interval: how many cores were busy, of how many.
    ///
    /// # Source
    /// R. Kalman, "A new approach to linear filtering and prediction problems", 1960, for a random walk.
    pub(crate) fn observe(&mut self, station: &Station, row: &Row, busy: f64, cores: f64) {
        let weights = weights(station, &self.classes, row);
        self.drift(DRIFT, BACKGROUND_DRIFT * cores);
        let spread = |covariance: &Matrix| -> Vec<f64> {
            covariance.iter().map(|line| dot(line, &weights)).collect()
        };
        let innovation = busy - dot(&weights, &self.mean);
        let mut gains = spread(&self.covariance);
        let mut variance = dot(&weights, &gains) + self.noise;
        if innovation * innovation > JUMP_SURPRISE * variance {
            self.surprises += 1;
        } else {
            self.surprises = 0;
        }
        // One interval may be a hiccup of a meter; two in a row are another system.
        if self.surprises == 1 {
            return;
        }
        if self.surprises > 1 {
            self.jumps += 1;
            self.surprises = 0;
            self.drift(JUMP, 0.0);
            gains = spread(&self.covariance);
            variance = dot(&weights, &gains) + self.noise;
        } else {
            let expected = (variance - self.noise).max(0.0);
            let seen =
                (innovation * innovation - expected).max((UTILISATION_ERROR * cores).powi(2));
            self.noise += NOISE_SHARE * (seen - self.noise);
        }
        for (mean, gain) in self.mean.iter_mut().zip(&gains) {
            *mean = (*mean + gain / variance * innovation).max(0.0);
        }
        for (line, left) in self.covariance.iter_mut().zip(&gains) {
            for (cell, right) in line.iter_mut().zip(&gains) {
                *cell -= left * right / variance;
            }
        }
    }

    /// Reads the demand of a class, in reference core seconds, and its standard error.
    pub(crate) fn demand(&self, class: usize) -> Option<(f64, f64)> {
        let place = self.classes.iter().position(|known| *known == class)?;
        Some((value(&self.mean, place), self.error(place)))
    }

    /// Reads the cores that are busy without requests, and their standard error.
    pub(crate) fn background(&self) -> (f64, f64) {
        let place = self.classes.len();
        (value(&self.mean, place), self.error(place))
    }

    fn error(&self, place: usize) -> f64 {
        let variance = self
            .covariance
            .get(place)
            .map_or(0.0, |line| value(line, place));
        variance.max(0.0).sqrt()
    }

    fn drift(&mut self, share: f64, background: f64) {
        let last = self.classes.len();
        let means = self.mean.clone();
        for (place, line) in self.covariance.iter_mut().enumerate() {
            let step = if place == last {
                background
            } else {
                share * value(&means, place)
            };
            if let Some(cell) = line.get_mut(place) {
                *cell += step * step;
            }
        }
    }
}

/// What each unknown adds to the busy cores of an interval.
fn weights(station: &Station, classes: &[usize], row: &Row) -> Vec<f64> {
    let arrivals = |class: &usize| value(&row.rates, *class) * value(&station.visits, *class);
    let mut weights: Vec<f64> = classes.iter().map(arrivals).collect();
    weights.push(1.0);
    weights
}

fn add_prior(normal: &mut Normal, place: usize, stated: f64, weight: f64) {
    let mut row = vec![0.0; normal.right.len()];
    if let Some(cell) = row.get_mut(place) {
        *cell = weight;
    }
    normal.add(&row, stated * weight);
}
