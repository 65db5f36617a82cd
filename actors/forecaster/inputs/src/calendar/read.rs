//! Reads a file: components, then events, then occurrences.

use super::event::{self, RawEvent};
use super::line::{ContentLine, for_each_line};
use super::rule::DAYS_LOOKED_AT_MAX;
use super::value::Zones;
use super::zone::ZoneDraft;
use super::{Calendar, CalendarError, CalendarEvent, CalendarFault, CalendarOptions};
use crate::fault::Faults;
use jiff::tz::TimeZoneDatabase;
use std::collections::BTreeMap;
use twinscale_protocol::DomainTime;

/// Largest file, in bytes.
pub const FILE_BYTES_MAX: usize = 16 << 20;

/// Most `VEVENT`s of a file.
pub const RAW_EVENTS_MAX: usize = 10_000;

/// Most events that come of a file: as many as a twin keeps.
pub const EVENTS_MAX: usize = 4_096;

/// Most lines of one event that are kept.
const LINES_PER_EVENT_MAX: usize = 256;

/// Most zones that a file defines.
const ZONES_MAX: usize = 256;

/// Deepest nesting of components.
const DEPTH_MAX: usize = 16;

/// Reads a calendar.
///
/// Cost: linear in the file, plus at most [`DAYS_LOOKED_AT_MAX`] days of rules.
///
/// # Errors
/// [`CalendarError`] when nothing of the file can be used.
pub fn read_calendar(bytes: &[u8], options: &CalendarOptions) -> Result<Calendar, CalendarError> {
    if bytes.len() > FILE_BYTES_MAX {
        return Err(CalendarError::TooLarge { bytes: bytes.len() });
    }
    let floating = TimeZoneDatabase::bundled().get(&options.zone);
    let floating = floating.map_err(|_unknown| CalendarError::UnknownZone {
        name: options.zone.chars().take(64).collect(),
    })?;
    let mut components = Components::default();
    for_each_line(bytes, |line| match line {
        Ok(line) => components.take(line),
        Err(number) => components.faults.note(CalendarFault::BadLine, number, b""),
    });
    if !components.is_calendar {
        return Err(CalendarError::NotACalendar);
    }
    if let Some(open) = components.stack.last() {
        components
            .faults
            .note(CalendarFault::BadNesting, open.number, b"");
    }
    let zones = Zones {
        defined: components.zones,
        floating,
    };
    let mut calendar = Calendar {
        events: Vec::new(),
        faults: components.faults,
        cancelled: 0,
        replaced: 0,
    };
    let raw = newest_of_each(&components.events, &zones, &mut calendar);
    expand(raw, options, &mut calendar);
    Ok(calendar)
}

/// Components while they are read.
#[derive(Default)]
struct Components {
    is_calendar: bool,
    stack: Vec<ContentLine>,
    event: Vec<ContentLine>,
    events: Vec<(ContentLine, Vec<ContentLine>)>,
    zone: ZoneDraft,
    zones: BTreeMap<String, Option<jiff::tz::TimeZone>>,
    faults: Faults<CalendarFault>,
}

impl Components {
    fn take(&mut self, line: ContentLine) {
        match line.name.as_str() {
            "BEGIN" => self.begin(line),
            "END" => self.end(&line),
            _ => {
                let top = self.stack.last().map(|open| open.value.as_str());
                match top {
                    Some("VEVENT") if self.event.len() < LINES_PER_EVENT_MAX => {
                        self.event.push(line);
                    }
                    Some("VTIMEZONE") if line.name == "TZID" => self.zone.name = Some(line.value),
                    Some("STANDARD" | "DAYLIGHT") => self.zone.take(&line),
                    _ => {}
                }
            }
        }
    }

    fn begin(&mut self, mut line: ContentLine) {
        line.value = line.value.trim().to_ascii_uppercase();
        if self.stack.len() >= DEPTH_MAX {
            self.faults.note(
                CalendarFault::BadNesting,
                line.number,
                line.value.as_bytes(),
            );
            return;
        }
        match line.value.as_str() {
            "VCALENDAR" => self.is_calendar = true,
            "VEVENT" => self.event.clear(),
            "VTIMEZONE" => self.zone = ZoneDraft::default(),
            "STANDARD" => self.zone.begin_part(false),
            "DAYLIGHT" => self.zone.begin_part(true),
            _ => {}
        }
        self.stack.push(line);
    }

    fn end(&mut self, line: &ContentLine) {
        let name = line.value.trim().to_ascii_uppercase();
        let Some(place) = self.stack.iter().rposition(|open| open.value == name) else {
            self.faults.note(
                CalendarFault::BadNesting,
                line.number,
                line.value.as_bytes(),
            );
            return;
        };
        if place + 1 != self.stack.len() {
            self.faults.note(
                CalendarFault::BadNesting,
                line.number,
                line.value.as_bytes(),
            );
        }
        let Some(open) = self.stack.drain(place..).next() else {
            return;
        };
        match name.as_str() {
            "VEVENT" if self.events.len() < RAW_EVENTS_MAX => {
                self.events.push((open, std::mem::take(&mut self.event)));
            }
            "VEVENT" => self
                .faults
                .note(CalendarFault::TooManyEvents, open.number, b""),
            "VTIMEZONE" if self.zones.len() < ZONES_MAX => {
                let draft = std::mem::take(&mut self.zone);
                if let Some(name) = draft.name.clone() {
                    self.zones.insert(name, draft.zone());
                }
            }
            _ => {}
        }
    }
}

/// An event, or one occurrence of it, by its identifier.
type ById = BTreeMap<(String, Option<DomainTime>), RawEvent>;

fn newest_of_each(
    components: &[(ContentLine, Vec<ContentLine>)],
    zones: &Zones,
    calendar: &mut Calendar,
) -> ById {
    let mut all = ById::new();
    for (first, lines) in components {
        let faults = &mut calendar.faults;
        let mut note =
            |fault, line: &ContentLine| faults.note(fault, line.number, line.value.as_bytes());
        let raw = match event::read(first, lines, zones, &mut note) {
            Ok(raw) => raw,
            Err((fault, line)) => {
                note(fault, &line);
                continue;
            }
        };
        let recurrence = match raw
            .recurrence
            .as_ref()
            .map(super::value::Moment::at)
            .transpose()
        {
            Ok(recurrence) => recurrence,
            Err(fault) => {
                note(fault, first);
                continue;
            }
        };
        let key = (raw.uid.clone(), recurrence);
        let rank = |raw: &RawEvent| (raw.sequence, raw.changed);
        match all.get(&key) {
            Some(held) if rank(held) > rank(&raw) => calendar.replaced += 1,
            Some(_) => {
                calendar.replaced += 1;
                all.insert(key, raw);
            }
            None => {
                all.insert(key, raw);
            }
        }
    }
    all
}

fn expand(all: ById, options: &CalendarOptions, calendar: &mut Calendar) {
    // Occurrences that are said apart do not come of the rule; of a cancelled event none comes.
    let is_cancelled = |uid: &str| {
        all.get(&(uid.to_owned(), None))
            .is_some_and(|raw| raw.is_cancelled)
    };
    let mut work = DAYS_LOOKED_AT_MAX;
    for ((uid, recurrence), raw) in &all {
        if raw.is_cancelled || is_cancelled(uid) {
            calendar.cancelled += 1;
            continue;
        }
        let (starts, is_cut) = match raw.starts(options, &mut work) {
            Ok(found) => found,
            Err(fault) => {
                calendar.faults.note(fault, raw.line, b"");
                continue;
            }
        };
        if is_cut {
            calendar
                .faults
                .note(CalendarFault::TooManyOccurrences, raw.line, b"");
        }
        for start in starts {
            let event = match raw.occurrence(&start, options) {
                Ok(event) => event,
                Err(fault) => {
                    calendar.faults.note(fault, raw.line, b"");
                    continue;
                }
            };
            let is_said_apart =
                recurrence.is_none() && all.contains_key(&(uid.clone(), Some(event.start)));
            if is_said_apart || event.end <= options.from || event.start >= options.until {
                continue;
            }
            calendar.events.push(CalendarEvent {
                event,
                magnitude: raw.magnitude,
            });
            // Rules can ask for millions: what will not be kept is not held either.
            if calendar.events.len() >= 2 * EVENTS_MAX {
                keep_first(calendar);
            }
        }
    }
    keep_first(calendar);
}

/// Sorts, and drops what is beyond the limit.
fn keep_first(calendar: &mut Calendar) {
    calendar.events.sort_by(|one, other| {
        let key = |held: &CalendarEvent| (held.event.start, held.event.kind);
        let names = || one.event.name.cmp(&other.event.name);
        key(one).cmp(&key(other)).then_with(names)
    });
    if calendar.events.len() > EVENTS_MAX {
        calendar.faults.note(CalendarFault::TooManyEvents, 0, b"");
        calendar.events.truncate(EVENTS_MAX);
    }
}
