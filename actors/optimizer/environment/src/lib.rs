//! The environment of a digital twin: a replica of a customer's application stack, and what it answers.
//!
//! A typed description of what serves a customer ([`model`]) is loaded ([`flow`]), drawn ([`draw`]), made of
//! deployment files ([`import`]) and fitted to telemetry ([`calibrate`]). Engines that never use each other's
//! answers work from it, so that each checks the other: formulas ([`analytic`]) and discrete events ([`events`]);
//! [`cases`] reads files of queueing cases and runs both. For a whole stack these are [`prediction`] and
//! [`simulation`]; [`scenario`] draws the demand that it may meet, [`closed_loop`] lets demand answer to what it meets,
//! and [`what_if`] changes the stack and compares.
//!
//! Invariants: no clock, no files, no runtime; randomness comes from a seed, and a result does not depend on the
//! number of threads. The same input gives the same output, byte for byte.

pub mod analytic;
pub mod calibrate;
pub mod cases;
pub mod closed_loop;
pub mod draw;
pub mod events;
pub mod flow;
pub mod import;
pub mod law;
pub mod model;
pub mod prediction;
pub mod scenario;
pub mod simulation;
pub mod what_if;
