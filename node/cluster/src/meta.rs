//! Consensus group 0 in running code.
//!
//! Group 0 keeps what the cluster agrees on: nodes, shard map, settings. Its leader drives moves of replicas,
//! each node keeps the replicas that it is told to keep.
