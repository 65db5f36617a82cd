//! Chunks of weights files as they travel between nodes.

use crate::limits::{CARD_BYTES_MAX, CHUNK_BYTES, WEIGHTS_BYTES_MAX};
use serde::{Deserialize, Serialize};
use std::fmt;
use twinscale_protocol::envelope::EnvelopeKind;

/// A [`ChunkCall`].
pub const CHUNK_REQUEST: EnvelopeKind = EnvelopeKind(0x0830);

/// A [`ChunkReply`].
pub const CHUNK_REPLY: EnvelopeKind = EnvelopeKind(0x0831);

/// One of the two files of weights.
///
/// Invariant: variants travel by their place, so new ones come last.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Part {
    /// The weights.
    Weights,
    /// Their card.
    Card,
}

impl Part {
    /// Most bytes of it.
    pub const fn bytes_max(self) -> u64 {
        match self {
            Self::Weights => WEIGHTS_BYTES_MAX,
            Self::Card => CARD_BYTES_MAX,
        }
    }
}

impl fmt::Display for Part {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Weights => "weights",
            Self::Card => "card",
        })
    }
}

/// Asks for a chunk of a file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ChunkCall {
    /// SHA-256 of the weights that the file belongs to.
    pub digest: [u8; 32],
    /// Which file.
    pub part: Part,
    /// From which byte on.
    pub offset: u64,
}

/// A chunk of a file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ChunkReply {
    /// From the byte on that was asked for; at most [`CHUNK_BYTES`], none at the end.
    pub bytes: Vec<u8>,
}

impl ChunkCall {
    /// How many bytes are to be read of a file of a length; none behind its end.
    pub fn length_in(&self, total: u64) -> usize {
        let left = total.saturating_sub(self.offset).min(CHUNK_BYTES);
        usize::try_from(left).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use twinscale_protocol::envelope::{HEADER_BYTES, open, seal};

    #[test]
    fn golden_bytes_of_chunks() {
        let call = ChunkCall {
            digest: [7; 32],
            part: Part::Card,
            offset: 300,
        };
        let bytes = seal(CHUNK_REQUEST, &call).expect("encodes");
        let golden = [&[7; 32][..], &[1, 251, 44, 1]].concat();
        assert_eq!(&bytes[HEADER_BYTES..], golden);
        assert_eq!(
            open::<ChunkCall>(CHUNK_REQUEST, &bytes).expect("decodes"),
            call
        );
        let reply = ChunkReply { bytes: vec![1, 2] };
        let bytes = seal(CHUNK_REPLY, &reply).expect("encodes");
        assert_eq!(&bytes[HEADER_BYTES..], [2, 1, 2]);
    }

    #[test]
    fn chunks_end_with_the_file() {
        let at = |offset| ChunkCall {
            digest: [0; 32],
            part: Part::Weights,
            offset,
        };
        let total = 2 * CHUNK_BYTES + 5;
        let whole = usize::try_from(CHUNK_BYTES).expect("small");
        for (offset, length) in [(0, whole), (2 * CHUNK_BYTES, 5), (total, 0), (u64::MAX, 0)] {
            assert_eq!(at(offset).length_in(total), length, "{offset}");
        }
    }
}
