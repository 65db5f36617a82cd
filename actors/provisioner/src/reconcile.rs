//! What must change so that observed becomes desired: the diff behind every provider call.
//!
//! The algorithm is the source's: for each tier and VM type compare the wanted and the current count, and
//! provision or de-provision the difference. Around it stand the guardrails of the policy. It is
//! level-triggered: it reads desired and observed state and no hint of what changed, so it may run at any
//! moment and any number of times.
//!
//! Invariants:
//! - a function of the request alone: no clock, no randomness, no provider;
//! - an open intent counts as carried out, so planning again while an outcome is unknown doubles nothing;
//!   it comes back as [`Operation::Retry`] and in no other form;
//! - nothing scales in while the request is blind, nothing changes unless the mode is to enforce;
//! - an operation names each VM at most once;
//! - a pass is bounded ([`OPEN_INTENTS_MAX`]), whatever is wanted.
//!
//! **Who goes first.** A scale-in ends VMs that do not serve yet, newest first, and then serving ones,
//! newest first. One that does not serve yet takes no capacity with it. Among serving ones the bill does
//! not decide: billing is by the second, and a VM that serves has outlived its minimum bill (a start takes
//! minutes, the minimum is one), so each saves the same from now on. Then the newest has the coldest caches
//! and the fewest sessions, and the base of old VMs stays steady.
//!
//! It does not allocate identities, commit intents or call anyone: the twin and [`crate::execute`] do.

mod tier;

#[cfg(test)]
mod tests;

use crate::reconcile::tier::{TierChanges, TierCounts};
use std::collections::{BTreeMap, BTreeSet};
use twinscale_protocol::policy::Mode;
use twinscale_protocol::provisioner::{
    Action, Held, HeldRule, Intent, LinkSize, ObservedAllocation, Operation, ReconcileReply,
    ReconcileRequest,
};
use twinscale_protocol::{DomainTime, TierName, VmCount, VmId, VmTypeId};

/// The name under which a held link change is reported; a link has no name of its own.
const LINK_NAME: &str = "link";

/// Most intents that a pass leaves open: a twin keeps no more, and the level brings the rest next time.
pub const OPEN_INTENTS_MAX: usize = 4_096;

/// What a pass found held back, by tier and rule.
pub(crate) type HeldCounts = BTreeMap<(TierName, HeldRule), u32>;

/// Finds what must change so that observed becomes desired, as far as the guardrails let it.
///
/// Operations come in the order in which they should be carried out: retries of open intents, launches,
/// volumes, a larger link, terminations, a smaller link. Where a step limit cuts launches, those for the
/// present step come before those for the next. A VM type that is no longer wanted counts as wanted zero times; a tier that is no longer named at
/// all is wound down below the floor too, so a caller without a plan sets `blind`.
///
/// Determinism: a function of the request. Cost: O(n log n) in VMs and intents.
pub fn reconcile(request: &ReconcileRequest) -> ReconcileReply {
    let mut held = HeldCounts::new();
    let mut retries: Vec<_> = request.open_intents.iter().collect();
    retries.sort_by_key(|intent| intent.id);

    let tiers = count_tiers(request, &retries);
    let mut launches = Vec::new();
    let mut terminations = Vec::new();
    for (name, counts) in &tiers {
        let TierChanges { starts, stops } = tier::plan_tier(name, counts, request, &mut held);
        launches.extend(starts);
        terminations.extend(stops.into_iter().map(|vm| Operation::Terminate { vm }));
    }
    let (link_up, link_down) = plan_link(request, &retries, &mut held);

    let operations: Vec<_> = retries
        .iter()
        .map(|intent| Operation::Retry { intent: intent.id })
        .chain(launches)
        .chain(plan_volumes(request, &retries))
        .chain(link_up.map(Operation::ResizeLink))
        .chain(terminations)
        .chain(link_down.map(Operation::ResizeLink))
        .collect();
    let (operations, cut) = cut_to_bound(operations, retries.len());
    hold(HeldRule::StepLimit, &cut, request, &mut held);
    let operations = if request.mode == Mode::Enforce {
        operations
    } else {
        hold(HeldRule::Mode, &operations, request, &mut held);
        Vec::new()
    };
    ReconcileReply {
        operations,
        held: held
            .into_iter()
            .map(|((tier, rule), count)| Held {
                tier,
                rule,
                count: VmCount(count),
            })
            .collect(),
    }
}

/// Sorts what is wanted, observed and under way into tiers and types.
fn count_tiers(
    request: &ReconcileRequest,
    open_intents: &[&Intent],
) -> BTreeMap<TierName, TierCounts> {
    let mut tiers: BTreeMap<TierName, TierCounts> = BTreeMap::new();
    for wanted in &request.desired.vms {
        let tier = tiers.entry(wanted.tier.clone()).or_default();
        tier.named = true;
        let counts = tier.types.entry(wanted.vm_type.clone()).or_default();
        counts.now = counts.now.saturating_add(wanted.count.0);
        counts.next = counts.next.saturating_add(wanted.count_next.0);
    }
    let ending: BTreeSet<VmId> = open_intents
        .iter()
        .filter_map(|intent| match intent.action {
            Action::Terminate { vm } => Some(vm),
            Action::Launch { .. } | Action::ResizeVolume(_) | Action::ResizeLink(_) => None,
        })
        .collect();
    for (vm, found) in present_vms(&request.observed, open_intents) {
        let tier = tiers.entry(found.tier.clone()).or_default();
        if found.requested_at >= request.now {
            tier.started_now = tier.started_now.saturating_add(1);
        }
        if ending.contains(&vm) {
            tier.ending = tier.ending.saturating_add(1);
            continue;
        }
        let counts = tier.types.entry(found.vm_type.clone()).or_default();
        counts.present.push((found.serving, vm));
    }
    tiers
}

/// A VM that is there, or that an open intent may have started.
struct PresentVm<'a> {
    tier: &'a TierName,
    vm_type: &'a VmTypeId,
    requested_at: DomainTime,
    serving: bool,
}

fn present_vms<'a>(
    observed: &'a ObservedAllocation,
    open_intents: &[&'a Intent],
) -> BTreeMap<VmId, PresentVm<'a>> {
    let mut present = BTreeMap::new();
    for intent in open_intents {
        if let Action::Launch {
            vm, tier, vm_type, ..
        } = &intent.action
        {
            let vm_of_intent = PresentVm {
                tier,
                vm_type,
                requested_at: intent.at,
                serving: false,
            };
            present.insert(*vm, vm_of_intent);
        }
    }
    // What was seen is better known than what was asked for, so it replaces it.
    for vm in &observed.vms {
        let seen = PresentVm {
            tier: &vm.tier,
            vm_type: &vm.vm_type,
            requested_at: vm.requested_at,
            serving: vm.serving_since.is_some(),
        };
        present.insert(vm.vm, seen);
    }
    present
}

/// Volumes grow and never shrink: data does not fit into less, and providers do not offer it.
fn plan_volumes(request: &ReconcileRequest, open_intents: &[&Intent]) -> Vec<Operation> {
    let mut blocks: BTreeMap<&TierName, u32> = BTreeMap::new();
    let under_way = open_intents
        .iter()
        .filter_map(|intent| match &intent.action {
            Action::ResizeVolume(volume) => Some(volume),
            Action::Launch { .. } | Action::Terminate { .. } | Action::ResizeLink(_) => None,
        });
    for volume in request.observed.volumes.iter().chain(under_way) {
        let known = blocks.entry(&volume.volume).or_default();
        *known = (*known).max(volume.blocks);
    }
    let mut wanted: BTreeMap<&TierName, _> = BTreeMap::new();
    for volume in &request.desired.volumes {
        let largest = wanted.entry(&volume.volume).or_insert(volume);
        if volume.blocks > largest.blocks {
            *largest = volume;
        }
    }
    wanted
        .into_values()
        .filter(|volume| volume.blocks > blocks.get(&volume.volume).copied().unwrap_or(0))
        .map(|volume| Operation::ResizeVolume(volume.clone()))
        .collect()
}

/// Finds the link change as (larger, smaller): the first comes before terminations, the second after.
fn plan_link(
    request: &ReconcileRequest,
    open_intents: &[&Intent],
    held: &mut HeldCounts,
) -> (Option<LinkSize>, Option<LinkSize>) {
    let Some(wanted) = request.desired.link else {
        return (None, None);
    };
    let under_way = open_intents
        .iter()
        .rev()
        .find_map(|intent| match &intent.action {
            Action::ResizeLink(link) => Some(*link),
            Action::Launch { .. } | Action::Terminate { .. } | Action::ResizeVolume(_) => None,
        });
    let Some(current) = under_way.or(request.observed.link) else {
        return (Some(wanted), None);
    };
    // The price is not compared: a new price list is no reason to touch a link.
    if (current.option, current.bandwidth) == (wanted.option, wanted.bandwidth) {
        (None, None)
    } else if wanted.bandwidth >= current.bandwidth {
        (Some(wanted), None)
    } else if request.desired.blind {
        hold_link(HeldRule::Blind, held);
        (None, None)
    } else {
        (None, Some(wanted))
    }
}

fn hold_link(rule: HeldRule, held: &mut HeldCounts) {
    // No VM is held back by a link that stays as it is.
    if let Ok(name) = TierName::new(LINK_NAME) {
        held.entry((name, rule)).or_insert(0);
    }
}

/// Splits off what would leave more than [`OPEN_INTENTS_MAX`] intents open, from the last operation on.
fn cut_to_bound(
    operations: Vec<Operation>,
    open_intents: usize,
) -> (Vec<Operation>, Vec<Operation>) {
    let room = OPEN_INTENTS_MAX.saturating_sub(open_intents);
    let mut room = u32::try_from(room).unwrap_or(u32::MAX);
    let mut kept = Vec::with_capacity(operations.len());
    let mut cut = Vec::new();
    for operation in operations {
        match operation {
            Operation::Retry { .. } => kept.push(operation),
            Operation::Launch {
                tier,
                vm_type,
                count,
            } => {
                let launch = |count| Operation::Launch {
                    tier: tier.clone(),
                    vm_type: vm_type.clone(),
                    count: VmCount(count),
                };
                let now = count.0.min(room);
                room -= now;
                kept.extend((now > 0).then(|| launch(now)));
                cut.extend((now < count.0).then(|| launch(count.0 - now)));
            }
            Operation::Terminate { .. } | Operation::ResizeVolume(_) | Operation::ResizeLink(_) => {
                let place = if room > 0 { &mut kept } else { &mut cut };
                place.push(operation);
                room = room.saturating_sub(1);
            }
        }
    }
    (kept, cut)
}

/// Reports operations as held back by a rule.
fn hold(
    rule: HeldRule,
    operations: &[Operation],
    request: &ReconcileRequest,
    held: &mut HeldCounts,
) {
    if operations.is_empty() {
        return;
    }
    let open_intents: Vec<_> = request.open_intents.iter().collect();
    let present = present_vms(&request.observed, &open_intents);
    let actions: BTreeMap<_, _> = open_intents
        .iter()
        .map(|intent| (intent.id, &intent.action))
        .collect();
    let tier_of_vm = |vm: &VmId| present.get(vm).map(|found| found.tier.clone());
    for operation in operations {
        let (tier, count) = match operation {
            Operation::Launch { tier, count, .. } => (Some(tier.clone()), count.0),
            Operation::Terminate { vm } => (tier_of_vm(vm), 1),
            Operation::ResizeVolume(volume) => (Some(volume.volume.clone()), 0),
            Operation::ResizeLink(_) => (TierName::new(LINK_NAME).ok(), 0),
            Operation::Retry { intent } => match actions.get(intent) {
                Some(Action::Launch { tier, .. }) => (Some(tier.clone()), 1),
                Some(Action::Terminate { vm }) => (tier_of_vm(vm), 1),
                Some(Action::ResizeVolume(volume)) => (Some(volume.volume.clone()), 0),
                Some(Action::ResizeLink(_)) => (TierName::new(LINK_NAME).ok(), 0),
                None => (None, 0),
            },
        };
        if let Some(tier) = tier {
            let sum = held.entry((tier, rule)).or_insert(0);
            *sum = sum.saturating_add(count);
        }
    }
}
