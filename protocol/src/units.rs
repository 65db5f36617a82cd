//! Units as types: integers in state and plans, floats only inside solvers.
//!
//! Invariant: arithmetic here saturates and never wraps, so `apply` stays total.

use serde::{Deserialize, Serialize};
use std::fmt;

/// Micro-units in one unit.
pub const MICROS: i64 = 1_000_000;

/// Why a number has no place in a unit.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum UnitError {
    /// Not a number, or infinite.
    #[error("value {value} is not finite: send a plain decimal number")]
    NotFinite {
        /// The value given.
        value: f64,
    },
    /// Below zero where nothing can be.
    #[error("value {value} is negative: demand, utilisation and sizes are zero or more")]
    Negative {
        /// The value given.
        value: f64,
    },
    /// Beyond what the fixed-point form holds.
    #[error("value {value} is above {limit}: choose a larger unit for this metric")]
    TooLarge {
        /// The value given.
        value: f64,
        /// The largest value that fits.
        limit: f64,
    },
}

macro_rules! unit {
    ($(#[$doc:meta])* $name:ident, $inner:ty, $suffix:literal) => {
        $(#[$doc])*
        #[derive(
            Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
        )]
        #[serde(transparent)]
        pub struct $name(pub $inner);

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, concat!("{}", $suffix), self.0)
            }
        }
    };
}

unit!(
    /// A number of VMs.
    VmCount,
    u32,
    " VMs"
);
unit!(
    /// Thousandths of a CPU core.
    MilliCores,
    u64,
    " mcores"
);
unit!(
    /// Gibibytes of memory or storage.
    Gib,
    u64,
    " GiB"
);
unit!(
    /// Network bandwidth in megabits a second.
    Mbps,
    u64,
    " Mbps"
);
unit!(
    /// A length of time in seconds.
    Seconds,
    u32,
    " s"
);
unit!(
    /// A share in millionths (0 to 1,000,000 where it is a probability or a utilisation).
    PartsPerMillion,
    u32,
    " ppm"
);

/// Domain time: seconds since the Unix epoch, UTC. Virtual in replays.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
#[serde(transparent)]
pub struct DomainTime(pub i64);

/// Money in millionths of a US dollar.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
#[serde(transparent)]
pub struct MicroDollars(pub i64);

/// A measured or forecast quantity in millionths of its metric's unit.
///
/// Fixed point keeps state exact: sums, roll-ups and comparisons are the same on every machine.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
#[serde(transparent)]
pub struct FixedValue(pub i64);

impl DomainTime {
    /// Moves forward by a length of time.
    #[must_use]
    pub const fn plus(self, length: Seconds) -> Self {
        Self(self.0.saturating_add(length.0 as i64))
    }

    /// Moves backward by a length of time.
    #[must_use]
    pub const fn minus(self, length: Seconds) -> Self {
        Self(self.0.saturating_sub(length.0 as i64))
    }

    /// Counts the seconds since an earlier time; negative when `earlier` is later.
    pub const fn seconds_since(self, earlier: Self) -> i64 {
        self.0.saturating_sub(earlier.0)
    }

    /// Rounds down to a multiple of `interval` since the epoch; an interval of 0 changes nothing.
    #[must_use]
    pub const fn floor_to(self, interval: Seconds) -> Self {
        if interval.0 == 0 {
            return self;
        }
        Self(self.0.saturating_sub(self.0.rem_euclid(interval.0 as i64)))
    }
}

impl MicroDollars {
    /// Rounds dollars to the nearest micro-dollar; `None` when not finite or out of range.
    pub fn from_dollars(dollars: f64) -> Option<Self> {
        scaled(dollars).map(Self)
    }

    /// Reads the amount in dollars, for reports and solvers.
    pub fn dollars(self) -> f64 {
        self.0 as f64 / MICROS as f64
    }

    /// Adds, saturating at the ends of the range.
    #[must_use]
    pub const fn plus(self, other: Self) -> Self {
        Self(self.0.saturating_add(other.0))
    }
}

impl FixedValue {
    /// The largest value in units: 9.2 * 10^12.
    pub const UNITS_MAX: f64 = 9.2e12;

    /// Takes a measured value that is finite and not negative.
    ///
    /// # Errors
    /// [`UnitError`] for a value that is not finite, negative or too large.
    pub fn from_measured(value: f64) -> Result<Self, UnitError> {
        if !value.is_finite() {
            return Err(UnitError::NotFinite { value });
        }
        if value < 0.0 {
            return Err(UnitError::Negative { value });
        }
        if value > Self::UNITS_MAX {
            return Err(UnitError::TooLarge {
                value,
                limit: Self::UNITS_MAX,
            });
        }
        scaled(value).map(Self).ok_or(UnitError::TooLarge {
            value,
            limit: Self::UNITS_MAX,
        })
    }

    /// Takes a model's output: not-a-number and negatives become 0, the rest is capped.
    #[must_use]
    pub fn from_model(value: f64) -> Self {
        let bounded = if value.is_nan() {
            0.0
        } else {
            value.clamp(0.0, Self::UNITS_MAX)
        };
        Self(scaled(bounded).unwrap_or(0))
    }

    /// Reads the value in units, for models, solvers and reports.
    pub fn units(self) -> f64 {
        self.0 as f64 / MICROS as f64
    }

    /// Rounds up to whole units.
    pub const fn ceil_units(self) -> u64 {
        if self.0 <= 0 {
            return 0;
        }
        self.0.unsigned_abs().div_ceil(MICROS.unsigned_abs())
    }
}

impl PartsPerMillion {
    /// A whole.
    pub const ONE: Self = Self(1_000_000);

    /// Rounds a share to millionths, clamped to 0..=1; not-a-number becomes 0.
    #[must_use]
    pub fn from_share(share: f64) -> Self {
        let clamped = if share.is_nan() {
            0.0
        } else {
            share.clamp(0.0, 1.0)
        };
        Self(
            scaled(clamped)
                .and_then(|micros| u32::try_from(micros).ok())
                .unwrap_or(0),
        )
    }

    /// Reads the share as a float.
    pub fn share(self) -> f64 {
        f64::from(self.0) / MICROS as f64
    }
}

#[expect(
    clippy::cast_possible_truncation,
    reason = "the range is checked first"
)]
fn scaled(value: f64) -> Option<i64> {
    let micros = (value * MICROS as f64).round();
    // The largest of all units is a little below 2^63, so that every float up to it fits.
    (micros.is_finite() && micros.abs() <= 9.2e18).then_some(micros as i64)
}

impl fmt::Display for DomainTime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)
    }
}

impl fmt::Display for MicroDollars {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let sign = if self.0 < 0 { "-" } else { "" };
        let micros = self.0.unsigned_abs();
        write!(f, "{sign}${}.{:06}", micros / 1_000_000, micros % 1_000_000)
    }
}

impl fmt::Display for FixedValue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.units())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn measured_values_are_checked() {
        assert_eq!(FixedValue::from_measured(1.5), Ok(FixedValue(1_500_000)));
        assert!(matches!(
            FixedValue::from_measured(-0.1),
            Err(UnitError::Negative { .. })
        ));
        assert!(matches!(
            FixedValue::from_measured(f64::NAN),
            Err(UnitError::NotFinite { .. })
        ));
        assert!(matches!(
            FixedValue::from_measured(1e13),
            Err(UnitError::TooLarge { .. })
        ));
        assert_eq!(FixedValue::from_model(f64::NAN), FixedValue(0));
        let most = FixedValue::from_measured(FixedValue::UNITS_MAX);
        assert_eq!(Ok(FixedValue::from_model(f64::INFINITY)), most);
        assert_eq!(Ok(FixedValue::from_model(1e300)), most);
        assert_eq!(FixedValue(1).ceil_units(), 1);
        assert_eq!(FixedValue(2_000_000).ceil_units(), 2);
    }

    #[test]
    fn time_floors_before_the_epoch_too() {
        assert_eq!(DomainTime(-1).floor_to(Seconds(60)), DomainTime(-60));
        assert_eq!(DomainTime(61).floor_to(Seconds(60)), DomainTime(60));
        assert_eq!(DomainTime(61).floor_to(Seconds(0)), DomainTime(61));
    }

    #[test]
    fn money_prints_its_sign_once() {
        assert_eq!(MicroDollars(-1_500_000).to_string(), "-$1.500000");
    }

    proptest! {
        #[test]
        fn a_measured_value_comes_back_within_half_a_micro_unit(value in 0.0_f64..1e9) {
            let fixed = FixedValue::from_measured(value).expect("in range");
            prop_assert!((fixed.units() - value).abs() <= 0.6e-6 + value * 1e-15);
        }
    }
}
