//! Counts events into the sketches of their windows.

use super::noise::Budget;
use super::options::{ActivityOptions, ActivityOptionsError, DAY_S};
use super::sketch::Sketch;
use crate::secret::{DerivedKey, InputSecret, first_u64, hmac_of};
use crate::windows::{NotCounted, Windows};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fmt;
use twinscale_protocol::{DomainTime, Sample, Seconds};

/// Longest identifier, in bytes; a longer one is not counted.
pub const USER_BYTES_MAX: usize = 1_024;

/// Monday, counted from the epoch, a Thursday.
const MONDAY_S: u32 = 4 * DAY_S;

/// Keys of windows that are held ready; they can always be derived again.
const KEYS_MAX: usize = 256;

/// Something that a user did. It is looked at and not kept, and cannot be printed.
#[derive(Clone, Copy)]
pub struct ActivityEvent<'a> {
    /// When.
    pub at: DomainTime,
    /// Who: any bytes that are the same for the same user.
    pub user: &'a [u8],
    /// The user's cohort.
    pub cohort: Option<&'a str>,
    /// What was done.
    pub action: Option<&'a str>,
}

impl fmt::Debug for ActivityEvent<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ActivityEvent")
            .field("at", &self.at)
            .finish_non_exhaustive()
    }
}

/// What was not counted, or not told.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ActivityCounts {
    /// Events whose window was closed.
    pub late: u64,
    /// Events ahead of the clock or before the epoch.
    pub out_of_range: u64,
    /// Events without an identifier, or with one beyond [`USER_BYTES_MAX`].
    pub bad_user: u64,
    /// Events of a cohort or action that the settings do not name; they count in the totals.
    pub unnamed: u64,
    /// Counts of users that were withheld: below the threshold, telling of such a one, or beyond the budget.
    pub withheld_counts: u64,
    /// Rates of cohorts and actions that were withheld.
    pub withheld_rates: u64,
}

/// One cohort or action in one interval.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Cell {
    pub(super) users: Sketch,
    pub(super) events: u64,
}

/// One interval. Cells stand under their place in the settings, users of none under the number of names.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Interval {
    pub(super) users: Sketch,
    pub(super) cohorts: BTreeMap<usize, Cell>,
    pub(super) actions: BTreeMap<usize, Cell>,
}

/// Which kind of window; each has keys of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Span {
    Interval,
    Day,
    Week,
}

/// Counts active users. Memory: at most 35 sketches of 4 KiB for each of at most 96 open intervals.
pub struct Activity {
    pub(super) options: ActivityOptions,
    pub(super) secret: InputSecret,
    keys: BTreeMap<(Span, DomainTime), DerivedKey>,
    pub(super) intervals: Windows<Interval>,
    pub(super) days: Windows<Sketch>,
    pub(super) weeks: Windows<Sketch>,
    pub(super) covers: super::publish::Covers,
    pub(super) budget: Budget,
    pub(super) counts: ActivityCounts,
}

impl fmt::Debug for Activity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Activity")
            .field("options", &self.options)
            .field("counts", &self.counts())
            .finish_non_exhaustive()
    }
}

impl Activity {
    /// Begins to count.
    ///
    /// # Errors
    /// [`ActivityOptionsError`].
    pub fn new(
        options: ActivityOptions,
        secret: InputSecret,
    ) -> Result<Self, ActivityOptionsError> {
        options.check()?;
        let lateness = options.lateness;
        Ok(Self {
            intervals: Windows::new(options.interval, lateness)?,
            days: Windows::new(Seconds(DAY_S), lateness)?,
            weeks: Windows::with_origin(Seconds(7 * DAY_S), lateness, MONDAY_S)?,
            covers: super::publish::Covers::default(),
            budget: Budget::default(),
            counts: ActivityCounts::default(),
            keys: BTreeMap::new(),
            options,
            secret,
        })
    }

    /// Counts an event; `now` is the caller's clock. Cost: about six SHA-256 of a few blocks.
    ///
    /// # Errors
    /// [`NotCounted`] for an event that is late or ahead of the clock; it is counted as such. One without a usable
    /// identifier is counted in [`ActivityCounts::bad_user`] and is no error.
    pub fn observe(
        &mut self,
        event: &ActivityEvent<'_>,
        now: DomainTime,
    ) -> Result<(), NotCounted> {
        if event.user.is_empty() || event.user.len() > USER_BYTES_MAX {
            self.counts.bad_user = self.counts.bad_user.saturating_add(1);
            return Ok(());
        }
        let (start, _) = self.intervals.slot(event.at, now)?;
        let hash = self.hash(Span::Interval, start, event.user);
        let (cohort, action) = (
            place_of(event.cohort, &self.options.cohorts),
            place_of(event.action, &self.options.actions),
        );
        let is_unnamed =
            |name: Option<&str>, place, names: &[String]| name.is_some() && place == names.len();
        if is_unnamed(event.cohort, cohort, &self.options.cohorts)
            || is_unnamed(event.action, action, &self.options.actions)
        {
            self.counts.unnamed = self.counts.unnamed.saturating_add(1);
        }
        let (_, interval) = self.intervals.slot(event.at, now)?;
        interval.users.insert(hash);
        for (cells, place) in [
            (&mut interval.cohorts, cohort),
            (&mut interval.actions, action),
        ] {
            let cell = cells.entry(place).or_default();
            cell.users.insert(hash);
            cell.events = cell.events.saturating_add(1);
        }
        // An interval that is open is of a day and a week that are.
        let (day, _) = self.days.slot(event.at, now)?;
        let hash = self.hash(Span::Day, day, event.user);
        self.days.slot(event.at, now)?.1.insert(hash);
        let (week, _) = self.weeks.slot(event.at, now)?;
        let hash = self.hash(Span::Week, week, event.user);
        self.weeks.slot(event.at, now)?.1.insert(hash);
        Ok(())
    }

    /// Gives the samples of windows that the watermark has passed.
    pub fn take_closed(&mut self) -> Vec<Sample> {
        let intervals = self.intervals.take_closed();
        let (days, weeks) = (self.days.take_closed(), self.weeks.take_closed());
        self.publish(intervals, days, weeks)
    }

    /// Gives also those that ended by `now` minus the lateness, when the source has fallen silent.
    pub fn take_idle(&mut self, now: DomainTime) -> Vec<Sample> {
        let intervals = self.intervals.take_idle(now);
        let (days, weeks) = (self.days.take_idle(now), self.weeks.take_idle(now));
        self.publish(intervals, days, weeks)
    }

    /// Gives all, at the end of a file; counts of a day or week that is not over are those of its part.
    pub fn take_all(&mut self) -> Vec<Sample> {
        let intervals = self.intervals.take_all();
        let (days, weeks) = (self.days.take_all(), self.weeks.take_all());
        self.publish(intervals, days, weeks)
    }

    /// Reads what was not counted, or not told.
    pub fn counts(&self) -> ActivityCounts {
        ActivityCounts {
            late: self.intervals.late(),
            out_of_range: self.intervals.out_of_range(),
            ..self.counts
        }
    }

    fn hash(&mut self, span: Span, start: DomainTime, user: &[u8]) -> u64 {
        if self.keys.len() >= KEYS_MAX {
            self.keys.clear();
        }
        let secret = &self.secret;
        let key = self.keys.entry((span, start)).or_insert_with(|| {
            let purpose = match span {
                Span::Interval => "active users of an interval",
                Span::Day => "active users of a day",
                Span::Week => "active users of a week",
            };
            secret.derive(purpose, start.0)
        });
        first_u64(&hmac_of(key, &[user]))
    }
}

fn place_of(name: Option<&str>, names: &[String]) -> usize {
    let found = name.and_then(|name| names.iter().position(|known| known == name));
    found.unwrap_or(names.len())
}
