//! The open segments: where each durable entry stands, and reads of them.

use std::collections::VecDeque;
use std::io;
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use crate::command::{Entry, LogIndex, ReadLimits};
use crate::disk::{Disk, DiskFile};
use crate::error::LogError;
use crate::scan::{Landmark, Step, Window, record_bytes};

/// What one segment holds: a purge drops it as a whole.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SegmentSpan {
    /// Its first entry.
    pub first_index: LogIndex,
    /// One past its last entry.
    pub next_index: LogIndex,
    /// What it takes on disk, in bytes.
    pub bytes: u64,
}

/// One segment; everything before `end_offset` is durable.
#[derive(Clone, Debug)]
pub(crate) struct Segment {
    pub(crate) name: String,
    pub(crate) file: Arc<dyn DiskFile>,
    pub(crate) first_index: LogIndex,
    pub(crate) next_index: LogIndex,
    pub(crate) end_offset: u64,
    pub(crate) landmarks: Vec<Landmark>,
}

impl Segment {
    pub(crate) fn is_empty(&self) -> bool {
        self.next_index == self.first_index
    }
}

/// The segments of a log, oldest first; never empty, and the last one is written to.
#[derive(Debug)]
pub(crate) struct SegmentTable {
    segments: RwLock<VecDeque<Segment>>,
}

/// A stretch of one segment to read, copied so that no lock is held while reading.
struct Stretch {
    name: String,
    file: Arc<dyn DiskFile>,
    start: Landmark,
    end_offset: u64,
}

impl SegmentTable {
    pub(crate) fn new(segments: VecDeque<Segment>) -> Self {
        assert!(!segments.is_empty(), "a log has at least one segment");
        Self {
            segments: RwLock::new(segments),
        }
    }

    /// A reader that panicked changed nothing, and a writer changes one segment at a time.
    pub(crate) fn view(&self) -> RwLockReadGuard<'_, VecDeque<Segment>> {
        self.segments.read().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn edit(&self) -> RwLockWriteGuard<'_, VecDeque<Segment>> {
        self.segments
            .write()
            .unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn first_index(&self) -> LogIndex {
        self.view()
            .front()
            .map_or(LogIndex::ZERO.next(), |segment| segment.first_index)
    }

    pub(crate) fn next_index(&self) -> LogIndex {
        self.view()
            .back()
            .map_or(LogIndex::ZERO.next(), |segment| segment.next_index)
    }

    /// Reads durable entries from `from` on, across segments, within the limits.
    pub(crate) fn read(
        &self,
        disk: &dyn Disk,
        from: LogIndex,
        limits: ReadLimits,
    ) -> Result<Vec<Entry>, LogError> {
        let mut budget = Budget {
            entries: limits.entries_max.max(1),
            payload_bytes: limits.payload_bytes_max,
        };
        let mut entries: Vec<Entry> = Vec::new();
        let mut next = from;
        while budget.entries > 0 {
            let Some(stretch) = self.stretch(next)? else {
                break;
            };
            let before = entries.len();
            let is_spent = stretch.read_into(disk, next, &mut budget, &mut entries)?;
            if is_spent || entries.len() == before {
                break;
            }
            next = entries.last().map_or(next, |entry| entry.index.next());
        }
        Ok(entries)
    }

    fn stretch(&self, from: LogIndex) -> Result<Option<Stretch>, LogError> {
        let segments = self.view();
        let first = segments.front().map_or(from, |segment| segment.first_index);
        if from < first {
            return Err(LogError::Purged {
                requested: from,
                first,
            });
        }
        let at = segments.partition_point(|segment| segment.next_index <= from);
        let Some(segment) = segments.get(at) else {
            return Ok(None);
        };
        let after = segment
            .landmarks
            .partition_point(|landmark| landmark.index <= from);
        Ok(after
            .checked_sub(1)
            .and_then(|at| segment.landmarks.get(at))
            .map(|start| Stretch {
                name: segment.name.clone(),
                file: Arc::clone(&segment.file),
                start: *start,
                end_offset: segment.end_offset,
            }))
    }
}

struct Budget {
    entries: usize,
    payload_bytes: usize,
}

impl Stretch {
    /// Appends entries from `from` on; returns whether the budget is spent.
    fn read_into(
        &self,
        disk: &dyn Disk,
        from: LogIndex,
        budget: &mut Budget,
        entries: &mut Vec<Entry>,
    ) -> Result<bool, LogError> {
        let read_error =
            |error: io::Error| LogError::io("read segment", disk.path_of(&self.name), error);
        let mut window = Window::new(&*self.file, self.end_offset);
        let mut at = self.start;
        loop {
            let corrupt = |reason: String| LogError::Corrupt {
                path: disk.path_of(&self.name),
                offset: at.offset,
                index: at.index,
                reason,
            };
            let header = match window.step(at.offset, at.index).map_err(read_error)? {
                Step::End => return Ok(false),
                Step::Damage(damage) => return Err(corrupt(damage.reason)),
                Step::Record(header) => header,
            };
            if at.index >= from {
                let entry = window
                    .entry(at.offset, header)
                    .map_err(read_error)?
                    .ok_or_else(|| corrupt("payload is cut".to_owned()))?;
                budget.entries -= 1;
                budget.payload_bytes = budget.payload_bytes.saturating_sub(entry.payload.len());
                entries.push(entry);
                if budget.entries == 0 || budget.payload_bytes == 0 {
                    return Ok(true);
                }
            }
            at = Landmark {
                index: at.index.next(),
                offset: at.offset + record_bytes(header.payload_bytes),
            };
        }
    }
}
