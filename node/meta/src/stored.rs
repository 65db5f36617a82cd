//! Stored kinds, one module per version.

pub mod v1;
pub mod v2;
