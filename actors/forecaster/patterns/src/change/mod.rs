//! Changes of regime, found online: level, scale and shape of the day, each with time and confidence.
//!
//! Method: two-sided cumulative sums (Page 1954, "Continuous inspection schemes") over what a running
//! seasonal profile leaves, robust by clipping each score (winsorised CUSUM, Hawkins and Olwell 1998,
//! section 5.3), with the correlation of neighbours taken off first (residual charts, Alwan and Roberts
//! 1988). Scores are those of quarter days, so that an hour's burst is one voice; shapes are compared by day.
//!
//! Cost: O(1) memory and time per sample; the state is a few hundred numbers and can be stored.
//!
//! Nothing is told in the first three weeks, nor for two weeks after a change of shape. Delays of nine in ten
//! changes, from `tests/changes.rs`: level doubled or halved 2 days, a third up 3.5, a fifth up 6.5 (noise of a
//! quarter day 6 % of the level), noise trebled 6, day turned by eight hours 2.8; noise that falls takes up to
//! seven weeks. A holiday of a day is no change; a series that ends is told in up to three steps. False alarms:
//! none in 60 years each of noise, AR(1), daily, working-week and steadily growing series, 3 in 60 years of
//! bursts.

mod blocks;
mod level;
mod shape;

use crate::grid::{DAY_S, Grid, INTERVAL_S_MAX, VALUE_MAX};
use blocks::Blocks;
use level::{Levels, Verdict};
use serde::{Deserialize, Serialize};
use shape::Shapes;

/// Version of [`ChangeDetector`] as stored.
pub const CHANGE_VERSION: u16 = 1;

/// What changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ChangeKind {
    /// The level.
    Level,
    /// How far values stray.
    Scale,
    /// The shape of the day.
    Shape,
}

/// A confirmed change.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Change {
    /// What changed.
    pub kind: ChangeKind,
    /// When it began, in epoch seconds: the start of the quarter day, or day, that scores rose from.
    pub at_s: i64,
    /// When it was confirmed.
    pub confirmed_s: i64,
    /// Confidence, 0 to 1.
    pub confidence: f64,
    /// Before: mean (level), standard deviation (scale) or 1 (shape), the first two in the metric's unit.
    pub before: f64,
    /// After: the same; for a shape its cosine with the one before.
    pub after: f64,
}

/// What a learner should make of the changes so far.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Memory {
    /// Steps since the last confirmed change began; `None`: there was none.
    pub steps_since_change: Option<u64>,
    /// What samples from before it should weigh, 0 to 1.
    pub discount: f64,
}

/// Why a detector cannot be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ChangeError {
    /// The step has no place in a day.
    #[error("interval of {interval_s} s is not usable: give 1 to {INTERVAL_S_MAX} s")]
    Interval {
        /// The interval given.
        interval_s: u32,
    },
    /// Stored by another version.
    #[error(
        "detector state of version {version} is unknown: start anew, this program writes {CHANGE_VERSION}"
    )]
    Version {
        /// The version found.
        version: u16,
    },
    /// Damaged: a list has a wrong length.
    #[error("detector state is damaged: start anew")]
    Damaged,
}

/// The detector of one series: all that it keeps.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ChangeDetector {
    version: u16,
    interval_s: u32,
    blocks: Blocks,
    levels: Levels,
    shapes: Shapes,
    last: Option<Change>,
    last_s: Option<i64>,
}

impl ChangeDetector {
    /// Starts to watch a series of equal steps.
    ///
    /// # Errors
    /// [`ChangeError::Interval`] for steps that have no place in a day.
    pub fn new(interval_s: u32) -> Result<Self, ChangeError> {
        if interval_s == 0 || interval_s > INTERVAL_S_MAX {
            return Err(ChangeError::Interval { interval_s });
        }
        let blocks = Blocks::new(interval_s);
        Ok(Self {
            version: CHANGE_VERSION,
            interval_s,
            levels: Levels::new(blocks.per_day()),
            shapes: Shapes::new(blocks.slots_per_day()),
            blocks,
            last: None,
            last_s: None,
        })
    }

    /// Checks a detector that was stored.
    ///
    /// # Errors
    /// [`ChangeError`] when it was written by another version or is damaged.
    pub fn checked(self) -> Result<Self, ChangeError> {
        if self.version != CHANGE_VERSION {
            return Err(ChangeError::Version {
                version: self.version,
            });
        }
        let fresh = Self::new(self.interval_s)?;
        let is_whole = self.blocks.is_like(&fresh.blocks)
            && self.levels.is_like(&fresh.levels)
            && self.shapes.is_like(&fresh.shapes);
        if is_whole {
            Ok(self)
        } else {
            Err(ChangeError::Damaged)
        }
    }

    /// Takes the sample of a step that starts at `at_s`; answers a change that it confirms. Steps that are
    /// not later than the last, missing ones and values that no demand has are passed over.
    pub fn push(&mut self, at_s: i64, value: Option<f64>) -> Option<Change> {
        if self.last_s.is_some_and(|last_s| at_s <= last_s) {
            return None;
        }
        self.last_s = Some(at_s);
        let value = value.filter(|value| (0.0..=VALUE_MAX).contains(value));
        let ended = self.blocks.push(at_s, value);
        let shape = ended.day.and_then(|day| self.shapes.push(&day));
        let mut found = ended
            .block
            .and_then(|block| self.levels.push(&block))
            .map(|verdict| self.told(&verdict));
        if let Some(verdict) = shape.filter(|verdict| verdict.is_noise) {
            let wider = self.levels.end_wider(verdict.mean);
            found = found.or(wider.map(|wider| Change {
                at_s: verdict.at_s,
                ..self.told(&wider)
            }));
        } else if let Some(verdict) = shape {
            found = Some(Change {
                kind: ChangeKind::Shape,
                at_s: verdict.at_s,
                confirmed_s: at_s,
                confidence: verdict.confidence,
                before: 1.0,
                after: verdict.cosine,
            });
            self.levels.forget_profile();
        }
        let mut change = found?;
        change.confirmed_s = at_s;
        self.last = Some(change);
        Some(change)
    }

    /// What a learner should make of the changes so far.
    pub fn memory(&self) -> Memory {
        let (Some(change), Some(last_s)) = (self.last, self.last_s) else {
            return Memory {
                steps_since_change: None,
                discount: 1.0,
            };
        };
        let steps = last_s.saturating_sub(change.at_s) / i64::from(self.interval_s) + 1;
        let size = match change.kind {
            // A level that halves or doubles makes the past worthless for the level.
            ChangeKind::Level | ChangeKind::Scale => {
                let larger = change.before.abs().max(change.after.abs());
                2.0 * (change.after - change.before).abs() / larger.max(f64::MIN_POSITIVE)
            }
            ChangeKind::Shape => 1.0 - change.after,
        };
        Memory {
            steps_since_change: Some(u64::try_from(steps).unwrap_or(0)),
            discount: 1.0 - change.confidence * size.clamp(0.0, 1.0),
        }
    }

    /// The last confirmed change.
    pub fn last_change(&self) -> Option<Change> {
        self.last
    }

    /// A change of scale while the shape of days is leaving its own is one of shape in the making, and told
    /// as such.
    fn told(&mut self, verdict: &Verdict) -> Change {
        let is_shape = verdict.kind == ChangeKind::Scale
            && verdict.after > verdict.before
            && self.shapes.is_leaving();
        let (kind, before, after) = if is_shape {
            let cosine = self.shapes.restart();
            self.levels.forget_profile();
            (ChangeKind::Shape, 1.0, cosine)
        } else {
            (verdict.kind, verdict.before, verdict.after)
        };
        Change {
            kind,
            at_s: verdict.at_s,
            confirmed_s: verdict.at_s,
            confidence: verdict.confidence,
            before,
            after,
        }
    }
}

/// Finds the changes of a whole series: the same that a detector tells sample by sample.
pub fn changes(grid: &Grid) -> Vec<Change> {
    let interval_s = u32::try_from(grid.interval_s()).unwrap_or(INTERVAL_S_MAX);
    let Ok(mut detector) = ChangeDetector::new(interval_s) else {
        return Vec::new();
    };
    let scale = grid.scale();
    grid.values()
        .iter()
        .enumerate()
        .filter_map(|(at, value)| detector.push(grid.time_s(at), value.map(|value| value * scale)))
        .collect()
}

/// Weekday of a time in UTC, Monday 0.
fn weekday(at_s: i64) -> usize {
    // The epoch was a Thursday.
    crate::numeric::position((at_s.div_euclid(DAY_S) + 3).rem_euclid(7))
}
