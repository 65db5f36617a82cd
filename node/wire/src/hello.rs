//! The first exchange on a connection.
//!
//! In TLS 1.3 a client learns only after its handshake that its certificate was refused. A connection is
//! used when both ends have greeted, so that a refusal is told as such and fails no call.

use serde::{Deserialize, Serialize};
use twinscale_protocol::envelope::EnvelopeKind;

/// The kind of [`HelloV1`]; 0x0400 to 0x040f belong to the wire.
pub(crate) const HELLO: EnvelopeKind = EnvelopeKind(0x0400);

/// What an end says of itself. It is for people and for logs: nothing is decided by it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct HelloV1 {
    pub(crate) version: String,
}

impl HelloV1 {
    pub(crate) fn own() -> Self {
        Self {
            version: env!("CARGO_PKG_VERSION").to_owned(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::envelope::Envelope;

    #[test]
    fn golden_bytes_stay_readable() {
        const GOLDEN: &[u8] = &[
            84, 87, 83, 67, 1, 0, 0, 4, 6, 0, 0, 0, 188, 230, 180, 8, 5, 48, 46, 49, 46, 48,
        ];
        let hello = HelloV1 {
            version: "0.1.0".to_owned(),
        };
        let sealed = Envelope::seal(HELLO, &hello).expect("encodes");
        assert_eq!(sealed.bytes().as_ref(), GOLDEN);
        assert_eq!(sealed.open::<HelloV1>(HELLO).expect("decodes"), hello);
    }
}
