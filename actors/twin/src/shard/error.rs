//! Why a shard cannot go on, or takes no snapshot.

use crate::host::OpenError;
use crate::state::RestoreError;
use twinscale_log::LogIndex;
use twinscale_protocol::envelope::EnvelopeError;
use twinscale_protocol::{CustomerId, ShardId};
use twinscale_store::StoreError;

/// Why a shard cannot go on, or takes no snapshot.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ShardError {
    /// An entry was written by a newer program: applying it half would make this replica another one.
    #[error(
        "entry {index} of shard {shard} was written by a newer program: upgrade this node, it then goes \
         on from there"
    )]
    Newer {
        /// The shard.
        shard: ShardId,
        /// The entry.
        index: LogIndex,
        /// Which version.
        #[source]
        source: EnvelopeError,
    },
    /// An entry is none of a shard: no replica can apply it.
    #[error("entry {index} of shard {shard} is no batch of commands: report a defect")]
    Entry {
        /// The shard.
        shard: ShardId,
        /// The entry.
        index: LogIndex,
        /// What is wrong.
        #[source]
        source: EnvelopeError,
    },
    /// Entries came out of order.
    #[error(
        "shard {shard} is applied through {applied} and was given entry {given}: report a defect"
    )]
    Order {
        /// The shard.
        shard: ShardId,
        /// The last applied entry.
        applied: LogIndex,
        /// The entry.
        given: LogIndex,
    },
    /// A twin cannot be written.
    #[error("state of twin `{customer}` cannot be encoded")]
    Encode {
        /// Whose twin.
        customer: CustomerId,
        /// Why.
        #[source]
        source: EnvelopeError,
    },
    /// The shard's own marks cannot be written or read.
    #[error("marks of shard {shard} cannot be read or written")]
    Mark {
        /// The shard.
        shard: ShardId,
        /// Why.
        #[source]
        source: EnvelopeError,
    },
    /// Stored parts are no state.
    #[error("stored twins of the shards cannot be read")]
    Restore(#[source] RestoreError),
    /// The store failed.
    #[error("store of the shards failed")]
    Store(#[source] StoreError),
    /// A snapshot is not whole, not sound, or of another shard: nothing of it was taken.
    #[error(
        "snapshot for shard {shard} was refused, nothing of it was taken: {reason}; send it again"
    )]
    Snapshot {
        /// The shard.
        shard: ShardId,
        /// What is wrong.
        reason: String,
    },
}

impl ShardError {
    /// What reading or writing a twin of the store came to.
    pub(super) fn of_open(error: OpenError) -> Self {
        match error {
            OpenError::Restore(source) => Self::Restore(source),
            OpenError::Store(source) => Self::Store(source),
            OpenError::Encode { customer, source } => Self::Encode { customer, source },
            other => Self::Restore(RestoreError::Key {
                key: other.to_string(),
            }),
        }
    }

    /// Says whether the store must be set aside and rebuilt from log or snapshot.
    pub fn needs_rebuild(&self) -> bool {
        match self {
            Self::Restore(_) | Self::Mark { .. } => true,
            Self::Store(error) => matches!(error, StoreError::Broken { .. }),
            _ => false,
        }
    }
}
