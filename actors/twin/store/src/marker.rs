//! The marker file that says which format and engine a store has, before any engine touches it.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::Path;

use crate::options::EngineKind;

/// The format of the whole store that this build reads and writes.
pub const STORE_FORMAT_VERSION: u32 = 1;

const MARKER_NAME: &str = "FORMAT";
const MARKER_TEMPORARY_NAME: &str = "FORMAT.tmp";
const MARKER_TITLE: &str = "twinscale-store";

/// A marker is three short lines; a longer file is none of ours.
const MARKER_BYTES_MAX: u64 = 4_096;

/// What the marker says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Marker {
    Absent,
    Damaged,
    TooNew { version: u32 },
    Readable { engine: EngineKind },
}

pub(crate) fn read_marker(directory: &Path) -> io::Result<Marker> {
    let path = directory.join(MARKER_NAME);
    match fs::metadata(&path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Marker::Absent),
        Err(error) => return Err(error),
        Ok(metadata) if metadata.len() > MARKER_BYTES_MAX => return Ok(Marker::Damaged),
        Ok(_) => {}
    }
    let bytes = fs::read(&path)?;
    Ok(std::str::from_utf8(&bytes).map_or(Marker::Damaged, parse_marker))
}

fn parse_marker(text: &str) -> Marker {
    let mut lines = text.lines();
    if lines.next() != Some(MARKER_TITLE) {
        return Marker::Damaged;
    }
    let version = lines
        .next()
        .and_then(|line| line.strip_prefix("format "))
        .and_then(|number| number.parse::<u32>().ok());
    match version {
        // The two first lines never change; what follows belongs to the version.
        Some(version) if version > STORE_FORMAT_VERSION => Marker::TooNew { version },
        Some(STORE_FORMAT_VERSION) => lines
            .next()
            .and_then(|line| line.strip_prefix("engine "))
            .and_then(EngineKind::from_name)
            .map_or(Marker::Damaged, |engine| Marker::Readable { engine }),
        _ => Marker::Damaged,
    }
}

/// Writes the marker, durably.
pub(crate) fn write_marker(directory: &Path, engine: EngineKind) -> io::Result<()> {
    let temporary = directory.join(MARKER_TEMPORARY_NAME);
    let mut file = File::create(&temporary)?;
    file.write_all(
        format!("{MARKER_TITLE}\nformat {STORE_FORMAT_VERSION}\nengine {engine}\n").as_bytes(),
    )?;
    file.sync_all()?;
    fs::rename(&temporary, directory.join(MARKER_NAME))?;
    File::open(directory)?.sync_all()
}
