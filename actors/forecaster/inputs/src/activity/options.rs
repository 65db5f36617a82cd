//! What to count, checked.

use super::noise::NoiseOptions;
use crate::windows::WindowsError;
use std::collections::BTreeSet;
use twinscale_protocol::{MetricName, Seconds, VmTypeId};

/// Lowest threshold: with fewer, one person who knows of another learns of the third.
pub const THRESHOLD_MIN: u64 = 3;

/// Most cohorts that are told apart.
pub const COHORTS_MAX: usize = 16;

/// Most actions that are told apart.
pub const ACTIONS_MAX: usize = 16;

/// Longest name of a cohort or action, in bytes: with what is put around it a metric's name.
pub const LABEL_BYTES_MAX: usize = 50;

pub(super) const DAY_S: u32 = 86_400;

/// What to count and what to keep to oneself.
#[derive(Clone, Debug, PartialEq)]
pub struct ActivityOptions {
    /// The VM type (or tier) whose load the users are: first half of the series' names.
    pub vm_type: VmTypeId,
    /// Length of an interval; it divides a day.
    pub interval: Seconds,
    /// How much older than the newest event one may be and still be counted.
    pub lateness: Seconds,
    /// Fewest users that a count or rate may tell of; 10 is usual, [`THRESHOLD_MIN`] the least.
    pub threshold: u64,
    /// Cohorts that are told apart, in `a-z`, `0-9` and `_`; users of others count in the totals alone.
    pub cohorts: Vec<String>,
    /// Actions that are told apart, likewise.
    pub actions: Vec<String>,
    /// Noise on the counts of users; without it they are exact or near.
    pub noise: Option<NoiseOptions>,
}

/// Why activity cannot be counted so.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum ActivityOptionsError {
    /// Interval and lateness.
    #[error(transparent)]
    Windows(#[from] WindowsError),
    /// Days would not consist of whole intervals.
    #[error(
        "interval of {interval_s} s does not divide a day of {DAY_S} s: use one such as 300 or 3600"
    )]
    Interval {
        /// The interval, in seconds.
        interval_s: u32,
    },
    /// Single persons could be told.
    #[error("threshold {threshold} is below {THRESHOLD_MIN}: take 10, or at least {THRESHOLD_MIN}")]
    Threshold {
        /// The threshold.
        threshold: u64,
    },
    /// Too many names.
    #[error("{found} {what} are more than {limit}: name fewer")]
    TooMany {
        /// Of what.
        what: &'static str,
        /// How many.
        found: usize,
        /// How many may be.
        limit: usize,
    },
    /// A name that fits no metric, or is there twice.
    #[error(
        "{what} number {number} is not usable: use 1 to {LABEL_BYTES_MAX} of a-z, 0-9 and _, each once"
    )]
    Label {
        /// Of what.
        what: &'static str,
        /// Which, counted from 1.
        number: usize,
    },
    /// A budget that is none.
    #[error(
        "noise needs an epsilon above 0 per value and at least as much per day, found {per_value} and {per_day}"
    )]
    Noise {
        /// Of each value.
        per_value: f64,
        /// Of each day.
        per_day: f64,
    },
}

impl ActivityOptions {
    pub(super) fn check(&self) -> Result<(), ActivityOptionsError> {
        let interval_s = self.interval.0;
        if interval_s == 0 || !DAY_S.is_multiple_of(interval_s) {
            return Err(ActivityOptionsError::Interval { interval_s });
        }
        if self.threshold < THRESHOLD_MIN {
            return Err(ActivityOptionsError::Threshold {
                threshold: self.threshold,
            });
        }
        check_labels("cohorts", &self.cohorts, COHORTS_MAX)?;
        check_labels("actions", &self.actions, ACTIONS_MAX)?;
        match &self.noise {
            Some(noise) if !noise.is_valid() => Err(ActivityOptionsError::Noise {
                per_value: noise.epsilon_per_value,
                per_day: noise.epsilon_per_day,
            }),
            _ => Ok(()),
        }
    }
}

fn check_labels(
    what: &'static str,
    labels: &[String],
    limit: usize,
) -> Result<(), ActivityOptionsError> {
    if labels.len() > limit {
        let found = labels.len();
        return Err(ActivityOptionsError::TooMany { what, found, limit });
    }
    let mut seen = BTreeSet::new();
    for (number, label) in (1..).zip(labels) {
        let is_name = label.len() <= LABEL_BYTES_MAX && MetricName::new(label.as_str()).is_ok();
        if !is_name || !seen.insert(label) {
            return Err(ActivityOptionsError::Label { what, number });
        }
    }
    Ok(())
}
