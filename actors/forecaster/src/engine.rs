//! The forecaster's core: requests in, replies out.
//!
//! Invariants: a reply is a function of its request and the weights alone, whatever other requests share
//! the run and in whichever order they come; quantiles ascend and are not negative; a request that cannot
//! be served fails alone. It knows neither actors nor clocks.

#[cfg(test)]
mod poor_input;
#[cfg(test)]
mod tests;

use crate::bench::sources::spans;
use crate::calibration::{Calibration, doubt, widen};
use crate::fallback;
use crate::network::{
    BATCH_ROWS, HORIZON_SHAPES, HORIZON_STEPS_MAX, NetworkError, QuantileNetwork,
};
use crate::peak::PeakModel;
use crate::rows::{Row, StepQuantiles, is_general, run_rows};
use crate::series::{Series, SeriesError};
use crate::stored::{decode, encode, v1, v2};
use twinscale_protocol::forecaster::{
    ForecastContext, ForecastReply, ForecastRequest, ForecastSource, PeakForecast, SeriesForecast,
    SeriesWindow,
};
use twinscale_protocol::{
    DomainTime, Event, EventKind, FixedValue, QUANTILES, SeriesKey, WeightsId, WireError,
    WireErrorCode,
};

/// Context that a request should bring, in days of an hourly series: four weeks to look back, as many to
/// back-cast in.
pub const CONTEXT_DAYS_HOURLY: u32 = 56;

/// Context that a request should bring, in days of a finer series: one week to look back, one to back-cast.
pub const CONTEXT_DAYS_FINE: u32 = 14;

/// Series of one request at most.
pub const SERIES_MAX: usize = 256;

/// Longest interval whose patterns the network was trained on.
const NETWORK_INTERVAL_S_MAX: i64 = 7200;

/// Days whose mean demand goes with a peak.
const PEAK_MEAN_DAYS: usize = 28;

/// Steps of history below which the network is not asked.
const NETWORK_STEPS_MIN: usize = 12;

/// Why a request has no reply.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum ForecastError {
    /// A horizon that no shape holds.
    #[error(
        "horizon of {steps} steps is not served: ask for 1 to {most}, the longest that the weights were trained for"
    )]
    Horizon {
        /// Steps asked for.
        steps: u16,
        /// Steps that are served.
        most: usize,
    },
    /// Too many series at once.
    #[error("request of {count} series is too large: ask for at most {SERIES_MAX}")]
    TooManySeries {
        /// Series asked for.
        count: usize,
    },
    /// A window that does not end where the forecast begins.
    #[error(
        "window of `{key}` ends at {end_s}, not at the issue time {issued_s}: pad it with missing values"
    )]
    Window {
        /// The series.
        key: SeriesKey,
        /// Where it ends, epoch seconds.
        end_s: i64,
        /// Where it should, epoch seconds.
        issued_s: i64,
    },
    /// A window whose values cannot be used.
    #[error("window of `{key}` cannot be used")]
    Series {
        /// The series.
        key: SeriesKey,
        /// Why.
        #[source]
        source: SeriesError,
    },
    /// The network failed.
    #[error("no forecast could be made")]
    Network(#[from] NetworkError),
}

impl From<&ForecastError> for WireError {
    fn from(error: &ForecastError) -> Self {
        let cause = std::error::Error::source(error).map(|cause| format!(": {cause}"));
        let text = format!("{error}{}", cause.unwrap_or_default());
        let code = match error {
            ForecastError::Network(_) => WireErrorCode::Internal,
            _ => WireErrorCode::Invalid,
        };
        Self::new(code, text)
    }
}

/// Networks and what it takes to ask them.
pub struct Engine {
    weights_id: WeightsId,
    /// At least one.
    networks: Vec<Box<dyn QuantileNetwork>>,
}

impl std::fmt::Debug for Engine {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Engine")
            .field("weights", &self.weights_id)
            .finish_non_exhaustive()
    }
}

/// Context of a request with steps of `interval_s`, in steps: what the twin should send, when it has it.
pub fn context_steps(interval_s: u32) -> usize {
    let interval_s = interval_s.max(1);
    let days = if interval_s >= 1800 {
        CONTEXT_DAYS_HOURLY
    } else {
        CONTEXT_DAYS_FINE
    };
    ((days * 86_400) / interval_s) as usize
}

impl Engine {
    /// Takes the networks of one weights file: a first one, and those whose forecasts are mixed with its.
    pub fn new(first: Box<dyn QuantileNetwork>, others: Vec<Box<dyn QuantileNetwork>>) -> Self {
        let weights_id = first.weights_id();
        let networks = std::iter::once(first).chain(others).collect();
        Self {
            weights_id,
            networks,
        }
    }

    /// Names the weights.
    pub fn weights_id(&self) -> WeightsId {
        self.weights_id.clone()
    }

    /// Counts the networks that answer for all series over a shape of the horizon, whose losses are kept.
    fn serving(&self, shape: usize) -> usize {
        let numbered = self.networks.iter().enumerate();
        numbered
            .filter(|(_, network)| network.serves(shape))
            .filter(|(number, network)| is_general(*number, network.as_ref()))
            .count()
    }

    /// Sets all weights to zero, so that tests can see what hangs on them.
    ///
    /// # Errors
    /// [`NetworkError`] when the library behind the network refuses.
    pub fn zero_weights(&mut self) -> Result<(), NetworkError> {
        for network in &mut self.networks {
            network.zero_weights()?;
            self.weights_id = network.weights_id();
        }
        Ok(())
    }

    /// Answers requests, each as if it were alone.
    ///
    /// Cost: one row of a batch per series, and one per back-cast that its calibration has not seen yet.
    pub fn forecast_batch(
        &mut self,
        requests: &[ForecastRequest],
    ) -> Vec<Result<ForecastReply, ForecastError>> {
        let weights = self.weights_id.clone();
        let asked = Asked {
            weights: &weights,
            networks: HORIZON_SHAPES.map(|shape| self.serving(shape)),
        };
        let mut prepared: Vec<Result<Vec<Job>, ForecastError>> = requests
            .iter()
            .map(|request| prepare(request, &asked))
            .collect();
        let mut failure = None;
        for shape in HORIZON_SHAPES {
            let jobs = prepared.iter_mut().flatten().flatten();
            let jobs: Vec<&mut Job> = jobs.filter(|job| job.shape == Some(shape)).collect();
            if let Err(error) = run_jobs(&mut self.networks, jobs, shape) {
                failure = Some(error);
            }
        }
        requests
            .iter()
            .zip(prepared)
            .map(|(request, jobs)| {
                let jobs = jobs?;
                let needs_network = jobs.iter().any(|job| job.shape.is_some());
                match &failure {
                    Some(error) if needs_network => Err(error.clone().into()),
                    _ => Ok(reply(request, jobs, &weights)),
                }
            })
            .collect()
    }
}

/// Who is asked.
struct Asked<'a> {
    weights: &'a WeightsId,
    /// Networks by shape of the horizon.
    networks: [usize; HORIZON_SHAPES.len()],
}

impl Asked<'_> {
    /// The shape that a horizon runs in, with the number of networks for it.
    fn shape_of(&self, steps: u16) -> Result<(usize, usize), ForecastError> {
        let served = HORIZON_SHAPES.into_iter().zip(self.networks);
        let mut served = served.filter(|(_, networks)| *networks > 0);
        let most = served.clone().next_back().map_or(0, |(shape, _)| shape);
        let holds = |(shape, _): &(usize, usize)| (1..=*shape).contains(&usize::from(steps));
        served
            .find(holds)
            .ok_or(ForecastError::Horizon { steps, most })
    }
}

/// One series of one request.
struct Job {
    key: SeriesKey,
    context: ForecastContext,
    series: Option<Series>,
    /// The shape to run in; `None` = the fallback answers, for `reason`.
    shape: Option<usize>,
    reason: String,
    calibration: Calibration,
    /// The network's calibration as it came, to be handed back by the fallback.
    stored: Option<v2::Calibration>,
    /// What was learnt of the peaks, this window included; none without a series.
    peak: Option<PeakModel>,
    quantiles: StepQuantiles,
}

fn prepare(request: &ForecastRequest, asked: &Asked<'_>) -> Result<Vec<Job>, ForecastError> {
    let shape = asked.shape_of(request.horizon_steps)?;
    if request.series.len() > SERIES_MAX {
        return Err(ForecastError::TooManySeries {
            count: request.series.len(),
        });
    }
    let known: Vec<Event> = request
        .events
        .iter()
        .filter(|event| event.known_from <= request.issued_at && event.kind != EventKind::Incident)
        .cloned()
        .collect();
    request
        .series
        .iter()
        .map(|window| prepare_one(request, window, &known, (shape, asked.weights)))
        .collect()
}

fn prepare_one(
    request: &ForecastRequest,
    window: &SeriesWindow,
    known: &[Event],
    ((shape, networks), weights): ((usize, usize), &WeightsId),
) -> Result<Job, ForecastError> {
    check_window(request, window)?;
    let values: Vec<Option<f64>> = window
        .values
        .iter()
        .map(|value| value.map(FixedValue::units))
        .collect();
    let events: Vec<Event> = known
        .iter()
        .filter(|event| event.series.as_ref().is_none_or(|key| *key == window.key))
        .cloned()
        .collect();
    let series = match Series::new(window.first_at.0, request.interval.0, &values) {
        Ok(series) => Some(series.with_events(&spans(&events), HORIZON_STEPS_MAX)),
        Err(SeriesError::Empty { .. }) => None,
        Err(source) => {
            let key = window.key.clone();
            return Err(ForecastError::Series { key, source });
        }
    };
    let reason = reason_against(series.as_ref());
    let shape = reason.is_none().then_some(shape);
    let stored = decode(&window.calibration);
    let calibration = match (&series, shape) {
        (Some(series), Some(shape)) => {
            Calibration::restore(stored.network.as_ref(), (weights, networks), series, shape)
        }
        _ => Calibration::default(),
    };
    let peak = series
        .as_ref()
        .map(|series| learn_peaks(series, stored.peak, window.lead_steps));
    Ok(Job {
        key: window.key.clone(),
        context: context_of(request, window, &events),
        series,
        shape,
        reason: reason.unwrap_or_default(),
        calibration,
        stored: stored.network,
        peak,
        quantiles: Vec::new(),
    })
}

/// Goes on with what the twin knows of its peaks, or begins with what the window shows.
fn learn_peaks(series: &Series, stored: Option<v1::Peak>, lead_steps: u16) -> PeakModel {
    let steps = usize::from(lead_steps).saturating_add(1);
    let known = stored
        .and_then(PeakModel::restore)
        .filter(|peak| peak.fits(series, steps));
    let mut peak = known.unwrap_or_else(|| PeakModel::new(series, steps));
    peak.learn(series);
    peak
}

fn check_window(request: &ForecastRequest, window: &SeriesWindow) -> Result<(), ForecastError> {
    let steps = i64::try_from(window.values.len()).unwrap_or(i64::MAX);
    let length_s = i64::from(request.interval.0).saturating_mul(steps);
    let end_s = window.first_at.0.saturating_add(length_s);
    if end_s == request.issued_at.0 {
        Ok(())
    } else {
        Err(ForecastError::Window {
            key: window.key.clone(),
            end_s,
            issued_s: request.issued_at.0,
        })
    }
}

/// Why the network has no place here; `None` when it has.
fn reason_against(series: Option<&Series>) -> Option<String> {
    let Some(series) = series else {
        return Some("no observation in the window".to_owned());
    };
    let interval_s = series.interval_s();
    if interval_s > NETWORK_INTERVAL_S_MAX {
        return Some(format!(
            "steps of {interval_s} s are longer than {NETWORK_INTERVAL_S_MAX} s, the longest trained on"
        ));
    }
    let enough = NETWORK_STEPS_MIN.max(series.steps_per_day() / 4);
    (series.len() < enough).then(|| {
        format!(
            "history of {} steps is shorter than the {enough} that the network needs",
            series.len()
        )
    })
}

fn context_of(
    request: &ForecastRequest,
    window: &SeriesWindow,
    events: &[Event],
) -> ForecastContext {
    let samples = window.values.iter().flatten().count();
    let count = |count: usize| u32::try_from(count).unwrap_or(u32::MAX);
    let length_s = i64::from(request.interval.0) * i64::from(request.horizon_steps);
    let end = DomainTime(request.issued_at.0.saturating_add(length_s));
    let reaches = |event: &&Event| event.start < end && event.end > request.issued_at;
    ForecastContext {
        samples: count(samples),
        missing: count(window.values.len() - samples),
        events: events
            .iter()
            .filter(reaches)
            .map(|event| event.name.clone())
            .collect(),
    }
}

/// Runs back-casts and forecasts of all jobs, a batch at a time; back-casts teach the calibration.
fn run_jobs(
    networks: &mut [Box<dyn QuantileNetwork>],
    mut jobs: Vec<&mut Job>,
    shape: usize,
) -> Result<(), NetworkError> {
    let mut places: Vec<(usize, usize, bool)> = Vec::new();
    for (number, job) in jobs.iter().enumerate() {
        let Some(series) = &job.series else { continue };
        let pending = job.calibration.pending(series, shape);
        places.extend(pending.into_iter().map(|origin| (number, origin, false)));
        places.push((number, series.len() - 1, true));
    }
    for chunk in places.chunks(BATCH_ROWS) {
        let rows: Vec<Row<'_>> = chunk
            .iter()
            .filter_map(|(number, origin, _)| {
                let series = jobs[*number].series.as_ref()?;
                Some(Row {
                    series,
                    origin: *origin,
                })
            })
            .collect();
        let results = run_rows(networks, &rows, shape)?;
        for ((number, _, live), row) in chunk.iter().zip(&results) {
            let job = &mut *jobs[*number];
            let Some(series) = &job.series else { continue };
            if *live {
                job.quantiles = job.calibration.mix(series, row);
            } else {
                job.calibration.learn(series, row);
            }
        }
    }
    Ok(())
}

fn reply(request: &ForecastRequest, jobs: Vec<Job>, weights: &WeightsId) -> ForecastReply {
    let mut forecasts = Vec::with_capacity(jobs.len());
    let mut calibrations = Vec::with_capacity(jobs.len());
    let horizon = usize::from(request.horizon_steps);
    for mut job in jobs {
        let (quantiles, source, calibration) = finish(&mut job, horizon, weights);
        if let (Some(series), Some(peak), Some(_)) = (&job.series, &mut job.peak, job.shape) {
            peak.expect(series, &quantiles);
        }
        let peak = peak_of(&job);
        calibrations.push(encode(v2::Stored {
            network: calibration,
            peak: job.peak.as_ref().map(PeakModel::store),
        }));
        forecasts.push(SeriesForecast {
            key: job.key,
            first_step_at: request.issued_at,
            interval: request.interval,
            quantiles: quantiles.into_iter().map(fixed).collect(),
            peak,
            source,
            context: job.context,
        });
    }
    ForecastReply {
        forecasts,
        calibrations,
    }
}

/// The peak in the metric's unit.
fn peak_of(job: &Job) -> Option<PeakForecast> {
    let (series, peak) = (job.series.as_ref()?, job.peak.as_ref()?);
    let mut quantiles = peak.forecast(series)?;
    if series.is_whole() {
        // Counts: what lies within half of a number is that number.
        quantiles = quantiles.map(f64::round);
    }
    let last = series.len().saturating_sub(1);
    let mean = series.mean(last, PEAK_MEAN_DAYS * series.steps_per_day());
    Some(PeakForecast {
        steps: u16::try_from(peak.steps()).unwrap_or(u16::MAX),
        quantiles: quantiles.map(FixedValue::from_model),
        mean: FixedValue::from_model(mean),
    })
}

fn finish(
    job: &mut Job,
    horizon: usize,
    weights: &WeightsId,
) -> (StepQuantiles, ForecastSource, Option<v2::Calibration>) {
    let fallback = || ForecastSource::SeasonalFallback(job.reason.clone());
    match (&job.series, job.shape) {
        (Some(series), Some(_)) => {
            let mut quantiles = std::mem::take(&mut job.quantiles);
            quantiles.truncate(horizon);
            job.calibration.apply(&mut quantiles);
            widen(&mut quantiles, doubt(series));
            job.calibration.issue(series, &quantiles);
            let source = ForecastSource::Network(weights.clone());
            (quantiles, source, job.calibration.store(weights))
        }
        (Some(series), None) => {
            let quantiles = fallback::forecast(series, horizon);
            (quantiles, fallback(), job.stored.clone())
        }
        (None, _) => {
            let zeros = vec![[0.0; QUANTILES]; horizon];
            (zeros, fallback(), job.stored.clone())
        }
    }
}

/// Rounds to fixed point; rounding keeps the order.
fn fixed(quantiles: [f64; QUANTILES]) -> [FixedValue; QUANTILES] {
    quantiles.map(FixedValue::from_model)
}
