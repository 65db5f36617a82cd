//! Active users per interval, day and week, and rates of cohorts and actions, without keeping who they are.
//!
//! What is kept, and what is not:
//! - An identifier is hashed by HMAC-SHA256 as soon as it comes, under a key derived from the caller's secret for each
//!   single window: hashes of two windows have nothing in common, not even for one person. No identifier and no
//!   unkeyed hash is stored, shown or sent.
//! - Hashes only go into a [`Sketch`] of the window: up to 256 of them as they are, then registers alone. When the window is
//!   closed, the sketch is gone and a count remains.
//! - Only cohorts and actions that the settings name are told apart, so that no name can carry a person.
//! - Counts below the threshold *k* are not given, nor what would tell them ([`suppression`]); a missing sample may mean
//!   none, or fewer than *k*.
//! - Noise with a budget is offered and off ([`NoiseOptions`]).
//!
//! What this does not do: whoever has the secret and an open window's state can test whether a given person is in it,
//! so keep the secret apart from the state. Counts over *k* are exact or near, and are not differentially private
//! unless noise is on.

mod counter;
mod noise;
mod options;
mod publish;
mod sketch;
mod state;
pub mod suppression;
#[cfg(test)]
mod tests;

pub use counter::{Activity, ActivityCounts, ActivityEvent, USER_BYTES_MAX};
pub use noise::NoiseOptions;
pub use options::{
    ACTIONS_MAX, ActivityOptions, ActivityOptionsError, COHORTS_MAX, LABEL_BYTES_MAX, THRESHOLD_MIN,
};
pub use sketch::{REGISTERS, SPARSE_MAX, Sketch};
