//! Whether a policy may act.

use crate::bootstrap::Interval;
use serde::{Deserialize, Serialize};

/// Fewest customers that an advantage must have been seen on.
pub const CUSTOMERS_MIN: usize = 5;

/// Least share of the logged steps that the weights must be worth. Below it the weights of what the policy
/// would do are too rare to be met, estimates rest on their model alone, and intervals are too narrow.
pub const EFFECTIVE_MIN: f64 = 0.05;

/// What is known of a policy's advantage on traces that it was not trained on.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Evidence<'a> {
    /// Customers that it was seen on.
    pub customers: usize,
    /// Share of the logged steps that the weights are worth.
    pub effective: f64,
    /// Money saved as a share of the operator's, each way of estimating it; `None` = no estimate.
    pub advantages: &'a [Option<Interval>],
}

/// The gate's answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Verdict {
    /// The policy may act.
    Open,
    /// Too few customers.
    TooFewCustomers,
    /// The log holds too little of what the policy would do.
    TooLittleOverlap,
    /// There is no estimate.
    NoEstimate,
    /// The lower end of an interval is not above 0.
    NotShown,
}

impl Verdict {
    /// Whether the policy may act.
    pub fn is_open(self) -> bool {
        self == Self::Open
    }
}

/// Opens only when every estimate there is has its lower end above 0.
pub fn judge(evidence: &Evidence<'_>) -> Verdict {
    if evidence.customers < CUSTOMERS_MIN {
        return Verdict::TooFewCustomers;
    }
    if evidence.effective.is_nan() || evidence.effective < EFFECTIVE_MIN {
        return Verdict::TooLittleOverlap;
    }
    if evidence.advantages.is_empty() || evidence.advantages.iter().any(Option::is_none) {
        return Verdict::NoEstimate;
    }
    let is_shown = evidence
        .advantages
        .iter()
        .flatten()
        .all(|advantage| advantage.low > 0.0);
    if is_shown {
        Verdict::Open
    } else {
        Verdict::NotShown
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(customers: usize, effective: f64, lows: &[Option<f64>], expected: Verdict) {
        let advantages: Vec<Option<Interval>> = lows
            .iter()
            .map(|low| {
                low.map(|low| Interval {
                    point: 0.1,
                    low,
                    high: 0.2,
                })
            })
            .collect();
        let evidence = Evidence {
            customers,
            effective,
            advantages: &advantages,
        };
        assert_eq!(judge(&evidence), expected);
    }

    #[test]
    fn opens_for_a_shown_advantage_alone() {
        check(9, 0.2, &[Some(0.01), Some(0.02)], Verdict::Open);
        check(9, 0.2, &[Some(0.01), Some(0.0)], Verdict::NotShown);
        check(9, 0.2, &[Some(f64::NAN)], Verdict::NotShown);
        check(9, 0.2, &[Some(0.01), None], Verdict::NoEstimate);
        check(9, 0.2, &[], Verdict::NoEstimate);
        check(9, 0.01, &[Some(0.01)], Verdict::TooLittleOverlap);
        check(9, f64::NAN, &[Some(0.01)], Verdict::TooLittleOverlap);
        check(4, 0.2, &[Some(0.01)], Verdict::TooFewCustomers);
    }
}
