//! A file that takes the room of a disk.

use std::fs::{self, File};
use std::io::{self, Seek as _, SeekFrom, Write as _};
use std::path::Path;

use rustix::fs::{FallocateFlags, fallocate, statvfs};

use crate::error::ChaosError;

const NAME: &str = "filler";

/// Leaves this much room on the disk of a folder, as others who fill it would.
pub(crate) fn fill_but(folder: &Path, left_bytes: u64) -> Result<(), ChaosError> {
    let path = folder.join(NAME);
    let failed = |error: io::Error| ChaosError::io("fill the disk with", &path, error);
    let filler = File::create(&path).map_err(failed)?;
    let found = statvfs(&path).map_err(|error| failed(error.into()))?;
    let free = found.f_bavail.saturating_mul(found.f_frsize);
    let wanted = free.saturating_sub(left_bytes);
    fallocate(&filler, FallocateFlags::empty(), 0, wanted.max(1))
        .map_err(|error| failed(error.into()))?;
    if left_bytes == 0 {
        write_until_full(&filler, wanted).map_err(failed)?;
    }
    Ok(())
}

/// Takes all room by writing, which a disk that promises more than it has feels at once.
pub(crate) fn fill_by_writing(folder: &Path) -> Result<(), ChaosError> {
    let path = folder.join(NAME);
    let failed = |error: io::Error| ChaosError::io("fill the disk with", &path, error);
    let filler = File::create(&path).map_err(failed)?;
    write_until_full(&filler, 0).map_err(failed)
}

/// Gives the room back; a filler that a power cut took is no error.
pub(crate) fn make_room(folder: &Path) -> Result<(), ChaosError> {
    let path = folder.join(NAME);
    match fs::remove_file(&path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            Err(ChaosError::io("remove", path, error))
        }
        _ => Ok(()),
    }
}

fn write_until_full(mut filler: &File, from: u64) -> io::Result<()> {
    filler.seek(SeekFrom::Start(from))?;
    let piece = vec![0xa5; 64 << 10];
    loop {
        match filler.write(&piece) {
            Ok(_) => {}
            Err(error) if error.kind() == io::ErrorKind::StorageFull => return Ok(()),
            Err(error) => return Err(error),
        }
    }
}
