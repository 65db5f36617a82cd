//! What the node tells of itself: metrics for Prometheus, and its log with spans.
//!
//! Metrics are kept per node, not per process: [`instruments`] holds them, [`catalogue`] is the one list of
//! their names, and [`collect`] reads what the node counts anyway when it is asked. Invariants: no label
//! has a customer's name in it, so the number of time series does not grow with the number of customers;
//! a node that nobody observes pays one branch for each thing that could be told.

pub mod accuracy;
pub mod catalogue;
pub mod cluster;
pub mod collect;
pub mod instruments;
pub mod log;
pub mod logging;
pub mod provider;
pub mod reference;

#[cfg(test)]
mod tests;

pub use catalogue::Metric;
pub use instruments::Instruments;
