//! Whole-system tests: the node as it is composed, from samples to bills. They are in `tests/system.rs`.
