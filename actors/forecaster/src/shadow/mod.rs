//! Two sets of weights compared on live requests: who forecast better what came.
//!
//! Purpose: [`ShadowBook`] keeps what champion and challenger forecast for the same series at the same moments,
//! scores both when later requests bring the truth, and keeps a paired sum for each series; [`judge`] says
//! what the sums of all nodes mean. Invariants: nothing here reads a clock, draws randomness or does IO; every
//! collection is bounded; a step counts for both or for neither. Not here: who forecasts, and who acts on a
//! verdict.

mod book;
mod judge;
mod tally;

pub use book::{OfferedSeries, SERIES_MAX, ShadowBook};
pub use judge::{Comparison, Purpose, Rule, Verdict, compare, judge};
pub use tally::{PairTally, SeriesTally, TALLIES_MAX, merge, series_number};

#[cfg(test)]
mod tests;
