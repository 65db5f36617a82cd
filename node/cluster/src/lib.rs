//! A node of the cluster, put together from its parts.
//!
//! [`admin`] is what people ask, [`meta`] is consensus group 0 in running code, [`network`] joins groups and routers
//! to the wire. Not here: what twins do, and what a node serves to people.

pub mod admin;
pub mod meta;
pub mod network;
pub mod node;
