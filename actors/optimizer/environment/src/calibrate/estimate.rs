//! What was learned, and how sure it is.

use serde::Serialize;
use std::collections::BTreeMap;
use twinscale_protocol::{RequestClassName, TierName};

/// Relative standard error up to which a value is good.
const GOOD: f64 = 0.1;
/// Relative standard error up to which a value is worth something.
const ROUGH: f64 = 0.4;

/// A value that was learned.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Estimate {
    /// The value.
    pub value: f64,
    /// Its standard error, in the same unit.
    pub standard_error: f64,
}

/// How sure a value is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Confidence {
    /// Telemetry does not tell: the value is the stated one, or one of many that fit as well.
    Unknown,
    /// Standard error up to 40 %.
    Rough,
    /// Standard error up to 10 %.
    Good,
}

impl Estimate {
    /// Says how sure the value is.
    pub fn confidence(&self) -> Confidence {
        let share = self.standard_error / self.value.abs().max(f64::MIN_POSITIVE);
        if share <= GOOD {
            Confidence::Good
        } else if share <= ROUGH {
            Confidence::Rough
        } else {
            Confidence::Unknown
        }
    }
}

/// All that was learned of a stack.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Calibration {
    /// Intervals that were learned from.
    pub observations: u64,
    /// Demand of one visit, in seconds of the reference core.
    pub demands_s: BTreeMap<TierName, BTreeMap<RequestClassName, Estimate>>,
    /// Reference cores of a tier that are busy without requests.
    pub background_cores: BTreeMap<TierName, Estimate>,
    /// How many times as long requests wait as in an M/M/c queue.
    pub wait_factors: BTreeMap<TierName, Estimate>,
    /// Squared coefficient of variation of service times.
    pub service_scvs: BTreeMap<TierName, Estimate>,
    /// Time of a request outside of the tiers, in seconds.
    pub delays_s: BTreeMap<RequestClassName, Estimate>,
    /// Jumps of a tier's demands, such as a release brings.
    pub jumps: BTreeMap<TierName, u64>,
}
