//! What a replay cost and served, beside its rivals under the same rules.
//!
//! Invariant: Twinscale's VMs come from the provider's ledger, never from its own plans; all contenders
//! are priced by the one function [`evaluate`].

use crate::report::Contest;
use crate::rivals::{
    CaseOption, Outcome, ReactiveSettings, TierCase, VmLife, evaluate, perfect_foresight, reactive,
    static_peak,
};
use crate::trace::SeriesTrace;
use crate::workload::ReplayCustomer;
use std::collections::BTreeMap;
use twinscale_cluster_config::planned_capacity;
use twinscale_protocol::stack::Tier;
use twinscale_protocol::{Seconds, TierName, VmTypeId};
use twinscale_provisioner::lifetimes::Lifetimes;

/// VMs that a provider's ledger holds, by tier and type.
pub type LedgerVms = BTreeMap<(TierName, VmTypeId), Lifetimes>;

/// Prices one tier of a replay under each contender; VMs of rivals serve `rival_start_up` after their
/// request, or the tier's start-up time where that is shorter.
#[must_use]
pub fn score_tier(
    replayed: &ReplayCustomer,
    tier: &Tier,
    vms: &LedgerVms,
    rival_start_up: Seconds,
) -> Contest<Outcome> {
    let case = TierCase {
        start_up: rival_start_up.min(tier.start_up),
        ..case_of(replayed, tier)
    };
    Contest {
        twinscale: evaluate(&case, &lives_of(tier, vms)),
        reactive: evaluate(&case, &reactive(&case, &ReactiveSettings::default())),
        static_peak: evaluate(&case, &static_peak(&case)),
        foresight: evaluate(&case, &perfect_foresight(&case)),
    }
}

fn case_of(replayed: &ReplayCustomer, tier: &Tier) -> TierCase {
    let (start, end) = (replayed.scored_start(), replayed.end());
    let series = replayed.trace.series.get(&tier.demand);
    let grid = |from, until| {
        series
            .map(|series| series.grid(from, until))
            .unwrap_or_default()
    };
    let first = series.and_then(SeriesTrace::first_at);
    TierCase {
        start,
        interval: replayed.interval,
        demand: grid(start, end),
        history: grid(first.unwrap_or(start).min(start), start),
        options: options_of(replayed, tier),
        start_up: tier.start_up,
        minimum_bill: tier.minimum_bill,
        floor: tier.min_vms.0.max(replayed.policy.limits.floor.0),
        ceiling: replayed.policy.limits.ceiling.0,
    }
}

fn options_of(replayed: &ReplayCustomer, tier: &Tier) -> Vec<CaseOption> {
    let options = tier.vm_types.iter().filter_map(|option| {
        let capacity = planned_capacity(&replayed.policy, tier, option)?;
        Some(CaseOption {
            vm_type: option.vm_type.clone(),
            price_per_hour: option.price_per_hour,
            capacity,
        })
    });
    options.collect()
}

fn lives_of(tier: &Tier, vms: &LedgerVms) -> Vec<VmLife> {
    let mut lives = Vec::new();
    for (index, option) in tier.vm_types.iter().enumerate() {
        let found = vms.get(&(tier.name.clone(), option.vm_type.clone()));
        let found = found.into_iter().flat_map(|found| &found.0);
        lives.extend(found.map(|life| VmLife {
            option: index,
            requested: life.requested_at,
            serving: life.serving_at,
            ended: life.ended_at,
        }));
    }
    lives
}
