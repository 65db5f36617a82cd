//! Checks what a model means: names, sums, the graph of calls, the stated load.
//!
//! Ranges of single values are the schema's; this is what only several values together can break. Nothing here
//! assumes that anything else holds, so that everything wrong is found in one turn.

mod calls;
mod class;
mod load;
mod parts;
mod tier;

use crate::model::StackModel;
use twinscale_cluster_config::{Violation, closest};

/// Farthest that two sums of shares may lie apart: shares are written with a few digits.
const SHARE_TOLERANCE: f64 = 1e-4;

/// Where a sum of shares is reported.
pub(crate) const SHARES: &str = "class.*.share";

/// What a check found.
#[derive(Debug, Default)]
pub(crate) struct Checked {
    pub(crate) violations: Vec<Violation>,
    pub(crate) warnings: Vec<Violation>,
}

/// Checks everything.
pub(crate) fn check(model: &StackModel) -> Checked {
    let mut found = Checked::default();
    class::check(model, &mut found);
    tier::check(model, &mut found);
    calls::check(model, &mut found);
    parts::check(model, &mut found);
    if found.violations.is_empty() {
        load::check(model, &mut found);
    }
    found.warnings.sort();
    found
}

impl Checked {
    fn refuse(
        &mut self,
        key: impl Into<String>,
        value: impl std::fmt::Display,
        rule: impl Into<String>,
        hint: impl Into<String>,
    ) {
        self.violations.push(Violation::new(key, value, rule, hint));
    }

    fn lack(&mut self, key: impl Into<String>, rule: impl Into<String>, hint: impl Into<String>) {
        self.violations.push(Violation::absent(key, rule, hint));
    }

    fn warn(
        &mut self,
        key: impl Into<String>,
        value: impl std::fmt::Display,
        rule: impl Into<String>,
        hint: impl Into<String>,
    ) {
        self.warnings.push(Violation::new(key, value, rule, hint));
    }

    /// Refuses a name that none of `known` bears; says whether one does.
    fn names<'a>(
        &mut self,
        key: impl Into<String>,
        name: &str,
        what: &str,
        known: impl Iterator<Item = &'a str>,
    ) -> bool {
        let known: Vec<&str> = known.collect();
        if known.contains(&name) {
            return true;
        }
        let hint = match closest(name, &known) {
            Some(near) => format!("did you mean `{near}`?"),
            None if known.is_empty() => format!("the file describes no {what}"),
            None => format!("described are: {}", known.join(", ")),
        };
        self.refuse(key, name, format!("no such {what}"), hint);
        false
    }

    /// Refuses a price of nothing that is not meant, and one that contradicts itself.
    fn price(&mut self, path: &str, price_per_hour_usd: f64, free: bool) {
        let key = format!("{path}.price_per_hour_usd");
        if price_per_hour_usd == 0.0 && !free {
            self.refuse(
                key,
                0,
                "a price of zero would be bought without end",
                "state the price, with price_assumed = true when it is a guess; or free = true",
            );
        } else if price_per_hour_usd > 0.0 && free {
            self.refuse(
                key,
                price_per_hour_usd,
                "what is free has no price",
                "set the price to 0, or take free = true away",
            );
        }
    }

    /// Refuses a burst below its baseline, or without one.
    fn burst(&mut self, path: &str, unit: &str, baseline: Option<f64>, burst: Option<f64>) {
        let Some(burst) = burst else {
            return;
        };
        let stem = format!("{path}.{unit}");
        let (baseline_key, burst_key) = match unit {
            "network" => (
                format!("{stem}_baseline_mbps"),
                format!("{stem}_burst_mbps"),
            ),
            _ => (format!("{stem}_baseline"), format!("{stem}_burst")),
        };
        match baseline {
            None => self.lack(
                baseline_key,
                "is needed where a burst is stated",
                "state what it always has; without a limit leave both away",
            ),
            Some(baseline) if burst < baseline => self.refuse(
                burst_key,
                burst,
                format!("is at least the baseline of {baseline}"),
                "swap them, or leave the burst away",
            ),
            Some(_) => {}
        }
    }
}
