//! A node of the cluster, put together from its parts.
//!
//! [`meta`] is consensus group 0 in running code. Not here: what twins do, and what a node serves to people.

pub mod meta;
