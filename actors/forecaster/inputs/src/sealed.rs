//! State as bytes: the protocol's envelope, a kind each.

use serde::Serialize;
use serde::de::DeserializeOwned;
use twinscale_protocol::envelope::{self, EnvelopeError, EnvelopeKind};

/// The state of a template miner, version 1.
pub(crate) const MINER: EnvelopeKind = EnvelopeKind(0x0900);

/// The state of the rates of a log, version 1.
pub(crate) const LOG_RATES: EnvelopeKind = EnvelopeKind(0x0901);

/// The state of an activity counter, version 1.
pub(crate) const ACTIVITY: EnvelopeKind = EnvelopeKind(0x0902);

/// Why bytes are no state of this crate, or not of these settings.
#[derive(Debug, thiserror::Error)]
pub enum StateError {
    /// Not such an envelope, damaged, or of another version.
    #[error("state of {what} cannot be read")]
    Envelope {
        /// What it should be the state of.
        what: &'static str,
        /// Why.
        #[source]
        source: EnvelopeError,
    },
    /// Hashed under another secret.
    #[error(
        "state of {what} belongs to another secret: give the one it was made with, or start anew"
    )]
    Secret {
        /// What it is the state of.
        what: &'static str,
    },
    /// Larger or other than this program would write.
    #[error("state of {what} is not usable: {rule}; start anew")]
    Rule {
        /// What it is the state of.
        what: &'static str,
        /// The rule that it breaks.
        rule: &'static str,
    },
}

pub(crate) fn seal<T: Serialize>(
    what: &'static str,
    kind: EnvelopeKind,
    value: &T,
) -> Result<Vec<u8>, StateError> {
    envelope::seal(kind, value).map_err(|source| StateError::Envelope { what, source })
}

pub(crate) fn open<T: DeserializeOwned>(
    what: &'static str,
    kind: EnvelopeKind,
    bytes: &[u8],
) -> Result<T, StateError> {
    envelope::open(kind, bytes).map_err(|source| StateError::Envelope { what, source })
}
