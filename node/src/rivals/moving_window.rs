//! A moving window after the horizontal scaling of Google's Autopilot.
//!
//! Source: Rzadca et al., "Autopilot: workload autoscaling at Google", `EuroSys` 2020, section 3.3: as many
//! replicas as a statistic of the usage over a window asks for at the target utilisation, and a scale-down
//! deferred by the largest wish of some time. Here the statistic is the 95th percentile over 72 hours of
//! means of five minutes, and a scale-down waits for two days.

use super::case::TierCase;
use super::lifetimes::{VmLife, lifetimes_of_counts};
use super::reactive::{ReactiveSettings, initial};
use std::collections::VecDeque;

/// Length of a block whose mean is one value of the window.
const BLOCK_S: usize = 300;

/// Length of the window.
const WINDOW_S: usize = 72 * 3_600;

/// How long the largest wish holds off a scale-down.
const DEFERRED_S: usize = 2 * 86_400;

/// The window's statistic.
const PERCENTILE: f64 = 0.95;

/// What the window asks for at each step of a case's window, in units; the same for every target.
///
/// Cost: O(n w) in the number of blocks and the length of the window, with small factors.
pub fn window_wishes(case: &TierCase) -> Vec<f64> {
    let interval = case.interval.0.max(1) as usize;
    let steps = case.demand.len();
    let load = case.units_carried();
    let width = (BLOCK_S / interval).max(1);
    let block_s = interval * width;
    let whole = load.len() / width;
    let means = load
        .chunks_exact(width)
        .map(|block| block.iter().sum::<f64>() / width as f64);
    let statistics = rolling_percentile(means, (WINDOW_S / block_s).max(1));
    let wishes = rolling_maximum(&statistics, (DEFERRED_S / block_s).max(1));
    debug_assert_eq!(wishes.len(), whole, "one wish per block");
    (load.len() - steps..load.len())
        .map(|step| {
            // The last block that was complete before the step.
            let block = (step / width).saturating_sub(1);
            wishes.get(block).copied().unwrap_or(0.0)
        })
        .collect()
}

/// The percentile of the last `length` values, interpolated between its neighbours.
fn rolling_percentile(values: impl Iterator<Item = f64>, length: usize) -> Vec<f64> {
    let mut window: VecDeque<f64> = VecDeque::new();
    let mut sorted: Vec<f64> = Vec::new();
    let place = |sorted: &[f64], value: f64| sorted.partition_point(|one| *one < value);
    values
        .map(|value| {
            window.push_back(value);
            sorted.insert(place(&sorted, value), value);
            if window.len() > length
                && let Some(oldest) = window.pop_front()
            {
                sorted.remove(place(&sorted, oldest));
            }
            interpolated(&sorted, PERCENTILE)
        })
        .collect()
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a place within the window"
)]
fn interpolated(sorted: &[f64], share: f64) -> f64 {
    let at = share * sorted.len().saturating_sub(1) as f64;
    let lower = sorted.get(at.floor() as usize).copied().unwrap_or(0.0);
    let upper = sorted.get(at.ceil() as usize).copied().unwrap_or(lower);
    lower + (upper - lower) * (at - at.floor())
}

/// The largest of the last `length` values.
fn rolling_maximum(values: &[f64], length: usize) -> Vec<f64> {
    let mut best: VecDeque<(usize, f64)> = VecDeque::new();
    let mut found = Vec::with_capacity(values.len());
    for (at, value) in values.iter().enumerate() {
        while best.back().is_some_and(|(_, last)| last <= value) {
            best.pop_back();
        }
        best.push_back((at, *value));
        while best.front().is_some_and(|(first, _)| first + length <= at) {
            best.pop_front();
        }
        found.push(best.front().map_or(*value, |(_, most)| *most));
    }
    found
}

/// Serves a tier by the moving window with its cheapest VM type per unit of capacity.
pub fn moving_window(case: &TierCase, wishes: &[f64], settings: &ReactiveSettings) -> Vec<VmLife> {
    let Some((option, _)) = case.cheapest() else {
        return Vec::new();
    };
    let counts = moving_window_counts(case, wishes, settings);
    lifetimes_of_counts(case, option, initial(case), &counts)
}

/// Computes the wanted count per interval of the window.
pub fn moving_window_counts(
    case: &TierCase,
    wishes: &[f64],
    settings: &ReactiveSettings,
) -> Vec<u32> {
    let counts = wishes
        .iter()
        .map(|units| case.bounded(case.covering_units(settings.scaled(*units)).max(1)));
    counts.collect()
}
