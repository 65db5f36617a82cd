//! Writing and reading one snapshot file.

use std::io::{self, Read};
use std::path::PathBuf;
use std::sync::Arc;

use twinscale_log::disk::DiskFile;

use super::format::{
    CHUNK_BYTES, CHUNK_HEADER_BYTES, END_BYTES, HEADER_BYTES, Totals, decode_header, encode_header,
};
use crate::ids::GroupId;
use crate::machine::{AppliedMark, MarkError};

/// Why a snapshot was refused.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SnapshotError {
    /// The disk failed or refused.
    #[error("failed to {operation} {path}")]
    Io {
        /// What was tried.
        operation: &'static str,
        /// On which file.
        path: PathBuf,
        /// What the disk said.
        #[source]
        source: io::Error,
    },
    /// The bytes are not those that were written.
    #[error("snapshot {path} is damaged or cut at byte {offset}: {reason}; it is not used")]
    Damaged {
        /// The file.
        path: PathBuf,
        /// Where.
        offset: u64,
        /// What is wrong.
        reason: String,
    },
    /// The mark in it is none.
    #[error("snapshot {path}")]
    Mark {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        #[source]
        source: MarkError,
    },
}

impl SnapshotError {
    /// Wraps that the thread which worked on a snapshot ended early.
    pub(crate) fn task(error: &tokio::task::JoinError) -> Self {
        Self::Io {
            operation: "work on",
            path: PathBuf::from("a snapshot"),
            source: io::Error::other(error.to_string()),
        }
    }
}

/// A snapshot on disk; it stays readable though its name may go.
#[derive(Clone, Debug)]
pub(crate) struct SnapshotFile {
    pub(super) name: String,
    pub(super) path: PathBuf,
    pub(super) file: Arc<dyn DiskFile>,
    pub(super) length: u64,
}

/// Writes `contents` behind a header, chunk by chunk; the file is not durable yet.
pub(super) fn write(
    file: &dyn DiskFile,
    group: GroupId,
    mark: &AppliedMark,
    contents: &mut dyn Read,
) -> io::Result<u64> {
    let header = encode_header(group, &mark.to_bytes());
    file.write_at(0, &header)?;
    let mut totals = Totals::of_header(&header);
    let mut offset = header.len() as u64;
    let mut frame = vec![0; CHUNK_HEADER_BYTES + CHUNK_BYTES];
    loop {
        let filled = fill(
            contents,
            frame.get_mut(CHUNK_HEADER_BYTES..).unwrap_or_default(),
        )?;
        if filled == 0 {
            break;
        }
        frame.truncate(CHUNK_HEADER_BYTES + filled);
        let checksum = totals.add(frame.get(CHUNK_HEADER_BYTES..).unwrap_or_default());
        let length = u32::try_from(filled).map_err(io::Error::other)?;
        let mut head = length.to_le_bytes().to_vec();
        head.extend_from_slice(&checksum.to_le_bytes());
        frame.splice(..CHUNK_HEADER_BYTES, head);
        file.write_at(offset, &frame)?;
        offset += frame.len() as u64;
        frame.resize(CHUNK_HEADER_BYTES + CHUNK_BYTES, 0);
    }
    let end = totals.encode_end();
    file.write_at(offset, &end)?;
    Ok(offset + end.len() as u64)
}

/// Reads until the buffer is full or the source ends; returns how much there was.
fn fill(source: &mut dyn Read, buffer: &mut [u8]) -> io::Result<usize> {
    let mut filled = 0;
    while let Some(rest) = buffer.get_mut(filled..)
        && !rest.is_empty()
    {
        match source.read(rest) {
            Ok(0) => break,
            Ok(read) => filled += read,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(filled)
}

impl SnapshotFile {
    pub(crate) fn length(&self) -> u64 {
        self.length
    }

    /// Returns up to `count` bytes at an offset, as they are in the file.
    pub(crate) fn bytes_at(&self, offset: u64, count: usize) -> Result<Vec<u8>, SnapshotError> {
        let left = usize::try_from(self.length.saturating_sub(offset)).unwrap_or(usize::MAX);
        let mut bytes = vec![0; count.min(left)];
        let mut filled = 0;
        while let Some(rest) = bytes.get_mut(filled..)
            && !rest.is_empty()
        {
            let read = self
                .file
                .read_at(offset + filled as u64, rest)
                .map_err(|source| self.io("read", source))?;
            if read == 0 {
                return Err(self.damaged(offset, "the file is shorter than it was".to_owned()));
            }
            filled += read;
        }
        Ok(bytes)
    }

    /// Reads the header: whose snapshot it is and how far it has applied.
    pub(crate) fn read_header(&self) -> Result<(GroupId, AppliedMark, Contents), SnapshotError> {
        let damaged = || self.damaged(0, "its header is no snapshot's".to_owned());
        let fixed = self.bytes_at(0, HEADER_BYTES)?;
        let (group, mark_bytes) = fixed
            .first_chunk()
            .and_then(decode_header)
            .ok_or_else(damaged)?;
        let header = self.bytes_at(0, HEADER_BYTES + mark_bytes + 4)?;
        let (covered, checksum) = header.split_last_chunk::<4>().ok_or_else(damaged)?;
        if u32::from_le_bytes(*checksum) != crc32fast::hash(covered) {
            return Err(damaged());
        }
        let mark = covered.get(HEADER_BYTES..).unwrap_or_default();
        let mark = AppliedMark::from_bytes(mark).map_err(|source| SnapshotError::Mark {
            path: self.path.clone(),
            source,
        })?;
        let contents = Contents {
            snapshot: self.clone(),
            offset: header.len() as u64,
            totals: Some(Totals::of_header(&header)),
            chunk: Vec::new(),
            taken: 0,
        };
        Ok((group, mark, contents))
    }

    /// Reads everything and checks every checksum.
    pub(crate) fn check(&self) -> Result<(GroupId, AppliedMark), SnapshotError> {
        let (group, mark, mut contents) = self.read_header()?;
        while contents.next_chunk()? {}
        Ok((group, mark))
    }

    fn io(&self, operation: &'static str, source: io::Error) -> SnapshotError {
        SnapshotError::Io {
            operation,
            path: self.path.clone(),
            source,
        }
    }

    fn damaged(&self, offset: u64, reason: String) -> SnapshotError {
        SnapshotError::Damaged {
            path: self.path.clone(),
            offset,
            reason,
        }
    }
}

/// The contents of a snapshot; each chunk is checked before a byte of it is given, the whole at the end.
#[derive(Debug)]
pub(crate) struct Contents {
    snapshot: SnapshotFile,
    offset: u64,
    /// None once the end was read and found right.
    totals: Option<Totals>,
    chunk: Vec<u8>,
    taken: usize,
}

impl Contents {
    /// Loads the next chunk; returns whether there was one.
    fn next_chunk(&mut self) -> Result<bool, SnapshotError> {
        let Some(totals) = &mut self.totals else {
            return Ok(false);
        };
        let head = self.snapshot.bytes_at(self.offset, CHUNK_HEADER_BYTES)?;
        let cut = || {
            let reason = "a chunk is cut".to_owned();
            self.snapshot.damaged(self.offset, reason)
        };
        let (length, rest) = head.split_first_chunk::<4>().ok_or_else(cut)?;
        let length = usize::try_from(u32::from_le_bytes(*length)).unwrap_or(usize::MAX);
        if length == 0 {
            let end = self.snapshot.bytes_at(self.offset, END_BYTES)?;
            let is_last = self.offset + end.len() as u64 == self.snapshot.length;
            if !is_last || totals.clone().encode_end() != end {
                let reason = "its end does not match what is before it".to_owned();
                return Err(self.snapshot.damaged(self.offset, reason));
            }
            self.totals = None;
            return Ok(false);
        }
        let checksum = u32::from_le_bytes(*rest.first_chunk::<4>().ok_or_else(cut)?);
        if length > CHUNK_BYTES {
            return Err(cut());
        }
        let chunk = self
            .snapshot
            .bytes_at(self.offset + CHUNK_HEADER_BYTES as u64, length)?;
        if chunk.len() != length || totals.add(&chunk) != checksum {
            let reason = "a chunk does not match its checksum".to_owned();
            return Err(self.snapshot.damaged(self.offset, reason));
        }
        self.offset += (CHUNK_HEADER_BYTES + length) as u64;
        self.chunk = chunk;
        self.taken = 0;
        Ok(true)
    }
}

impl Read for Contents {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.taken == self.chunk.len() && !self.next_chunk().map_err(io::Error::other)? {
            return Ok(0);
        }
        let rest = self.chunk.get(self.taken..).unwrap_or_default();
        let count = rest.len().min(buffer.len());
        for (target, byte) in buffer.iter_mut().zip(rest) {
            *target = *byte;
        }
        self.taken += count;
        Ok(count)
    }
}
