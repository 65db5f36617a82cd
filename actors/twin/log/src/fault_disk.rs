//! A disk in memory that loses, tears and refuses writes, for tests of crash safety.
//!
//! It keeps two states: what reads see, and what a power cut leaves. Until a sync returns, any
//! part of what was written may be lost, byte ranges of one write included. A failed sync behaves
//! like the kernel's: reads still see the bytes, later syncs no longer write them.
//!
//! Determinism: one seed and one sequence of calls give one outcome.

mod changes;

use std::collections::BTreeMap;
use std::io;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::disk::{Disk, DiskFile, DiskLock, Locking};
use crate::room::{DiskRoom, Room};
use changes::{FileChange, Inode, NameChange, next_random, pick};

/// What happens at the chosen operation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// The power fails during it: this and every later operation errs until [`FaultDisk::crash`].
    PowerCut,
    /// It fails once: a write is cut short (disk full), a sync loses part of what was written.
    Error,
}

/// The disk; clones share it, as processes that come after each other do.
#[derive(Clone, Debug)]
pub struct FaultDisk {
    state: Arc<Mutex<State>>,
}

#[derive(Clone, Debug)]
struct State {
    random: u64,
    inodes: BTreeMap<u64, Inode>,
    next_inode: u64,
    names: BTreeMap<String, u64>,
    durable_names: BTreeMap<String, u64>,
    pending_names: Vec<NameChange>,
    operations: u64,
    fault: Option<(u64, Fault)>,
    /// What all files together may hold, in bytes.
    capacity: Option<u64>,
    is_powered: bool,
    /// Counts restarts; files opened before one are dead.
    incarnation: u64,
    locked_by: Option<u64>,
}

#[derive(Debug)]
struct FaultFile {
    state: Arc<Mutex<State>>,
    inode: u64,
    incarnation: u64,
}

#[derive(Debug)]
struct FaultLock {
    state: Arc<Mutex<State>>,
    incarnation: u64,
}

impl FaultDisk {
    /// Makes an empty disk.
    pub fn new(seed: u64) -> Self {
        Self {
            state: Arc::new(Mutex::new(State {
                random: seed,
                inodes: BTreeMap::new(),
                next_inode: 0,
                names: BTreeMap::new(),
                durable_names: BTreeMap::new(),
                pending_names: Vec::new(),
                operations: 0,
                fault: None,
                capacity: None,
                is_powered: true,
                incarnation: 0,
                locked_by: None,
            })),
        }
    }

    /// Arms a fault at the operation that comes `after` others; reads are not counted.
    pub fn arm(&self, after: u64, fault: Fault) {
        let mut state = lock(&self.state);
        let at = state.operations + after;
        state.fault = Some((at, fault));
    }

    /// Leaves room for this many bytes more, or takes the limit away: a write that finds no room is cut
    /// short, and a full disk makes no files.
    pub fn leave_room(&self, bytes: Option<u64>) {
        let mut state = lock(&self.state);
        let used = state.used_bytes();
        state.capacity = bytes.map(|bytes| used + bytes);
    }

    /// Takes back a fault that has not happened.
    pub fn disarm(&self) {
        lock(&self.state).fault = None;
    }

    /// Returns how many operations were counted.
    pub fn operations(&self) -> u64 {
        lock(&self.state).operations
    }

    /// Cuts the power and restores it: what was not synced is there, torn or lost, by chance.
    pub fn crash(&self) {
        let mut guard = lock(&self.state);
        let state = &mut *guard;
        let mut names = state.durable_names.clone();
        for change in std::mem::take(&mut state.pending_names) {
            if next_random(&mut state.random).is_multiple_of(2) {
                change.apply(&mut names);
            }
        }
        for inode in state.inodes.values_mut() {
            inode.lose_part(&mut state.random);
            inode.visible.clone_from(&inode.durable);
        }
        state.durable_names.clone_from(&names);
        state.names = names;
        state.is_powered = true;
        state.restart();
    }

    /// Ends the process that uses the disk, as kill -9 does: what was written stays visible.
    pub fn kill(&self) {
        lock(&self.state).restart();
    }

    /// Copies the disk as it is now; what happens to the copy leaves this one alone.
    #[must_use]
    pub fn snapshot(&self) -> Self {
        let state = lock(&self.state).clone();
        Self {
            state: Arc::new(Mutex::new(state)),
        }
    }

    /// Returns the bytes that reads of a file see; `None` when there is no such file.
    pub fn file_bytes(&self, name: &str) -> Option<Vec<u8>> {
        let state = lock(&self.state);
        let inode = state.names.get(name)?;
        state.inodes.get(inode).map(|inode| inode.visible.clone())
    }

    /// Replaces a file's bytes, durably, behind the back of whoever uses the disk.
    pub fn overwrite_file(&self, name: &str, bytes: Vec<u8>) {
        let mut state = lock(&self.state);
        let inode = state.next_inode;
        state.next_inode += 1;
        state.inodes.insert(
            inode,
            Inode {
                visible: bytes.clone(),
                durable: bytes,
                pending: Vec::new(),
            },
        );
        state.names.insert(name.to_owned(), inode);
        state.durable_names.insert(name.to_owned(), inode);
    }

    /// Removes a file, durably, behind the back of whoever uses the disk.
    pub fn delete_file(&self, name: &str) {
        let mut state = lock(&self.state);
        state.names.remove(name);
        state.durable_names.remove(name);
    }
}

impl State {
    fn restart(&mut self) {
        self.fault = None;
        self.incarnation += 1;
        self.locked_by = None;
    }

    /// What the named files hold, in bytes.
    fn used_bytes(&self) -> u64 {
        let inodes = self.names.values().filter_map(|id| self.inodes.get(id));
        inodes.map(|inode| inode.visible.len() as u64).sum()
    }

    fn room_bytes(&self) -> usize {
        let room = self.capacity.map_or(u64::MAX, |capacity| {
            capacity.saturating_sub(self.used_bytes())
        });
        usize::try_from(room).unwrap_or(usize::MAX)
    }

    fn check_power(&self, incarnation: u64) -> io::Result<()> {
        if self.is_powered && self.incarnation == incarnation {
            Ok(())
        } else {
            Err(io::Error::other("the power is cut"))
        }
    }

    /// Counts an operation and says which fault strikes it.
    fn count(&mut self, incarnation: u64) -> io::Result<Option<Fault>> {
        self.check_power(incarnation)?;
        let at = self.operations;
        self.operations += 1;
        let Some((fault_at, fault)) = self.fault else {
            return Ok(None);
        };
        if at < fault_at {
            return Ok(None);
        }
        self.fault = None;
        if fault == Fault::PowerCut {
            self.is_powered = false;
        }
        Ok(Some(fault))
    }

    fn change_name(
        &mut self,
        change: impl FnOnce(&Self) -> io::Result<NameChange>,
    ) -> io::Result<()> {
        let fault = self.count(self.incarnation)?;
        let change = change(self)?;
        if fault != Some(Fault::Error) {
            change.apply(&mut self.names);
            self.pending_names.push(change);
        }
        fault.map_or(Ok(()), |fault| Err(fault.error()))
    }

    fn find(&self, name: &str) -> io::Result<u64> {
        self.names
            .get(name)
            .copied()
            .ok_or_else(|| io::ErrorKind::NotFound.into())
    }
}

impl Fault {
    fn error(self) -> io::Error {
        match self {
            Self::PowerCut => io::Error::other("the power is cut"),
            Self::Error => full(),
        }
    }
}

fn full() -> io::Error {
    io::Error::new(io::ErrorKind::StorageFull, "injected: disk is full")
}

impl Disk for FaultDisk {
    fn lock(&self, _name: &str) -> io::Result<Locking> {
        let mut state = lock(&self.state);
        let incarnation = state.incarnation;
        if state.locked_by == Some(incarnation) {
            return Ok(Locking::Held { by: None });
        }
        state.locked_by = Some(incarnation);
        Ok(Locking::Taken(Box::new(FaultLock {
            state: Arc::clone(&self.state),
            incarnation,
        })))
    }

    fn list(&self) -> io::Result<Vec<String>> {
        let state = lock(&self.state);
        state.check_power(state.incarnation)?;
        Ok(state.names.keys().cloned().collect())
    }

    fn create(&self, name: &str) -> io::Result<Arc<dyn DiskFile>> {
        let mut state = lock(&self.state);
        let inode = state.next_inode;
        state.change_name(|state| {
            if state.names.contains_key(name) {
                return Err(io::ErrorKind::AlreadyExists.into());
            }
            if state.room_bytes() == 0 {
                return Err(full());
            }
            Ok(NameChange::Link(name.to_owned(), inode))
        })?;
        state.next_inode += 1;
        state.inodes.insert(inode, Inode::default());
        Ok(self.file(inode, state.incarnation))
    }

    fn open(&self, name: &str) -> io::Result<Arc<dyn DiskFile>> {
        let state = lock(&self.state);
        state.check_power(state.incarnation)?;
        let inode = state.find(name)?;
        Ok(self.file(inode, state.incarnation))
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        lock(&self.state).change_name(|state| {
            state.find(name)?;
            Ok(NameChange::Unlink(name.to_owned()))
        })
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        lock(&self.state).change_name(|state| {
            let inode = state.find(from)?;
            Ok(NameChange::Rename(from.to_owned(), to.to_owned(), inode))
        })
    }

    fn sync_dir(&self) -> io::Result<()> {
        let mut state = lock(&self.state);
        let incarnation = state.incarnation;
        if let Some(fault) = state.count(incarnation)? {
            return Err(fault.error());
        }
        state.pending_names.clear();
        state.durable_names = state.names.clone();
        Ok(())
    }

    fn path_of(&self, name: &str) -> PathBuf {
        PathBuf::from("fault-disk").join(name)
    }
}

impl DiskRoom for FaultDisk {
    fn room(&self) -> io::Result<Room> {
        Ok(Room {
            free_bytes: lock(&self.state).room_bytes() as u64,
            is_read_only: false,
        })
    }
}

impl FaultDisk {
    fn file(&self, inode: u64, incarnation: u64) -> Arc<dyn DiskFile> {
        Arc::new(FaultFile {
            state: Arc::clone(&self.state),
            inode,
            incarnation,
        })
    }
}

impl FaultFile {
    fn change(&self, change: FileChange) -> io::Result<()> {
        let mut guard = lock(&self.state);
        let state = &mut *guard;
        let fault = state.count(self.incarnation)?;
        let room = state.room_bytes();
        let inode = state.inodes.entry(self.inode).or_default();
        if let (None, Some(change)) = (fault, change.cut_to(inode.visible.len(), room)) {
            inode.change(change);
            return Err(full());
        }
        match (fault, change) {
            (Some(Fault::Error), FileChange::Length(_)) => {}
            (Some(Fault::Error), FileChange::Write { offset, mut bytes }) => {
                bytes.truncate(pick(&mut state.random, bytes.len() + 1));
                inode.change(FileChange::Write { offset, bytes });
            }
            (None | Some(Fault::PowerCut), change) => inode.change(change),
        }
        fault.map_or(Ok(()), |fault| Err(fault.error()))
    }
}

impl DiskFile for FaultFile {
    fn length(&self) -> io::Result<u64> {
        let state = lock(&self.state);
        state.check_power(self.incarnation)?;
        let inode = state.inodes.get(&self.inode);
        Ok(inode.map_or(0, |inode| inode.visible.len() as u64))
    }

    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> io::Result<usize> {
        let state = lock(&self.state);
        state.check_power(self.incarnation)?;
        let start = usize::try_from(offset).unwrap_or(usize::MAX);
        let source = state
            .inodes
            .get(&self.inode)
            .and_then(|inode| inode.visible.get(start..))
            .unwrap_or_default();
        let count = source.len().min(buffer.len());
        for (target, byte) in buffer.iter_mut().zip(source) {
            *target = *byte;
        }
        Ok(count)
    }

    fn write_at(&self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        let offset = usize::try_from(offset).map_err(io::Error::other)?;
        self.change(FileChange::Write {
            offset,
            bytes: bytes.to_vec(),
        })
    }

    fn sync_data(&self) -> io::Result<()> {
        let mut guard = lock(&self.state);
        let state = &mut *guard;
        let fault = state.count(self.incarnation)?;
        let inode = state.inodes.entry(self.inode).or_default();
        match fault {
            None => {
                // What an earlier failed sync lost stays lost: the kernel calls it clean.
                for change in std::mem::take(&mut inode.pending) {
                    change.apply(&mut inode.durable);
                }
                Ok(())
            }
            Some(fault) => {
                // A cut leaves the changes pending; an error marks the lost ones as written.
                if fault == Fault::Error {
                    inode.lose_part(&mut state.random);
                }
                Err(fault.error())
            }
        }
    }

    fn set_length(&self, length: u64) -> io::Result<()> {
        let length = usize::try_from(length).map_err(io::Error::other)?;
        self.change(FileChange::Length(length))
    }
}

impl DiskLock for FaultLock {}

impl Drop for FaultLock {
    fn drop(&mut self) {
        let mut state = lock(&self.state);
        if state.locked_by == Some(self.incarnation) {
            state.locked_by = None;
        }
    }
}

/// A test that panicked elsewhere must not hide its own message behind a poisoned lock.
fn lock(state: &Mutex<State>) -> MutexGuard<'_, State> {
    state.lock().unwrap_or_else(PoisonError::into_inner)
}
