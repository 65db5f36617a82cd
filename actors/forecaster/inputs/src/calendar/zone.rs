//! Zones that a file defines itself (`VTIMEZONE`), for names that are none of IANA's.

use super::line::ContentLine;
use super::rule::Rule;
use jiff::civil::{DateTime, Weekday};
use jiff::tz::TimeZone;

/// One `STANDARD` or `DAYLIGHT` part.
#[derive(Clone, Debug, Default)]
pub(super) struct Observance {
    is_daylight: bool,
    from: Option<DateTime>,
    offset_s: Option<i32>,
    offset_before_s: Option<i32>,
    rule: Option<String>,
}

/// A zone while it is read.
#[derive(Clone, Debug, Default)]
pub(super) struct ZoneDraft {
    pub(super) name: Option<String>,
    parts: Vec<Observance>,
}

/// Most parts of one zone: two a year for a century.
const PARTS_MAX: usize = 200;

impl ZoneDraft {
    pub(super) fn begin_part(&mut self, is_daylight: bool) {
        if self.parts.len() < PARTS_MAX {
            self.parts.push(Observance {
                is_daylight,
                ..Observance::default()
            });
        }
    }

    pub(super) fn take(&mut self, line: &ContentLine) {
        let Some(part) = self.parts.last_mut() else {
            return;
        };
        match line.name.as_str() {
            "DTSTART" => part.from = super::value::local_of(&line.value).map(|read| read.0),
            "TZOFFSETTO" => part.offset_s = offset_of(&line.value),
            "TZOFFSETFROM" => part.offset_before_s = offset_of(&line.value),
            "RRULE" => part.rule = Some(line.value.clone()),
            _ => {}
        }
    }

    /// Makes a zone of the newest rules: one offset, or standard and daylight time on a weekday of a month each.
    /// Older rules of the file are not kept, so times before them may be off by an hour.
    pub(super) fn zone(&self) -> Option<TimeZone> {
        let newest = |is_daylight| {
            let parts = self
                .parts
                .iter()
                .filter(|part| part.is_daylight == is_daylight);
            parts.max_by_key(|part| part.from)
        };
        let standard = newest(false)?;
        let offset = jiff::tz::Offset::from_seconds(standard.offset_s?).ok()?;
        let Some(daylight) = newest(true) else {
            return Some(TimeZone::fixed(offset));
        };
        if daylight.offset_s == standard.offset_s {
            return Some(TimeZone::fixed(offset));
        }
        // Daylight time that ended for good before the newest standard time began.
        if daylight.rule.is_none() && standard.rule.is_none() && daylight.from < standard.from {
            return Some(TimeZone::fixed(offset));
        }
        let text = format!(
            "<STD>{}<DST>{},{},{}",
            posix_offset(standard.offset_s?),
            posix_offset(daylight.offset_s?),
            posix_rule(daylight)?,
            posix_rule(standard)?
        );
        TimeZone::posix(&text).ok()
    }
}

/// Reads `+0100` or `-023000`.
fn offset_of(text: &str) -> Option<i32> {
    let (sign, digits) = match text.trim().split_at_checked(1)? {
        ("+", digits) => (1, digits),
        ("-", digits) => (-1, digits),
        _ => return None,
    };
    let is_whole =
        matches!(digits.len(), 4 | 6) && digits.bytes().all(|byte| byte.is_ascii_digit());
    let part = |at: usize| {
        digits
            .get(at..at + 2)
            .and_then(|part| part.parse::<i32>().ok())
    };
    let (hours, minutes) = (part(0)?, part(2)?);
    let seconds = part(4).unwrap_or(0);
    (is_whole && hours < 24 && minutes < 60 && seconds < 60)
        .then(|| sign * (hours * 3_600 + minutes * 60 + seconds))
}

/// POSIX counts offsets westwards.
fn posix_offset(offset_s: i32) -> String {
    let sign = if offset_s > 0 { "-" } else { "" };
    let whole = offset_s.unsigned_abs();
    format!(
        "{sign}{}:{:02}:{:02}",
        whole / 3_600,
        whole / 60 % 60,
        whole % 60
    )
}

/// `M3.5.0/2:00:00`: month, week (5 = the last), weekday from Sunday, local time before the change.
fn posix_rule(part: &Observance) -> Option<String> {
    part.offset_before_s?;
    let rule = Rule::parse(part.rule.as_deref()?).ok()?;
    let (month, place, day) = rule.as_yearly_weekday()?;
    let week = match place {
        -1 => 5,
        1..=4 => place,
        _ => return None,
    };
    let day = match day {
        Weekday::Sunday => 0,
        other => other.to_monday_one_offset(),
    };
    let time = part.from?.time();
    Some(format!(
        "M{month}.{week}.{day}/{}:{:02}:{:02}",
        time.hour(),
        time.minute(),
        time.second()
    ))
}
