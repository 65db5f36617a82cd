//! Windows of time that are open, closed by a watermark.
//!
//! The watermark is the newest event time minus the allowed lateness. A window closes when the watermark has passed
//! its end, and never opens again: what comes for it then is late. Invariant: the watermark never goes back, and at
//! most [`OPEN_WINDOWS_MAX`] windows are open.

use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use twinscale_protocol::{DomainTime, Seconds};

/// Most windows that are open at once: a day of late lines in intervals of 15 minutes.
pub const OPEN_WINDOWS_MAX: usize = 96;

/// How far an event may lie ahead of the caller's clock, as for samples of a twin.
pub const FUTURE_MAX: Seconds = Seconds(3_600);

/// The time after which nothing is taken (year 5138), as for a twin: sums of times never overflow.
pub const NEWEST_TIME: DomainTime = DomainTime(100_000_000_000);

/// Why windows cannot be made so.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum WindowsError {
    /// An interval of nothing.
    #[error("interval of 0 s: give one of 1 s or more")]
    NoInterval,
    /// More windows would be open than may be.
    #[error(
        "lateness of {lateness_s} s (with an hour for clocks ahead) keeps more than {OPEN_WINDOWS_MAX} intervals of \
         {interval_s} s open: allow less lateness or use a longer interval"
    )]
    TooManyOpen {
        /// The interval, in seconds.
        interval_s: u32,
        /// The lateness, in seconds.
        lateness_s: u32,
    },
}

/// Why an event is not counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum NotCounted {
    /// Its window was closed before.
    Late,
    /// Further ahead of the clock than [`FUTURE_MAX`], or before the epoch.
    OutOfRange,
}

/// Open windows with what is counted in each.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Windows<Counts> {
    interval: Seconds,
    lateness: Seconds,
    /// What shifts the grid from the epoch, in seconds; weeks start on Monday, the epoch was a Thursday.
    origin_s: u32,
    newest: Option<DomainTime>,
    closed_to: DomainTime,
    open: BTreeMap<DomainTime, Counts>,
    late: u64,
    out_of_range: u64,
}

impl<Counts: Default> Windows<Counts> {
    /// Makes windows of a length, aligned to the epoch.
    ///
    /// # Errors
    /// [`WindowsError`] when more than [`OPEN_WINDOWS_MAX`] windows could be open.
    pub fn new(interval: Seconds, lateness: Seconds) -> Result<Self, WindowsError> {
        Self::with_origin(interval, lateness, 0)
    }

    pub(crate) fn with_origin(
        interval: Seconds,
        lateness: Seconds,
        origin_s: u32,
    ) -> Result<Self, WindowsError> {
        if interval.0 == 0 {
            return Err(WindowsError::NoInterval);
        }
        // From the watermark to the furthest event, both ends partly.
        let span_s = u64::from(lateness.0) + u64::from(FUTURE_MAX.0);
        let most = span_s.div_ceil(u64::from(interval.0)) + 1;
        if most > OPEN_WINDOWS_MAX as u64 {
            return Err(WindowsError::TooManyOpen {
                interval_s: interval.0,
                lateness_s: lateness.0,
            });
        }
        Ok(Self {
            interval,
            lateness,
            origin_s,
            newest: None,
            closed_to: DomainTime(0),
            open: BTreeMap::new(),
            late: 0,
            out_of_range: 0,
        })
    }

    /// Finds the window of an event, and moves the watermark.
    ///
    /// # Errors
    /// [`NotCounted`]; it is counted here.
    pub fn slot(
        &mut self,
        at: DomainTime,
        now: DomainTime,
    ) -> Result<(DomainTime, &mut Counts), NotCounted> {
        let newest_taken = now.plus(FUTURE_MAX).min(NEWEST_TIME);
        if at > newest_taken || at.0 < 0 {
            self.out_of_range = self.out_of_range.saturating_add(1);
            return Err(NotCounted::OutOfRange);
        }
        let start = self.start_of(at);
        if start < self.closed_to || start.plus(self.interval) <= self.watermark() {
            self.late = self.late.saturating_add(1);
            return Err(NotCounted::Late);
        }
        // A sender whose clock is ahead must not close windows for all others.
        let trusted = at.min(now);
        self.newest = Some(self.newest.map_or(trusted, |newest| newest.max(trusted)));
        Ok((start, self.open.entry(start).or_default()))
    }

    /// Takes the windows that the watermark has passed, oldest first.
    pub fn take_closed(&mut self) -> Vec<(DomainTime, Counts)> {
        let watermark = self.watermark();
        self.take_until(watermark)
    }

    /// Takes all windows that ended by `now` minus the lateness, for a source that has fallen silent: not for a
    /// source that sends its past.
    pub fn take_idle(&mut self, now: DomainTime) -> Vec<(DomainTime, Counts)> {
        let now = now.min(NEWEST_TIME);
        self.newest = Some(self.newest.map_or(now, |newest| newest.max(now)));
        self.take_closed()
    }

    /// Takes all windows, at the end of a file.
    pub fn take_all(&mut self) -> Vec<(DomainTime, Counts)> {
        self.take_until(NEWEST_TIME.plus(self.interval))
    }

    fn take_until(&mut self, watermark: DomainTime) -> Vec<(DomainTime, Counts)> {
        let mut closed = Vec::new();
        while let Some(entry) = self.open.first_entry() {
            let end = entry.key().plus(self.interval);
            if end > watermark {
                break;
            }
            closed.push(entry.remove_entry());
            self.closed_to = self.closed_to.max(end);
        }
        closed
    }

    /// Reads the watermark: no window that ends by then takes anything more.
    pub fn watermark(&self) -> DomainTime {
        self.newest.map_or(self.closed_to, |newest| {
            newest.minus(self.lateness).max(self.closed_to)
        })
    }

    /// The length of a window.
    pub fn interval(&self) -> Seconds {
        self.interval
    }

    /// Counts what came too late.
    pub fn late(&self) -> u64 {
        self.late
    }

    /// Counts what was ahead of the clock or before the epoch.
    pub fn out_of_range(&self) -> u64 {
        self.out_of_range
    }

    /// Counts the windows that are open.
    pub fn open_count(&self) -> usize {
        self.open.len()
    }

    pub(crate) fn open(&self) -> impl Iterator<Item = &Counts> {
        self.open.values()
    }

    /// Whether windows read from bytes are some that could have been made as these were.
    pub(crate) fn is_alike(&self, made: &Self) -> bool {
        let settings = |windows: &Self| (windows.interval, windows.lateness, windows.origin_s);
        settings(self) == settings(made) && self.open.len() <= OPEN_WINDOWS_MAX
    }

    fn start_of(&self, at: DomainTime) -> DomainTime {
        let origin = Seconds(self.origin_s);
        at.minus(origin).floor_to(self.interval).plus(origin)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn windows() -> Windows<u64> {
        Windows::new(Seconds(300), Seconds(600)).expect("sound")
    }

    #[test]
    fn late_within_the_allowance_counts_and_later_does_not() {
        let (mut windows, now) = (windows(), DomainTime(1_000_000));
        *windows.slot(DomainTime(1_000), now).expect("first").1 += 1;
        *windows.slot(DomainTime(1_700), now).expect("newer").1 += 1;
        // The watermark is 1,100: the window from 900 to 1,200 is open, the one before it is not.
        *windows
            .slot(DomainTime(900), now)
            .expect("late but allowed")
            .1 += 1;
        assert_eq!(windows.slot(DomainTime(899), now), Err(NotCounted::Late));
        assert_eq!(windows.take_closed(), Vec::new());
        *windows.slot(DomainTime(1_800), now).expect("newest").1 += 1;
        assert_eq!(windows.take_closed(), vec![(DomainTime(900), 2)]);
        assert_eq!(windows.late(), 1);
        assert_eq!(windows.take_all().len(), 2);
        assert_eq!(windows.slot(DomainTime(1_800), now), Err(NotCounted::Late));
    }

    #[test]
    fn a_clock_ahead_closes_nothing() {
        let (mut windows, now) = (windows(), DomainTime(100_000));
        let ahead = windows.slot(DomainTime(103_000), now);
        assert!(ahead.is_ok());
        assert!(windows.slot(DomainTime(99_600), now).is_ok());
        let far = windows.slot(DomainTime(103_601), now);
        assert_eq!(far, Err(NotCounted::OutOfRange));
    }

    #[test]
    fn settings_that_keep_too_much_open_are_refused() {
        let error = Windows::<u64>::new(Seconds(60), Seconds(86_400)).expect_err("1,500 windows");
        assert!(error.to_string().contains("86400"), "{error}");
    }

    proptest! {
        #[test]
        fn every_event_is_in_one_window_or_counted(times in proptest::collection::vec(0_i64..200_000, 1..200)) {
            let (mut windows, mut inside) = (windows(), 0);
            let mut starts = Vec::new();
            for (index, at) in times.iter().enumerate() {
                if let Ok((_, count)) = windows.slot(DomainTime(*at), DomainTime(150_000)) {
                    *count += 1;
                }
                prop_assert!(windows.open_count() <= OPEN_WINDOWS_MAX);
                let closed = if index + 1 == times.len() { windows.take_all() } else { windows.take_closed() };
                for (start, count) in closed {
                    inside += count;
                    starts.push(start);
                }
            }
            prop_assert!(starts.is_sorted_by(|one, other| one < other));
            prop_assert_eq!(inside + windows.late() + windows.out_of_range(), times.len() as u64);
        }
    }
}
