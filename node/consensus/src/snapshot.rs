//! Snapshots on disk: one file each, with a checksum per chunk and one over everything.
//!
//! A snapshot is written or received under a temporary name, read through and checked as a whole, made
//! durable, and only then renamed. What bears a temporary name at the start is a rest and is removed. A
//! group keeps its newest snapshot; the log is purged behind it, never before.

mod file;
mod format;
mod store;

pub use file::SnapshotError;
pub(crate) use file::SnapshotFile;
pub(crate) use store::{Incoming, SnapshotStore};

#[cfg(test)]
mod tests;
