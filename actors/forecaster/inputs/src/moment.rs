//! Times as logs write them.

use jiff::civil;
use jiff::tz::TimeZone;
use std::str::FromStr as _;
use twinscale_protocol::DomainTime;

/// Magnitudes below which a number of time is in seconds, milliseconds, microseconds; above: nanoseconds. Each reads
/// its unit rightly from 1973 to the year 5138.
const SECONDS_BELOW: f64 = 1e11;
const MILLIS_BELOW: f64 = 1e14;
const MICROS_BELOW: f64 = 1e17;

/// Longest text of a time: RFC 3339 with nanoseconds and an annotated zone has about 60.
const TEXT_BYTES_MAX: usize = 80;

/// Reads a number since the epoch, its unit by its size.
pub(crate) fn of_number(number: f64) -> Option<DomainTime> {
    if !number.is_finite() || number < 0.0 {
        return None;
    }
    let seconds = if number < SECONDS_BELOW {
        number
    } else if number < MILLIS_BELOW {
        number / 1e3
    } else if number < MICROS_BELOW {
        number / 1e6
    } else {
        number / 1e9
    };
    if seconds >= SECONDS_BELOW {
        return None;
    }
    #[expect(
        clippy::cast_possible_truncation,
        reason = "between 0 and 10^11: the fraction is dropped"
    )]
    let whole = seconds as i64;
    Some(DomainTime(whole))
}

/// Reads a time as text: a number since the epoch, RFC 3339, or the same without an offset in the zone given.
pub(crate) fn of_text(text: &str, zone: Option<&TimeZone>) -> Option<DomainTime> {
    let text = text.trim();
    if text.len() > TEXT_BYTES_MAX {
        return None;
    }
    if let Ok(at) = jiff::Timestamp::from_str(text) {
        return Some(DomainTime(at.as_second()));
    }
    let is_number = |byte: u8| byte.is_ascii_digit() || byte == b'.';
    if text.bytes().all(is_number) {
        return of_number(text.parse().ok()?);
    }
    // Python writes the fraction behind a comma; the fraction is dropped in any case.
    let text = text.split_once(',').map_or(text, |(whole, _)| whole);
    let local = civil::DateTime::from_str(text).ok()?;
    of_local(local, zone?)
}

/// Places a local time; of one that a zone has twice the first, of one that it skips the one after the gap.
pub(crate) fn of_local(local: civil::DateTime, zone: &TimeZone) -> Option<DomainTime> {
    let at = zone.to_ambiguous_timestamp(local).compatible().ok()?;
    Some(DomainTime(at.as_second()))
}

/// Reads `Oct 11 22:14:15` in a zone, in the year that brings it nearest to `now`.
pub(crate) fn of_bsd(text: &str, zone: &TimeZone, now: DomainTime) -> Option<DomainTime> {
    const MONTHS: [&str; 12] = [
        "Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec",
    ];
    let mut words = text.split_ascii_whitespace();
    let name = words.next()?;
    let month = (1_i8..).zip(MONTHS).find(|(_, known)| *known == name)?.0;
    let day: i8 = words.next()?.parse().ok()?;
    let time = civil::Time::from_str(words.next()?).ok()?;
    let this_year = jiff::Timestamp::from_second(now.0)
        .ok()?
        .to_zoned(zone.clone());
    let years = [-1, 0, 1].map(|shift| this_year.year().checked_add(shift));
    let places = years.into_iter().flatten().filter_map(|year| {
        let date = civil::Date::new(year, month, day).ok()?;
        of_local(date.to_datetime(time), zone)
    });
    places.min_by_key(|at| at.seconds_since(now).unsigned_abs())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn berlin() -> TimeZone {
        jiff::tz::TimeZoneDatabase::bundled()
            .get("Europe/Berlin")
            .expect("bundled")
    }

    #[test]
    fn numbers_of_every_unit_are_the_same_second() {
        for number in [
            1_700_000_000.9,
            1_700_000_000_123.0,
            1_700_000_000_123_456.0,
            1.7e18,
        ] {
            assert_eq!(
                of_number(number),
                Some(DomainTime(1_700_000_000)),
                "{number}"
            );
        }
        assert_eq!(of_number(-1.0), None);
        assert_eq!(of_number(f64::NAN), None);
        assert_eq!(of_number(1e300), None);
    }

    #[test]
    fn texts_with_and_without_an_offset() {
        let utc = Some(DomainTime(1_697_012_055));
        assert_eq!(
            of_text("2023-10-11T10:14:15+02:00", None),
            Some(DomainTime(1_697_012_055))
        );
        assert_eq!(of_text("2023-10-11 08:14:15.25Z", None), utc);
        assert_eq!(of_text("1697012055", None), utc);
        assert_eq!(of_text("2023-10-11 10:14:15,123", None), None);
        assert_eq!(of_text("2023-10-11 10:14:15,123", Some(&berlin())), utc);
        assert_eq!(of_text("yesterday", Some(&berlin())), None);
    }

    #[test]
    fn a_time_without_a_year_is_in_the_nearest_one() {
        // 2024-01-02T00:00:00Z.
        let now = DomainTime(1_704_153_600);
        let read = |text| of_bsd(text, &TimeZone::UTC, now).map(|at| at.seconds_since(now));
        assert_eq!(read("Dec 31 23:59:00"), Some(-86_400 - 60));
        assert_eq!(read("Jan  3 00:00:00"), Some(86_400));
        assert_eq!(read("Foo  3 00:00:00"), None);
        assert_eq!(read("Feb 31 00:00:00"), None);
    }
}
