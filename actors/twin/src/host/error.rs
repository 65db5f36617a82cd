//! Errors of the host: each names the value, the place and what to do.

use crate::state::{Refusal, RestoreError};
use crate::stored::entry::EntryError;
use std::sync::Arc;
use twinscale_log::{LogError, LogIndex, is_refusal};
use twinscale_protocol::envelope::EnvelopeError;
use twinscale_protocol::metric::UnknownMetricError;
use twinscale_protocol::{CustomerId, DomainTime, FixedValue, SeriesKey, WireError, WireErrorCode};
use twinscale_store::{ReplayError, StoreError};

/// Why a command was not taken.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum HostError {
    /// The queue is full.
    #[error(
        "twins are overloaded: {commands_max} commands or {bytes_max} bytes wait already; try again \
         later"
    )]
    Overloaded {
        /// Bound of the queue, in commands.
        commands_max: usize,
        /// Bound of the queue, in bytes.
        bytes_max: usize,
    },
    /// The host holds as many twins as it may.
    #[error("no room for twin `{customer}`: this node holds its limit of {limit}; add a node")]
    TooManyTwins {
        /// Whose twin.
        customer: CustomerId,
        /// The limit.
        limit: usize,
    },
    /// The command is too large for an entry.
    #[error("command of twin `{customer}` has {bytes} bytes, above the limit of {limit}; split it")]
    TooLarge {
        /// Whose twin.
        customer: CustomerId,
        /// Its size, in bytes.
        bytes: usize,
        /// The limit, in bytes.
        limit: usize,
    },
    /// The command cannot be encoded.
    #[error("command of twin `{customer}` cannot be written; split it")]
    Encode {
        /// Whose twin.
        customer: CustomerId,
        /// Why.
        #[source]
        source: Arc<EnvelopeError>,
    },
    /// The disk takes nothing more for now; nothing of the command was kept.
    #[error(
        "node is read-only, the command was not kept: {reason}; free {needed_bytes} bytes or make the \
         disk writable, the node then goes on by itself"
    )]
    ReadOnly {
        /// Why.
        reason: String,
        /// What must become free, in bytes.
        needed_bytes: u64,
    },
    /// The log did not take it.
    #[error("log did not take the command: {0}")]
    Log(LogError),
    /// The store did not take an earlier batch: the log holds everything, so that a restart loses nothing.
    #[error("store failed, nothing more is taken until the node is restarted: {reason}")]
    StoreFailed {
        /// What the store said.
        reason: String,
    },
    /// The shard of the twin did not take it.
    #[error("{0}")]
    Shard(WireError),
    /// The writer ended without a reply.
    #[error("writer of the twins has ended, the outcome is unknown; restart the node")]
    WriterGone,
    /// A rule of the twin refuses it.
    #[error("twin `{customer}`: {refusal}")]
    Refused {
        /// Whose twin.
        customer: CustomerId,
        /// Which rule.
        refusal: Refusal,
    },
    /// The twin is quarantined.
    #[error("twin `{customer}` is quarantined: {reason}; look into it and lift the quarantine")]
    Quarantined {
        /// Whose twin.
        customer: CustomerId,
        /// Why.
        reason: String,
    },
    /// More samples than one request may carry.
    #[error("request of {count} samples is above the limit of {limit}; split it")]
    TooManySamples {
        /// How many.
        count: usize,
        /// The limit.
        limit: usize,
    },
    /// A sample of a metric that does not exist.
    #[error("sample {position} of series {series} at {at}: {source}")]
    UnknownMetric {
        /// Its place in the request, from 0.
        position: usize,
        /// Its series.
        series: SeriesKey,
        /// Its time.
        at: DomainTime,
        /// Which metrics exist.
        source: UnknownMetricError,
    },
    /// A sample below zero.
    #[error(
        "sample {position} of series {series} at {at}: value {value} is negative; demand, utilisation \
         and sizes are zero or more"
    )]
    NegativeSample {
        /// Its place in the request, from 0.
        position: usize,
        /// Its series.
        series: SeriesKey,
        /// Its time.
        at: DomainTime,
        /// Its value.
        value: FixedValue,
    },
    /// A clock outside the range of times.
    #[error(
        "clock of the request shows {now}, outside {oldest} to {newest}: send seconds since 1970, UTC"
    )]
    Clock {
        /// What it shows.
        now: DomainTime,
        /// The oldest time that is taken.
        oldest: DomainTime,
        /// The newest time that is taken.
        newest: DomainTime,
    },
}

impl HostError {
    /// Says whether the command may have been committed all the same: read the state again.
    pub fn is_outcome_unknown(&self) -> bool {
        match self {
            Self::Log(error) => error.is_outcome_unknown(),
            Self::Shard(error) => error.code == WireErrorCode::OutcomeUnknown,
            Self::WriterGone => true,
            _ => false,
        }
    }

    /// What a caller can act on.
    pub fn code(&self) -> WireErrorCode {
        match self {
            _ if self.is_outcome_unknown() => WireErrorCode::OutcomeUnknown,
            Self::Overloaded { .. } | Self::Log(LogError::Overloaded { .. }) => {
                WireErrorCode::Overloaded
            }
            Self::Shard(error) => error.code,
            Self::Refused {
                refusal: Refusal::PlanConflict { .. } | Refusal::ConfigChanged { .. },
                ..
            } => WireErrorCode::Conflict,
            Self::Log(_)
            | Self::ReadOnly { .. }
            | Self::StoreFailed { .. }
            | Self::TooManyTwins { .. }
            | Self::Quarantined { .. } => WireErrorCode::Unavailable,
            _ => WireErrorCode::Invalid,
        }
    }
}

impl From<HostError> for WireError {
    fn from(error: HostError) -> Self {
        Self::new(error.code(), error.to_string())
    }
}

/// Why a host does not open.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum OpenError {
    /// The store cannot be used.
    #[error("store cannot be used: {0}")]
    Store(StoreError),
    /// The store is closed for now: it failed, or there is no room for it.
    #[error("store is closed until it can be opened again; see why the node is read-only")]
    Closed,
    /// The stored state cannot be read.
    #[error("stored state cannot be read: {0}")]
    Restore(RestoreError),
    /// An entry is none of a twin.
    #[error("log entry {index} cannot be applied: {source}; upgrade this node, or restore the log")]
    Entry {
        /// Which entry.
        index: LogIndex,
        /// What is wrong.
        source: EntryError,
    },
    /// An entry of a kind that this program does not know.
    #[error(
        "log entry {index} is of kind {kind:#06x}, which this program does not know: upgrade it"
    )]
    Kind {
        /// Which entry.
        index: LogIndex,
        /// Its kind.
        kind: u16,
    },
    /// A part is larger than it may be.
    #[error("state of twin `{customer}` cannot be written: {source}")]
    Encode {
        /// Whose twin.
        customer: CustomerId,
        /// Why.
        source: EnvelopeError,
    },
    /// Log and store do not fit, or one of them fails.
    #[error("log cannot be replayed: {0}")]
    Replay(#[source] Box<ReplayError<OpenError>>),
    /// The writer's thread cannot be started.
    #[error("thread of the writer cannot be started")]
    Thread(#[source] std::io::Error),
}

impl OpenError {
    /// Says whether the store must be set aside and rebuilt from the log.
    pub fn needs_rebuild(&self) -> bool {
        match self {
            Self::Store(error) => error.needs_rebuild(),
            Self::Restore(error) => error.needs_rebuild(),
            _ => false,
        }
    }

    /// Says whether a full disk may be the reason, rather than what is on it.
    pub(super) fn may_want_room(&self) -> bool {
        match self {
            Self::Store(StoreError::Io { source, .. }) => is_refusal(source),
            Self::Store(StoreError::Engine { .. }) => true,
            Self::Replay(error) => matches!(**error, ReplayError::Store(_)),
            _ => false,
        }
    }
}
