//! The last forecast, for a turn that got no fresh one: shifted to the present and widened, in integers.

use crate::state::TwinState;
use twinscale_protocol::forecaster::{ForecastSource, PeakForecast, SeriesForecast};
use twinscale_protocol::quantile::{MEDIAN, PEAK_MEDIAN};
use twinscale_protocol::{DomainTime, FixedValue};

/// By how much every stale turn widens the distances from the median, in per cent: a day without
/// forecasts makes a range ten times as wide.
const WIDENING_PERCENT: i128 = 10;

/// Share of the median, in per cent, that every stale turn adds to both sides, so that a range of no
/// width widens as well.
const SPREAD_PERCENT: i128 = 1;

/// Shifts the forecasts of a state so that they begin at `at`, and widens their ranges; the last step is
/// repeated behind the end. Empty where there never was a forecast.
pub fn shifted_and_widened(state: &TwinState, at: DomainTime) -> Vec<SeriesForecast> {
    let Some(record) = state.forecast() else {
        return Vec::new();
    };
    record
        .forecasts
        .iter()
        .map(|forecast| moved(forecast, at))
        .collect()
}

fn moved(forecast: &SeriesForecast, at: DomainTime) -> SeriesForecast {
    let passed = at.seconds_since(forecast.first_step_at).max(0);
    let offset = passed / i64::from(forecast.interval.0.max(1));
    let offset = usize::try_from(offset).unwrap_or(usize::MAX);
    let steps = forecast.quantiles.len();
    let quantiles = (0..steps)
        .filter_map(|step| {
            let step = step.saturating_add(offset).min(steps.saturating_sub(1));
            forecast
                .quantiles
                .get(step)
                .map(|quantiles| widened(quantiles, MEDIAN))
        })
        .collect();
    SeriesForecast {
        first_step_at: at,
        quantiles,
        peak: forecast.peak.clone().map(widened_peak),
        source: ForecastSource::Stale,
        ..forecast.clone()
    }
}

/// The same peak, as if it were that of the present, less sure.
fn widened_peak(peak: PeakForecast) -> PeakForecast {
    PeakForecast {
        quantiles: widened(&peak.quantiles, PEAK_MEDIAN),
        ..peak
    }
}

fn widened<const N: usize>(quantiles: &[FixedValue; N], middle: usize) -> [FixedValue; N] {
    let median = quantiles.get(middle).map_or(0, |value| i128::from(value.0));
    let spread = median * SPREAD_PERCENT / 100;
    let mut wide = *quantiles;
    for (level, value) in wide.iter_mut().enumerate() {
        let distance = i128::from(value.0) - median;
        let further = distance * (100 + WIDENING_PERCENT) / 100;
        let moved = match level.cmp(&middle) {
            std::cmp::Ordering::Less => median + further - spread,
            std::cmp::Ordering::Equal => median,
            std::cmp::Ordering::Greater => median + further + spread,
        };
        *value = FixedValue(i64::try_from(moved.max(0)).unwrap_or(i64::MAX));
    }
    wide
}
