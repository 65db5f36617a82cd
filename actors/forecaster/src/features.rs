//! Turns a series at an origin into a row for the network.
//!
//! Invariants: a row reads samples at or before its origin alone, and of the future only the calendar and
//! announced events. All values are relative to the row's level, in units of its scale; large ones are
//! squashed. It trains nothing and stores nothing.

use crate::network::{
    CANDIDATES, ENCODER_FEATURES, ENCODER_STEPS, FeatureRow, STATIC_FEATURES, STEP_FEATURES,
};
use crate::numeric::{narrow, squash};
use crate::series::{DAY_S, Series};
use std::f64::consts::TAU;

/// Days of history that the scale looks at.
const SCALE_DAYS: usize = 28;
/// Days at whose same time a step looks back.
const LOOKBACK_DAYS: usize = 7;
/// Smallest scale as a share of the mean: below it a series counts as constant.
const SCALE_SHARE_MIN: f64 = 0.003;
/// Scale of a series that is zero throughout, in its own unit.
const SCALE_OF_ZEROS: f64 = 1e-3;

/// How a row's values relate to the series' own unit: `value = level + scale * normalised`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct RowScale {
    /// Mean of the last day.
    pub level: f64,
    /// Mean change from day to day, with a floor; above 0.
    pub scale: f64,
}

impl RowScale {
    /// Measures level and scale at an origin.
    pub fn at(series: &Series, origin: usize) -> Self {
        let day = series.steps_per_day();
        let level = series.mean(origin, day);
        let typical = series.mean(origin, SCALE_DAYS * day);
        let (day_change, pairs) = series.day_change(origin, SCALE_DAYS * day);
        let change = if pairs * 2.0 >= day as f64 {
            day_change
        } else {
            2.0 * series.step_change(origin, SCALE_DAYS * day)
        };
        let floor = SCALE_SHARE_MIN * typical;
        let scale = change.max(floor);
        Self {
            level,
            scale: if scale > 0.0 { scale } else { SCALE_OF_ZEROS },
        }
    }

    /// Expresses a value of the series in the row's units.
    pub fn normalise(&self, value: f64) -> f64 {
        (value - self.level) / self.scale
    }

    /// Turns a normalised value into one of the series, at least 0.
    pub fn restore(&self, normalised: f64) -> f64 {
        (self.level + self.scale * normalised).max(0.0)
    }
}

/// Fills a row for the origin `origin`, and says how to read what the network answers.
///
/// The horizon is that of the row. Cost: a few hundred look-ups per step, independent of the history's
/// length apart from one pass over the last day.
pub fn fill_row(series: &Series, origin: usize, row: &mut FeatureRow<'_>) -> RowScale {
    let scale = RowScale::at(series, origin);
    fill_encoder(series, origin, scale, row.encoder);
    fill_statics(series, origin, scale, row.statics);
    let steps = row.steps.chunks_exact_mut(STEP_FEATURES);
    let candidates = row.candidates.chunks_exact_mut(CANDIDATES);
    for (index, (step, candidates)) in steps.zip(candidates).enumerate() {
        StepView::new(series, origin, index + 1, scale).fill(step, candidates);
    }
    scale
}

fn fill_encoder(series: &Series, origin: usize, scale: RowScale, encoder: &mut [f32]) {
    let day = series.steps_per_day();
    for (index, features) in encoder.chunks_exact_mut(ENCODER_FEATURES).enumerate() {
        let back = ENCODER_STEPS - 1 - index;
        let Some(at) = origin.checked_sub(back) else {
            features.fill(0.0);
            features[1] = 1.0;
            continue;
        };
        let carried = series.carried(at);
        let (hour_sin, hour_cos) = turn(series.time_s(at), DAY_S);
        let (day_change, has_day) = change_since(series, at, day, scale);
        let (week_change, has_week) = change_since(series, at, 7 * day, scale);
        features.copy_from_slice(&[
            squash(scale.normalise(carried)),
            flag(series.value(at).is_none()),
            day_change,
            has_day,
            week_change,
            has_week,
            hour_sin,
            hour_cos,
            flag(series.is_holiday(at)) + 0.5 * flag(series.is_event(at)),
            flag(carried == 0.0),
        ]);
    }
}

fn fill_statics(series: &Series, origin: usize, scale: RowScale, statics: &mut [f32]) {
    let day = series.steps_per_day();
    let week = 7 * day;
    let ratio = |value: f64| squash(value / scale.scale);
    let (week_change, week_pairs) = series.week_change(origin, SCALE_DAYS * day);
    let (day_change_now, _) = series.day_change(origin, day);
    let (day_change_late, _) = series.day_change(origin, (day / 24).max(6));
    let typical = series.mean(origin, SCALE_DAYS * day);
    let day_before = series.mean(origin.saturating_sub(day), day);
    let first = (origin + 1).saturating_sub(day);
    let (low, high) = (first..=origin).fold((f64::MAX, 0.0_f64), |(low, high), at| {
        let value = series.carried(at);
        (low.min(value), high.max(value))
    });
    let filled: [f32; STATIC_FEATURES] = [
        narrow(((series.interval_s() as f64 / 300.0).ln() / 12.0_f64.ln()).clamp(0.0, 1.0)),
        narrow((scale.scale / (typical + 1e-9)).ln().clamp(-3.0, 3.0) / 3.0),
        narrow(series.zero_share(origin, week)),
        narrow(series.seen_share(origin, week)),
        narrow((1.0 + (origin + 1).min(SCALE_DAYS * day) as f64 / day as f64).ln() / 4.0),
        ratio(series.step_change(origin, week)),
        ratio(week_change),
        flag(week_pairs > 0.5),
        ratio(series.step_change(origin, 6)),
        ratio(scale.level - day_before),
        ratio(scale.level - series.mean(origin, week)),
        ratio(high - scale.level),
        ratio(low - scale.level),
        // Far above zero the distance to it tells nothing more.
        ratio(scale.level).min(3.0),
        ratio(day_change_now),
        ratio(day_change_late),
    ];
    statics.copy_from_slice(&filled);
}

/// One step ahead, and the places in the past that resemble it.
struct StepView<'series> {
    series: &'series Series,
    origin: usize,
    target: usize,
    ahead: usize,
    scale: RowScale,
    /// Steps back to the nearest same time of day that is already past.
    day_back: usize,
    /// Steps back to the nearest same time of week that is already past.
    week_back: usize,
}

impl<'series> StepView<'series> {
    fn new(series: &'series Series, origin: usize, ahead: usize, scale: RowScale) -> Self {
        let day = series.steps_per_day();
        Self {
            series,
            origin,
            target: origin + ahead,
            ahead,
            scale,
            day_back: ahead.div_ceil(day) * day,
            week_back: ahead.div_ceil(7 * day) * 7 * day,
        }
    }

    /// The observed value `back` steps before the target.
    fn lag(&self, back: usize) -> Option<f64> {
        let at = self.target.checked_sub(back)?;
        (at <= self.origin).then(|| self.series.value(at)).flatten()
    }

    fn lag_smooth(&self, back: usize, reach: usize) -> Option<f64> {
        let at = self.target.checked_sub(back)?;
        (at <= self.origin).then(|| self.series.smooth(at, reach, self.origin))
    }

    fn fill(&self, step: &mut [f32], candidates: &mut [f32]) {
        let day = self.series.steps_per_day();
        let reach = (day / 96).max(1);
        let mut same_time: Vec<f64> = (0..LOOKBACK_DAYS)
            .filter_map(|days| self.lag(self.day_back + days * day))
            .collect();
        let values = self.candidates(&mut same_time, reach);
        for (slot, value) in candidates.iter_mut().zip(&values) {
            *slot = narrow(self.scale.normalise(*value).clamp(-200.0, 200.0));
        }
        let (head, tail) = step.split_at_mut(CANDIDATES);
        for (slot, value) in head.iter_mut().zip(&values) {
            *slot = squash(self.scale.normalise(*value));
        }
        self.fill_context(&same_time, reach, tail);
    }

    /// The simple forecasts; each falls back on a plainer one where its past is missing.
    fn candidates(&self, same_time: &mut [f64], reach: usize) -> [f64; CANDIDATES] {
        let (series, origin) = (self.series, self.origin);
        let day = series.steps_per_day();
        let level = self.scale.level;
        same_time.sort_by(f64::total_cmp);
        let seven = if same_time.is_empty() {
            level
        } else {
            same_time.iter().sum::<f64>() / same_time.len() as f64
        };
        let middle = same_time.get(same_time.len() / 2).copied().unwrap_or(level);
        let day_lag = self.lag(self.day_back).unwrap_or(middle);
        let day_smooth = self
            .lag_smooth(self.day_back, reach)
            .unwrap_or(series.mean(origin, 3));
        let week_lag = self.lag(self.week_back).unwrap_or(seven);
        let week_smooth = self.lag_smooth(self.week_back, reach).unwrap_or(seven);
        let recent = (day / 8).max(1);
        let drift = if origin >= day + recent {
            series.mean(origin, recent) - series.mean(origin - day, recent)
        } else {
            0.0
        };
        let week_drift = if origin >= 8 * day {
            level - series.mean(origin - 7 * day, day)
        } else {
            0.0
        };
        [
            series.carried(origin),
            series.mean(origin, 3),
            series.mean(origin, (day / 24).max(6)),
            day_lag,
            day_smooth,
            week_lag,
            week_smooth,
            seven,
            self.weeks_mean(reach).unwrap_or(week_smooth),
            day_smooth + drift,
            week_smooth + week_drift,
            middle,
            self.same_kind_mean(reach).unwrap_or(seven),
        ]
    }

    /// Mean of the same time of week over four weeks.
    fn weeks_mean(&self, reach: usize) -> Option<f64> {
        let week = 7 * self.series.steps_per_day();
        let mut sum = 0.0;
        let mut count = 0.0;
        for weeks in 0..4 {
            if let Some(value) = self.lag_smooth(self.week_back + weeks * week, reach) {
                sum += value;
                count += 1.0;
            }
        }
        (count > 0.0).then(|| sum / count)
    }

    /// Mean of the same time on the latest days that are off, or on, as the target's is.
    fn same_kind_mean(&self, reach: usize) -> Option<f64> {
        let day = self.series.steps_per_day();
        let off = self.series.is_day_off(self.target);
        let wanted = if off { 2 } else { 4 };
        let mut sum = 0.0;
        let mut count = 0;
        for days in 0..21 {
            let back = self.day_back + days * day;
            let Some(at) = self.target.checked_sub(back) else {
                break;
            };
            if self.series.is_day_off(at) == off && self.series.value(at).is_some() {
                sum += self.series.smooth(at, reach, self.origin);
                count += 1;
            }
            if count == wanted {
                break;
            }
        }
        (count > 0).then(|| sum / f64::from(count))
    }

    fn fill_context(&self, same_time: &[f64], reach: usize, tail: &mut [f32]) {
        let (series, scale) = (self.series, self.scale);
        let day = series.steps_per_day();
        let middle = same_time.get(same_time.len() / 2).copied();
        let spread = middle.map_or(0.0, |middle| {
            let total: f64 = same_time.iter().map(|value| (value - middle).abs()).sum();
            total / same_time.len() as f64
        });
        let (low, high) = self.reach_of_days(reach);
        let (hour_sin, hour_cos) = turn(series.time_s(self.target), DAY_S);
        let (week_sin, week_cos) = turn(series.time_s(self.target), 7 * DAY_S);
        let day_at = self.target.saturating_sub(self.day_back);
        let week_at = self.target.saturating_sub(self.week_back);
        let share = self.ahead as f64 / 48.0;
        let hours = self.ahead as f64 * series.interval_s() as f64 / 3600.0;
        let kinds_agree = series.is_day_off(self.target) == series.is_day_off(day_at);
        tail.copy_from_slice(&[
            flag(self.lag(self.day_back).is_some()),
            flag(self.lag(self.week_back).is_some()),
            flag(self.lag(self.week_back + 7 * day).is_some()),
            squash(spread / scale.scale),
            squash(scale.normalise(low)),
            squash(scale.normalise(high)),
            hour_sin,
            hour_cos,
            week_sin,
            week_cos,
            flag(series.weekday(self.target) >= 5),
            flag(series.is_holiday(self.target)),
            flag(series.is_event(self.target)),
            flag(series.is_holiday(day_at)),
            flag(series.is_holiday(week_at)),
            flag(series.is_event(day_at)),
            flag(kinds_agree),
            narrow(share),
            narrow(share.sqrt()),
            narrow(hours.asinh() / 4.0),
        ]);
    }

    /// Lowest and highest value around the same time of the days before.
    fn reach_of_days(&self, reach: usize) -> (f64, f64) {
        let day = self.series.steps_per_day();
        let mut bounds: Option<(f64, f64)> = None;
        for days in 0..LOOKBACK_DAYS {
            let Some(at) = self.target.checked_sub(self.day_back + days * day) else {
                break;
            };
            for near in [at.saturating_sub(reach), at, at + reach] {
                if near <= self.origin {
                    let value = self.series.carried(near);
                    let (low, high) = bounds.unwrap_or((value, value));
                    bounds = Some((low.min(value), high.max(value)));
                }
            }
        }
        bounds.unwrap_or((self.scale.level, self.scale.level))
    }
}

fn change_since(series: &Series, at: usize, lag: usize, scale: RowScale) -> (f32, f32) {
    let before = at.checked_sub(lag).and_then(|before| series.value(before));
    match (series.value(at), before) {
        (Some(now), Some(before)) => (squash((now - before) / scale.scale), 1.0),
        _ => (0.0, 0.0),
    }
}

/// Position in a cycle as sine and cosine.
fn turn(time_s: i64, cycle_s: i64) -> (f32, f32) {
    let angle = TAU * time_s.rem_euclid(cycle_s) as f64 / cycle_s as f64;
    (narrow(angle.sin()), narrow(angle.cos()))
}

fn flag(set: bool) -> f32 {
    f32::from(u8::from(set))
}

/// Truth of the steps after an origin in the row's units; `None` where nothing was observed.
pub fn targets(
    series: &Series,
    origin: usize,
    horizon: usize,
    scale: RowScale,
) -> Vec<Option<f64>> {
    (1..=horizon)
        .map(|ahead| {
            let value = series.value(origin.saturating_add(ahead))?;
            Some(scale.normalise(value))
        })
        .collect()
}
