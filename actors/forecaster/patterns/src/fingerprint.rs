//! A series in a few numbers without a unit, and how alike two series are.
//!
//! A part that a series is too young for is absent and left out of the comparison, so that a customer of one
//! day can be compared by its day.

use crate::find::seasonal;
use crate::grid::Grid;
use crate::numeric::{mean, median, moments, share};
use crate::profile::{WeekProfile, weekday_factors};
use crate::slots::Slots;
use serde::{Deserialize, Serialize};

/// Version of [`Fingerprint`] as stored.
pub const FINGERPRINT_VERSION: u16 = 1;

/// Hours of a day's shape.
const DAY_HOURS: usize = 24;

/// Share of the hours that must be seen for a day's shape.
const HOURS_SHARE: f64 = 0.75;

/// Days from which weekdays can be told apart.
const WEEK_DAYS_MIN: usize = 7;

/// Days from which growth can.
const GROWTH_DAYS_MIN: usize = 42;

/// What a difference in a part weighs. The shapes decide what a borrowed profile is worth.
const WEIGHTS: [(Part, f64); 8] = [
    (Part::Day, 4.0),
    (Part::Week, 2.0),
    (Part::DailyStrength, 1.0),
    (Part::WeeklyStrength, 0.5),
    (Part::Burstiness, 1.0),
    (Part::Zeros, 1.0),
    (Part::Growth, 0.25),
    (Part::Interval, 0.25),
];

/// A part that is at most this far apart agrees.
const AGREES: f64 = 0.15;

/// A part of a fingerprint.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Part {
    /// Shape of the day.
    Day,
    /// Shape of the week.
    Week,
    /// Strength of the daily cycle.
    DailyStrength,
    /// Strength of the weekly cycle.
    WeeklyStrength,
    /// How unevenly hours differ from those before.
    Burstiness,
    /// Share of zeros.
    Zeros,
    /// Growth.
    Growth,
    /// Length of a step.
    Interval,
}

/// A series without its unit.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Fingerprint {
    /// [`FINGERPRINT_VERSION`] of its writer; compare only with the same.
    pub version: u16,
    /// Mean of each hour of the day (UTC) over the mean of all.
    pub day: Option<[f64; DAY_HOURS]>,
    /// Median of each weekday (Monday first) over the level.
    pub week: Option<[f64; 7]>,
    /// Share of the variance inside days that the daily cycle explains; 0 where it is not told from chance.
    pub daily_strength: Option<f64>,
    /// The same for the week.
    pub weekly_strength: Option<f64>,
    /// `(s - m) / (s + m)` of the changes from slot to slot (Goh and Barabási 2008): -1 regular, 1 bursty.
    pub burstiness: Option<f64>,
    /// Share of zeros.
    pub zeros: f64,
    /// Logarithm of the mean of the second half over that of the first, for each month between them.
    pub growth: Option<f64>,
    /// Length of a step in seconds.
    pub interval_s: i64,
}

impl Fingerprint {
    /// Takes the fingerprint of a series.
    pub fn of(grid: &Grid) -> Self {
        let slots = Slots::of(grid);
        let seen = grid.observed().max(1) as f64;
        let zeros = grid
            .values()
            .iter()
            .flatten()
            .filter(|v| **v <= 0.0)
            .count();
        let strength = |cycle: Result<Option<crate::cycle::Cycle>, String>| {
            cycle
                .ok()
                .map(|cycle| cycle.map_or(0.0, |cycle| cycle.explained))
        };
        let seen_days = slots.day_means.iter().flatten().count();
        Self {
            version: FINGERPRINT_VERSION,
            day: day(&slots),
            week: (seen_days >= WEEK_DAYS_MIN).then(|| weekday_factors(&slots)),
            daily_strength: strength(seasonal::daily(&slots, &[])),
            weekly_strength: strength(seasonal::weekly(&slots)),
            burstiness: burstiness(&slots),
            zeros: zeros as f64 / seen,
            growth: growth(&slots),
            interval_s: grid.interval_s(),
        }
    }

    /// How far apart two series are, 0 to 1, and each part that both have, nearest first. `None` where there
    /// is nothing to compare, or the versions differ.
    pub fn distance(&self, other: &Self) -> Option<Distance> {
        if self.version != other.version {
            return None;
        }
        let mut parts: Vec<(Part, f64)> = Vec::new();
        let mut total = 0.0;
        let mut weights = 0.0;
        for (part, weight) in WEIGHTS {
            if let Some(away) = self.part(other, part) {
                parts.push((part, away));
                total += weight * away;
                weights += weight;
            }
        }
        parts.sort_by(|left, right| left.1.total_cmp(&right.1));
        // Without a shape only trifles are left.
        let has_shape = parts
            .iter()
            .any(|(part, _)| matches!(part, Part::Day | Part::Week));
        has_shape.then(|| Distance {
            distance: total / weights,
            parts,
        })
    }

    /// How far apart a part is, 0 to 1.
    fn part(&self, other: &Self, part: Part) -> Option<f64> {
        let gap = |one: Option<f64>, two: Option<f64>, whole: f64| -> Option<f64> {
            Some(share((one? - two?).abs() / whole))
        };
        match part {
            Part::Day => Some(shape_gap(self.day.as_ref()?, other.day.as_ref()?)),
            Part::Week => Some(shape_gap(self.week.as_ref()?, other.week.as_ref()?)),
            Part::DailyStrength => gap(self.daily_strength, other.daily_strength, 1.0),
            Part::WeeklyStrength => gap(self.weekly_strength, other.weekly_strength, 1.0),
            Part::Burstiness => gap(self.burstiness, other.burstiness, 1.0),
            Part::Zeros => gap(Some(self.zeros), Some(other.zeros), 1.0),
            Part::Growth => gap(self.growth, other.growth, 0.5),
            Part::Interval => {
                let ratio = self.interval_s as f64 / other.interval_s.max(1) as f64;
                // An hour beside five minutes is as far as it goes.
                Some(share(
                    ratio.max(f64::MIN_POSITIVE).ln().abs() / 12.0_f64.ln(),
                ))
            }
        }
    }
}

/// How far apart two fingerprints are.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Distance {
    /// Weighted mean over the parts that both have, 0 to 1.
    pub distance: f64,
    /// Those parts with their distances, nearest first.
    pub parts: Vec<(Part, f64)>,
}

impl Distance {
    /// The parts that agree, nearest first.
    pub fn agreeing(&self) -> impl Iterator<Item = Part> {
        let near = self.parts.iter().filter(|(_, away)| *away <= AGREES);
        near.map(|(part, _)| *part)
    }
}

/// Half the mean difference of two shapes of mean 1: 0 for the same, 1 for all demand at other times.
fn shape_gap(one: &[f64], two: &[f64]) -> f64 {
    let gaps: Vec<f64> = one.iter().zip(two).map(|(a, b)| (a - b).abs()).collect();
    share(mean(&gaps) / 2.0)
}

fn day(slots: &Slots) -> Option<[f64; DAY_HOURS]> {
    let per_day = slots.per_day;
    let by_slot: Vec<Option<f64>> = (0..per_day)
        .map(|slot| {
            let seen: Vec<f64> = (0..slots.days())
                .filter_map(|day| slots.ratio(day, slot))
                .collect();
            (!seen.is_empty()).then(|| median(&seen))
        })
        .collect();
    let seen: Vec<f64> = by_slot.iter().flatten().copied().collect();
    let middle = mean(&seen);
    if per_day < 4 || middle <= 0.0 || (seen.len() as f64) < HOURS_SHARE * per_day as f64 {
        return None;
    }
    let mut shape = [1.0; DAY_HOURS];
    for (hour, value) in shape.iter_mut().enumerate() {
        if let Some(seen) = by_slot[hour * per_day / DAY_HOURS] {
            *value = seen / middle;
        }
    }
    Some(shape)
}

fn burstiness(slots: &Slots) -> Option<f64> {
    let changes: Vec<f64> = slots
        .values
        .windows(2)
        .filter_map(|pair| Some((pair[1]? - pair[0]?).abs()))
        .collect();
    let (middle, sd) = moments(&changes);
    (changes.len() >= 12 && middle + sd > 0.0).then(|| (sd - middle) / (sd + middle))
}

fn growth(slots: &Slots) -> Option<f64> {
    let seen: Vec<f64> = slots.day_means.iter().flatten().copied().collect();
    if seen.len() < GROWTH_DAYS_MIN {
        return None;
    }
    let (before, after) = seen.split_at(seen.len() / 2);
    let (before, after) = (mean(before), mean(after));
    let months = seen.len() as f64 / 2.0 / 30.44;
    (before > 0.0 && after > 0.0).then(|| (after / before).ln() / months)
}

/// What others are compared with and borrowed from.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Candidate {
    /// Whose series it is, for people and to find it again.
    pub name: String,
    /// Its fingerprint.
    pub fingerprint: Fingerprint,
    /// Its normalised week.
    pub profile: WeekProfile,
}

impl Candidate {
    /// Takes fingerprint and profile of a series.
    pub fn of(name: impl Into<String>, grid: &Grid) -> Self {
        Self {
            name: name.into(),
            fingerprint: Fingerprint::of(grid),
            profile: WeekProfile::of(grid),
        }
    }
}
