//! Estimates with confidence intervals from independent replications.
//!
//! Ratios are those of the sums over all replications; the spread is that of the replications' residuals
//! (the delta method). A quantile is that of all times together, so that short replications do not bias it;
//! its interval is the longer of two. Sections: the spread of the replications' quantiles around the value
//! (Asmussen and Glynn, Stochastic Simulation, section III.5). Shares: the interval of the share of times
//! up to the value, read back as times (Woodruff, Journal of the American Statistical Association 47,
//! 1952), which still tells the truth where few replications have seen the tail at all. Intervals take the
//! longer side of Willink's correction for skewness (Communications in Statistics 34, 2005).

use crate::events::control::{Controls, Deviations};
use crate::events::histogram::Histogram;
use crate::events::tally::{Figure, Source, Tally};
use statrs::distribution::{ContinuousCDF, StudentsT};

/// Probability with which all intervals of a simulation hold together, and each alone.
const CONFIDENCE: f64 = 0.99;
/// The correction for skewness lengthens an interval at most by this factor: the third moment of few
/// replications is itself noisy.
const SKEW_FACTOR_MAX: f64 = 1.5;

/// An estimated figure.
#[derive(Clone, Debug, PartialEq)]
pub struct Estimate {
    /// Which figure.
    pub figure: Figure,
    /// Its value; NaN when nothing was counted.
    pub value: f64,
    /// Half-width of the interval that holds with 99 % for this figure alone.
    pub half_width_each: f64,
    /// Half-width of the intervals that hold with 99 % for all figures together (Bonferroni).
    pub half_width_joint: f64,
}

/// Estimates figures from the tallies of the replications; `controls` are those of the same replications.
pub(crate) fn estimates(
    figures: &[Figure],
    tallies: &[&Tally],
    controls: &Controls,
) -> Vec<Estimate> {
    // A complement adds no statement of its own.
    let statements = figures
        .iter()
        .filter(|figure| !matches!(figure.source, Source::Complement(_)))
        .count();
    let errors = [1.0, 1.0 / statements.max(1) as f64].map(|part| part * (1.0 - CONFIDENCE));
    let merged: Vec<_> = (0..tallies.first().map_or(0, |tally| tally.histograms.len()))
        .map(|index| {
            let mut all = tallies[0].histograms[index].clone();
            for tally in &tallies[1..] {
                all.merge(&tally.histograms[index]);
            }
            all
        })
        .collect();
    let none = Controls::none(tallies.len());
    let of_ratio = |index, controls: &Controls| {
        let (value, deviations) = ratio(tallies, index);
        let deviations = controls.split(&deviations);
        let widths = errors.map(|error| half_width(&deviations, error));
        (value - deviations.explained, widths)
    };
    figures
        .iter()
        .map(|figure| {
            let (value, half_widths) = match figure.source {
                Source::Ratio(index) => of_ratio(index, &none),
                Source::Controlled(index) => of_ratio(index, controls),
                Source::Complement(index) => {
                    let (value, widths) = of_ratio(index, &none);
                    (1.0 - value, widths)
                }
                Source::Quantile { histogram, level } => {
                    let sections: Vec<&Histogram> = tallies
                        .iter()
                        .map(|tally| &tally.histograms[histogram])
                        .collect();
                    quantile(&merged[histogram], &sections, level, controls, errors)
                }
            };
            Estimate {
                figure: figure.clone(),
                value,
                half_width_each: half_widths[0],
                half_width_joint: half_widths[1],
            }
        })
        .collect()
}

/// Value and half-widths of the interval of a quantile.
fn quantile(
    all: &Histogram,
    sections: &[&Histogram],
    level: f64,
    controls: &Controls,
    errors: [f64; 2],
) -> (f64, [f64; 2]) {
    let plain = all.quantile(level);
    let scale = all.total() as f64 / sections.len() as f64;
    let shares: Vec<f64> = sections
        .iter()
        .map(|section| (section.share_upto(plain) - level) * section.total() as f64 / scale)
        .collect();
    let shares = controls.split(&shares);
    // Where the controls explain that too many times are up to the plain value, the quantile is later.
    let level = (level + shares.explained).clamp(0.0, 1.0);
    let value = all.quantile(level);
    let times: Vec<f64> = sections
        .iter()
        .map(|section| section.quantile(level) - value)
        .collect();
    let times = controls.split(&times);
    let widths = errors.map(|error| {
        let share = half_width(&shares, error);
        let low = all.quantile((level - share).max(0.0));
        let high = all.quantile((level + share).min(1.0));
        half_width(&times, error).max(value - low).max(high - value)
    });
    (value, widths)
}

/// Value of a ratio and the replications' linearised deviations from it.
fn ratio(tallies: &[&Tally], index: usize) -> (f64, Vec<f64>) {
    let above: f64 = tallies.iter().map(|tally| tally.ratios[index].above).sum();
    let below: f64 = tallies.iter().map(|tally| tally.ratios[index].below).sum();
    let value = above / below;
    let scale = below / tallies.len() as f64;
    let deviations = tallies
        .iter()
        .map(|tally| (tally.ratios[index].above - value * tally.ratios[index].below) / scale)
        .collect();
    (value, deviations)
}

/// Two-sided quantile of Student's law.
fn student(freedom: f64, error: f64) -> f64 {
    StudentsT::new(0.0, 1.0, freedom)
        .map(|law| law.inverse_cdf(1.0 - 0.5 * error))
        .unwrap_or(f64::INFINITY)
}

fn half_width(deviations: &Deviations, error: f64) -> f64 {
    let left = &deviations.left;
    let count = left.len() as f64;
    if deviations.freedom < 1.0 || left.iter().any(|value| !value.is_finite()) {
        return f64::INFINITY;
    }
    let squares: f64 = left.iter().map(|value| value * value).sum();
    let deviation = (squares / (count - 1.0)).sqrt();
    if deviation <= 0.0 {
        return 0.0;
    }
    let mean = left.iter().sum::<f64>() / count;
    let cubes: f64 = left.iter().map(|value| (value - mean).powi(3)).sum();
    let skewness = cubes / count / deviation.powi(3);
    let student = student(deviations.freedom, error);
    let factor = skew_factor(skewness.abs(), count, student).clamp(1.0, SKEW_FACTOR_MAX);
    factor * student * deviation / count.sqrt()
}

/// Longer side of Willink's interval over the plain one.
fn skew_factor(skewness: f64, count: f64, student: f64) -> f64 {
    let a = skewness / (6.0 * count.sqrt());
    if a < 1e-6 {
        return 1.0;
    }
    let long = (1.0 - (1.0 + 6.0 * a * (-student - a)).cbrt()) / (2.0 * a);
    long / student
}
