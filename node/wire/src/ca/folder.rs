//! Files of an authority: replaced whole, and durable before anything rests on them.

use super::CaError;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::Path;

pub(super) fn create(dir: &Path) -> Result<(), CaError> {
    fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(dir)
        .map_err(|source| failed(dir, "made", source))
}

pub(super) fn read_file(file: &Path) -> Result<String, CaError> {
    fs::read_to_string(file).map_err(|source| failed(file, "read", source))
}

/// Writes what only its owner may read.
pub(super) fn write_private(file: &Path, text: &str) -> Result<(), CaError> {
    write(file, text, 0o600).map_err(|source| failed(file, "written", source))
}

/// Writes what everyone may read.
pub(super) fn write_public(file: &Path, text: &str) -> Result<(), CaError> {
    write(file, text, 0o644).map_err(|source| failed(file, "written", source))
}

pub(super) fn rename(from: &Path, to: &Path) -> Result<(), CaError> {
    fs::rename(from, to)
        .and_then(|()| sync_parent(to))
        .map_err(|source| failed(to, "replaced", source))
}

fn write(file: &Path, text: &str, mode: u32) -> io::Result<()> {
    let mut unfinished = file.as_os_str().to_owned();
    unfinished.push(".new");
    let unfinished = Path::new(&unfinished);
    match fs::remove_file(unfinished) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        // A rest of an attempt that was broken off is gone, or there was none.
        _ => {}
    }
    let mut out = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(mode)
        .open(unfinished)?;
    out.write_all(text.as_bytes())?;
    out.sync_all()?;
    fs::rename(unfinished, file)?;
    sync_parent(file)
}

fn sync_parent(file: &Path) -> io::Result<()> {
    match file.parent() {
        Some(parent) if parent.as_os_str().is_empty() => File::open(".")?.sync_all(),
        Some(parent) => File::open(parent)?.sync_all(),
        None => Ok(()),
    }
}

fn failed(file: &Path, what: &'static str, source: io::Error) -> CaError {
    CaError::File {
        file: file.to_owned(),
        what,
        source,
    }
}
