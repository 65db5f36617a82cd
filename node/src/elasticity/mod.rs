//! Demand traces through the twins of a node, one sample at a time, and what they ask for.
//!
//! For each trace a twin is configured and given its history; then, sample by sample, its turn forecasts,
//! and the planner plans from the stored forecast for each price of an under-provisioned step. The actors
//! are those of every other command. Invariant: a decision at a moment has seen the samples before it
//! alone, and depends on nothing but them, the seed, the weights and its price. Scoring is for others.

pub mod cuts;
mod read;
mod run;
pub mod suite;
pub mod write;

#[cfg(test)]
mod tests;

pub use read::{SuiteError, read_suites};
pub use run::{ElasticityOptions, TraceDecisions, decide};
pub use suite::{Suite, SuiteTrace};
