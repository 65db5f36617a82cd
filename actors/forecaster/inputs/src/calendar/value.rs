//! Dates, times, durations and zones.

use super::CalendarFault;
use super::line::ContentLine;
use crate::moment;
use jiff::civil::{Date, DateTime, Time};
use jiff::tz::{TimeZone, TimeZoneDatabase};
use std::collections::BTreeMap;
use twinscale_protocol::DomainTime;

/// A time as an event says it: local, with the zone that places it.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Moment {
    /// Date and time in the zone.
    pub(super) local: DateTime,
    /// Whether it is a whole day.
    pub(super) is_date: bool,
    /// Where it is.
    pub(super) zone: TimeZone,
}

impl Moment {
    pub(super) fn at(&self) -> Result<DomainTime, CalendarFault> {
        moment::of_local(self.local, &self.zone).ok_or(CalendarFault::BadTime)
    }

    /// The same zone at another local time.
    pub(super) fn at_local(&self, local: DateTime) -> Self {
        Self {
            local,
            ..self.clone()
        }
    }
}

/// The zones of a file: those that it defines, and the database of the program.
#[derive(Debug)]
pub(super) struct Zones {
    /// Zones by the file's own rules, or why they cannot be used.
    pub(super) defined: BTreeMap<String, Option<TimeZone>>,
    /// The zone of times that name none.
    pub(super) floating: TimeZone,
}

impl Zones {
    /// Finds a zone: an IANA name first, also behind a prefix such as `/vendor/2005/Europe/Berlin`, then the file's.
    fn find(&self, name: &str) -> Result<TimeZone, CalendarFault> {
        let database = TimeZoneDatabase::bundled();
        let tail_of = |parts: usize| {
            let cut = name.rmatch_indices('/').nth(parts - 1);
            cut.and_then(|(at, _)| name.get(at + 1..))
        };
        let names = [Some(name), tail_of(3), tail_of(2)];
        let known = names
            .into_iter()
            .flatten()
            .find_map(|name| database.get(name).ok());
        if let Some(zone) = known {
            return Ok(zone);
        }
        match self.defined.get(name) {
            Some(Some(zone)) => Ok(zone.clone()),
            Some(None) => Err(CalendarFault::ZoneRules),
            None => Err(CalendarFault::UnknownZone),
        }
    }

    /// Reads the time of a property such as `DTSTART`.
    pub(super) fn moment(&self, line: &ContentLine) -> Result<Moment, CalendarFault> {
        self.moment_of(line, &line.value)
    }

    /// Reads the times of a property that lists them, such as `EXDATE`.
    pub(super) fn moments(&self, line: &ContentLine) -> Result<Vec<Moment>, CalendarFault> {
        line.value
            .split(',')
            .map(|value| self.moment_of(line, value))
            .collect()
    }

    fn moment_of(&self, line: &ContentLine, value: &str) -> Result<Moment, CalendarFault> {
        let (local, is_date, is_utc) = local_of(value.trim()).ok_or(CalendarFault::BadTime)?;
        let says_date = line
            .parameter("VALUE")
            .is_some_and(|kind| kind.eq_ignore_ascii_case("DATE"));
        if says_date && !is_date {
            return Err(CalendarFault::BadTime);
        }
        let zone = match line.parameter("TZID") {
            _ if is_utc => TimeZone::UTC,
            Some(name) if !is_date => self.find(name)?,
            _ => self.floating.clone(),
        };
        Ok(Moment {
            local,
            is_date,
            zone,
        })
    }
}

/// Reads `YYYYMMDD`, `YYYYMMDDTHHMMSS` and the same with `Z`: local time, whether a date, whether UTC.
pub(super) fn local_of(text: &str) -> Option<(DateTime, bool, bool)> {
    let (date, time) = match text.split_once('T') {
        Some((date, time)) => (date, Some(time)),
        None => (text, None),
    };
    if date.len() != 8 {
        return None;
    }
    let date = Date::new(
        number(date.get(..4)?)?,
        number(date.get(4..6)?)?,
        number(date.get(6..)?)?,
    )
    .ok()?;
    let Some(time) = time else {
        return Some((date.to_datetime(Time::midnight()), true, false));
    };
    let (time, is_utc) = match time.strip_suffix('Z') {
        Some(time) => (time, true),
        None => (time, false),
    };
    if time.len() != 6 {
        return None;
    }
    // A leap second is the second before it.
    let second: i8 = number::<i8>(time.get(4..)?)?.min(59);
    let time = Time::new(number(time.get(..2)?)?, number(time.get(2..4)?)?, second, 0).ok()?;
    Some((date.to_datetime(time), false, is_utc))
}

fn number<N: std::str::FromStr>(text: &str) -> Option<N> {
    let is_plain = text.bytes().all(|byte| byte.is_ascii_digit());
    is_plain.then(|| text.parse().ok()).flatten()
}

/// A duration: days are of the calendar, the rest is exact.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Length {
    pub(super) days: i32,
    pub(super) seconds: i64,
}

/// Longest duration, in days: ten years.
const DAYS_MAX: i64 = 3_660;

/// Reads `P1W`, `P1DT2H`, `PT30M`; negative and overlong ones are none.
pub(super) fn length_of(text: &str) -> Option<Length> {
    let body = text.strip_prefix('+').unwrap_or(text).strip_prefix('P')?;
    let (dates, times) = match body.split_once('T') {
        Some((dates, times)) if !times.is_empty() => (dates, times),
        Some(_) => return None,
        None => (body, ""),
    };
    let mut days = 0_i64;
    let mut seconds = 0_i64;
    for (part, is_time) in [(dates, false), (times, true)] {
        let mut rest = part;
        while !rest.is_empty() {
            let end = rest.find(|sign: char| !sign.is_ascii_digit())?;
            let (count, behind) = rest.split_at(end);
            let count: i64 = number(count)?;
            let unit = behind.chars().next()?;
            let (of_days, of_seconds) = match (unit, is_time) {
                ('W', false) => (7, 0),
                ('D', false) => (1, 0),
                ('H', true) => (0, 3_600),
                ('M', true) => (0, 60),
                ('S', true) => (0, 1),
                _ => return None,
            };
            days = days.checked_add(count.checked_mul(of_days)?)?;
            seconds = seconds.checked_add(count.checked_mul(of_seconds)?)?;
            rest = behind.get(1..)?;
        }
    }
    if body.is_empty() || days > DAYS_MAX || seconds > DAYS_MAX * 86_400 {
        return None;
    }
    Some(Length {
        days: i32::try_from(days).ok()?,
        seconds,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations() {
        let check = |text, days, seconds| {
            assert_eq!(length_of(text), Some(Length { days, seconds }), "{text}");
        };
        check("P2W", 14, 0);
        check("P1DT2H3M4S", 1, 7_384);
        check("+PT0S", 0, 0);
        for bad in [
            "",
            "P",
            "PT",
            "P1",
            "P1H",
            "-P1D",
            "P99999D",
            "P1X",
            "PT99999999999999999999S",
        ] {
            assert_eq!(length_of(bad), None, "{bad}");
        }
    }

    #[test]
    fn times() {
        assert!(local_of("20240229").is_some_and(|(_, is_date, _)| is_date));
        assert!(local_of("20240229T235960Z").is_some_and(|(_, _, is_utc)| is_utc));
        for bad in [
            "20230229",
            "2024022",
            "20240229T",
            "20240229T2400",
            "2024+229",
            "20240229T240000",
            "ä0240229",
        ] {
            assert_eq!(local_of(bad), None, "{bad}");
        }
    }
}
