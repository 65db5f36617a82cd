//! Constant, idle, flat, and what is left as noise.

use crate::find::{Found, Series};
use crate::grid::{DAY_S, Grid};
use crate::numeric::{quantile_in, share, signed, spread};
use crate::profile::WeekProfile;
use crate::report::{Detail, EXAMPLES_MAX, Evidence, Pattern};

/// Relative width of values that are one value: rounding of what was measured.
const SAME: f64 = 1e-6;

/// Demand below this share of the busiest tenth is next to none.
const IDLE_SHARE: f64 = 0.01;

/// Least share of samples, and least time, for idleness to be told.
const TOLD_SHARE: f64 = 0.05;

/// Width of what counts as one value, as a share of the busiest tenth, and fewest steps of it.
const FLAT_WIDTH: f64 = 0.001;
const FLAT_STEPS_MIN: usize = 6;

/// Fewest slots that show how much is left.
const SLOTS_MIN: usize = 48;

/// Tells one value; answers whether there was nothing else.
pub(crate) fn constant(series: &Series<'_>, found: &mut Found) -> bool {
    let values = series.grid.values();
    let low = values
        .iter()
        .flatten()
        .copied()
        .fold(f64::INFINITY, f64::min);
    let high = values.iter().flatten().copied().fold(0.0, f64::max);
    if high - low > SAME * high {
        return false;
    }
    let value = high * series.grid.scale();
    if series.grid.observed() < 2 {
        found.not_told("constant", "not enough history: one sample seen".to_owned());
        return true;
    }
    found.patterns.push(Pattern {
        detail: Detail::Constant {
            // All zeros have no scale.
            value: if high > 0.0 { value } else { 0.0 },
        },
        strength: 1.0,
        evidence: Evidence {
            seen_in: Some(series.grid.observed()),
            ..Evidence::default()
        },
    });
    true
}

/// A stretch of idle steps: first one and length.
type Stretch = (usize, usize);

fn stretches(grid: &Grid, limit: f64) -> Vec<Stretch> {
    let mut list: Vec<Stretch> = Vec::new();
    let mut open: Option<Stretch> = None;
    for (at, value) in grid.values().iter().enumerate() {
        if value.is_some_and(|value| value <= limit) {
            let (from, length) = open.unwrap_or((at, 0));
            open = Some((from, length + 1));
        } else if let Some(stretch) = open.take() {
            // A missing sample ends what is known.
            list.push(stretch);
        }
    }
    list.extend(open);
    list
}

pub(crate) fn idle(series: &Series<'_>, found: &mut Found) {
    let grid = series.grid;
    let mut seen: Vec<f64> = grid.values().iter().flatten().copied().collect();
    let zeros = seen.iter().filter(|value| **value <= 0.0).count();
    let count = seen.len();
    let limit = IDLE_SHARE * quantile_in(&mut seen, 0.9);
    let mut list = stretches(grid, limit);
    let idle: usize = list.iter().map(|(_, length)| length).sum();
    let part = idle as f64 / count.max(1) as f64;
    if part < TOLD_SHARE || count < 2 {
        return;
    }
    list.sort_by_key(|(from, length)| (std::cmp::Reverse(*length), *from));
    let longest = list.first().map_or(0, |(_, length)| *length);
    let examples = list.iter().take(EXAMPLES_MAX);
    found.patterns.push(Pattern {
        detail: Detail::Idle {
            zero_share: zeros as f64 / count.max(1) as f64,
            longest_s: signed(longest) * grid.interval_s(),
        },
        strength: share(part),
        evidence: Evidence {
            seen_in: Some(idle),
            cycles: Some(count),
            examples_s: examples.map(|(from, _)| grid.time_s(*from)).collect(),
            ..Evidence::default()
        },
    });
}

/// Stretches of a day or more whose values stay next to their first.
fn flat_stretches(grid: &Grid, width: f64, floor: f64) -> Vec<Stretch> {
    let mut list: Vec<Stretch> = Vec::new();
    let mut open: Option<(Stretch, f64)> = None;
    for (at, value) in grid.values().iter().enumerate() {
        let value = value.filter(|value| *value > floor);
        match (open.as_mut(), value) {
            (Some(((_, length), first)), Some(value)) if (value - *first).abs() <= width => {
                *length += 1;
            }
            _ => {
                list.extend(open.take().map(|(stretch, _)| stretch));
                open = value.map(|value| ((at, 1), value));
            }
        }
    }
    list.extend(open.map(|(stretch, _)| stretch));
    list.retain(|(_, length)| {
        *length >= FLAT_STEPS_MIN && signed(*length) * grid.interval_s() >= DAY_S
    });
    list
}

pub(crate) fn flat(series: &Series<'_>, found: &mut Found) {
    let grid = series.grid;
    let mut seen: Vec<f64> = grid.values().iter().flatten().copied().collect();
    let count = seen.len();
    let busy = quantile_in(&mut seen, 0.9);
    let mut list = flat_stretches(grid, FLAT_WIDTH * busy, IDLE_SHARE * busy);
    let flat: usize = list.iter().map(|(_, length)| length).sum();
    list.sort_by_key(|(from, length)| (std::cmp::Reverse(*length), *from));
    let Some((_, longest)) = list.first().copied() else {
        return;
    };
    found.patterns.push(Pattern {
        detail: Detail::Flat {
            longest_s: signed(longest) * grid.interval_s(),
        },
        strength: share(flat as f64 / count.max(1) as f64),
        evidence: Evidence {
            seen_in: Some(flat),
            cycles: Some(count),
            examples_s: list
                .iter()
                .take(EXAMPLES_MAX)
                .map(|(from, _)| grid.time_s(*from))
                .collect(),
            ..Evidence::default()
        },
    });
}

/// What the usual week and the level leave.
pub(crate) fn noise(series: &Series<'_>, found: &mut Found) {
    let slots = &series.slots;
    let week = WeekProfile::of_slots(slots);
    let rest: Vec<f64> = (0..slots.values.len())
        .filter_map(|at| {
            let (day, slot) = (at / slots.per_day, at % slots.per_day);
            let hour = slots.weekday(day) * 24 + slot * 24 / slots.per_day;
            Some(slots.ratio(day, slot)? - week.middle(hour)?)
        })
        .collect();
    if slots.days() < 14 || rest.len() < SLOTS_MIN {
        let reason = format!("not enough history: {} days seen, 14 needed", slots.days());
        found.not_told("noise", reason);
        return;
    }
    let sd = spread(&rest);
    found.patterns.push(Pattern {
        detail: Detail::Noise { share: sd },
        strength: share(sd),
        evidence: Evidence {
            size: Some(sd * series.level()),
            size_share: Some(sd),
            ..Evidence::default()
        },
    });
}
