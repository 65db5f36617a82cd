//! A cluster on one machine: its folders, certificates and settings, and its processes.
//!
//! [`layout`] writes what a cluster of so many nodes needs, once; [`processes`] starts and ends them.

pub mod layout;
pub mod processes;
