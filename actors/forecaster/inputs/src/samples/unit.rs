//! Finds changes of unit: a level that is another by a factor that units differ by, from one sample to the next.

use twinscale_protocol::{DomainTime, Sample, SeriesKey};

/// Factors between units: percent and shares, minutes and seconds, thousands, kibi.
pub const UNIT_FACTORS: [u32; 4] = [60, 100, 1_000, 1_024];

/// How far, relatively, the nearer of two ratios may lie from a factor: that of the levels, and that of the two samples
/// at the step, which load itself changes less.
pub const UNIT_TOLERANCE: f64 = 0.1;

/// How far the other of the two may lie from it, as a factor.
const UNIT_TOLERANCE_OF_OTHER: f64 = 1.6;

/// Samples before and after the step whose medians are the two levels; with fewer nothing is found.
pub const UNIT_WINDOW: usize = 6;

/// How far apart, as a factor, the samples of one level may be: a unit changes between samples, load grows over some.
const SPREAD_MAX: f64 = 5.0;

/// A change that looks like one of unit. Nothing is altered.
#[derive(Clone, Debug, PartialEq)]
pub struct UnitChange {
    /// The series.
    pub series: SeriesKey,
    /// Time of the first sample of the new level.
    pub at: DomainTime,
    /// Median before.
    pub before: f64,
    /// Median after.
    pub after: f64,
    /// The factor that is nearest to their ratio, or to its inverse if the level fell.
    pub factor: u32,
}

/// Finds changes of unit in samples sorted by series and time, as [`super::clean`] gives them.
pub fn find_unit_changes(samples: &[Sample]) -> Vec<UnitChange> {
    let mut changes = Vec::new();
    for series in samples.chunk_by(|one, other| one.series == other.series) {
        let values: Vec<f64> = series.iter().map(|sample| sample.value.units()).collect();
        for (place, window) in values.windows(2 * UNIT_WINDOW).enumerate() {
            let (before, after) = window.split_at(UNIT_WINDOW);
            let (Some(low), Some(high)) = (level(before), level(after)) else {
                continue;
            };
            let step = after.first().zip(before.last());
            let step = step.map_or(1.0, |(next, last)| next / last);
            // In windows beside the step one side is of two levels, and so too wide to be one.
            let Some(factor) = factor_of(high / low, step) else {
                continue;
            };
            let Some(first) = series.get(place + UNIT_WINDOW) else {
                continue;
            };
            changes.push(UnitChange {
                series: first.series.clone(),
                at: first.at,
                before: low,
                after: high,
                factor,
            });
        }
    }
    changes
}

/// The median, if all values are of one level and none is zero.
fn level(values: &[f64]) -> Option<f64> {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let (first, last) = (*sorted.first()?, *sorted.last()?);
    let median = *sorted.get(sorted.len() / 2)?;
    (first > 0.0 && last <= first * SPREAD_MAX).then_some(median)
}

fn factor_of(levels: f64, step: f64) -> Option<u32> {
    if (levels > 1.0) != (step > 1.0) {
        return None;
    }
    let ratios = [levels.max(1.0 / levels), step.max(1.0 / step)];
    let distance = |factor: &u32| {
        let factor = f64::from(*factor);
        let distances = ratios.map(|ratio| (ratio / factor - 1.0).abs());
        let is_near = ratios.iter().all(|ratio| {
            (1.0 / UNIT_TOLERANCE_OF_OTHER..UNIT_TOLERANCE_OF_OTHER).contains(&(ratio / factor))
        });
        let [one, other] = distances;
        if is_near {
            one.min(other)
        } else {
            f64::INFINITY
        }
    };
    let nearest = UNIT_FACTORS
        .into_iter()
        .min_by(|one, other| distance(one).total_cmp(&distance(other)))?;
    (distance(&nearest) <= UNIT_TOLERANCE).then_some(nearest)
}
