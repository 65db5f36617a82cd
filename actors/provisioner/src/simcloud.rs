//! A simulated cloud: a provider as a pure state machine on domain time.
//!
//! It starts VMs that take their time, bills by the second with a minimum, may run out of capacity, may
//! answer badly, and keeps a ledger of every call and every VM.
//!
//! Invariants:
//! - state and answer are a function of the configuration and each customer's own calls in their order; how
//!   the calls of different customers interleave changes nothing, unless they share a capacity limit;
//! - a start-up time depends on (seed, customer, identity) alone;
//! - the ledger only grows; of calls, the oldest are counted and dropped past a bound.
//!
//! [`SimCloud`] is the machine, [`SimCloudDriver`] the thin shell that puts it behind
//! [`ProviderDriver`](crate::driver::ProviderDriver). Only the fault `slow` takes system time; without it
//! nothing here ever waits.

mod account;
mod cloud;
mod config;
mod driver;
mod ledger;

#[cfg(test)]
mod tests;

pub use cloud::{CloudCost, SimCloud};
pub use config::{FaultConfig, ProviderChecks, SimCloudConfig};
pub use driver::SimCloudDriver;
pub use ledger::{
    CallEffect, CallOperation, CallRecord, CallReply, Ledger, RefusalCause, VmRecord,
};
