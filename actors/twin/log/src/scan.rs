//! Walks the records of a segment and tells a torn tail from damage. Reads only.

use std::io;

use crate::command::{Entry, LogIndex};
use crate::disk::DiskFile;
use crate::format::{
    RECORD_HEADER_BYTES, RecordHeader, SEGMENT_HEADER_BYTES, decode_record_header,
};

/// How many bytes one disk read asks for.
const WINDOW_BYTES: usize = 1 << 20;

/// How far apart landmarks stand, in bytes: a read walks at most this much to its first entry.
pub(crate) const LANDMARK_BYTES: u64 = 64 << 10;

/// A known place of an entry in its segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Landmark {
    pub(crate) index: LogIndex,
    pub(crate) offset: u64,
}

/// What a walk through a whole segment found.
#[derive(Debug)]
pub(crate) struct SegmentScan {
    /// One past the last sound record's index.
    pub(crate) next_index: LogIndex,
    /// Where the sound records end.
    pub(crate) end_offset: u64,
    /// The generation of the last sound record, or the one given when there is none.
    pub(crate) generation: u64,
    /// Where the last batch begins; `end_offset` when there is no record.
    pub(crate) last_batch_offset: u64,
    pub(crate) landmarks: Vec<Landmark>,
    pub(crate) damage: Option<Damage>,
}

/// Why the walk stopped before the end of the file.
#[derive(Debug)]
pub(crate) struct Damage {
    pub(crate) reason: String,
    /// The damage may be the unacknowledged end of the last write.
    pub(crate) may_be_torn: bool,
}

/// Buffered reads of a file at growing offsets.
pub(crate) struct Window<'a> {
    file: &'a dyn DiskFile,
    /// Bytes at or behind this offset are not looked at.
    length: u64,
    bytes: Vec<u8>,
    bytes_offset: u64,
}

/// One step of a walk.
#[derive(Debug)]
pub(crate) enum Step {
    Record(RecordHeader),
    End,
    Damage(Damage),
}

impl<'a> Window<'a> {
    pub(crate) fn new(file: &'a dyn DiskFile, length: u64) -> Self {
        Self {
            file,
            length,
            bytes: Vec::new(),
            bytes_offset: 0,
        }
    }

    /// Returns `count` bytes at `offset`, `None` when the file ends before.
    pub(crate) fn bytes_at(&mut self, offset: u64, count: usize) -> io::Result<Option<&[u8]>> {
        let end = offset.saturating_add(count as u64);
        if end > self.length {
            return Ok(None);
        }
        let buffered_end = self.bytes_offset + self.bytes.len() as u64;
        if offset < self.bytes_offset || end > buffered_end {
            self.refill(offset, count)?;
        }
        let start = usize::try_from(offset - self.bytes_offset).unwrap_or(usize::MAX);
        Ok(self.bytes.get(start..start.saturating_add(count)))
    }

    fn refill(&mut self, offset: u64, count: usize) -> io::Result<()> {
        let left = usize::try_from(self.length - offset).unwrap_or(usize::MAX);
        let wanted = count.max(WINDOW_BYTES).min(left);
        self.bytes.clear();
        self.bytes.resize(wanted, 0);
        self.bytes_offset = offset;
        let mut filled = 0;
        while let Some(rest) = self.bytes.get_mut(filled..)
            && !rest.is_empty()
        {
            let read = self.file.read_at(offset + filled as u64, rest)?;
            if read == 0 {
                self.bytes.clear();
                return Err(io::Error::new(
                    io::ErrorKind::UnexpectedEof,
                    format!("file ends before byte {}", self.length),
                ));
            }
            filled += read;
        }
        Ok(())
    }

    /// Decodes the record at `offset`, which should be entry `expected`.
    pub(crate) fn step(&mut self, offset: u64, expected: LogIndex) -> io::Result<Step> {
        if offset >= self.length {
            return Ok(Step::End);
        }
        let Some(header) = self.header_at(offset)? else {
            return Ok(Step::Damage(torn("record header is cut or damaged")));
        };
        if header.index != expected {
            return Ok(Step::Damage(Damage {
                reason: format!("entry {} stands there", header.index),
                may_be_torn: false,
            }));
        }
        let payload_offset = offset + RECORD_HEADER_BYTES as u64;
        let Some(payload) = self.bytes_at(payload_offset, header.payload_bytes)? else {
            return Ok(Step::Damage(torn("payload is cut")));
        };
        if crc32fast::hash(payload) != header.payload_crc {
            return Ok(Step::Damage(torn("payload does not match its checksum")));
        }
        Ok(Step::Record(header))
    }

    /// Returns the entry whose record a step just found at `offset`.
    pub(crate) fn entry(&mut self, offset: u64, header: RecordHeader) -> io::Result<Option<Entry>> {
        let payload_offset = offset + RECORD_HEADER_BYTES as u64;
        Ok(self
            .bytes_at(payload_offset, header.payload_bytes)?
            .map(|payload| Entry {
                index: header.index,
                generation: header.generation,
                kind: header.kind,
                payload: payload.to_vec(),
            }))
    }

    fn header_at(&mut self, offset: u64) -> io::Result<Option<RecordHeader>> {
        Ok(self
            .bytes_at(offset, RECORD_HEADER_BYTES)?
            .and_then(<[u8]>::first_chunk)
            .and_then(|bytes| decode_record_header(bytes, offset)))
    }

    /// Looks behind damage for a record of a batch that began after entry `expected`.
    ///
    /// Such a batch was written only once `expected` was durable, so the damage is no torn write.
    fn find_later_batch(
        &mut self,
        damage_offset: u64,
        expected: LogIndex,
    ) -> io::Result<Option<(u64, LogIndex)>> {
        let mut offset = damage_offset + 1;
        while offset + RECORD_HEADER_BYTES as u64 <= self.length {
            if let Some(header) = self.header_at(offset)?
                && header.batch_first_index > expected
            {
                return Ok(Some((offset, header.index)));
            }
            offset += 1;
        }
        Ok(None)
    }
}

fn torn(reason: &str) -> Damage {
    Damage {
        reason: reason.to_owned(),
        may_be_torn: true,
    }
}

/// Returns the bytes that a record takes.
pub(crate) fn record_bytes(payload_bytes: usize) -> u64 {
    RECORD_HEADER_BYTES as u64 + payload_bytes as u64
}

/// Adds a landmark when the last one lies far enough back.
pub(crate) fn add_landmark(landmarks: &mut Vec<Landmark>, index: LogIndex, offset: u64) {
    let is_due = landmarks
        .last()
        .is_none_or(|landmark| offset >= landmark.offset + LANDMARK_BYTES);
    if is_due {
        landmarks.push(Landmark { index, offset });
    }
}

/// Walks a whole segment behind its header and checks every record.
///
/// `generation` is that of the last entry before the segment; it never goes back.
pub(crate) fn scan_segment(
    file: &dyn DiskFile,
    length: u64,
    first_index: LogIndex,
    generation: u64,
) -> io::Result<SegmentScan> {
    let mut window = Window::new(file, length);
    let mut scan = SegmentScan {
        next_index: first_index,
        end_offset: SEGMENT_HEADER_BYTES as u64,
        generation,
        last_batch_offset: SEGMENT_HEADER_BYTES as u64,
        landmarks: Vec::new(),
        damage: None,
    };
    let mut last_batch = LogIndex::ZERO;
    loop {
        let header = match window.step(scan.end_offset, scan.next_index)? {
            Step::End => return Ok(scan),
            Step::Damage(damage) => {
                scan.damage = Some(judge_damage(&mut window, &scan, damage)?);
                return Ok(scan);
            }
            Step::Record(header) => header,
        };
        if let Some(reason) = misplaced(&header, &scan, last_batch) {
            scan.damage = Some(Damage {
                reason,
                may_be_torn: false,
            });
            return Ok(scan);
        }
        add_landmark(&mut scan.landmarks, header.index, scan.end_offset);
        if header.batch_first_index != last_batch {
            last_batch = header.batch_first_index;
            scan.last_batch_offset = scan.end_offset;
        }
        scan.generation = header.generation;
        scan.next_index = header.index.next();
        scan.end_offset += record_bytes(header.payload_bytes);
    }
}

fn misplaced(header: &RecordHeader, scan: &SegmentScan, last_batch: LogIndex) -> Option<String> {
    if header.generation < scan.generation {
        return Some(format!(
            "its generation {} is lower than {} before it",
            header.generation, scan.generation
        ));
    }
    let continues = header.batch_first_index == last_batch;
    let begins = header.batch_first_index == header.index;
    if !continues && !begins {
        return Some(format!(
            "it belongs to the batch of entry {}, which is not the one before it",
            header.batch_first_index
        ));
    }
    None
}

fn judge_damage(window: &mut Window<'_>, scan: &SegmentScan, damage: Damage) -> io::Result<Damage> {
    if !damage.may_be_torn {
        return Ok(damage);
    }
    Ok(
        match window.find_later_batch(scan.end_offset, scan.next_index)? {
            None => damage,
            Some((offset, index)) => Damage {
                reason: format!(
                    "{}, and entry {index} of a later write follows at byte {offset}",
                    damage.reason
                ),
                may_be_torn: false,
            },
        },
    )
}
