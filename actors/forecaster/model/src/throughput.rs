//! How many forecasts a second one core makes, beside what its matrix units could.

use crate::serving::{Network, engine_of, multiply_once};
use std::time::Duration;
use twinscale_forecaster::engine::{ForecastError, context_steps};
use twinscale_forecaster::network::{
    BATCH_ROWS, FeatureBatch, HORIZON_SHAPES, NetworkError, Purpose, QuantileNetwork,
};
use twinscale_protocol::forecaster::{ForecastRequest, SeriesWindow};
use twinscale_protocol::{
    CustomerId, DomainTime, FixedValue, MetricName, ParseIdError, Seconds, SeriesKey, VmTypeId,
};

/// Side of the matrices whose product sets the peak: large enough to leave the caches' latency behind.
const MATRIX_SIZE: u32 = 768;
/// Products that are timed.
const PRODUCTS: u32 = 12;
/// Step of the requests.
const INTERVAL_S: u32 = 3600;

/// What was measured, on one thread.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Throughput {
    /// Forecasts of one hourly series over a day per second, from request to reply, calibrated before.
    pub forecasts_per_second: f64,
    /// Rows per second of the networks alone, all that answer for weeks of history run for each row.
    pub network_rows_per_second: f64,
    /// Arithmetic of the networks alone, in 10^9 operations per second; a multiplication with its addition
    /// counts as two.
    pub network_gflops: f64,
    /// Arithmetic of a plain matrix product, measured in the same run: the limit.
    pub peak_gflops: f64,
}

/// Why nothing was measured.
#[derive(Debug, thiserror::Error)]
pub enum ThroughputError {
    /// The network failed.
    #[error(transparent)]
    Network(#[from] NetworkError),
    /// The engine failed.
    #[error(transparent)]
    Forecast(#[from] ForecastError),
    /// A name of the made-up customer is none.
    #[error(transparent)]
    Name(#[from] ParseIdError),
}

/// Measures with a clock that tells the time since any fixed moment; takes about a second.
///
/// `make` builds the networks twice: once to time them alone, once inside an engine.
///
/// # Errors
/// [`ThroughputError`] when a network or the engine refuses.
pub fn measure(
    mut make: impl FnMut() -> Result<Vec<Network>, ThroughputError>,
    rounds: u32,
    clock: &mut dyn FnMut() -> Duration,
) -> Result<Throughput, ThroughputError> {
    let rounds = rounds.max(1);
    let peak_gflops = peak(clock)?;
    let horizon = HORIZON_SHAPES[0];
    let mut networks = make()?;
    // The requests have weeks of history, for which the network of young series is not asked.
    networks.retain(|network| network.serves(horizon) && network.purpose() == Purpose::Any);
    let products: usize = networks
        .iter()
        .map(|network| network.architecture().row_products(horizon))
        .sum();
    let batch = FeatureBatch::zeroed(BATCH_ROWS, horizon);
    let mut infer = || {
        let mut networks = networks.iter_mut();
        networks.try_for_each(|network| network.infer(&batch).map(drop))
    };
    infer()?;
    let seconds = timed(clock, || (0..rounds).try_for_each(|_| infer()))?;
    let rows = f64::from(rounds) * BATCH_ROWS as f64;
    let network_rows_per_second = rows / seconds;
    let mut engine = engine_of(make()?)?;
    let mut requests = requests()?;
    // The first round back-casts; what it learnt goes along with the next ones.
    let replies = engine.forecast_batch(&requests);
    for (request, reply) in requests.iter_mut().zip(replies) {
        for (series, calibration) in request.series.iter_mut().zip(reply?.calibrations) {
            series.calibration = calibration;
        }
    }
    let seconds = timed(clock, || {
        (0..rounds).try_for_each(|_| {
            let mut replies = engine.forecast_batch(&requests).into_iter();
            replies.try_for_each(|reply| reply.map(drop))
        })
    })?;
    Ok(Throughput {
        forecasts_per_second: rows / seconds,
        network_rows_per_second,
        network_gflops: network_rows_per_second * 2.0 * products as f64 / 1e9,
        peak_gflops,
    })
}

fn timed<E>(
    clock: &mut dyn FnMut() -> Duration,
    work: impl FnOnce() -> Result<(), E>,
) -> Result<f64, E> {
    let before = clock();
    work()?;
    Ok(clock().saturating_sub(before).as_secs_f64().max(1e-9))
}

fn peak(clock: &mut dyn FnMut() -> Duration) -> Result<f64, NetworkError> {
    multiply_once(i64::from(MATRIX_SIZE))?;
    let seconds = timed(clock, || {
        (0..PRODUCTS).try_for_each(|_| multiply_once(i64::from(MATRIX_SIZE)).map(drop))
    })?;
    let flops = 2.0 * f64::from(MATRIX_SIZE).powi(3) * f64::from(PRODUCTS);
    Ok(flops / seconds / 1e9)
}

fn requests() -> Result<Vec<ForecastRequest>, ParseIdError> {
    let steps = context_steps(INTERVAL_S);
    let length_s = i64::from(INTERVAL_S) * i64::try_from(steps).unwrap_or(0);
    let first_at = DomainTime(1_600_041_600);
    (0..BATCH_ROWS)
        .map(|number| {
            let values = (0..steps).map(|at| {
                let share = (at % 24) as f64 / 24.0;
                let wave = (std::f64::consts::TAU * share).sin();
                let wobble = ((at * 7 + number) % 11) as f64;
                Some(FixedValue::from_model(100.0 + 40.0 * wave + wobble))
            });
            Ok(ForecastRequest {
                customer: CustomerId::new(format!("customer-{number}"))?,
                issued_at: DomainTime(first_at.0 + length_s),
                interval: Seconds(INTERVAL_S),
                horizon_steps: 24,
                series: vec![SeriesWindow {
                    key: SeriesKey {
                        vm_type: VmTypeId::new("m5.large")?,
                        metric: MetricName::new("vm_count")?,
                    },
                    first_at,
                    values: values.collect(),
                    lead_steps: 1,
                    calibration: Vec::new(),
                }],
                events: Vec::new(),
            })
        })
        .collect()
}
