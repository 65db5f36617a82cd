//! What served a tier over a step, from what was observed and what has ended since.

use crate::state::TwinState;
use std::collections::BTreeMap;
use twinscale_protocol::provisioner::Action;
use twinscale_protocol::stack::Tier;
use twinscale_protocol::{DomainTime, FixedValue, Seconds, VmTypeId};

/// Capacities of a tier's VM types, in millionths of the demand metric's unit.
pub(super) type Capacities<'a> = BTreeMap<&'a VmTypeId, i64>;

/// A stretch of a step in which nothing changes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Stretch {
    pub(super) from: DomainTime,
    pub(super) seconds: i64,
    pub(super) serving: i64,
    pub(super) failed: i64,
    pub(super) held: i64,
}

/// The changes over a step: of what serves, of what failed, of what is held back.
struct Changes {
    from: DomainTime,
    until: DomainTime,
    /// Serving and failed capacity at the step's start.
    base: (i64, i64),
    /// How the two change within.
    within: BTreeMap<DomainTime, (i64, i64)>,
}

impl Changes {
    /// Adds capacity that is there from a moment until another.
    fn add(&mut self, from: DomainTime, until: Option<DomainTime>, capacity: (i64, i64)) {
        if until.is_some_and(|until| until <= from.max(self.from)) || from >= self.until {
            return;
        }
        if from <= self.from {
            self.base = sum(self.base, capacity);
        } else {
            let change = self.within.entry(from).or_default();
            *change = sum(*change, capacity);
        }
        if let Some(until) = until.filter(|until| *until < self.until) {
            let change = self.within.entry(until).or_default();
            *change = sum(*change, (-capacity.0, -capacity.1));
        }
    }
}

fn sum(one: (i64, i64), other: (i64, i64)) -> (i64, i64) {
    (one.0.saturating_add(other.0), one.1.saturating_add(other.1))
}

/// Cuts a step into stretches in which nothing changes; `also` are further moments to cut at.
pub(super) fn stretches(
    state: &TwinState,
    (tier, capacities): (&Tier, &Capacities<'_>),
    (from, until): (DomainTime, DomainTime),
    also: &[DomainTime],
) -> Vec<Stretch> {
    let mut changes = Changes {
        from,
        until,
        base: (0, 0),
        within: BTreeMap::new(),
    };
    add_serving(state, tier, capacities, &mut changes);
    add_failed(state, tier, capacities, &mut changes);
    let lead = state.lead(tier);
    let passes = state.feedback().held.iter();
    let cuts = passes.map(|pass| pass.at.plus(lead));
    for cut in cuts.chain(also.iter().copied()) {
        if from < cut && cut < until {
            changes.within.entry(cut).or_default();
        }
    }
    let mut found = Vec::with_capacity(changes.within.len() + 1);
    let (mut now, mut level) = (from, changes.base);
    let ends = changes.within.into_iter().chain([(until, (0, 0))]);
    for (end, change) in ends {
        found.push(Stretch {
            from: now,
            seconds: end.seconds_since(now),
            serving: level.0,
            failed: level.1,
            held: held_at(state, tier, capacities, now.minus(lead)),
        });
        level = sum(level, change);
        now = end;
    }
    found
}

fn add_serving(state: &TwinState, tier: &Tier, capacities: &Capacities<'_>, changes: &mut Changes) {
    let running = state.observed().vms.iter();
    for vm in running.filter(|vm| vm.tier == tier.name) {
        if let (Some(since), Some(capacity)) = (vm.serving_since, capacities.get(&vm.vm_type)) {
            changes.add(since, None, (*capacity, 0));
        }
    }
    let ended = state.feedback().ended.iter();
    for vms in ended.filter(|vms| vms.tier == tier.name) {
        let capacity = capacities.get(&vms.vm_type).copied().unwrap_or_default();
        let capacity = capacity.saturating_mul(i64::from(vms.count.0));
        changes.add(vms.serving_since, Some(vms.ended_at), (capacity, 0));
    }
}

fn add_failed(state: &TwinState, tier: &Tier, capacities: &Capacities<'_>, changes: &mut Changes) {
    let failed = state.feedback().failed.iter();
    for vms in failed.filter(|vms| vms.tier == tier.name) {
        let capacity = capacities.get(&vms.vm_type).copied().unwrap_or_default();
        let capacity = capacity.saturating_mul(i64::from(vms.count.0));
        changes.add(vms.from, Some(vms.until), (0, capacity));
    }
    // Nobody knows what became of these: until it is known the provider has not delivered.
    let seen = &state.observed().vms;
    for intent in state.open_intents() {
        let Action::Launch {
            vm,
            tier: of,
            vm_type,
            ..
        } = &intent.action
        else {
            continue;
        };
        let is_seen = seen.binary_search_by_key(vm, |one| one.vm).is_ok();
        if *of == tier.name && !is_seen {
            let capacity = capacities.get(vm_type).copied().unwrap_or_default();
            changes.add(intent.at, None, (0, capacity));
        }
    }
}

/// What limits held back of the tier in the pass that was the newest at a moment, taken as VMs of the
/// largest type: the pass says how many, not which.
fn held_at(state: &TwinState, tier: &Tier, capacities: &Capacities<'_>, at: DomainTime) -> i64 {
    let passes = state.feedback().held.iter();
    let Some(pass) = passes.rev().find(|pass| pass.at <= at) else {
        return 0;
    };
    let held = pass.held.iter().filter(|held| held.tier == tier.name);
    let count = held.fold(0_i64, |sum, held| {
        sum.saturating_add(i64::from(held.count.0))
    });
    let largest = capacities.values().copied().max().unwrap_or_default();
    count.saturating_mul(largest)
}

/// The mean of what served, over a step.
pub(super) fn mean_serving(stretches: &[Stretch], interval: Seconds) -> FixedValue {
    let total = stretches.iter().fold(0_i128, |sum, stretch| {
        sum + i128::from(stretch.serving) * i128::from(stretch.seconds)
    });
    let mean = total / i128::from(interval.0.max(1));
    FixedValue(i64::try_from(mean).unwrap_or(i64::MAX))
}
