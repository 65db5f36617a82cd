//! What each fuzz target does with its bytes.
//!
//! A target panics when a promise is broken: a reader that panics, that takes what it should refuse, or
//! that does not give back what was written. Checksums are made right here, or no mutation would get
//! past them; `envelope` and `log_recovery` get the bytes as they are.

#[path = "../../node/src/trace/mod.rs"]
#[allow(
    dead_code,
    unused_imports,
    reason = "the node uses more of the trace reader than the fuzz target"
)]
mod trace;

mod inputs;
mod log;
mod readers;
mod twin;
mod weights;
#[cfg(feature = "torch")]
mod weights_files;

pub use inputs::{calendar_ics, inputs_state, log_lines, state_seeds};
pub use log::log_recovery;
pub use readers::{config_toml, envelope, queueing_cases, stack_model, trace_csv};
pub use twin::{framed, stored_entry, stored_state, twin_apply};
pub use weights::{weights_card, weights_chunks, weights_register};
#[cfg(feature = "torch")]
pub use weights_files::weights_file;
