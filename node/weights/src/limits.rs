//! Bounds of weights files.

/// Most bytes of a weights file, as the reader of such files and the register have it.
pub const WEIGHTS_BYTES_MAX: u64 = 64 << 20;

/// Most bytes of a card.
pub const CARD_BYTES_MAX: u64 = 8 << 20;

/// Bytes of one chunk: a fraction of the largest message, so that other calls of a connection go between.
pub const CHUNK_BYTES: u64 = 1 << 20;

/// Broken files that are kept for whoever looks; older ones are removed.
pub const BROKEN_KEPT_MAX: usize = 8;
