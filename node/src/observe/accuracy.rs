//! Compares the newest step that is over with what had been forecast for it. Pure.

use twinscale_protocol::quantile::MEDIAN;
use twinscale_protocol::{DomainTime, FixedValue, QUANTILE_LEVELS, QUANTILES};
use twinscale_twin::TwinState;

/// Demand below this is compared with this instead, so that an idle hour does not count as a huge error.
const DEMAND_MIN: f64 = 1.0;

/// One step of one series, compared.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ScoredStep {
    /// For each of [`QUANTILE_LEVELS`], whether the demand was at or below the quantile.
    pub within: [bool; QUANTILES],
    /// Distance of the median from the demand, as a share of the demand.
    pub error: f64,
}

/// Compares the step that ended last before `now`, for every series of the newest forecast. Nothing comes
/// of it while the forecast is newer than that step, or its demand is unknown.
pub fn score(state: &TwinState, now: DomainTime) -> Vec<ScoredStep> {
    let Some(record) = state.forecast() else {
        return Vec::new();
    };
    let scored = record.forecasts.iter().filter_map(|forecast| {
        let length = i64::from(forecast.interval.0.max(1));
        let end = now.floor_to(forecast.interval);
        let start = end.minus(forecast.interval);
        let step = usize::try_from(start.seconds_since(forecast.first_step_at) / length).ok()?;
        if start < forecast.first_step_at {
            return None;
        }
        let quantiles = forecast.quantiles.get(step)?;
        let means = state.interval_means(&forecast.key, start, forecast.interval, 1);
        let demand = means.first().copied().flatten()?;
        let median = quantiles.get(MEDIAN)?;
        Some(ScoredStep {
            within: std::array::from_fn(|level| {
                quantiles.get(level).is_some_and(|value| demand <= *value)
            }),
            error: relative(*median, demand),
        })
    });
    scored.collect()
}

/// The names of the levels, as they are written in labels.
pub fn level_names() -> [String; QUANTILES] {
    QUANTILE_LEVELS.map(|level| level.to_string())
}

fn relative(median: FixedValue, demand: FixedValue) -> f64 {
    let (median, demand) = (median.units(), demand.units());
    (median - demand).abs() / demand.max(DEMAND_MIN)
}
