//! Errors of the log: each names the value, the place and what to do.

use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use crate::command::LogIndex;

/// Why the log refused or failed.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LogError {
    /// Another process, or another part of this one, has the log open.
    #[error(
        "log directory {directory} is in use by {}; stop that node or give this one its own data \
         directory",
        describe_holder(*holder)
    )]
    InUse {
        /// The directory.
        directory: PathBuf,
        /// The process that has it, where that is known.
        holder: Option<u32>,
    },
    /// The directory takes no files.
    #[error(
        "log directory {directory} cannot be written; give this user write access, mount it \
         read-write, or choose another data directory"
    )]
    NotWritable {
        /// The directory.
        directory: PathBuf,
        /// What the disk said.
        #[source]
        source: Arc<io::Error>,
    },
    /// A segment was written by a newer version of the product.
    #[error(
        "segment {path} has format version {found}, this build reads up to {supported}; run the \
         newer build that wrote it"
    )]
    FormatTooNew {
        /// The segment's file.
        path: PathBuf,
        /// The version in the file.
        found: u32,
        /// The newest version that this build reads.
        supported: u32,
    },
    /// A file holds something else than what was written; nothing was changed on disk.
    #[error(
        "segment {path} is corrupt at byte {offset} (entry {index} expected): {reason}; restore the \
         file from a copy or rebuild this node from a snapshot or a peer, and keep the damaged file"
    )]
    Corrupt {
        /// The damaged file.
        path: PathBuf,
        /// The byte at which the damage begins.
        offset: u64,
        /// The index that should stand there.
        index: LogIndex,
        /// What is wrong with it.
        reason: String,
    },
    /// A segment between others is missing, or two overlap.
    #[error(
        "log directory {path} has a gap: entry {expected} expected, next segment starts at {found}; \
         restore the missing segment from a copy or rebuild this node from a snapshot or a peer"
    )]
    Gap {
        /// The log directory.
        path: PathBuf,
        /// The index that should come next.
        expected: LogIndex,
        /// The first index of the segment that follows.
        found: LogIndex,
    },
    /// The log ends before a point that was once durable: its end was cut off or removed.
    #[error(
        "log {path} ends at entry {last}, but entries through {durable_through} were durable; \
         restore the last segment from a copy or rebuild this node from a snapshot or a peer"
    )]
    Truncated {
        /// The log directory.
        path: PathBuf,
        /// The last entry that is there.
        last: LogIndex,
        /// The last entry that is known to have been durable.
        durable_through: LogIndex,
    },
    /// A read or purge asked for entries that were purged.
    #[error("entry {requested} was purged, the log starts at {first}; start from a snapshot")]
    Purged {
        /// The index asked for.
        requested: LogIndex,
        /// The first index that is kept.
        first: LogIndex,
    },
    /// A proposal without commands.
    #[error("a proposal holds no command; propose at least one")]
    EmptyProposal,
    /// A command whose payload is larger than the format allows.
    #[error("command of {bytes} bytes exceeds the limit of {limit}; split it")]
    CommandTooLarge {
        /// The payload's size, in bytes.
        bytes: usize,
        /// The limit, in bytes.
        limit: usize,
    },
    /// A proposal that is larger than the whole queue.
    #[error("proposal of {bytes} bytes exceeds the queue of {limit} bytes; split it")]
    ProposalTooLarge {
        /// The proposal's size on disk, in bytes.
        bytes: usize,
        /// The capacity of the queue, in bytes.
        limit: usize,
    },
    /// The queue in front of the writer is full.
    #[error(
        "log is overloaded: {proposals_max} proposals or {bytes_max} bytes wait already; try again \
         later"
    )]
    Overloaded {
        /// The capacity of the queue, in proposals.
        proposals_max: usize,
        /// The capacity of the queue, in bytes on disk.
        bytes_max: usize,
    },
    /// The disk has no room for the proposal, or turned read-only: nothing of it was kept, and the next
    /// one is tried again.
    #[error(
        "disk took no {bytes} bytes for {path}, entry {index} and later were not appended; free space \
         or make it writable and try again"
    )]
    WriteRefused {
        /// The segment that was to be written.
        path: PathBuf,
        /// The first index that was not appended.
        index: LogIndex,
        /// How much was to be written, in bytes; 0 for a new segment.
        bytes: u64,
        /// What the disk said.
        #[source]
        source: Arc<io::Error>,
    },
    /// The write or sync that carried the proposal failed; it may or may not be there after the
    /// log is opened again.
    #[error(
        "write to {path} failed, the outcome of entry {index} and later is unknown; free or repair \
         the disk, restart the node and look whether they are there"
    )]
    OutcomeUnknown {
        /// The segment that was written.
        path: PathBuf,
        /// The first index whose outcome is unknown.
        index: LogIndex,
        /// What the disk said.
        #[source]
        source: Arc<io::Error>,
    },
    /// An earlier write or sync failed; nothing is appended until the log is opened again.
    #[error(
        "log {path} is poisoned by a failed write ({reason}); entries through {durable_through} \
         are durable; free or repair the disk and restart the node"
    )]
    Poisoned {
        /// The segment whose write failed.
        path: PathBuf,
        /// What the disk said.
        reason: String,
        /// The last durable entry.
        durable_through: LogIndex,
    },
    /// The log was closed.
    #[error("log is closed; open it again before proposing")]
    Closed,
    /// The writer ended without a reply, so the outcome is unknown.
    #[error("log writer ended without a reply, the outcome is unknown; restart the node")]
    WriterGone,
    /// The disk refused an operation that appends nothing.
    #[error("failed to {operation} {path}")]
    Io {
        /// What was tried.
        operation: &'static str,
        /// On which file or directory.
        path: PathBuf,
        /// What the disk said.
        #[source]
        source: Arc<io::Error>,
    },
}

impl LogError {
    /// Wraps an IO error with what was tried and where.
    pub(crate) fn io(operation: &'static str, path: PathBuf, source: io::Error) -> Self {
        Self::Io {
            operation,
            path,
            source: Arc::new(source),
        }
    }

    /// Says whether commands of the failed proposal may be in the log all the same.
    pub fn is_outcome_unknown(&self) -> bool {
        matches!(self, Self::OutcomeUnknown { .. } | Self::WriterGone)
    }
}

fn describe_holder(holder: Option<u32>) -> String {
    holder.map_or_else(
        || "another opener".to_owned(),
        |pid| format!("process {pid}"),
    )
}
