//! The seasonal fallback: for a twin with little history, and where the network has no place.
//!
//! The same time a day before (or the last value, while there is no day) carries quantiles of how far that
//! rule missed in the past. Few misses widen the quantiles: the fewer, the wider.

use crate::rows::StepQuantiles;
use crate::series::Series;
use twinscale_protocol::{QUANTILE_LEVELS, QUANTILES};

/// Misses below which the spread is widened.
const MISSES_ENOUGH: f64 = 48.0;
/// Half-width in shares of the level that one lone sample is worth, at the outermost levels.
const SPREAD_OF_ONE: f64 = 0.5;
/// Smallest half-width in the series' own unit at the outermost levels, for a history of zeros.
const SPREAD_MIN: f64 = 1e-6;
/// Misses that are looked at, at most.
const MISSES_MAX: usize = 2048;

/// Forecasts from the last sample of the series.
pub(crate) fn forecast(series: &Series, horizon: usize) -> StepQuantiles {
    let origin = series.len().saturating_sub(1);
    let day = series.steps_per_day();
    let seasonal = series.len() > day;
    let lag = if seasonal { day } else { 1 };
    let misses = sorted_misses(series, lag);
    let level = series.mean(origin, day);
    let doubt = (1.0 - misses.len() as f64 / MISSES_ENOUGH).max(0.0);
    (1..=horizon)
        .map(|ahead| {
            let base = base(series, origin, ahead, lag, seasonal);
            // Without a season the doubt grows with the distance, as a random walk's does.
            let reach = if seasonal { 1.0 } else { (ahead as f64).sqrt() };
            let doubt = doubt * SPREAD_OF_ONE * level.max(base);
            let mut quantiles = [0.0; QUANTILES];
            for (quantile, level) in quantiles.iter_mut().zip(QUANTILE_LEVELS) {
                let side = 2.0 * level - 1.0;
                let miss = at_level(&misses, level) * reach + side * (doubt + SPREAD_MIN);
                *quantile = (base + miss).max(0.0);
            }
            quantiles.sort_by(f64::total_cmp);
            quantiles
        })
        .collect()
}

fn base(series: &Series, origin: usize, ahead: usize, lag: usize, seasonal: bool) -> f64 {
    if !seasonal {
        return series.mean(origin, 3);
    }
    let target = origin + ahead;
    let back = ahead.div_ceil(lag) * lag;
    series.carried(target.saturating_sub(back))
}

fn sorted_misses(series: &Series, lag: usize) -> Vec<f64> {
    let mut misses: Vec<f64> = (lag..series.len())
        .rev()
        .filter_map(|at| Some(series.value(at)? - series.value(at - lag)?))
        .take(MISSES_MAX)
        .collect();
    misses.sort_by(f64::total_cmp);
    misses
}

/// The empirical quantile, interpolated; 0 of nothing.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a position between 0 and a length"
)]
fn at_level(sorted: &[f64], level: f64) -> f64 {
    let Some(last) = sorted.len().checked_sub(1) else {
        return 0.0;
    };
    let at = level * last as f64;
    let below = at.floor() as usize;
    let above = (below + 1).min(last);
    let share = at - below as f64;
    sorted[below] * (1.0 - share) + sorted[above] * share
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_sample_gives_a_wide_range_around_it() {
        let series = Series::new(0, 3600, &[Some(10.0)]).expect("a series");
        let steps = forecast(&series, 3);
        assert_eq!(steps.len(), 3);
        for step in &steps {
            assert!(step.windows(2).all(|pair| pair[0] <= pair[1]));
            assert!(step[0] < 7.0 && step[7] > 13.0, "{step:?}");
            assert!((step[3] - 10.0).abs() < 1e-9);
        }
    }

    #[test]
    fn a_daily_pattern_is_repeated() {
        let values: Vec<Option<f64>> = (0..72)
            .map(|hour| Some(if hour % 24 < 12 { 1.0 } else { 9.0 }))
            .collect();
        let series = Series::new(0, 3600, &values).expect("a series");
        let steps = forecast(&series, 24);
        assert!((steps[0][3] - 1.0).abs() < 0.1);
        assert!((steps[23][3] - 9.0).abs() < 0.1);
    }

    #[test]
    fn zeros_stay_near_zero() {
        let series = Series::new(0, 300, &[Some(0.0); 600]).expect("a series");
        let steps = forecast(&series, 48);
        assert!(steps.iter().all(|step| step[7] < 0.01));
    }
}
