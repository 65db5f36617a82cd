//! Digital Twin Environment.
