//! A load on a running node: many customers made of few, sent on a schedule that does not wait for
//! answers, with a list of what was acknowledged.
//!
//! [`fleet`] says which sample is due when (pure), [`crate::service::client`] sends and reads, [`run`] keeps the schedule,
//! [`acknowledged`] writes down what the node promised to keep, and [`verify`] reads all of it back.
//!
//! Invariants: latency counts from the moment at which a batch was due, so a node that stalls cannot hide
//! it; a sample is on the list before it is counted as acknowledged; sending again is safe, since samples
//! have keys.

pub use crate::service::client;

pub mod acknowledged;
pub mod configure;
pub mod fleet;
pub mod report;
pub mod run;
pub mod verify;
