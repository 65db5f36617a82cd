//! Local clocks: when summer time is, and which rule fits a series best.
//!
//! The hours of a customer who keeps local time move by one in UTC twice a year. Under each rule the days
//! are read on its clock and compared with the median week; the rule with the smallest distances wins,
//! unless a clock that never changes does nearly as well.

use crate::find::civil;
use crate::numeric::{mean, median_in, moments, signed};
use crate::report::ClockRule;
use crate::slots::Slots;
use jiff::civil::{Date, Weekday, date};

/// Days of both summer and winter that must be seen.
const DAYS_MIN: usize = 14;

/// By how much a rule must bring the week nearer than no rule, as a share.
const BETTER_MIN: f64 = 0.02;

/// In how many standard errors.
const ERRORS_MIN: f64 = 3.0;

/// Latest days compared: three years hold six changes.
const DAYS_MAX: usize = 1_100;

/// Whole days from the epoch on which a rule changes the clock, within a year.
fn changes(rule: ClockRule, year: i16) -> Option<(i64, i64)> {
    let nth = |month: i8, nth: i8| -> Option<Date> {
        let first = date(year, month, 1);
        first.nth_weekday_of_month(nth, Weekday::Sunday).ok()
    };
    let (from, to) = match rule {
        ClockRule::Fixed => return None,
        ClockRule::Europe => (nth(3, -1)?, nth(10, -1)?),
        ClockRule::UnitedStates => (nth(3, 2)?, nth(11, 1)?),
    };
    let day = |date: Date| {
        let since = date.since(jiff::civil::date(1970, 1, 1)).ok()?;
        Some(i64::from(since.get_days()))
    };
    Some((day(from)?, day(to)?))
}

/// Whether each day has summer time (from its start on: the clock changes in a Sunday's night).
pub(crate) fn summers(rule: ClockRule, slots: &Slots) -> Vec<bool> {
    let mut year = None;
    let mut span = None;
    (0..slots.days())
        .map(|day| {
            let this = civil(slots.first_day, day).map(Date::year);
            if this != year {
                year = this;
                span = this.and_then(|year| changes(rule, year));
            }
            let number = slots.first_day + signed(day);
            span.is_some_and(|(from, to)| (from..to).contains(&number))
        })
        .collect()
}

/// The best rule, and whether it was seen at work.
pub(crate) struct Fit {
    pub(crate) rule: ClockRule,
    pub(crate) is_rule_seen: bool,
    /// Median week on that clock (offset 0 in winter), by weekday and hour.
    pub(crate) week: Vec<Option<f64>>,
}

/// Fits the rules to a series of hours.
pub(crate) fn fit(slots: &Slots) -> Fit {
    let fixed = summers(ClockRule::Fixed, slots);
    let week = week(slots, &fixed);
    let mut best = Fit {
        rule: ClockRule::Fixed,
        is_rule_seen: false,
        week,
    };
    let base = distances(slots, &fixed, &best.week);
    let mut rivals = Vec::new();
    for rule in [ClockRule::Europe, ClockRule::UnitedStates] {
        let summer = summers(rule, slots);
        let seen = |wanted: bool| {
            (0..slots.days())
                .filter(|day| slots.is_seen(*day) && summer[*day] == wanted)
                .count()
        };
        if seen(true) < DAYS_MIN || seen(false) < DAYS_MIN {
            continue;
        }
        best.is_rule_seen = true;
        let week = self::week(slots, &summer);
        let own = distances(slots, &summer, &week);
        if is_better(&base, &own) {
            let total: f64 = own.iter().flatten().sum();
            rivals.push((total, rule, week));
        }
    }
    let Some((total, rule, week)) = rivals
        .iter()
        .min_by(|left, right| left.0.total_cmp(&right.0))
        .cloned()
    else {
        return best;
    };
    // Where both do equally well no days were seen on which they differ: the hours of day decide.
    let is_tie = rivals.len() > 1 && rivals.iter().all(|rival| rival.0 <= total * 1.002);
    best.rule = if is_tie && middle_hour(&week) >= 15.5 {
        ClockRule::UnitedStates
    } else if is_tie {
        ClockRule::Europe
    } else {
        rule
    };
    best.week = rivals
        .into_iter()
        .find(|rival| rival.1 == best.rule)
        .map_or(week, |rival| rival.2);
    best
}

/// Weekday and hour of a slot on a clock that is ahead by one hour in summer.
fn local(slots: &Slots, day: usize, hour: usize, is_summer: bool) -> usize {
    let ahead = usize::from(is_summer);
    (slots.weekday(day) * 24 + hour + ahead) % 168
}

/// The median week on a clock.
fn week(slots: &Slots, summers: &[bool]) -> Vec<Option<f64>> {
    let mut cells: Vec<Vec<f64>> = vec![Vec::new(); 168];
    for day in slots.days().saturating_sub(DAYS_MAX)..slots.days() {
        for hour in 0..24 {
            if let Some(ratio) = slots.ratio(day, hour) {
                cells[local(slots, day, hour, summers[day])].push(ratio);
            }
        }
    }
    cells
        .iter_mut()
        .map(|cell| (!cell.is_empty()).then(|| median_in(cell)))
        .collect()
}

/// Mean distance of each day from the week.
fn distances(slots: &Slots, summers: &[bool], week: &[Option<f64>]) -> Vec<Option<f64>> {
    (0..slots.days())
        .map(|day| {
            if day + DAYS_MAX < slots.days() || !slots.is_seen(day) {
                return None;
            }
            let away: Vec<f64> = (0..24)
                .filter_map(|hour| {
                    let usual = week[local(slots, day, hour, summers[day])]?;
                    Some((slots.ratio(day, hour)? - usual).abs())
                })
                .collect();
            (!away.is_empty()).then(|| mean(&away))
        })
        .collect()
}

/// Whether distances shrink clearly, weeks being the independent pieces.
fn is_better(base: &[Option<f64>], own: &[Option<f64>]) -> bool {
    let gains: Vec<f64> = base
        .chunks(7)
        .zip(own.chunks(7))
        .filter_map(|(before, after)| {
            let pairs: Vec<f64> = before
                .iter()
                .zip(after)
                .filter_map(|(before, after)| Some((*before)? - (*after)?))
                .collect();
            (!pairs.is_empty()).then(|| mean(&pairs))
        })
        .collect();
    let (gain, sd) = moments(&gains);
    let usual: Vec<f64> = base.iter().flatten().copied().collect();
    let error = sd / (gains.len().max(1) as f64).sqrt();
    gain > BETTER_MIN * mean(&usual) && gain > ERRORS_MIN * error
}

/// Hour around which most is wanted.
fn middle_hour(week: &[Option<f64>]) -> f64 {
    let (mut east, mut north) = (0.0, 0.0);
    for (at, value) in week.iter().enumerate() {
        let angle = std::f64::consts::TAU * ((at % 24) as f64 + 0.5) / 24.0;
        east += value.unwrap_or(0.0) * angle.cos();
        north += value.unwrap_or(0.0) * angle.sin();
    }
    (north.atan2(east) / std::f64::consts::TAU * 24.0).rem_euclid(24.0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::grid::DAY_S;

    fn day_number(year: i16, month: i8, day: i8) -> i64 {
        let time = date(year, month, day)
            .to_zoned(jiff::tz::TimeZone::UTC)
            .expect("a date");
        time.timestamp().as_second() / DAY_S
    }

    #[test]
    fn the_rules_change_on_their_sundays() {
        let europe = changes(ClockRule::Europe, 2024);
        assert_eq!(
            europe,
            Some((day_number(2024, 3, 31), day_number(2024, 10, 27)))
        );
        let states = changes(ClockRule::UnitedStates, 2024);
        assert_eq!(
            states,
            Some((day_number(2024, 3, 10), day_number(2024, 11, 3)))
        );
        assert_eq!(changes(ClockRule::Fixed, 2024), None);
    }
}
