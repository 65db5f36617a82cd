//! What is looked at: one series on a grid of equal steps, and the events around it.
//!
//! Invariants: values are finite and not negative, the grid lies in the years 1 to 9999, and at least one
//! value was observed. Values are kept divided by the largest, so that squares neither overflow nor vanish
//! and no result depends on the unit.

use crate::numeric::signed;
use twinscale_protocol::{Event, EventKind};

/// Seconds in a day.
pub const DAY_S: i64 = 86_400;

/// Longest step: a day, so that there is a week to come back to.
pub const INTERVAL_S_MAX: u32 = 86_400;

/// Longest series: two years of minutes, or twelve days of seconds.
pub const SAMPLES_MAX: usize = 1 << 20;

/// Most events looked at; the latest are kept.
pub const EVENTS_MAX: usize = 2_048;

/// Largest value: what is added up stays finite.
pub const VALUE_MAX: f64 = 1e300;

const FIRST_S: i64 = -62_135_596_800;
const LAST_S: i64 = 253_402_207_200;

/// Why values are no series.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum GridError {
    /// The step has no place in a day.
    #[error("interval of {interval_s} s is not usable: give 1 to {INTERVAL_S_MAX} s")]
    Interval {
        /// The interval given.
        interval_s: u32,
    },
    /// More than is looked at.
    #[error("series of {samples} samples is too long: give at most {SAMPLES_MAX}, the latest")]
    TooLong {
        /// The number given.
        samples: usize,
    },
    /// A value that no demand has.
    #[error(
        "value {value} at position {at} is not a demand: give finite numbers of 0 to {VALUE_MAX:e}, or nothing"
    )]
    Value {
        /// The value given.
        value: f64,
        /// Its position.
        at: usize,
    },
    /// Nothing was observed.
    #[error("series of {samples} samples holds no observation: give at least one")]
    Empty {
        /// The number of (missing) samples.
        samples: usize,
    },
    /// The calendar does not reach there.
    #[error("series from {start_s} s on leaves the years 1 to 9999: give epoch seconds")]
    Time {
        /// The start given.
        start_s: i64,
    },
}

/// A span of time in which something known happens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KnownEvent {
    /// What kind it is.
    pub kind: EventKind,
    /// First second.
    pub start_s: i64,
    /// First second after it.
    pub end_s: i64,
}

impl From<&Event> for KnownEvent {
    fn from(event: &Event) -> Self {
        Self {
            kind: event.kind,
            start_s: event.start.0,
            end_s: event.end.0,
        }
    }
}

/// A checked series.
#[derive(Clone, Debug)]
pub struct Grid {
    start_s: i64,
    interval_s: i64,
    /// Observed values, divided by `scale`.
    values: Vec<Option<f64>>,
    scale: f64,
    events: Vec<KnownEvent>,
}

impl Grid {
    /// Checks `values` (missing = `None`), the first of which was measured from `start_s` (epoch seconds)
    /// on, one each `interval_s`.
    ///
    /// # Errors
    /// [`GridError`] names what cannot be used.
    pub fn new(start_s: i64, interval_s: u32, values: &[Option<f64>]) -> Result<Self, GridError> {
        if interval_s == 0 || interval_s > INTERVAL_S_MAX {
            return Err(GridError::Interval { interval_s });
        }
        if values.len() > SAMPLES_MAX {
            return Err(GridError::TooLong {
                samples: values.len(),
            });
        }
        for (at, value) in values.iter().enumerate() {
            if let Some(value) = *value
                && !(0.0..=VALUE_MAX).contains(&value)
            {
                return Err(GridError::Value { value, at });
            }
        }
        let interval = i64::from(interval_s);
        let last_s = start_s.saturating_add(interval.saturating_mul(signed(values.len())));
        if start_s < FIRST_S || last_s > LAST_S {
            return Err(GridError::Time { start_s });
        }
        let first = values.iter().position(Option::is_some);
        let last = values.iter().rposition(Option::is_some);
        let (Some(first), Some(last)) = (first, last) else {
            return Err(GridError::Empty {
                samples: values.len(),
            });
        };
        let kept = &values[first..=last];
        let largest = kept.iter().flatten().copied().fold(0.0, f64::max);
        let scale = if largest > 0.0 { largest } else { 1.0 };
        Ok(Self {
            start_s: start_s + interval * signed(first),
            interval_s: interval,
            values: kept.iter().map(|value| value.map(|v| v / scale)).collect(),
            scale,
            events: Vec::new(),
        })
    }

    /// Adds what is known to have happened; spans that end before they start are left out, and all but the
    /// latest [`EVENTS_MAX`].
    #[must_use]
    pub fn with_events(mut self, events: impl IntoIterator<Item = KnownEvent>) -> Self {
        let end_s = self.end_s();
        let near = |event: &KnownEvent| {
            event.start_s < event.end_s && event.start_s < end_s && event.end_s > self.start_s
        };
        let mut events: Vec<KnownEvent> = events.into_iter().filter(near).collect();
        events.sort_by_key(|event| (event.start_s, event.end_s, event.kind));
        events.dedup();
        let kept = events.len().saturating_sub(EVENTS_MAX);
        self.events = events.split_off(kept);
        self
    }

    /// Time of the first observed sample, in epoch seconds.
    pub fn start_s(&self) -> i64 {
        self.start_s
    }

    /// First second after the last observed sample.
    pub fn end_s(&self) -> i64 {
        self.time_s(self.values.len())
    }

    /// Length of a step in seconds.
    pub fn interval_s(&self) -> i64 {
        self.interval_s
    }

    /// Counts the steps from the first to the last observed sample.
    pub fn steps(&self) -> usize {
        self.values.len()
    }

    /// Counts the observed samples.
    pub fn observed(&self) -> usize {
        self.values.iter().flatten().count()
    }

    /// Time of a step, in epoch seconds.
    pub(crate) fn time_s(&self, at: usize) -> i64 {
        self.start_s + self.interval_s * signed(at)
    }

    /// Values in units of [`Grid::scale`].
    pub(crate) fn values(&self) -> &[Option<f64>] {
        &self.values
    }

    /// What a value of 1 is in the metric's unit.
    pub(crate) fn scale(&self) -> f64 {
        self.scale
    }

    pub(crate) fn events(&self) -> &[KnownEvent] {
        &self.events
    }
}
