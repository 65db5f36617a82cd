//! What was acknowledged, what is there, and where they differ. No IO.

use std::collections::{BTreeMap, BTreeSet};

/// What a workload found on disk after a blow.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Audit {
    /// How often each sequence is there.
    pub copies: BTreeMap<u64, u64>,
    /// Sequences whose content is not what was sent.
    pub altered: BTreeSet<u64>,
    /// The log's torn end was cut.
    pub was_tail_torn: bool,
    /// The store could not be trusted and was rebuilt from the log.
    pub was_store_rebuilt: bool,
    /// How many entries had to be replayed into the store.
    pub replayed_entries: u64,
    /// How many sequences came again and were recognised, since the beginning.
    pub absorbed_duplicates: u64,
}

/// The client's side: every sequence whose acknowledgement arrived.
#[derive(Clone, Debug, Default)]
pub struct Ledger {
    acknowledged: BTreeSet<u64>,
    lost: BTreeSet<u64>,
    doubled: BTreeSet<u64>,
    altered: BTreeSet<u64>,
}

impl Ledger {
    /// Notes an acknowledgement that arrived.
    pub fn acknowledge(&mut self, sequence: u64) {
        self.acknowledged.insert(sequence);
    }

    /// Compares with what is there; a violation once seen stays.
    pub fn check(&mut self, audit: &Audit) {
        for sequence in &self.acknowledged {
            if !audit.copies.contains_key(sequence) {
                self.lost.insert(*sequence);
            }
        }
        for (sequence, copies) in &audit.copies {
            if *copies > 1 {
                self.doubled.insert(*sequence);
            }
        }
        self.altered.extend(&audit.altered);
    }

    /// Returns every sequence that was acknowledged.
    pub fn acknowledged(&self) -> &BTreeSet<u64> {
        &self.acknowledged
    }

    /// Returns acknowledged sequences that were missing at some check.
    pub fn lost(&self) -> &BTreeSet<u64> {
        &self.lost
    }

    /// Returns sequences that were there more than once at some check.
    pub fn doubled(&self) -> &BTreeSet<u64> {
        &self.doubled
    }

    /// Returns sequences that were there with other content at some check.
    pub fn altered(&self) -> &BTreeSet<u64> {
        &self.altered
    }
}

#[cfg(test)]
mod tests {
    use super::{Audit, Ledger};

    #[test]
    fn loss_doubling_and_alteration_are_told_apart() {
        let mut ledger = Ledger::default();
        for sequence in [1, 2, 3] {
            ledger.acknowledge(sequence);
        }
        ledger.check(&Audit {
            copies: [(1, 1), (2, 2), (4, 1)].into(),
            altered: [1].into(),
            ..Audit::default()
        });
        ledger.check(&Audit {
            copies: [(1, 1), (2, 1), (3, 1), (4, 1)].into(),
            ..Audit::default()
        });
        assert!(
            ledger.lost().iter().eq(&[3]),
            "found again is still lost once"
        );
        assert!(ledger.doubled().iter().eq(&[2]));
        assert!(ledger.altered().iter().eq(&[1]));
        assert_eq!(ledger.acknowledged().len(), 3, "4 was never acknowledged");
    }
}
