//! The misses of one customer: totals per tier, and the largest ones.

use super::format::{quantity, span};
use std::collections::BTreeMap;
use twinscale_protocol::TierName;
use twinscale_protocol::twin::{ByCause, Miss, MissCause, TierMisses, Unserved};

/// Misses of one customer that a report tells one by one, so that its size does not grow with the replay.
pub const MISSES_TOLD: usize = 24;

/// What is to blame for unserved demand, added up.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Blame {
    /// Unserved demand by cause.
    pub causes: ByCause<Unserved>,
    /// Steps that fell short.
    pub missed_steps: u64,
    /// These by the cause with the largest part.
    pub steps: ByCause<u64>,
}

/// Misses, added up as they come.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct MissTally {
    tiers: BTreeMap<TierName, TierMisses>,
    /// The largest by unserved demand; of equal ones the earlier.
    largest: Vec<Miss>,
}

impl MissTally {
    /// Adds a miss.
    pub fn add(&mut self, miss: &Miss) {
        self.tiers
            .entry(miss.tier.clone())
            .or_insert_with(|| TierMisses::new(miss.tier.clone()))
            .add(miss);
        let rank = |one: &Miss| std::cmp::Reverse(one.causes.total().vm_seconds);
        let place = self.largest.partition_point(|one| rank(one) <= rank(miss));
        if place < MISSES_TOLD {
            self.largest.insert(place, miss.clone());
            self.largest.truncate(MISSES_TOLD);
        }
    }

    /// Reads the totals by tier.
    pub fn tiers(&self) -> impl Iterator<Item = &TierMisses> {
        self.tiers.values()
    }

    /// Reads the largest misses, in the order of time.
    pub fn largest(&self) -> Vec<&Miss> {
        let mut found: Vec<&Miss> = self.largest.iter().collect();
        found.sort_by(|one, other| (one.step_at, &one.tier).cmp(&(other.step_at, &other.tier)));
        found
    }

    /// Adds up the tiers.
    #[must_use]
    pub fn blame(&self) -> Blame {
        self.tiers().fold(Blame::default(), |sum, tier| {
            sum.plus(&Blame {
                causes: tier.causes,
                missed_steps: tier.missed_steps,
                steps: tier.steps,
            })
        })
    }
}

impl Blame {
    /// Adds another.
    #[must_use]
    pub fn plus(&self, other: &Self) -> Self {
        Self {
            causes: self.causes.plus(&other.causes),
            missed_steps: self.missed_steps.saturating_add(other.missed_steps),
            steps: ByCause::of(|cause| self.steps.get(cause) + other.steps.get(cause)),
        }
    }
}

/// Says why a miss happened, in one sentence, its largest cause first.
pub fn reason(miss: &Miss) -> String {
    let value = |value: Option<twinscale_protocol::FixedValue>| {
        value.map_or_else(|| "nothing".to_owned(), |value| quantity(value.units()))
    };
    let (high, planned) = (value(miss.forecast_high), value(miss.planned));
    let sentence = |cause: MissCause| match cause {
        MissCause::Forecast if miss.forecast_high.is_none() => {
            "nothing had been forecast yet".to_owned()
        }
        MissCause::Forecast => {
            format!("demand rose above the forecast's range, which ended at {high}")
        }
        MissCause::Plan => format!(
            "the forecast reached up to {high} and the plan covered {planned}: more was not worth its price"
        ),
        MissCause::Guardrail => {
            let rule = miss
                .rule
                .map_or("a limit", twinscale_protocol::twin::GuardRule::name);
            format!("{rule} held it down, the plan had {planned}")
        }
        MissCause::Provider => "the provider refused, lost or did not answer for VMs".to_owned(),
        MissCause::StartUp => format!("{planned} were planned, and VMs were still starting"),
    };
    let mut causes: Vec<(MissCause, Unserved)> = miss
        .causes
        .iter()
        .filter(|(_, part)| part.vm_seconds.0 > 0)
        .map(|(cause, part)| (cause, *part))
        .collect();
    causes.sort_by_key(|(cause, part)| (std::cmp::Reverse(part.vm_seconds), *cause));
    let sentences: Vec<String> = causes.iter().map(|(cause, _)| sentence(*cause)).collect();
    format!("{}; for {}", sentences.join("; "), span(miss.short))
}
