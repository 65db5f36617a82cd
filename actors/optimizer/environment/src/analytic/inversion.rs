//! Tails from Laplace transforms: Euler summation.
//!
//! Source: Abate and Whitt, Numerical inversion of Laplace transforms of probability distributions, ORSA
//! Journal on Computing 7 (1995). The discretisation error is `e^-A`; rounding adds about `e^(A/2)`
//! times 1e-16, so that `A = 24` leaves some 1e-10.

use crate::law::Law;
use num_complex::Complex64;

/// `A` of the method.
const ACCURACY: f64 = 24.0;
/// Terms before the averaging starts.
const TERMS: u32 = 40;
/// Partial sums averaged.
const AVERAGED: u32 = 14;
/// Points at which a lognormal law is integrated, and their bounds in standard deviations.
const GRID_POINTS: u32 = 4000;
const GRID_BOUND: f64 = 8.5;

/// Transform of a law, ready for many evaluations.
#[derive(Debug)]
pub(crate) enum Transform {
    /// Closed form.
    Closed(Law),
    /// Weights at times, for laws without a closed form.
    Grid(Vec<(f64, f64)>),
}

impl Transform {
    pub(crate) fn new(law: &Law) -> Self {
        let Law::Lognormal { mean, scv } = law else {
            return Self::Closed(law.clone());
        };
        // The trapezoid rule converges exponentially for a function that is analytic and dies at both ends.
        let variance = scv.ln_1p();
        let middle = mean.ln() - 0.5 * variance;
        let step = 2.0 * GRID_BOUND / f64::from(GRID_POINTS);
        let points = (0..=GRID_POINTS).map(|index| {
            let z = f64::from(index).mul_add(step, -GRID_BOUND);
            let weight = step * (-0.5 * z * z).exp() / (2.0 * std::f64::consts::PI).sqrt();
            ((middle + variance.sqrt() * z).exp(), weight)
        });
        Self::Grid(points.collect())
    }

    /// Mean of `exp(-s time)`.
    pub(crate) fn at(&self, s: Complex64) -> Complex64 {
        match self {
            Self::Grid(points) => points
                .iter()
                .map(|(time, weight)| (-s * time).exp() * weight)
                .sum(),
            Self::Closed(law) => closed(law, s),
        }
    }
}

fn closed(law: &Law, s: Complex64) -> Complex64 {
    let one = Complex64::new(1.0, 0.0);
    match law {
        Law::Exponential { mean } => (one + s * mean).inv(),
        Law::Deterministic { mean } => (-s * mean).exp(),
        Law::Erlang { phases, mean } => {
            let phases = f64::from(*phases);
            (one + s * (mean / phases)).powf(-phases)
        }
        Law::Gamma { mean, scv } => (one + s * (mean * scv)).powf(-1.0 / scv),
        Law::Hyperexponential { branches } => branches
            .iter()
            .map(|(share, mean)| (one + s * mean).inv() * share)
            .sum(),
        // Has a grid.
        Law::Lognormal { mean, .. } => (-s * mean).exp(),
    }
}

/// Value at `time` of the function with transform `transform`; `time` must be positive.
pub(crate) fn invert(transform: impl Fn(Complex64) -> Complex64, time: f64) -> f64 {
    let term = |index: u32| {
        let s = Complex64::new(ACCURACY, 2.0 * f64::from(index) * std::f64::consts::PI);
        let value = transform(s / (2.0 * time)).re;
        if index.is_multiple_of(2) {
            value
        } else {
            -value
        }
    };
    let mut sum = 0.5 * term(0);
    for index in 1..=TERMS {
        sum += term(index);
    }
    // Average of the partial sums with binomial weights.
    let mut average = 0.0;
    let mut weight = 0.5_f64.powi(i32::try_from(AVERAGED).unwrap_or(i32::MAX));
    for more in 0..=AVERAGED {
        average += weight * sum;
        sum += term(TERMS + more + 1);
        weight *= f64::from(AVERAGED - more) / f64::from(more + 1);
    }
    average * (0.5 * ACCURACY).exp() / time
}
