//! The log under test on its disk, honest or not.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use twinscale_log::disk::{Disk, DiskFile, FsDisk, Locking};
use twinscale_log::{FileLog, LogOptions, NoObserver, OpenReport, SystemMonotonicClock};

use crate::error::ChaosError;

/// Small, so that blows also fall while segments change.
const SEGMENT_BYTES_MAX: u64 = 64 << 10;

/// Opens the log of a node's directory; without `syncs` nothing it acknowledges is on disk.
pub(crate) fn open_log(directory: &Path, syncs: bool) -> Result<(FileLog, OpenReport), ChaosError> {
    let directory = directory.join("log");
    let disk = FsDisk::at(&directory)
        .map_err(|error| ChaosError::io("open log directory", directory, error))?;
    let disk: Arc<dyn Disk> = if syncs {
        Arc::new(disk)
    } else {
        Arc::new(UnsyncedDisk { disk })
    };
    let options = LogOptions {
        segment_bytes_max: SEGMENT_BYTES_MAX,
        ..LogOptions::default()
    };
    let clock = Arc::new(SystemMonotonicClock::start());
    Ok(FileLog::open_on(
        disk,
        options,
        Arc::new(NoObserver),
        clock,
    )?)
}

/// A disk whose syncs do nothing, for the check that the checker can fail.
#[derive(Debug)]
struct UnsyncedDisk {
    disk: FsDisk,
}

#[derive(Debug)]
struct UnsyncedFile {
    file: Arc<dyn DiskFile>,
}

impl Disk for UnsyncedDisk {
    fn lock(&self, name: &str) -> io::Result<Locking> {
        self.disk.lock(name)
    }

    fn list(&self) -> io::Result<Vec<String>> {
        self.disk.list()
    }

    fn create(&self, name: &str) -> io::Result<Arc<dyn DiskFile>> {
        let file = self.disk.create(name)?;
        Ok(Arc::new(UnsyncedFile { file }))
    }

    fn open(&self, name: &str) -> io::Result<Arc<dyn DiskFile>> {
        let file = self.disk.open(name)?;
        Ok(Arc::new(UnsyncedFile { file }))
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        self.disk.remove(name)
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        self.disk.rename(from, to)
    }

    fn sync_dir(&self) -> io::Result<()> {
        Ok(())
    }

    fn path_of(&self, name: &str) -> PathBuf {
        self.disk.path_of(name)
    }
}

impl DiskFile for UnsyncedFile {
    fn length(&self) -> io::Result<u64> {
        self.file.length()
    }

    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> io::Result<usize> {
        self.file.read_at(offset, buffer)
    }

    fn write_at(&self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        self.file.write_at(offset, bytes)
    }

    fn sync_data(&self) -> io::Result<()> {
        Ok(())
    }

    fn set_length(&self, length: u64) -> io::Result<()> {
        self.file.set_length(length)
    }
}
