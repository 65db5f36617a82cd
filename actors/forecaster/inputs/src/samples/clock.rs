//! Finds times that were local: an hour that is missing in spring, or there twice in autumn.
//!
//! A sender that writes local time as if it were UTC leaves out the hour that its clock skips, and writes twice the one
//! that it repeats. Both are looked for only where the named zone changes its clock, and only between samples that
//! are otherwise regular.

use jiff::tz::{Offset, TimeZone, TimeZoneDatabase};
use twinscale_protocol::{DomainTime, SeriesKey};

/// Most changes of a zone's clock that are looked at: two a year for a century.
const CHANGES_MAX: usize = 200;

/// What was found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ClockChangeKind {
    /// No sample in the hour that the zone's clocks skipped, and some right before and after.
    HourMissing,
    /// Times went back, or stood twice, in the hour that the zone's clocks had twice.
    HourTwice,
}

/// Times that look local. Nothing is altered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClockChange {
    /// The series.
    pub series: SeriesKey,
    /// The zone whose clock changed.
    pub zone: String,
    /// The skipped or repeated time as it was sent: its start.
    pub at: DomainTime,
    /// Which of both.
    pub kind: ClockChangeKind,
}

/// The zone is not known.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("unknown time zone `{name}`: use an IANA name such as `Europe/Berlin`")]
pub struct ClockZoneError {
    /// What was asked for.
    pub name: String,
}

/// Looks through the times of one series, in the order in which they were sent and before they are sorted.
///
/// # Errors
/// [`ClockZoneError`] for a name that is no zone's.
pub fn find_clock_changes(
    series: &SeriesKey,
    times: &[DomainTime],
    zone: &str,
) -> Result<Vec<ClockChange>, ClockZoneError> {
    let found = TimeZoneDatabase::bundled().get(zone);
    let known = found.map_err(|_unknown| ClockZoneError {
        name: zone.chars().take(64).collect(),
    })?;
    let (Some(first), Some(last)) = (times.iter().min(), times.iter().max()) else {
        return Ok(Vec::new());
    };
    let mut changes = Vec::new();
    for change in changes_of(&known, *first, *last) {
        let is_found = match change.kind {
            ClockChangeKind::HourMissing => is_missing(times, &change),
            ClockChangeKind::HourTwice => is_twice(times, &change),
        };
        if is_found {
            changes.push(ClockChange {
                series: series.clone(),
                zone: zone.to_owned(),
                at: change.from,
                kind: change.kind,
            });
        }
    }
    Ok(changes)
}

/// The skipped or repeated time, as a sender of local time writes it.
struct Change {
    kind: ClockChangeKind,
    from: DomainTime,
    to: DomainTime,
}

fn changes_of(zone: &TimeZone, first: DomainTime, last: DomainTime) -> Vec<Change> {
    // Local time is at most a day from UTC.
    let begin = jiff::Timestamp::from_second(first.0.saturating_sub(86_400));
    let Ok(begin) = begin else {
        return Vec::new();
    };
    let mut before = zone.to_offset(begin);
    let mut changes = Vec::new();
    for transition in zone.following(begin).take(CHANGES_MAX) {
        let at = transition.timestamp().as_second();
        if at > last.0.saturating_add(86_400) {
            break;
        }
        let after: Offset = transition.offset();
        let (low, high) = (
            before.seconds().min(after.seconds()),
            before.seconds().max(after.seconds()),
        );
        let span = (
            DomainTime(at.saturating_add(i64::from(low))),
            DomainTime(at.saturating_add(i64::from(high))),
        );
        let kind = if after > before {
            ClockChangeKind::HourMissing
        } else {
            ClockChangeKind::HourTwice
        };
        before = after;
        if low != high {
            let (from, to) = span;
            changes.push(Change { kind, from, to });
        }
    }
    changes
}

/// Whether the skipped time is empty, and the same lengths before and after it are as full as each other.
fn is_missing(times: &[DomainTime], change: &Change) -> bool {
    let length_s = change.to.seconds_since(change.from);
    let count = |shift: i64| {
        let (from, to) = (
            change.from.0 + shift * length_s,
            change.to.0 + shift * length_s,
        );
        times.iter().filter(|at| (from..to).contains(&at.0)).count()
    };
    let (before, after) = (count(-1), count(1));
    count(0) == 0 && before > 0 && after > 0 && before.abs_diff(after) <= 1
}

/// Whether the repeated time was sent as two runs, each in order.
fn is_twice(times: &[DomainTime], change: &Change) -> bool {
    let inside: Vec<DomainTime> = times
        .iter()
        .copied()
        .filter(|at| (change.from..change.to).contains(at))
        .collect();
    let steps_back: Vec<usize> = (1..inside.len())
        .filter(|place| inside.get(*place) <= inside.get(*place - 1))
        .collect();
    match steps_back.as_slice() {
        [middle] => middle.abs_diff(inside.len() - middle) <= 1,
        _ => false,
    }
}
