//! A regular series up to an origin, prepared so that features of any earlier origin cost little.
//!
//! Invariants: everything read at an origin depends on samples at or before it alone, so back-casts and
//! training see what a live request would have seen; values are finite and not negative; the first sample
//! is observed (missing ones before it are cut off). It knows nothing of files or messages.

use crate::numeric::{position, signed};

/// Seconds in a day.
pub const DAY_S: i64 = 86_400;

/// Longest interval: a day, so that there is a time of day to come back to.
pub const INTERVAL_S_MAX: u32 = 86_400;

/// Longest window: half a year of five-minute samples fits, and a request stays below half a megabyte.
pub const SAMPLES_MAX: usize = 65_536;

/// Why values form no series.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum SeriesError {
    /// The interval has no place on a daily grid.
    #[error("interval of {interval_s} s is not usable: send 1 to {INTERVAL_S_MAX} s")]
    Interval {
        /// The interval given.
        interval_s: u32,
    },
    /// More samples than are ever needed.
    #[error("window of {samples} samples is too long: send at most {SAMPLES_MAX}")]
    TooLong {
        /// The number given.
        samples: usize,
    },
    /// A value that no demand has.
    #[error(
        "value {value} at position {at} is not a demand: send finite numbers of 0 or more, or nothing"
    )]
    Value {
        /// The value given.
        value: f64,
        /// Its position in the window.
        at: usize,
    },
    /// Nothing was observed.
    #[error("window of {samples} samples holds no observation: send at least one")]
    Empty {
        /// The number of (missing) samples.
        samples: usize,
    },
}

/// A span of time in which something announced happens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EventSpan {
    /// First second.
    pub start_s: i64,
    /// First second after it.
    pub end_s: i64,
    /// Whether the day is off, as on a holiday; else it is a campaign, a release, …
    pub holiday: bool,
}

/// A prepared series.
#[derive(Clone, Debug)]
pub struct Series {
    start_s: i64,
    interval_s: i64,
    steps_per_day: usize,
    /// Observed value, or the last one before it.
    filled: Vec<f64>,
    observed: Vec<bool>,
    /// Bit 0: holiday, bit 1: another event; reaches past the end, as plans do.
    flags: Vec<u8>,
    totals: Totals,
}

/// Running totals: entry `i` covers the samples before position `i`.
#[derive(Clone, Debug, Default)]
struct Totals {
    value: Vec<f64>,
    zeros: Vec<f64>,
    seen: Vec<f64>,
    step_change: Vec<f64>,
    day_change: Vec<f64>,
    day_pairs: Vec<f64>,
    week_change: Vec<f64>,
    week_pairs: Vec<f64>,
}

impl Series {
    /// Prepares `values` (missing = `None`), the first of which was measured at `start_s`.
    ///
    /// # Errors
    /// [`SeriesError`] names what cannot be used.
    pub fn new(start_s: i64, interval_s: u32, values: &[Option<f64>]) -> Result<Self, SeriesError> {
        if interval_s == 0 || interval_s > INTERVAL_S_MAX {
            return Err(SeriesError::Interval { interval_s });
        }
        if values.len() > SAMPLES_MAX {
            return Err(SeriesError::TooLong {
                samples: values.len(),
            });
        }
        if let Some((at, value)) = first_unusable(values) {
            return Err(SeriesError::Value { value, at });
        }
        let Some(first) = values.iter().position(Option::is_some) else {
            return Err(SeriesError::Empty {
                samples: values.len(),
            });
        };
        let interval = i64::from(interval_s);
        let kept = values.get(first..).unwrap_or_default();
        let observed: Vec<bool> = kept.iter().map(Option::is_some).collect();
        let mut last = 0.0;
        let filled: Vec<f64> = kept
            .iter()
            .map(|value| {
                last = value.unwrap_or(last);
                last
            })
            .collect();
        let steps_per_day = position(DAY_S / interval).unwrap_or(1).max(1);
        let totals = Totals::of(&filled, &observed, steps_per_day);
        Ok(Self {
            start_s: start_s.saturating_add(interval.saturating_mul(signed(first))),
            interval_s: interval,
            steps_per_day,
            flags: vec![0; filled.len()],
            filled,
            observed,
            totals,
        })
    }

    /// Marks announced events, also over `ahead` steps past the end.
    #[must_use]
    pub fn with_events(mut self, events: &[EventSpan], ahead: usize) -> Self {
        self.flags = vec![0; self.filled.len() + ahead];
        for event in events {
            let bit = if event.holiday { 1 } else { 2 };
            let from = event.start_s.saturating_sub(self.start_s);
            let to = event.end_s.saturating_sub(self.start_s);
            // Steps whose interval begins inside the span.
            let first = position((from + self.interval_s - 1).div_euclid(self.interval_s));
            let end = position((to + self.interval_s - 1).div_euclid(self.interval_s)).unwrap_or(0);
            let end = end.min(self.flags.len());
            if let Some(span) = self.flags.get_mut(first.unwrap_or(0)..end) {
                for flag in span {
                    *flag |= bit;
                }
            }
        }
        self
    }

    /// Counts the samples, missing ones inside included.
    pub fn len(&self) -> usize {
        self.filled.len()
    }

    /// Tells that there is no sample; never so, kept for symmetry with `len`.
    pub fn is_empty(&self) -> bool {
        self.filled.is_empty()
    }

    /// Time of the first observed sample, in epoch seconds.
    pub fn start_s(&self) -> i64 {
        self.start_s
    }

    /// Whether all that was observed are whole numbers, as counts are.
    pub(crate) fn is_whole(&self) -> bool {
        self.filled.iter().all(|value| value.fract() == 0.0)
    }

    /// Length of a step in seconds.
    pub fn interval_s(&self) -> i64 {
        self.interval_s
    }

    /// Steps in a day (at least 1).
    pub fn steps_per_day(&self) -> usize {
        self.steps_per_day
    }

    /// Time of a step, also past the end.
    pub fn time_s(&self, at: usize) -> i64 {
        self.start_s
            .saturating_add(self.interval_s.saturating_mul(signed(at)))
    }

    /// The observed value at a position, if there is one.
    pub fn value(&self, at: usize) -> Option<f64> {
        let observed = self.observed.get(at).copied().unwrap_or(false);
        observed.then(|| self.filled.get(at).copied()).flatten()
    }

    /// The value at a position, or the last one before it.
    pub(crate) fn carried(&self, at: usize) -> f64 {
        self.filled.get(at).copied().unwrap_or(0.0)
    }

    /// Whether an announced day off covers a step.
    pub(crate) fn is_holiday(&self, at: usize) -> bool {
        self.flags.get(at).is_some_and(|flag| flag & 1 != 0)
    }

    /// Whether another announced event covers a step.
    pub(crate) fn is_event(&self, at: usize) -> bool {
        self.flags.get(at).is_some_and(|flag| flag & 2 != 0)
    }

    /// Weekday of a step in UTC, Monday 0.
    pub(crate) fn weekday(&self, at: usize) -> i64 {
        // The epoch was a Thursday.
        (self.time_s(at).div_euclid(DAY_S) + 3).rem_euclid(7)
    }

    /// Whether a step lies on a weekend or holiday.
    pub(crate) fn is_day_off(&self, at: usize) -> bool {
        self.weekday(at) >= 5 || self.is_holiday(at)
    }

    /// Mean over the `count` steps that end at `last`, or over fewer where history is short.
    pub(crate) fn mean(&self, last: usize, count: usize) -> f64 {
        mean_of(&self.totals.value, last, count)
    }

    /// Mean over the steps of `at` ± `reach`, none after `origin`.
    pub(crate) fn smooth(&self, at: usize, reach: usize, origin: usize) -> f64 {
        let last = (at + reach).min(origin);
        let first = at.saturating_sub(reach);
        self.mean(last, last + 1 - first.min(last))
    }

    /// Share of zeros among the last `count` steps.
    pub(crate) fn zero_share(&self, last: usize, count: usize) -> f64 {
        mean_of(&self.totals.zeros, last, count)
    }

    /// Share of observed samples among the last `count` steps.
    pub(crate) fn seen_share(&self, last: usize, count: usize) -> f64 {
        mean_of(&self.totals.seen, last, count)
    }

    /// Mean change from step to step.
    pub(crate) fn step_change(&self, last: usize, count: usize) -> f64 {
        mean_of(&self.totals.step_change, last, count)
    }

    /// Mean change from the same time a day before, where both were observed; and the number of pairs.
    pub(crate) fn day_change(&self, last: usize, count: usize) -> (f64, f64) {
        change_of(&self.totals.day_change, &self.totals.day_pairs, last, count)
    }

    /// Mean change from the same time a week before, where both were observed; and the number of pairs.
    pub(crate) fn week_change(&self, last: usize, count: usize) -> (f64, f64) {
        change_of(
            &self.totals.week_change,
            &self.totals.week_pairs,
            last,
            count,
        )
    }
}

impl Totals {
    fn of(filled: &[f64], observed: &[bool], day: usize) -> Self {
        let change = |at: usize, lag: usize| -> Option<f64> {
            let before = at.checked_sub(lag)?;
            let both = observed[at] && observed[before];
            both.then(|| (filled[at] - filled[before]).abs())
        };
        let week = 7 * day;
        let count = filled.len();
        Self {
            value: running(count, |at| filled[at]),
            zeros: running(count, |at| f64::from(u8::from(filled[at] == 0.0))),
            seen: running(count, |at| f64::from(u8::from(observed[at]))),
            step_change: running(count, |at| change(at, 1).unwrap_or(0.0)),
            day_change: running(count, |at| change(at, day).unwrap_or(0.0)),
            day_pairs: running(count, |at| f64::from(u8::from(change(at, day).is_some()))),
            week_change: running(count, |at| change(at, week).unwrap_or(0.0)),
            week_pairs: running(count, |at| f64::from(u8::from(change(at, week).is_some()))),
        }
    }
}

fn first_unusable(values: &[Option<f64>]) -> Option<(usize, f64)> {
    values.iter().enumerate().find_map(|(at, value)| {
        let value = (*value)?;
        (!value.is_finite() || value < 0.0).then_some((at, value))
    })
}

fn running(count: usize, term: impl Fn(usize) -> f64) -> Vec<f64> {
    let mut total = 0.0;
    let mut totals = Vec::with_capacity(count + 1);
    totals.push(total);
    for at in 0..count {
        total += term(at);
        totals.push(total);
    }
    totals
}

fn sum_of(totals: &[f64], last: usize, count: usize) -> (f64, usize) {
    let end = (last + 1).min(totals.len().saturating_sub(1));
    let first = end.saturating_sub(count);
    (totals[end] - totals[first], end - first)
}

fn mean_of(totals: &[f64], last: usize, count: usize) -> f64 {
    let (sum, steps) = sum_of(totals, last, count);
    if steps == 0 { 0.0 } else { sum / steps as f64 }
}

fn change_of(changes: &[f64], pairs: &[f64], last: usize, count: usize) -> (f64, f64) {
    let (sum, _) = sum_of(changes, last, count);
    let (pairs, _) = sum_of(pairs, last, count);
    if pairs < 0.5 {
        (0.0, 0.0)
    } else {
        (sum.max(0.0) / pairs, pairs)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_no_demand_has_is_refused_with_its_place() {
        let error = Series::new(0, 300, &[Some(1.0), None, Some(-2.0)]).expect_err("negative");
        assert_eq!(error, SeriesError::Value { value: -2.0, at: 2 });
        assert!(Series::new(0, 300, &[Some(f64::INFINITY)]).is_err());
        assert!(Series::new(0, 0, &[Some(1.0)]).is_err());
        assert_eq!(
            Series::new(0, 300, &[None, None]).expect_err("empty"),
            SeriesError::Empty { samples: 2 }
        );
    }

    #[test]
    fn gaps_carry_the_last_value_and_are_not_observed() {
        let series = Series::new(0, 3600, &[None, Some(2.0), None, Some(4.0)]).expect("a series");
        assert_eq!(series.start_s(), 3600);
        assert_eq!(series.len(), 3);
        assert_eq!(series.value(1), None);
        assert!((series.carried(1) - 2.0).abs() < 1e-12);
        assert!((series.mean(2, 2) - 3.0).abs() < 1e-12);
        assert!((series.seen_share(2, 3) - 2.0 / 3.0).abs() < 1e-12);
    }

    #[test]
    fn events_mark_the_steps_that_begin_inside() {
        let values = [Some(1.0); 48];
        let event = EventSpan {
            start_s: 24 * 3600,
            end_s: 50 * 3600,
            holiday: true,
        };
        let series = Series::new(0, 3600, &values)
            .expect("a series")
            .with_events(&[event], 4);
        assert!(!series.is_holiday(23));
        assert!(series.is_holiday(24) && series.is_holiday(49));
        assert!(!series.is_holiday(50));
        // 1970-01-01 was a Thursday.
        assert_eq!(series.weekday(0), 3);
    }
}
