//! A node among others: twins of the shards whose replicas it holds, driven while it leads them.
//!
//! [`twins`] shows the twins of all replicas and commits through whoever leads; [`commands`] answers what people ask of twins
//! and actors, [`owner`] starts the twins
//! of a shard when this node becomes its leader, and ends them when it is no more. Invariant: a twin acts
//! under the term of its shard's leader, so that an effect of an older leader is refused. [`forward`] has
//! requests answered by the node that leads their shard, [`lending`] has peers forecast while this node cannot,
//! [`start`] starts and ends all of it in order.

pub(crate) mod answers;
pub mod commands;
pub mod forward;
mod gossip_keys;
pub mod lending;
pub mod messages;
pub mod owner;
pub(crate) mod pages;
pub mod start;
pub mod twins;
