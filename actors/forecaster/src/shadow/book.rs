//! What champion and challenger forecast, until the truth is known.

use super::tally::{PairTally, SeriesTally, TALLIES_MAX, series_number};
use crate::numeric::narrow;
use std::collections::{BTreeMap, VecDeque};
use twinscale_protocol::forecaster::{
    ForecastRequest, ForecastSource, SeriesForecast, SeriesWindow,
};
use twinscale_protocol::{CustomerId, FixedValue, QUANTILES, SeriesKey, WeightsId};

/// Series that are compared at the same time: each keeps up to 12 kB of forecasts, and a calibration.
pub const SERIES_MAX: usize = 512;

/// Forecasts of one series that wait for their truth: a quarter of a horizon apart.
const PENDING_MAX: usize = 4;

/// Offers after which a series that was not offered again makes room for another.
const FORGET_AFTER: u64 = 8 * SERIES_MAX as u64;

/// A comparison under way.
#[derive(Clone, Debug)]
pub struct ShadowBook {
    trial: u64,
    champion: WeightsId,
    challenger: WeightsId,
    series: BTreeMap<(CustomerId, SeriesKey), SeriesBook>,
    tallies: BTreeMap<u64, PairTally>,
    /// Counts offers: the clock by which a series is forgotten.
    offers: u64,
}

/// What is kept of a series.
#[derive(Clone, Debug, Default)]
struct SeriesBook {
    /// What the challenger learnt of it; empty at first, it learns by back-casting.
    calibration: Vec<u8>,
    pending: VecDeque<Pending>,
    offered: u64,
}

/// Forecasts of both for the same steps.
#[derive(Clone, Debug)]
struct Pending {
    first_step_at: i64,
    interval_s: i64,
    /// Mean of the window that both saw.
    scale: f64,
    /// By step: the champion's quantiles, then the challenger's.
    quantiles: Vec<[[f32; QUANTILES]; 2]>,
    /// Steps that are over, compared or missing.
    over: usize,
    /// Whether one of them was compared.
    is_counted: bool,
}

/// The forecasts of both for one series of a request.
#[derive(Clone, Copy, Debug)]
pub struct OfferedSeries<'a> {
    /// What both saw.
    pub window: &'a SeriesWindow,
    /// What was answered.
    pub champion: &'a SeriesForecast,
    /// What the challenger would have answered.
    pub challenger: &'a SeriesForecast,
    /// What the challenger learnt of the series.
    pub calibration: &'a [u8],
}

impl ShadowBook {
    /// Begins a comparison.
    pub fn new(trial: u64, champion: WeightsId, challenger: WeightsId) -> Self {
        Self {
            trial,
            champion,
            challenger,
            series: BTreeMap::new(),
            tallies: BTreeMap::new(),
            offers: 0,
        }
    }

    /// The number of the comparison, and who is compared.
    pub fn names(&self) -> (u64, &WeightsId, &WeightsId) {
        (self.trial, &self.champion, &self.challenger)
    }

    /// Series that are compared now.
    pub fn series(&self) -> usize {
        self.series.len()
    }

    /// The sums by series, for whoever decides.
    pub fn tallies(&self) -> Vec<SeriesTally> {
        let all = self.tallies.iter().filter(|(_, tally)| tally.steps > 0);
        all.map(|(series, tally)| SeriesTally {
            series: *series,
            tally: *tally,
        })
        .collect()
    }

    /// Whether a series is compared, or there is room for it.
    pub fn takes(&self, customer: &CustomerId, key: &SeriesKey) -> bool {
        self.series.contains_key(&(customer.clone(), key.clone()))
            || self.series.len() < SERIES_MAX
            || self.forgettable().is_some()
    }

    /// What the challenger learnt of a series.
    pub fn calibration(&self, customer: &CustomerId, key: &SeriesKey) -> Vec<u8> {
        let found = self.series.get(&(customer.clone(), key.clone()));
        found.map_or_else(Vec::new, |series| series.calibration.clone())
    }

    /// Scores what the windows of a request show of earlier forecasts.
    pub fn observe(&mut self, request: &ForecastRequest) {
        for window in &request.series {
            let name = (request.customer.clone(), window.key.clone());
            let Some(series) = self.series.get_mut(&name) else {
                continue;
            };
            let number = series_number(&request.customer, &window.key);
            if !self.tallies.contains_key(&number) && self.tallies.len() >= TALLIES_MAX {
                continue;
            }
            let tally = self.tallies.entry(number).or_default();
            let interval_s = i64::from(request.interval.0);
            series.pending.retain_mut(|pending| {
                // Steps of another length say nothing of these.
                pending.interval_s == interval_s
                    && pending.score(window, request.issued_at.0, tally)
            });
        }
    }

    /// Takes the forecasts of both, where both are those of a network.
    pub fn offer(&mut self, request: &ForecastRequest, offered: OfferedSeries<'_>) {
        self.offers += 1;
        let is_of = |forecast: &SeriesForecast, weights: &WeightsId| matches!(&forecast.source, ForecastSource::Network(id) if id == weights);
        if !is_of(offered.champion, &self.champion) || !is_of(offered.challenger, &self.challenger)
        {
            return;
        }
        let name = (request.customer.clone(), offered.window.key.clone());
        if !self.series.contains_key(&name) && self.series.len() >= SERIES_MAX {
            let Some(forgotten) = self.forgettable() else {
                return;
            };
            self.series.remove(&forgotten);
        }
        let offers = self.offers;
        let series = self.series.entry(name).or_default();
        series.offered = offers;
        offered.calibration.clone_into(&mut series.calibration);
        series.keep(request, &offered);
    }

    /// The series that was not offered for longest, if for long enough.
    fn forgettable(&self) -> Option<(CustomerId, SeriesKey)> {
        let oldest = self.series.iter().min_by_key(|(_, one)| one.offered)?;
        let is_old = oldest.1.offered.saturating_add(FORGET_AFTER) < self.offers;
        is_old.then(|| oldest.0.clone())
    }
}

impl SeriesBook {
    fn keep(&mut self, request: &ForecastRequest, offered: &OfferedSeries<'_>) {
        let (first, second) = (offered.champion, offered.challenger);
        let steps = first.quantiles.len().min(second.quantiles.len());
        let interval_s = i64::from(request.interval.0);
        let first_step_at = request.issued_at.0;
        let apart = i64::try_from(steps / PENDING_MAX).unwrap_or(1).max(1) * interval_s;
        let is_soon = self
            .pending
            .back()
            .is_some_and(|last| first_step_at < last.first_step_at.saturating_add(apart));
        let Some(scale) = mean(offered.window) else {
            return;
        };
        if steps == 0 || interval_s == 0 || is_soon || self.pending.len() >= PENDING_MAX {
            return;
        }
        let both = first.quantiles.iter().zip(&second.quantiles);
        self.pending.push_back(Pending {
            first_step_at,
            interval_s,
            scale,
            quantiles: both
                .map(|(one, other)| [one.map(units), other.map(units)])
                .collect(),
            over: 0,
            is_counted: false,
        });
    }
}

impl Pending {
    /// Compares the steps that a window shows; returns whether any is left.
    fn score(&mut self, window: &SeriesWindow, now: i64, tally: &mut PairTally) -> bool {
        while let Some(quantiles) = self.quantiles.get(self.over) {
            let step = i64::try_from(self.over).unwrap_or(i64::MAX);
            let at = self
                .first_step_at
                .saturating_add(step.saturating_mul(self.interval_s));
            if at.saturating_add(self.interval_s) > now {
                return true;
            }
            if let Some(truth) = value_at(window, at, self.interval_s) {
                tally.add(at, truth, self.scale, quantiles);
                if !self.is_counted {
                    tally.forecasts += 1;
                    self.is_counted = true;
                }
            }
            self.over += 1;
        }
        false
    }
}

fn units(value: FixedValue) -> f32 {
    narrow(value.units())
}

/// The value of the step that begins at a time, if it was observed.
fn value_at(window: &SeriesWindow, at: i64, interval_s: i64) -> Option<f64> {
    let since = at.checked_sub(window.first_at.0)?;
    // On another grid it is another step.
    if since.checked_rem(interval_s)? != 0 {
        return None;
    }
    let index = usize::try_from(since / interval_s).ok()?;
    let value = (*window.values.get(index)?)?;
    Some(value.units())
}

/// The mean of what was observed; `None` where that is nothing: losses have no unit then.
fn mean(window: &SeriesWindow) -> Option<f64> {
    let seen = window.values.iter().flatten();
    let (sum, count) = seen.fold((0.0, 0_u32), |(sum, count), value| {
        (sum + value.units().abs(), count + 1)
    });
    let mean = sum / f64::from(count);
    (count > 0 && mean > 0.0).then_some(mean)
}
