//! Patterns as plain sentences.

use crate::grid::DAY_S;
use crate::report::{BusinessHours, ClockRule, Detail, Evidence, MonthDay, Pattern, Report};
use jiff::Timestamp;
use twinscale_protocol::EventKind;

const WEEKDAYS: [&str; 7] = [
    "Monday",
    "Tuesday",
    "Wednesday",
    "Thursday",
    "Friday",
    "Saturday",
    "Sunday",
];

const MONTHS: [&str; 12] = [
    "January",
    "February",
    "March",
    "April",
    "May",
    "June",
    "July",
    "August",
    "September",
    "October",
    "November",
    "December",
];

/// One sentence for each pattern of a report, in its order.
pub fn sentences(report: &Report) -> Vec<String> {
    report.patterns.iter().map(sentence).collect()
}

/// A pattern as one plain sentence.
pub fn sentence(pattern: &Pattern) -> String {
    let evidence = &pattern.evidence;
    let strength = percent(pattern.strength);
    match &pattern.detail {
        Detail::Constant { value } => format!("Always {}.", number(*value)),
        Detail::Daily {
            peak_hour,
            trough_hour,
            ..
        } => format!(
            "Daily cycle: highest at {}, lowest at {} UTC, {} apart; it explains {strength} of the changes inside a day{}.",
            clock(*peak_hour),
            clock(*trough_hour),
            size(evidence),
            seen(evidence, "days"),
        ),
        Detail::Weekly {
            high_weekday,
            low_weekday,
            ..
        } => format!(
            "Weekly cycle: {} is highest, {} lowest, {} apart; it explains {strength} of the differences between days{}.",
            weekday(*high_weekday),
            weekday(*low_weekday),
            size(evidence),
            seen(evidence, "weeks"),
        ),
        Detail::Monthly { day, factor } => format!(
            "{}: demand is {} times that of the days around{}.",
            month_day(*day),
            number(*factor),
            seen(evidence, "months"),
        ),
        Detail::Yearly {
            peak_month,
            trough_month,
            ..
        } => format!(
            "Yearly cycle: {} is highest, {} lowest, {} apart; it explains {strength} of the changes inside a year{}.",
            month(*peak_month),
            month(*trough_month),
            size(evidence),
            seen(evidence, "years"),
        ),
        Detail::BusinessHours(hours) => business_hours(hours, evidence),
        Detail::WeekendDip { ratio } | Detail::WeekendPeak { ratio } => {
            let word = if *ratio < 1.0 { "lower" } else { "higher" };
            format!(
                "Weekends are {word}: {} times the weekdays around{}.",
                number(*ratio),
                seen(evidence, "weekends"),
            )
        }
        other => irregular(other, evidence, &strength),
    }
}

/// The kinds that are no cycles.
fn irregular(detail: &Detail, evidence: &Evidence, strength: &str) -> String {
    match detail {
        Detail::BatchJob {
            period_s,
            offset_s,
            duration_s,
        } => format!(
            "Regular job {}, for {}: {} more{}.",
            job_time(*period_s, *offset_s),
            duration(*duration_s),
            size(evidence),
            seen(evidence, "times"),
        ),
        Detail::Growth {
            per_month,
            lower,
            upper,
        } => format!(
            "The level {} by {} a month (95 % interval {} to {}).",
            if *per_month > 0.0 { "grows" } else { "falls" },
            percent(per_month.abs()),
            signed_percent(*lower),
            signed_percent(*upper),
        ),
        Detail::Step { at_s, from, to } => format!(
            "The level {} from {} to {} on {}.",
            if to > from { "rises" } else { "falls" },
            number(*from),
            number(*to),
            date(*at_s),
        ),
        Detail::Spikes {
            per_week,
            duration_s,
        } => format!(
            "Irregular spikes: {} a week, {} more for {}, the highest on {}.",
            number(*per_week),
            size(evidence),
            duration(*duration_s),
            evidence
                .examples_s
                .first()
                .map_or_else(String::new, |at| date(*at)),
        ),
        Detail::EventResponse { .. } => event_response(detail),
        Detail::Idle {
            zero_share,
            longest_s,
        } => format!(
            "Idle {strength} of the time ({} exactly zero), for up to {}.",
            percent(*zero_share),
            duration(*longest_s),
        ),
        Detail::Flat { longest_s } => format!(
            "At one value for days on end {strength} of the time, for up to {}.",
            duration(*longest_s),
        ),
        Detail::Noise { share } => format!(
            "Beyond the cycles values stray by {} of the level.",
            percent(*share)
        ),
        _ => String::new(),
    }
}

/// What events of a kind do.
fn event_response(detail: &Detail) -> String {
    let Detail::EventResponse {
        event,
        events,
        factor,
        lower,
        upper,
        lead_days,
        decay_days,
    } = detail
    else {
        return String::new();
    };

    let lead = match lead_days {
        0 => String::new(),
        1 => ", from a day before".to_owned(),
        days => format!(", from {days} days before"),
    };
    let decay = match decay_days {
        Some(0) => ", gone at once after".to_owned(),
        Some(1) => ", gone a day after".to_owned(),
        Some(days) => format!(", gone {days} days after"),
        None => ", for more than a week after".to_owned(),
    };
    format!(
        "{}: demand is {} times the usual (95 % interval {} to {}, {events} seen){lead}{decay}.",
        event_kind(*event),
        number(*factor),
        number(*lower),
        number(*upper),
    )
}

fn business_hours(hours: &BusinessHours, evidence: &Evidence) -> String {
    let days = match hours.weekdays.as_slice() {
        [0, 1, 2, 3, 4] => "Weekdays".to_owned(),
        days if days.len() == 7 => "Every day".to_owned(),
        [first, .., last] if last - first + 1 == hours.weekdays.len() => {
            format!("{} to {}", weekday(*first), weekday(*last))
        }
        days => days
            .iter()
            .map(|day| weekday(*day))
            .collect::<Vec<_>>()
            .join(", "),
    };
    let rule = match (hours.clock.rule, hours.clock.is_rule_seen) {
        (ClockRule::Europe, _) => "Europe rule, ",
        (ClockRule::UnitedStates, _) => "US rule, ",
        (ClockRule::Fixed, true) => "no summer time, ",
        (ClockRule::Fixed, false) => "",
    };
    let offset = match hours.clock.offset_hours {
        0 => "UTC".to_owned(),
        offset => format!("UTC{offset:+}"),
    };
    let than = hours.ratio.map_or_else(
        || "all demand is then".to_owned(),
        |ratio| format!("demand is {} times that of the rest", number(ratio)),
    );
    format!(
        "{days} {} to {} ({rule}{offset}): {than}{}.",
        clock(hours.from_hour as f64),
        clock(hours.to_hour as f64),
        seen(evidence, "weeks"),
    )
}

fn job_time(period_s: i64, offset_s: i64) -> String {
    let at = |seconds: i64| clock(seconds as f64 / 3_600.0);
    match period_s {
        DAY_S => format!("each day at {} UTC", at(offset_s)),
        604_800 => {
            let days = usize::try_from(offset_s / DAY_S).unwrap_or(0);
            // Weeks are counted from the epoch, a Thursday.
            let day = weekday((days + 3) % 7);
            format!("each {day} at {} UTC", at(offset_s % DAY_S))
        }
        3_600 => format!("each hour at minute {}", offset_s / 60),
        period if period < DAY_S && DAY_S % period == 0 => {
            format!("every {} from {} UTC on", duration(period), at(offset_s))
        }
        period if period < DAY_S => {
            format!("every {}, last at {} UTC", duration(period), at(offset_s))
        }
        period => format!("every {}", duration(period)),
    }
}

fn seen(evidence: &Evidence, of: &str) -> String {
    match (evidence.seen_in, evidence.cycles) {
        (Some(seen), Some(cycles)) => format!(", seen in {seen} of {cycles} {of}"),
        _ => String::new(),
    }
}

/// A size in the metric's unit and as a share of the level.
fn size(evidence: &Evidence) -> String {
    let size = evidence.size.map_or_else(String::new, number);
    match evidence.size_share {
        Some(share) => format!("{size} ({} of the level)", percent(share)),
        None => size,
    }
}

fn weekday(day: usize) -> &'static str {
    WEEKDAYS.get(day).copied().unwrap_or("?")
}

fn month(month: usize) -> &'static str {
    MONTHS.get(month.saturating_sub(1)).copied().unwrap_or("?")
}

fn month_day(day: MonthDay) -> String {
    match day {
        MonthDay::Day { day } => format!("Day {day} of the month"),
        MonthDay::LastDay => "Last day of the month".to_owned(),
        MonthDay::FirstBusinessDay => "First business day of the month".to_owned(),
        MonthDay::LastBusinessDay => "Last business day of the month".to_owned(),
    }
}

fn event_kind(kind: EventKind) -> &'static str {
    match kind {
        EventKind::Holiday => "Holidays",
        EventKind::Campaign => "Campaigns",
        EventKind::Release => "Releases",
        EventKind::Earnings => "Earnings",
        EventKind::Season => "Seasons",
        EventKind::PriceChange => "Changes of price",
        EventKind::Other => "Other events",
        EventKind::Incident => "Incidents",
    }
}

/// Hours of the day as `HH:MM`.
pub(crate) fn clock(hours: f64) -> String {
    let minutes = crate::numeric::rounded(hours * 60.0) % 1_440;
    format!("{:02}:{:02}", minutes / 60, minutes % 60)
}

/// The date (UTC) of a time.
pub(crate) fn date(at_s: i64) -> String {
    Timestamp::from_second(at_s).map_or_else(
        |_| format!("{at_s} s"),
        |time| time.strftime("%Y-%m-%d").to_string(),
    )
}

fn duration(seconds: i64) -> String {
    let value = seconds as f64;
    let (count, unit) = if seconds < 120 {
        (value, "s")
    } else if seconds < 7_200 && seconds != 3_600 {
        (value / 60.0, "min")
    } else if seconds < 2 * DAY_S {
        (value / 3_600.0, "h")
    } else {
        (value / DAY_S as f64, "days")
    };
    format!("{} {unit}", number(count))
}

fn signed_percent(share: f64) -> String {
    let sign = if share > 0.0 { "+" } else { "" };
    format!("{sign}{}", percent(share))
}

/// A share as per cent.
pub(crate) fn percent(share: f64) -> String {
    let value = share * 100.0;
    if value != 0.0 && value.abs() < 10.0 {
        format!("{value:.1} %")
    } else {
        format!("{value:.0} %")
    }
}

/// A number with three significant digits, and a unit prefix where it is large.
pub(crate) fn number(value: f64) -> String {
    let size = value.abs();
    let (scaled, prefix) = match size {
        size if size >= 1e15 || size > 0.0 && size < 1e-4 => return format!("{value:.2e}"),
        size if size >= 1e9 => (value / 1e9, "G"),
        size if size >= 1e6 => (value / 1e6, "M"),
        size if size >= 1e4 => (value / 1e3, "k"),
        _ => (value, ""),
    };
    let digits = match scaled.abs() {
        size if size >= 100.0 || size == 0.0 => 0,
        size if size >= 10.0 => 1,
        size if size >= 1.0 => 2,
        _ => 4,
    };
    let text = format!("{scaled:.digits$}");
    let text = if text.contains('.') {
        text.trim_end_matches('0').trim_end_matches('.').to_owned()
    } else {
        text
    };
    format!("{text}{prefix}")
}
