//! Forecasts: kept as they were made, with the calibration for the next ones.

use super::apply::{NotApplied, invalid};
use super::{ApplyResult, PartKey, TwinState};
use crate::limits::{CALIBRATION_BYTES_MAX, HORIZON_STEPS_MAX, SERIES_MAX};
use crate::observations::Touched;
use crate::stored::v1::ForecastRecord;
use std::collections::BTreeSet;
use twinscale_protocol::forecaster::{ForecastSource, SeriesForecast};

impl TwinState {
    pub(super) fn apply_forecast(
        &mut self,
        record: ForecastRecord,
        calibrations: Vec<Vec<u8>>,
    ) -> Result<ApplyResult, NotApplied> {
        let forecasts = &record.forecasts;
        check_forecasts(forecasts)?;
        check_calibrations(forecasts, &calibrations)?;
        let mut touched = Touched::default();
        for (forecast, calibration) in forecasts.iter().zip(calibrations) {
            let number = self.observations.ensure_series(&forecast.key, &mut touched);
            if let Some(number) = number {
                self.calibrations.insert(forecast.key.clone(), calibration);
                self.mark(PartKey::Calibration(number));
            }
        }
        self.mark_touched(&touched);
        let counters = &mut self.meta.counters;
        for forecast in forecasts {
            counters.forecasts = counters.forecasts.saturating_add(1);
            if matches!(forecast.source, ForecastSource::SeasonalFallback(_)) {
                counters.fallback_forecasts = counters.fallback_forecasts.saturating_add(1);
            }
        }
        self.keep_forecast(record);
        Ok(ApplyResult::ForecastStored)
    }

    pub(super) fn apply_stale_turn(
        &mut self,
        record: ForecastRecord,
    ) -> Result<ApplyResult, NotApplied> {
        check_forecasts(&record.forecasts)?;
        let counter = &mut self.meta.counters.stale_turns;
        *counter = counter.saturating_add(1);
        if record.forecasts.is_empty() {
            self.mark(PartKey::Meta);
        } else {
            self.keep_forecast(record);
        }
        Ok(ApplyResult::TurnNoted)
    }

    fn keep_forecast(&mut self, record: ForecastRecord) {
        self.forecast = Some(record);
        self.mark(PartKey::Forecast);
        self.mark(PartKey::Meta);
    }
}

fn check_forecasts(forecasts: &[SeriesForecast]) -> Result<(), NotApplied> {
    if forecasts.len() > SERIES_MAX {
        let count = forecasts.len();
        return Err(invalid(format!(
            "{count} forecasts of one twin: at most {SERIES_MAX} are kept"
        )));
    }
    let mut keys = BTreeSet::new();
    for forecast in forecasts {
        let key = &forecast.key;
        if !keys.insert(key) {
            return Err(invalid(format!("two forecasts of series {key}: send one")));
        }
        let steps = forecast.quantiles.len();
        if steps == 0 || steps > usize::from(HORIZON_STEPS_MAX) || forecast.interval.0 == 0 {
            let interval = forecast.interval;
            return Err(invalid(format!(
                "forecast of series {key} has {steps} steps of {interval}: use 1 to \
                 {HORIZON_STEPS_MAX} steps of at least 1 s"
            )));
        }
        if let Some(peak) = &forecast.peak {
            let first = peak.quantiles.first().map_or(0, |value| value.0);
            if first < 0 || !peak.quantiles.is_sorted() || peak.steps == 0 || peak.mean.0 < 0 {
                return Err(invalid(format!(
                    "forecast of series {key}, peak of {} steps: steps must be 1 or more, quantiles and \
                     mean zero or more, quantiles not descend",
                    peak.steps
                )));
            }
        }
        for (step, quantiles) in forecast.quantiles.iter().enumerate() {
            let first = quantiles.first().map_or(0, |value| value.0);
            if first < 0 || !quantiles.is_sorted() {
                return Err(invalid(format!(
                    "forecast of series {key}, step {step}: quantiles must be zero or more and not \
                     descend"
                )));
            }
        }
    }
    Ok(())
}

fn check_calibrations(
    forecasts: &[SeriesForecast],
    calibrations: &[Vec<u8>],
) -> Result<(), NotApplied> {
    if calibrations.len() != forecasts.len() {
        let (wanted, found) = (forecasts.len(), calibrations.len());
        return Err(invalid(format!(
            "{found} calibrations for {wanted} forecasts: send one each"
        )));
    }
    for (forecast, calibration) in forecasts.iter().zip(calibrations) {
        if calibration.len() > CALIBRATION_BYTES_MAX {
            let (key, bytes) = (&forecast.key, calibration.len());
            return Err(invalid(format!(
                "calibration of series {key} has {bytes} bytes: at most {CALIBRATION_BYTES_MAX} are \
                 kept"
            )));
        }
    }
    Ok(())
}
