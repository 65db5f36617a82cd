//! Online conformal calibration of one series.
//!
//! Each quantile's distance from the median carries a factor per bucket of the horizon. Forecasts of
//! earlier origins are compared with what came: a quantile that was passed more often than its level
//! allows moves outwards, else inwards, by a small step of the logarithm. In the long run each quantile is
//! passed hardly less often than it says, whatever the network does. Source: adaptive conformal inference,
//! Gibbs and Candès (2021), on the factor's logarithm instead of the level.
//!
//! The forecasts compared are back-casts: made again, from the request's own window, as of the earlier
//! origin. So a first request is calibrated too, and nothing but factors and a time is stored. Invariant:
//! the state is integers, and learning origin by origin or many at once gives the same.

use crate::accuracy::Scores;
use crate::adapter::Adapter;
use crate::mixture::{Mixture, losses_of};
use crate::regime::{KEPT_AFTER_CHANGE, Regime};
use crate::rows::{RowForecasts, StepQuantiles};
use crate::series::Series;
use crate::stored::v2::{self, BUCKETS};
use crate::young;
use twinscale_protocol::quantile::MEDIAN;
use twinscale_protocol::{QUANTILE_LEVELS, QUANTILES, WeightsId};

/// Back-casts per run and series, at most: a month of hourly origins, five days of five-minute ones.
const BACKCASTS_MAX: usize = 60;
/// Learning rate of a quantile in the middle of its tail.
const RATE: f64 = 0.08;
/// Share of a tail that may pass its quantile before it moves outwards: what was chosen for the past fits
/// what comes a little less well.
const TAIL_AIMED_AT: f64 = 0.98;
/// Levels this far from 0 or 1 learn at [`RATE`]; nearer ones faster, as their events are rarer.
const RATE_TAIL: f64 = 0.1;
/// One unit of a stored factor.
const UNITS_PER_LOG: f64 = 16_384.0;
/// Bound on a factor's logarithm: e^1.2 = 3.3.
const LOG_MAX: f64 = 1.2;
/// Distance from the median below which a side has no width, in the series' own unit.
const WIDTH_MIN: f64 = 1e-12;
/// Share of the last day that may be missing before ranges widen.
const MISSING_BORNE: f64 = 0.25;
/// Days whose mean demand a loss is measured in.
const REGIME_DAYS: usize = 28;
/// Mean demand below which losses have no unit.
const DEMAND_MIN: f64 = 1e-12;
/// Buckets end after these shares of the horizon, in 48ths.
const BUCKET_ENDS: [usize; BUCKETS] = [4, 12, 24, 48];

/// The calibration of one series for one network.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Calibration {
    interval_s: u32,
    shape: usize,
    learnt_until_s: Option<i64>,
    factors: [[i16; QUANTILES]; BUCKETS],
    adapter: Adapter,
    mixture: Mixture,
    scores: Scores,
    regime: Regime,
}

/// Forecasters beside the networks, in their order: the adapter, and two that say how wide ranges should be.
pub(crate) const LOCAL: [&str; 1 + WIDTHS.len()] = ["adapter", "narrower", "wider"];

/// Distances from the median that the last two take, as multiples of those between networks and adapter.
/// Where ranges are far too wide hardly anything ever passes them, so a rule that counts what passed closes
/// them slowly; a forecaster's loss also tells by how much.
const WIDTHS: [f64; 2] = [0.4, 2.5];

impl Calibration {
    /// Continues a stored calibration, or starts afresh when it belongs to other weights or steps.
    pub(crate) fn restore(
        stored: Option<&v2::Calibration>,
        (weights, networks): (&WeightsId, usize),
        series: &Series,
        shape: usize,
    ) -> Self {
        let forecasters = networks + LOCAL.len();
        let fresh = Self {
            interval_s: u32::try_from(series.interval_s()).unwrap_or(u32::MAX),
            shape,
            learnt_until_s: None,
            factors: [[0; QUANTILES]; BUCKETS],
            adapter: Adapter::default(),
            mixture: Mixture::restore(None, forecasters),
            scores: Scores::default(),
            regime: Regime::default(),
        };
        let Some(stored) = stored else {
            return fresh;
        };
        let fits = stored.weights == weights.as_str()
            && stored.interval_s == fresh.interval_s
            && usize::from(stored.shape) == shape
            && stored.losses.len() == forecasters;
        if !fits {
            return fresh;
        }
        Self {
            learnt_until_s: Some(stored.learnt_until_s),
            factors: stored.factors,
            adapter: Adapter::restore(Some(&stored.adapter)),
            mixture: Mixture::restore(Some(&stored.losses), forecasters),
            scores: Scores::restore(&stored.scores),
            regime: Regime::restore(stored.regime),
            ..fresh
        }
    }

    /// Turns the calibration into what the twin keeps; nothing before something was learnt.
    pub(crate) fn store(&self, weights: &WeightsId) -> Option<v2::Calibration> {
        Some(v2::Calibration {
            weights: weights.to_string(),
            interval_s: self.interval_s,
            shape: u16::try_from(self.shape).unwrap_or(u16::MAX),
            learnt_until_s: self.learnt_until_s?,
            factors: self.factors,
            losses: self.mixture.losses().to_vec(),
            adapter: self.adapter.store(),
            scores: self.scores.store(),
            regime: self.regime.store(),
        })
    }

    /// Origins whose forecasts can be compared with what came and were not yet, ascending.
    pub(crate) fn pending(&self, series: &Series, shape: usize) -> Vec<usize> {
        let Some(last) = (series.len() - 1).checked_sub(shape) else {
            return Vec::new();
        };
        let stride = grid_s(series, shape);
        let first = series.steps_per_day();
        let mut origins: Vec<usize> = (first..=last)
            .rev()
            .take_while(|origin| {
                self.learnt_until_s
                    .is_none_or(|until_s| series.time_s(*origin) > until_s)
            })
            // A fixed grid in time, so that it does not matter when requests come.
            .filter(|origin| on_grid(series, *origin, stride))
            .take(BACKCASTS_MAX)
            .collect();
        origins.reverse();
        origins
    }

    /// Mixes the forecasters' quantiles by the trust in each.
    pub(crate) fn mix(&self, series: &Series, row: &RowForecasts) -> StepQuantiles {
        self.combined(series, row, &self.forecasters(series, row))
    }

    /// The mixed forecast, with that for little history beside it where there is little.
    fn combined(
        &self,
        series: &Series,
        row: &RowForecasts,
        forecasts: &[StepQuantiles],
    ) -> StepQuantiles {
        let mixed = self.mixture.combine(forecasts, row.scale.scale);
        young::blend(series, row, mixed)
    }

    /// What all forecasters say: the networks, then those of [`LOCAL`].
    fn forecasters(&self, series: &Series, row: &RowForecasts) -> Vec<StepQuantiles> {
        let adapter = self.adapter.forecast(series, row);
        let between = midpoint(&row.mean, &adapter);
        let mut forecasts = row.networks.clone();
        forecasts.push(adapter);
        forecasts.extend(WIDTHS.map(|width| {
            let mut forecast = between.clone();
            widen(&mut forecast, width);
            forecast
        }));
        forecasts
    }

    /// Compares all forecasts of an origin with what came: the mixed one teaches the factors, each one alone
    /// the trust in it.
    pub(crate) fn learn(&mut self, series: &Series, row: &RowForecasts) {
        let origin = row.origin;
        let forecasts = self.forecasters(series, row);
        let forecast = &self.combined(series, row, &forecasts);
        if self.has_grown_up(series, origin) {
            // The factors stood for other forecasters.
            self.factors = [[0; QUANTILES]; BUCKETS];
            self.regime = Regime::default();
        }
        let mut from = 0;
        for bucket in 0..BUCKETS {
            let to = bucket_end(bucket, self.shape);
            let passed = self.passed(series, origin, bucket, (from, to), forecast);
            self.move_factors(bucket, passed);
            from = to;
        }
        let demand = series.mean(origin, REGIME_DAYS * series.steps_per_day());
        let losses = losses_of(series, origin, forecast);
        let loss = losses.iter().sum::<f64>() / demand.max(DEMAND_MIN);
        let usual = self.regime.usual_with(loss) * demand;
        self.mixture.learn(series, origin, &forecasts, usual);
        self.adapter.learn(series, origin, row);
        if demand > DEMAND_MIN {
            self.note_regime(series, origin, loss);
        }
        self.learnt_until_s = Some(series.time_s(origin));
    }

    /// Whether all that was learnt so far is of a time at which the network for little history had a share.
    fn has_grown_up(&self, series: &Series, origin: usize) -> bool {
        let before = self
            .learnt_until_s
            .map(|until_s| until_s - series.start_s());
        let before = before.and_then(|since_s| usize::try_from(since_s / series.interval_s()).ok());
        before.is_some_and(|before| young::share(series, before) > 0.0)
            && young::share(series, origin) <= 0.0
    }

    /// Shortens the memory when the series has changed its ways.
    fn note_regime(&mut self, series: &Series, origin: usize, loss: f64) {
        if self.regime.changed_with(loss, series.time_s(origin)) {
            self.mixture.forget(KEPT_AFTER_CHANGE);
            self.adapter.forget(KEPT_AFTER_CHANGE);
            for factor in self.factors.iter_mut().flatten() {
                *factor = rounded(f64::from(*factor) * KEPT_AFTER_CHANGE);
            }
        }
    }

    /// Scores what was issued and has passed, and keeps what is issued now if it lies on the grid.
    pub(crate) fn issue(&mut self, series: &Series, forecast: &StepQuantiles) {
        let shape = self.shape;
        let stride = grid_s(series, shape);
        let kept = on_grid(series, series.len() - 1, stride).then_some(forecast);
        let of = |ahead| bucket_of(ahead, shape);
        self.scores.update(series, kept, of);
    }

    /// Applies the factors.
    pub(crate) fn apply(&self, forecast: &mut StepQuantiles) {
        for (ahead, quantiles) in forecast.iter_mut().enumerate() {
            *quantiles = self.corrected(bucket_of(ahead, self.shape), quantiles);
        }
    }

    fn corrected(&self, bucket: usize, quantiles: &[f64; QUANTILES]) -> [f64; QUANTILES] {
        let median = quantiles[MEDIAN];
        let mut corrected = *quantiles;
        for (value, factor) in corrected.iter_mut().zip(self.factors[bucket]) {
            let distance = *value - median;
            if distance.abs() > WIDTH_MIN {
                *value = (median + distance * (f64::from(factor) / UNITS_PER_LOG).exp()).max(0.0);
            }
        }
        corrected.sort_by(f64::total_cmp);
        corrected
    }

    /// Per quantile, the share of steps whose truth lies beyond it; `None` when nothing was observed.
    fn passed(
        &self,
        series: &Series,
        origin: usize,
        bucket: usize,
        (from, to): (usize, usize),
        forecast: &StepQuantiles,
    ) -> Option<[f64; QUANTILES]> {
        let mut beyond = [0.0; QUANTILES];
        let mut steps = 0.0;
        for (ahead, quantiles) in forecast.iter().enumerate().take(to).skip(from) {
            let Some(truth) = series.value(origin + 1 + ahead) else {
                continue;
            };
            steps += 1.0;
            let corrected = self.corrected(bucket, quantiles);
            for (at, (count, quantile)) in beyond.iter_mut().zip(corrected).enumerate() {
                let is_beyond = if at > MEDIAN {
                    truth > quantile
                } else {
                    truth < quantile
                };
                *count += f64::from(u8::from(is_beyond));
            }
        }
        (steps > 0.0).then(|| beyond.map(|count| count / steps))
    }

    fn move_factors(&mut self, bucket: usize, passed: Option<[f64; QUANTILES]>) {
        let Some(passed) = passed else { return };
        let haste = self.regime.haste();
        let factors = self.factors[bucket].iter_mut();
        for (at, (factor, share)) in factors.zip(passed).enumerate() {
            if at == MEDIAN {
                continue;
            }
            let level = QUANTILE_LEVELS[at];
            let tail = level.min(1.0 - level);
            let rate = RATE * haste / (tail / RATE_TAIL).sqrt();
            let log = f64::from(*factor) / UNITS_PER_LOG + rate * (share - TAIL_AIMED_AT * tail);
            *factor = rounded(log.clamp(-LOG_MAX, LOG_MAX) * UNITS_PER_LOG);
        }
    }
}

/// Seconds between the origins that are learnt from and scored: half a horizon.
fn grid_s(series: &Series, shape: usize) -> i64 {
    i64::try_from(shape / 2).unwrap_or(1).max(1) * series.interval_s()
}

/// By what a range is widened for want of data: nothing while three quarters of the last day are there, twice
/// the width when nothing of it is.
pub(crate) fn doubt(series: &Series) -> f64 {
    let missing = 1.0 - series.seen_share(series.len() - 1, series.steps_per_day());
    1.0 + (missing - MISSING_BORNE).max(0.0) / (1.0 - MISSING_BORNE)
}

/// Moves the quantiles away from the median.
pub(crate) fn widen(forecast: &mut StepQuantiles, factor: f64) {
    for quantiles in forecast {
        let median = quantiles[MEDIAN];
        *quantiles = quantiles.map(|value| (median + factor * (value - median)).max(0.0));
    }
}

fn midpoint(one: &StepQuantiles, other: &StepQuantiles) -> StepQuantiles {
    let steps = one.iter().zip(other);
    steps
        .map(|(one, other)| std::array::from_fn(|at| f64::midpoint(one[at], other[at])))
        .collect()
}

fn on_grid(series: &Series, origin: usize, stride_s: i64) -> bool {
    let since = series.time_s(origin).rem_euclid(stride_s);
    // Samples need not lie on whole intervals of the epoch.
    since < series.interval_s()
}

fn bucket_end(bucket: usize, shape: usize) -> usize {
    (BUCKET_ENDS[bucket] * shape).div_ceil(48)
}

/// Steps ahead at which the parts of a horizon end.
pub(crate) fn bucket_ends(shape: usize) -> [usize; BUCKETS] {
    std::array::from_fn(|bucket| bucket_end(bucket, shape))
}

fn bucket_of(ahead: usize, shape: usize) -> usize {
    (0..BUCKETS)
        .find(|bucket| ahead < bucket_end(*bucket, shape))
        .unwrap_or(BUCKETS - 1)
}

#[expect(
    clippy::cast_possible_truncation,
    reason = "the bound on the logarithm keeps it far inside"
)]
fn rounded(units: f64) -> i16 {
    units.round() as i16
}
