//! The quantile levels that every forecast speaks in.

use crate::units::FixedValue;

/// How many quantiles a forecast has.
pub const QUANTILES: usize = 8;

/// The levels, ascending.
pub const QUANTILE_LEVELS: [f64; QUANTILES] = [0.05, 0.1, 0.25, 0.5, 0.75, 0.9, 0.95, 0.99];

/// The index of the median in [`QUANTILE_LEVELS`].
pub const MEDIAN: usize = 3;

/// How many quantiles a peak has.
pub const PEAK_QUANTILES: usize = 12;

/// The levels of a peak, ascending: what a rare miss costs is decided far out in the tail.
pub const PEAK_LEVELS: [f64; PEAK_QUANTILES] = [
    0.25, 0.5, 0.75, 0.9, 0.95, 0.98, 0.99, 0.995, 0.998, 0.999, 0.9995, 0.9998,
];

/// The index of the median in [`PEAK_LEVELS`].
pub const PEAK_MEDIAN: usize = 1;

/// A peak's quantiles, in the order of [`PEAK_LEVELS`], not descending.
pub type PeakQuantiles = [FixedValue; PEAK_QUANTILES];

/// One step's quantiles, in the order of [`QUANTILE_LEVELS`], not descending.
pub type Quantiles = [FixedValue; QUANTILES];
