//! Making and opening: identity, the file log's own checks, then all living records.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::{Arc, Mutex};

use tokio::sync::{Notify, Semaphore, watch};
use twinscale_log::disk::Disk;
use twinscale_log::{
    CommandLog, DiskRoom, FileLog, LogObserver, NoObserver, OpenReport, ReadLimits,
    SystemMonotonicClock,
};

use super::error::GroupLogError;
use super::record::Record;
use super::write::UNIT_BYTES;
use super::{
    GroupCell, GroupLog, GroupLogOptions, Inner, LogCondition, LogIdentity, Place, identity,
};
use crate::group_log::state::GroupState;
use crate::ids::GroupId;

impl GroupLog {
    /// Makes the log on any empty disk.
    ///
    /// # Errors
    /// Those of [`GroupLog::create`].
    pub fn create_on(
        disk: Arc<dyn Disk>,
        room: Arc<dyn DiskRoom>,
        identity: LogIdentity,
        options: GroupLogOptions,
    ) -> Result<Self, GroupLogError> {
        identity::check_empty(&*disk, &list(&*disk)?)?;
        identity::write(&*disk, identity)?;
        Self::load((disk, room), identity, options, Arc::new(NoObserver)).map(|(log, _)| log)
    }

    /// Opens the log on any disk.
    ///
    /// # Errors
    /// Those of [`GroupLog::open`].
    pub fn open_on(
        disk: Arc<dyn Disk>,
        room: Arc<dyn DiskRoom>,
        identity: LogIdentity,
        options: GroupLogOptions,
    ) -> Result<(Self, OpenReport), GroupLogError> {
        identity::check(&*disk, &list(&*disk)?, identity)?;
        Self::load((disk, room), identity, options, Arc::new(NoObserver))
    }

    /// As [`GroupLog::open`], or [`GroupLog::create`] where the directory is not there, with an observer of
    /// what is written.
    ///
    /// # Errors
    /// Those of the two.
    pub fn open_or_create_observed(
        directory: &Path,
        identity: LogIdentity,
        options: GroupLogOptions,
        observer: Arc<dyn LogObserver>,
    ) -> Result<Self, GroupLogError> {
        // The log is made before anything is promised, so that one that is missing in its directory is a loss.
        let is_new = !directory.exists();
        let (disk, room) = Self::file_system(directory)?;
        let names = list(&*disk)?;
        if is_new {
            identity::check_empty(&*disk, &names)?;
            identity::write(&*disk, identity)?;
        } else {
            identity::check(&*disk, &names, identity)?;
        }
        Self::load((disk, room), identity, options, observer).map(|(log, _)| log)
    }

    fn load(
        (disk, room): Place,
        identity: LogIdentity,
        options: GroupLogOptions,
        observer: Arc<dyn LogObserver>,
    ) -> Result<(Self, OpenReport), GroupLogError> {
        let (file, report) = FileLog::open_on(
            Arc::clone(&disk),
            options.file,
            observer,
            Arc::new(SystemMonotonicClock::start()),
        )?;
        let states = replay(&file, options.cache_bytes_max)?;
        for (group, state) in &states {
            if let Some(index) = state.missing_index() {
                return Err(GroupLogError::Gap {
                    directory: disk.path_of(""),
                    group: *group,
                    index,
                });
            }
        }
        let cells = states.into_iter().map(|(group, state)| {
            let cell = GroupCell {
                turn: tokio::sync::Mutex::default(),
                state: Mutex::new(state),
            };
            (group, Arc::new(cell))
        });
        let units = options.file.queue_bytes_max / UNIT_BYTES;
        let log = Self {
            inner: Arc::new(Inner {
                identity,
                options,
                file,
                room,
                groups: Mutex::new(cells.collect()),
                queue: Semaphore::new(units.min(options.file.queue_proposals_max).max(1)),
                condition: watch::Sender::new(LogCondition::Working),
                garbage: Notify::new(),
            }),
        };
        // What a purge before the restart left over.
        log.inner.garbage.notify_one();
        Ok((log, report))
    }
}

fn list(disk: &dyn Disk) -> Result<Vec<String>, GroupLogError> {
    disk.list()
        .map_err(|error| GroupLogError::io("list", disk.path_of(""), error))
}

fn replay(
    file: &FileLog,
    cache_bytes_max: usize,
) -> Result<BTreeMap<GroupId, GroupState>, GroupLogError> {
    let mut states: BTreeMap<GroupId, GroupState> = BTreeMap::new();
    let mut next = file.first_index();
    loop {
        let entries = file.read(next, ReadLimits::default())?;
        let Some(last) = entries.last() else {
            return Ok(states);
        };
        next = last.index.next();
        for entry in entries {
            let place = entry.index;
            let record = Record::decode(entry.kind, &entry.payload)
                .map_err(|source| GroupLogError::Record { place, source })?;
            if let Some(group) = record.group() {
                let state = states.entry(group).or_default();
                state.note(record, place, cache_bytes_max);
            }
        }
    }
}
