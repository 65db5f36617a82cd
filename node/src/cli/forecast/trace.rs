//! Forecasts the series of a file, without a node.

use super::{ForecastArguments, Past};
use crate::assembly::ForecastWeights;
use crate::error::ExpectedError;
use crate::progress::Progress;
use crate::service::api::{ForecastReply, shown_forecasts};
use std::path::Path;
use twinscale_forecaster::bench::files::{LoadedSeries, read_series};
use twinscale_forecaster::bench::run::parse_id;
use twinscale_forecaster::engine::context_steps;
use twinscale_protocol::forecaster::{ForecastRequest, SeriesWindow};
use twinscale_protocol::{DomainTime, FixedValue, Seconds};

/// Steps ahead at most unless said otherwise.
const STEPS_DEFAULT_MAX: u32 = 48;

/// Series of a file that an error names.
const NAMES_SHOWN: usize = 5;

const DAY_S: u32 = 86_400;

/// Forecasts what comes behind the last sample of each series.
pub(super) fn forecast(
    arguments: &ForecastArguments,
    path: &Path,
    interval_s: u32,
    quiet: bool,
) -> anyhow::Result<(ForecastReply, Vec<Past>)> {
    let mut loaded = read_series(path, interval_s)
        .map_err(|error| ExpectedError::input("the trace cannot be used", error))?;
    let known: Vec<String> = loaded.iter().map(|series| series.id.clone()).collect();
    loaded.retain(|series| {
        let wanted = arguments.only.as_ref();
        wanted.is_none_or(|text| series.id.contains(text.as_str()))
    });
    if loaded.is_empty() {
        let some: Vec<&str> = known.iter().map(String::as_str).take(NAMES_SHOWN).collect();
        return Err(ExpectedError::input_hint(
            format!("{}: there is no such series", path.display()),
            format!("it has {} series: {}", known.len(), some.join(", ")),
        )
        .into());
    }
    let steps = arguments.steps.unwrap_or_else(|| {
        let day = (DAY_S / interval_s.max(1)).clamp(1, STEPS_DEFAULT_MAX);
        u16::try_from(day).unwrap_or(1)
    });
    let weights = ForecastWeights::load(arguments.weights.as_deref())?;
    let mut engine = weights.engine()?;
    let progress = Progress::start("forecasting", loaded.len() as u64, quiet);
    let mut replies: Vec<ForecastReply> = Vec::with_capacity(loaded.len());
    let mut pasts = Vec::with_capacity(loaded.len());
    for (done, series) in (1..).zip(&loaded) {
        let request = request(series, steps)?;
        for answer in engine.forecast_batch(std::slice::from_ref(&request)) {
            let made = answer.map_err(|error| {
                ExpectedError::input(format!("series {} cannot be forecast", series.id), error)
            })?;
            let paths = (arguments.paths.unwrap_or(0), arguments.seed);
            replies.push(shown_forecasts(request.issued_at, made, paths));
        }
        pasts.push(past(series, usize::from(steps)));
        progress.at(done);
    }
    let reply = replies.into_iter().reduce(|mut all, next| {
        all.series.extend(next.series);
        all
    });
    let reply = reply.ok_or_else(|| anyhow::anyhow!("no series was forecast"))?;
    Ok((reply, pasts))
}

/// What a twin would ask right behind the last sample.
fn request(series: &LoadedSeries, steps: u16) -> anyhow::Result<ForecastRequest> {
    let (customer, key) = parse_id(&series.id)
        .map_err(|error| ExpectedError::input(format!("series {}", series.id), error))?;
    let first = series
        .values
        .len()
        .saturating_sub(context_steps(series.interval_s));
    let window = series.values.get(first..).unwrap_or_default();
    let at = |step: usize| {
        let step = i64::try_from(step).unwrap_or(i64::MAX);
        let since_s = step.saturating_mul(i64::from(series.interval_s));
        DomainTime(series.start_s.saturating_add(since_s))
    };
    let values = window
        .iter()
        .map(|value| value.map(FixedValue::from_measured).transpose())
        .collect::<Result<_, _>>()
        .map_err(|error| ExpectedError::input(format!("series {}", series.id), error))?;
    Ok(ForecastRequest {
        customer,
        issued_at: at(series.values.len()),
        interval: Seconds(series.interval_s),
        horizon_steps: steps,
        series: vec![SeriesWindow {
            key,
            first_at: at(first),
            values,
            lead_steps: 1,
            calibration: Vec::new(),
        }],
        events: Vec::new(),
    })
}

fn past(series: &LoadedSeries, steps: usize) -> Past {
    let day = (DAY_S / series.interval_s.max(1)) as usize;
    // As much past as future, and two days at least.
    let length = steps.max(2 * day).min(series.values.len());
    let first = series.values.len() - length;
    Past {
        name: series.id.clone(),
        values: series.values.get(first..).unwrap_or_default().to_vec(),
    }
}
