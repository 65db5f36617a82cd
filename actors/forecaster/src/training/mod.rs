//! What a network is trained on: series cut before anything it will be tested on, and batches of them.
//!
//! Invariants: no sample at or after a series' cut is ever read; all randomness comes from the generator
//! passed in. The optimiser itself lives with the network.

pub mod corpus;
pub mod cuts;
pub mod sampler;
mod synthetic;
