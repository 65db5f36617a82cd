//! Discrete events: models simulated customer by customer.
//!
//! Where service is first come first served, a station is a recursion over its customers and needs no
//! calendar; its departures come out in the order of time, so that lines of stations are exact. What
//! recursion cannot do (priorities, sharing, feedback, closed networks, shortest queue) runs on a calendar.
//!
//! A simulation is a fixed number of independent replications, each with random streams of its own by
//! purpose: what arrives, what is served where, who goes where. Alternatives with one seed meet the same
//! arrivals and the same work. The replications, not the threads, decide the result. Nothing here knows
//! the answers of [`crate::analytic`].

pub mod balance;
pub mod chain;
pub(crate) mod control;
pub mod estimate;
pub mod finite;
pub mod fork_join;
pub mod histogram;
pub mod line;
pub mod network;
pub mod priority;
pub mod replicate;
pub mod sample;
pub mod servers;
pub mod sharing;
pub mod streams;
pub mod tally;

pub use replicate::{Progress, SimulationError, SimulationOptions, StopRule, simulate};

#[cfg(test)]
mod tests;
