//! Recurrence rules (RFC 5545, section 3.3.10): a subset, expanded within bounds.
//!
//! Read: `FREQ` of `DAILY`, `WEEKLY`, `MONTHLY` and `YEARLY`; `INTERVAL`, `COUNT`, `UNTIL`, `BYDAY`, `BYMONTHDAY`,
//! `BYMONTH`, `BYSETPOS`, `WKST`. Anything else is refused, not ignored. The crate `rrule` reads more; it brings a
//! second library of time with a second database of zones, which may say otherwise than the one used here.

use super::CalendarFault;
use super::value::{Moment, local_of};
use jiff::ToSpan as _;
use jiff::civil::{Date, DateTime, Weekday};
use twinscale_protocol::DomainTime;

/// Most occurrences of one event.
pub const OCCURRENCES_MAX: usize = 1_024;

/// Most days that the rules of one file may look at: those of 300 daily rules over 40 years.
pub const DAYS_LOOKED_AT_MAX: u64 = 5_000_000;

/// Longest list of one part of a rule.
const LIST_MAX: usize = 64;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Frequency {
    Daily,
    Weekly,
    Monthly,
    Yearly,
}

/// A rule.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Rule {
    frequency: Frequency,
    interval: i32,
    count: Option<u32>,
    until: Option<(DateTime, bool, bool)>,
    /// Weekdays, each with its place in the month or year, from 1 or from -1; 0 = all.
    pub(super) by_day: Vec<(i8, Weekday)>,
    by_month_day: Vec<i8>,
    pub(super) by_month: Vec<i8>,
    by_place: Vec<i16>,
    week_start: Weekday,
}

impl Rule {
    /// Reads a rule.
    pub(super) fn parse(text: &str) -> Result<Self, CalendarFault> {
        let bad = CalendarFault::BadRule;
        let mut frequency = None;
        let mut rule = Self {
            frequency: Frequency::Daily,
            interval: 1,
            count: None,
            until: None,
            by_day: Vec::new(),
            by_month_day: Vec::new(),
            by_month: Vec::new(),
            by_place: Vec::new(),
            week_start: Weekday::Monday,
        };
        for part in text.trim().split(';').filter(|part| !part.is_empty()) {
            let (name, value) = part.split_once('=').ok_or(bad)?;
            match name.to_ascii_uppercase().as_str() {
                "FREQ" => frequency = Some(frequency_of(value)?),
                "INTERVAL" => rule.interval = bounded(value, 1..=10_000).ok_or(bad)?,
                "COUNT" => rule.count = Some(bounded(value, 1..=1_000_000).ok_or(bad)?),
                "UNTIL" => rule.until = Some(local_of(value).ok_or(bad)?),
                "BYDAY" => rule.by_day = list(value, weekday_of)?,
                "BYMONTHDAY" => {
                    rule.by_month_day =
                        list(value, |day| bounded(day, -31..=31).filter(|day| *day != 0))?;
                }
                "BYMONTH" => rule.by_month = list(value, |month| bounded(month, 1..=12))?,
                "BYSETPOS" => {
                    rule.by_place = list(value, |place| {
                        bounded(place, -366..=366).filter(|place| *place != 0)
                    })?;
                }
                "WKST" => {
                    rule.week_start = weekday_of(value).filter(|day| day.0 == 0).ok_or(bad)?.1;
                }
                _ => return Err(CalendarFault::UnsupportedRule),
            }
        }
        rule.frequency = frequency.ok_or(bad)?;
        let has_places = rule.by_day.iter().any(|(place, _)| *place != 0);
        if has_places && matches!(rule.frequency, Frequency::Daily | Frequency::Weekly) {
            return Err(bad);
        }
        if rule.count.is_some() && rule.until.is_some() {
            return Err(bad);
        }
        if rule.frequency == Frequency::Weekly && !rule.by_month_day.is_empty() {
            return Err(bad);
        }
        Ok(rule)
    }

    /// Whether it comes once a year, on a weekday of a month: what a zone's rules are made of.
    pub(super) fn as_yearly_weekday(&self) -> Option<(i8, i8, Weekday)> {
        match (
            self.frequency,
            self.by_month.as_slice(),
            self.by_day.as_slice(),
        ) {
            (Frequency::Yearly, [month], [(place, day)])
                if self.interval == 1
                    && *place != 0
                    && self.by_month_day.is_empty()
                    && self.until.is_none() =>
            {
                Some((*month, *place, *day))
            }
            _ => None,
        }
    }

    /// Lists the occurrences from the start until before `end`, at most [`OCCURRENCES_MAX`] of those that end after
    /// `from`; `work` is what is left of [`DAYS_LOOKED_AT_MAX`]. The start counts as an occurrence if the rule says so.
    pub(super) fn occurrences(
        &self,
        start: &Moment,
        from: DomainTime,
        end: DomainTime,
        work: &mut u64,
    ) -> Result<Occurrences, CalendarFault> {
        let mut found = Occurrences::default();
        let mut counted = 0_u32;
        let first = start.local.date();
        for period in 0_i32.. {
            let Some(mut dates) = self.dates_of(period, first) else {
                return Ok(found);
            };
            *work = work
                .checked_sub(dates.len() as u64 + 1)
                .ok_or(CalendarFault::TooMuchWork)?;
            dates.sort_unstable();
            dates.dedup();
            // The earliest that this period could have, also if it has none: an end must be found in any case.
            let Some(begins) = self.begin_of(period, first) else {
                return Ok(found);
            };
            if start
                .at_local(begins.to_datetime(start.local.time()))
                .at()?
                >= end
            {
                return Ok(found);
            }
            for date in self.placed(dates) {
                if date < first {
                    continue;
                }
                let moment = start.at_local(date.to_datetime(start.local.time()));
                let at = moment.at()?;
                if at >= end
                    || self.is_past_until(&moment, at)
                    || self.count.is_some_and(|most| counted >= most)
                {
                    return Ok(found);
                }
                counted += 1;
                if at < from {
                    continue;
                }
                if found.moments.len() >= OCCURRENCES_MAX {
                    found.is_cut = true;
                    return Ok(found);
                }
                found.moments.push(moment);
            }
        }
        Ok(found)
    }

    fn is_past_until(&self, moment: &Moment, at: DomainTime) -> bool {
        match self.until {
            None => false,
            Some((until, true, _)) => moment.local.date() > until.date(),
            Some((until, false, true)) => {
                let until = crate::moment::of_local(until, &jiff::tz::TimeZone::UTC);
                until.is_none_or(|until| at > until)
            }
            Some((until, false, false)) => moment.local > until,
        }
    }

    fn begin_of(&self, period: i32, first: Date) -> Option<Date> {
        let steps = period.checked_mul(self.interval)?;
        match self.frequency {
            Frequency::Daily => first.checked_add(steps.days()).ok(),
            Frequency::Weekly => {
                let behind = first.weekday().since(self.week_start);
                let monday = first.checked_sub(i32::from(behind).days()).ok()?;
                monday.checked_add(steps.checked_mul(7)?.days()).ok()
            }
            Frequency::Monthly => first.first_of_month().checked_add(steps.months()).ok(),
            Frequency::Yearly => first.first_of_year().checked_add(steps.years()).ok(),
        }
    }

    /// The dates of a period before `BYSETPOS`; `None` beyond the last year that there is.
    fn dates_of(&self, period: i32, first: Date) -> Option<Vec<Date>> {
        let begins = self.begin_of(period, first)?;
        let is_month =
            |date: &Date| self.by_month.is_empty() || self.by_month.contains(&date.month());
        match self.frequency {
            Frequency::Daily => {
                let is_day = |date: &Date| {
                    is_month(date) && self.has_month_day(*date) && self.has_weekday(*date)
                };
                Some([begins].into_iter().filter(is_day).collect())
            }
            Frequency::Weekly => {
                let days = (0..7).filter_map(|day: i32| begins.checked_add(day.days()).ok());
                let is_day = |date: &Date| {
                    let day = date.weekday();
                    if self.by_day.is_empty() {
                        day == first.weekday()
                    } else {
                        self.has_weekday(*date)
                    }
                };
                Some(days.filter(is_month).filter(is_day).collect())
            }
            Frequency::Monthly => Some(if is_month(&begins) {
                self.dates_of_month(begins, first)
            } else {
                Vec::new()
            }),
            Frequency::Yearly => Some(self.dates_of_year(begins, first)),
        }
    }

    fn dates_of_month(&self, begins: Date, first: Date) -> Vec<Date> {
        let days = days_between(begins, begins.last_of_month());
        if self.by_month_day.is_empty() && self.by_day.is_empty() {
            return days.filter(|date| date.day() == first.day()).collect();
        }
        let is_weekday = |date: &Date| {
            self.by_day.is_empty()
                || self.by_day.iter().any(|(place, day)| {
                    let from_start = (date.day() - 1) / 7 + 1;
                    let from_end = (date.day() - date.days_in_month()) / 7 - 1;
                    date.weekday() == *day && [0, from_start, from_end].contains(place)
                })
        };
        days.filter(|date| self.has_month_day(*date))
            .filter(is_weekday)
            .collect()
    }

    fn dates_of_year(&self, begins: Date, first: Date) -> Vec<Date> {
        let is_plain = self.by_day.is_empty() && self.by_month_day.is_empty();
        let of_year =
            !self.by_day.is_empty() && self.by_month.is_empty() && self.by_month_day.is_empty();
        if of_year {
            let is_weekday = |date: &Date| {
                self.by_day.iter().any(|(place, day)| {
                    let from_start = (date.day_of_year() - 1) / 7 + 1;
                    let from_end = (date.day_of_year() - date.days_in_year()) / 7 - 1;
                    date.weekday() == *day && [0, from_start, from_end].contains(&i16::from(*place))
                })
            };
            return days_between(begins, begins.last_of_year())
                .filter(is_weekday)
                .collect();
        }
        let months: Vec<i8> = match (self.by_month.is_empty(), is_plain) {
            (false, _) => self.by_month.clone(),
            (true, true) => vec![first.month()],
            (true, false) => (1..=12).collect(),
        };
        let begins = months
            .into_iter()
            .filter_map(|month| Date::new(begins.year(), month, 1).ok());
        begins
            .flat_map(|month| self.dates_of_month(month, first))
            .collect()
    }

    fn has_month_day(&self, date: Date) -> bool {
        let from_end = date.day() - date.days_in_month() - 1;
        self.by_month_day.is_empty()
            || self
                .by_month_day
                .iter()
                .any(|day| *day == date.day() || *day == from_end)
    }

    fn has_weekday(&self, date: Date) -> bool {
        self.by_day.is_empty() || self.by_day.iter().any(|(_, day)| *day == date.weekday())
    }

    fn placed(&self, dates: Vec<Date>) -> Vec<Date> {
        if self.by_place.is_empty() {
            return dates;
        }
        let count = i16::try_from(dates.len()).unwrap_or(i16::MAX);
        let is_placed = |(place, _): &(i16, Date)| {
            self.by_place.contains(place) || self.by_place.contains(&(place - count - 1))
        };
        (1..)
            .zip(dates)
            .filter(is_placed)
            .map(|(_, date)| date)
            .collect()
    }
}

/// Occurrences of an event.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Occurrences {
    /// In the order of time.
    pub(super) moments: Vec<Moment>,
    /// Whether there would be more than [`OCCURRENCES_MAX`].
    pub(super) is_cut: bool,
}

fn days_between(first: Date, last: Date) -> impl Iterator<Item = Date> {
    std::iter::successors(Some(first), |date| date.tomorrow().ok())
        .take_while(move |date| *date <= last)
}

fn frequency_of(text: &str) -> Result<Frequency, CalendarFault> {
    match text.to_ascii_uppercase().as_str() {
        "DAILY" => Ok(Frequency::Daily),
        "WEEKLY" => Ok(Frequency::Weekly),
        "MONTHLY" => Ok(Frequency::Monthly),
        "YEARLY" => Ok(Frequency::Yearly),
        "SECONDLY" | "MINUTELY" | "HOURLY" => Err(CalendarFault::UnsupportedRule),
        _ => Err(CalendarFault::BadRule),
    }
}

fn bounded<N: std::str::FromStr + PartialOrd>(
    text: &str,
    range: std::ops::RangeInclusive<N>,
) -> Option<N> {
    text.trim()
        .parse()
        .ok()
        .filter(|number| range.contains(number))
}

fn list<N>(text: &str, read: impl Fn(&str) -> Option<N>) -> Result<Vec<N>, CalendarFault> {
    let items: Option<Vec<N>> = text
        .split(',')
        .take(LIST_MAX + 1)
        .map(|item| read(item.trim()))
        .collect();
    items
        .filter(|items| items.len() <= LIST_MAX)
        .ok_or(CalendarFault::BadRule)
}

/// Reads `MO`, `2TU`, `-1FR`.
fn weekday_of(text: &str) -> Option<(i8, Weekday)> {
    let at = text.len().checked_sub(2)?;
    let (place, name) = (text.get(..at)?, text.get(at..)?);
    let day = match name.to_ascii_uppercase().as_str() {
        "MO" => Weekday::Monday,
        "TU" => Weekday::Tuesday,
        "WE" => Weekday::Wednesday,
        "TH" => Weekday::Thursday,
        "FR" => Weekday::Friday,
        "SA" => Weekday::Saturday,
        "SU" => Weekday::Sunday,
        _ => return None,
    };
    let place = match place {
        "" => 0,
        place => bounded(place, -53..=53).filter(|place| *place != 0)?,
    };
    Some((place, day))
}
