//! The disk as the log sees it: one directory of flat files, and when bytes are durable.

use std::fmt::Debug;
use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, Read, Write};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Holds exclusive use of the directory until it is dropped.
pub trait DiskLock: Debug + Send + Sync {}

/// What became of an attempt to lock a directory.
#[derive(Debug)]
pub enum Locking {
    /// The caller has it.
    Taken(Box<dyn DiskLock>),
    /// Another has it.
    Held {
        /// The process that has it, where it left its number.
        by: Option<u32>,
    },
}

/// A process number has at most ten digits.
const PID_BYTES_MAX: u64 = 10;

/// A directory that holds the files of one log.
///
/// Written bytes are durable after [`DiskFile::sync_data`] of the file; a created, removed or
/// renamed name is durable after [`Disk::sync_dir`].
pub trait Disk: Debug + Send + Sync {
    /// Takes exclusive use of the directory. The system takes it back when the process ends, however
    /// it ends.
    ///
    /// # Errors
    /// When the lock file cannot be made.
    fn lock(&self, name: &str) -> io::Result<Locking>;

    /// Lists the file names, sorted.
    ///
    /// # Errors
    /// When the directory cannot be read.
    fn list(&self) -> io::Result<Vec<String>>;

    /// Creates a file that must not exist yet.
    ///
    /// # Errors
    /// When it exists or cannot be made.
    fn create(&self, name: &str) -> io::Result<Arc<dyn DiskFile>>;

    /// Opens a file that exists.
    ///
    /// # Errors
    /// When it does not exist or cannot be opened.
    fn open(&self, name: &str) -> io::Result<Arc<dyn DiskFile>>;

    /// Removes a name.
    ///
    /// # Errors
    /// When it does not exist or cannot be removed.
    fn remove(&self, name: &str) -> io::Result<()>;

    /// Renames a file, replacing what bears the new name.
    ///
    /// # Errors
    /// When the old name does not exist or the rename is refused.
    fn rename(&self, from: &str, to: &str) -> io::Result<()>;

    /// Makes created, removed and renamed names durable.
    ///
    /// # Errors
    /// When the directory cannot be synced; then nothing is known about the names.
    fn sync_dir(&self) -> io::Result<()>;

    /// Returns the path of a file for messages; an empty name means the directory.
    fn path_of(&self, name: &str) -> PathBuf;
}

/// An open file.
pub trait DiskFile: Debug + Send + Sync {
    /// Returns the length, in bytes.
    ///
    /// # Errors
    /// When the file cannot be examined.
    fn length(&self) -> io::Result<u64>;

    /// Reads at an offset and returns the number of bytes; 0 only at the end or for no bytes.
    ///
    /// # Errors
    /// When the disk cannot read.
    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> io::Result<usize>;

    /// Writes all bytes at an offset.
    ///
    /// # Errors
    /// When not all bytes could be written; some may have been.
    fn write_at(&self, offset: u64, bytes: &[u8]) -> io::Result<()>;

    /// Makes bytes and length durable.
    ///
    /// # Errors
    /// When it failed; then nothing is known about what was written since the last success.
    fn sync_data(&self) -> io::Result<()>;

    /// Cuts or extends the file.
    ///
    /// # Errors
    /// When the length cannot be changed.
    fn set_length(&self, length: u64) -> io::Result<()>;
}

/// A directory of the file system.
#[derive(Clone, Debug)]
pub struct FsDisk {
    directory: PathBuf,
}

impl FsDisk {
    /// Opens a directory, making it and its parents when absent, durably.
    ///
    /// # Errors
    /// When it cannot be made.
    pub fn at(directory: impl Into<PathBuf>) -> io::Result<Self> {
        let directory = directory.into();
        // A new directory is durable once the one that names it is synced, and so on upwards.
        let naming: Vec<&Path> = directory
            .ancestors()
            .take_while(|ancestor| !ancestor.as_os_str().is_empty() && !ancestor.exists())
            .map(|missing| missing.parent().unwrap_or(missing))
            .collect();
        fs::create_dir_all(&directory)?;
        for parent in naming {
            let parent = if parent.as_os_str().is_empty() {
                Path::new(".")
            } else {
                parent
            };
            File::open(parent)?.sync_all()?;
        }
        Ok(Self { directory })
    }
}

#[derive(Debug)]
struct FsLock {
    _file: File,
}

impl DiskLock for FsLock {}

fn note_pid(file: &mut File) -> io::Result<()> {
    file.set_len(0)?;
    file.write_all(std::process::id().to_string().as_bytes())
}

fn noted_pid(file: &File) -> Option<u32> {
    let mut text = String::new();
    file.take(PID_BYTES_MAX).read_to_string(&mut text).ok()?;
    text.parse().ok()
}

impl Disk for FsDisk {
    fn lock(&self, name: &str) -> io::Result<Locking> {
        let mut file = OpenOptions::new()
            .create(true)
            .truncate(false)
            .read(true)
            .write(true)
            .open(self.directory.join(name))?;
        match file.try_lock() {
            Ok(()) => {
                // Only for messages: on a full disk it may stay empty.
                drop(note_pid(&mut file));
                Ok(Locking::Taken(Box::new(FsLock { _file: file })))
            }
            Err(TryLockError::WouldBlock) => Ok(Locking::Held {
                by: noted_pid(&file),
            }),
            Err(TryLockError::Error(error)) => Err(error),
        }
    }

    fn list(&self) -> io::Result<Vec<String>> {
        let mut names = Vec::new();
        for entry in fs::read_dir(&self.directory)? {
            // A name that is not UTF-8 is none of ours.
            if let Ok(name) = entry?.file_name().into_string() {
                names.push(name);
            }
        }
        names.sort_unstable();
        Ok(names)
    }

    fn create(&self, name: &str) -> io::Result<Arc<dyn DiskFile>> {
        let file = OpenOptions::new()
            .read(true)
            .write(true)
            .create_new(true)
            .open(self.directory.join(name))?;
        Ok(Arc::new(file))
    }

    fn open(&self, name: &str) -> io::Result<Arc<dyn DiskFile>> {
        let file = OpenOptions::new()
            .read(true)
            .write(true)
            .open(self.directory.join(name))?;
        Ok(Arc::new(file))
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        fs::remove_file(self.directory.join(name))
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        fs::rename(self.directory.join(from), self.directory.join(to))
    }

    fn sync_dir(&self) -> io::Result<()> {
        File::open(&self.directory)?.sync_all()
    }

    fn path_of(&self, name: &str) -> PathBuf {
        if name.is_empty() {
            self.directory.clone()
        } else {
            self.directory.join(name)
        }
    }
}

impl DiskFile for File {
    fn length(&self) -> io::Result<u64> {
        Ok(self.metadata()?.len())
    }

    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> io::Result<usize> {
        loop {
            match FileExt::read_at(self, buffer, offset) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                outcome => return outcome,
            }
        }
    }

    fn write_at(&self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        self.write_all_at(bytes, offset)
    }

    fn sync_data(&self) -> io::Result<()> {
        File::sync_data(self)
    }

    fn set_length(&self, length: u64) -> io::Result<()> {
        self.set_len(length)
    }
}
