//! Cycles of a day, a week and a year.

use crate::cycle::{self, Cycle};
use crate::find::{Found, Series, civil};
use crate::grid::DAY_S;
use crate::numeric::{mean, median};
use crate::report::{Detail, Evidence, Pattern};
use crate::slots::Slots;

/// A cycle is named when it would come by chance less often than this.
const P_MAX: f64 = 0.01;

/// The same for the year, of which a series holds two or three.
const P_MAX_YEAR: f64 = 0.04;

/// A cycle that explains less of the variance is not worth a word.
const EXPLAINED_MIN: f64 = 0.08;

/// Fewest cycles that can be told from chance.
const DAYS_MIN: usize = 3;
const WEEKS_MIN: usize = 2;
const YEARS_MIN: usize = 2;

/// A year of whole weeks.
const YEAR_DAYS: usize = 364;

const DAY_HARMONICS: usize = 12;
const WEEK_HARMONICS: usize = 20;
const YEAR_HARMONICS: usize = 6;

/// Looks for all three; `job_periods_s` are periods of batch jobs, whose multiples are no cycle of a day.
pub(crate) fn find(series: &Series<'_>, job_periods_s: &[i64], found: &mut Found) {
    let slots = &series.slots;
    match daily(slots, job_periods_s) {
        Ok(cycle) => push_daily(series, cycle, found),
        Err(reason) => found.not_told("daily", reason),
    }
    match weekly(slots) {
        Ok(cycle) => push_weekly(series, cycle, found),
        Err(reason) => found.not_told("weekly", reason),
    }
    match yearly(slots) {
        Ok(cycle) => push_yearly(series, cycle, found),
        Err(reason) => found.not_told("yearly", reason),
    }
}

fn few(seen: usize, needed: usize, of: &str) -> String {
    format!("not enough history: {seen} whole {of} seen, {needed} needed")
}

/// The cycle of a day, named or not.
pub(crate) fn daily(slots: &Slots, job_periods_s: &[i64]) -> Result<Option<Cycle>, String> {
    let per_day = slots.per_day;
    if per_day < 4 {
        return Err("the interval is too long to see inside a day".to_owned());
    }
    let mut rows: Vec<Vec<f64>> = Vec::new();
    for day in 0..slots.days().saturating_sub(1) {
        let Some(level) = slots.level(day).filter(|_| slots.is_seen(day)) else {
            continue;
        };
        let row = &slots.filled[day * per_day..=(day + 1) * per_day];
        rows.push(row.iter().map(|value| value / level).collect());
    }
    if rows.len() < DAYS_MIN {
        return Err(few(rows.len(), DAYS_MIN, "days"));
    }
    let is_job = |harmonic: usize| {
        job_periods_s.iter().any(|period| {
            let times = DAY_S / (*period).max(1);
            DAY_S % *period == 0
                && times > 1
                && usize::try_from(times).is_ok_and(|times| harmonic.is_multiple_of(times))
        })
    };
    let harmonics: Vec<usize> = (1..=DAY_HARMONICS.min(per_day / 2))
        .filter(|harmonic| !is_job(*harmonic))
        .collect();
    let rows: Vec<&[f64]> = rows.iter().map(Vec::as_slice).collect();
    Ok(cycle::test(&rows, &harmonics).filter(|cycle| is_named(cycle, P_MAX)))
}

/// The cycle of a week, what is the same every day taken off.
pub(crate) fn weekly(slots: &Slots) -> Result<Option<Cycle>, String> {
    let width = 7 * slots.per_day;
    let mut rows: Vec<Vec<f64>> = Vec::new();
    let mut day = 0;
    while (day + 8) * slots.per_day <= slots.filled.len() {
        let seen = (day..day + 7).filter(|day| slots.is_seen(*day)).count();
        let level = slots.level(day + 3).filter(|_| seen >= 6);
        if let Some(level) = level {
            let from = day * slots.per_day;
            let week = &slots.filled[from..from + width];
            let next = &slots.filled[from + width..from + width + slots.per_day];
            let mut row: Vec<f64> = week.iter().map(|value| value / level).collect();
            // One hour's noise would tilt the whole week: the ends are compared by their days.
            row.push(row[0] + (mean(next) - mean(&week[..slots.per_day])) / level);
            rows.push(row);
        }
        day += 7;
    }
    if rows.len() < WEEKS_MIN {
        return Err(few(rows.len(), WEEKS_MIN, "weeks"));
    }
    let harmonics: Vec<usize> = (1..=WEEK_HARMONICS.min(width / 2))
        .filter(|harmonic| !harmonic.is_multiple_of(7))
        .collect();
    let rows: Vec<&[f64]> = rows.iter().map(Vec::as_slice).collect();
    Ok(cycle::test(&rows, &harmonics).filter(|cycle| is_named(cycle, P_MAX)))
}

fn yearly(slots: &Slots) -> Result<Option<Cycle>, String> {
    // Weekly means: shorter things are other patterns.
    let weeks: Vec<f64> = slots
        .filled
        .chunks_exact(7 * slots.per_day)
        .map(mean)
        .collect();
    let width = YEAR_DAYS / 7;
    let mut rows: Vec<Vec<f64>> = Vec::new();
    // The latest whole years; each next year starts where the one before ends.
    let mut end = weeks.len().saturating_sub(1);
    while end >= width {
        let row = &weeks[end - width..=end];
        let level = mean(row);
        if level > 0.0 {
            rows.push(row.iter().map(|value| value / level).collect());
        }
        end -= width;
    }
    if rows.len() < YEARS_MIN {
        return Err(few(rows.len(), YEARS_MIN, "years"));
    }
    let harmonics: Vec<usize> = (1..=YEAR_HARMONICS).collect();
    let rows: Vec<&[f64]> = rows.iter().map(Vec::as_slice).collect();
    Ok(cycle::test(&rows, &harmonics).filter(|cycle| is_named(cycle, P_MAX_YEAR)))
}

fn is_named(cycle: &Cycle, p_max: f64) -> bool {
    cycle.p_value <= p_max && cycle.explained >= EXPLAINED_MIN
}

fn push(
    found: &mut Found,
    series: &Series<'_>,
    (cycle, days): (Cycle, f64),
    shape: &[f64],
    detail: Detail,
) {
    let high = shape.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    let low = shape.iter().copied().fold(f64::INFINITY, f64::min);
    found.patterns.push(Pattern {
        detail,
        strength: cycle.explained,
        evidence: Evidence {
            period_s: Some(days * DAY_S as f64),
            size: Some((high - low) * series.level()),
            size_share: Some(high - low),
            seen_in: Some(cycle.agreeing),
            cycles: Some(cycle.cycles),
            p_value: Some(cycle.p_value),
            variance_explained: Some(cycle.explained),
            examples_s: Vec::new(),
        },
    });
}

fn extremes(shape: &[f64]) -> (usize, usize) {
    let mut high = 0;
    let mut low = 0;
    for (at, value) in shape.iter().enumerate() {
        if *value > shape[high] {
            high = at;
        }
        if *value < shape[low] {
            low = at;
        }
    }
    (high, low)
}

fn push_daily(series: &Series<'_>, cycle: Option<Cycle>, found: &mut Found) {
    let Some(cycle) = cycle else { return };
    let slots = &series.slots;
    let shape: Vec<f64> = (0..slots.per_day)
        .map(|slot| {
            let ratios: Vec<f64> = (0..slots.days())
                .filter_map(|day| slots.ratio(day, slot))
                .collect();
            median(&ratios)
        })
        .collect();
    let (high, low) = extremes(&shape);
    let hour = |slot: usize| 24.0 * slot as f64 / slots.per_day as f64;
    let detail = Detail::Daily {
        peak_hour: hour(high),
        trough_hour: hour(low),
        shape: shape.clone(),
    };
    push(found, series, (cycle, 1.0), &shape, detail);
}

fn push_weekly(series: &Series<'_>, cycle: Option<Cycle>, found: &mut Found) {
    let Some(cycle) = cycle else { return };
    let shape = series.weekday_factors;
    let (high, low) = extremes(&shape);
    let detail = Detail::Weekly {
        high_weekday: high,
        low_weekday: low,
        shape: shape.to_vec(),
    };
    push(found, series, (cycle, 7.0), &shape, detail);
}

fn push_yearly(series: &Series<'_>, cycle: Option<Cycle>, found: &mut Found) {
    let Some(cycle) = cycle else { return };
    let slots = &series.slots;
    let mut months: [Vec<f64>; 12] = Default::default();
    let mut sums = vec![0.0];
    for day in slots.filled.chunks_exact(slots.per_day) {
        sums.push(sums[sums.len() - 1] + mean(day));
    }
    for day in 0..slots.days() {
        // A whole year around each day, so that growth is taken off and seasons are not.
        let from = day.saturating_sub(YEAR_DAYS / 2);
        let from = from.min(slots.days().saturating_sub(YEAR_DAYS));
        let (Some(value), Some(date)) = (slots.day_means[day], civil(slots.first_day, day)) else {
            continue;
        };
        let level = (sums[from + YEAR_DAYS] - sums[from]) / YEAR_DAYS as f64;
        let month = usize::try_from(date.month() - 1).unwrap_or(0).min(11);
        if level > 0.0 {
            months[month].push(value / level);
        }
    }
    let shape: Vec<f64> = months.iter().map(|ratios| mean(ratios)).collect();
    let (high, low) = extremes(&shape);
    let detail = Detail::Yearly {
        peak_month: high + 1,
        trough_month: low + 1,
        shape: shape.clone(),
    };
    push(found, series, (cycle, 365.25), &shape, detail);
}
