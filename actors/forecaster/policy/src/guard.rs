//! The ladder of prices, and how far a policy may go from the operator's.

use serde::{Deserialize, Serialize};

/// Most prices of a ladder.
pub const SETTINGS_MAX: usize = 64;
/// Settings that a policy may go down, and up.
pub const SHIFT_MAX: usize = 3;
/// Choices of a policy: so many settings down to so many up; the middle one keeps the operator's.
pub const SHIFTS: usize = 2 * SHIFT_MAX + 1;
/// The choice that keeps the operator's setting.
pub const KEEP: usize = SHIFT_MAX;
/// Slack of a ratio of prices, since prices are decimal numbers.
const RATIO_SLACK: f64 = 1e-9;

/// Prices of a missed step that the planner is asked about, ascending.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Ladder(Vec<f64>);

/// Why prices make no ladder, or a guard holds nothing.
#[derive(Debug, thiserror::Error, PartialEq)]
pub enum GuardError {
    /// Too few or too many prices.
    #[error("{count} prices: give 2 to {SETTINGS_MAX}")]
    Count {
        /// How many.
        count: usize,
    },
    /// A price is no price, or not above the one before.
    #[error(
        "price {number}, counted from 1, is {price}: give positive numbers, each above the one before"
    )]
    Price {
        /// Which, counted from 1.
        number: usize,
        /// The price.
        price: f64,
    },
    /// A factor is none.
    #[error("{key} is {factor}: give a number from 1 on")]
    Factor {
        /// Which.
        key: &'static str,
        /// The factor.
        factor: f64,
    },
}

impl Ladder {
    /// Checks prices.
    ///
    /// # Errors
    /// [`GuardError`] when they do not ascend from above 0, or are too few or too many.
    pub fn new(prices: Vec<f64>) -> Result<Self, GuardError> {
        if !(2..=SETTINGS_MAX).contains(&prices.len()) {
            return Err(GuardError::Count {
                count: prices.len(),
            });
        }
        let mut before = 0.0;
        for (at, price) in prices.iter().enumerate() {
            if !price.is_finite() || *price <= before {
                return Err(GuardError::Price {
                    number: at + 1,
                    price: *price,
                });
            }
            before = *price;
        }
        Ok(Self(prices))
    }

    /// How many prices.
    #[expect(clippy::len_without_is_empty, reason = "a ladder is never empty")]
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// The prices.
    pub fn prices(&self) -> &[f64] {
        &self.0
    }

    /// A setting's price; the highest for a setting beyond the ladder.
    pub fn price(&self, setting: usize) -> f64 {
        let last = self.0.len() - 1;
        self.0[setting.min(last)]
    }
}

/// How far a policy may go from the operator's price.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Guard {
    /// Highest factor above it.
    pub up: f64,
    /// Highest factor below it.
    pub down: f64,
}

impl Default for Guard {
    fn default() -> Self {
        Self { up: 8.0, down: 8.0 }
    }
}

impl Guard {
    /// Refuses factors that are none.
    ///
    /// # Errors
    /// [`GuardError::Factor`].
    pub fn check(&self) -> Result<(), GuardError> {
        for (key, factor) in [("up", self.up), ("down", self.down)] {
            if !factor.is_finite() || factor < 1.0 {
                return Err(GuardError::Factor { key, factor });
            }
        }
        Ok(())
    }

    /// The settings that each choice stands for when the operator's is `operator`; none where the guard
    /// or the ladder ends. The middle one is always the operator's.
    pub fn settings(&self, ladder: &Ladder, operator: usize) -> [Option<usize>; SHIFTS] {
        let operator = operator.min(ladder.len() - 1);
        let own = ladder.price(operator);
        let mut settings = [None; SHIFTS];
        for (shift, setting) in settings.iter_mut().enumerate() {
            let Some(wanted) = (operator + shift).checked_sub(SHIFT_MAX) else {
                continue;
            };
            if wanted >= ladder.len() {
                continue;
            }
            let ratio = ladder.price(wanted) / own;
            let is_near = ratio <= self.up * (1.0 + RATIO_SLACK)
                && 1.0 <= ratio * self.down * (1.0 + RATIO_SLACK);
            *setting = (is_near || shift == KEEP).then_some(wanted);
        }
        settings
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn eight_times_up_is_one_setting_where_prices_stand_four_times_apart() {
        let ladder = Ladder::new(vec![512.0, 1024.0, 2048.0, 8192.0, 32_768.0]).expect("ascends");
        let settings = Guard::default().settings(&ladder, 2);
        assert_eq!(
            settings,
            [None, Some(0), Some(1), Some(2), Some(3), None, None]
        );
    }

    #[test]
    fn prices_must_ascend() {
        let refused = Ladder::new(vec![1.0, 1.0]).expect_err("equal");
        assert_eq!(
            refused,
            GuardError::Price {
                number: 2,
                price: 1.0
            }
        );
        assert!(Ladder::new(vec![f64::NAN, 1.0]).is_err());
        assert!(Guard { up: 0.5, down: 1.0 }.check().is_err());
    }

    proptest! {
        #[test]
        fn no_choice_leaves_the_guard(
            steps in prop::collection::vec(1.01_f64..9.0, 2..30),
            operator in 0_usize..40,
            up in 1.0_f64..20.0,
            down in 1.0_f64..20.0,
        ) {
            let prices: Vec<f64> = steps
                .iter()
                .scan(0.1, |price, step| { *price *= step; Some(*price) })
                .collect();
            let ladder = Ladder::new(prices).expect("ascends");
            let settings = Guard { up, down }.settings(&ladder, operator);
            let own = ladder.price(operator);
            prop_assert_eq!(settings[KEEP], Some(operator.min(ladder.len() - 1)));
            for setting in settings.into_iter().flatten() {
                let ratio = ladder.price(setting) / own;
                prop_assert!(ratio <= up * 1.000_001 && ratio >= 1.0 / down / 1.000_001);
            }
        }
    }
}
