//! The owner's state, as openraft wants it: every call on a thread that may block.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use openraft::storage::RaftStateMachine;
use openraft::{
    AnyError, EntryPayload, OptionalSend, RaftSnapshotBuilder, Snapshot, StorageIOError,
};
use twinscale_protocol::NodeNumber;

use crate::ids::GroupId;
use crate::machine::{AppliedMark, CommittedBatch, MachineError, StateMachine};
use crate::snapshot::{SnapshotError, SnapshotFile, SnapshotStore};
use crate::types::{
    Entry, LogId, Response, SnapshotMeta, StorageError, StoredMembership, TypeConfig,
};

type IoError = StorageIOError<NodeNumber>;

/// The members as of the last applied entry, for whoever shows them; clones share it.
#[derive(Clone, Debug, Default)]
pub(crate) struct AppliedMembers(Arc<Mutex<StoredMembership>>);

impl AppliedMembers {
    pub(crate) fn get(&self) -> StoredMembership {
        self.0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    fn set(&self, membership: StoredMembership) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = membership;
    }
}

/// One group's state with its snapshots.
#[derive(Clone)]
pub(crate) struct MachineStore {
    group: GroupId,
    machine: Arc<dyn StateMachine>,
    snapshots: SnapshotStore,
    /// The members as of the last applied entry; None until the state was asked.
    membership: Option<StoredMembership>,
    shown: AppliedMembers,
}

impl fmt::Debug for MachineStore {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("MachineStore")
            .field("group", &self.group)
            .finish_non_exhaustive()
    }
}

impl MachineStore {
    pub(crate) fn new(
        group: GroupId,
        machine: Arc<dyn StateMachine>,
        snapshots: SnapshotStore,
        shown: AppliedMembers,
    ) -> Self {
        Self {
            group,
            machine,
            snapshots,
            membership: None,
            shown,
        }
    }

    fn remember(&mut self, membership: StoredMembership) {
        self.shown.set(membership.clone());
        self.membership = Some(membership);
    }

    /// Brings a state that lies behind the newest snapshot up to it, and returns how far it is now.
    ///
    /// The log is purged behind that snapshot, so that entries alone could not bring it up.
    pub(crate) async fn catch_up(&self) -> Result<Option<AppliedMark>, StorageError> {
        let this = self.clone();
        blocking(IoError::read_state_machine, move || {
            let applied = this.machine.applied().map_err(|error| described(&error))?;
            let newest = this.snapshots.newest(this.group).map_err(any)?;
            let Some((snapshot, mark)) = newest.filter(|(_, mark)| {
                applied.as_ref().map(AppliedMark::position) < Some(mark.position())
            }) else {
                return Ok(applied);
            };
            tracing::warn!(
                group = %this.group,
                applied = ?applied.map(|mark| mark.position()),
                snapshot = %mark.position(),
                "the state lies behind its snapshot and is brought up from it"
            );
            install(&*this.machine, &snapshot)?;
            Ok(Some(mark))
        })
        .await
    }

    async fn membership(&mut self) -> Result<StoredMembership, StorageError> {
        if let Some(membership) = &self.membership {
            return Ok(membership.clone());
        }
        Ok(self.applied_state().await?.1)
    }
}

/// Runs a call on a thread that may block and names its error.
async fn blocking<T: Send + 'static>(
    name: impl FnOnce(AnyError) -> IoError,
    call: impl FnOnce() -> Result<T, AnyError> + Send + 'static,
) -> Result<T, StorageError> {
    let outcome = tokio::task::spawn_blocking(call)
        .await
        .unwrap_or_else(|error| Err(AnyError::new(&error)));
    outcome.map_err(|error| name(error).into())
}

fn described(error: &MachineError) -> AnyError {
    AnyError::error(error.describe())
}

fn any(error: SnapshotError) -> AnyError {
    AnyError::new(&error)
}

fn install(machine: &dyn StateMachine, snapshot: &SnapshotFile) -> Result<(), AnyError> {
    // All of it is checked before the state is touched, and each chunk again as it is read.
    snapshot.check().map_err(any)?;
    let (_, mark, mut contents) = snapshot.read_header().map_err(any)?;
    machine
        .install(&mark, &mut contents)
        .map_err(|error| described(&error))
}

fn meta(mark: &AppliedMark) -> SnapshotMeta {
    let position = mark.position();
    SnapshotMeta {
        last_log_id: Some(position.into()),
        last_membership: mark.stored_membership(),
        snapshot_id: format!("{}-{}", position.term, position.index),
    }
}

fn snapshot_of(snapshot: SnapshotFile, mark: &AppliedMark) -> Snapshot<TypeConfig> {
    Snapshot {
        meta: meta(mark),
        snapshot: Box::new(snapshot),
    }
}

/// What applying some entries needs: the proposals, where the others stand, and the mark after them.
struct Step {
    batches: Vec<CommittedBatch>,
    is_batch: Vec<bool>,
    applied: Option<LogId>,
    membership: StoredMembership,
}

impl Step {
    fn of(entries: impl IntoIterator<Item = Entry>, membership: StoredMembership) -> Self {
        let mut step = Self {
            batches: Vec::new(),
            is_batch: Vec::new(),
            applied: None,
            membership,
        };
        for entry in entries {
            step.applied = Some(entry.log_id);
            step.is_batch
                .push(matches!(entry.payload, EntryPayload::Normal(_)));
            match entry.payload {
                EntryPayload::Blank => {}
                EntryPayload::Normal(batch) => step.batches.push(CommittedBatch {
                    position: entry.log_id.into(),
                    commands: batch.0,
                }),
                EntryPayload::Membership(membership) => {
                    step.membership = StoredMembership::new(Some(entry.log_id), membership);
                }
            }
        }
        step
    }
}

impl RaftStateMachine<TypeConfig> for MachineStore {
    type SnapshotBuilder = Self;

    async fn applied_state(&mut self) -> Result<(Option<LogId>, StoredMembership), StorageError> {
        let machine = Arc::clone(&self.machine);
        let mark = blocking(IoError::read_state_machine, move || {
            machine.applied().map_err(|error| described(&error))
        })
        .await?;
        let membership = mark
            .as_ref()
            .map(AppliedMark::stored_membership)
            .unwrap_or_default();
        self.remember(membership.clone());
        Ok((mark.map(|mark| mark.position().into()), membership))
    }

    async fn apply<I>(&mut self, entries: I) -> Result<Vec<Response>, StorageError>
    where
        I: IntoIterator<Item = Entry> + OptionalSend,
        I::IntoIter: OptionalSend,
    {
        let entries: Vec<Entry> = entries.into_iter().collect();
        let step = Step::of(entries, self.membership().await?);
        let Some(applied) = step.applied else {
            return Ok(Vec::new());
        };
        let mark = AppliedMark::new(applied, &step.membership);
        let machine = Arc::clone(&self.machine);
        let count = step.batches.len();
        let batches = step.batches;
        let responses = blocking(
            |error| IoError::apply(applied, error),
            move || {
                let responses = machine.apply(&batches, &mark);
                responses.map_err(|error| described(&error))
            },
        )
        .await?;
        if responses.len() != count {
            let text = format!("{} responses to {count} proposals", responses.len());
            return Err(IoError::apply(applied, AnyError::error(text)).into());
        }
        self.remember(step.membership);
        let mut responses = responses.into_iter();
        let of_entry = |is_batch| {
            let response = if is_batch { responses.next() } else { None };
            Response(response.unwrap_or_default())
        };
        Ok(step.is_batch.into_iter().map(of_entry).collect())
    }

    async fn get_snapshot_builder(&mut self) -> Self {
        self.clone()
    }

    async fn begin_receiving_snapshot(&mut self) -> Result<Box<SnapshotFile>, StorageError> {
        // Snapshots arrive chunk by chunk and are whole when openraft sees them, so that it never asks.
        let begun = self.snapshots.begin(self.group);
        let file = begun.map_err(|error| IoError::write_snapshot(None, any(error)))?;
        Ok(Box::new(file.reader()))
    }

    async fn install_snapshot(
        &mut self,
        meta: &SnapshotMeta,
        snapshot: Box<SnapshotFile>,
    ) -> Result<(), StorageError> {
        let signature = Some(meta.signature());
        let this = self.clone();
        blocking(
            |error| IoError::write_snapshot(signature, error),
            move || {
                // The log will be purged behind it, so it stays here before the state changes.
                let adopted = this.snapshots.adopt(this.group, &snapshot);
                install(&*this.machine, &adopted.map_err(any)?)
            },
        )
        .await?;
        self.remember(meta.last_membership.clone());
        Ok(())
    }

    async fn get_current_snapshot(&mut self) -> Result<Option<Snapshot<TypeConfig>>, StorageError> {
        let (snapshots, group) = (self.snapshots.clone(), self.group);
        let newest = blocking(
            |error| IoError::read_snapshot(None, error),
            move || snapshots.newest(group).map_err(any),
        )
        .await?;
        Ok(newest.map(|(snapshot, mark)| snapshot_of(snapshot, &mark)))
    }
}

impl RaftSnapshotBuilder<TypeConfig> for MachineStore {
    async fn build_snapshot(&mut self) -> Result<Snapshot<TypeConfig>, StorageError> {
        let this = self.clone();
        blocking(
            |error| IoError::write_snapshot(None, error),
            move || {
                let image = this.machine.image().map_err(|error| described(&error))?;
                let Some(image) = image else {
                    // Of a state to which nothing was applied there is nothing to keep or to send.
                    let empty = this.snapshots.begin(this.group).map_err(any)?;
                    return Ok(Snapshot {
                        meta: SnapshotMeta::default(),
                        snapshot: Box::new(empty.reader()),
                    });
                };
                let mark = image.mark.clone();
                let snapshot = this.snapshots.build(this.group, image).map_err(any)?;
                Ok(snapshot_of(snapshot, &mark))
            },
        )
        .await
    }
}
