//! The twin's environment: queueing models of a customer's stack.
//!
//! [`analytic`] knows exact results and documented approximations. The crate is pure: no clock, no files,
//! no runtime.

pub mod analytic;
pub mod law;
