//! The twin's environment: queueing models of a customer's stack, solved and simulated.
//!
//! Two engines answer the same questions and never use each other's answers, so that each checks the
//! other: [`analytic`] knows exact results and documented approximations, [`events`] simulates. The crate
//! is pure: no clock, no files, no runtime; randomness comes from a seed, and a result does not depend on
//! the number of threads.

pub mod analytic;
pub mod events;
pub mod law;
