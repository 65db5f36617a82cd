//! The one writer of a log: one write and one fdatasync per batch, new segments, refusal, poisoning.

use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use crate::command::{Command, Committed, LogIndex};
use crate::disk::{Disk, DiskFile};
use crate::error::LogError;
use crate::floor::write_floor;
use crate::format::{RecordPlace, encode_record, encode_segment_header, segment_name};
use crate::refusal::{WriteFailure, cut_back, remove_if_there};
use crate::scan::{Landmark, add_landmark};
use crate::segment::{Segment, SegmentTable};

/// Appends batches to the last segment of the table.
///
/// Invariants: everything in the table is durable; nothing is written after a failure. After a refusal
/// the files are as before, so that writing goes on as soon as there is room.
#[derive(Debug)]
pub(crate) struct Appender {
    disk: Arc<dyn Disk>,
    table: Arc<SegmentTable>,
    segment_bytes_max: u64,
    generation: u64,
    buffer: Vec<u8>,
    poison: Option<Poison>,
}

#[derive(Clone, Debug)]
struct Poison {
    path: PathBuf,
    reason: String,
}

/// The segment that is written to, copied from the table.
struct Active {
    name: String,
    file: Arc<dyn DiskFile>,
    next_index: LogIndex,
    end_offset: u64,
    landmarks: Vec<Landmark>,
}

impl Appender {
    pub(crate) fn new(
        disk: Arc<dyn Disk>,
        table: Arc<SegmentTable>,
        segment_bytes_max: u64,
        generation: u64,
    ) -> Self {
        Self {
            disk,
            table,
            segment_bytes_max,
            generation,
            buffer: Vec::new(),
            poison: None,
        }
    }

    /// Appends proposals as one batch and returns where each stands once all are durable.
    ///
    /// Returns the bytes written beside. After [`LogError::WriteRefused`] nothing of the batch is there
    /// and the next one is tried; after any other error nothing more is ever appended.
    pub(crate) fn append(
        &mut self,
        proposals: &[&[Command]],
    ) -> Result<(Vec<Committed>, u64), LogError> {
        if let Some(poison) = &self.poison {
            return Err(LogError::Poisoned {
                path: poison.path.clone(),
                reason: poison.reason.clone(),
                durable_through: self.table.next_index().previous(),
            });
        }
        self.rotate_when_full()?;
        let mut active = self.active();
        let committed = self.encode(&mut active, proposals);
        let bytes = self.buffer.len() as u64;
        if let Err(failure) = self.write(&active) {
            return Err(self.fail(&active.name, active.next_index, bytes, failure));
        }
        self.publish(active, bytes, &committed);
        // One huge batch must not pin its memory for ever.
        self.buffer.clear();
        self.buffer.shrink_to(1 << 20);
        Ok((committed, bytes))
    }

    /// Records the end of the log so that a later loss of it is noticed.
    pub(crate) fn close(&mut self) -> Result<(), LogError> {
        if self.poison.is_some() {
            return Ok(());
        }
        write_floor(&*self.disk, self.table.next_index().previous()).map_err(|failure| {
            let error = failure.into_inner();
            LogError::io("record the end of", self.disk.path_of(""), error)
        })
    }

    pub(crate) fn poison_reason(&self) -> Option<&str> {
        self.poison.as_ref().map(|poison| poison.reason.as_str())
    }

    /// Writes the buffer behind the last entry and makes it durable.
    fn write(&self, active: &Active) -> Result<(), WriteFailure> {
        let Err(error) = active.file.write_at(active.end_offset, &self.buffer) else {
            return active.file.sync_data().map_err(WriteFailure::Failed);
        };
        let failure = WriteFailure::of_write(error);
        if matches!(failure, WriteFailure::Refused(_)) {
            // A part may be written: left there, it would come back as entries that were refused.
            cut_back(&*active.file, active.end_offset).map_err(WriteFailure::Failed)?;
        }
        Err(failure)
    }

    fn active(&self) -> Active {
        let segments = self.table.view();
        let segment = segments.back().expect("a log has at least one segment");
        Active {
            name: segment.name.clone(),
            file: Arc::clone(&segment.file),
            next_index: segment.next_index,
            end_offset: segment.end_offset,
            landmarks: segment.landmarks.last().copied().into_iter().collect(),
        }
    }

    /// Encodes all records into the buffer and gathers the landmarks they set.
    fn encode(&mut self, active: &mut Active, proposals: &[&[Command]]) -> Vec<Committed> {
        self.buffer.clear();
        let batch_first_index = active.next_index;
        let mut index = batch_first_index;
        let mut committed = Vec::with_capacity(proposals.len());
        for proposal in proposals {
            assert!(!proposal.is_empty(), "empty proposals are refused before");
            let first_index = index;
            for command in *proposal {
                let offset = active.end_offset + self.buffer.len() as u64;
                let place = RecordPlace {
                    index,
                    batch_first_index,
                    generation: self.generation,
                };
                add_landmark(&mut active.landmarks, index, offset);
                encode_record(
                    &mut self.buffer,
                    offset,
                    place,
                    command.kind,
                    &command.payload,
                );
                index = index.next();
            }
            committed.push(Committed {
                first_index,
                last_index: index.previous(),
                generation: self.generation,
            });
        }
        committed
    }

    fn publish(&self, active: Active, bytes: u64, committed: &[Committed]) {
        let mut segments = self.table.edit();
        let segment = segments.back_mut().expect("a log has at least one segment");
        assert_eq!(
            segment.end_offset, active.end_offset,
            "the log has one writer"
        );
        segment.end_offset += bytes;
        if let Some(last) = committed.last() {
            segment.next_index = last.last_index.next();
        }
        let known = segment.landmarks.len().min(1);
        segment
            .landmarks
            .extend(active.landmarks.into_iter().skip(known));
    }

    fn rotate_when_full(&mut self) -> Result<(), LogError> {
        let (is_full, first_index) = {
            let segments = self.table.view();
            let segment = segments.back().expect("a log has at least one segment");
            (
                segment.end_offset >= self.segment_bytes_max && !segment.is_empty(),
                segment.next_index,
            )
        };
        if !is_full {
            return Ok(());
        }
        let name = segment_name(first_index);
        match create_segment(&*self.disk, first_index) {
            Ok(segment) => self.table.edit().push_back(segment),
            Err(failure) => return Err(self.fail(&name, first_index, 0, failure)),
        }
        match write_floor(&*self.disk, first_index.previous()) {
            // A floor that is too low does no harm; the next segment brings it up.
            Ok(()) | Err(WriteFailure::Refused(_)) => Ok(()),
            Err(failure) => Err(self.fail(&name, first_index, 0, failure)),
        }
    }

    fn fail(&mut self, name: &str, index: LogIndex, bytes: u64, failure: WriteFailure) -> LogError {
        match failure {
            WriteFailure::Failed(error) => self.poison_by(name, index, error),
            WriteFailure::Refused(error) => LogError::WriteRefused {
                path: self.disk.path_of(name),
                index,
                bytes,
                source: Arc::new(error),
            },
        }
    }

    fn poison_by(&mut self, name: &str, index: LogIndex, error: io::Error) -> LogError {
        let path = self.disk.path_of(name);
        self.poison = Some(Poison {
            path: path.clone(),
            reason: error.to_string(),
        });
        LogError::OutcomeUnknown {
            path,
            index,
            source: Arc::new(error),
        }
    }
}

/// Makes a new, durable, empty segment; of one that is refused nothing stays.
pub(crate) fn create_segment(
    disk: &dyn Disk,
    first_index: LogIndex,
) -> Result<Segment, WriteFailure> {
    let name = segment_name(first_index);
    let header = encode_segment_header(first_index);
    let written = disk.create(&name).and_then(|file| {
        file.write_at(0, &header)?;
        Ok(file)
    });
    let file = match written.map_err(WriteFailure::of_write) {
        Ok(file) => file,
        Err(WriteFailure::Refused(error)) => {
            remove_if_there(disk, &name)
                .and_then(|()| disk.sync_dir())
                .map_err(WriteFailure::Failed)?;
            return Err(WriteFailure::Refused(error));
        }
        Err(failed) => return Err(failed),
    };
    file.sync_data()
        .and_then(|()| disk.sync_dir())
        .map_err(WriteFailure::Failed)?;
    Ok(Segment {
        name,
        file,
        first_index,
        next_index: first_index,
        end_offset: header.len() as u64,
        landmarks: Vec::new(),
    })
}
