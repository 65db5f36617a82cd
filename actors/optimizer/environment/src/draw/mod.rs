//! Pictures of a stack.

mod format;

pub(crate) use format::number;
