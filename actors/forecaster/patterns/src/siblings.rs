//! Who else has demand like this, and a profile borrowed from them for a customer without history.

use crate::fingerprint::{Candidate, Distance, Fingerprint, Part};
use crate::grid::{DAY_S, Grid};
use crate::numeric::{mean, position};
use crate::profile::{PROFILE_LEVELS, WEEK_HOURS, WeekProfile};
use serde::{Deserialize, Serialize};

/// Most siblings of a series.
pub const SIBLINGS_MAX: usize = 32;

/// A distance from which on a sibling's word counts half as much as that of one without distance.
const HALF_DISTANCE: f64 = 0.05;

/// A sibling.
#[derive(Clone, Debug, PartialEq)]
pub struct Sibling<'a> {
    /// The other series.
    pub candidate: &'a Candidate,
    /// How far it is, by parts.
    pub distance: Distance,
    /// What its profile weighs beside others.
    pub weight: f64,
}

impl Sibling<'_> {
    /// Why it is one, as a sentence.
    pub fn reason(&self) -> String {
        let parts: Vec<&str> = self.distance.agreeing().map(part_text).collect();
        let parts = match parts.as_slice() {
            [] => "no part agrees closely; it is the nearest there is".to_owned(),
            [one] => format!("{one} agrees"),
            [first @ .., last] => format!("{} and {last} agree", first.join(", ")),
        };
        format!(
            "{}: {parts} (distance {:.2}).",
            self.candidate.name, self.distance.distance
        )
    }
}

fn part_text(part: Part) -> &'static str {
    match part {
        Part::Day => "shape of the day",
        Part::Week => "shape of the week",
        Part::DailyStrength => "strength of the daily cycle",
        Part::WeeklyStrength => "strength of the weekly cycle",
        Part::Burstiness => "burstiness",
        Part::Zeros => "share of zeros",
        Part::Growth => "growth",
        Part::Interval => "interval",
    }
}

/// Seconds of a young series that count as one independent piece of it.
const PIECE_S: f64 = 6.0 * 3_600.0;

/// What the siblings weigh beside those pieces.
const SIBLINGS_WEIGHT: f64 = 2.0;

/// Days of siblings that an hour of the series' own day is weighed against.
const OWN_DAYS: f64 = 1.0;

/// Largest amplitude and spread beside the siblings'.
const AMPLITUDE_MAX: f64 = 2.0;
const SPREAD_MAX: f64 = 4.0;

/// The `k` (at most [`SIBLINGS_MAX`]) nearest candidates, nearest first; of equals by name.
pub fn siblings<'a>(
    fingerprint: &Fingerprint,
    candidates: &'a [Candidate],
    k: usize,
) -> Vec<Sibling<'a>> {
    let mut list: Vec<Sibling<'a>> = candidates
        .iter()
        .filter_map(|candidate| {
            let distance = fingerprint.distance(&candidate.fingerprint)?;
            let far = distance.distance / HALF_DISTANCE;
            Some(Sibling {
                candidate,
                weight: 1.0 / (1.0 + far * far),
                distance,
            })
        })
        .collect();
    list.sort_by(|left, right| {
        let by_distance = left.distance.distance.total_cmp(&right.distance.distance);
        by_distance.then_with(|| left.candidate.name.cmp(&right.candidate.name))
    });
    list.truncate(k.min(SIBLINGS_MAX));
    list
}

/// A normalised week from the siblings: quantiles are averaged by weight at each level (Vincent averaging,
/// Ratcliff 1979), which keeps both shape and spread. `None` without siblings.
pub fn borrowed_profile(siblings: &[Sibling<'_>]) -> Option<BorrowedProfile> {
    if siblings.is_empty() {
        return None;
    }
    let cells = (0..WEEK_HOURS)
        .map(|hour| {
            let mut quantiles = [0.0; PROFILE_LEVELS.len()];
            let mut weights = 0.0;
            for sibling in siblings {
                if let Some(cell) = sibling.candidate.profile.cell(hour) {
                    for (sum, value) in quantiles.iter_mut().zip(cell) {
                        *sum += sibling.weight * value;
                    }
                    weights += sibling.weight;
                }
            }
            (weights > 0.0).then(|| quantiles.map(|sum| sum / weights))
        })
        .collect();
    Some(BorrowedProfile {
        week: WeekProfile { cells },
        from: siblings
            .iter()
            .map(|sibling| sibling.candidate.name.clone())
            .collect(),
    })
}

/// A week that a young series can be scaled to.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct BorrowedProfile {
    /// The normalised week.
    pub week: WeekProfile,
    /// From whom.
    pub from: Vec<String>,
}

impl BorrowedProfile {
    /// Fits the week to what a young series has: its level, how much of the shape it follows, and how far it
    /// strays, the last two drawn to the siblings' the more the less there is. `None` where the profile knows
    /// none of those hours, or only as zero.
    pub fn fitted_to(&self, young: &Grid) -> Option<FittedProfile> {
        let pairs: Vec<(f64, &[f64; 5])> = young
            .values()
            .iter()
            .enumerate()
            .filter_map(|(at, value)| {
                let cell = self.week.cell(hour_of_week(young.time_s(at)))?;
                Some(((*value)?, cell))
            })
            .collect();
        let values: Vec<f64> = pairs.iter().map(|(value, _)| *value).collect();
        let middles: Vec<f64> = pairs.iter().map(|(_, cell)| cell[2]).collect();
        let (value, middle) = (mean(&values), mean(&middles));
        if middle <= 1e-6 {
            return None;
        }
        let level = value / middle;
        let pieces = (young.end_s() - young.start_s()) as f64 / PIECE_S;
        let trust = pieces / (pieces + SIBLINGS_WEIGHT);
        let amplitude = trust * amplitude(&pairs, value, middle) + (1.0 - trust);
        let fit = |cell: &[f64; 5]| value + amplitude * level * (cell[2] - middle);
        let away: Vec<f64> = pairs
            .iter()
            .map(|(y, cell)| (y - fit(cell)).abs())
            .collect();
        let usual: Vec<f64> = pairs
            .iter()
            .map(|(_, cell)| level * (cell[3] - cell[1]) / 2.0)
            .collect();
        let (away, usual) = (mean(&away), mean(&usual));
        let spread = if usual > 0.0 {
            (trust * away / usual + 1.0 - trust).min(SPREAD_MAX)
        } else {
            1.0
        };
        let own = own_day(young, |at_s| self.week.cell(hour_of_week(at_s)).map(fit));
        Some(FittedProfile {
            own: own.map(|rest| rest * young.scale()),
            week: self.week.clone(),
            level: level * young.scale(),
            middle,
            amplitude,
            spread,
        })
    }
}

/// What a series has beside a fit at each hour of the day (UTC), drawn to 0 the more the fewer days it has.
fn own_day(young: &Grid, fit: impl Fn(i64) -> Option<f64>) -> [f64; 24] {
    let mut sums = [(0.0, 0.0); 24];
    for (at, value) in young.values().iter().enumerate() {
        let at_s = young.time_s(at);
        if let Some((value, fit)) = (*value).zip(fit(at_s)) {
            let (sum, days) = &mut sums[position(at_s.rem_euclid(DAY_S) / 3_600)];
            let part = young.interval_s() as f64 / 3_600.0;
            *sum += part.min(1.0) * (value - fit);
            *days += part.min(1.0);
        }
    }
    sums.map(|(sum, days)| sum / (days + OWN_DAYS))
}

/// The slope of values over profile, as a share of what pure scaling has.
fn amplitude(pairs: &[(f64, &[f64; 5])], value: f64, middle: f64) -> f64 {
    let mut product = 0.0;
    let mut square = 0.0;
    for (own, cell) in pairs {
        product += (own - value) * (cell[2] - middle);
        square += (cell[2] - middle).powi(2);
    }
    if square > 1e-12 && value > 0.0 {
        (product / square * middle / value).clamp(0.0, AMPLITUDE_MAX)
    } else {
        1.0
    }
}

/// A borrowed week at the level of a young series.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct FittedProfile {
    week: WeekProfile,
    /// What the series itself has beside the fit at each hour of the day.
    own: [f64; 24],
    /// What a profile's 1 is, in the metric's unit.
    pub level: f64,
    /// Mean of the profile over the hours that were fitted.
    middle: f64,
    /// How much of the shape the series follows: 0 flat, 1 like the siblings.
    pub amplitude: f64,
    /// How far it strays from it, 1 like the siblings.
    pub spread: f64,
}

impl FittedProfile {
    /// Quantiles at [`PROFILE_LEVELS`] for a time, in the metric's unit.
    pub fn quantiles(&self, at_s: i64) -> Option<[f64; 5]> {
        let cell = self.week.cell(hour_of_week(at_s))?;
        let own = self.own[position(at_s.rem_euclid(DAY_S) / 3_600)];
        let middle = self.middle + self.amplitude * (cell[2] - self.middle);
        Some(cell.map(|ratio| {
            let ratio = middle + self.spread * (ratio - cell[2]);
            (self.level * ratio + own).max(0.0)
        }))
    }
}

/// Hour of the week of a time in UTC, Monday 00:00 first.
fn hour_of_week(at_s: i64) -> usize {
    // The epoch was a Thursday.
    let seconds = (at_s.rem_euclid(7 * DAY_S) + 3 * DAY_S) % (7 * DAY_S);
    position(seconds / 3_600)
}
