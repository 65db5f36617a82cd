//! The live view in a terminal: what a node or a replay does, as it happens.
//!
//! A producer ([`poll`] for a daemon, [`replay`] for a replay) makes a [`snapshot`]; [`state`] holds what is
//! shown and [`update`] changes it by keys and snapshots (both pure); [`draw`] draws it and [`plain`] writes
//! it as text or JSON; [`picture`] makes an SVG of it; [`session`] owns the terminal on a thread of its own.
//!
//! Invariants: the view only reads, so it changes no result; whatever ends it, the terminal is as it was
//! before; colours never carry a meaning alone.

pub mod draw;
pub mod keys;
pub mod memory;
pub mod picture;
pub mod plain;
pub mod poll;
pub mod replay;
pub mod session;
pub mod snapshot;
pub mod state;
pub mod update;

#[cfg(test)]
mod tests;
