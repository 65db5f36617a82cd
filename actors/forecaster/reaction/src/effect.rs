//! What all customers have in common: how demand answers, before it is known how strongly one customer does.
//!
//! A shared model gives each step a *profile* by component, the shape of the answer; a customer's effect is the
//! profile times the customer's *scale*. Scales differ between customers: their quantiles are what is believed
//! of a customer of whom nothing is known. Effects are logarithms of what demand is multiplied by.

use crate::drivers::{COMPONENTS, Component, Features, INPUTS, NORMAL, Sign};
use crate::matrix::Symmetric;
use serde::{Deserialize, Serialize};

/// Largest effect either way: the logarithm of five.
pub const EFFECT_MAX: f64 = 1.609_437_912_434_100_4;
/// Quantiles of a scale.
pub const LEVELS: [f64; 5] = [0.05, 0.25, 0.5, 0.75, 0.95];
/// Where the median is among the levels.
pub const MIDDLE: usize = 2;
/// Standard deviations between the outer levels and the median, of a normal law.
pub(crate) const OUTER_Z: f64 = 1.644_853_626_951_472_7;
/// Least spread of a scale: nobody is known exactly before anything was seen of him.
const SPREAD_MIN: f64 = 0.05;
/// Answers of a customer below this say nothing of a scale: the sum of their squares.
const SEEN_MIN: f64 = 1e-3;

/// A step's answer by component, before scales.
pub type Profiles = [f64; COMPONENTS];

/// How strongly customers answer, in units of the profile: quantiles at [`LEVELS`], ascending.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Scale(pub [f64; LEVELS.len()]);

impl Scale {
    /// What is expected of an unknown customer.
    pub fn mean(self) -> f64 {
        self.0[MIDDLE]
    }

    /// Its standard deviation, from the outer quantiles.
    pub fn sd(self) -> f64 {
        ((self.0[LEVELS.len() - 1] - self.0[0]) / (2.0 * OUTER_Z)).max(SPREAD_MIN)
    }
}

/// Why there are no profiles.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the shared model of reactions gave no answer: {cause}")]
pub struct EffectError {
    /// What it said.
    pub cause: String,
}

/// What a shared model of reactions is.
pub trait SharedEffect: std::fmt::Debug {
    /// Profiles of steps; all 0 where all is normal.
    ///
    /// # Errors
    /// [`EffectError`] when what is behind it refuses.
    fn profiles(&self, rows: &[Features]) -> Result<Vec<Profiles>, EffectError>;

    /// How strongly customers answer.
    fn scales(&self) -> &[Scale; COMPONENTS];
}

/// A row of which the truth is known: features, and the logarithm of the effect by component.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct KnownRow {
    /// What demand could answer to.
    pub features: Features,
    /// How it did.
    pub effects: Profiles,
}

/// A shared model without a network: each component is linear in its inputs. What a network must beat.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct LinearEffect {
    /// Weight of each input. Shape `[component][input]`.
    pub weights: [[f64; INPUTS]; COMPONENTS],
    /// How strongly customers answer.
    pub scales: [Scale; COMPONENTS],
}

impl LinearEffect {
    /// Fits weights by least squares and scales by what is left between customers. Rows by customer.
    ///
    /// Weights of falling components are not above 0.
    pub fn fit(customers: &[Vec<KnownRow>]) -> Self {
        let mut weights = [[0.0; INPUTS]; COMPONENTS];
        for (place, (component, weights)) in Component::ALL.iter().zip(&mut weights).enumerate() {
            let mut squares = Symmetric::zero(INPUTS);
            let mut right = [0.0; INPUTS];
            for row in customers.iter().flatten() {
                let inputs = row.features[place];
                squares.add_square(&inputs, 1.0);
                for (sum, input) in right.iter_mut().zip(inputs) {
                    *sum += input * row.effects[place];
                }
            }
            for at in 0..INPUTS {
                *squares.get_mut(at, at) += 1e-3;
            }
            if let Some(inverse) = squares.inverse() {
                let found = inverse.times(&right);
                let most = match component.sign() {
                    Sign::Falling => 0.0,
                    Sign::Free => f64::INFINITY,
                };
                for (weight, found) in weights.iter_mut().zip(found) {
                    *weight = found.min(most);
                }
            }
        }
        let mut fitted = Self {
            weights,
            scales: [Scale([1.0; LEVELS.len()]); COMPONENTS],
        };
        for place in 0..COMPONENTS {
            let of_customer = |rows: &Vec<KnownRow>| {
                let pair = |row: &KnownRow| {
                    let profile = fitted.profile(&row.features, place);
                    (profile * profile, profile * row.effects[place])
                };
                let sums = rows.iter().map(pair);
                let sums = sums.fold((0.0, 0.0), |all, one| (all.0 + one.0, all.1 + one.1));
                (sums.0 > SEEN_MIN).then(|| sums.1 / sums.0)
            };
            let mut found: Vec<f64> = customers.iter().filter_map(of_customer).collect();
            found.sort_by(f64::total_cmp);
            if let Some(scale) = quantiles(&found) {
                fitted.scales[place] = scale;
            }
        }
        fitted
    }

    fn profile(&self, features: &Features, place: usize) -> f64 {
        let terms = self.weights[place].iter().zip(&features[place]);
        terms.map(|(weight, input)| weight * input).sum()
    }
}

impl SharedEffect for LinearEffect {
    fn profiles(&self, rows: &[Features]) -> Result<Vec<Profiles>, EffectError> {
        let profile = |row: &Features| {
            let mut profiles = [0.0; COMPONENTS];
            for (place, profile) in profiles.iter_mut().enumerate() {
                *profile = self.profile(row, place);
            }
            profiles
        };
        Ok(rows.iter().map(profile).collect())
    }

    fn scales(&self) -> &[Scale; COMPONENTS] {
        &self.scales
    }
}

/// Quantiles at [`LEVELS`] of ascending values.
fn quantiles(sorted: &[f64]) -> Option<Scale> {
    sorted.first()?;
    Some(Scale(LEVELS.map(|level| percentile(sorted, level))))
}

/// Linear between neighbours, of ascending values; NaN of none.
pub(crate) fn percentile(sorted: &[f64], share: f64) -> f64 {
    let last = sorted.len().saturating_sub(1);
    let place = share.clamp(0.0, 1.0) * last as f64;
    let below = (0..=last).rev().find(|at| *at as f64 <= place).unwrap_or(0);
    let one = sorted.get(below).copied().unwrap_or(f64::NAN);
    let next = sorted.get(below + 1).copied().unwrap_or(one);
    one + (place - below as f64) * (next - one)
}

/// Whether nothing is off its normal.
pub fn is_normal(features: &Features) -> bool {
    *features == NORMAL
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::drivers::Component;

    #[test]
    fn weights_and_scales_are_found_again() {
        let place = Component::Price.place();
        let mut customers = Vec::new();
        for customer in 0..21 {
            let scale = 0.5 + f64::from(customer) / 20.0;
            let row = |at: u32| {
                let mut row = KnownRow {
                    features: NORMAL,
                    effects: [0.0; COMPONENTS],
                };
                let (now, day) = (f64::from(at) / 50.0, f64::from(at % 7) / 10.0);
                row.features[place] = [now, day, 0.0];
                row.effects[place] = scale * (-0.4 * now - 0.8 * day);
                row
            };
            customers.push((0..50).map(row).collect());
        }
        let found = LinearEffect::fit(&customers);
        // The mean customer is at scale 1.
        assert!((found.weights[place][0] + 0.4).abs() < 0.01, "{found:?}");
        assert!((found.weights[place][1] + 0.8).abs() < 0.01, "{found:?}");
        let scale = found.scales[place];
        assert!((scale.mean() - 1.0).abs() < 0.01, "{scale:?}");
        assert!((scale.0[0] - 0.55).abs() < 0.01 && (scale.0[4] - 1.45).abs() < 0.01);
    }

    #[test]
    fn a_higher_price_is_never_more_demand() {
        let place = Component::Price.place();
        let mut row = KnownRow {
            features: NORMAL,
            effects: [0.0; COMPONENTS],
        };
        row.features[place] = [0.3, 0.2, 0.1];
        row.effects[place] = 0.5;
        let found = LinearEffect::fit(&[vec![row; 9]]);
        assert!(found.weights[place].iter().all(|weight| *weight <= 0.0));
        assert_eq!(
            found.profiles(&[NORMAL]).expect("linear"),
            vec![[0.0; COMPONENTS]]
        );
    }
}
