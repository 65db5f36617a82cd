//! Short rises above the usual, on the series' own steps.

use crate::find::Series;
use crate::grid::Grid;
use crate::numeric::{MAD_TO_SD, mean, median_in, quantile_in, rounded, signed};

/// Shortest step: below, samples are averaged to a minute.
const STEP_S_MIN: i64 = 60;

/// Latest steps looked at: six weeks of minutes, or seven months of five minutes.
const STEPS_MAX: usize = 65_536;

/// Time around a step that makes what is usual there; a burst lasts up to half of it.
const AROUND_S: i64 = 9 * 3_600;

/// Fewest steps of it.
const AROUND_MIN: usize = 9;

/// Most steps of it: enough for minutes.
const AROUND_MAX: usize = 541;

/// Height from which a rise is a burst, in robust standard deviations.
const HEIGHT_SDS: f64 = 6.0;

/// And as a share of the highest rises, so that ripples beside large bursts are none.
const HEIGHT_SHARE: f64 = 0.15;

/// And as a share of the median of what is not zero: less is no burst of demand.
const LEVEL_SHARE: f64 = 0.1;

/// Bursts more often than one in this many steps are no bursts.
const STEPS_PER_BURST: usize = 4;

/// A burst.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Burst {
    /// First step.
    pub(crate) start: usize,
    /// Steps.
    pub(crate) length: usize,
    /// Highest rise above the usual (scaled).
    pub(crate) height: f64,
    /// Share of the squared deviations from the mean that lies in its steps.
    pub(crate) variance_share: f64,
}

/// The bursts of a series, and the steps that they are counted in.
pub(crate) struct Bursts {
    pub(crate) list: Vec<Burst>,
    pub(crate) first_s: i64,
    pub(crate) step_s: i64,
    pub(crate) steps: usize,
}

impl Bursts {
    pub(crate) fn of(series: &Series<'_>) -> Self {
        let (first_s, step_s, values) = steps(series.grid);
        let rises = rises(&values, step_s);
        let threshold = threshold(&values, &rises);
        let around = around(step_s);
        let mut list: Vec<Burst> = Vec::new();
        for (at, rise) in rises.iter().enumerate() {
            let Some(rise) = rise.filter(|rise| *rise > threshold) else {
                continue;
            };
            match list.last_mut() {
                // One step below does not end a burst of several.
                Some(last) if at <= last.start + last.length && last.length > 0 => {
                    last.length = at + 1 - last.start;
                    last.height = last.height.max(rise);
                }
                _ => list.push(Burst {
                    start: at,
                    length: 1,
                    height: rise,
                    variance_share: 0.0,
                }),
            }
        }
        list.retain(|burst| burst.length <= around / 2);
        let steps = values.len();
        if list.len() * STEPS_PER_BURST > steps {
            list.clear();
        }
        share_out(&values, &mut list);
        Self {
            list,
            first_s,
            step_s,
            steps,
        }
    }

    /// Time of a step, in epoch seconds.
    pub(crate) fn time_s(&self, step: usize) -> i64 {
        self.first_s + self.step_s * signed(step)
    }
}

/// The latest steps of a minute or more.
fn steps(grid: &Grid) -> (i64, i64, Vec<Option<f64>>) {
    let interval_s = grid.interval_s();
    let merged = usize::try_from((STEP_S_MIN + interval_s - 1) / interval_s).unwrap_or(1);
    let merged = merged.max(1);
    let all = grid.values();
    let from = all.len().saturating_sub(STEPS_MAX * merged);
    let values = all[from..]
        .chunks(merged)
        .map(|chunk| {
            let (sum, count) = chunk
                .iter()
                .flatten()
                .fold((0.0, 0.0), |(sum, count), value| (sum + value, count + 1.0));
            (count > 0.0).then(|| sum / count)
        })
        .collect();
    let step_s = interval_s * signed(merged);
    (grid.time_s(from), step_s, values)
}

fn around(step_s: i64) -> usize {
    let steps = usize::try_from(AROUND_S / step_s).unwrap_or(AROUND_MIN);
    steps.clamp(AROUND_MIN, AROUND_MAX)
}

/// How far each step lies above the median around it.
fn rises(values: &[Option<f64>], step_s: i64) -> Vec<Option<f64>> {
    let around = around(step_s);
    let stride = (around / 8).max(1);
    let mut window = Vec::with_capacity(around);
    // The median at every stride, straight lines between.
    let anchors: Vec<f64> = (0..=values.len() / stride + 1)
        .map(|anchor| {
            let middle = anchor * stride;
            let to = (middle + around / 2 + 1).min(values.len());
            let from = middle.saturating_sub(around / 2).min(to);
            window.clear();
            window.extend(values[from..to].iter().flatten());
            median_in(&mut window)
        })
        .collect();
    values
        .iter()
        .enumerate()
        .map(|(at, value)| {
            let part = (at % stride) as f64 / stride as f64;
            let anchor = at / stride;
            let usual = anchors[anchor] * (1.0 - part) + anchors[anchor + 1] * part;
            Some((*value)? - usual)
        })
        .collect()
}

fn threshold(values: &[Option<f64>], rises: &[Option<f64>]) -> f64 {
    let mut sizes: Vec<f64> = rises.iter().flatten().map(|rise| rise.abs()).collect();
    let spread = MAD_TO_SD * median_in(&mut sizes);
    let mut seen: Vec<f64> = rises.iter().flatten().copied().collect();
    let highest = quantile_in(&mut seen, 0.999);
    let mut positive: Vec<f64> = values.iter().flatten().copied().collect();
    positive.retain(|value| *value > 0.0);
    let level = median_in(&mut positive);
    (HEIGHT_SDS * spread)
        .max(HEIGHT_SHARE * highest)
        .max(LEVEL_SHARE * level)
}

/// Tells each burst its part of the squared deviations from the mean.
fn share_out(values: &[Option<f64>], bursts: &mut [Burst]) {
    let seen: Vec<f64> = values.iter().flatten().copied().collect();
    let middle = mean(&seen);
    let away = |values: &mut dyn Iterator<Item = f64>| -> f64 {
        values.map(|value| (value - middle).powi(2)).sum()
    };
    let total = away(&mut seen.iter().copied());
    if total <= 0.0 {
        return;
    }
    for burst in bursts {
        let own = &values[burst.start..burst.start + burst.length];
        burst.variance_share = away(&mut own.iter().flatten().copied()) / total;
    }
}

/// The median length of some bursts, in steps.
pub(crate) fn usual_length(bursts: &[Burst]) -> usize {
    let mut lengths: Vec<f64> = bursts.iter().map(|burst| burst.length as f64).collect();
    rounded(median_in(&mut lengths)).max(1)
}

/// The median height of some bursts (scaled).
pub(crate) fn usual_height(bursts: &[Burst]) -> f64 {
    let mut heights: Vec<f64> = bursts.iter().map(|burst| burst.height).collect();
    median_in(&mut heights)
}
