//! Groups of several nodes in one process, over a network in memory, with faults.
//!
//! Every node has a runtime of its own, so that it can be frozen and killed as a process is.

#[cfg(test)]
#[path = "cluster/checker.rs"]
mod checker;
#[cfg(test)]
#[path = "cluster/clients.rs"]
mod clients;
#[cfg(test)]
#[path = "cluster/elections.rs"]
mod elections;
#[cfg(test)]
#[path = "cluster/faults.rs"]
mod faults;
#[cfg(test)]
#[path = "cluster/harness.rs"]
mod harness;
#[cfg(test)]
#[path = "cluster/lifecycle.rs"]
mod lifecycle;
#[cfg(test)]
#[path = "cluster/members.rs"]
mod members;
#[cfg(test)]
#[path = "cluster/register.rs"]
mod register;
