//! Opening a log: check everything, cut a torn tail, make sure that what is kept is durable.
//!
//! All checks come before the first change, so a log that refuses to open is as it was.

use std::collections::VecDeque;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use crate::append::create_segment;
use crate::command::LogIndex;
use crate::disk::{Disk, DiskFile};
use crate::error::LogError;
use crate::floor::{Floor, read_floor};
use crate::format::{
    FORMAT_VERSION, SEGMENT_HEADER_BYTES, SegmentHeader, decode_segment_header,
    encode_segment_header, segment_first_index,
};
use crate::scan::{SegmentScan, scan_segment};
use crate::segment::Segment;

/// How many bytes the rewrite of the last batch copies at once.
const COPY_BYTES: usize = 1 << 20;

/// The end of an unacknowledged write that was cut off.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TornTail {
    /// The segment that was cut.
    pub path: PathBuf,
    /// Its new length, in bytes.
    pub offset: u64,
    /// How many bytes were cut.
    pub bytes_cut: u64,
    /// What was wrong with them.
    pub reason: String,
}

/// A segment whose creation was interrupted before anything could be written to it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DiscardedSegment {
    /// The file that was removed.
    pub path: PathBuf,
}

/// What opening a log found; the caller logs a warning for each finding.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OpenReport {
    /// The first entry that is kept; one past the last when there is none.
    pub first_index: LogIndex,
    /// The last durable entry.
    pub last_index: LogIndex,
    /// The generation of this opening: higher than that of any entry.
    pub generation: u64,
    /// How many bytes the segments hold.
    pub bytes: u64,
    /// A torn tail that was cut.
    pub torn_tail: Option<TornTail>,
    /// A segment that was discarded.
    pub discarded_segment: Option<DiscardedSegment>,
    /// The file that guards against a lost end of the log could not be read and was ignored.
    pub is_floor_unreadable: bool,
}

/// The segments of an opened log.
#[derive(Debug)]
pub(crate) struct Recovered {
    pub(crate) segments: VecDeque<Segment>,
    pub(crate) report: OpenReport,
}

/// A segment under examination.
struct Candidate<'a> {
    name: &'a str,
    file: Arc<dyn DiskFile>,
    first_index: LogIndex,
    length: u64,
    is_last: bool,
}

/// What the checks have found so far.
struct Survey<'a> {
    disk: &'a dyn Disk,
    segments: VecDeque<Segment>,
    generation: u64,
    last_batch_offset: u64,
    torn_tail: Option<TornTail>,
    discarded: Option<String>,
}

/// Opens the log on a disk whose lock is held.
pub(crate) fn recover(disk: &dyn Disk) -> Result<Recovered, LogError> {
    let directory_error = |error| LogError::io("read log directory", disk.path_of(""), error);
    let names = disk.list().map_err(directory_error)?;
    let floor = read_floor(disk, &names).map_err(directory_error)?;
    let mut survey = Survey {
        disk,
        segments: VecDeque::new(),
        generation: 0,
        last_batch_offset: 0,
        torn_tail: None,
        discarded: None,
    };
    let segment_names: Vec<(LogIndex, &String)> = names
        .iter()
        .filter_map(|name| segment_first_index(name).map(|index| (index, name)))
        .collect();
    for (at, (first_index, name)) in segment_names.iter().enumerate() {
        survey.visit(*first_index, name, at + 1 == segment_names.len())?;
    }
    survey.check_floor(floor)?;
    survey.settle(floor)
}

impl Survey<'_> {
    /// Checks one segment, oldest first.
    fn visit(&mut self, first_index: LogIndex, name: &str, is_last: bool) -> Result<(), LogError> {
        let read_error = |error| LogError::io("read segment", self.disk.path_of(name), error);
        let file = self.disk.open(name).map_err(read_error)?;
        let length = file.length().map_err(read_error)?;
        let header = read_header(&*file, length).map_err(read_error)?;
        let expected = self.segments.back().map(|segment| segment.next_index);
        match header {
            SegmentHeader::TooNew { version } => {
                return Err(LogError::FormatTooNew {
                    path: self.disk.path_of(name),
                    found: version,
                    supported: FORMAT_VERSION,
                });
            }
            SegmentHeader::Readable { first_index: found } if found != first_index => {
                let reason = format!("its header says that it starts at entry {found}");
                return Err(self.corrupt(name, 0, first_index, reason));
            }
            SegmentHeader::Readable { .. } => {}
            SegmentHeader::Damaged => {
                // Nothing is written behind a header before it is durable.
                let is_interrupted = is_last
                    && length <= SEGMENT_HEADER_BYTES as u64
                    && expected.unwrap_or(LogIndex::ZERO.next()) == first_index;
                if !is_interrupted {
                    let reason = "its header is damaged".to_owned();
                    return Err(self.corrupt(name, 0, first_index, reason));
                }
                self.discarded = Some(name.to_owned());
                return Ok(());
            }
        }
        if let Some(expected) = expected.filter(|expected| *expected != first_index) {
            return Err(LogError::Gap {
                path: self.disk.path_of(""),
                expected,
                found: first_index,
            });
        }
        let scan = scan_segment(&*file, length, first_index, self.generation)
            .map_err(|error| LogError::io("read segment", self.disk.path_of(name), error))?;
        let candidate = Candidate {
            name,
            file,
            first_index,
            length,
            is_last,
        };
        self.keep(candidate, scan)
    }

    fn keep(&mut self, candidate: Candidate<'_>, scan: SegmentScan) -> Result<(), LogError> {
        let name = candidate.name;
        if let Some(damage) = scan.damage {
            if !candidate.is_last || !damage.may_be_torn {
                let reason = damage.reason;
                return Err(self.corrupt(name, scan.end_offset, scan.next_index, reason));
            }
            self.torn_tail = Some(TornTail {
                path: self.disk.path_of(name),
                offset: scan.end_offset,
                bytes_cut: candidate.length - scan.end_offset,
                reason: damage.reason,
            });
        }
        self.generation = scan.generation;
        self.last_batch_offset = scan.last_batch_offset;
        self.segments.push_back(Segment {
            name: name.to_owned(),
            file: candidate.file,
            first_index: candidate.first_index,
            next_index: scan.next_index,
            end_offset: scan.end_offset,
            landmarks: scan.landmarks,
        });
        Ok(())
    }

    fn check_floor(&self, floor: Floor) -> Result<(), LogError> {
        let last = self
            .segments
            .back()
            .map_or(LogIndex::ZERO, |segment| segment.next_index.previous());
        match floor {
            Floor::Through(durable_through) if last < durable_through => Err(LogError::Truncated {
                path: self.disk.path_of(""),
                last,
                durable_through,
            }),
            Floor::Through(_) | Floor::Absent | Floor::Unreadable => Ok(()),
        }
    }

    /// Makes the changes: all checks have passed.
    fn settle(mut self, floor: Floor) -> Result<Recovered, LogError> {
        let discarded_segment = self
            .discarded
            .take()
            .map(|name| (self.disk.path_of(&name), name));
        if let Some((path, name)) = &discarded_segment {
            self.disk
                .remove(name)
                .and_then(|()| self.disk.sync_dir())
                .map_err(|error| LogError::io("remove segment", path.clone(), error))?;
        }
        if let Some(segment) = self.segments.back() {
            self.renew_tail(segment).map_err(|error| {
                LogError::io("make durable", self.disk.path_of(&segment.name), error)
            })?;
        } else {
            let segment = create_segment(self.disk, LogIndex::ZERO.next()).map_err(|failure| {
                let error = failure.into_inner();
                LogError::io("create a segment in", self.disk.path_of(""), error)
            })?;
            self.segments.push_back(segment);
        }
        let first_index = self
            .segments
            .front()
            .map_or(LogIndex::ZERO.next(), |segment| segment.first_index);
        let last_index = self
            .segments
            .back()
            .map_or(LogIndex::ZERO, |segment| segment.next_index.previous());
        let bytes = self.segments.iter().map(|segment| segment.end_offset).sum();
        Ok(Recovered {
            report: OpenReport {
                first_index,
                last_index,
                generation: self.generation.saturating_add(1),
                bytes,
                torn_tail: self.torn_tail,
                discarded_segment: discarded_segment.map(|(path, _)| DiscardedSegment { path }),
                is_floor_unreadable: floor == Floor::Unreadable,
            },
            segments: self.segments,
        })
    }

    /// Cuts what lies behind the sound records and writes the last batch again.
    ///
    /// After a failed fdatasync the kernel may show bytes that are not on disk and call them
    /// clean. Only the last batch can be such: writing it again makes the next fdatasync real. The
    /// length is set again too: of a refused batch that was cut off the disk may still have bytes, which
    /// would come back behind later entries.
    fn renew_tail(&self, segment: &Segment) -> io::Result<()> {
        segment.file.set_length(segment.end_offset)?;
        if segment.is_empty() {
            segment
                .file
                .write_at(0, &encode_segment_header(segment.first_index))?;
        }
        let mut buffer = vec![0; COPY_BYTES];
        let mut offset = self.last_batch_offset;
        while offset < segment.end_offset {
            let left = usize::try_from(segment.end_offset - offset).unwrap_or(usize::MAX);
            let wanted = left.min(COPY_BYTES);
            let target = buffer.get_mut(..wanted).unwrap_or_default();
            let read = segment.file.read_at(offset, target)?;
            if read == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            segment
                .file
                .write_at(offset, buffer.get(..read).unwrap_or_default())?;
            offset += read as u64;
        }
        segment.file.sync_data()?;
        self.disk.sync_dir()
    }

    fn corrupt(&self, name: &str, offset: u64, index: LogIndex, reason: String) -> LogError {
        LogError::Corrupt {
            path: self.disk.path_of(name),
            offset,
            index,
            reason,
        }
    }
}

fn read_header(file: &dyn DiskFile, length: u64) -> io::Result<SegmentHeader> {
    let mut bytes = [0; SEGMENT_HEADER_BYTES];
    if length < SEGMENT_HEADER_BYTES as u64 {
        return Ok(SegmentHeader::Damaged);
    }
    let mut filled = 0;
    while let Some(rest) = bytes.get_mut(filled..)
        && !rest.is_empty()
    {
        let read = file.read_at(filled as u64, rest)?;
        if read == 0 {
            return Ok(SegmentHeader::Damaged);
        }
        filled += read;
    }
    Ok(decode_segment_header(&bytes))
}
