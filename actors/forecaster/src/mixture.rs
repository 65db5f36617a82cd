//! Which forecasters of a series are trusted, quantile by quantile.
//!
//! The median is a weighed mean of all forecasters' medians. The other quantiles' distances from it are
//! weighed means as well, of the distances' inverse hyperbolic sines: where one forecaster sees a hundred
//! times the usual width and the others do not, it does not decide alone. Back-casts of earlier origins tell
//! each one's pinball loss, in units of the geometric mean of what the series usually loses and what all lost
//! there, so that an hour in which little could be lost counts for little; a weight falls with the exponential of the discounted sum of these, so that
//! what was good lately leads, and equals share. The mean over quantiles counts beside each quantile's own
//! loss, since the outer ones are told of rarely.
//! Source: prediction with expert advice, Cesa-Bianchi and Lugosi (2006), with losses discounted.
//!
//! Invariant: the state is integers, and learning origin by origin or many at once gives the same.

use crate::numeric::pinball;
use crate::rows::StepQuantiles;
use crate::series::Series;
use twinscale_protocol::quantile::MEDIAN;
use twinscale_protocol::{QUANTILE_LEVELS, QUANTILES};

/// How fast weights follow losses.
const RATE: f64 = 0.5;
/// Share of a loss that is left at the next origin.
const KEPT: f64 = 0.97;
/// How much the mean over all quantiles counts beside a quantile's own loss.
const SHARED: f64 = 0.5;
/// One unit of a stored loss.
const UNITS: f64 = 65_536.0;
/// Bound on one origin's loss, in its unit: one blunder bans nobody for good.
const LOSS_MAX: f64 = 16.0;
/// A unit below this tells nothing.
const LOSS_MIN: f64 = 1e-12;
/// Share of each quantile in the loss of all, times their number: measured for the networks on spans of the
/// training corpus that they never had as targets.
const LOSS_SHARES: [f64; QUANTILES] = [0.45, 0.70, 1.20, 1.60, 1.50, 1.12, 0.90, 0.53];

/// What each forecaster of a series lost lately.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Mixture {
    /// Discounted sums of relative losses, in 65536ths, by forecaster and quantile.
    losses: Vec<[u32; QUANTILES]>,
}

impl Mixture {
    /// Begins with equal trust in `forecasters`, or goes on with stored losses of as many.
    pub(crate) fn restore(stored: Option<&[[u32; QUANTILES]]>, forecasters: usize) -> Self {
        match stored {
            Some(losses) if losses.len() == forecasters => Self {
                losses: losses.to_vec(),
            },
            _ => Self {
                losses: vec![[0; QUANTILES]; forecasters],
            },
        }
    }

    /// Leaves a share of what was learnt.
    pub(crate) fn forget(&mut self, kept: f64) {
        for sum in self.losses.iter_mut().flatten() {
            *sum = rounded(f64::from(*sum) * kept);
        }
    }

    /// The losses, to be stored.
    pub(crate) fn losses(&self) -> &[[u32; QUANTILES]] {
        &self.losses
    }

    /// Weights by forecaster and quantile; those of a quantile sum to 1.
    pub(crate) fn weights(&self) -> Vec<[f64; QUANTILES]> {
        let sums: Vec<[f64; QUANTILES]> = self
            .losses
            .iter()
            .map(|losses| {
                let losses = losses.map(|loss| f64::from(loss) / UNITS);
                let mean = losses.iter().sum::<f64>() / QUANTILES as f64;
                losses.map(|loss| (1.0 - SHARED) * loss + SHARED * mean)
            })
            .collect();
        let mut weights = vec![[0.0; QUANTILES]; sums.len()];
        for quantile in 0..QUANTILES {
            let least = sums
                .iter()
                .map(|sum| sum[quantile])
                .fold(f64::MAX, f64::min);
            let raw = sums
                .iter()
                .map(|sum| (RATE * (least - sum[quantile])).exp());
            let total: f64 = raw.clone().sum();
            for (weight, raw) in weights.iter_mut().zip(raw) {
                weight[quantile] = raw / total;
            }
        }
        weights
    }

    /// Mixes the forecasters' quantiles, distances in units of `scale`; shape of each: `[step][quantile]`.
    pub(crate) fn combine(&self, forecasts: &[StepQuantiles], scale: f64) -> StepQuantiles {
        mean_of(forecasts, &self.weights(), scale)
    }

    /// Compares the forecasts of an origin with what came; `usual` is what the series usually loses over as
    /// many steps, all quantiles together.
    pub(crate) fn learn(
        &mut self,
        series: &Series,
        origin: usize,
        forecasts: &[StepQuantiles],
        usual: f64,
    ) {
        let losses: Vec<[f64; QUANTILES]> = forecasts
            .iter()
            .map(|forecast| losses_of(series, origin, forecast))
            .collect();
        for quantile in 0..QUANTILES {
            let mean = losses.iter().map(|loss| loss[quantile]).sum::<f64>() / losses.len() as f64;
            let floor = usual * LOSS_SHARES[quantile] / QUANTILES as f64;
            let unit = (mean * floor).sqrt();
            for (sum, loss) in self.losses.iter_mut().zip(&losses) {
                let relative = if unit > LOSS_MIN {
                    (loss[quantile] / unit).min(LOSS_MAX)
                } else {
                    1.0
                };
                let before = f64::from(sum[quantile]) / UNITS;
                sum[quantile] = rounded((KEPT * before + relative) * UNITS);
            }
        }
    }
}

/// Weighed mean of forecasts, distances from the median in units of `scale`; the weights of a quantile sum
/// to 1. Shapes: `[forecast][step][quantile]` and `[forecast][quantile]`.
pub(crate) fn mean_of(
    forecasts: &[StepQuantiles],
    weights: &[[f64; QUANTILES]],
    scale: f64,
) -> StepQuantiles {
    let steps = forecasts.first().map_or(0, Vec::len);
    let mut mixed = vec![[0.0; QUANTILES]; steps];
    for (forecast, weights) in forecasts.iter().zip(weights) {
        for (mixed, quantiles) in mixed.iter_mut().zip(forecast) {
            let median = quantiles[MEDIAN];
            for (at, ((sum, value), weight)) in
                mixed.iter_mut().zip(quantiles).zip(weights).enumerate()
            {
                *sum += weight
                    * if at == MEDIAN {
                        median
                    } else {
                        ((value - median) / scale).asinh()
                    };
            }
        }
    }
    for step in &mut mixed {
        let median = step[MEDIAN];
        for (at, value) in step.iter_mut().enumerate() {
            if at != MEDIAN {
                *value = (median + scale * value.sinh()).max(0.0);
            }
        }
        step.sort_by(f64::total_cmp);
    }
    mixed
}

/// Sum of the pinball losses of each quantile over the steps that were observed.
pub(crate) fn losses_of(
    series: &Series,
    origin: usize,
    forecast: &StepQuantiles,
) -> [f64; QUANTILES] {
    let mut losses = [0.0; QUANTILES];
    for (ahead, quantiles) in forecast.iter().enumerate() {
        let Some(truth) = series.value(origin + 1 + ahead) else {
            continue;
        };
        let levels = QUANTILE_LEVELS.iter();
        for ((loss, quantile), level) in losses.iter_mut().zip(quantiles).zip(levels) {
            *loss += pinball(truth, *quantile, *level);
        }
    }
    losses
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "bounded by the largest loss over what is forgotten"
)]
fn rounded(units: f64) -> u32 {
    units.round() as u32
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A loss of 1 at each of 24 steps and 8 quantiles.
    const USUAL: f64 = 24.0 * 8.0;

    fn flat(value: f64) -> StepQuantiles {
        vec![[value; QUANTILES]; 24]
    }

    fn series() -> Series {
        Series::new(0, 3600, &[Some(10.0); 400]).expect("a series")
    }

    #[test]
    fn nothing_learnt_is_the_plain_mean() {
        let mixture = Mixture::restore(None, 2);
        let mixed = mixture.combine(&[flat(8.0), flat(12.0)], 1.0);
        assert!(
            mixed
                .iter()
                .flatten()
                .all(|value| (value - 10.0).abs() < 1e-12)
        );
    }

    #[test]
    fn the_better_forecaster_comes_to_lead_and_can_lose_it_again() {
        let series = series();
        let mut mixture = Mixture::restore(None, 2);
        for origin in 100..200 {
            mixture.learn(&series, origin, &[flat(10.0), flat(12.0)], USUAL);
        }
        let led = mixture.weights()[0];
        assert!(led.iter().all(|weight| *weight > 0.99), "{led:?}");
        for origin in 200..340 {
            mixture.learn(&series, origin, &[flat(14.0), flat(10.0)], USUAL);
        }
        let lost = mixture.weights()[0];
        assert!(lost.iter().all(|weight| *weight < 0.5), "{lost:?}");
    }

    #[test]
    fn stored_losses_come_back_and_others_are_left() {
        let series = series();
        let mut mixture = Mixture::restore(None, 2);
        mixture.learn(&series, 100, &[flat(10.5), flat(12.0)], USUAL);
        let stored = mixture.losses().to_vec();
        assert_eq!(Mixture::restore(Some(&stored), 2), mixture);
        assert_eq!(
            Mixture::restore(Some(&stored), 3),
            Mixture::restore(None, 3)
        );
    }

    #[test]
    fn equals_share_where_nothing_can_be_told() {
        let mut mixture = Mixture::restore(None, 3);
        mixture.learn(&series(), 100, &[flat(10.0), flat(10.0), flat(10.0)], USUAL);
        let weights = mixture.weights();
        assert!(
            weights
                .iter()
                .flatten()
                .all(|weight| (weight - 1.0 / 3.0).abs() < 1e-9)
        );
    }

    #[test]
    fn a_lone_forecaster_that_sees_a_hundred_times_the_width_does_not_decide() {
        let with_upper = |upper: f64| -> StepQuantiles {
            vec![[9.0, 9.2, 9.5, 10.0, 10.5, 10.8, 11.0, upper]; 24]
        };
        let mixture = Mixture::restore(None, 4);
        let sane = || with_upper(12.0);
        let mixed = mixture.combine(&[sane(), sane(), sane(), with_upper(1_000.0)], 1.0);
        let highest = mixed[0][QUANTILES - 1];
        assert!((12.0..30.0).contains(&highest), "{highest}");
        // What all agree on stays as it is.
        assert!((mixed[0][0] - 9.0).abs() < 1e-9 && (mixed[0][MEDIAN] - 10.0).abs() < 1e-9);
    }

    #[test]
    fn an_hour_in_which_little_is_lost_counts_for_little() {
        let series = series();
        let mut mixture = Mixture::restore(None, 2);
        // One is exact in fifty quiet hours, where the other is off by a thousandth of what is usual.
        for origin in 100..150 {
            mixture.learn(&series, origin, &[flat(10.0), flat(10.001)], USUAL);
        }
        let quiet = mixture.weights();
        // In units of what both lost there it would have all of the weight.
        assert!((quiet[0][MEDIAN] - 0.5).abs() < 0.1, "{quiet:?}");
        // Then it misses three times.
        for origin in 150..153 {
            mixture.learn(&series, origin, &[flat(14.0), flat(10.001)], USUAL);
        }
        let missed = mixture.weights();
        assert!(missed[1][MEDIAN] > 0.8, "{missed:?}");
    }
}
