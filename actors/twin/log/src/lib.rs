//! The fsynced, checksummed command log.
