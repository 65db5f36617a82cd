//! The typed configuration tree of Twinscale.
//!
//! Purpose: TOML in, checked types out. A file is parsed, its shape is checked against one registry of
//! keys ([`keys`]), and what comes out are the types of the protocol. Invariants: everything that is
//! wrong with a file is reported at once, each with key, value, rule and hint; a value that leaves this
//! crate is within its range. It starts nothing and knows no actor.

pub mod keys;

mod check;
mod cluster;
mod document;
mod forecaster;
mod load;
mod node;
mod policy;
mod read;
mod reference;
mod shape;
mod stack;
mod tier;
mod violation;

#[cfg(test)]
mod tests;

pub use check::{TARGET_UTILISATION, check_customer, planned_capacity};
pub use cluster::ClusterSettings;
pub use document::{policy_table, stack_table};
pub use forecaster::ForecasterSettings;
pub use load::{FILE_BYTES_MAX, load_node, load_policies, load_stacks, parse_toml, read_text};
pub use node::{NodeSettings, WatchSettings};
pub use policy::PolicyFile;
pub use reference::reference_markdown;
pub use shape::{closest, join, quoted, shown};
pub use stack::{ASSUMED_USD_PER_VCPU_HOUR, StackFile, assumed_prices};
pub use violation::{ConfigError, Violation};
