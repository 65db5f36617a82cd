//! The disk under the daemon's data, and what can be done to it.

use std::path::{Path, PathBuf};

use tempfile::TempDir;

use super::ServiceFault;
use crate::error::ChaosError;
use crate::filler;
use crate::loop_disk::{LoopDisk, run};

/// Less than the image on it promises, so that a sync can fail for want of room.
const STARVED_BYTES: u64 = 192 << 20;

/// What the image on a starved disk promises.
const PROMISED_BYTES: u64 = 1 << 30;

/// A disk for one scenario; dropping it removes it.
#[derive(Debug)]
pub(super) enum DataDisk {
    /// A directory of the machine's disk.
    Plain(TempDir),
    /// An ext4 image of its own.
    Image(LoopDisk),
    /// An ext4 image that promises more than what is under it has.
    Starved(Starved),
}

/// The image is dropped before what is under it.
#[derive(Debug)]
pub(super) struct Starved {
    image: LoopDisk,
    under: MemoryDisk,
}

/// A file system in memory.
#[derive(Debug)]
struct MemoryDisk {
    mount_point: TempDir,
}

impl DataDisk {
    pub(super) fn for_fault(fault: ServiceFault) -> Result<Self, ChaosError> {
        let is_root = rustix::process::geteuid().is_root();
        Ok(match fault {
            ServiceFault::Kill9 | ServiceFault::Actors | ServiceFault::HungThreads => {
                Self::Plain(scratch()?)
            }
            _ if !is_root => {
                return Err(ChaosError::NeedsRoot {
                    scenario: "service",
                });
            }
            ServiceFault::PowerCut | ServiceFault::DiskFull => Self::Image(LoopDisk::create()?),
            ServiceFault::FsyncError => {
                let under = MemoryDisk::mount(STARVED_BYTES)?;
                let directory = tempfile::tempdir_in(under.mount_point.path())
                    .map_err(|error| ChaosError::io("create", under.mount_point.path(), error))?;
                let image = LoopDisk::create_in(directory, PROMISED_BYTES)?;
                Self::Starved(Starved { image, under })
            }
        })
    }

    /// The data directory on it.
    pub(super) fn data_dir(&self) -> PathBuf {
        self.root().join("node")
    }

    fn root(&self) -> &Path {
        match self {
            Self::Plain(directory) => directory.path(),
            Self::Image(image) => image.mount_point(),
            Self::Starved(starved) => starved.image.mount_point(),
        }
    }

    /// Nothing more reaches the disk.
    pub(super) fn cut_power(&self) -> Result<(), ChaosError> {
        match self {
            Self::Plain(_) => Ok(()),
            Self::Image(image) => image.cut_power(),
            Self::Starved(starved) => starved.image.cut_power(),
        }
    }

    /// Mounts it anew; nobody may use it.
    pub(super) fn remount(&mut self) -> Result<(), ChaosError> {
        let image = match self {
            Self::Plain(_) => return Ok(()),
            Self::Image(image) => image,
            Self::Starved(starved) => &mut starved.image,
        };
        image.unmount()?;
        image.mount()
    }

    /// Leaves this much room on the disk itself, as others who fill it would.
    pub(super) fn fill_but(&self, left_bytes: u64) -> Result<(), ChaosError> {
        filler::fill_but(self.root(), left_bytes)
    }

    /// Takes all room of what is under the image, so that its syncs fail.
    pub(super) fn starve(&self) -> Result<(), ChaosError> {
        match self {
            Self::Starved(starved) => filler::fill_by_writing(starved.under.mount_point.path()),
            Self::Plain(_) | Self::Image(_) => Ok(()),
        }
    }

    /// Gives the room back.
    pub(super) fn make_room(&self) -> Result<(), ChaosError> {
        filler::make_room(match self {
            Self::Starved(starved) => starved.under.mount_point.path(),
            Self::Plain(_) | Self::Image(_) => self.root(),
        })
    }
}

fn scratch() -> Result<TempDir, ChaosError> {
    tempfile::tempdir().map_err(|error| ChaosError::io("create", "a scratch directory", error))
}

impl MemoryDisk {
    fn mount(bytes: u64) -> Result<Self, ChaosError> {
        let mount_point = scratch()?;
        let size = format!("size={bytes}");
        let options: [&Path; 6] = [
            "-t".as_ref(),
            "tmpfs".as_ref(),
            "-o".as_ref(),
            size.as_ref(),
            "tmpfs".as_ref(),
            mount_point.path(),
        ];
        run("mount", &options)?;
        Ok(Self { mount_point })
    }
}

impl Drop for MemoryDisk {
    fn drop(&mut self) {
        // Something failed before: its error is the one to report.
        drop(run("umount", &["--lazy".as_ref(), self.mount_point.path()]));
    }
}
