//! The quantile networks on tch; the only crate that names it.
//!
//! Purpose: runs and trains the networks behind [`twinscale_forecaster::network::QuantileNetwork`], and
//! reads and writes its weights as safetensors; [`policy`] does so for the network that chooses a price,
//! [`reaction`] for how demand answers to latency, throttling, price and events.
//! Invariants: one thread inside the library, no gradients while serving, every call into the library is a fallible one, quantiles never cross.

mod adam;
pub mod append;
mod architecture;
mod checkpoint;
mod dense;
mod parameters;
mod parent;
pub mod policy;
pub mod reaction;
mod recurrent;
mod serving;
pub mod shipped;
pub mod throughput;
pub mod train;
mod weights;

pub use architecture::Architecture;
pub use checkpoint::{CheckpointError, RunName};
pub use parent::{Parent, RATE_OF_PARENT};
pub use serving::{Network, engine_of, multiply_once};
pub use weights::{NETWORKS_MAX, WeightsError, weights_id};
