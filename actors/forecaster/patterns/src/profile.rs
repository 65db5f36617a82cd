//! The normalised week: for each weekday and hour the quantiles of demand over its level.

use crate::grid::Grid;
use crate::numeric::{median, quantile_in};
use crate::slots::Slots;
use serde::{Deserialize, Serialize};

/// Hours of a week.
pub const WEEK_HOURS: usize = 168;

/// Quantile levels of a cell.
pub const PROFILE_LEVELS: [f64; 5] = [0.1, 0.25, 0.5, 0.75, 0.9];

/// Latest weeks that make a cell.
const WEEKS_MAX: usize = 26;

/// A normalised week in UTC, Monday 00:00 first. A value of 1 is the level of its time.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct WeekProfile {
    /// Quantiles at [`PROFILE_LEVELS`] by hour of the week; `None` where nothing was observed.
    pub cells: Vec<Option<[f64; 5]>>,
}

impl WeekProfile {
    /// Makes the profile of a series.
    pub fn of(grid: &Grid) -> Self {
        Self::of_slots(&Slots::of(grid))
    }

    pub(crate) fn of_slots(slots: &Slots) -> Self {
        let mut cells: Vec<Vec<f64>> = vec![Vec::new(); WEEK_HOURS];
        let from = slots.days().saturating_sub(7 * WEEKS_MAX);
        for day in from..slots.days() {
            for hour in 0..24 {
                let slot = hour * slots.per_day / 24;
                if let Some(ratio) = slots.ratio(day, slot) {
                    cells[slots.weekday(day) * 24 + hour].push(ratio);
                }
            }
        }
        let quantiles = |values: &mut Vec<f64>| {
            (!values.is_empty()).then(|| PROFILE_LEVELS.map(|level| quantile_in(values, level)))
        };
        Self {
            cells: cells.iter_mut().map(quantiles).collect(),
        }
    }

    /// The quantiles of an hour of the week, if they are known.
    pub fn cell(&self, hour_of_week: usize) -> Option<&[f64; 5]> {
        self.cells.get(hour_of_week)?.as_ref()
    }

    /// The median of an hour of the week, if it is known.
    pub fn middle(&self, hour_of_week: usize) -> Option<f64> {
        self.cell(hour_of_week).map(|cell| cell[2])
    }
}

/// Median over level of each weekday; 1 where a weekday was not seen.
pub(crate) fn weekday_factors(slots: &Slots) -> [f64; 7] {
    let mut by_weekday: [Vec<f64>; 7] = Default::default();
    for day in 0..slots.days() {
        if let Some(ratio) = slots.day_ratio(day) {
            by_weekday[slots.weekday(day)].push(ratio);
        }
    }
    by_weekday.map(|ratios| {
        if ratios.is_empty() {
            1.0
        } else {
            median(&ratios)
        }
    })
}
