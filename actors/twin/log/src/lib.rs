//! The fsynced, checksummed command log.
//!
//! A command that was acknowledged is on disk: the reply is sent after `fdatasync` returned. Many
//! proposers share one writer thread that gathers what waits into one write and one `fdatasync`
//! ([`FileLog`]). The trait [`CommandLog`] is what the rest of the node sees; a consensus group
//! implements it later, [`FileLog`] is its single-voter form.
//!
//! Promises, each checked by property tests on [`fault_disk::FaultDisk`]:
//! - an acknowledged entry is there exactly once, in order, after a crash at any write or sync;
//! - an entry that was never acknowledged may be there after a crash, whole or not at all;
//! - a torn tail is cut and reported; damage anywhere else refuses to open and names the place;
//! - a write that is refused for want of room leaves nothing behind, and the log goes on when there is
//!   room; any other failed write or sync poisons it: it is never retried as if it had worked.
//!
//! Not done here: applying commands (the twin), deciding what may be purged (the node: behind a
//! snapshot or a point it has fsynced itself).

mod append;
pub mod bench;
mod clock;
mod command;
pub mod disk;
mod error;
pub mod fault_disk;
mod file_log;
mod floor;
mod format;
mod metrics;
mod options;
mod recovery;
mod refusal;
mod room;
mod scan;
mod segment;

pub use clock::{MonotonicClock, SystemMonotonicClock};
pub use command::{
    Command, CommandLog, Committed, DurablePoint, Entry, LogIndex, Proposal, ReadLimits,
};
pub use error::LogError;
pub use file_log::{FileLog, LOCK_NAME};
pub use format::{FORMAT_VERSION, PAYLOAD_BYTES_MAX};
pub use metrics::{BatchCommitted, LogMetrics, LogObserver, NoObserver};
pub use options::LogOptions;
pub use recovery::{DiscardedSegment, OpenReport, TornTail};
pub use refusal::is_refusal;
pub use room::{DiskRoom, FsRoom, Room, UnlimitedRoom};
pub use segment::SegmentSpan;

#[cfg(test)]
mod tests;
