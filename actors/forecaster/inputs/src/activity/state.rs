//! The state as bytes: version 1 is envelope kind 0x0902. It holds keyed hashes and registers, no identifier.

use super::counter::{Activity, ActivityCounts, Interval};
use super::noise::Budget;
use super::options::ActivityOptions;
use super::publish::Covers;
use super::sketch::Sketch;
use crate::sealed::{self, StateError};
use crate::secret::{InputSecret, first_u64};
use crate::windows::Windows;
use serde::{Deserialize, Serialize};

const WHAT: &str = "an activity counter";

#[derive(Serialize, Deserialize)]
struct State {
    key_check: u64,
    cohorts: Vec<String>,
    actions: Vec<String>,
    intervals: Windows<Interval>,
    days: Windows<Sketch>,
    weeks: Windows<Sketch>,
    covers: Covers,
    budget: Budget,
    counts: ActivityCounts,
}

impl Activity {
    /// Writes the state; at most about 13 MB, with all intervals open and all cells large.
    ///
    /// # Errors
    /// [`StateError`] when it is too large, which the limits exclude.
    pub fn to_bytes(&self) -> Result<Vec<u8>, StateError> {
        let state = State {
            key_check: key_check(&self.secret),
            cohorts: self.options.cohorts.clone(),
            actions: self.options.actions.clone(),
            intervals: self.intervals.clone(),
            days: self.days.clone(),
            weeks: self.weeks.clone(),
            covers: self.covers.clone(),
            budget: self.budget.clone(),
            counts: self.counts,
        };
        sealed::seal(WHAT, sealed::ACTIVITY, &state)
    }

    /// Goes on from a state.
    ///
    /// # Errors
    /// [`StateError`] for bytes that are none, of another secret, or of other settings.
    pub fn from_bytes(
        bytes: &[u8],
        options: ActivityOptions,
        secret: InputSecret,
    ) -> Result<Self, StateError> {
        let refuse = |rule| StateError::Rule { what: WHAT, rule };
        let state: State = sealed::open(WHAT, sealed::ACTIVITY, bytes)?;
        if state.key_check != key_check(&secret) {
            return Err(StateError::Secret { what: WHAT });
        }
        let mut fresh =
            Self::new(options, secret).map_err(|_bad| refuse("the settings are not valid"))?;
        if state.cohorts != fresh.options.cohorts || state.actions != fresh.options.actions {
            return Err(refuse("cohorts or actions are not those of the settings"));
        }
        let is_alike = state.intervals.is_alike(&fresh.intervals)
            && state.days.is_alike(&fresh.days)
            && state.weeks.is_alike(&fresh.weeks);
        if !is_alike {
            return Err(refuse("interval or lateness are not those of the settings"));
        }
        let sketches = state.days.open().chain(state.weeks.open());
        let is_sound = sketches.into_iter().all(Sketch::is_sound)
            && state
                .intervals
                .open()
                .all(|interval| is_interval(interval, &fresh.options))
            && state.covers.is_sound()
            && state.budget.is_sound();
        if !is_sound {
            return Err(refuse("it holds what no counter holds"));
        }
        fresh.intervals = state.intervals;
        fresh.days = state.days;
        fresh.weeks = state.weeks;
        fresh.covers = state.covers;
        fresh.budget = state.budget;
        fresh.counts = state.counts;
        Ok(fresh)
    }
}

fn is_interval(interval: &Interval, options: &ActivityOptions) -> bool {
    let tables = [
        (&interval.cohorts, options.cohorts.len()),
        (&interval.actions, options.actions.len()),
    ];
    interval.users.is_sound()
        && tables.iter().all(|(cells, names)| {
            cells
                .iter()
                .all(|(place, cell)| place <= names && cell.users.is_sound())
        })
}

fn key_check(secret: &InputSecret) -> u64 {
    first_u64(&secret.derive("check of an activity counter", 0))
}
