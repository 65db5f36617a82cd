//! Parts of the scenarios on a cluster of real processes: what befalls it, what its clients saw, and what
//! must be true of both.
//!
//! - [`history`]: what clients asked and were told, with outcomes that nobody knows;
//! - [`recorder`]: how clients write it;
//! - [`register`], [`telemetry`], [`cloud`]: the checkers, pure functions of histories and records;
//! - [`recovery`]: how soon after a fault clients were answered again;
//! - [`availability`]: how much of the time keys were answered that could be;
//! - [`check`]: the checks of a history from files;
//! - [`run`]: all of it on nodes that are processes of this program;
//! - [`fabric`]: a network of its own for each node, which can be cut;
//! - [`disk`]: a disk of its own for each node, which can lose its power and fill up;
//! - [`damage`]: what becomes of a store on it;
//! - [`faults`]: what befalls nodes, disks and network, with a record of when;
//! - [`schedule`]: which faults a seed picks;
//! - [`play`]: carries them out, one after another;
//! - [`deployment`]: what a runner must know of the cluster.

pub mod availability;
pub mod check;
pub mod cloud;
pub mod damage;
pub mod deployment;
pub mod disk;
pub mod fabric;
pub mod faults;
pub mod history;
pub mod play;
pub mod recorder;
pub mod recovery;
pub mod register;
pub mod run;
pub mod schedule;
#[cfg(test)]
mod sleepers;
pub mod telemetry;
