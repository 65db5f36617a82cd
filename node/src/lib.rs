//! The Twinscale node: composition root, commands and reports.
//!
//! Purpose: parses the command line and files, builds the actors through one function, wires them, and
//! shows what came of it. No business rule lives here: twins, forecasts, plans and provisioning are in
//! the crates under `actors/`.

pub mod assembly;
pub mod cli;
pub mod clients;
pub mod cluster;
pub mod console;
pub mod decisions;
pub mod dev;
pub mod doctor;
pub mod elasticity;
pub mod error;
pub mod growth;
pub mod live;
pub mod load;
pub mod micro;
pub mod observe;
pub mod progress;
pub mod reaction;
pub mod recorded_cloud;
pub mod replay;
pub mod report;
pub mod rivals;
pub mod samples;
pub mod score;
pub mod service;
pub mod sim_cloud;
pub mod summary;
pub mod trace;
pub mod weights;
pub mod workload;
