//! Checks of the data folder: whether it can be written, how fast it syncs, how much room it has.

use super::{Check, judge};
use std::fs::File;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::time::Duration;
use twinscale_log::disk::{Disk as _, FsDisk, Locking};
use twinscale_log::{DiskRoom as _, FsRoom, LOCK_NAME, MonotonicClock};

/// Appends that are synced and timed.
const SYNCS: usize = 30;

/// Bytes of each: a small batch of samples.
const APPEND_BYTES: usize = 4_096;

/// The nearest folder that exists: where the data folder will be made.
fn nearest(folder: &Path) -> PathBuf {
    let found = folder.ancestors().find(|one| one.exists());
    match found {
        Some(found) if !found.as_os_str().is_empty() => found.to_owned(),
        _ => PathBuf::from("."),
    }
}

/// Looks whether the folder can be written, or made, and whether another node has it.
pub(super) fn folder(folder: &Path) -> Check {
    let name = "data folder";
    let place = nearest(folder);
    let shown = folder.display();
    if !place.is_dir() {
        return Check::failed(
            name,
            format!("{} is no folder", place.display()),
            "choose another folder with --data-dir",
        );
    }
    if let Err(error) = tempfile::tempfile_in(&place) {
        return Check::failed(
            name,
            format!("nothing can be written in {}: {error}", place.display()),
            "check who owns it and its mode, or choose another folder with --data-dir",
        );
    }
    match holder(&folder.join("log")) {
        Ok(None) if place == folder => Check::passed(name, format!("{shown} can be written")),
        Ok(None) => Check::passed(name, format!("{shown} can be made")),
        Ok(Some(holder)) => Check::failed(
            name,
            format!("{shown} is in use by {holder}"),
            "stop that one, or choose another folder with --data-dir",
        ),
        Err(error) => Check::failed(
            name,
            format!("the lock in {shown} cannot be read: {error}"),
            "check who owns it and its mode",
        ),
    }
}

/// Who has the log there; `None` = nobody. Makes no file.
fn holder(log: &Path) -> io::Result<Option<String>> {
    if !log.join(LOCK_NAME).exists() {
        return Ok(None);
    }
    Ok(match FsDisk::at(log)?.lock(LOCK_NAME)? {
        Locking::Taken(_released_here) => None,
        Locking::Held { by: Some(process) } => Some(format!("process {process}")),
        Locking::Held { by: None } => Some("another process".to_owned()),
    })
}

/// Times syncs of small appends to a file that is gone afterwards.
pub(super) fn sync(folder: &Path, clock: &dyn MonotonicClock) -> Check {
    let place = nearest(folder);
    match timed_syncs(&place, clock) {
        Ok(mut times) => {
            times.sort_unstable();
            judge::sync(&times)
        }
        Err(error) => Check::failed(
            "disk sync",
            format!("a file in {} cannot be synced: {error}", place.display()),
            "look at the disk (dmesg); nothing could be acknowledged there",
        ),
    }
}

fn timed_syncs(place: &Path, clock: &dyn MonotonicClock) -> io::Result<Vec<Duration>> {
    let mut file: File = tempfile::tempfile_in(place)?;
    let block = [0xa5; APPEND_BYTES];
    let mut times = Vec::with_capacity(SYNCS);
    for _append in 0..SYNCS {
        let begun = clock.elapsed();
        file.write_all(&block)?;
        file.sync_data()?;
        times.push(clock.elapsed().saturating_sub(begun));
    }
    Ok(times)
}

/// Looks how much room there is.
pub(super) fn room(folder: &Path) -> Check {
    let place = nearest(folder);
    match FsRoom::at(&place).room() {
        Ok(room) => judge::room(&folder.display().to_string(), room),
        Err(error) => Check::failed(
            "disk room",
            format!(
                "the file system of {} does not say: {error}",
                place.display()
            ),
            "look at the disk (df, dmesg)",
        ),
    }
}
