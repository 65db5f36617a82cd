//! Whether a model of reactions may be used: what it predicts of customers that it was not made of.
//!
//! A history is cut; what is learned of the customer is from before. Behind the cut each step that something
//! was off its normal in is predicted some time ahead, given the drivers (that is what a question of what-if
//! gives): from what is usual for the hour, what is left of today's miss, and the effect. The same without an
//! effect is what it must beat. Both sides know their own memory and what is usual from before the cut.

use crate::effect::{EFFECT_MAX, EffectError, SharedEffect, percentile};
use crate::estimate::{Prior, estimate};
use crate::history::History;
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use serde::{Deserialize, Serialize};

/// Share of a history before the cut.
pub const CUT: f64 = 0.6;
/// Fewest customers that an advantage must have been seen on.
pub const CUSTOMERS_MIN: usize = 20;
/// Effects from here on count as one.
const AFFECTED: f64 = 0.02;
/// Draws of an interval.
const DRAWS: usize = 1_000;

/// Sums of absolute errors of logarithms on affected steps of one customer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Score {
    /// Steps.
    pub steps: usize,
    /// With the effect.
    pub with: f64,
    /// Without any.
    pub without: f64,
}

/// A number with the interval that holds it with 90 %.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Interval {
    /// What the customers say.
    pub point: f64,
    /// Lower end.
    pub low: f64,
    /// Upper end.
    pub high: f64,
}

/// Whether a model may be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Verdict {
    /// It may.
    Open,
    /// Seen on too few customers.
    TooFewCustomers,
    /// The lower end of its advantage is not above 0.
    NotShown,
}

/// Effects of all steps of a history, of which scales are learned before `cut` alone.
///
/// # Errors
/// [`EffectError`] when the shared model has no answer.
pub fn learned_effects(
    history: &History,
    shared: &dyn SharedEffect,
    cut: usize,
) -> Result<Vec<f64>, EffectError> {
    let scales: Vec<f64> = match history.until(cut) {
        Ok(before) => {
            let found = estimate(&before, shared, Prior::Shared)?;
            found.components.iter().map(|one| one.mean).collect()
        }
        Err(_nothing) => shared.scales().iter().map(|scale| scale.mean()).collect(),
    };
    summed(history, shared, &scales)
}

/// Effects of all steps by the shared model alone.
///
/// # Errors
/// [`EffectError`] when the shared model has no answer.
pub fn shared_effects(
    history: &History,
    shared: &dyn SharedEffect,
) -> Result<Vec<f64>, EffectError> {
    let scales: Vec<f64> = shared.scales().iter().map(|scale| scale.mean()).collect();
    summed(history, shared, &scales)
}

fn summed(
    history: &History,
    shared: &dyn SharedEffect,
    scales: &[f64],
) -> Result<Vec<f64>, EffectError> {
    let profiles = shared.profiles(&history.features().0)?;
    let sum = |row: &crate::effect::Profiles| {
        let sum: f64 = row.iter().zip(scales).map(|(one, scale)| one * scale).sum();
        sum.clamp(-EFFECT_MAX, EFFECT_MAX)
    };
    Ok(profiles.iter().map(sum).collect())
}

/// The step at which a history is cut.
pub fn cut_of(history: &History) -> usize {
    let steps = history.steps();
    (0..=steps)
        .rev()
        .find(|at| *at as f64 <= CUT * steps as f64)
        .unwrap_or(0)
}

/// Scores effects on the steps behind `cut` that `is_judged` says, predicted `ahead` steps ahead.
pub fn score(
    history: &History,
    effects: &[f64],
    (cut, ahead): (usize, usize),
    is_judged: &dyn Fn(usize) -> bool,
) -> Score {
    let zeros = vec![0.0; effects.len()];
    let (with, without) = (
        misses(history, effects, cut, ahead),
        misses(history, &zeros, cut, ahead),
    );
    let mut score = Score::default();
    for step in cut..history.steps() {
        if let (true, Some(with), Some(without)) = (is_judged(step), with[step], without[step]) {
            score.steps += 1;
            score.with += with.abs();
            score.without += without.abs();
        }
    }
    score
}

/// Which steps are affected by any of several sides, so that all are judged on the same.
pub fn affected<'a>(sides: &'a [&'a [f64]]) -> impl Fn(usize) -> bool + 'a {
    |step| {
        let of = |side: &&[f64]| side.get(step).is_some_and(|one| one.abs() > AFFECTED);
        sides.iter().any(of)
    }
}

/// Misses of predictions some steps ahead.
fn misses(history: &History, effects: &[f64], cut: usize, ahead: usize) -> Vec<Option<f64>> {
    let slots = history.slots();
    let rest = history.logarithms().into_iter().zip(effects);
    let rest: Vec<Option<f64>> = rest.map(|(y, by)| y.map(|y| y - by)).collect();
    let count = slots.iter().max().map_or(0, |last| last + 1);
    let mut usual = vec![(0.0, 0.0); count];
    for (slot, value) in slots.iter().zip(&rest).take(cut) {
        if let Some(value) = value {
            usual[*slot] = (usual[*slot].0 + value, usual[*slot].1 + 1.0);
        }
    }
    let left = |(slot, value): (&usize, &Option<f64>)| {
        let (sum, count) = usual[*slot];
        value
            .filter(|_| count > 0.0)
            .map(|value| value - sum / count)
    };
    let left: Vec<Option<f64>> = slots.iter().zip(&rest).map(left).collect();
    let pairs = left
        .iter()
        .zip(left.iter().skip(ahead))
        .take(cut.saturating_sub(ahead));
    let (mut product, mut squares) = (0.0, 0.0);
    for (before, now) in pairs {
        if let (Some(before), Some(now)) = (before, now) {
            product += before * now;
            squares += before * before;
        }
    }
    let kept = if squares > 1e-12 {
        (product / squares).clamp(0.0, 1.0)
    } else {
        0.0
    };
    let miss = |at: usize| Some(left[at]? - kept * left[at.checked_sub(ahead)?]?);
    (0..left.len()).map(miss).collect()
}

/// Share of the error that goes away, over customers that are drawn again a thousand times; `None` without any.
pub fn advantage(scores: &[Score], seed: u64) -> Option<Interval> {
    let gain = |rows: &mut dyn Iterator<Item = &Score>| {
        let sums = rows.fold((0.0, 0.0), |all, one| {
            (all.0 + one.with, all.1 + one.without)
        });
        (sums.1 > 0.0).then(|| 1.0 - sums.0 / sums.1)
    };
    let point = gain(&mut scores.iter())?;
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let mut draws = Vec::with_capacity(DRAWS);
    for _ in 0..DRAWS {
        let mut rows = (0..scores.len()).map(|_| &scores[rng.random_range(0..scores.len())]);
        draws.extend(gain(&mut rows));
    }
    draws.sort_by(f64::total_cmp);
    Some(Interval {
        point,
        low: percentile(&draws, 0.05),
        high: percentile(&draws, 0.95),
    })
}

/// Says whether a model may be used, of its advantage on customers that it was not made of.
pub fn judge(customers: usize, advantage: Option<&Interval>) -> Verdict {
    if customers < CUSTOMERS_MIN {
        return Verdict::TooFewCustomers;
    }
    match advantage {
        Some(found) if found.low > 0.0 => Verdict::Open,
        _ => Verdict::NotShown,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn opens_for_a_shown_advantage_alone() {
        let of = |low| Interval {
            point: 0.1,
            low,
            high: 0.2,
        };
        assert_eq!(judge(20, Some(&of(0.01))), Verdict::Open);
        assert_eq!(judge(19, Some(&of(0.01))), Verdict::TooFewCustomers);
        assert_eq!(judge(20, Some(&of(0.0))), Verdict::NotShown);
        assert_eq!(judge(20, Some(&of(f64::NAN))), Verdict::NotShown);
        assert_eq!(judge(20, None), Verdict::NotShown);
    }

    #[test]
    fn an_advantage_is_of_the_sums_and_has_an_interval_over_customers() {
        let one = |with| Score {
            steps: 1,
            with,
            without: 1.0,
        };
        let scores: Vec<Score> = (0..30)
            .map(|at| one(if at % 2 == 0 { 0.5 } else { 0.9 }))
            .collect();
        let found = advantage(&scores, 1).expect("has customers");
        assert!((found.point - 0.3).abs() < 1e-12, "{found:?}");
        assert!(
            found.low > 0.2 && found.low < 0.3 && found.high < 0.4,
            "{found:?}"
        );
        assert_eq!(advantage(&[], 1), None);
    }
}
