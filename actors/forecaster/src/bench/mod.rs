//! The forecast benchmark: files in the layout of a data directory in, a submission file out.
//!
//! A directory holds `protocol.json`, `events.csv` and, per split, `<split>/<dataset>.csv.gz`. Unlike the
//! rest of the crate this module reads and writes files; it decides nothing about forecasts.

pub mod files;
pub mod protocol;
pub mod run;
pub mod sources;
pub mod submission;
pub mod tally;
