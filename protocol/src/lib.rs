//! Ids, units, messages and their versioned wire envelope.
