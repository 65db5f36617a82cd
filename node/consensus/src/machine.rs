//! What the owner of a group gives: the state that committed entries change.

use std::fmt;
use std::io::Read;

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use crate::ids::LogPosition;
use crate::types::{LogId, MembershipRecord, StoredMembership};

/// How far a state has applied the log of its group; opaque but for the place.
///
/// The owner stores its bytes together with the state, in one atomic write, and gives them back after a
/// restart: consensus needs the members that were applied beside the place.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AppliedMark {
    position: LogPosition,
    membership_position: Option<LogPosition>,
    membership: MembershipRecord,
}

/// Stored marks start with this byte; a changed layout gets another.
const MARK_VERSION: u8 = 1;

/// A mark of a few thousand nodes is far smaller.
const MARK_BYTES_MAX: usize = 1 << 20;

/// Bytes that are no mark.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{bytes} bytes are no applied mark: {reason}; rebuild the state from a snapshot or a peer")]
pub struct MarkError {
    bytes: usize,
    reason: String,
}

impl AppliedMark {
    pub(crate) fn new(applied: LogId, membership: &StoredMembership) -> Self {
        Self {
            position: applied.into(),
            membership_position: membership.log_id().map(Into::into),
            membership: membership.membership().into(),
        }
    }

    /// Returns the last place that the state has applied.
    pub fn position(&self) -> LogPosition {
        self.position
    }

    pub(crate) fn stored_membership(&self) -> StoredMembership {
        StoredMembership::new(
            self.membership_position.map(Into::into),
            self.membership.clone().into(),
        )
    }

    /// Returns the bytes to store with the state.
    #[expect(
        clippy::missing_panics_doc,
        reason = "a mark is a few numbers and lists, which always have an encoding"
    )]
    pub fn to_bytes(&self) -> Vec<u8> {
        let body = bincode::serde::encode_to_vec(self, bincode::config::standard())
            .expect("numbers and lists have an encoding");
        let mut bytes = vec![MARK_VERSION];
        bytes.extend(body);
        bytes
    }

    /// Reads bytes that were stored with a state.
    ///
    /// # Errors
    /// [`MarkError`] when they are damaged or of a newer build.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, MarkError> {
        let failed = |reason: String| MarkError {
            bytes: bytes.len(),
            reason,
        };
        let Some((version, body)) = bytes.split_first() else {
            return Err(failed("nothing is there".to_owned()));
        };
        if *version != MARK_VERSION {
            return Err(failed(format!("version {version} is unknown")));
        }
        let config = bincode::config::standard().with_limit::<MARK_BYTES_MAX>();
        let (mark, used) = bincode::serde::decode_from_slice(body, config)
            .map_err(|error| failed(error.to_string()))?;
        if used == body.len() {
            Ok(mark)
        } else {
            Err(failed(format!("{} bytes too many", body.len() - used)))
        }
    }
}

/// A committed proposal.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CommittedBatch {
    /// Its place; its term is the generation under which it was proposed.
    pub position: LogPosition,
    /// The commands, as they were proposed.
    pub commands: Bytes,
}

/// A copy of a state at one place of the log.
pub struct StateImage {
    /// How far the state had applied the log.
    pub mark: AppliedMark,
    /// Its bytes, which no longer change.
    pub contents: Box<dyn Read + Send>,
}

impl fmt::Debug for StateImage {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("StateImage")
            .field("mark", &self.mark)
            .finish_non_exhaustive()
    }
}

/// Why a state could not do what was asked; its group stops until it is started again.
#[derive(Debug, thiserror::Error)]
#[error("state machine failed")]
pub struct MachineError(#[source] Box<dyn std::error::Error + Send + Sync>);

impl MachineError {
    /// Wraps what the owner of the state says.
    pub fn new(source: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Self {
        Self(source.into())
    }

    /// Returns the error with its cause in one line.
    pub(crate) fn describe(&self) -> String {
        format!("{self}: {}", self.0)
    }
}

/// The state of one group. Calls come one at a time, on threads that may block.
///
/// What it returns from `applied` after a restart must be what its state holds; it may lie behind what was
/// applied before the restart, for the log and the snapshots bring it up again.
pub trait StateMachine: Send + Sync + 'static {
    /// Returns the mark that is stored with the state; none when nothing was ever applied.
    ///
    /// # Errors
    /// When the state cannot be read.
    fn applied(&self) -> Result<Option<AppliedMark>, MachineError>;

    /// Applies committed proposals in order, stores the mark with the state, and returns one response each.
    ///
    /// The list may be empty: then only the mark changes. A batch may be applied again after a restart, if
    /// the state of before was not durable.
    ///
    /// # Errors
    /// Only when the state can no longer follow; a command that makes no sense is no error but a response.
    fn apply(
        &self,
        batches: &[CommittedBatch],
        mark: &AppliedMark,
    ) -> Result<Vec<Bytes>, MachineError>;

    /// Takes a copy of the state at its present mark, under its own lock; none when nothing was applied.
    ///
    /// # Errors
    /// When the state cannot be read.
    fn image(&self) -> Result<Option<StateImage>, MachineError>;

    /// Replaces the state and its mark by those of an image, atomically.
    ///
    /// The bytes were checked against their checksums before the call.
    ///
    /// # Errors
    /// When they are no state of this kind; the old state must then still be there.
    fn install(&self, mark: &AppliedMark, contents: &mut dyn Read) -> Result<(), MachineError>;
}
