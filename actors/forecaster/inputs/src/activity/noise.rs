//! Noise with a budget.
//!
//! Two-sided geometric noise: A. Ghosh, T. Roughgarden and M. Sundararajan, "Universally utility-maximizing privacy
//! mechanisms", STOC 2009. One person changes a count of users by at most 1, so a value with noise of parameter
//! e^-epsilon is epsilon-differentially private; what several values tell of one person adds up, hence the budget.

use crate::secret::DerivedKey;
use rand::{Rng as _, SeedableRng as _};
use rand_chacha::ChaCha20Rng;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use twinscale_protocol::{DomainTime, Seconds};

/// Days whose spending is remembered: a week's count is charged to the week's first day.
const DAYS_KEPT: usize = 16;

/// How much may be told.
///
/// With noise on, rates of cohorts and actions are not given: one person can change them by any amount.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct NoiseOptions {
    /// Epsilon of each count; 0.5 gives a standard deviation of about 2.8 users.
    pub epsilon_per_value: f64,
    /// Epsilon of all counts whose windows begin in one day (UTC); once it is spent, no further count is given.
    pub epsilon_per_day: f64,
}

/// Counts made per day.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Budget {
    values_of_day: BTreeMap<DomainTime, u64>,
}

impl NoiseOptions {
    pub(super) fn is_valid(&self) -> bool {
        let finite = self.epsilon_per_value.is_finite() && self.epsilon_per_day.is_finite();
        finite && self.epsilon_per_value > 0.0 && self.epsilon_per_day >= self.epsilon_per_value
    }
}

impl Budget {
    /// Charges one value to the day in which its window begins; `false` when nothing is left.
    pub(super) fn charge(&mut self, at: DomainTime, options: &NoiseOptions) -> bool {
        let day = at.floor_to(Seconds(super::options::DAY_S));
        let oldest = self.values_of_day.first_key_value().map(|(day, _)| *day);
        if self.values_of_day.len() >= DAYS_KEPT && !self.values_of_day.contains_key(&day) {
            // What was spent in a forgotten day is not known any more, so it may not be spent again.
            if oldest.is_some_and(|oldest| day < oldest) {
                return false;
            }
            self.values_of_day.pop_first();
        }
        let values = self.values_of_day.entry(day).or_default();
        let after = *values as f64 + 1.0;
        // The comparison allows for the rounding of sums such as 10 * 0.1.
        if after * options.epsilon_per_value > options.epsilon_per_day * (1.0 + 1e-9) {
            return false;
        }
        *values = values.saturating_add(1);
        true
    }

    pub(super) fn is_sound(&self) -> bool {
        self.values_of_day.len() <= DAYS_KEPT
    }
}

/// Adds noise drawn from a key that is secret and of this value alone: the same on every node, unknown outside.
pub(super) fn noised(count: u64, key: &DerivedKey, options: &NoiseOptions) -> u64 {
    let mut rng = ChaCha20Rng::from_seed(**key);
    let up = geometric(&mut rng, options.epsilon_per_value);
    let down = geometric(&mut rng, options.epsilon_per_value);
    count.saturating_add(up).saturating_sub(down)
}

/// Draws how many trials fail before one succeeds, each failing with probability e^-epsilon.
fn geometric(rng: &mut ChaCha20Rng, epsilon: f64) -> u64 {
    // In (0, 1]: the logarithm is finite.
    let uniform = 1.0 - rng.random::<f64>();
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "not negative; a large float saturates"
    )]
    let failures = (uniform.ln() / -epsilon).floor() as u64;
    failures
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::InputSecret;

    const OPTIONS: NoiseOptions = NoiseOptions {
        epsilon_per_value: 0.5,
        epsilon_per_day: 1.0,
    };

    #[test]
    fn noise_has_the_mean_and_spread_of_its_law() {
        let secret = InputSecret::take(&mut [9; 32]);
        let draws: Vec<f64> = (0..20_000)
            .map(|number| noised(1_000, &secret.derive("test", number), &OPTIONS) as f64 - 1_000.0)
            .collect();
        let mean = draws.iter().sum::<f64>() / draws.len() as f64;
        let variance = draws.iter().map(|draw| draw * draw).sum::<f64>() / draws.len() as f64;
        // 2 a / (1 - a)^2 with a = e^-0.5; the mean's standard error is 0.02, the variance's 0.14.
        let alpha = (-0.5_f64).exp();
        let wanted = 2.0 * alpha / ((1.0 - alpha) * (1.0 - alpha));
        assert!(mean.abs() < 0.1, "{mean}");
        assert!((variance - wanted).abs() < 0.7, "{variance} {wanted}");
    }

    #[test]
    fn a_budget_ends_and_a_new_day_has_its_own() {
        let mut budget = Budget::default();
        let charged: Vec<bool> = (0..3)
            .map(|_| budget.charge(DomainTime(5), &OPTIONS))
            .collect();
        assert_eq!(charged, [true, true, false]);
        assert!(budget.charge(DomainTime(86_400), &OPTIONS));
        for day in 2..40 {
            assert!(budget.charge(DomainTime(day * 86_400), &OPTIONS));
        }
        assert!(budget.is_sound());
        assert!(!budget.charge(DomainTime(5), &OPTIONS));
    }
}
