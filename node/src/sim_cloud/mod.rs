//! One simulated cloud for all nodes of a cluster: a process that serves it, and the driver that calls it.
//!
//! A provider outlives its callers: when a shard's leader moves, the next node must see the same VMs, and the
//! cloud itself must refuse the leader that was. So the cloud is a process of its own. [`process`] opens the
//! recorded cloud ([`crate::recorded_cloud`]) and serves it over HTTP and JSON ([`routes`], [`wire`],
//! [`ledger`]); [`remote`] is the driver of the nodes.
//!
//! Invariants: a change is on disk before it is answered; an answer that the driver does not understand is an
//! outcome that it does not know; nothing that a caller sends ends the process.

pub mod ledger;
pub mod process;
pub mod remote;
pub mod routes;
pub mod wire;

pub use remote::RemoteCloud;

#[cfg(test)]
mod tests;
