//! The daemon: the loop on real time, behind an HTTP API.
//!
//! The same actors as in a replay, built by [`crate::assembly`], with domain time driven by the system
//! clock: [`schedule`] says when a twin is due (pure), [`keeper`] starts twins and drives each one,
//! [`api`] takes samples, events and configurations and shows what the twins know, [`server`] serves
//! connections within limits, [`fault_port`] lets chaos tests strike actors, [`daemon`] starts and ends all of
//! it in order, and [`client`] asks it from outside.
//!
//! Invariants: an answer 200 to samples, events or a configuration means fsynced and applied; every body,
//! queue, list and wait has a bound; nothing that a client sends ends the process.

pub mod admission;
pub mod api;
mod boot;
pub mod client;
pub mod daemon;
pub mod fault_port;
pub mod keeper;
pub mod limits;
pub mod schedule;
pub mod server;
pub mod state;
pub mod wall_clock;
