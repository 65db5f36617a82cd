//! What a customer's demand does under drivers: effects with ranges.

use crate::drivers::{COMPONENTS, Component, Features};
use crate::effect::{EFFECT_MAX, EffectError, LEVELS, MIDDLE, OUTER_Z, SharedEffect};
use crate::estimate::{ComponentEstimate, Estimate};

/// What a step's demand is multiplied by, as a logarithm: quantiles at [`LEVELS`].
pub type Effect = [f64; LEVELS.len()];

/// Standard deviations of the levels, of a normal law.
const LEVEL_Z: Effect = [
    -OUTER_Z,
    -0.674_489_750_196_081_7,
    0.0,
    0.674_489_750_196_081_7,
    OUTER_Z,
];

/// What steps' demand does when drivers are `then` in place of `today`.
///
/// A component that the history says something of is taken from it; another from the shared model, whose
/// quantiles between customers are its range. Ranges of components add up as those of independent numbers.
///
/// # Errors
/// [`EffectError`] when the shared model has no answer.
pub fn effects(
    shared: &dyn SharedEffect,
    estimate: &Estimate,
    today: &[Features],
    then: &[Features],
) -> Result<Vec<Effect>, EffectError> {
    let (today, then) = (shared.profiles(today)?, shared.profiles(then)?);
    let step = |(today, then): (&[f64; COMPONENTS], &[f64; COMPONENTS])| {
        let mut sum: f64 = 0.0;
        let mut squares = [0.0; LEVELS.len()];
        for (place, one) in estimate.components.iter().enumerate() {
            let effect = of_component(shared, one, then[place] - today[place]);
            sum += effect[MIDDLE];
            for (square, level) in squares.iter_mut().zip(effect) {
                *square += (level - effect[MIDDLE]).powi(2);
            }
        }
        let mut effect = [0.0; LEVELS.len()];
        for ((level, square), z) in effect.iter_mut().zip(squares).zip(LEVEL_Z) {
            *level = (sum + square.sqrt().copysign(z)).clamp(-EFFECT_MAX, EFFECT_MAX);
        }
        effect[MIDDLE] = sum.clamp(-EFFECT_MAX, EFFECT_MAX);
        effect
    };
    Ok(today.iter().zip(&then).map(step).collect())
}

/// One component's effect where its profile moves by `moved`.
pub fn of_component(shared: &dyn SharedEffect, one: &ComponentEstimate, moved: f64) -> Effect {
    let mut scales = if one.is_learned() {
        LEVEL_Z.map(|z| one.mean + z * one.sd)
    } else {
        shared.scales()[one.component.place()].0
    };
    if one.component.sign() == crate::drivers::Sign::Falling {
        scales = scales.map(|scale| scale.max(0.0));
    }
    let mut effect = scales.map(|scale| scale * moved);
    effect.sort_by(f64::total_cmp);
    effect
}

/// Components that move anywhere between two paths, with the largest move of the profile.
///
/// # Errors
/// [`EffectError`] when the shared model has no answer.
pub fn moved(
    shared: &dyn SharedEffect,
    today: &[Features],
    then: &[Features],
) -> Result<Vec<(Component, f64)>, EffectError> {
    let (today, then) = (shared.profiles(today)?, shared.profiles(then)?);
    let mut largest = [0.0_f64; COMPONENTS];
    for (today, then) in today.iter().zip(&then) {
        for (place, most) in largest.iter_mut().enumerate() {
            let by = then[place] - today[place];
            if by.abs() > most.abs() {
                *most = by;
            }
        }
    }
    let found = Component::ALL.into_iter().zip(largest);
    Ok(found.filter(|(_, by)| by.abs() > 1e-6).collect())
}
