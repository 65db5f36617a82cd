//! Refused and failed: what an error of the disk says about the bytes.
//!
//! A write that is refused for want of room, or on a file system that turned read-only, leaves a known
//! state: what was durable is durable, and the rest can be cut off. A sync that fails leaves an unknown
//! one, whatever its error says, and is never tried again.

use std::io;

use crate::disk::{Disk, DiskFile};

/// Why something did not become durable.
#[derive(Debug)]
pub(crate) enum WriteFailure {
    /// Nothing of it is there, and it may be tried again when there is room.
    Refused(io::Error),
    /// Nobody knows what is there.
    Failed(io::Error),
}

impl WriteFailure {
    /// Judges the error of an operation that makes no promise about earlier bytes.
    pub(crate) fn of_write(error: io::Error) -> Self {
        if is_refusal(&error) {
            Self::Refused(error)
        } else {
            Self::Failed(error)
        }
    }

    pub(crate) fn into_inner(self) -> io::Error {
        match self {
            Self::Refused(error) | Self::Failed(error) => error,
        }
    }
}

/// Says whether an error means that the disk takes nothing more for now: full, quota, read-only.
pub fn is_refusal(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::StorageFull
            | io::ErrorKind::QuotaExceeded
            | io::ErrorKind::ReadOnlyFilesystem
    )
}

/// Removes what a refused write left behind `length`, durably, and looks whether it is gone.
pub(crate) fn cut_back(file: &dyn DiskFile, length: u64) -> io::Result<()> {
    if file.length()? != length {
        file.set_length(length)?;
        file.sync_data()?;
    }
    let found = file.length()?;
    if found == length {
        return Ok(());
    }
    Err(io::Error::other(format!(
        "file has {found} bytes after it was cut to {length}"
    )))
}

/// Removes a name that may not be there.
pub(crate) fn remove_if_there(disk: &dyn Disk, name: &str) -> io::Result<()> {
    match disk.remove(name) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        outcome => outcome,
    }
}
