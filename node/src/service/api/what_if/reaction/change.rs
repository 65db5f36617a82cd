//! What a reaction does to a forecast.

use super::SeriesReaction;
use twinscale_protocol::forecaster::SeriesForecast;
use twinscale_protocol::{FixedValue, Quantiles};
use twinscale_reaction::effect::{LEVELS, MIDDLE};
use twinscale_reaction::response::Effect;

/// Standard deviations of the outer levels of an effect.
const OUTER_Z: f64 = 1.644_853_626_951_472_7;
/// Standard deviations of the forecast's levels and of its peak's, of a normal law.
const LEVEL_Z: [f64; 8] = [-1.645, -1.282, -0.674, 0.0, 0.674, 1.282, 1.645, 2.326];
const PEAK_Z: [f64; 12] = [
    -0.674, 0.0, 0.674, 1.282, 1.645, 2.054, 2.326, 2.576, 2.878, 3.090, 3.291, 3.540,
];

impl SeriesReaction {
    /// Changes a forecast, its ranges with it.
    pub(in crate::service::api::what_if) fn change(&self, forecast: &mut SeriesForecast) {
        for (quantiles, effect) in forecast.quantiles.iter_mut().zip(&self.effects) {
            *quantiles = changed(quantiles, effect);
        }
        let Some(peak) = &mut forecast.peak else {
            return;
        };
        let first = self.effects.iter().take(usize::from(peak.steps));
        let highest = first.max_by(|left, right| left[MIDDLE].total_cmp(&right[MIDDLE]));
        if let Some(effect) = highest {
            let values = peak.quantiles;
            let median = values[1].units();
            for ((value, before), z) in peak.quantiles.iter_mut().zip(values).zip(PEAK_Z) {
                *value = FixedValue::from_model(widened(before.units(), median, (effect, z)));
            }
        }
    }
}

fn changed(quantiles: &Quantiles, effect: &Effect) -> Quantiles {
    let median = quantiles[twinscale_protocol::quantile::MEDIAN].units();
    let mut changed = *quantiles;
    for (value, z) in changed.iter_mut().zip(LEVEL_Z) {
        *value = FixedValue::from_model(widened(value.units(), median, (effect, z)));
    }
    changed
}

/// A quantile times the effect, as far from the new median as both uncertainties together say: distances of
/// logarithms add up as those of independent numbers.
fn widened(value: f64, median: f64, (effect, z): (&Effect, f64)) -> f64 {
    let middle = effect[MIDDLE];
    let outer = if z < 0.0 {
        middle - effect[0]
    } else {
        effect[LEVELS.len() - 1] - middle
    };
    if value <= 0.0 || median <= 0.0 {
        return value * middle.exp();
    }
    let (own, more) = ((value / median).ln(), outer * z / OUTER_Z);
    median * (middle + own.hypot(more).copysign(z)).exp()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_forecast_is_multiplied_and_its_range_widened() {
        let quantiles: Quantiles =
            [5.0, 6.0, 8.0, 10.0, 12.0, 14.0, 16.0, 20.0].map(FixedValue::from_model);
        let sure = [0.5_f64.ln(); 5];
        let halved = changed(&quantiles, &sure);
        for (before, after) in quantiles.iter().zip(&halved) {
            assert!(
                (after.units() - 0.5 * before.units()).abs() < 1e-5,
                "{halved:?}"
            );
        }
        let none = changed(&quantiles, &[0.0; 5]);
        for (before, after) in quantiles.iter().zip(&none) {
            assert!((after.units() - before.units()).abs() < 1e-5, "{none:?}");
        }
        let unsure = [-0.4, -0.2, 0.0, 0.2, 0.4];
        let wide = changed(&quantiles, &unsure);
        assert!(wide.is_sorted(), "{wide:?}");
        assert!((wide[3].units() - 10.0).abs() < 1e-5);
        let expected = 10.0 * 1.6_f64.ln().hypot(0.4).exp();
        assert!((wide[6].units() - expected).abs() < 0.01, "{wide:?}");
        let idle = [FixedValue::from_model(0.0); 8];
        assert_eq!(changed(&idle, &unsure), idle);
    }
}
