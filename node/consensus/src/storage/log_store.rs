//! One group's part of the node's log, as openraft wants it.

use std::fmt::Debug;
use std::ops::{Bound, RangeBounds};

use openraft::storage::{LogFlushed, LogState, RaftLogStorage};
use openraft::{OptionalSend, RaftLogReader, StorageIOError};

use crate::group_log::{GroupLog, GroupLogError};
use crate::ids::GroupId;
use crate::types::{Entry, LogId, StorageError, TypeConfig, Vote};

/// How many bytes of entries one message to a peer carries at most, beyond one entry.
const MESSAGE_BYTES_MAX: usize = 2 << 20;

/// One group's log.
#[derive(Clone, Debug)]
pub(crate) struct LogStore {
    log: GroupLog,
    group: GroupId,
}

impl LogStore {
    pub(crate) fn new(log: GroupLog, group: GroupId) -> Self {
        Self { log, group }
    }

    async fn read(&self, from: u64, to: u64, bytes_max: usize) -> Result<Vec<Entry>, StorageError> {
        self.log
            .entries(self.group, from, to, bytes_max)
            .await
            .map_err(|error| StorageIOError::read_logs(&error).into())
    }
}

#[expect(
    clippy::result_large_err,
    reason = "the error is openraft's, and its traits return it as it is"
)]
fn written(outcome: Result<(), GroupLogError>) -> Result<(), StorageError> {
    outcome.map_err(|error| StorageIOError::write_logs(&error).into())
}

impl RaftLogReader<TypeConfig> for LogStore {
    async fn try_get_log_entries<RB: RangeBounds<u64> + Clone + Debug + OptionalSend>(
        &mut self,
        range: RB,
    ) -> Result<Vec<Entry>, StorageError> {
        let from = match range.start_bound() {
            Bound::Included(index) => *index,
            Bound::Excluded(index) => index + 1,
            Bound::Unbounded => 0,
        };
        let to = match range.end_bound() {
            Bound::Included(index) => index + 1,
            Bound::Excluded(index) => *index,
            Bound::Unbounded => u64::MAX,
        };
        self.read(from, to, usize::MAX).await
    }

    async fn limited_get_log_entries(
        &mut self,
        from: u64,
        to: u64,
    ) -> Result<Vec<Entry>, StorageError> {
        self.read(from, to, MESSAGE_BYTES_MAX).await
    }
}

impl RaftLogStorage<TypeConfig> for LogStore {
    type LogReader = Self;

    async fn get_log_state(&mut self) -> Result<LogState<TypeConfig>, StorageError> {
        let state = self.log.state(self.group);
        Ok(LogState {
            last_purged_log_id: state.purged.map(Into::into),
            last_log_id: state.last.map(Into::into),
        })
    }

    async fn get_log_reader(&mut self) -> Self {
        self.clone()
    }

    async fn save_vote(&mut self, vote: &Vote) -> Result<(), StorageError> {
        self.log
            .save_vote(self.group, *vote)
            .await
            .map_err(|error| StorageIOError::write_vote(&error).into())
    }

    async fn read_vote(&mut self) -> Result<Option<Vote>, StorageError> {
        Ok(self.log.vote(self.group))
    }

    async fn save_committed(&mut self, committed: Option<LogId>) -> Result<(), StorageError> {
        self.log
            .note_committed(self.group, committed.map(Into::into));
        Ok(())
    }

    async fn read_committed(&mut self) -> Result<Option<LogId>, StorageError> {
        Ok(self.log.committed(self.group).map(Into::into))
    }

    async fn append<I>(
        &mut self,
        entries: I,
        callback: LogFlushed<TypeConfig>,
    ) -> Result<(), StorageError>
    where
        I: IntoIterator<Item = Entry> + OptionalSend,
        I::IntoIter: OptionalSend,
    {
        let entries: Vec<Entry> = entries.into_iter().collect();
        written(self.log.append(self.group, entries).await)?;
        callback.log_io_completed(Ok(()));
        Ok(())
    }

    async fn truncate(&mut self, since: LogId) -> Result<(), StorageError> {
        written(self.log.truncate(self.group, since.index).await)
    }

    async fn purge(&mut self, through: LogId) -> Result<(), StorageError> {
        written(self.log.purge(self.group, through.into()).await)
    }
}
