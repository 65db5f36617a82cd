//! The bytes on disk. Pure: no IO.
//!
//! A segment is a 32-byte header and records. All integers are little-endian.
//!
//! | segment header | bytes | | record header | bytes |
//! |---|---|---|---|---|
//! | magic `TWINSLOG` | 8 | | crc32 of the offset and of the rest of the header | 4 |
//! | format version | 4 | | payload length | 4 |
//! | reserved, 0 | 4 | | index | 8 |
//! | first index | 8 | | first index of the batch | 8 |
//! | crc32 of the above | 4 | | generation | 8 |
//! | reserved, 0 | 4 | | kind | 2 |
//! | | | | reserved, 0 | 2 |
//! | | | | crc32 of the payload | 4 |
//!
//! The layout of the segment header never changes; the version governs what follows it. A record
//! names the first index of its batch (the bytes that shared one fdatasync). A batch is written
//! only after the one before is durable, so a later batch proves that earlier damage is no torn
//! write. The record's own offset goes into its checksum: a copy of a record elsewhere, such as
//! inside a payload, is no record.

use crate::command::LogIndex;

/// The newest format that this build reads and the one it writes.
pub const FORMAT_VERSION: u32 = 1;

/// The largest payload of one command, in bytes: 16 MiB, far above any command of the product.
pub const PAYLOAD_BYTES_MAX: usize = 16 << 20;

/// The size of a segment's header, in bytes.
pub(crate) const SEGMENT_HEADER_BYTES: usize = 32;

/// The size of a record's header, in bytes.
pub(crate) const RECORD_HEADER_BYTES: usize = 40;

const SEGMENT_MAGIC: [u8; 8] = *b"TWINSLOG";
const SEGMENT_PREFIX: &str = "segment-";
const SEGMENT_SUFFIX: &str = ".log";
const SEGMENT_DIGITS: usize = 20;

/// What a segment's header says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum SegmentHeader {
    /// A header of a version that this build reads.
    Readable { first_index: LogIndex },
    /// A sound header of a newer version.
    TooNew { version: u32 },
    /// Not a header, or a damaged one.
    Damaged,
}

/// A record's header whose checksum holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct RecordHeader {
    pub(crate) payload_bytes: usize,
    pub(crate) index: LogIndex,
    pub(crate) batch_first_index: LogIndex,
    pub(crate) generation: u64,
    pub(crate) kind: u16,
    pub(crate) payload_crc: u32,
}

/// Returns the file name of the segment that starts at an index.
pub(crate) fn segment_name(first_index: LogIndex) -> String {
    format!("{SEGMENT_PREFIX}{:020}{SEGMENT_SUFFIX}", first_index.get())
}

/// Returns the first index that a segment's file name states; `None` for other names.
pub(crate) fn segment_first_index(name: &str) -> Option<LogIndex> {
    let digits = name
        .strip_prefix(SEGMENT_PREFIX)?
        .strip_suffix(SEGMENT_SUFFIX)?;
    if digits.len() != SEGMENT_DIGITS || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    digits.parse().ok().map(LogIndex::new)
}

/// Encodes the header of a segment.
pub(crate) fn encode_segment_header(first_index: LogIndex) -> Vec<u8> {
    encode_segment_header_of_version(FORMAT_VERSION, first_index)
}

/// Encodes the header of a segment of any version.
pub(crate) fn encode_segment_header_of_version(version: u32, first_index: LogIndex) -> Vec<u8> {
    let mut header = Vec::with_capacity(SEGMENT_HEADER_BYTES);
    header.extend_from_slice(&SEGMENT_MAGIC);
    header.extend_from_slice(&version.to_le_bytes());
    header.extend_from_slice(&[0; 4]);
    header.extend_from_slice(&first_index.get().to_le_bytes());
    let crc = crc32fast::hash(&header);
    header.extend_from_slice(&crc.to_le_bytes());
    header.extend_from_slice(&[0; 4]);
    assert_eq!(header.len(), SEGMENT_HEADER_BYTES, "layout of the header");
    header
}

/// Decodes the header of a segment.
pub(crate) fn decode_segment_header(bytes: &[u8; SEGMENT_HEADER_BYTES]) -> SegmentHeader {
    let mut fields = Fields::new(bytes);
    let magic: [u8; 8] = fields.take();
    let version = u32::from_le_bytes(fields.take());
    let _reserved: [u8; 4] = fields.take();
    let first_index = u64::from_le_bytes(fields.take());
    let crc = u32::from_le_bytes(fields.take());
    let reserved: [u8; 4] = fields.take();
    let covered = bytes.get(..24).unwrap_or_default();
    if magic != SEGMENT_MAGIC || crc != crc32fast::hash(covered) || version == 0 {
        return SegmentHeader::Damaged;
    }
    if version > FORMAT_VERSION {
        return SegmentHeader::TooNew { version };
    }
    if reserved != [0; 4] || first_index == 0 {
        return SegmentHeader::Damaged;
    }
    SegmentHeader::Readable {
        first_index: LogIndex::new(first_index),
    }
}

/// Appends a record to `buffer`, which will be written so that the record begins at `offset`.
pub(crate) fn encode_record(
    buffer: &mut Vec<u8>,
    offset: u64,
    place: RecordPlace,
    kind: u16,
    payload: &[u8],
) {
    assert!(payload.len() <= PAYLOAD_BYTES_MAX, "checked when proposed");
    let payload_bytes = u32::try_from(payload.len()).unwrap_or(u32::MAX);
    let mut covered = Vec::with_capacity(RECORD_HEADER_BYTES);
    covered.extend_from_slice(&payload_bytes.to_le_bytes());
    covered.extend_from_slice(&place.index.get().to_le_bytes());
    covered.extend_from_slice(&place.batch_first_index.get().to_le_bytes());
    covered.extend_from_slice(&place.generation.to_le_bytes());
    covered.extend_from_slice(&kind.to_le_bytes());
    covered.extend_from_slice(&[0; 2]);
    covered.extend_from_slice(&crc32fast::hash(payload).to_le_bytes());
    assert_eq!(covered.len() + 4, RECORD_HEADER_BYTES, "layout of a record");
    buffer.extend_from_slice(&record_header_crc(offset, &covered).to_le_bytes());
    buffer.extend_from_slice(&covered);
    buffer.extend_from_slice(payload);
}

/// Where a record stands in the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct RecordPlace {
    pub(crate) index: LogIndex,
    pub(crate) batch_first_index: LogIndex,
    pub(crate) generation: u64,
}

/// Decodes a record's header found at `offset`; `None` unless its checksum and limits hold.
pub(crate) fn decode_record_header(
    bytes: &[u8; RECORD_HEADER_BYTES],
    offset: u64,
) -> Option<RecordHeader> {
    let mut fields = Fields::new(bytes);
    let crc = u32::from_le_bytes(fields.take());
    let payload_bytes = u32::from_le_bytes(fields.take());
    let index = u64::from_le_bytes(fields.take());
    let batch_first_index = u64::from_le_bytes(fields.take());
    let generation = u64::from_le_bytes(fields.take());
    let kind = u16::from_le_bytes(fields.take());
    let reserved: [u8; 2] = fields.take();
    let payload_crc = u32::from_le_bytes(fields.take());
    let payload_bytes = usize::try_from(payload_bytes).ok()?;
    // The cheap rules come first: a search through damage calls this at every byte.
    if payload_bytes > PAYLOAD_BYTES_MAX
        || reserved != [0; 2]
        || batch_first_index == 0
        || batch_first_index > index
        || crc != record_header_crc(offset, bytes.get(4..).unwrap_or_default())
    {
        return None;
    }
    Some(RecordHeader {
        payload_bytes,
        index: LogIndex::new(index),
        batch_first_index: LogIndex::new(batch_first_index),
        generation,
        kind,
        payload_crc,
    })
}

fn record_header_crc(offset: u64, covered: &[u8]) -> u32 {
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(&offset.to_le_bytes());
    hasher.update(covered);
    hasher.finalize()
}

/// Takes fixed fields from the front of a fixed header.
struct Fields<'a> {
    rest: &'a [u8],
}

impl<'a> Fields<'a> {
    fn new(bytes: &'a [u8]) -> Self {
        Self { rest: bytes }
    }

    fn take<const N: usize>(&mut self) -> [u8; N] {
        let (field, rest) = self
            .rest
            .split_first_chunk::<N>()
            .expect("the fields of a header add up to its fixed size");
        self.rest = rest;
        *field
    }
}
