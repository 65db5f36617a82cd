//! How good the forecasts of a series were that were really issued.
//!
//! Issued forecasts on a fixed grid in time are kept until their horizon has passed and are then compared
//! with what came: weighted quantile loss, coverage, exceedance and bias, by bucket of the horizon. Older
//! comparisons count less. Unlike back-casts these are the very numbers that plans were made of.
//!
//! Invariant: bounded; a forecast is scored once, with the samples that are there by then.

use crate::numeric::pinball;
use crate::rows::StepQuantiles;
use crate::series::Series;
use crate::stored::v2::{self, BUCKETS};
use serde::Serialize;
use twinscale_protocol::quantile::MEDIAN;
use twinscale_protocol::{QUANTILE_LEVELS, QUANTILES};

/// Forecasts that wait for their truth, at most: half a horizon lies between two.
const ISSUED_MAX: usize = 3;
/// Steps of all that wait, at most: of forecasts over a week one waits, so that what a twin keeps stays small.
const ISSUED_STEPS_MAX: usize = 168;
/// Scored forecasts whose ranks are kept, at most: a week of hourly ones, two days of finer ones.
const RANKS_MAX: usize = 14;
/// Steps of all ranks that are kept, at most: of forecasts over a week the latest four.
const RANK_STEPS_MAX: usize = 4 * 168;
/// Levels between the least and the greatest rank.
const RANK_CODES: f64 = 254.0;
/// Share of a sum that is left when the next forecast is scored: about a hundred forecasts count.
const KEPT: f64 = 0.99;
/// Steps between the lowest and the highest number of a kept forecast.
const CODES: f64 = 65_535.0;

/// Forecasts that wait, and sums over those that were scored.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Scores {
    issued: Vec<v2::Issued>,
    sums: [v2::ScoreSums; BUCKETS],
    ranks: Vec<v2::Ranks>,
}

/// How good forecasts were, for one part of the horizon.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Accuracy {
    /// Steps that count, older ones in part.
    pub steps: f64,
    /// Weighted quantile loss: twice the pinball losses of all quantiles over their number and the demand.
    pub weighted_loss: f64,
    /// Share of the demand between the 0.1 and the 0.9 quantile; 0.8 is right.
    pub inside_80: f64,
    /// Share between the 0.05 and the 0.95 quantile; 0.9 is right.
    pub inside_90: f64,
    /// Share above the 0.99 quantile; 0.01 is right.
    pub above_99: f64,
    /// Mean of median less demand, as a share of the demand: above 0 forecasts are too high.
    pub bias: f64,
}

impl Scores {
    pub(crate) fn restore(stored: &v2::Scores) -> Self {
        Self {
            issued: stored.issued.iter().take(ISSUED_MAX).cloned().collect(),
            sums: stored.sums,
            ranks: stored.ranks.iter().take(RANKS_MAX).cloned().collect(),
        }
    }

    pub(crate) fn store(&self) -> v2::Scores {
        v2::Scores {
            issued: self.issued.clone(),
            sums: self.sums,
            ranks: self.ranks.clone(),
        }
    }

    /// Scores what has passed, and keeps the forecast that is issued now when it lies on the grid.
    pub(crate) fn update(
        &mut self,
        series: &Series,
        issued: Option<&StepQuantiles>,
        bucket_of: impl Fn(usize) -> usize,
    ) {
        let end_s = series.time_s(series.len());
        let passed = |forecast: &v2::Issued| {
            let steps = i64::try_from(forecast.codes.len()).unwrap_or(i64::MAX);
            let length_s = steps.saturating_mul(series.interval_s());
            forecast.first_s.saturating_add(length_s) <= end_s
        };
        let (done, waiting): (Vec<_>, Vec<_>) = self.issued.drain(..).partition(passed);
        self.issued = waiting;
        for forecast in done {
            self.score(series, &forecast, &bucket_of);
        }
        let again = self.issued.iter().any(|forecast| forecast.first_s == end_s);
        let waiting = self.issued.iter().map(|forecast| forecast.codes.len());
        let steps: usize = waiting.sum();
        if let Some(quantiles) = issued
            && self.issued.len() < ISSUED_MAX
            && steps + quantiles.len() <= ISSUED_STEPS_MAX
            && !again
        {
            self.issued.push(coded(end_s, quantiles));
        }
    }

    fn score(
        &mut self,
        series: &Series,
        forecast: &v2::Issued,
        bucket_of: &impl Fn(usize) -> usize,
    ) {
        let since_s = forecast.first_s - series.start_s();
        let Ok(first) = usize::try_from(since_s.div_euclid(series.interval_s())) else {
            // The window no longer reaches back to it.
            return;
        };
        for sums in &mut self.sums {
            *sums = sums.map(|sum| sum * KEPT);
        }
        let mut ranks = vec![0; forecast.codes.len()];
        for (ahead, rank) in ranks.iter_mut().enumerate() {
            if let Some(truth) = series.value(first + ahead) {
                let quantiles = decoded(forecast, ahead);
                if let Some(sums) = self.sums.get_mut(bucket_of(ahead)) {
                    add(sums, truth, &quantiles);
                }
                *rank = rank_code(share_below(&quantiles, truth));
            }
        }
        self.ranks.push(v2::Ranks {
            first_s: forecast.first_s,
            ranks,
        });
        let mut steps = 0;
        let newest = self.ranks.iter().rev().take(RANKS_MAX);
        let fitting = newest.take_while(|kept| {
            steps += kept.ranks.len();
            steps <= RANK_STEPS_MAX
        });
        let surplus = self.ranks.len() - fitting.count();
        self.ranks.drain(..surplus);
    }
}

/// Reads accuracies by bucket of the horizon; none where nothing was scored yet.
pub(crate) fn accuracies(stored: &v2::Scores) -> [Option<Accuracy>; BUCKETS] {
    stored.sums.map(|sums| {
        let [steps, pinball, demand, inside_80, inside_90, above_99, miss] = sums;
        let usable = steps > 0.0 && sums.iter().all(|sum| sum.is_finite());
        let of_demand = |sum: f64| if demand > 0.0 { sum / demand } else { 0.0 };
        usable.then(|| Accuracy {
            steps,
            weighted_loss: of_demand(2.0 * pinball / QUANTILES as f64),
            inside_80: inside_80 / steps,
            inside_90: inside_90 / steps,
            above_99: above_99 / steps,
            bias: of_demand(miss),
        })
    })
}

fn add(sums: &mut v2::ScoreSums, truth: f64, quantiles: &[f64; QUANTILES]) {
    let levels = quantiles.iter().zip(QUANTILE_LEVELS);
    let losses = levels.map(|(quantile, level)| pinball(truth, *quantile, level));
    let within = |low: usize, high: usize| {
        let inside = quantiles[low] <= truth && truth <= quantiles[high];
        f64::from(u8::from(inside))
    };
    let last = QUANTILES - 1;
    let terms = [
        1.0,
        losses.sum(),
        truth,
        within(1, last - 2),
        within(0, last - 1),
        f64::from(u8::from(truth > quantiles[last])),
        quantiles[MEDIAN] - truth,
    ];
    for (sum, term) in sums.iter_mut().zip(terms) {
        *sum += term;
    }
}

/// Share of a forecast that lies below a value: between its quantiles by a straight line, outside by half of
/// what is left.
fn share_below(quantiles: &[f64; QUANTILES], value: f64) -> f64 {
    let above = quantiles.partition_point(|quantile| *quantile < value);
    let level = |at: usize| QUANTILE_LEVELS.get(at).copied();
    match (above.checked_sub(1), level(above)) {
        (None, Some(first)) => first / 2.0,
        (Some(below), None) => f64::midpoint(QUANTILE_LEVELS[below], 1.0),
        (Some(below), Some(next)) => {
            let width = quantiles[above] - quantiles[below];
            let share = if width > 0.0 {
                (value - quantiles[below]) / width
            } else {
                0.5
            };
            QUANTILE_LEVELS[below] + share * (next - QUANTILE_LEVELS[below])
        }
        (None, None) => 0.5,
    }
}

/// The kept form of a rank; 0 is left for what was not observed.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a share times the number of codes"
)]
fn rank_code(share: f64) -> u8 {
    (share.clamp(0.0, 1.0) * RANK_CODES).round() as u8 + 1
}

/// The share that a kept rank stands for; none for what was not observed.
pub(crate) fn rank_share(code: u8) -> Option<f64> {
    let above = code.checked_sub(1)?;
    Some(f64::from(above) / RANK_CODES)
}

fn coded(first_s: i64, quantiles: &StepQuantiles) -> v2::Issued {
    let all = quantiles.iter().flatten().copied();
    let (low, high) = all.fold((f64::MAX, f64::MIN), |(low, high), value| {
        (low.min(value), high.max(value))
    });
    let unit = ((high - low) / CODES).max(f64::MIN_POSITIVE);
    v2::Issued {
        first_s,
        low,
        unit,
        codes: quantiles
            .iter()
            .map(|step| step.map(|value| code((value - low) / unit)))
            .collect(),
    }
}

fn decoded(forecast: &v2::Issued, ahead: usize) -> [f64; QUANTILES] {
    let codes = forecast.codes.get(ahead).copied().unwrap_or_default();
    codes.map(|code| forecast.low + f64::from(code) * forecast.unit)
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "clamped to the range of codes"
)]
fn code(units: f64) -> u16 {
    units.clamp(0.0, CODES).round() as u16
}

#[cfg(test)]
mod tests {
    use super::*;

    fn series(hours: usize) -> Series {
        let values: Vec<Option<f64>> = (0..hours).map(|_| Some(10.0)).collect();
        Series::new(0, 3600, &values).expect("a series")
    }

    fn flat(offset: f64) -> StepQuantiles {
        let levels = [-3.0, -2.0, -1.0, 0.0, 1.0, 2.0, 3.0, 4.0];
        vec![levels.map(|side| 10.0 + offset + side); 24]
    }

    #[test]
    fn a_forecast_is_scored_once_when_its_horizon_has_passed() {
        let mut scores = Scores::default();
        let bucket = |ahead: usize| usize::from(ahead >= 12);
        scores.update(&series(100), Some(&flat(1.0)), bucket);
        scores.update(&series(123), None, bucket);
        assert_eq!(accuracies(&scores.store()), [None; BUCKETS]);
        scores.update(&series(124), None, bucket);
        let after = accuracies(&scores.store());
        for near in after.iter().take(2) {
            let near = near.expect("scored");
            assert!((near.steps - 12.0).abs() < 1e-9);
            assert!((near.bias - 0.1).abs() < 1e-3, "{near:?}");
            assert!((near.inside_80 - 1.0).abs() < 1e-9);
            assert!(near.above_99.abs() < 1e-9);
        }
        assert_eq!(after[2], None);
        scores.update(&series(125), None, bucket);
        assert_eq!(accuracies(&scores.store()), after);
    }

    #[test]
    fn what_waits_is_bounded_and_comes_back() {
        let mut scores = Scores::default();
        for hours in 100..120 {
            scores.update(&series(hours), Some(&flat(0.0)), |_| 0);
            scores.update(&series(hours), Some(&flat(0.0)), |_| 0);
        }
        assert_eq!(scores.store().issued.len(), ISSUED_MAX);
        assert_eq!(Scores::restore(&scores.store()), scores);
    }

    #[test]
    fn ranks_say_how_much_of_a_forecast_lies_below() {
        let quantiles = flat(0.0)[0];
        assert!((share_below(&quantiles, 10.0) - 0.5).abs() < 1e-9);
        assert!((share_below(&quantiles, 10.5) - 0.625).abs() < 1e-9);
        assert!((share_below(&quantiles, -50.0) - 0.025).abs() < 1e-9);
        assert!((share_below(&quantiles, 50.0) - 0.995).abs() < 1e-9);
        assert!((share_below(&[3.0; QUANTILES], 3.0) - 0.025).abs() < 1e-9);
        assert_eq!(rank_share(0), None);
        let back = rank_share(rank_code(0.3)).expect("observed");
        assert!((back - 0.3).abs() < 0.003);
    }

    #[test]
    fn codes_are_close() {
        let forecast = coded(0, &flat(0.37));
        for (step, wanted) in flat(0.37).iter().enumerate() {
            for (found, wanted) in decoded(&forecast, step).iter().zip(wanted) {
                assert!((found - wanted).abs() < 1e-4);
            }
        }
    }
}
