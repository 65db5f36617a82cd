//! The series by days of equal slots (hours, or its own steps where they are longer), and its level.
//!
//! A slot holds the mean of its samples. The level of a day is the mean of the three weeks around it, so
//! that growth and steps do not blur the shape of a day or week, and every weekday counts alike.

use crate::grid::{DAY_S, Grid};
use crate::numeric::{mean, position, signed};

/// Most days looked at, the latest: eleven years.
pub(crate) const DAYS_MAX: usize = 4_096;

/// Shortest slot.
const SLOT_S_MIN: i64 = 3_600;

/// Days around a day that make its level.
const LEVEL_DAYS: usize = 21;

/// Share of a day's slots that must be observed for the day to count.
const DAY_SHARE: f64 = 0.6;

/// Below this share of its mean level a series has all but ended.
const ENDED_SHARE: f64 = 0.05;

/// A level below this share of the largest value is nothing to compare with.
const LEVEL_MIN: f64 = 1e-9;

/// A series by days and slots.
#[derive(Clone, Debug)]
pub(crate) struct Slots {
    /// The first day, counted from the epoch.
    pub(crate) first_day: i64,
    /// Slots of a day: 24 at most.
    pub(crate) per_day: usize,
    /// Means by day and slot.
    pub(crate) values: Vec<Option<f64>>,
    /// The same without gaps, interpolated.
    pub(crate) filled: Vec<f64>,
    /// Mean of each day that was observed well enough.
    pub(crate) day_means: Vec<Option<f64>>,
    /// Level of each day.
    pub(crate) levels: Vec<f64>,
}

impl Slots {
    pub(crate) fn of(grid: &Grid) -> Self {
        let slot_s = grid.interval_s().max(SLOT_S_MIN);
        let per_day = position(DAY_S / slot_s).max(1);
        let last_day = (grid.end_s() - 1).div_euclid(DAY_S);
        let first_day = grid
            .start_s()
            .div_euclid(DAY_S)
            .max(last_day + 1 - signed(DAYS_MAX));
        let days = position(last_day + 1 - first_day);
        let mut sums = vec![(0.0, 0.0); days * per_day];
        for (at, value) in grid.values().iter().enumerate() {
            let Some(value) = *value else { continue };
            let time_s = grid.time_s(at);
            let day = time_s.div_euclid(DAY_S) - first_day;
            if day < 0 {
                continue;
            }
            let slot = time_s.rem_euclid(DAY_S) * signed(per_day) / DAY_S;
            let (sum, count) = &mut sums[position(day) * per_day + position(slot)];
            *sum += value;
            *count += 1.0;
        }
        let values: Vec<Option<f64>> = sums
            .into_iter()
            .map(|(sum, count)| (count > 0.0).then(|| sum / count))
            .collect();
        let filled = interpolated(&values);
        let day_means: Vec<Option<f64>> = (0..days)
            .map(|day| day_mean(&values, &filled, day, per_day))
            .collect();
        let levels = levels(&day_means, mean(&filled));
        Self {
            first_day,
            per_day,
            values,
            filled,
            day_means,
            levels,
        }
    }

    pub(crate) fn days(&self) -> usize {
        self.day_means.len()
    }

    /// Weekday of a day in UTC, Monday 0.
    pub(crate) fn weekday(&self, day: usize) -> usize {
        // The epoch was a Thursday.
        position((self.first_day + signed(day) + 3).rem_euclid(7))
    }

    /// Start of a day, in epoch seconds.
    pub(crate) fn day_s(&self, day: usize) -> i64 {
        (self.first_day + signed(day)) * DAY_S
    }

    /// Whether a day was observed well enough.
    pub(crate) fn is_seen(&self, day: usize) -> bool {
        self.day_means.get(day).is_some_and(Option::is_some)
    }

    /// The level of a day, when there is one to compare with.
    pub(crate) fn level(&self, day: usize) -> Option<f64> {
        let level = self.levels.get(day).copied()?;
        (level > LEVEL_MIN).then_some(level)
    }

    /// A slot's value over its day's level.
    pub(crate) fn ratio(&self, day: usize, slot: usize) -> Option<f64> {
        let value = (*self.values.get(day * self.per_day + slot)?)?;
        Some(value / self.level(day)?)
    }

    /// A day's mean over its level.
    pub(crate) fn day_ratio(&self, day: usize) -> Option<f64> {
        Some((*self.day_means.get(day)?)? / self.level(day)?)
    }

    /// The level of the last four weeks, which sizes are told for; of a series that has all but ended the
    /// level that it had.
    pub(crate) fn last_level(&self) -> f64 {
        let from = self.days().saturating_sub(28);
        let recent: Vec<f64> = self.day_means[from..].iter().flatten().copied().collect();
        let recent = mean(&recent);
        let lived: Vec<f64> = self.levels.iter().copied().filter(|l| *l > 0.0).collect();
        let lived = mean(&lived);
        if recent < ENDED_SHARE * lived {
            lived
        } else {
            recent
        }
    }
}

fn day_mean(values: &[Option<f64>], filled: &[f64], day: usize, per_day: usize) -> Option<f64> {
    let span = day * per_day..(day + 1) * per_day;
    let seen = values[span.clone()].iter().flatten().count();
    (seen as f64 >= DAY_SHARE * per_day as f64).then(|| mean(&filled[span]))
}

/// Fills gaps by straight lines, ends by the nearest value.
fn interpolated(values: &[Option<f64>]) -> Vec<f64> {
    let mut filled = vec![0.0; values.len()];
    let mut last: Option<(usize, f64)> = None;
    for (at, value) in values.iter().enumerate() {
        let Some(value) = *value else { continue };
        let (from, before) = last.unwrap_or((at, value));
        let gap = (at - from) as f64;
        let start = if last.is_some() { from + 1 } else { 0 };
        for (inside, slot) in filled.iter_mut().enumerate().take(at).skip(start) {
            let part = if gap > 0.0 {
                (inside - from) as f64 / gap
            } else {
                0.0
            };
            *slot = before + (value - before) * part;
        }
        filled[at] = value;
        last = Some((at, value));
    }
    if let Some((from, value)) = last {
        filled[from..].fill(value);
    }
    filled
}

/// Mean of the days in a window of three weeks around each day, kept inside the series.
fn levels(day_means: &[Option<f64>], overall: f64) -> Vec<f64> {
    let days = day_means.len();
    let mut sums = vec![(0.0, 0.0); days + 1];
    for (day, value) in day_means.iter().enumerate() {
        let (sum, count) = sums[day];
        sums[day + 1] = (
            sum + value.unwrap_or(0.0),
            count + f64::from(u8::from(value.is_some())),
        );
    }
    let width = LEVEL_DAYS.min(days);
    (0..days)
        .map(|day| {
            let from = day.saturating_sub(LEVEL_DAYS / 2).min(days - width);
            let (sum, count) = (
                sums[from + width].0 - sums[from].0,
                sums[from + width].1 - sums[from].1,
            );
            if count > 0.0 {
                // Differences of running sums leave rounding errors where all was zero.
                (sum / count).max(0.0)
            } else {
                overall
            }
        })
        .collect()
}
