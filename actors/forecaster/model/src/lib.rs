//! The recurrent quantile network on tch; the only crate that names it.
//!
//! Purpose: runs and trains the network behind [`twinscale_forecaster::network::QuantileNetwork`], and
//! reads and writes its weights as safetensors. Invariants: one thread inside the library, no gradients
//! while serving, every call into the library is a fallible one, quantiles never cross.

mod adam;
mod architecture;
mod checkpoint;
mod parameters;
mod recurrent;
pub mod shipped;
pub mod throughput;
pub mod train;
mod weights;

pub use checkpoint::CheckpointError;
pub use parameters::{HIDDEN, MIXER};
pub use recurrent::{RecurrentNetwork, multiply_once};
pub use weights::{WeightsError, weights_id};
