//! Writes of a group: one proposal to the file log each, then the same records into memory.

use twinscale_log::{Command, CommandLog, Committed, LogError};

use super::error::GroupLogError;
use super::record::Record;
use super::{GroupCell, GroupLog, Inner, LogCondition, Turn};
use crate::ids::{GroupId, LogPosition};
use crate::types::{Entry, Vote};

/// A unit of the queue in front of the file log, in bytes.
pub(super) const UNIT_BYTES: usize = 16 << 10;

/// A record's header in the file log, rounded up.
const FRAME_BYTES: usize = 64;

impl GroupLog {
    /// Appends entries that follow the last one; they are durable when it returns.
    pub(crate) async fn append(
        &self,
        group: GroupId,
        entries: Vec<Entry>,
    ) -> Result<(), GroupLogError> {
        let cell = self.inner.cell(group);
        let mut turn = cell.turn.lock().await;
        let mut records = Vec::with_capacity(entries.len() + 1);
        {
            let state = cell.state();
            // openraft fills a log from index 0 or from behind a purge; its test suite begins anywhere.
            // Opening refuses a group whose first entries are missing.
            let first = entries.first().map_or(0, |entry| entry.log_id.index);
            let next = state.last().map_or(first, |_| state.next_index());
            for (expected, entry) in (next..).zip(entries) {
                if entry.log_id.index != expected {
                    return Err(GroupLogError::OutOfOrder {
                        group,
                        expected,
                        found: entry.log_id.index,
                    });
                }
                records.push(Record::Entry(group, entry));
            }
            records.extend(state.committed_to_record(group));
        }
        self.inner.write(group, &cell, &mut turn, records).await
    }

    /// Stores a vote, durably.
    pub(crate) async fn save_vote(&self, group: GroupId, vote: Vote) -> Result<(), GroupLogError> {
        let cell = self.inner.cell(group);
        let mut turn = cell.turn.lock().await;
        let records = vec![Record::Vote(group, vote)];
        self.inner.write(group, &cell, &mut turn, records).await
    }

    /// Notes what is committed; it becomes durable with the next append, for it is only a lower bound.
    pub(crate) fn note_committed(&self, group: GroupId, committed: Option<LogPosition>) {
        self.inner.cell(group).state().committed = committed;
    }

    /// Removes the entries from an index on, durably.
    pub(crate) async fn truncate(&self, group: GroupId, since: u64) -> Result<(), GroupLogError> {
        let cell = self.inner.cell(group);
        let mut turn = cell.turn.lock().await;
        let records = vec![Record::Truncated(group, since)];
        self.inner.write(group, &cell, &mut turn, records).await
    }

    /// Removes the entries through a place, durably, and lets the cleaner know.
    pub(crate) async fn purge(
        &self,
        group: GroupId,
        through: LogPosition,
    ) -> Result<(), GroupLogError> {
        let cell = self.inner.cell(group);
        let mut turn = cell.turn.lock().await;
        let records = {
            let state = cell.state();
            if state.purged.is_some_and(|purged| purged.value >= through) {
                return Ok(());
            }
            let mut records = vec![Record::Purged(group, through)];
            if state.last().is_some_and(|last| last < through) {
                // What stands behind the place was written by an older leader and never committed. It goes
                // first: of a purge that is cut short the snapshot knows, of such entries nobody would.
                records.insert(0, Record::Truncated(group, 0));
            }
            records.extend(state.committed_to_record(group));
            records
        };
        self.inner.write(group, &cell, &mut turn, records).await?;
        self.inner.garbage.notify_one();
        Ok(())
    }

    /// Forgets a group with its vote, durably: its replica was deleted and no member any more. Nothing may
    /// write of the group meanwhile; written anew it begins as one that never was.
    pub(crate) async fn erase(&self, group: GroupId) -> Result<(), GroupLogError> {
        let cell = self.inner.cell(group);
        let mut turn = cell.turn.lock().await;
        if cell.state().is_empty() {
            return Ok(());
        }
        let records = vec![Record::Erased(group)];
        self.inner.write(group, &cell, &mut turn, records).await?;
        self.inner.garbage.notify_one();
        Ok(())
    }

    /// Looks whether a log that refused a write can go on, and lets it; returns whether it takes writes.
    ///
    /// # Errors
    /// [`GroupLogError::Poisoned`] when it never will.
    pub async fn probe(&self) -> Result<bool, GroupLogError> {
        match self.inner.check_condition() {
            Ok(()) => return Ok(true),
            Err(GroupLogError::Refusing { .. }) => {}
            Err(error) => return Err(error),
        }
        let has_room = self.inner.room.room().is_ok_and(|room| {
            !room.is_read_only && room.free_bytes >= self.inner.options.resume_free_bytes
        });
        if !has_room {
            return Ok(false);
        }
        let probe = Record::Probe.encode().map_err(GroupLogError::unwritten)?;
        let outcome = self.inner.file.propose(vec![probe]).await;
        self.inner.note_outcome(&outcome);
        match outcome {
            Ok(_) => {
                self.inner.condition.send_replace(LogCondition::Working);
                Ok(true)
            }
            Err(LogError::WriteRefused { .. }) => Ok(false),
            Err(error) => Err(error.into()),
        }
    }
}

impl Inner {
    /// Writes records of a group whose turn it is and takes them over once they are durable.
    pub(super) async fn write(
        &self,
        group: GroupId,
        cell: &GroupCell,
        turn: &mut Turn,
        records: Vec<Record>,
    ) -> Result<(), GroupLogError> {
        if records.is_empty() {
            return Ok(());
        }
        let committed = self.propose(group, turn, &records).await?;
        let mut state = cell.state();
        let mut place = committed.first_index;
        for record in records {
            state.note(record, place, self.options.cache_bytes_max);
            place = place.next();
        }
        turn.is_writing = false;
        Ok(())
    }

    /// Writes records of a group whose turn it is; the caller takes over what they say and ends the turn.
    pub(super) async fn propose(
        &self,
        group: GroupId,
        turn: &mut Turn,
        records: &[Record],
    ) -> Result<Committed, GroupLogError> {
        self.check_condition()?;
        if turn.is_writing {
            return Err(GroupLogError::Abandoned { group });
        }
        let commands = records
            .iter()
            .map(Record::encode)
            .collect::<Result<Vec<Command>, _>>()
            .map_err(GroupLogError::unwritten)?;
        let bytes: usize = commands
            .iter()
            .map(|command| FRAME_BYTES + command.payload.len())
            .sum();
        let units_max = self.options.file.queue_bytes_max / UNIT_BYTES;
        let units = bytes.div_ceil(UNIT_BYTES).clamp(1, units_max.max(1));
        let _room = self
            .queue
            .acquire_many(u32::try_from(units).unwrap_or(u32::MAX))
            .await
            .map_err(|_closed| LogError::Closed)?;
        // A caller that gives up from here on leaves it set: the disk may have what memory lacks.
        turn.is_writing = true;
        let outcome = self.file.propose(commands).await;
        self.note_outcome(&outcome);
        if outcome
            .as_ref()
            .is_err_and(|error| !error.is_outcome_unknown())
        {
            turn.is_writing = false;
        }
        Ok(outcome?)
    }

    /// Tells the node what a write says about the disk.
    fn note_outcome(&self, outcome: &Result<Committed, LogError>) {
        let condition = match outcome {
            Err(LogError::WriteRefused { source, .. }) => LogCondition::Refusing {
                reason: source.to_string(),
            },
            Err(LogError::OutcomeUnknown { source, .. }) => LogCondition::Poisoned {
                reason: source.to_string(),
            },
            Err(LogError::Poisoned { reason, .. }) => LogCondition::Poisoned {
                reason: reason.clone(),
            },
            Err(error @ LogError::WriterGone) => LogCondition::Poisoned {
                reason: error.to_string(),
            },
            Ok(_) | Err(_) => return,
        };
        self.condition.send_if_modified(|current| {
            let is_final = matches!(current, LogCondition::Poisoned { .. });
            let is_new = !is_final && *current != condition;
            if is_new {
                tracing::error!(?condition, "the node's log takes no writes");
                *current = condition;
            }
            is_new
        });
    }
}
