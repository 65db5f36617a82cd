//! openraft's own test suite on the real log, snapshots and files.

use std::collections::BTreeMap;
use std::fmt::Debug;
use std::io::{Cursor, Read};
use std::ops::RangeBounds;
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use openraft::storage::{LogFlushed, LogState, RaftLogStorage};
use openraft::testing::{StoreBuilder, Suite};
use openraft::{EntryPayload, OptionalSend, RaftLogReader};
use tempfile::TempDir;
use twinscale_log::disk::FsDisk;
use twinscale_protocol::NodeNumber;

use super::{AppliedMembers, LogStore, MachineStore};
use crate::group_log::{GroupLog, GroupLogOptions, LogIdentity};
use crate::ids::{ClusterTag, GroupId};
use crate::machine::{AppliedMark, CommittedBatch, MachineError, StateImage, StateMachine};
use crate::snapshot::SnapshotStore;
use crate::types::{Entry, LogId, StorageError, TypeConfig, Vote, has_single_term_leaders};

type State = (Option<AppliedMark>, BTreeMap<u64, Vec<u8>>);

/// Keeps every proposal by its index.
#[derive(Default)]
struct Kept {
    state: Mutex<State>,
}

impl StateMachine for Kept {
    fn applied(&self) -> Result<Option<AppliedMark>, MachineError> {
        Ok(self.state.lock().unwrap().0.clone())
    }

    fn apply(
        &self,
        batches: &[CommittedBatch],
        mark: &AppliedMark,
    ) -> Result<Vec<Bytes>, MachineError> {
        let mut state = self.state.lock().unwrap();
        state.0 = Some(mark.clone());
        for batch in batches {
            let index = batch.position.index;
            state.1.insert(index, batch.commands.to_vec());
        }
        Ok(batches.iter().map(|batch| batch.commands.clone()).collect())
    }

    fn image(&self) -> Result<Option<StateImage>, MachineError> {
        let state = self.state.lock().unwrap();
        let bytes = bincode::serde::encode_to_vec(&state.1, bincode::config::standard());
        let contents = bytes.map_err(MachineError::new)?;
        Ok(state.0.clone().map(|mark| StateImage {
            mark,
            contents: Box::new(Cursor::new(contents)),
        }))
    }

    fn install(&self, mark: &AppliedMark, contents: &mut dyn Read) -> Result<(), MachineError> {
        let mut bytes = Vec::new();
        contents
            .read_to_end(&mut bytes)
            .map_err(MachineError::new)?;
        let (kept, _) = bincode::serde::decode_from_slice(&bytes, bincode::config::standard())
            .map_err(MachineError::new)?;
        *self.state.lock().unwrap() = (Some(mark.clone()), kept);
        Ok(())
    }
}

/// The real log; where a test of the suite leaves out an index, which openraft never does and the log
/// refuses, a blank entry takes its place, and an entry that was purged before is left out.
#[derive(Clone, Debug)]
struct WithoutHoles(LogStore);

impl RaftLogReader<TypeConfig> for WithoutHoles {
    async fn try_get_log_entries<RB: RangeBounds<u64> + Clone + Debug + OptionalSend>(
        &mut self,
        range: RB,
    ) -> Result<Vec<Entry>, StorageError> {
        self.0.try_get_log_entries(range).await
    }

    async fn limited_get_log_entries(
        &mut self,
        from: u64,
        to: u64,
    ) -> Result<Vec<Entry>, StorageError> {
        self.0.limited_get_log_entries(from, to).await
    }
}

impl RaftLogStorage<TypeConfig> for WithoutHoles {
    type LogReader = LogStore;

    async fn get_log_state(&mut self) -> Result<LogState<TypeConfig>, StorageError> {
        self.0.get_log_state().await
    }

    async fn get_log_reader(&mut self) -> LogStore {
        self.0.get_log_reader().await
    }

    async fn save_vote(&mut self, vote: &Vote) -> Result<(), StorageError> {
        self.0.save_vote(vote).await
    }

    async fn read_vote(&mut self) -> Result<Option<Vote>, StorageError> {
        self.0.read_vote().await
    }

    async fn save_committed(&mut self, committed: Option<LogId>) -> Result<(), StorageError> {
        self.0.save_committed(committed).await
    }

    async fn read_committed(&mut self) -> Result<Option<LogId>, StorageError> {
        self.0.read_committed().await
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
        let mut entries: Vec<Entry> = entries.into_iter().collect();
        let state = self.0.get_log_state().await?;
        let purged = state.last_purged_log_id.map(|purged| purged.index);
        entries.retain(|entry| Some(entry.log_id.index) > purged);
        let Some(first) = entries.first().map(|entry| entry.log_id) else {
            callback.log_io_completed(Ok(()));
            return Ok(());
        };
        let next = state.last_log_id.map_or(first.index, |last| last.index + 1);
        let blank = |index| Entry {
            log_id: LogId::new(first.leader_id, index),
            payload: EntryPayload::Blank,
        };
        let holes: Vec<Entry> = (next..first.index).map(blank).collect();
        self.0.append([holes, entries].concat(), callback).await
    }

    async fn truncate(&mut self, since: LogId) -> Result<(), StorageError> {
        self.0.truncate(since).await
    }

    async fn purge(&mut self, through: LogId) -> Result<(), StorageError> {
        self.0.purge(through).await
    }
}

/// Gives each test of the suite a group of its own on a directory of its own.
struct Builder;

impl StoreBuilder<TypeConfig, WithoutHoles, MachineStore, TempDir> for Builder {
    async fn build(&self) -> Result<(TempDir, WithoutHoles, MachineStore), StorageError> {
        let directory = tempfile::tempdir().unwrap();
        let identity = LogIdentity {
            cluster: ClusterTag(1),
            node: NodeNumber(0),
        };
        let log = GroupLog::create(
            &directory.path().join("log"),
            identity,
            GroupLogOptions::default(),
        )
        .unwrap();
        let disk = FsDisk::at(directory.path().join("snapshots")).unwrap();
        let snapshots = SnapshotStore::open(Arc::new(disk)).unwrap();
        let machine = MachineStore::new(
            GroupId(5),
            Arc::new(Kept::default()),
            snapshots,
            AppliedMembers::default(),
        );
        let log = WithoutHoles(LogStore::new(log, GroupId(5)));
        Ok((directory, log, machine))
    }
}

#[test]
fn openraft_storage_suite_passes_on_real_files() {
    Suite::test_all(Builder).unwrap();
}

#[test]
fn a_term_has_one_leader_in_this_build() {
    assert!(has_single_term_leaders());
}
