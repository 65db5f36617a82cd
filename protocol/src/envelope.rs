//! The versioned envelope around everything that is sent or stored as bincode.
//!
//! Layout: magic `TWSC`, envelope version (u16, little endian), kind (u16), body length (u32), CRC-32 of
//! the body (u32), body. bincode has no evolution of its own, so the kind names the exact type, and a
//! changed type gets a new kind. Invariant: no decode allocates more than [`BODY_BYTES_MAX`].

use bincode::config::{Configuration, Limit, LittleEndian, Varint};
use serde::Serialize;
use serde::de::DeserializeOwned;

/// First bytes of every envelope.
pub const MAGIC: [u8; 4] = *b"TWSC";

/// The envelope version that this program writes.
pub const ENVELOPE_VERSION: u16 = 1;

/// Bytes before the body.
pub const HEADER_BYTES: usize = 16;

/// Largest body: a request of the largest number of samples takes about two megabytes.
pub const BODY_BYTES_MAX: usize = 16 * 1024 * 1024;

/// Names the type of a body. Each crate that sends or stores has a range of its own:
///
/// | range | crate |
/// |---|---|
/// | 0x0100 to 0x01ff | `twinscale-twin` |
/// | 0x0300 to 0x03ff | `twinscale` |
/// | 0x0400 to 0x04ff | `twinscale-wire` |
/// | 0x0500 to 0x05ff | `twinscale-meta` |
/// | 0x0600 to 0x06ff | `twinscale-shards` |
/// | 0x0700 to 0x07ff | `twinscale-consensus` |
/// | 0x0800 to 0x08ff | `twinscale-cluster` |
/// | 0x0900 to 0x09ff | `twinscale-inputs` |
/// | 0x7f00 to 0x7fff | tests |
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct EnvelopeKind(pub u16);

/// Why bytes are no envelope.
#[derive(Debug, thiserror::Error)]
pub enum EnvelopeError {
    /// Fewer bytes than announced.
    #[error("envelope is cut: {found} of {wanted} bytes; read it again from its source")]
    Truncated {
        /// Bytes there.
        found: usize,
        /// Bytes announced.
        wanted: usize,
    },
    /// Not an envelope.
    #[error("not an envelope: starts with {found:?}, not {MAGIC:?}")]
    Magic {
        /// The first bytes.
        found: [u8; 4],
    },
    /// Written by a newer program.
    #[error("envelope version {found} is newer than {ENVELOPE_VERSION}: upgrade this node first")]
    Newer {
        /// Its version.
        found: u16,
    },
    /// Another kind than was asked for.
    #[error("envelope kind {found} is not the expected {wanted}")]
    Kind {
        /// Its kind.
        found: u16,
        /// The expected kind.
        wanted: u16,
    },
    /// Larger than allowed.
    #[error("envelope body of {bytes} bytes is above the limit of {BODY_BYTES_MAX}")]
    TooLarge {
        /// Its size.
        bytes: usize,
    },
    /// Damaged.
    #[error("envelope checksum {found:08x} is not the stored {wanted:08x}: the bytes are damaged")]
    Checksum {
        /// Computed.
        found: u32,
        /// Stored.
        wanted: u32,
    },
    /// Bytes behind the body's value.
    #[error("envelope body has {bytes} bytes too many")]
    Trailing {
        /// How many.
        bytes: usize,
    },
    /// The body could not be written.
    #[error("body cannot be encoded")]
    Encode(#[source] bincode::error::EncodeError),
    /// The body is not of its kind.
    #[error("body cannot be decoded")]
    Decode(#[source] bincode::error::DecodeError),
}

type BodyConfiguration = Configuration<LittleEndian, Varint, Limit<BODY_BYTES_MAX>>;

const fn body_configuration() -> BodyConfiguration {
    bincode::config::standard().with_limit::<BODY_BYTES_MAX>()
}

/// Wraps a value.
///
/// # Errors
/// [`EnvelopeError::TooLarge`] and [`EnvelopeError::Encode`].
pub fn seal<T: Serialize>(kind: EnvelopeKind, value: &T) -> Result<Vec<u8>, EnvelopeError> {
    let body = bincode::serde::encode_to_vec(value, body_configuration())
        .map_err(EnvelopeError::Encode)?;
    let length = u32::try_from(body.len()).unwrap_or(u32::MAX);
    if body.len() > BODY_BYTES_MAX {
        return Err(EnvelopeError::TooLarge { bytes: body.len() });
    }
    let mut bytes = Vec::with_capacity(HEADER_BYTES + body.len());
    bytes.extend_from_slice(&MAGIC);
    bytes.extend_from_slice(&ENVELOPE_VERSION.to_le_bytes());
    bytes.extend_from_slice(&kind.0.to_le_bytes());
    bytes.extend_from_slice(&length.to_le_bytes());
    bytes.extend_from_slice(&crc32fast::hash(&body).to_le_bytes());
    bytes.extend_from_slice(&body);
    Ok(bytes)
}

/// Reads which kind an envelope holds, without its body.
///
/// # Errors
/// As [`open`], for the header's part.
pub fn peek_kind(bytes: &[u8]) -> Result<EnvelopeKind, EnvelopeError> {
    header(bytes).map(|header| header.kind)
}

/// Checks a whole envelope, length and checksum included, without decoding its body.
///
/// # Errors
/// As [`open`], but for the kind and the body's own form.
pub fn check(bytes: &[u8]) -> Result<EnvelopeKind, EnvelopeError> {
    let header = header(bytes)?;
    checked_body(&header, bytes)?;
    Ok(header.kind)
}

/// Unwraps a value of the expected kind.
///
/// # Errors
/// [`EnvelopeError`]: every way in which bytes can be wrong; never a panic.
pub fn open<T: DeserializeOwned>(wanted: EnvelopeKind, bytes: &[u8]) -> Result<T, EnvelopeError> {
    let header = header(bytes)?;
    if header.kind != wanted {
        return Err(EnvelopeError::Kind {
            found: header.kind.0,
            wanted: wanted.0,
        });
    }
    let body = checked_body(&header, bytes)?;
    let (value, used) = bincode::serde::decode_from_slice(body, body_configuration())
        .map_err(EnvelopeError::Decode)?;
    if used == body.len() {
        Ok(value)
    } else {
        Err(EnvelopeError::Trailing {
            bytes: body.len() - used,
        })
    }
}

fn checked_body<'a>(header: &Header, bytes: &'a [u8]) -> Result<&'a [u8], EnvelopeError> {
    let body = bytes.get(HEADER_BYTES..).unwrap_or_default();
    if body.len() < header.body_bytes {
        return Err(EnvelopeError::Truncated {
            found: bytes.len(),
            wanted: HEADER_BYTES + header.body_bytes,
        });
    }
    if body.len() > header.body_bytes {
        return Err(EnvelopeError::Trailing {
            bytes: body.len() - header.body_bytes,
        });
    }
    let found = crc32fast::hash(body);
    if found != header.checksum {
        return Err(EnvelopeError::Checksum {
            found,
            wanted: header.checksum,
        });
    }
    Ok(body)
}

struct Header {
    kind: EnvelopeKind,
    body_bytes: usize,
    checksum: u32,
}

fn header(bytes: &[u8]) -> Result<Header, EnvelopeError> {
    let cut = EnvelopeError::Truncated {
        found: bytes.len(),
        wanted: HEADER_BYTES,
    };
    let Some((magic, rest)) = bytes.split_first_chunk::<4>() else {
        return Err(cut);
    };
    if *magic != MAGIC {
        return Err(EnvelopeError::Magic { found: *magic });
    }
    let Some((version, rest)) = rest.split_first_chunk::<2>() else {
        return Err(cut);
    };
    let version = u16::from_le_bytes(*version);
    if version > ENVELOPE_VERSION {
        return Err(EnvelopeError::Newer { found: version });
    }
    let Some((kind, rest)) = rest.split_first_chunk::<2>() else {
        return Err(cut);
    };
    let Some((length, rest)) = rest.split_first_chunk::<4>() else {
        return Err(cut);
    };
    let Some(checksum) = rest.first_chunk::<4>() else {
        return Err(cut);
    };
    let body_bytes = usize::try_from(u32::from_le_bytes(*length)).unwrap_or(usize::MAX);
    if body_bytes > BODY_BYTES_MAX {
        return Err(EnvelopeError::TooLarge { bytes: body_bytes });
    }
    Ok(Header {
        kind: EnvelopeKind(u16::from_le_bytes(*kind)),
        body_bytes,
        checksum: u32::from_le_bytes(*checksum),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ids::{MetricName, VmTypeId};
    use crate::series::{Sample, SeriesKey};
    use crate::units::{DomainTime, FixedValue};
    use proptest::prelude::*;

    const KIND: EnvelopeKind = EnvelopeKind(7);

    fn sample() -> Sample {
        Sample {
            series: SeriesKey {
                vm_type: VmTypeId::new("typeB").expect("an id"),
                metric: MetricName::new("vm_count").expect("an id"),
            },
            at: DomainTime(1_700_000_000),
            value: FixedValue(42_500_000),
        }
    }

    #[test]
    fn golden_bytes_stay_readable() {
        const GOLDEN: &[u8] = &[
            84, 87, 83, 67, 1, 0, 7, 0, 25, 0, 0, 0, 198, 75, 29, 61, 5, 116, 121, 112, 101, 66, 8,
            118, 109, 95, 99, 111, 117, 110, 116, 252, 0, 226, 167, 202, 252, 64, 255, 16, 5,
        ];
        assert_eq!(seal(KIND, &sample()).expect("encodes"), GOLDEN);
        assert_eq!(open::<Sample>(KIND, GOLDEN).expect("decodes"), sample());
    }

    #[test]
    fn each_damage_has_its_error() {
        let good = seal(KIND, &sample()).expect("encodes");
        let with = |index: usize, value: u8| {
            let mut bytes = good.clone();
            bytes[index] = value;
            open::<Sample>(KIND, &bytes).expect_err("damaged")
        };
        assert!(matches!(with(0, 0), EnvelopeError::Magic { .. }));
        assert!(matches!(with(4, 9), EnvelopeError::Newer { found: 9 }));
        assert!(matches!(
            with(6, 8),
            EnvelopeError::Kind {
                found: 8,
                wanted: 7
            }
        ));
        assert!(matches!(with(11, 255), EnvelopeError::TooLarge { .. }));
        assert!(matches!(with(20, 255), EnvelopeError::Checksum { .. }));
        assert_eq!(check(&good).expect("an envelope"), KIND);
        assert!(matches!(
            check(&good[..good.len() - 1]),
            Err(EnvelopeError::Truncated { .. })
        ));
        let mut long = good.clone();
        long.push(0);
        assert!(matches!(
            open::<Sample>(KIND, &long),
            Err(EnvelopeError::Trailing { bytes: 1 })
        ));
    }

    #[test]
    fn a_bomb_is_refused_before_it_is_allocated() {
        // A vector that claims 2^62 entries in a body of ten bytes.
        let body = [253, 0, 0, 0, 0, 0, 0, 0, 64, 0];
        let mut bytes = MAGIC.to_vec();
        bytes.extend_from_slice(&1_u16.to_le_bytes());
        bytes.extend_from_slice(&7_u16.to_le_bytes());
        bytes.extend_from_slice(&10_u32.to_le_bytes());
        bytes.extend_from_slice(&crc32fast::hash(&body).to_le_bytes());
        bytes.extend_from_slice(&body);
        assert!(matches!(
            open::<Vec<u64>>(KIND, &bytes),
            Err(EnvelopeError::Decode(_))
        ));
    }

    proptest! {
        #[test]
        fn bytes_off_the_wire_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            prop_assert!(open::<Sample>(KIND, &bytes).is_err());
            prop_assert!(check(&bytes).is_err());
        }

        #[test]
        fn any_cut_is_an_error(cut in 0_usize..41) {
            let good = seal(KIND, &sample()).expect("encodes");
            prop_assert!(open::<Sample>(KIND, &good[..cut.min(good.len() - 1)]).is_err());
        }
    }
}
