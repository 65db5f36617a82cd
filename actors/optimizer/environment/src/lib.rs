//! The environment of a digital twin: a customer's application stack as a model.
//!
//! Purpose: one typed description of what serves a customer ([`model`]), from which simulators and planners
//! work. Invariants: no clock, no runtime, no randomness of its own; the same input gives the same output,
//! byte for byte.

pub mod calibrate;
pub mod draw;
pub mod flow;
pub mod import;
pub mod model;
