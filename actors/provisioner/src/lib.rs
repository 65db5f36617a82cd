//! Proactive Resource Orchestrator: makes what runs be what is wanted.
//!
//! The twin drives; this crate decides nothing about demand. It compares desired and observed
//! ([`reconcile`]), carries committed intents out through a provider's driver ([`execute`]), reads back
//! what runs and learns how long starts take ([`memory`], [`learning`]). One thin actor per provider
//! ([`actor`]) keeps a customer's operations serial.
//!
//! Invariants:
//! - no effect without an intent: a driver is called only with identities that the twin has committed;
//! - an identity is the idempotency key, the generation the fencing token, of every call that changes
//!   something; a call whose outcome is not known is never reported as done or refused;
//! - what a restart of the actor must not lose lives outside it, in the driver and in [`memory`].
//!
//! The first driver is the simulated cloud ([`simcloud`]); every driver passes [`conformance`], and
//! [`check`] holds the rules that ledgers must keep whatever goes wrong. [`lifetimes`] is the arithmetic of
//! bills and serving VMs, for the simulated cloud and for rival policies alike.

pub mod actor;
pub mod check;
pub mod conformance;
pub mod driver;
pub mod execute;
pub mod learning;
pub mod lifetimes;
pub mod memory;
mod reconcile;
pub mod simcloud;
pub mod start_up;
pub mod steps;
#[cfg(test)]
mod storm;

pub use actor::{Provisioner, ProvisionerArguments, ProvisionerFault, ProvisionerRequest};
pub use driver::{DriverError, ProviderDriver};
pub use execute::RetryPolicy;
pub use reconcile::{OPEN_INTENTS_MAX, reconcile};
pub use simcloud::{SimCloud, SimCloudConfig, SimCloudDriver};
