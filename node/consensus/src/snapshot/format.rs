//! The bytes of a snapshot file. Pure: no IO.
//!
//! | part | bytes |
//! |---|---|
//! | magic `TWINSNP1` | 8 |
//! | group, length of the mark | 4 + 4 |
//! | mark | as told |
//! | crc32 of all before | 4 |
//! | per chunk: length (not 0), crc32 of the chunk's number and bytes, bytes | 4 + 4 + length |
//! | end: length 0, number of chunks, bytes in them, SHA-256 of header and contents | 4 + 8 + 8 + 32 |
//!
//! All integers are little-endian.

use sha2::{Digest, Sha256};

use crate::ids::GroupId;

pub(super) const MAGIC: [u8; 8] = *b"TWINSNP1";

/// The fixed part of the header, in bytes.
pub(super) const HEADER_BYTES: usize = 16;

/// The largest mark, in bytes.
pub(super) const MARK_BYTES_MAX: usize = 1 << 20;

/// How much one chunk holds, in bytes.
pub(super) const CHUNK_BYTES: usize = 256 << 10;

/// A chunk's own header, in bytes.
pub(super) const CHUNK_HEADER_BYTES: usize = 8;

/// The end, in bytes.
pub(super) const END_BYTES: usize = 4 + 8 + 8 + 32;

/// What the end says about all before it.
#[derive(Clone, Debug)]
pub(super) struct Totals {
    pub(super) chunks: u64,
    pub(super) bytes: u64,
    digest: Sha256,
}

impl Totals {
    pub(super) fn of_header(header: &[u8]) -> Self {
        Self {
            chunks: 0,
            bytes: 0,
            digest: Sha256::new_with_prefix(header),
        }
    }

    /// Counts the next chunk and returns its checksum, which covers its number too.
    pub(super) fn add(&mut self, chunk: &[u8]) -> u32 {
        let mut checksum = crc32fast::Hasher::new();
        checksum.update(&self.chunks.to_le_bytes());
        checksum.update(chunk);
        self.chunks += 1;
        self.bytes += chunk.len() as u64;
        self.digest.update(chunk);
        checksum.finalize()
    }

    pub(super) fn encode_end(self) -> Vec<u8> {
        let mut bytes = vec![0; 4];
        bytes.extend_from_slice(&self.chunks.to_le_bytes());
        bytes.extend_from_slice(&self.bytes.to_le_bytes());
        bytes.extend_from_slice(&self.digest.finalize());
        bytes
    }
}

/// Returns the header with its checksum.
pub(super) fn encode_header(group: GroupId, mark: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(HEADER_BYTES + mark.len() + 4);
    bytes.extend_from_slice(&MAGIC);
    bytes.extend_from_slice(&group.0.to_le_bytes());
    bytes.extend_from_slice(&u32::try_from(mark.len()).unwrap_or(u32::MAX).to_le_bytes());
    bytes.extend_from_slice(mark);
    let checksum = crc32fast::hash(&bytes);
    bytes.extend_from_slice(&checksum.to_le_bytes());
    bytes
}

/// Reads the fixed part: the group and how many bytes the mark has.
pub(super) fn decode_header(bytes: &[u8; HEADER_BYTES]) -> Option<(GroupId, usize)> {
    let (magic, rest) = bytes.split_first_chunk::<8>()?;
    let (group, rest) = rest.split_first_chunk::<4>()?;
    let mark_bytes = u32::from_le_bytes(*rest.first_chunk::<4>()?);
    let mark_bytes = usize::try_from(mark_bytes).ok()?;
    let is_sound = *magic == MAGIC && mark_bytes <= MARK_BYTES_MAX;
    is_sound.then(|| (GroupId(u32::from_le_bytes(*group)), mark_bytes))
}
