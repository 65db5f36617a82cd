//! Intents and what came of them: identities are given here, when an intent is applied, so that no
//! effect precedes its committed intent and none is done twice.

use super::apply::{NotApplied, Refusal, Unapplicable, invalid};
use super::{ApplyResult, OutcomesCommitted, PartKey, TwinState};
use crate::limits::{OBSERVED_VMS_MAX, OPEN_INTENTS_MAX, VM_TYPES_PER_TIER_MAX};
use std::collections::BTreeSet;
use twinscale_protocol::provisioner::{
    Action, Intent, IntentOutcome, ObservedAllocation, ObservedVm, Operation, OutcomeResult,
    StartUpTime, TierChange,
};
use twinscale_protocol::stack::Stack;
use twinscale_protocol::{DomainTime, IntentId, TierName, VmId, VmTypeId};

impl TwinState {
    pub(super) fn apply_intents(
        &mut self,
        at: DomainTime,
        operations: Vec<Operation>,
    ) -> Result<ApplyResult, NotApplied> {
        let Some(config) = &self.config else {
            return Err(Refusal::NotConfigured.into());
        };
        self.check_room(&operations)?;
        let mut actions = Vec::new();
        let mut ending = BTreeSet::new();
        for operation in operations {
            // Twice in one command is once.
            if let Operation::Terminate { vm } = &operation
                && !ending.insert(*vm)
            {
                continue;
            }
            let planned = self.planned(&config.stack, operation)?;
            actions.extend(planned);
        }
        let mut next_vm = self.meta.next_vm.0;
        let mut next_intent = self.meta.next_intent.0;
        let mut intents = Vec::with_capacity(actions.len());
        let mut fresh = Vec::new();
        for planned in actions {
            match planned {
                Planned::Retry(intent) => intents.push(intent),
                Planned::Fresh(mut action) => {
                    let id = IntentId(next_intent);
                    if let Action::Launch { vm, .. } = &mut action {
                        *vm = VmId(next_vm);
                        next_vm = next_vm.saturating_add(1);
                    }
                    next_intent = next_intent.saturating_add(1);
                    let intent = Intent { id, at, action };
                    fresh.push(intent.clone());
                    intents.push(intent);
                }
            }
        }
        if next_vm == u64::MAX || next_intent == u64::MAX {
            return Err(Unapplicable::IdentitiesUsedUp {
                next_vm,
                next_intent,
            }
            .into());
        }
        self.meta.next_vm = VmId(next_vm);
        self.meta.next_intent = IntentId(next_intent);
        self.open_intents
            .extend(fresh.into_iter().map(|intent| (intent.id, intent)));
        self.mark(PartKey::Meta);
        self.mark(PartKey::Intents);
        Ok(ApplyResult::IntentsCommitted(intents))
    }

    pub(super) fn apply_outcomes(
        &mut self,
        at: DomainTime,
        outcomes: Vec<IntentOutcome>,
    ) -> Result<ApplyResult, NotApplied> {
        let next = self.meta.next_intent;
        if let Some(unknown) = outcomes.iter().find(|outcome| outcome.intent >= next) {
            let intent = unknown.intent;
            return Err(Unapplicable::UnknownIntent { intent, next }.into());
        }
        let mut committed = OutcomesCommitted::default();
        for IntentOutcome { intent, result } in outcomes {
            let Some(open) = self.open_intents.get(&intent) else {
                committed.repeated = committed.repeated.saturating_add(1);
                continue;
            };
            match result {
                OutcomeResult::Unknown(_) => {
                    committed.unknown = committed.unknown.saturating_add(1);
                }
                OutcomeResult::Refused(_) => {
                    committed.refused = committed.refused.saturating_add(1);
                    let counter = &mut self.meta.counters.refused_intents;
                    *counter = counter.saturating_add(1);
                    if let Some(refused) = self.open_intents.remove(&intent) {
                        self.note_refused(at, &refused);
                    }
                }
                OutcomeResult::Done => {
                    committed.done = committed.done.saturating_add(1);
                    let open = open.clone();
                    self.open_intents.remove(&intent);
                    self.note_done(at, open);
                }
            }
        }
        self.mark(PartKey::Meta);
        self.mark(PartKey::Intents);
        self.mark(PartKey::Allocation);
        Ok(ApplyResult::OutcomesCommitted(committed))
    }

    pub(super) fn apply_observed(
        &mut self,
        at: DomainTime,
        mut allocation: ObservedAllocation,
        mut start_up: Vec<StartUpTime>,
    ) -> Result<ApplyResult, NotApplied> {
        if allocation.vms.len() > OBSERVED_VMS_MAX {
            let count = allocation.vms.len();
            return Err(invalid(format!(
                "{count} VMs observed for one customer: at most {OBSERVED_VMS_MAX} are kept; split the \
                 customer"
            )));
        }
        allocation.vms.sort_by_key(|one| one.vm);
        allocation.vms.dedup_by_key(|one| one.vm);
        start_up.sort_by(|one, other| one.vm_type.cmp(&other.vm_type));
        start_up.dedup_by(|one, other| one.vm_type == other.vm_type);
        start_up.truncate(VM_TYPES_PER_TIER_MAX * crate::limits::TIERS_MAX);
        self.note_lost(at, &allocation);
        self.allocation.observed = allocation;
        self.allocation.observed_at = Some(at);
        self.allocation.start_up = start_up;
        self.mark(PartKey::Allocation);
        Ok(ApplyResult::AllocationObserved)
    }

    fn check_room(&self, operations: &[Operation]) -> Result<(), NotApplied> {
        let wanted = operations.iter().fold(0_usize, |sum, operation| {
            sum.saturating_add(match operation {
                Operation::Launch { count, .. } => usize::try_from(count.0).unwrap_or(usize::MAX),
                Operation::Retry { .. } => 0,
                _ => 1,
            })
        });
        let open = self.open_intents.len();
        if open.saturating_add(wanted) > OPEN_INTENTS_MAX {
            let limit = OPEN_INTENTS_MAX;
            return Err(Refusal::TooManyIntents {
                open,
                wanted,
                limit,
            }
            .into());
        }
        Ok(())
    }

    /// What an operation comes to; the identities follow. A VM that an open intent ends already is not
    /// ended by a second one.
    fn planned(&self, stack: &Stack, operation: Operation) -> Result<Vec<Planned>, NotApplied> {
        Ok(match operation {
            Operation::Launch {
                tier,
                vm_type,
                count,
            } => {
                let action = launch(stack, tier, vm_type)?;
                (0..count.0)
                    .map(|_| Planned::Fresh(action.clone()))
                    .collect()
            }
            Operation::Terminate { vm } => {
                let open = self.open_intents.values();
                let ending = Action::Terminate { vm };
                match open.clone().find(|intent| intent.action == ending) {
                    Some(intent) => vec![Planned::Retry(intent.clone())],
                    None => vec![Planned::Fresh(ending)],
                }
            }
            Operation::ResizeVolume(blocks) => vec![Planned::Fresh(Action::ResizeVolume(blocks))],
            Operation::ResizeLink(size) => vec![Planned::Fresh(Action::ResizeLink(size))],
            Operation::Retry { intent } => match self.open_intents.get(&intent) {
                Some(open) => vec![Planned::Retry(open.clone())],
                None => return Err(Refusal::IntentNotOpen(intent).into()),
            },
        })
    }

    fn note_done(&mut self, at: DomainTime, intent: Intent) {
        let counters = &mut self.meta.counters;
        let allocation = &mut self.allocation;
        match intent.action {
            Action::Launch {
                vm, tier, vm_type, ..
            } => {
                counters.launches = counters.launches.saturating_add(1);
                changed(&mut allocation.tier_changes, &tier).out_at = Some(at);
                let vms = &mut allocation.observed.vms;
                // The provider may have shown it already, when the outcome of the first call was unknown.
                if let Err(place) = vms.binary_search_by_key(&vm, |one| one.vm)
                    && vms.len() < OBSERVED_VMS_MAX
                {
                    let starting = ObservedVm {
                        vm,
                        tier,
                        vm_type,
                        requested_at: intent.at,
                        serving_since: None,
                    };
                    vms.insert(place, starting);
                }
            }
            Action::Terminate { vm } => {
                counters.terminations = counters.terminations.saturating_add(1);
                let vms = &mut allocation.observed.vms;
                if let Ok(place) = vms.binary_search_by_key(&vm, |one| one.vm) {
                    let ended = vms.remove(place);
                    changed(&mut allocation.tier_changes, &ended.tier).in_at = Some(at);
                    self.note_ended(at, &ended);
                }
            }
            Action::ResizeVolume(blocks) => {
                changed(&mut allocation.volume_changes, &blocks.volume).out_at = Some(at);
                let volumes = &mut allocation.observed.volumes;
                match volumes.iter_mut().find(|one| one.volume == blocks.volume) {
                    Some(one) => *one = blocks,
                    None => volumes.push(blocks),
                }
            }
            Action::ResizeLink(size) => {
                allocation.link_changed_at = Some(at);
                allocation.observed.link = Some(size);
            }
        }
    }

    /// Drops the last changes of tiers and volumes that are no longer part of the stack.
    pub(super) fn forget_changes_outside(&mut self, stack: &Stack) {
        let tiers: BTreeSet<&TierName> = stack.tiers.iter().map(|tier| &tier.name).collect();
        let volumes: BTreeSet<&TierName> = stack.volumes.iter().map(|one| &one.name).collect();
        let allocation = &mut self.allocation;
        allocation
            .tier_changes
            .retain(|change| tiers.contains(&change.tier));
        allocation
            .volume_changes
            .retain(|change| volumes.contains(&change.tier));
        self.mark(PartKey::Allocation);
    }
}

/// An action before it has its number.
#[derive(Debug)]
enum Planned {
    Fresh(Action),
    Retry(Intent),
}

fn launch(stack: &Stack, tier: TierName, vm_type: VmTypeId) -> Result<Action, NotApplied> {
    let found = stack.tiers.iter().find(|one| one.name == tier);
    let option = found.and_then(|one| one.vm_types.iter().find(|option| option.vm_type == vm_type));
    let (Some(found), Some(option)) = (found, option) else {
        return Err(invalid(format!(
            "launch of VM type `{vm_type}` in tier `{tier}`, which the stack does not have: use a tier \
             and one of its VM types"
        )));
    };
    Ok(Action::Launch {
        vm: VmId(0),
        tier,
        vm_type,
        price_per_hour: option.price_per_hour,
        minimum_bill: found.minimum_bill,
    })
}

fn changed<'a>(changes: &'a mut Vec<TierChange>, name: &TierName) -> &'a mut TierChange {
    let place = match changes.binary_search_by(|change| change.tier.cmp(name)) {
        Ok(place) => place,
        Err(place) => {
            let change = TierChange {
                tier: name.clone(),
                out_at: None,
                in_at: None,
            };
            changes.insert(place, change);
            place
        }
    };
    changes
        .get_mut(place)
        .expect("the place was found or just filled")
}
