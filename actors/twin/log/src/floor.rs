//! The durable floor: a small file that says through which entry the log was once durable.
//!
//! A log whose end was cut off looks like a shorter log. The floor, written at every new segment
//! and at an orderly close, makes the loss known: a log that ends below it refuses to open. It is
//! only ever a lower bound, so a stale one does no harm.

use std::io;

use crate::command::LogIndex;
use crate::disk::Disk;
use crate::refusal::{WriteFailure, remove_if_there};

const FLOOR_NAME: &str = "durable-floor";
const FLOOR_TEMPORARY_NAME: &str = "durable-floor.tmp";
const FLOOR_MAGIC: [u8; 8] = *b"TWINFLOR";
const FLOOR_BYTES: usize = 20;

/// What the floor file says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Floor {
    Absent,
    Unreadable,
    Through(LogIndex),
}

/// Reads the floor and removes what an interrupted write of it left.
pub(crate) fn read_floor(disk: &dyn Disk, names: &[String]) -> io::Result<Floor> {
    if names.iter().any(|name| name == FLOOR_TEMPORARY_NAME) {
        disk.remove(FLOOR_TEMPORARY_NAME)?;
    }
    if !names.iter().any(|name| name == FLOOR_NAME) {
        return Ok(Floor::Absent);
    }
    let file = disk.open(FLOOR_NAME)?;
    let mut bytes = [0; FLOOR_BYTES];
    let is_whole = file.length()? == FLOOR_BYTES as u64;
    let is_read = is_whole && file.read_at(0, &mut bytes)? == FLOOR_BYTES;
    Ok(decode_floor(&bytes)
        .filter(|_| is_read)
        .map_or(Floor::Unreadable, Floor::Through))
}

/// Replaces the floor, durably; where there is no room the old one stays.
pub(crate) fn write_floor(disk: &dyn Disk, through: LogIndex) -> Result<(), WriteFailure> {
    let mut bytes = Vec::with_capacity(FLOOR_BYTES);
    bytes.extend_from_slice(&FLOOR_MAGIC);
    bytes.extend_from_slice(&through.get().to_le_bytes());
    let crc = crc32fast::hash(&bytes);
    bytes.extend_from_slice(&crc.to_le_bytes());
    // One that was refused may have left its temporary file.
    let file = remove_if_there(disk, FLOOR_TEMPORARY_NAME)
        .and_then(|()| disk.create(FLOOR_TEMPORARY_NAME))
        .and_then(|file| file.write_at(0, &bytes).map(|()| file))
        .map_err(WriteFailure::of_write)?;
    file.sync_data().map_err(WriteFailure::Failed)?;
    disk.rename(FLOOR_TEMPORARY_NAME, FLOOR_NAME)
        .map_err(WriteFailure::of_write)?;
    disk.sync_dir().map_err(WriteFailure::Failed)
}

fn decode_floor(bytes: &[u8; FLOOR_BYTES]) -> Option<LogIndex> {
    let (covered, crc) = bytes.split_last_chunk::<4>()?;
    let (magic, index) = covered.split_first_chunk::<8>()?;
    let index = index.first_chunk::<8>()?;
    let is_sound = *magic == FLOOR_MAGIC && u32::from_le_bytes(*crc) == crc32fast::hash(covered);
    is_sound.then(|| LogIndex::new(u64::from_le_bytes(*index)))
}
