//! Stored kinds, one module per version.

pub mod v1;
