//! A predictive policy after the predictive scaling of AWS: the reactive autoscaler with a floor from an
//! hourly forecast.
//!
//! Source: AWS documentation, predictive scaling for EC2 Auto Scaling: hourly forecasts for two days, made
//! again every six hours from up to 14 days of history, of which 24 hours are the least; capacity is there
//! from a buffer before the hour; together with dynamic scaling the larger of the two counts. The model
//! itself is secret. Here it is the mean of the same hour of the last three days and of one and two weeks
//! ago, of hours that were complete when the forecast was made.

use super::case::TierCase;
use super::lifetimes::{VmLife, lifetimes_of_changes};
use super::reactive::{ReactiveSettings, initial, reactive_counts_above};
use twinscale_protocol::DomainTime;

const HOUR: i64 = 3_600;

/// Hours between two forecasts.
const REFRESH_HOURS: i64 = 6;

/// Hours of history that a forecast needs.
const HISTORY_HOURS: usize = 24;

/// How long before its hour capacity is asked for at the latest.
const BUFFER_S: i64 = 300;

/// The hourly forecast of one tier's demand, in units; the same for every target.
#[derive(Clone, Debug, PartialEq)]
pub struct HourlyForecast {
    /// Per step of the window: the forecast to be held from the step's start.
    held: Vec<f64>,
    /// Per step of the window: the forecast of the step that the buffer's rest reaches into.
    ahead: Vec<f64>,
    /// Seconds before a step's end from which the rest of the buffer counts; 0 = it fills whole steps.
    rest: i64,
}

impl HourlyForecast {
    /// Makes the forecasts that were in force over a case's window.
    ///
    /// Cost: O(n) in the number of intervals.
    pub fn of(case: &TierCase) -> Self {
        let interval = i64::from(case.interval.0.max(1));
        let steps = case.demand.len();
        let load = case.units_carried();
        let before = load.len() - steps;
        let first_at = case
            .start
            .0
            .saturating_sub(interval.saturating_mul(index(before)));
        let hour_of = |step: usize| {
            first_at
                .saturating_add(index(step).saturating_mul(interval))
                .div_euclid(HOUR)
        };
        let first_hour = hour_of(0);
        let place = |step: usize| usize::try_from(hour_of(step) - first_hour).unwrap_or(0);
        let forecasts = forecasts(&hourly_means(&load, place), first_hour);
        // An interval of hours holds the forecast of its first one: finer ones are not known.
        let of_step = |step: usize| {
            if step >= load.len() {
                return 0.0;
            }
            forecasts.get(place(step)).copied().flatten().unwrap_or(0.0)
        };
        let buffer = BUFFER_S.max(i64::from(case.start_up.0));
        let whole = usize::try_from(buffer / interval).unwrap_or(0);
        let held = (before..load.len()).map(|step| of_step(step).max(of_step(step + whole)));
        let ahead = (before..load.len()).map(|step| of_step(step + whole + 1));
        Self {
            held: held.collect(),
            ahead: ahead.collect(),
            rest: buffer % interval,
        }
    }
}

fn index(step: usize) -> i64 {
    i64::try_from(step).unwrap_or(i64::MAX)
}

/// The mean demand of each hour; `None` where no interval begins in it.
fn hourly_means(load: &[f64], place: impl Fn(usize) -> usize) -> Vec<Option<f64>> {
    let hours = load.len().checked_sub(1).map_or(0, |last| place(last) + 1);
    let mut sums = vec![(0.0, 0_u32); hours];
    for (step, units) in load.iter().enumerate() {
        if let Some((sum, count)) = sums.get_mut(place(step)) {
            *sum += units;
            *count += 1;
        }
    }
    let mean = |(sum, count): (f64, u32)| (count > 0).then(|| sum / f64::from(count));
    sums.into_iter().map(mean).collect()
}

/// The forecast in force for each hour; `None` while there is too little history.
fn forecasts(means: &[Option<f64>], first_hour: i64) -> Vec<Option<f64>> {
    let forecast = |hour: usize| {
        if hour < HISTORY_HOURS {
            return None;
        }
        let into = (first_hour + index(hour)).rem_euclid(REFRESH_HOURS);
        // The buffer acts before the hour starts: when the hour is itself one of a new forecast, the one
        // of six hours before is in force then.
        let age = if into == 0 { REFRESH_HOURS } else { into };
        let made = index(hour) - age;
        let known = |lag: i64| {
            let at = index(hour) - lag;
            if !(0..made).contains(&at) {
                return None;
            }
            means.get(usize::try_from(at).ok()?).copied().flatten()
        };
        let of = |lags: &[i64]| -> Vec<f64> { lags.iter().filter_map(|lag| known(*lag)).collect() };
        let mut days = of(&[24, 48, 72]);
        if days.is_empty() {
            days = of(&[48, 72, 96]);
        }
        if days.is_empty() {
            return None;
        }
        days.extend(of(&[168, 336]));
        Some(days.iter().sum::<f64>() / days.len() as f64)
    };
    (0..means.len()).map(forecast).collect()
}

/// Serves a tier predictively and reactively with its cheapest VM type per unit of capacity.
pub fn predictive(
    case: &TierCase,
    forecast: &HourlyForecast,
    settings: &ReactiveSettings,
) -> Vec<VmLife> {
    let Some((option, _)) = case.cheapest() else {
        return Vec::new();
    };
    let counts = predictive_counts(case, forecast, settings);
    let floors = floors(case, &forecast.ahead, settings);
    let changes = counts.iter().zip(&floors).enumerate();
    let changes = changes.flat_map(|(step, (count, floor))| {
        let start = (case.step_at(step), *count);
        let early = case.step_at(step + 1).0.saturating_sub(forecast.rest);
        let early = (forecast.rest > 0).then_some((DomainTime(early), (*count).max(*floor)));
        std::iter::once(start).chain(early)
    });
    lifetimes_of_changes(case, option, initial(case), changes)
}

/// Computes the wanted count at the start of each interval of the window.
pub fn predictive_counts(
    case: &TierCase,
    forecast: &HourlyForecast,
    settings: &ReactiveSettings,
) -> Vec<u32> {
    reactive_counts_above(case, settings, &floors(case, &forecast.held, settings))
}

fn floors(case: &TierCase, units: &[f64], settings: &ReactiveSettings) -> Vec<u32> {
    let floors = units
        .iter()
        .map(|units| case.covering_units(settings.scaled(*units)));
    floors.collect()
}
