//! The snapshots of a node: one directory, one file per group once all is done.

use std::fmt;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use twinscale_log::disk::{Disk, DiskFile};

use super::file::{self, SnapshotError, SnapshotFile};
use crate::ids::{GroupId, LogPosition};
use crate::machine::{AppliedMark, StateImage};

const SUFFIX: &str = ".snapshot";
const TEMPORARY_SUFFIX: &str = ".tmp";

/// The directory of snapshots; clones share it.
#[derive(Clone)]
pub(crate) struct SnapshotStore {
    disk: Arc<dyn Disk>,
    /// Makes temporary names unique.
    next_temporary: Arc<AtomicU64>,
}

impl fmt::Debug for SnapshotStore {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("SnapshotStore")
            .field("directory", &self.disk.path_of(""))
            .finish_non_exhaustive()
    }
}

/// A snapshot that is being written under a temporary name; dropping it removes it.
#[derive(Debug)]
pub(crate) struct Incoming {
    store: SnapshotStore,
    group: GroupId,
    name: String,
    file: Arc<dyn DiskFile>,
    length: u64,
    is_kept: bool,
}

impl SnapshotStore {
    /// Opens the directory and removes what was left half-written.
    pub(crate) fn open(disk: Arc<dyn Disk>) -> Result<Self, SnapshotError> {
        let store = Self {
            disk,
            next_temporary: Arc::default(),
        };
        let mut removed = false;
        for name in store.names()? {
            if name.ends_with(TEMPORARY_SUFFIX) {
                tracing::warn!(name, "removing a snapshot that was left half-written");
                store.remove(&name)?;
                removed = true;
            }
        }
        if removed {
            store.sync_dir()?;
        }
        Ok(store)
    }

    /// Writes an image as the group's newest snapshot; durable when it returns.
    pub(crate) fn build(
        &self,
        group: GroupId,
        mut image: StateImage,
    ) -> Result<SnapshotFile, SnapshotError> {
        let mut incoming = self.begin(group)?;
        incoming.length = file::write(&*incoming.file, group, &image.mark, &mut image.contents)
            .map_err(|source| self.io("write", &incoming.name, source))?;
        incoming.finish(&image.mark)
    }

    /// Makes a snapshot that is elsewhere this store's own; one that is here already stays as it is.
    pub(crate) fn adopt(
        &self,
        group: GroupId,
        snapshot: &SnapshotFile,
    ) -> Result<SnapshotFile, SnapshotError> {
        if snapshot.path == self.disk.path_of(&snapshot.name) {
            return Ok(snapshot.clone());
        }
        let (_, mark, contents) = snapshot.read_header()?;
        let contents = Box::new(contents);
        self.build(group, StateImage { mark, contents })
    }

    /// Starts a snapshot whose bytes come from a peer.
    pub(crate) fn begin(&self, group: GroupId) -> Result<Incoming, SnapshotError> {
        let number = self.next_temporary.fetch_add(1, Ordering::Relaxed);
        let name = format!("group-{:010}-{number}{TEMPORARY_SUFFIX}", group.0);
        let file = self
            .disk
            .create(&name)
            .map_err(|source| self.io("create", &name, source))?;
        Ok(Incoming {
            store: self.clone(),
            group,
            name,
            file,
            length: 0,
            is_kept: false,
        })
    }

    /// Returns the newest sound snapshot of a group with its mark; damaged ones are told and left out.
    pub(crate) fn newest(
        &self,
        group: GroupId,
    ) -> Result<Option<(SnapshotFile, AppliedMark)>, SnapshotError> {
        let mut found = self.of_group(group)?;
        found.sort_unstable_by_key(|(position, _)| std::cmp::Reverse(*position));
        for (_, name) in found {
            let snapshot = self.file(&name)?;
            match snapshot.check() {
                Ok((of, mark)) if of == group => return Ok(Some((snapshot, mark))),
                Ok((of, _)) => tracing::error!(name, %of, "a snapshot bears another group's name"),
                Err(error @ SnapshotError::Io { .. }) => return Err(error),
                Err(error) => tracing::error!(%error, "a snapshot is damaged and not used"),
            }
        }
        Ok(None)
    }

    /// Removes the snapshots of a group that lie before a place.
    fn remove_older(&self, group: GroupId, than: LogPosition) -> Result<(), SnapshotError> {
        for (position, name) in self.of_group(group)? {
            if position < than {
                self.remove(&name)?;
            }
        }
        Ok(())
    }

    /// Removes all snapshots of a group, durably.
    pub(crate) fn erase(&self, group: GroupId) -> Result<(), SnapshotError> {
        for (_, name) in self.of_group(group)? {
            self.remove(&name)?;
        }
        self.sync_dir()
    }

    fn of_group(&self, group: GroupId) -> Result<Vec<(LogPosition, String)>, SnapshotError> {
        let names = self.names()?.into_iter();
        Ok(names
            .filter_map(|name| {
                let (of, position) = parse_name(&name)?;
                (of == group).then_some((position, name))
            })
            .collect())
    }

    fn file(&self, name: &str) -> Result<SnapshotFile, SnapshotError> {
        let file = self
            .disk
            .open(name)
            .map_err(|source| self.io("open", name, source))?;
        let length = file
            .length()
            .map_err(|source| self.io("examine", name, source))?;
        Ok(SnapshotFile {
            name: name.to_owned(),
            path: self.disk.path_of(name),
            file,
            length,
        })
    }

    fn names(&self) -> Result<Vec<String>, SnapshotError> {
        self.disk
            .list()
            .map_err(|source| self.io("list", "", source))
    }

    fn remove(&self, name: &str) -> Result<(), SnapshotError> {
        match self.disk.remove(name) {
            Err(source) if source.kind() != io::ErrorKind::NotFound => {
                Err(self.io("remove", name, source))
            }
            Ok(()) | Err(_) => Ok(()),
        }
    }

    fn sync_dir(&self) -> Result<(), SnapshotError> {
        self.disk
            .sync_dir()
            .map_err(|source| self.io("make durable", "", source))
    }

    fn io(&self, operation: &'static str, name: &str, source: io::Error) -> SnapshotError {
        SnapshotError::Io {
            operation,
            path: self.disk.path_of(name),
            source,
        }
    }
}

impl Incoming {
    /// How many bytes are there.
    pub(crate) fn length(&self) -> u64 {
        self.length
    }

    /// Returns a reader of what is there so far.
    pub(crate) fn reader(&self) -> SnapshotFile {
        SnapshotFile {
            name: self.name.clone(),
            path: self.store.disk.path_of(&self.name),
            file: Arc::clone(&self.file),
            length: self.length,
        }
    }

    /// Adds bytes at the end.
    pub(crate) fn append(&mut self, bytes: &[u8]) -> Result<(), SnapshotError> {
        self.file
            .write_at(self.length, bytes)
            .map_err(|source| self.store.io("write", &self.name, source))?;
        self.length += bytes.len() as u64;
        Ok(())
    }

    /// Checks everything that was written, makes it durable and gives it its name.
    pub(crate) fn finish(mut self, wanted: &AppliedMark) -> Result<SnapshotFile, SnapshotError> {
        let store = self.store.clone();
        self.file
            .sync_data()
            .map_err(|source| store.io("make durable", &self.name, source))?;
        let written = store.file(&self.name)?;
        let (group, mark) = written.check()?;
        if group != self.group || mark != *wanted || written.length() != self.length {
            return Err(SnapshotError::Damaged {
                path: written.path,
                offset: 0,
                reason: format!("it is of group {group} at {}", mark.position()),
            });
        }
        let name = name_of(group, mark.position());
        store
            .disk
            .rename(&self.name, &name)
            .map_err(|source| store.io("rename", &self.name, source))?;
        self.is_kept = true;
        store.sync_dir()?;
        // An older one does no harm; the next snapshot removes it.
        if let Err(error) = store.remove_older(group, mark.position()) {
            tracing::warn!(%error, "an older snapshot stays");
        }
        store.file(&name)
    }
}

impl Drop for Incoming {
    fn drop(&mut self) {
        if !self.is_kept
            && let Err(error) = self.store.remove(&self.name)
        {
            tracing::warn!(%error, "a half-written snapshot stays until the next start");
        }
    }
}

fn name_of(group: GroupId, position: LogPosition) -> String {
    format!(
        "group-{:010}-{:020}-{:020}{SUFFIX}",
        group.0, position.term, position.index
    )
}

fn parse_name(name: &str) -> Option<(GroupId, LogPosition)> {
    let mut parts = name
        .strip_prefix("group-")?
        .strip_suffix(SUFFIX)?
        .splitn(3, '-');
    let group = parts.next()?.parse().ok()?;
    let term = parts.next()?.parse().ok()?;
    let index = parts.next()?.parse().ok()?;
    Some((GroupId(group), LogPosition { term, index }))
}
