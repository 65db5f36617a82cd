//! What figures of a machine mean for a node. Pure.

use super::Check;
use std::time::Duration;
use twinscale_log::Room;
use twinscale_protocol::DomainTime;

/// Room below which a running node turns read-only; it starts, and takes nothing.
const ROOM_LEAST_BYTES: u64 = 64 << 20;

/// Room below which a busy node fills the disk within days: some 100 bytes a sample.
const ROOM_LOW_BYTES: u64 = 5 << 30;

/// An fsync slower than this holds every acknowledgement up for longer than a person notices.
const SYNC_SLOW: Duration = Duration::from_millis(50);

/// An fsync faster than this on a device that can lose power is none: even flash takes longer.
const SYNC_UNBELIEVABLE: Duration = Duration::from_micros(10);

/// A moment before this build was made, 2026-01-01: a clock that shows less is not set.
const CLOCK_LEAST: DomainTime = DomainTime(1_767_225_600);

/// Twenty years behind it: a clock that shows more is not set either.
const CLOCK_MOST: DomainTime = DomainTime(2_398_377_600);

/// Files that a node opens besides its connections: log, store, listener, pipes, libraries.
const FILES_OF_ITS_OWN: u64 = 128;

/// Memory of a node without customers, most of it `LibTorch`.
const MEMORY_BASE_BYTES: u64 = 300 << 20;

/// Memory of an active series with its twin's share, measured with 1,000 customers.
const MEMORY_SERIES_BYTES: u64 = 64 << 10;

pub(super) fn room(place: &str, room: Room) -> Check {
    let name = "disk room";
    if room.is_read_only {
        return Check::failed(
            name,
            format!("{place} is on a file system that takes no writes"),
            "mount it for writing, or choose another folder with --data-dir",
        );
    }
    let found = format!("{} free for {place}", bytes(room.free_bytes));
    if room.free_bytes < ROOM_LEAST_BYTES {
        let least = bytes(ROOM_LEAST_BYTES);
        let remedy = format!("free some space: below {least} a node turns read-only");
        Check::failed(name, found, remedy)
    } else if room.free_bytes < ROOM_LOW_BYTES {
        let low = bytes(ROOM_LOW_BYTES);
        let remedy = format!("give it {low} or more: a thousand busy customers write that in days");
        Check::warned(name, found, remedy)
    } else {
        Check::passed(name, found)
    }
}

/// Judges the times of several syncs of a small append, in ascending order.
pub(super) fn sync(sorted: &[Duration]) -> Check {
    let name = "disk sync";
    let at = |part: usize| {
        let place = sorted.len().saturating_mul(part) / 100;
        let found = sorted.get(place.min(sorted.len().saturating_sub(1)));
        found.copied().unwrap_or_default()
    };
    let (median, slow) = (at(50), at(95));
    let found = format!(
        "fdatasync takes {} (95 % below {})",
        millis(median),
        millis(slow)
    );
    if median < SYNC_UNBELIEVABLE {
        Check::warned(
            name,
            found,
            "this is memory or a disk that does not sync: acknowledged samples would not survive a power \
             cut; use a folder on a disk for anything but tests",
        )
    } else if slow > SYNC_SLOW {
        Check::warned(
            name,
            found,
            "each acknowledgement waits for one: use a faster disk, or send larger batches",
        )
    } else {
        Check::passed(name, found)
    }
}

pub(super) fn clock(now: DomainTime) -> Check {
    let name = "clock";
    if (CLOCK_LEAST..CLOCK_MOST).contains(&now) {
        let text = jiff::Timestamp::from_second(now.0).map(|time| time.to_string());
        return Check::passed(name, text.unwrap_or_default());
    }
    let seconds = now.0;
    Check::failed(
        name,
        format!("it shows {seconds} seconds since 1970, which is not today"),
        "set it (timedatectl set-ntp true): samples and plans are placed by it",
    )
}

/// Judges the limit of open files; `None` = no limit.
pub(super) fn open_files(limit: Option<u64>, connections_max: usize) -> Check {
    let name = "open files";
    let wanted = FILES_OF_ITS_OWN + connections_max as u64;
    let found = limit.map_or_else(|| "no limit".to_owned(), |limit| format!("limit {limit}"));
    if limit.is_none_or(|limit| limit >= wanted) {
        return Check::passed(name, found);
    }
    Check::failed(
        name,
        format!("{found}, and {connections_max} connections need {wanted}"),
        format!("raise it (ulimit -n {wanted}), or lower connections_max"),
    )
}

/// Judges the processors for a number of threads; 0 threads = one per processor.
pub(super) fn processors(found: usize, threads: u32) -> Check {
    let name = "processors";
    let text = format!("{found} for this process");
    if found < 2 {
        return Check::warned(
            name,
            text,
            "give it two: a plan search and a forecast want one each while samples come in",
        );
    }
    if threads as usize > found {
        return Check::warned(
            name,
            format!("{text}, and {threads} threads of the plan search"),
            "set compute_threads to 0 (one per processor): more only take turns",
        );
    }
    Check::passed(name, text)
}

/// Judges the memory that is available, for as many series as the settings allow.
pub(super) fn memory(available: Option<u64>, series_max: usize) -> Check {
    let name = "memory";
    let Some(available) = available else {
        return Check::warned(
            name,
            "the system does not say how much is available",
            "see to it that a node has 300 MiB, and 64 KiB more for each series",
        );
    };
    let found = format!("{} available", bytes(available));
    let all = MEMORY_BASE_BYTES + MEMORY_SERIES_BYTES.saturating_mul(series_max as u64);
    if available < MEMORY_BASE_BYTES {
        let base = bytes(MEMORY_BASE_BYTES);
        Check::failed(
            name,
            found,
            format!("a node without customers takes {base}"),
        )
    } else if available < all {
        let fits = (available - MEMORY_BASE_BYTES) / MEMORY_SERIES_BYTES;
        Check::warned(
            name,
            format!("{found}, enough for some {fits} of {series_max} series"),
            format!("add memory up to {}, or lower series_max", bytes(all)),
        )
    } else {
        Check::passed(name, found)
    }
}

/// `1.5 GiB`, `300 MiB`.
pub(super) fn bytes(count: u64) -> String {
    let mib = count as f64 / f64::from(1 << 20);
    if mib < 1_024.0 {
        format!("{mib:.0} MiB")
    } else {
        format!("{:.1} GiB", mib / 1_024.0)
    }
}

/// `1.25 ms`.
pub(super) fn millis(time: Duration) -> String {
    format!("{:.2} ms", time.as_secs_f64() * 1e3)
}
