//! Which price of a miss to act by, learned from decisions and their consequences.
//!
//! Purpose: the planner gives a VM count for each of a ladder of prices of a missed step; a policy chooses
//! at each step by which of them to act. This crate holds what that takes except the network: the
//! simulation that prices decisions, the state that a policy sees, the guard, fixed and tabular policies,
//! evaluation off policy, the gate, and the comparison with fixed settings.
//!
//! Invariants: a policy never invents a count; it stays within [`guard::Guard`] of the operator's price;
//! what it sees at a step was known before the step, and does not depend on what the policy itself did;
//! time, randomness and bytes are passed in; one seed gives one result.

pub mod bootstrap;
pub mod compare;
pub mod environment;
pub mod evaluate;
pub mod features;
pub mod folds;
pub mod frontier;
pub mod gate;
pub mod guard;
pub mod money;
pub mod off_policy;
pub mod policies;
pub mod read;
mod ridge;
pub mod segments;
pub mod simulation;
pub mod trace;
pub mod write;
