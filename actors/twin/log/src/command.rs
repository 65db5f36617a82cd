//! What the log stores and the trait its users see. No IO here.

use std::fmt::{self, Debug, Display};
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};

use tokio::sync::oneshot;

use crate::error::LogError;

/// The place of an entry in the log; the first entry has index 1, so that 0 means "nothing yet".
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LogIndex(u64);

impl LogIndex {
    /// The index before the first entry: nothing is there, nothing is applied.
    pub const ZERO: Self = Self(0);

    /// Wraps a raw index.
    pub const fn new(index: u64) -> Self {
        Self(index)
    }

    /// Returns the raw index.
    pub const fn get(self) -> u64 {
        self.0
    }

    /// Returns the index that follows; the last possible index follows itself.
    #[must_use]
    pub const fn next(self) -> Self {
        Self(self.0.saturating_add(1))
    }

    /// Returns the index before; [`LogIndex::ZERO`] precedes itself.
    #[must_use]
    pub const fn previous(self) -> Self {
        Self(self.0.saturating_sub(1))
    }
}

impl Display for LogIndex {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        Display::fmt(&self.0, formatter)
    }
}

/// An opaque command: the log neither reads nor changes its payload.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Command {
    /// Which stored kind the payload is; its meaning belongs to the proposer.
    pub kind: u16,
    /// The encoded command, at most [`crate::PAYLOAD_BYTES_MAX`] bytes.
    pub payload: Vec<u8>,
}

/// A committed command with its place in the log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// The entry's place; neighbours differ by one.
    pub index: LogIndex,
    /// The ownership number under which it was committed; never goes back along the log.
    pub generation: u64,
    /// The stored kind of the payload.
    pub kind: u16,
    /// The encoded command.
    pub payload: Vec<u8>,
}

/// Where the commands of one proposal stand: they are contiguous and on disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Committed {
    /// The index of the proposal's first command.
    pub first_index: LogIndex,
    /// The index of the proposal's last command.
    pub last_index: LogIndex,
    /// The generation under which they were committed.
    pub generation: u64,
}

/// How much one read may return; at least one entry is returned when there is one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ReadLimits {
    /// Upper bound of the number of entries.
    pub entries_max: usize,
    /// The read stops once this many payload bytes are gathered.
    pub payload_bytes_max: usize,
}

impl Default for ReadLimits {
    /// 4,096 entries or 4 MiB: a replay step that neither starves others nor crawls.
    fn default() -> Self {
        Self {
            entries_max: 4_096,
            payload_bytes_max: 4 << 20,
        }
    }
}

/// A promise by the caller that everything through an index survives a power cut without the log.
///
/// A flush of the embedded store is no such point: sled's `flush` never calls fsync on Linux.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct DurablePoint(LogIndex);

impl DurablePoint {
    /// States that a snapshot of the state through `index` was written and fsynced.
    pub const fn snapshot_fsynced_through(index: LogIndex) -> Self {
        Self(index)
    }

    /// Returns the last index that the point covers.
    pub const fn index(self) -> LogIndex {
        self.0
    }
}

/// The log of commands of one group.
pub trait CommandLog: Debug + Send + Sync {
    /// Proposes commands that get contiguous indexes; the reply comes once they are durable.
    ///
    /// The call does not block. An error in the reply other than
    /// [`LogError::OutcomeUnknown`] means that none of the commands was appended. Commands of a
    /// proposal whose outcome is unknown may be there after the log is opened again: a prefix of
    /// them, never one without those before it.
    fn propose(&self, commands: Vec<Command>) -> Proposal;

    /// Reads durable entries in order, starting with `from`; empty behind the last index.
    ///
    /// # Errors
    /// [`LogError::Purged`] when `from` lies before the first index that is kept;
    /// [`LogError::Corrupt`] or [`LogError::Io`] when the disk gives back something else than was
    /// written.
    fn read(&self, from: LogIndex, limits: ReadLimits) -> Result<Vec<Entry>, LogError>;

    /// Returns the index of the oldest entry that is kept; one past the last when there is none.
    fn first_index(&self) -> LogIndex;

    /// Returns the index of the last durable entry; one before the first when there is none.
    fn last_index(&self) -> LogIndex;

    /// Returns the generation under which proposals are committed now.
    fn generation(&self) -> u64;

    /// Drops entries at or before the point, in whole segments, and returns the new first index.
    ///
    /// # Errors
    /// [`LogError::Io`] when a segment cannot be removed; what was removed before stays removed.
    fn purge(&self, behind: DurablePoint) -> Result<LogIndex, LogError>;
}

/// The coming reply to a proposal: await it, or block a plain thread with [`Proposal::wait`].
///
/// Dropping it withdraws nothing: the commands may be committed all the same.
#[derive(Debug)]
pub struct Proposal {
    state: ProposalState,
}

#[derive(Debug)]
enum ProposalState {
    Refused(Option<LogError>),
    Waiting(oneshot::Receiver<Result<Committed, LogError>>),
}

impl Proposal {
    /// Makes a proposal whose reply arrives on `receiver`; a dropped sender reads as closed.
    pub fn waiting(receiver: oneshot::Receiver<Result<Committed, LogError>>) -> Self {
        Self {
            state: ProposalState::Waiting(receiver),
        }
    }

    /// Makes a proposal that was refused before it was queued.
    pub fn refused(error: LogError) -> Self {
        Self {
            state: ProposalState::Refused(Some(error)),
        }
    }

    /// Blocks the calling thread until the reply is there; not for use inside an async runtime.
    ///
    /// # Errors
    /// Those of [`CommandLog::propose`].
    ///
    /// # Panics
    /// When called from inside a tokio runtime: await the proposal there.
    pub fn wait(self) -> Result<Committed, LogError> {
        match self.state {
            ProposalState::Refused(error) => Err(error.unwrap_or(LogError::Closed)),
            ProposalState::Waiting(receiver) => receiver
                .blocking_recv()
                .unwrap_or(Err(LogError::WriterGone)),
        }
    }
}

impl Future for Proposal {
    type Output = Result<Committed, LogError>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        match &mut self.state {
            ProposalState::Refused(error) => {
                Poll::Ready(Err(error.take().unwrap_or(LogError::Closed)))
            }
            ProposalState::Waiting(receiver) => Pin::new(receiver)
                .poll(context)
                .map(|reply| reply.unwrap_or(Err(LogError::WriterGone))),
        }
    }
}
