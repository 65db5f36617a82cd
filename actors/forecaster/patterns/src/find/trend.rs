//! Growth and steps of the level.
//!
//! Growth is the median slope between all pairs (Theil 1950, Sen 1968) of days, or of weekly medians of long
//! series, that no step lies between; its interval is Sen's, widened for the correlation of neighbours
//! (Hamed and Rao 1998). A step is a jump of the weekly median that is far from what such a week usually
//! changes, and that lasts.

use crate::find::{Found, Series};
use crate::numeric::{MAD_TO_SD, median, median_in, rounded, share, spread};
use crate::report::{Detail, Evidence, Pattern};

/// Days of a month, for rates.
const MONTH_DAYS: f64 = 30.44;

/// Fewest days for a rate.
const DAYS_MIN: usize = 21;

/// From this number of days on, weekly medians.
const DAYS_MANY: usize = 84;

/// Most points of a line: the pairs grow with the square.
const POINTS_MAX: usize = 320;

/// A slower growth is not told, as a share of the level in a month.
const RATE_MIN: f64 = 0.01;

/// Two-sided 95 %.
const Z: f64 = 1.96;

/// Days on each side of a step that are compared, and that it must last.
const SIDE_DAYS: usize = 7;
const LASTS_DAYS: usize = 14;

/// How far a jump must be from usual changes, in robust standard deviations.
const JUMP_SDS: f64 = 5.0;

/// Smallest jump, as a share of the higher level.
const JUMP_MIN: f64 = 0.15;

/// What must be left of a jump after two weeks.
const LASTS_SHARE: f64 = 0.6;

/// From this number of days on, usual changes are known from the series' own.
const DAYS_USUAL: usize = 90;

/// Change of a weekly median of a random walk over its daily changes: 1.5 weeks' root of independent days.
const WALK_FACTOR: f64 = 2.2;

const STEPS_MAX: usize = 8;

pub(crate) fn find(series: &Series<'_>, found: &mut Found) {
    let days = series.even_days();
    let steps = steps(&days);
    growth(series, &days, &steps, found);
    for at in steps {
        push_step(series, &days, at, found);
    }
}

/// Median of the observed days in a span, when at least half were.
fn level(days: &[Option<f64>], from: usize, to: usize) -> Option<f64> {
    let mut seen: Vec<f64> = days[from..to].iter().flatten().copied().collect();
    (2 * seen.len() >= to - from && !seen.is_empty()).then(|| median_in(&mut seen))
}

/// First days of new levels, ascending.
fn steps(days: &[Option<f64>]) -> Vec<usize> {
    let count = days.len();
    if count < 2 * SIDE_DAYS {
        return Vec::new();
    }
    let jumps: Vec<(usize, f64)> = (SIDE_DAYS..=count - SIDE_DAYS)
        .filter_map(|at| {
            let before = level(days, at - SIDE_DAYS, at)?;
            let after = level(days, at, at + SIDE_DAYS)?;
            Some((at, after - before))
        })
        .collect();
    let usual = usual_change(days, &jumps);
    let mut ordered = jumps;
    ordered.sort_by(|left, right| right.1.abs().total_cmp(&left.1.abs()));
    let mut steps: Vec<usize> = Vec::new();
    for (at, jump) in ordered {
        if jump.abs() <= JUMP_SDS * usual || steps.len() == STEPS_MAX {
            break;
        }
        let is_near = |step: &usize| step.abs_diff(at) < LASTS_DAYS;
        if !steps.iter().any(is_near) && lasts(days, at, jump) {
            steps.push(sharpest(days, at));
        }
    }
    steps.sort_unstable();
    steps.dedup();
    steps
}

/// What a weekly median usually changes in a week, as a robust standard deviation.
fn usual_change(days: &[Option<f64>], jumps: &[(usize, f64)]) -> f64 {
    if days.len() >= DAYS_USUAL {
        let mut sizes: Vec<f64> = jumps.iter().map(|(_, jump)| jump.abs()).collect();
        return MAD_TO_SD * median_in(&mut sizes);
    }
    let changes: Vec<f64> = days
        .windows(2)
        .filter_map(|pair| Some(pair[1]? - pair[0]?))
        .collect();
    WALK_FACTOR * spread(&changes)
}

fn lasts(days: &[Option<f64>], at: usize, jump: f64) -> bool {
    let from = at.saturating_sub(LASTS_DAYS);
    let to = (at + LASTS_DAYS).min(days.len());
    let (Some(before), Some(after)) = (level(days, from, at), level(days, at, to)) else {
        return false;
    };
    let kept = after - before;
    kept * jump > 0.0
        && kept.abs() >= LASTS_SHARE * jump.abs()
        && kept.abs() >= JUMP_MIN * after.max(before)
}

/// The day near `at` that best parts low days from high ones.
fn sharpest(days: &[Option<f64>], at: usize) -> usize {
    let Some((before, after)) =
        level(days, at - SIDE_DAYS, at).zip(level(days, at, at + SIDE_DAYS))
    else {
        return at;
    };
    let middle = f64::midpoint(before, after);
    let from = at.saturating_sub(3).max(1);
    let to = (at + 4).min(days.len());
    // The split that leaves fewest days on the wrong side of the middle.
    let wrong = |split: usize| {
        (from..to)
            .filter_map(|day| Some((day, days[day]?)))
            .filter(|(day, value)| (*day >= split) != ((*value > middle) == (after > before)))
            .count()
    };
    (from..to)
        .min_by_key(|split| (wrong(*split), split.abs_diff(at)))
        .unwrap_or(at)
}

fn push_step(series: &Series<'_>, days: &[Option<f64>], at: usize, found: &mut Found) {
    let from = at.saturating_sub(LASTS_DAYS);
    let to = (at + LASTS_DAYS).min(days.len());
    let (Some(before), Some(after)) = (level(days, from, at), level(days, at, to)) else {
        return;
    };
    let scale = series.grid.scale();
    let at_s = series.slots.day_s(at);
    let higher = before.max(after);
    if higher <= 0.0 {
        return;
    }
    found.patterns.push(Pattern {
        detail: Detail::Step {
            at_s,
            from: before * scale,
            to: after * scale,
        },
        strength: share((after - before).abs() / higher),
        evidence: Evidence {
            size: Some((after - before) * scale),
            size_share: (before > 0.0).then(|| after / before - 1.0),
            examples_s: vec![at_s],
            ..Evidence::default()
        },
    });
}

/// A point of the line: day, value, and the number of its stretch between steps.
type Point = (f64, f64, usize);

fn growth(series: &Series<'_>, days: &[Option<f64>], steps: &[usize], found: &mut Found) {
    let seen = days.iter().flatten().count();
    if seen < DAYS_MIN {
        let reason = format!("not enough history: {seen} whole days seen, {DAYS_MIN} needed");
        found.not_told("growth", reason);
        return;
    }
    let points = points(days, steps);
    let values: Vec<f64> = points.iter().map(|point| point.1).collect();
    let usual = median(&values);
    if usual <= 0.0 || points.len() < 4 {
        return;
    }
    let (mut slopes, variance) = slopes(&points);
    if slopes.is_empty() {
        return;
    }
    let slope = median_in(&mut slopes);
    let rest = residuals(&points, slope);
    let inflation = inflation(&rest);
    slopes.sort_unstable_by(f64::total_cmp);
    let reach = Z * (variance * inflation).sqrt();
    let last = slopes.len() - 1;
    let count = slopes.len() as f64;
    let lower = slopes[rounded((count - reach) / 2.0).min(last)];
    let upper = slopes[rounded(f64::midpoint(count, reach)).min(last)];
    let rate = |slope: f64| slope * MONTH_DAYS / usual;
    if lower * upper <= 0.0 || rate(slope).abs() < RATE_MIN {
        return;
    }
    let before = residuals(&points, 0.0);
    let explained = share(1.0 - (spread(&rest) / spread(&before).max(1e-300)).powi(2));
    found.patterns.push(Pattern {
        detail: Detail::Growth {
            per_month: rate(slope),
            lower: rate(lower),
            upper: rate(upper),
        },
        strength: explained,
        evidence: Evidence {
            size: Some(slope * MONTH_DAYS * series.grid.scale()),
            size_share: Some(rate(slope)),
            variance_explained: Some(explained),
            ..Evidence::default()
        },
    });
}

fn points(days: &[Option<f64>], steps: &[usize]) -> Vec<Point> {
    let width = if days.len() < DAYS_MANY {
        1
    } else {
        let needed = days.len().div_ceil(POINTS_MAX);
        7 * needed.div_ceil(7)
    };
    let mut bounds = vec![0];
    bounds.extend(steps);
    bounds.push(days.len());
    let mut points = Vec::new();
    for (stretch, pair) in bounds.windows(2).enumerate() {
        let mut from = pair[0];
        while from + width <= pair[1] {
            if let Some(value) = level(days, from, from + width) {
                points.push((from as f64 + width as f64 / 2.0, value, stretch));
            }
            from += width;
        }
    }
    points
}

/// Slopes between points of the same stretch, and the variance of their number above and below (Kendall).
fn slopes(points: &[Point]) -> (Vec<f64>, f64) {
    let mut slopes = Vec::new();
    for (at, one) in points.iter().enumerate() {
        for other in &points[at + 1..] {
            if one.2 == other.2 {
                slopes.push((other.1 - one.1) / (other.0 - one.0));
            }
        }
    }
    let mut variance = 0.0;
    let last = points.last().map_or(0, |point| point.2);
    for stretch in 0..=last {
        let n = points.iter().filter(|point| point.2 == stretch).count() as f64;
        variance += n * (n - 1.0) * (2.0 * n + 5.0) / 18.0;
    }
    (slopes, variance)
}

/// What is left of each point after the line and the level of its stretch.
fn residuals(points: &[Point], slope: f64) -> Vec<f64> {
    let last = points.last().map_or(0, |point| point.2);
    let mut rest = Vec::with_capacity(points.len());
    for stretch in 0..=last {
        let own = points.iter().filter(|point| point.2 == stretch);
        let even: Vec<f64> = own.map(|(day, value, _)| value - slope * day).collect();
        let middle = median(&even);
        rest.extend(even.iter().map(|value| value - middle));
    }
    rest
}

/// By how much neighbours' correlation widens the variance.
fn inflation(rest: &[f64]) -> f64 {
    let squares: f64 = rest.iter().map(|value| value * value).sum();
    let products: f64 = rest.windows(2).map(|pair| pair[0] * pair[1]).sum();
    if squares <= 0.0 {
        return 1.0;
    }
    let correlation = (products / squares).clamp(0.0, 0.95);
    (1.0 + correlation) / (1.0 - correlation)
}
