//! An envelope that was checked: what the wire carries.

use bytes::Bytes;
use serde::Serialize;
use serde::de::DeserializeOwned;
use twinscale_protocol::envelope::{
    self, BODY_BYTES_MAX, EnvelopeError, EnvelopeKind, HEADER_BYTES,
};

/// Largest envelope.
pub const ENVELOPE_BYTES_MAX: usize = HEADER_BYTES + BODY_BYTES_MAX;

/// A whole envelope with the right length and checksum; clones share the bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Envelope {
    kind: EnvelopeKind,
    bytes: Bytes,
}

impl Envelope {
    /// Wraps a value.
    ///
    /// # Errors
    /// [`EnvelopeError::TooLarge`] and [`EnvelopeError::Encode`].
    pub fn seal<T: Serialize>(kind: EnvelopeKind, value: &T) -> Result<Self, EnvelopeError> {
        let bytes = Bytes::from(envelope::seal(kind, value)?);
        Ok(Self { kind, bytes })
    }

    /// Checks bytes from elsewhere, without decoding the body.
    ///
    /// # Errors
    /// [`EnvelopeError`] for bytes that are no whole envelope.
    pub fn checked(bytes: Bytes) -> Result<Self, EnvelopeError> {
        let kind = envelope::check(&bytes)?;
        Ok(Self { kind, bytes })
    }

    /// Unwraps a value of the expected kind.
    ///
    /// # Errors
    /// [`EnvelopeError`] for another kind, or a body that is not of its kind.
    pub fn open<T: DeserializeOwned>(&self, wanted: EnvelopeKind) -> Result<T, EnvelopeError> {
        envelope::open(wanted, &self.bytes)
    }

    /// Names the type of the body.
    pub fn kind(&self) -> EnvelopeKind {
        self.kind
    }

    /// The envelope as it is sent.
    pub fn bytes(&self) -> &Bytes {
        &self.bytes
    }
}
