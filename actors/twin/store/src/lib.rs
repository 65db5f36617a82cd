//! The rebuildable store of applied state.
