//! Events from iCalendar files (RFC 5545).
//!
//! Each `VEVENT` becomes one [`Event`], or one for each occurrence of its rule that touches the window asked for. What
//! cannot be read leaves out its event alone, and is counted by [`CalendarFault`] with its line. Of several with one
//! `UID` the highest `SEQUENCE` counts, then the newest change, then the last in the file; `STATUS:CANCELLED` removes.
//!
//! When an event was known is the newest of `DTSTAMP`, `CREATED` and `LAST-MODIFIED` ([`KnownFrom::LastChange`]), so
//! that no back-test uses what was not there yet; many programs write the time of the export as `DTSTAMP`, which only
//! makes it later. An event without these, and any with [`KnownFrom::ImportTime`], is known from the import on.

mod event;
mod line;
mod read;
mod rule;
#[cfg(test)]
mod tests;
mod value;
mod zone;

pub use event::NAME_BYTES_MAX;
pub use line::CONTENT_LINE_BYTES_MAX;
pub use read::{EVENTS_MAX, FILE_BYTES_MAX, RAW_EVENTS_MAX, read_calendar};
pub use rule::{DAYS_LOOKED_AT_MAX, OCCURRENCES_MAX};

use crate::fault::Faults;
use std::fmt;
use twinscale_protocol::{DomainTime, Event};

/// When an event is taken to have been known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KnownFrom {
    /// From its last change on, as the file says it.
    LastChange,
    /// From the import on.
    ImportTime,
}

/// What an event is called.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EventNames {
    /// Its `SUMMARY`, which may name persons.
    Summary,
    /// Its kind.
    KindOnly,
}

/// How to read a calendar.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CalendarOptions {
    /// The IANA zone of whole days and of times that name no zone.
    pub zone: String,
    /// Occurrences that end by then are left out.
    pub from: DomainTime,
    /// Occurrences that start then or later are left out.
    pub until: DomainTime,
    /// When the file came.
    pub import_time: DomainTime,
    /// When its events were known.
    pub known: KnownFrom,
    /// What they are called.
    pub names: EventNames,
}

/// An event, and how strong it is said to be.
#[derive(Clone, Debug, PartialEq)]
pub struct CalendarEvent {
    /// The event.
    pub event: Event,
    /// `X-TWINSCALE-MAGNITUDE`: expected load as a multiple of the usual, 0 to 1,000,000. A twin does not store it yet.
    pub magnitude: Option<f64>,
}

/// What a file holds.
#[derive(Clone, Debug, PartialEq)]
pub struct Calendar {
    /// Events in the order of start, kind and name.
    pub events: Vec<CalendarEvent>,
    /// What could not be read, by reason, with the line.
    pub faults: Faults<CalendarFault>,
    /// Events and occurrences that were cancelled.
    pub cancelled: u64,
    /// Events whose place another of the same `UID` took.
    pub replaced: u64,
}

/// Why nothing of a file can be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CalendarError {
    /// Too large.
    #[error(
        "calendar of {bytes} bytes is above the limit of {FILE_BYTES_MAX}: split it, or export fewer years"
    )]
    TooLarge {
        /// Its size.
        bytes: usize,
    },
    /// Something else.
    #[error("no line BEGIN:VCALENDAR: this is no iCalendar file")]
    NotACalendar,
    /// No such zone.
    #[error("unknown time zone `{name}`: use an IANA name such as `Europe/Berlin`")]
    UnknownZone {
        /// What was asked for.
        name: String,
    },
}

/// Why an event, or a part of one, was left out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum CalendarFault {
    /// A line that is no content line.
    BadLine,
    /// `END` without its `BEGIN`, or the other way round.
    BadNesting,
    /// No `DTSTART`.
    NoStart,
    /// A date or time that is none, or beyond the years 0 to 9999.
    BadTime,
    /// A `TZID` that is neither of IANA nor defined in the file.
    UnknownZone,
    /// A `TZID` that the file defines by rules that are not read.
    ZoneRules,
    /// An end not after the start, or a duration that is none.
    BadEnd,
    /// An `RRULE` that is none.
    BadRule,
    /// A recurrence that is not read.
    UnsupportedRule,
    /// The rules of the file want more days looked at than the limit.
    TooMuchWork,
    /// More occurrences than the limit; the first are kept.
    TooManyOccurrences,
    /// More `EXDATE`s or `RDATE`s than the limit.
    TooManyTimes,
    /// More events than the limit; the first are kept.
    TooManyEvents,
    /// An `X-TWINSCALE-KIND` that is none; the event counts as `other`.
    UnknownKind,
    /// An `X-TWINSCALE-MAGNITUDE` that is none; the event has none.
    BadMagnitude,
    /// An `X-TWINSCALE-SERIES` that is none; the event concerns all series.
    BadSeries,
}

impl fmt::Display for CalendarFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::BadLine => "not a content line: write NAME:value",
            Self::BadNesting => "BEGIN and END do not match: close each component",
            Self::NoStart => "no DTSTART: say when the event starts",
            Self::BadTime => "not a time: write 20240229 or 20240229T120000, with Z for UTC",
            Self::UnknownZone => "unknown TZID: use an IANA name, or define it by a VTIMEZONE",
            Self::ZoneRules => "zone rules are not read: use an IANA name as TZID",
            Self::BadEnd => {
                "end is not after the start: give a later DTEND or a DURATION of up to ten years"
            }
            Self::BadRule => "not a recurrence rule: see RFC 5545, section 3.3.10",
            Self::UnsupportedRule => "recurrence is not read: docs/inputs.md lists what is",
            Self::TooMuchWork => {
                "rules look at too many days: give them an UNTIL or a later DTSTART"
            }
            Self::TooManyOccurrences => "more than 1,024 occurrences: ask for a shorter window",
            Self::TooManyTimes => "more than 1,024 EXDATEs or RDATEs: split the event",
            Self::TooManyEvents => {
                "more events than are taken: ask for a shorter window or split the file"
            }
            Self::UnknownKind => {
                "unknown X-TWINSCALE-KIND, taken as other: docs/inputs.md lists them"
            }
            Self::BadMagnitude => "not a magnitude, left out: write a number from 0 to 1000000",
            Self::BadSeries => "not a series, left out: write vm_type/metric",
        })
    }
}
