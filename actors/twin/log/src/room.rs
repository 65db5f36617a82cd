//! How much room a disk has left, asked before it is full.

use std::fmt::Debug;
use std::io;
use std::path::PathBuf;

/// What is left on a disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Room {
    /// What this user may still write, in bytes.
    pub free_bytes: u64,
    /// The file system takes no writes at all.
    pub is_read_only: bool,
}

/// Tells how much room there is.
pub trait DiskRoom: Debug + Send + Sync {
    /// Looks now.
    ///
    /// # Errors
    /// When the file system does not say.
    fn room(&self) -> io::Result<Room>;
}

/// The file system that holds a path.
#[derive(Clone, Debug)]
pub struct FsRoom {
    path: PathBuf,
}

impl FsRoom {
    /// Looks at the file system of an existing path.
    pub fn at(path: impl Into<PathBuf>) -> Self {
        Self { path: path.into() }
    }
}

impl DiskRoom for FsRoom {
    fn room(&self) -> io::Result<Room> {
        let found = rustix::fs::statvfs(&self.path)?;
        Ok(Room {
            free_bytes: found.f_bavail.saturating_mul(found.f_frsize),
            is_read_only: found.f_flag.contains(rustix::fs::StatVfsMountFlags::RDONLY),
        })
    }
}

/// Room without end, for what lies in memory.
#[derive(Clone, Copy, Debug)]
pub struct UnlimitedRoom;

impl DiskRoom for UnlimitedRoom {
    fn room(&self) -> io::Result<Room> {
        Ok(Room {
            free_bytes: u64::MAX,
            is_read_only: false,
        })
    }
}
