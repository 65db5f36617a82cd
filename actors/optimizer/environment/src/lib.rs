//! The twin's environment: queueing models of a customer's stack, solved and simulated.
//!
//! Two engines answer the same questions and never use each other's answers, so that each checks the
//! other: [`analytic`] knows exact results and documented approximations, [`events`] simulates. [`cases`]
//! reads files of queueing cases and runs both. The crate is pure: no clock, no files, no runtime;
//! randomness comes from a seed, and a result does not depend on the number of threads.

pub mod analytic;
pub mod cases;
pub mod events;
pub mod law;
