//! Days of the month that differ: dates, first and last business day.
//!
//! Each kind of day is a hypothesis; the largest of their scores is compared with the largest scores after
//! turning every thirty days of the series by a random number of days (a randomisation test over the
//! maximum, Westfall and Young 1993), so that looking at thirty days costs no false alarms.

use crate::find::{Found, Series, civil};
use crate::grid::DAY_S;
use crate::numeric::{median, moments, share, spread};
use crate::report::{Detail, EXAMPLES_MAX, Evidence, MonthDay, Pattern};
use jiff::civil::{Date, Weekday};
use rand::Rng as _;
use rand::SeedableRng as _;
use rand_chacha::ChaCha8Rng;

/// Fewest months that can be told from chance.
const MONTHS_MIN: usize = 3;

/// Days before and after a day that make what is usual around it.
const AROUND_DAYS: usize = 7;

/// Days that are turned together.
const BLOCK_DAYS: usize = 30;

const DRAWS: usize = 199;
const SEED: u64 = 0x6d6f_6e74;
const P_MAX: f64 = 0.01;

/// Smallest difference from ordinary days.
const FACTOR_MIN: f64 = 0.05;

/// Largest difference that counts in the test, in robust standard deviations.
const CLIP_SDS: f64 = 8.0;

/// Most kinds of days told: the strongest, and one that it does not explain.
const TOLD_MAX: usize = 2;

const HYPOTHESES: usize = 31;

pub(crate) fn find(series: &Series<'_>, found: &mut Found) {
    let dates: Vec<Option<Date>> = (0..series.slots.days())
        .map(|day| civil(series.slots.first_day, day))
        .collect();
    let months = series.slots.days() / 30;
    if months < MONTHS_MIN {
        let reason = format!("not enough history: {months} whole months seen, {MONTHS_MIN} needed");
        found.not_told("monthly", reason);
        return;
    }
    let mut residuals = residuals(&series.even_days());
    let kinds: Vec<Vec<usize>> = dates.into_iter().map(kinds_of).collect();
    for _ in 0..TOLD_MAX {
        let Some((kind, p_value)) = strongest(&residuals, &kinds) else {
            return;
        };
        let days: Vec<usize> = (0..kinds.len())
            .filter(|day| kinds[*day].contains(&kind) && residuals[*day].is_some())
            .collect();
        push(series, found, (kind, p_value), &days, &residuals);
        for day in days {
            residuals[day] = None;
        }
    }
}

/// What each day is, as numbers of hypotheses: 0 to 27 dates, 28 last day, 29 and 30 business days.
fn kinds_of(date: Option<Date>) -> Vec<usize> {
    let Some(date) = date else {
        return Vec::new();
    };
    let day = usize::try_from(date.day()).unwrap_or(1);
    let length = usize::try_from(date.days_in_month()).unwrap_or(31);
    let is_business = |date: Date| !matches!(date.weekday(), Weekday::Saturday | Weekday::Sunday);
    let mut kinds = Vec::new();
    if day <= 28 {
        kinds.push(day - 1);
    }
    if day == length {
        kinds.push(28);
    }
    let monday = date.weekday() == Weekday::Monday;
    let friday = date.weekday() == Weekday::Friday;
    if is_business(date) && (day == 1 || monday && day <= 3) {
        kinds.push(29);
    }
    if is_business(date) && (day == length || friday && day + 2 >= length) {
        kinds.push(30);
    }
    kinds
}

fn month_day(kind: usize) -> MonthDay {
    match kind {
        28 => MonthDay::LastDay,
        29 => MonthDay::FirstBusinessDay,
        30 => MonthDay::LastBusinessDay,
        date => MonthDay::Day { day: date + 1 },
    }
}

/// Each day against the median of the days around it, as a share of that.
fn residuals(days: &[Option<f64>]) -> Vec<Option<f64>> {
    (0..days.len())
        .map(|day| {
            let from = day.saturating_sub(AROUND_DAYS);
            let to = (day + AROUND_DAYS + 1).min(days.len());
            let around: Vec<f64> = days[from..to].iter().flatten().copied().collect();
            let usual = median(&around);
            (usual > 0.0).then_some(days[day]? / usual - 1.0)
        })
        .collect()
}

/// The hypothesis with the largest score, when chance makes none as large.
fn strongest(residuals: &[Option<f64>], kinds: &[Vec<usize>]) -> Option<(usize, f64)> {
    let seen: Vec<f64> = residuals.iter().flatten().copied().collect();
    let limit = CLIP_SDS * spread(&seen).max(1e-9);
    let middle = median(&seen);
    let clipped: Vec<Option<f64>> = residuals
        .iter()
        .map(|value| value.map(|value| (value - middle).clamp(-limit, limit)))
        .collect();
    let (kind, score) = best(&clipped, kinds)?;
    let mut rng = ChaCha8Rng::seed_from_u64(SEED);
    let mut as_large = 0.0;
    for _ in 0..DRAWS {
        let mut turned = clipped.clone();
        for block in turned.chunks_mut(BLOCK_DAYS) {
            block.rotate_left(rng.random_range(0..block.len()));
        }
        if best(&turned, kinds).is_some_and(|(_, other)| other >= score) {
            as_large += 1.0;
        }
    }
    let p_value = (as_large + 1.0) / (DRAWS as f64 + 1.0);
    (p_value <= P_MAX).then_some((kind, p_value))
}

fn best(residuals: &[Option<f64>], kinds: &[Vec<usize>]) -> Option<(usize, f64)> {
    let mut sums = [(0.0, 0.0); HYPOTHESES];
    for (value, kinds) in residuals.iter().zip(kinds) {
        let Some(value) = *value else { continue };
        for kind in kinds {
            sums[*kind].0 += value;
            sums[*kind].1 += 1.0;
        }
    }
    sums.iter()
        .enumerate()
        .filter(|(_, (_, count))| *count >= MONTHS_MIN as f64)
        .map(|(kind, (sum, count))| (kind, sum.abs() / f64::sqrt(*count)))
        .max_by(|left, right| left.1.total_cmp(&right.1))
}

fn push(
    series: &Series<'_>,
    found: &mut Found,
    (kind, p_value): (usize, f64),
    days: &[usize],
    residuals: &[Option<f64>],
) {
    let values: Vec<f64> = days.iter().filter_map(|day| residuals[*day]).collect();
    let (mean, sd) = moments(&values);
    let agreeing = values.iter().filter(|value| **value * mean > 0.0).count();
    if median(&values).abs() < FACTOR_MIN {
        return;
    }
    let latest = days.iter().rev().take(EXAMPLES_MAX);
    found.patterns.push(Pattern {
        detail: Detail::Monthly {
            day: month_day(kind),
            factor: 1.0 + mean,
        },
        strength: share(mean * mean / (mean * mean + sd * sd)),
        evidence: Evidence {
            period_s: Some(30.44 * DAY_S as f64),
            size: Some(mean * series.level()),
            size_share: Some(mean),
            seen_in: Some(agreeing),
            cycles: Some(values.len()),
            p_value: Some(p_value),
            variance_explained: None,
            examples_s: latest.map(|day| series.slots.day_s(*day)).collect(),
        },
    });
}
