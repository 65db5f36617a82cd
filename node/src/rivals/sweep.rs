//! All rivals of one tier, at any setting of their knobs.

use super::case::TierCase;
use super::evaluate::{Outcome, evaluate};
use super::foresight::static_peak;
use super::moving_window::{moving_window, window_wishes};
use super::predictive::{HourlyForecast, predictive};
use super::reactive::{ReactiveSettings, reactive};

/// Target utilisations at which the reactive, the predictive and the moving-window rival are tried; 0.8 is
/// the one that capacities are planned for.
pub const TARGETS: [f64; 14] = [
    0.1, 0.2, 0.3, 0.4, 0.45, 0.5, 0.55, 0.6, 0.65, 0.7, 0.75, 0.8, 0.85, 0.9,
];

/// Multiples of the past peak at which the static fleet is tried.
pub const MULTIPLES: [f64; 12] = [0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0, 1.25, 1.5, 2.0];

/// One tier's rivals, with what they know that no knob changes.
#[derive(Clone, Debug)]
pub struct RivalPlans<'a> {
    case: &'a TierCase,
    forecast: HourlyForecast,
    wishes: Vec<f64>,
}

impl<'a> RivalPlans<'a> {
    /// Prepares the rivals of a tier.
    pub fn new(case: &'a TierCase) -> Self {
        Self {
            case,
            forecast: HourlyForecast::of(case),
            wishes: window_wishes(case),
        }
    }

    /// What the reactive rival comes to at a target utilisation.
    pub fn reactive(&self, target: f64) -> Outcome {
        evaluate(self.case, &reactive(self.case, &settings(target)))
    }

    /// What the predictive rival comes to at a target utilisation.
    pub fn predictive(&self, target: f64) -> Outcome {
        let lives = predictive(self.case, &self.forecast, &settings(target));
        evaluate(self.case, &lives)
    }

    /// What the moving window comes to at a target utilisation.
    pub fn autopilot(&self, target: f64) -> Outcome {
        let lives = moving_window(self.case, &self.wishes, &settings(target));
        evaluate(self.case, &lives)
    }

    /// What a fleet of a multiple of the past peak comes to.
    pub fn static_peak(&self, multiple: f64) -> Outcome {
        evaluate(self.case, &static_peak(self.case, multiple))
    }
}

fn settings(target: f64) -> ReactiveSettings {
    ReactiveSettings {
        target,
        ..ReactiveSettings::default()
    }
}
