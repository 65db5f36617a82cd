//! The check of the forecast: one real series through the network, as a node would ask it.

use super::{Check, judge};
use crate::assembly::ForecastWeights;
use twinscale_forecaster::engine::{Engine, context_steps};
use twinscale_log::MonotonicClock;
use twinscale_protocol::forecaster::{
    ForecastReply, ForecastRequest, ForecastSource, SeriesWindow,
};
use twinscale_protocol::{
    CustomerId, DomainTime, FixedValue, MetricName, Seconds, SeriesKey, VmTypeId,
};

const NAME: &str = "forecast";

/// Length of a step of the series.
const INTERVAL: Seconds = Seconds(3_600);

/// Steps that are forecast: a day.
const HORIZON_STEPS: u16 = 24;

/// What to do when the network does not answer as it should.
const REMEDY: &str =
    "bring LibTorch again (make setup), or take the shipped weights (no --weights)";

pub(super) fn check(weights: &ForecastWeights, clock: &dyn MonotonicClock) -> Check {
    let begun = clock.elapsed();
    let engine = match weights.engine() {
        Ok(engine) => engine,
        Err(error) => return Check::failed(NAME, format!("no network: {error}"), REMEDY),
    };
    let loaded = clock.elapsed();
    match ask(engine) {
        Ok(source) => Check::passed(
            NAME,
            format!(
                "LibTorch answers in {} (loaded in {}; {source})",
                judge::millis(clock.elapsed().saturating_sub(loaded)),
                judge::millis(loaded.saturating_sub(begun)),
            ),
        ),
        Err(reason) => Check::failed(NAME, reason, REMEDY),
    }
}

/// Asks for the next day of a series and says which weights answered.
fn ask(mut engine: Engine) -> Result<String, String> {
    let request = request().map_err(|error| error.to_string())?;
    let reply = engine.forecast_batch(&[request]).pop();
    let reply = reply.ok_or("the network gave no answer")?;
    judge_reply(&reply.map_err(|error| error.to_string())?)
}

/// Looks whether the answer came from the network, is whole, and keeps its quantiles in order.
pub(super) fn judge_reply(reply: &ForecastReply) -> Result<String, String> {
    let forecast = reply.forecasts.first().ok_or("no forecast")?;
    let ForecastSource::Network(weights) = &forecast.source else {
        return Err(format!(
            "the network did not answer, {:?} did",
            forecast.source
        ));
    };
    if forecast.quantiles.len() != usize::from(HORIZON_STEPS) {
        let steps = forecast.quantiles.len();
        return Err(format!("{steps} steps instead of {HORIZON_STEPS}"));
    }
    let mut steps = forecast.quantiles.iter();
    match steps.position(|one| !one.is_sorted()) {
        Some(step) => Err(format!("the quantiles of step {step} cross")),
        None => Ok(format!("weights {weights}")),
    }
}

/// Two weeks or so of a day's rise and fall.
fn request() -> anyhow::Result<ForecastRequest> {
    let count = context_steps(INTERVAL.0);
    let first_at = DomainTime(1_767_225_600);
    let values = (0..count).map(|step| {
        let hour = i32::try_from(step % 24).unwrap_or_default();
        let load = f64::from(20 + (12 - (hour - 12).abs()) * 5);
        FixedValue::from_measured(load).map(Some)
    });
    let length = i64::try_from(count)? * i64::from(INTERVAL.0);
    Ok(ForecastRequest {
        customer: CustomerId::new("preflight")?,
        issued_at: DomainTime(first_at.0 + length),
        interval: INTERVAL,
        horizon_steps: HORIZON_STEPS,
        series: vec![SeriesWindow {
            key: SeriesKey {
                vm_type: VmTypeId::new("vm")?,
                metric: MetricName::new("vm_count")?,
            },
            first_at,
            values: values.collect::<Result<_, _>>()?,
            lead_steps: 1,
            calibration: Vec::new(),
        }],
        events: Vec::new(),
    })
}
