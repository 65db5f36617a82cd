//! One log for all groups of a node: one writer thread, one fdatasync for all that wait.
//!
//! It stands on [`FileLog`], whose entries are here records of all groups ([`record`]). Memory holds where
//! each living record stands and the newest entries; opening reads it all and feeds the same function as
//! writing does ([`state`]).
//!
//! Promises:
//! - a vote, an append, a cut or a purge that returned is there after a power cut;
//! - a write that the disk refused for want of room is not there, and the log refuses everything until there
//!   is room; any other failed write poisons it for good. Both are told by [`GroupLog::condition`];
//! - a segment is deleted when nothing living stands in it; what lives in an old one is copied forward
//!   ([`GroupLog::clean`]), so that a group that lags holds no more than its own entries.
//!
//! Not done here: deciding what a group may purge (openraft, behind a snapshot that was fsynced).

mod cleaner;
mod error;
mod identity;
mod open;
mod read;
mod record;
mod state;
mod write;

pub use error::GroupLogError;
pub use identity::LogIdentity;
pub use record::RecordError;

use std::collections::BTreeMap;
use std::fmt;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::{Notify, Semaphore, watch};
use twinscale_log::disk::{Disk, FsDisk};
use twinscale_log::{DiskRoom, FileLog, FsRoom, LogMetrics, LogOptions, OpenReport};

use crate::ids::{GroupId, LogPosition};
use crate::types::Vote;
use state::GroupState;

/// Limits of the node's log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct GroupLogOptions {
    /// The file log below.
    pub file: LogOptions,
    /// How many bytes of its newest entries each group keeps in memory.
    pub cache_bytes_max: usize,
    /// What lives in the oldest segment is copied forward once the log takes this many times the living
    /// bytes, beyond two segments.
    pub garbage_factor: u64,
    /// A log that refused a write goes on once the disk has this many bytes free.
    pub resume_free_bytes: u64,
}

impl Default for GroupLogOptions {
    /// 16 MiB segments, 1 MiB of entries in memory per group, twice the living bytes on disk, 64 MiB free
    /// to go on.
    fn default() -> Self {
        Self {
            file: LogOptions {
                segment_bytes_max: 16 << 20,
                ..LogOptions::default()
            },
            cache_bytes_max: 1 << 20,
            garbage_factor: 2,
            resume_free_bytes: 64 << 20,
        }
    }
}

/// A disk and what tells how much room it has.
type Place = (Arc<dyn Disk>, Arc<dyn DiskRoom>);

/// Whether the log takes writes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LogCondition {
    /// It does.
    Working,
    /// The disk has no room: nothing is written until there is some.
    Refusing {
        /// What the disk said.
        reason: String,
    },
    /// A write failed and nobody knows what is on disk: nothing is written by this process again.
    Poisoned {
        /// What the disk said.
        reason: String,
    },
}

/// What a group has in the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct GroupLogState {
    /// The last place that was purged.
    pub(crate) purged: Option<LogPosition>,
    /// The last entry; what was purged when there is none.
    pub(crate) last: Option<LogPosition>,
}

/// The log of one node; clones share it.
#[derive(Clone)]
pub struct GroupLog {
    inner: Arc<Inner>,
}

struct Inner {
    identity: LogIdentity,
    options: GroupLogOptions,
    file: FileLog,
    room: Arc<dyn DiskRoom>,
    groups: Mutex<BTreeMap<GroupId, Arc<GroupCell>>>,
    /// Units of queue that are free, [`write::UNIT_BYTES`] each: writers wait here rather than be refused.
    queue: Semaphore,
    condition: watch::Sender<LogCondition>,
    garbage: Notify,
}

/// One group; its writes and the cleaner's copies take turns.
#[derive(Debug, Default)]
struct GroupCell {
    turn: tokio::sync::Mutex<Turn>,
    state: Mutex<GroupState>,
}

#[derive(Debug, Default)]
struct Turn {
    is_writing: bool,
}

impl GroupCell {
    /// A reader that panicked changed nothing.
    fn state(&self) -> MutexGuard<'_, GroupState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for GroupLog {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("GroupLog")
            .field("identity", &self.inner.identity)
            .finish_non_exhaustive()
    }
}

impl GroupLog {
    /// Makes the log of a node that is new to its cluster, in an empty directory.
    ///
    /// # Errors
    /// [`GroupLogError::Exists`] when a log is there; otherwise those of the disk.
    pub fn create(
        directory: &Path,
        identity: LogIdentity,
        options: GroupLogOptions,
    ) -> Result<Self, GroupLogError> {
        let (disk, room) = Self::file_system(directory)?;
        Self::create_on(disk, room, identity, options)
    }

    /// Opens the log that this node had before.
    ///
    /// # Errors
    /// [`GroupLogError::Missing`], [`GroupLogError::Foreign`] and [`GroupLogError::IdentityDamaged`] when it
    /// is not there; those of [`FileLog::open`] and [`GroupLogError::Gap`] when it is damaged.
    ///
    /// # Cost
    /// Reads the log twice: once to check it, once to find what lives.
    pub fn open(
        directory: &Path,
        identity: LogIdentity,
        options: GroupLogOptions,
    ) -> Result<(Self, OpenReport), GroupLogError> {
        let (disk, room) = Self::file_system(directory)?;
        Self::open_on(disk, room, identity, options)
    }

    pub(super) fn file_system(directory: &Path) -> Result<Place, GroupLogError> {
        let disk = FsDisk::at(directory)
            .map_err(|error| GroupLogError::io("create", directory.to_owned(), error))?;
        Ok((Arc::new(disk), Arc::new(FsRoom::at(directory))))
    }

    /// Returns whose log it is.
    pub fn identity(&self) -> LogIdentity {
        self.inner.identity
    }

    /// Returns whether it takes writes, and tells of changes.
    pub fn condition(&self) -> watch::Receiver<LogCondition> {
        self.inner.condition.subscribe()
    }

    /// Returns what the log below counted.
    pub fn metrics(&self) -> LogMetrics {
        self.inner.file.metrics()
    }

    /// Returns what the log takes on disk, in bytes.
    pub fn disk_bytes(&self) -> u64 {
        let segments = self.inner.file.segments();
        segments.iter().map(|segment| segment.bytes).sum()
    }

    /// Returns the groups that have something in the log.
    pub fn groups(&self) -> Vec<GroupId> {
        let cells = self.inner.cells().into_iter();
        let filled = cells.filter(|(_, cell)| !cell.state().is_empty());
        filled.map(|(group, _)| group).collect()
    }

    pub(crate) fn state(&self, group: GroupId) -> GroupLogState {
        let cell = self.inner.cell(group);
        let state = cell.state();
        GroupLogState {
            purged: state.purged.map(|purged| purged.value),
            last: state.last(),
        }
    }

    pub(crate) fn vote(&self, group: GroupId) -> Option<Vote> {
        let cell = self.inner.cell(group);
        let vote = cell.state().vote;
        vote.map(|vote| vote.value)
    }

    pub(crate) fn committed(&self, group: GroupId) -> Option<LogPosition> {
        self.inner.cell(group).state().committed
    }

    /// Returns why the log takes no writes, if it takes none.
    pub(crate) fn refusal(&self) -> Option<GroupLogError> {
        self.inner.check_condition().err()
    }

    /// Waits until a purge left something to clean.
    pub(crate) async fn garbage(&self) {
        self.inner.garbage.notified().await;
    }
}

impl Inner {
    fn groups(&self) -> MutexGuard<'_, BTreeMap<GroupId, Arc<GroupCell>>> {
        self.groups.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn cell(&self, group: GroupId) -> Arc<GroupCell> {
        Arc::clone(self.groups().entry(group).or_default())
    }

    fn cells(&self) -> Vec<(GroupId, Arc<GroupCell>)> {
        self.groups()
            .iter()
            .map(|(group, cell)| (*group, Arc::clone(cell)))
            .collect()
    }

    fn check_condition(&self) -> Result<(), GroupLogError> {
        match &*self.condition.borrow() {
            LogCondition::Working => Ok(()),
            LogCondition::Refusing { reason } => Err(GroupLogError::Refusing {
                reason: reason.clone(),
            }),
            LogCondition::Poisoned { reason } => Err(GroupLogError::Poisoned {
                reason: reason.clone(),
            }),
        }
    }
}

#[cfg(test)]
mod tests;
