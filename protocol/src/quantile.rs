//! The quantile levels that every forecast speaks in.

use crate::units::FixedValue;

/// How many quantiles a forecast has.
pub const QUANTILES: usize = 8;

/// The levels, ascending.
pub const QUANTILE_LEVELS: [f64; QUANTILES] = [0.05, 0.1, 0.25, 0.5, 0.75, 0.9, 0.95, 0.99];

/// The index of the median in [`QUANTILE_LEVELS`].
pub const MEDIAN: usize = 3;

/// One step's quantiles, in the order of [`QUANTILE_LEVELS`], not descending.
pub type Quantiles = [FixedValue; QUANTILES];
