//! An ext4 file system in an image file, whose power can be cut.
//!
//! Whatever happens, dropping it unmounts, detaches the loop device and removes the image.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use rustix::ioctl::{Opcode, Setter, ioctl, opcode};

use crate::error::ChaosError;

/// Sparse, so it takes only what is written.
const IMAGE_BYTES: u64 = 512 << 20;

/// `EXT4_IOC_SHUTDOWN` of the kernel's ext4: `_IOR('X', 125, __u32)`.
const EXT4_IOC_SHUTDOWN: Opcode = opcode::read::<u32>(b'X', 125);

/// `EXT4_GOING_FLAGS_NOLOGFLUSH`: the journal's buffered end is lost as well.
const NO_LOG_FLUSH: u32 = 2;

/// The image, its loop device and its mount.
#[derive(Debug)]
pub(crate) struct LoopDisk {
    scratch: Option<tempfile::TempDir>,
    mount_point: PathBuf,
    device: Option<String>,
    is_mounted: bool,
}

impl LoopDisk {
    /// Makes an image, attaches and mounts it.
    pub(crate) fn create() -> Result<Self, ChaosError> {
        let scratch = tempfile::tempdir()
            .map_err(|error| ChaosError::io("create", "a scratch directory", error))?;
        Self::create_in(scratch, IMAGE_BYTES)
    }

    /// Makes an image of a size in a directory, attaches and mounts it.
    pub(crate) fn create_in(
        scratch: tempfile::TempDir,
        image_bytes: u64,
    ) -> Result<Self, ChaosError> {
        let image = scratch.path().join("disk.ext4");
        File::create(&image)
            .and_then(|file| file.set_len(image_bytes))
            .map_err(|error| ChaosError::io("create image", &image, error))?;
        run(
            "mkfs.ext4",
            &["-q".as_ref(), "-F".as_ref(), image.as_path()],
        )?;
        let mount_point = scratch.path().join("mount");
        std::fs::create_dir(&mount_point)
            .map_err(|error| ChaosError::io("create", &mount_point, error))?;
        let mut disk = Self {
            scratch: Some(scratch),
            mount_point,
            device: None,
            is_mounted: false,
        };
        let device = run(
            "losetup",
            &["--find".as_ref(), "--show".as_ref(), image.as_path()],
        )?;
        disk.device = Some(device);
        disk.mount()?;
        Ok(disk)
    }

    pub(crate) fn mount_point(&self) -> &Path {
        &self.mount_point
    }

    pub(crate) fn mount(&mut self) -> Result<(), ChaosError> {
        let device = self.device.clone().unwrap_or_default();
        run(
            "mount",
            &[
                "-t".as_ref(),
                "ext4".as_ref(),
                device.as_ref(),
                self.mount_point.as_path(),
            ],
        )?;
        self.is_mounted = true;
        Ok(())
    }

    pub(crate) fn unmount(&mut self) -> Result<(), ChaosError> {
        run("umount", &[self.mount_point.as_path()])?;
        self.is_mounted = false;
        Ok(())
    }

    /// Stops the file system as a power cut does: nothing more reaches the disk.
    pub(crate) fn cut_power(&self) -> Result<(), ChaosError> {
        let root = File::open(&self.mount_point)
            .map_err(|error| ChaosError::io("open", &self.mount_point, error))?;
        shut_down(&root)
            .map_err(|error| ChaosError::io("cut the power of", &self.mount_point, error.into()))
    }

    /// Unmounts, detaches and removes everything.
    pub(crate) fn remove(mut self) -> Result<(), ChaosError> {
        self.tear_down()
    }

    fn tear_down(&mut self) -> Result<(), ChaosError> {
        if self.is_mounted {
            // Lazily when someone still holds a file open: the device must not stay behind.
            self.unmount().or_else(|_| {
                run("umount", &["--lazy".as_ref(), self.mount_point.as_path()]).map(|_| ())
            })?;
            self.is_mounted = false;
        }
        if let Some(device) = self.device.take() {
            run("losetup", &["--detach".as_ref(), device.as_ref()])?;
        }
        match self.scratch.take() {
            None => Ok(()),
            Some(scratch) => scratch
                .close()
                .map_err(|error| ChaosError::io("remove", "the scratch directory", error)),
        }
    }
}

impl Drop for LoopDisk {
    fn drop(&mut self) {
        // Something failed before: its error is the one to report.
        drop(self.tear_down());
    }
}

#[expect(
    unsafe_code,
    reason = "no safe wrapper of this ioctl exists; it is the only way to cut the power of ext4"
)]
fn shut_down(root: &File) -> rustix::io::Result<()> {
    // SAFETY: ext4 reads one u32 of flags through the pointer of this opcode.
    let request = unsafe { Setter::<EXT4_IOC_SHUTDOWN, u32>::new(NO_LOG_FLUSH) };
    // SAFETY: the request outlives the call and matches its opcode; another file system than
    // ext4 refuses the opcode.
    unsafe { ioctl(root, request) }
}

/// Runs a program of the system and returns what it printed.
pub(crate) fn run(program: &str, arguments: &[&Path]) -> Result<String, ChaosError> {
    let failed = |reason: String| ChaosError::Command {
        command: arguments.iter().fold(program.to_owned(), |line, argument| {
            format!("{line} {}", argument.display())
        }),
        reason,
    };
    let output = Command::new(program)
        .args(arguments)
        .stdin(Stdio::null())
        .output()
        .map_err(|error| failed(error.to_string()))?;
    if output.status.success() {
        return Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned());
    }
    Err(failed(
        String::from_utf8_lossy(&output.stderr).trim().to_owned(),
    ))
}
