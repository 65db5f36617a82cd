//! Forecasts of series with little history.
//!
//! The networks learnt mostly from weeks of history; from a day of it they extrapolate, now and then to
//! hundreds of times of what was ever seen. So a network that was trained on the first days of histories
//! answers beside them, with a share that falls with every doubling of the history. And distances from the
//! median that lie beyond the reach of all that was seen grow by their logarithm only.
//!
//! Invariant: shares follow from the length of the history alone; nothing is stored.

use crate::mixture::mean_of;
use crate::rows::{RowForecasts, StepQuantiles};
use crate::series::Series;
use twinscale_protocol::QUANTILES;
use twinscale_protocol::quantile::MEDIAN;

/// Days of history from which on the other networks answer alone.
pub const YOUNG_DAYS: f64 = 3.0;

/// Days of history that show what a series can reach: each weekday once.
const REACH_DAYS: f64 = 7.0;

/// Share of the network for little history after a day and before it; less after each doubling.
const SHARE_MAX: f64 = 0.8;

/// How far a quantile may lie beyond all that was seen before it is drawn in, as a share of the range that
/// was seen: the largest of a day's samples is passed every other day, and rarely by as much again.
const REACH: f64 = 0.5;

/// Share of the network for little history at an origin; 0 where there is enough.
pub(crate) fn share(series: &Series, origin: usize) -> f64 {
    SHARE_MAX * (1.0 - days(series, origin).ln() / YOUNG_DAYS.ln()).clamp(0.0, 1.0)
}

fn days(series: &Series, origin: usize) -> f64 {
    (origin + 1) as f64 / series.steps_per_day() as f64
}

/// Lets the network for little history have its share in the others' forecast, and draws in what lies
/// beyond the reach of what was seen; leaves the forecast as it is where there is enough history.
pub(crate) fn blend(series: &Series, row: &RowForecasts, mixed: StepQuantiles) -> StepQuantiles {
    if days(series, row.origin) >= REACH_DAYS {
        return mixed;
    }
    let reach = Reach::of(series, row.origin, row.scale.scale);
    let drawn_in = |forecast: &StepQuantiles| -> StepQuantiles {
        forecast.iter().map(|step| reach.draw_in(step)).collect()
    };
    let mixed = drawn_in(&mixed);
    if row.young.is_empty() {
        return mixed;
    }
    let share = share(series, row.origin);
    let each = share / row.young.len() as f64;
    let mut weights = vec![[each; QUANTILES]; row.young.len()];
    weights.push([1.0 - share; QUANTILES]);
    let mut forecasts: Vec<StepQuantiles> = row.young.iter().map(drawn_in).collect();
    forecasts.push(mixed);
    mean_of(&forecasts, &weights, row.scale.scale)
}

/// What was seen.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Reach {
    low: f64,
    high: f64,
    /// How far beyond either a quantile may lie; above 0.
    beyond: f64,
}

impl Reach {
    fn of(series: &Series, origin: usize, scale: f64) -> Self {
        let seen = (0..=origin).map(|at| series.carried(at));
        let (low, high) = seen.fold((f64::MAX, 0.0_f64), |(low, high), value| {
            (low.min(value), high.max(value))
        });
        let beyond = REACH * (high - low).max(scale);
        Self { low, high, beyond }
    }

    fn draw_in(&self, quantiles: &[f64; QUANTILES]) -> [f64; QUANTILES] {
        let median = quantiles[MEDIAN];
        let up = (self.high - median).max(0.0) + self.beyond;
        let down = (median - self.low).max(0.0) + self.beyond;
        let slowed = |distance: f64, reach: f64| {
            if distance > reach {
                reach * (1.0 + (distance / reach).ln())
            } else {
                distance
            }
        };
        quantiles.map(|value| {
            if value > median {
                median + slowed(value - median, up)
            } else {
                (median - slowed(median - value, down)).max(0.0)
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_share_falls_from_a_day_on_and_ends_with_the_young_days() {
        let series = Series::new(0, 3600, &[Some(1.0); 200]).expect("a series");
        let at = |hours: usize| share(&series, hours - 1);
        assert!((at(6) - SHARE_MAX).abs() < 1e-12 && (at(24) - SHARE_MAX).abs() < 1e-12);
        assert!(at(24) > at(36) && at(36) > at(60) && at(60) > 0.0);
        assert!(at(72) <= 0.0 && at(200) <= 0.0, "{}", at(72));
    }

    #[test]
    fn within_reach_nothing_moves_and_beyond_it_order_stays() {
        let values: Vec<Option<f64>> = (0..24).map(|at| Some(f64::from(at % 5))).collect();
        let series = Series::new(0, 3600, &values).expect("a series");
        let reach = Reach::of(&series, 23, 1.0);
        let near = [0.0, 0.5, 1.0, 2.0, 3.0, 4.0, 5.0, 5.5];
        for (drawn, value) in reach.draw_in(&near).iter().zip(near) {
            assert!((drawn - value).abs() < 1e-12, "{drawn} {value}");
        }
        let far = [0.0, 0.5, 1.0, 2.0, 8.0, 80.0, 800.0, 8_000.0];
        let drawn = reach.draw_in(&far);
        assert!(drawn.windows(2).all(|pair| pair[0] <= pair[1]), "{drawn:?}");
        assert!(
            drawn[4] > 6.0 && drawn[7] < 50.0,
            "what was seen ends at 4: {drawn:?}"
        );
    }
}
