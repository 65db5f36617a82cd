//! openraft's storage on the node's log, the owner's state and the snapshots.

mod log_store;
mod machine_store;

pub(crate) use log_store::LogStore;
pub(crate) use machine_store::{AppliedMembers, MachineStore};

#[cfg(test)]
mod tests;
