//! The outcome of a scenario, for people and for programs.

use std::collections::BTreeSet;
use std::fmt::{self, Display};

use serde::Serialize;

use crate::audit::{Audit, Ledger};

/// How many broken sequences a verdict names.
const NAMED_MAX: usize = 20;

/// The version of the JSON form.
const VERDICT_VERSION: u32 = 1;

/// What a durability scenario found.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Verdict {
    /// The version of this form.
    pub version: u32,
    /// The scenario's name.
    pub scenario: &'static str,
    /// The workload's name.
    pub workload: &'static str,
    /// The seed that replays it.
    pub seed: u64,
    /// Kills or power cuts dealt.
    pub blows: u64,
    /// Sequences whose acknowledgement arrived.
    pub acknowledged: u64,
    /// Acknowledged sequences that are there at the end.
    pub present: u64,
    /// Sequences that are there though their acknowledgement never arrived: allowed.
    pub unacknowledged_present: u64,
    /// Acknowledged sequences that were missing at some check.
    pub lost: u64,
    /// Sequences that were there more than once at some check.
    pub doubled: u64,
    /// Sequences that were there with other content at some check.
    pub altered: u64,
    /// Why the product refused to open, or contradicted itself, after a blow.
    pub failure: Option<String>,
    /// The first broken sequences.
    pub broken: Vec<u64>,
    /// How often a torn end of the log was cut.
    pub torn_tails: u64,
    /// How often the store was set aside and rebuilt.
    pub store_rebuilds: u64,
    /// Entries replayed from the log into the store.
    pub replayed_entries: u64,
    /// Sequences that were sent again after a blow, were there already, and were recognised.
    pub absorbed_duplicates: u64,
    /// Nothing was lost, doubled or altered, and the product opened after every blow.
    pub passed: bool,
}

impl Verdict {
    pub(crate) fn new(scenario: &'static str, workload: &'static str, seed: u64) -> Self {
        Self {
            version: VERDICT_VERSION,
            scenario,
            workload,
            seed,
            blows: 0,
            acknowledged: 0,
            present: 0,
            unacknowledged_present: 0,
            lost: 0,
            doubled: 0,
            altered: 0,
            failure: None,
            broken: Vec::new(),
            torn_tails: 0,
            store_rebuilds: 0,
            replayed_entries: 0,
            absorbed_duplicates: 0,
            passed: false,
        }
    }

    pub(crate) fn conclude(mut self, ledger: &Ledger, audit: &Audit) -> Self {
        let acknowledged = ledger.acknowledged();
        self.acknowledged = acknowledged.len() as u64;
        self.present = acknowledged
            .iter()
            .filter(|sequence| audit.copies.contains_key(sequence))
            .count() as u64;
        self.unacknowledged_present = audit
            .copies
            .keys()
            .filter(|sequence| !acknowledged.contains(sequence))
            .count() as u64;
        self.lost = ledger.lost().len() as u64;
        self.doubled = ledger.doubled().len() as u64;
        self.altered = ledger.altered().len() as u64;
        self.absorbed_duplicates = audit.absorbed_duplicates;
        let broken: BTreeSet<u64> = ledger
            .lost()
            .iter()
            .chain(ledger.doubled())
            .chain(ledger.altered())
            .copied()
            .collect();
        self.broken = broken.into_iter().take(NAMED_MAX).collect();
        // A run that acknowledged nothing has shown nothing.
        self.passed = self.broken.is_empty() && self.failure.is_none() && self.acknowledged > 0;
        self
    }
}

impl Display for Verdict {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            formatter,
            "{}: {} after {} blows (workload {}, seed {})",
            self.scenario,
            if self.passed { "passed" } else { "FAILED" },
            self.blows,
            self.workload,
            self.seed
        )?;
        writeln!(
            formatter,
            "  acknowledged {}, there at the end {}; there without acknowledgement {}",
            self.acknowledged, self.present, self.unacknowledged_present
        )?;
        writeln!(
            formatter,
            "  lost {}, doubled {}, altered {}",
            self.lost, self.doubled, self.altered
        )?;
        write!(
            formatter,
            "  torn log ends cut {}, stores rebuilt {}, entries replayed {}, repeats absorbed {}",
            self.torn_tails, self.store_rebuilds, self.replayed_entries, self.absorbed_duplicates
        )?;
        if let Some(reason) = &self.failure {
            write!(formatter, "\n  failed after a blow: {reason}")?;
        }
        if !self.broken.is_empty() {
            write!(formatter, "\n  first broken sequences: {:?}", self.broken)?;
        }
        Ok(())
    }
}
