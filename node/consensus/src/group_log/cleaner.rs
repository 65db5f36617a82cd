//! Giving disk back: segments in which nothing lives are deleted, oldest first.
//!
//! A group that lags, or one that is idle, would hold the oldest segment and with it all later ones. So
//! what lives there is copied forward to the end: votes and marks always, for they are small; entries once
//! the log takes more than a few times what lives in it. That bounds both the disk (a factor) and the
//! copying (each byte is copied at most about once for each time that the log turns over).

use std::sync::Arc;

use twinscale_log::{CommandLog, DurablePoint, LogIndex, SegmentSpan};

use super::error::GroupLogError;
use super::record::Record;
use super::{GroupCell, GroupLog, Inner};
use crate::ids::GroupId;

/// How many bytes of entries one copy takes, so that it holds up its group for one short write.
const COPY_BYTES_MAX: usize = 1 << 20;

impl GroupLog {
    /// Deletes what segments it can, copying forward where that is worth it; returns how many went.
    ///
    /// # Errors
    /// When the disk refuses; what was copied or deleted before stays so, and nothing is lost.
    pub async fn clean(&self) -> Result<usize, GroupLogError> {
        let mut deleted = 0;
        loop {
            let segments = self.inner.file.segments();
            let [oldest, _, ..] = segments.as_slice() else {
                return Ok(deleted);
            };
            if !self.empty_out(*oldest, &segments).await? {
                return Ok(deleted);
            }
            let inner = Arc::clone(&self.inner);
            let point = DurablePoint::snapshot_fsynced_through(oldest.next_index.previous());
            tokio::task::spawn_blocking(move || inner.file.purge(point))
                .await
                .map_err(|error| GroupLogError::Task {
                    reason: error.to_string(),
                })??;
            if self.inner.file.first_index() == oldest.first_index {
                return Ok(deleted);
            }
            deleted += 1;
        }
    }

    /// Copies what lives in the oldest segment; returns whether nothing lives there any more.
    async fn empty_out(
        &self,
        oldest: SegmentSpan,
        segments: &[SegmentSpan],
    ) -> Result<bool, GroupLogError> {
        let end = oldest.next_index;
        let holders: Vec<(GroupId, Arc<GroupCell>)> = self
            .inner
            .cells()
            .into_iter()
            .filter(|(_, cell)| cell.state().has_entry_before(end))
            .collect();
        if !holders.is_empty() && !self.is_worth_copying(segments) {
            return Ok(false);
        }
        for (group, cell) in holders {
            while self.inner.copy_entries(group, &cell, end).await? {}
        }
        for (group, cell) in self.inner.cells() {
            self.inner.copy_marks(group, &cell, end).await?;
        }
        Ok(true)
    }

    fn is_worth_copying(&self, segments: &[SegmentSpan]) -> bool {
        let options = self.inner.options;
        let disk_bytes: u64 = segments.iter().map(|segment| segment.bytes).sum();
        let cells = self.inner.cells();
        let living_bytes: u64 = cells
            .iter()
            .map(|(_, cell)| cell.state().living_bytes())
            .sum();
        let allowed = living_bytes
            .saturating_mul(options.garbage_factor)
            .saturating_add(options.file.segment_bytes_max.saturating_mul(2));
        disk_bytes > allowed
    }
}

impl Inner {
    /// Copies some entries that stand before a place; returns whether there were any.
    async fn copy_entries(
        &self,
        group: GroupId,
        cell: &GroupCell,
        end: LogIndex,
    ) -> Result<bool, GroupLogError> {
        let mut turn = cell.turn.lock().await;
        let (indexes, mut records) = (cell.state().entries_before(end), Vec::new());
        if indexes.is_empty() {
            return Ok(false);
        }
        let mut bytes = 0;
        for (index, place) in &indexes {
            if bytes > COPY_BYTES_MAX {
                break;
            }
            let (index, place) = (*index, *place);
            let limits = twinscale_log::ReadLimits {
                entries_max: 1,
                payload_bytes_max: 1,
            };
            let misplaced = GroupLogError::Misplaced {
                group,
                index,
                place,
            };
            let stored = self.file.read(place, limits)?.pop().ok_or(misplaced)?;
            bytes += stored.payload.len();
            let record = Record::decode(stored.kind, &stored.payload)
                .map_err(|source| GroupLogError::Record { place, source })?;
            records.push(record);
        }
        let committed = self.propose(group, &mut turn, &records).await?;
        let mut state = cell.state();
        let mut place = committed.first_index;
        for (index, _) in indexes.iter().take(records.len()) {
            state.move_entry(*index, place);
            place = place.next();
        }
        turn.is_writing = false;
        Ok(true)
    }

    async fn copy_marks(
        &self,
        group: GroupId,
        cell: &GroupCell,
        end: LogIndex,
    ) -> Result<(), GroupLogError> {
        let mut turn = cell.turn.lock().await;
        let records: Vec<Record> = cell
            .state()
            .marks(group)
            .into_iter()
            .filter(|(place, _)| *place < end)
            .map(|(_, record)| record)
            .collect();
        if records.is_empty() {
            return Ok(());
        }
        self.write(group, cell, &mut turn, records).await
    }
}
