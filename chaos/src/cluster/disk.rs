//! The disk of a node, and what can be done to it.

use std::path::{Path, PathBuf};

use tempfile::TempDir;

use super::fabric::Fabric;
use crate::error::ChaosError;
use crate::filler;
use crate::loop_disk::LoopDisk;

/// Finds the loop device by its image, since a number may be another's by then.
const DETACH: &str = r#"losetup -j "$0" -n -O NAME | xargs -r losetup -d"#;

/// A disk for one node; dropping it removes it.
#[derive(Debug)]
pub struct NodeDisk(Kind);

#[derive(Debug)]
enum Kind {
    /// A directory of the machine's disk, which can neither fail nor fill up.
    Plain(TempDir),
    /// An ext4 image of its own.
    Image(LoopDisk),
}

impl NodeDisk {
    /// Makes the best that can be had: with root an image that can lose its power and fill up, without root a
    /// directory. The fabric's guard removes the image if the run is killed.
    ///
    /// # Errors
    /// [`ChaosError`] when a command of the system fails.
    pub fn make(fabric: &mut Fabric) -> Result<Self, ChaosError> {
        if !rustix::process::geteuid().is_root() {
            return Self::plain();
        }
        let image = LoopDisk::create()?;
        let mount_point = image.mount_point().to_owned();
        if let Some(scratch) = mount_point.parent() {
            let file = scratch.join("disk.ext4");
            let path = Path::new;
            fabric.at_end(&[path("rm"), path("-rf"), scratch])?;
            fabric.at_end(&[path("sh"), path("-c"), path(DETACH), &file])?;
            fabric.at_end(&[path("umount"), path("--lazy"), &mount_point])?;
        }
        Ok(Self(Kind::Image(image)))
    }

    /// Makes a directory on the machine's disk.
    ///
    /// # Errors
    /// [`ChaosError::Io`] when it cannot be made.
    pub fn plain() -> Result<Self, ChaosError> {
        let directory = tempfile::tempdir()
            .map_err(|error| ChaosError::io("create", "a scratch directory", error))?;
        Ok(Self(Kind::Plain(directory)))
    }

    /// The directory for the node's data.
    pub fn data_dir(&self) -> PathBuf {
        self.root().join("node")
    }

    /// Whether its power can be cut and its room taken.
    pub const fn can_fail(&self) -> bool {
        matches!(self.0, Kind::Image(_))
    }

    /// From now on nothing reaches the disk, and what was not synced is lost.
    ///
    /// # Errors
    /// [`ChaosError::NotHere`] for a directory.
    pub fn cut_power(&self) -> Result<(), ChaosError> {
        self.image("a power cut")?.cut_power()
    }

    /// Mounts it anew after a power cut; no process may use it.
    ///
    /// # Errors
    /// [`ChaosError`] when it is in use.
    pub fn restore_power(&mut self) -> Result<(), ChaosError> {
        match &mut self.0 {
            Kind::Plain(_) => Ok(()),
            Kind::Image(image) => {
                image.unmount()?;
                image.mount()
            }
        }
    }

    /// Takes all its room.
    ///
    /// # Errors
    /// [`ChaosError::NotHere`] for a directory.
    pub fn fill(&self) -> Result<(), ChaosError> {
        self.image("a full disk")?;
        filler::fill_but(self.root(), 0)
    }

    /// Gives the room back.
    ///
    /// # Errors
    /// [`ChaosError::Io`] when the disk does not let go of it.
    pub fn make_room(&self) -> Result<(), ChaosError> {
        filler::make_room(self.root())
    }

    fn root(&self) -> &Path {
        match &self.0 {
            Kind::Plain(directory) => directory.path(),
            Kind::Image(image) => image.mount_point(),
        }
    }

    fn image(&self, what: &str) -> Result<&LoopDisk, ChaosError> {
        match &self.0 {
            Kind::Image(image) => Ok(image),
            Kind::Plain(_) => Err(ChaosError::NotHere {
                what: what.to_owned(),
                because: "the data is in a directory of the machine's disk; run it as root"
                    .to_owned(),
            }),
        }
    }
}
