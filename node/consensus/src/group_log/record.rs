//! What stands in the node's log: records of all groups, each of a kind.
//!
//! A changed record gets a new kind; the golden bytes of each kind are in the tests.

use bincode::config::{Configuration, Limit, LittleEndian, Varint};
use serde::Serialize;
use serde::de::DeserializeOwned;
use twinscale_log::{Command, PAYLOAD_BYTES_MAX};

use crate::ids::{GroupId, LogPosition, StoredVote};
use crate::types::{Entry, EntryRecord, Vote};

const ENTRY: u16 = 0x0101;
const VOTE: u16 = 0x0102;
const COMMITTED: u16 = 0x0103;
const TRUNCATED: u16 = 0x0104;
const PURGED: u16 = 0x0105;
const PROBE: u16 = 0x0106;
const ERASED: u16 = 0x0107;

/// One record of the node's log.
#[derive(Clone, Debug)]
pub(crate) enum Record {
    /// An entry of a group.
    Entry(GroupId, Entry),
    /// The latest vote of a group.
    Vote(GroupId, Vote),
    /// A lower bound of what a group has committed.
    Committed(GroupId, LogPosition),
    /// The entries of a group from this index on are no more.
    Truncated(GroupId, u64),
    /// The entries of a group through this place are no more: a snapshot covers them.
    Purged(GroupId, LogPosition),
    /// All of a group is no more, its vote included: its replica was deleted.
    Erased(GroupId),
    /// Nothing; written to see whether the disk takes writes again.
    Probe,
}

/// Why a record cannot be written or read.
#[derive(Clone, Debug, thiserror::Error)]
pub enum RecordError {
    /// The value does not fit the format.
    #[error("record cannot be encoded: {reason}; split the batch")]
    Encode {
        /// What the encoder said.
        reason: String,
    },
    /// The bytes are no record of the kind.
    #[error("record of kind {kind:#06x} cannot be decoded: {reason}")]
    Decode {
        /// The kind.
        kind: u16,
        /// What the decoder said.
        reason: String,
    },
    /// A kind that this build does not know.
    #[error("record kind {kind:#06x} is unknown; run the newer build that wrote it")]
    Unknown {
        /// The kind.
        kind: u16,
    },
}

type RecordConfiguration = Configuration<LittleEndian, Varint, Limit<PAYLOAD_BYTES_MAX>>;

const fn configuration() -> RecordConfiguration {
    bincode::config::standard().with_limit::<PAYLOAD_BYTES_MAX>()
}

fn encode<T: Serialize>(kind: u16, value: &T) -> Result<Command, RecordError> {
    let payload = bincode::serde::encode_to_vec(value, configuration()).map_err(|error| {
        RecordError::Encode {
            reason: error.to_string(),
        }
    })?;
    Ok(Command { kind, payload })
}

fn decode<T: DeserializeOwned>(kind: u16, payload: &[u8]) -> Result<T, RecordError> {
    let failed = |reason: String| RecordError::Decode { kind, reason };
    let (value, used) = bincode::serde::decode_from_slice(payload, configuration())
        .map_err(|error| failed(error.to_string()))?;
    if used == payload.len() {
        Ok(value)
    } else {
        Err(failed(format!("{} bytes too many", payload.len() - used)))
    }
}

impl Record {
    pub(crate) fn encode(&self) -> Result<Command, RecordError> {
        match self {
            Self::Entry(group, entry) => encode(ENTRY, &(*group, EntryRecord::from(entry))),
            Self::Vote(group, vote) => encode(VOTE, &(*group, StoredVote::from(*vote))),
            Self::Committed(group, position) => encode(COMMITTED, &(*group, *position)),
            Self::Truncated(group, since) => encode(TRUNCATED, &(*group, *since)),
            Self::Purged(group, through) => encode(PURGED, &(*group, *through)),
            Self::Erased(group) => encode(ERASED, group),
            Self::Probe => encode(PROBE, &()),
        }
    }

    pub(crate) fn decode(kind: u16, payload: &[u8]) -> Result<Self, RecordError> {
        Ok(match kind {
            ENTRY => {
                let (group, entry): (GroupId, EntryRecord) = decode(kind, payload)?;
                Self::Entry(group, entry.into())
            }
            VOTE => {
                let (group, vote): (GroupId, StoredVote) = decode(kind, payload)?;
                Self::Vote(group, vote.into())
            }
            COMMITTED => {
                let (group, position) = decode(kind, payload)?;
                Self::Committed(group, position)
            }
            TRUNCATED => {
                let (group, since) = decode(kind, payload)?;
                Self::Truncated(group, since)
            }
            PURGED => {
                let (group, through) = decode(kind, payload)?;
                Self::Purged(group, through)
            }
            ERASED => Self::Erased(decode(kind, payload)?),
            PROBE => {
                let () = decode(kind, payload)?;
                Self::Probe
            }
            _ => return Err(RecordError::Unknown { kind }),
        })
    }

    /// Returns the group that the record belongs to.
    pub(crate) fn group(&self) -> Option<GroupId> {
        match self {
            Self::Entry(group, _)
            | Self::Vote(group, _)
            | Self::Committed(group, _)
            | Self::Truncated(group, _)
            | Self::Purged(group, _)
            | Self::Erased(group) => Some(*group),
            Self::Probe => None,
        }
    }
}
