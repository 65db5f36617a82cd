//! What a twin writes to disk, by version. A changed type gets a new module and a new kind; old kinds
//! stay readable.

pub mod entry;
pub mod schema;
pub mod shard_v1;
pub mod v1;
#[cfg(feature = "next-schema")]
pub mod v3;
