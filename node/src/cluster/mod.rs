//! A node among others: twins of the shards whose replicas it holds, driven while it leads them.
//!
//! [`twins`] shows the twins of all replicas and commits through whoever leads; [`commands`] answers what people ask of twins
//! and actors, [`owner`] starts the twins
//! of a shard when this node becomes its leader, and ends them when it is no more. Invariant: a twin acts
//! under the term of its shard's leader, so that an effect of an older leader is refused.

pub mod commands;
pub mod owner;
pub mod twins;
