//! Whether something comes back every day, week or year.
//!
//! Each cycle is a row. A row loses the straight line from its start to the start of the next, after which
//! the rows of a random walk are independent bridges whose phase is arbitrary. Under the hypothesis "no
//! cycle" a row may therefore be turned round by any angle; the statistic is the energy of the mean row in
//! its harmonics. With few rows the turned rows are drawn (a randomisation test, Edgington 1980), with many
//! the energy per harmonic is exponential. Rows are brought to a similar size first, so that one wild day
//! is one voice. Source of the idea: Watson's test on a circle, and seasonal unit-phase tests as in Thomson
//! 1982, "Spectrum estimation and harmonic analysis".

use crate::numeric::{exponential_sum_tail, median, share};
use rand::Rng as _;
use rand::SeedableRng as _;
use rand_chacha::ChaCha8Rng;
use std::f64::consts::TAU;

/// From this number of rows on the energy per harmonic is taken for exponential.
const ROWS_MANY: usize = 24;

/// Turned copies that are drawn when rows are few: the smallest p-value is 1 in 500.
const DRAWS: usize = 499;

/// Seed of those draws: the same series gives the same answer.
const SEED: u64 = 0x70a7_7e21;

/// A row that points at least this much (cosine) where the mean points has the shape.
const AGREES: f64 = 0.3;

/// A row counts at most this many times the median row in the share of variance.
const NORM_MAX: f64 = 3.0;

/// What the test found.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Cycle {
    /// Share of the variance inside cycles that the common shape explains, chance taken off.
    pub(crate) explained: f64,
    /// Probability of as much energy without a cycle.
    pub(crate) p_value: f64,
    /// Cycles tested.
    pub(crate) cycles: usize,
    /// Cycles that have the common shape.
    pub(crate) agreeing: usize,
}

/// Fourier coefficients of one row.
type Harmonics = Vec<(f64, f64)>;

/// Tests rows of `n + 1` values (the last is what the first has become a cycle later) on some harmonics.
pub(crate) fn test(rows: &[&[f64]], harmonics: &[usize]) -> Option<Cycle> {
    if rows.len() < 2 || harmonics.is_empty() {
        return None;
    }
    let table = Table::of(rows.first()?.len() - 1, harmonics);
    let spectra: Vec<Harmonics> = rows.iter().map(|row| table.transform(row)).collect();
    let norms: Vec<f64> = spectra.iter().map(norm).collect();
    let positive: Vec<f64> = norms.iter().copied().filter(|norm| *norm > 1e-12).collect();
    if positive.len() < 2 {
        return None;
    }
    let usual = median(&positive);
    let even = scaled(&spectra, &norms, |norm| 1.0 / norm.hypot(usual));
    let clipped = scaled(&spectra, &norms, |norm| {
        (NORM_MAX * usual / norm.max(1e-300)).min(1.0)
    });
    let p_value = if rows.len() >= ROWS_MANY {
        tail_of_many(&even)
    } else {
        tail_of_few(&even, harmonics)
    };
    let total: f64 = clipped.iter().map(|row| norm(row).powi(2)).sum();
    let count = rows.len() as f64;
    let common = sum(&clipped);
    let of_mean = norm(&common).powi(2) / (count * total);
    Some(Cycle {
        explained: share((of_mean - 1.0 / count) / (1.0 - 1.0 / count)),
        p_value,
        cycles: rows.len(),
        agreeing: spectra
            .iter()
            .zip(&norms)
            .filter(|(row, size)| dot(row, &common) > AGREES * **size * norm(&common))
            .count(),
    })
}

/// Cosines and sines of the harmonics.
struct Table {
    waves: Vec<Vec<(f64, f64)>>,
}

impl Table {
    fn of(length: usize, harmonics: &[usize]) -> Self {
        let wave = |harmonic: &usize| {
            (0..length)
                .map(|at| {
                    let angle = TAU * (harmonic * at % length) as f64 / length as f64;
                    (angle.cos(), angle.sin())
                })
                .collect()
        };
        Self {
            waves: harmonics.iter().map(wave).collect(),
        }
    }

    fn transform(&self, row: &[f64]) -> Harmonics {
        let length = row.len() - 1;
        let slope = (row[length] - row[0]) / length as f64;
        self.waves
            .iter()
            .map(|wave| {
                let mut real = 0.0;
                let mut imaginary = 0.0;
                for (at, (cosine, sine)) in wave.iter().enumerate() {
                    let value = row[at] - slope * at as f64;
                    real += value * cosine;
                    imaginary += value * sine;
                }
                (real, imaginary)
            })
            .collect()
    }
}

fn norm(row: &Harmonics) -> f64 {
    dot(row, row).sqrt()
}

fn dot(left: &Harmonics, right: &Harmonics) -> f64 {
    left.iter()
        .zip(right)
        .map(|(one, other)| one.0 * other.0 + one.1 * other.1)
        .sum()
}

fn sum(rows: &[Harmonics]) -> Harmonics {
    let mut total = vec![(0.0, 0.0); rows.first().map_or(0, Vec::len)];
    for row in rows {
        for (sum, part) in total.iter_mut().zip(row) {
            sum.0 += part.0;
            sum.1 += part.1;
        }
    }
    total
}

fn scaled(rows: &[Harmonics], norms: &[f64], factor: impl Fn(f64) -> f64) -> Vec<Harmonics> {
    rows.iter()
        .zip(norms)
        .map(|(row, norm)| {
            let factor = factor(*norm);
            row.iter().map(|(a, b)| (a * factor, b * factor)).collect()
        })
        .collect()
}

fn tail_of_many(rows: &[Harmonics]) -> f64 {
    let harmonics = rows.first().map_or(0, Vec::len);
    let power = |at: usize| -> f64 {
        rows.iter()
            .map(|row| row[at].0.powi(2) + row[at].1.powi(2))
            .sum()
    };
    let means: Vec<f64> = (0..harmonics).map(power).collect();
    exponential_sum_tail(&means, norm(&sum(rows)).powi(2))
}

fn tail_of_few(rows: &[Harmonics], harmonics: &[usize]) -> f64 {
    let seen = norm(&sum(rows)).powi(2);
    let mut rng = ChaCha8Rng::seed_from_u64(SEED);
    let mut as_large = 0.0;
    for _ in 0..DRAWS {
        let mut total = vec![(0.0, 0.0); harmonics.len()];
        for row in rows {
            let angle: f64 = rng.random_range(0.0..TAU);
            for ((sum, part), harmonic) in total.iter_mut().zip(row).zip(harmonics) {
                let (sine, cosine) = (angle * *harmonic as f64).sin_cos();
                sum.0 += part.0 * cosine - part.1 * sine;
                sum.1 += part.0 * sine + part.1 * cosine;
            }
        }
        if norm(&total).powi(2) >= seen * (1.0 - 1e-9) {
            as_large += 1.0;
        }
    }
    (as_large + 1.0) / (DRAWS as f64 + 1.0)
}
