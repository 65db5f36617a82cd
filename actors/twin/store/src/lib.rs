//! The rebuildable store of applied state.
//!
//! The store holds what the command log can rebuild: the applied state under versioned keys, and
//! the index of the last applied entry in the same atomic batch. Nothing that was acknowledged
//! rests on it: sled's `flush` never calls fsync on Linux, so after a power cut the store may be
//! older than it was, or broken. Both are noticed when it opens. An older one is brought forward
//! by [`replay`]; a broken one is set aside and an empty one is begun ([`open_store`]).
//!
//! What guards the state: a checksum and a version per value, and a digest over all entries in the
//! same batch as the applied index. The digest shows a lost, stale or doubled entry that every
//! single checksum would accept.
//!
//! Two engines, sled and fjall, and one in memory pass the one suite in [`conformance`].

mod batch;
mod checked;
pub mod conformance;
mod engine;
mod envelope;
mod error;
mod keys;
mod marker;
mod open;
mod options;
mod replay;
mod state_store;

pub use batch::{Batch, Pending};
pub use checked::{MemoryDisk, open_in_memory};
pub use error::StoreError;
pub use keys::{CUSTOMER_ID_BYTES_MAX, KeyBuilder, customer_key, customer_prefix, node_key};
pub use marker::STORE_FORMAT_VERSION;
pub use open::{OpenOutcome, OpenedStore, StoreOpenReport, open_store, rebuild_store};
pub use options::{EngineKind, StoreOptions};
pub use replay::{ReplayError, ReplayReport, replay};
pub use state_store::{
    KEY_BYTES_MAX, KeyValue, StateStore, VALUE_BYTES_MAX, Visit, collect_prefix,
};

#[cfg(test)]
mod tests;
