//! Lines that were not taken, and why: counted all, named up to a bound.

use crate::service::limits::REFUSALS_LISTED_MAX;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use utoipa::ToSchema;

/// Why a line was not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
pub enum RefusalCode {
    /// It is no JSON object with the right fields.
    Malformed,
    /// It is longer than a line may be.
    LineTooLong,
    /// The customer's name is none.
    Customer,
    /// The VM type is none.
    VmType,
    /// The metric is not in the registry.
    Metric,
    /// The value is not finite, negative or too large.
    Value,
    /// The timestamp is none, or lies outside the range of times.
    Timestamp,
    /// It lies further ahead of the node's clock than clocks may differ.
    InTheFuture,
    /// It is older than the retention.
    TooOld,
    /// The customer has as many series as it may.
    TooManySeries,
    /// All customers together have as many series as the node takes.
    NodeSeriesFull,
    /// The node takes no further customers without a policy, or none at all.
    NodeCustomersFull,
    /// The customer's twin is quarantined.
    Quarantined,
    /// An event breaks a rule.
    Event,
}

/// A line that was not taken.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct RefusedLine {
    /// Its number in the body, from 1.
    pub line: u32,
    /// Why.
    pub code: RefusalCode,
    /// For people: the value and the limit.
    pub message: String,
}

/// The lines of a body that were not taken.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Refusals {
    /// How many.
    pub count: u64,
    /// How many for each reason.
    pub by_code: BTreeMap<RefusalCode, u64>,
    /// The first of them; at most 100.
    pub lines: Vec<RefusedLine>,
}

impl Refusals {
    /// Notes a refused line; its text is only made where it is listed.
    pub fn note(&mut self, line: u32, code: RefusalCode, message: impl FnOnce() -> String) {
        self.count = self.count.saturating_add(1);
        let count = self.by_code.entry(code).or_default();
        *count = count.saturating_add(1);
        if self.lines.len() < REFUSALS_LISTED_MAX {
            self.lines.push(RefusedLine {
                line,
                code,
                message: message(),
            });
        }
    }

    /// Adds what another part of the body came to.
    pub fn join(&mut self, other: Self) {
        self.count = self.count.saturating_add(other.count);
        for (code, more) in other.by_code {
            let count = self.by_code.entry(code).or_default();
            *count = count.saturating_add(more);
        }
        let room = REFUSALS_LISTED_MAX.saturating_sub(self.lines.len());
        self.lines.extend(other.lines.into_iter().take(room));
    }
}
