//! What must outlive the actor: the effects that a listing may not show yet, and what starts have taught.
//!
//! A provider's listing may be out of date. A VM that was started a moment ago and is not listed would be
//! started once more; one that was ended and is still listed would be counted as capacity. So effects whose
//! outcome is known are laid over each listing until they are older than a grace period.
//!
//! Invariants: an effect is noted only when its outcome is known; memory is bounded by the VMs that a
//! customer runs plus those it changed within the grace period. After a crash of the whole node it starts
//! empty: then a stale listing may cost a VM that runs for one reconcile period too many, and the learned
//! times are those that the twin has committed.

use crate::driver::Listing;
use crate::learning::{StartOutcome, StartUpLearner};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use twinscale_protocol::provisioner::{Action, ObserveReply, ObserveRequest, ObservedVm};
use twinscale_protocol::{CustomerId, DomainTime, Seconds, TierName, VmId, VmTypeId};

/// How long a listing may be out of date: EC2's take seconds, and it costs nothing to allow for minutes.
pub const LISTING_GRACE: Seconds = Seconds(900);

/// A provider's memory; clones share it.
#[derive(Clone, Debug, Default)]
pub struct SharedMemory(Arc<Mutex<ProviderMemory>>);

/// What is remembered of a provider.
#[derive(Debug, Default)]
pub struct ProviderMemory {
    customers: BTreeMap<CustomerId, CustomerMemory>,
}

#[derive(Debug, Default)]
struct CustomerMemory {
    effects: BTreeMap<VmId, Effect>,
    /// Its own starts alone: customers of a replay live in different years, and what one has learned
    /// must not depend on who else was served before.
    learner: StartUpLearner,
    /// VMs whose start has been learned from.
    learned: BTreeMap<VmId, VmTypeId>,
    /// Types of VMs whose start is awaited, to know what a failed one was.
    awaited: BTreeMap<VmId, VmTypeId>,
}

#[derive(Debug)]
struct Effect {
    at: DomainTime,
    kind: EffectKind,
}

#[derive(Debug)]
enum EffectKind {
    Started { tier: TierName, vm_type: VmTypeId },
    Ended,
}

impl SharedMemory {
    /// Locks the memory; nobody holds it across a call.
    pub(crate) fn lock(&self) -> MutexGuard<'_, ProviderMemory> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl ProviderMemory {
    /// Notes that an action's outcome is known to be done.
    pub fn note_done(&mut self, customer: &CustomerId, action: &Action, at: DomainTime) {
        let (vm, kind) = match action {
            Action::Launch {
                vm, tier, vm_type, ..
            } => {
                let (tier, vm_type) = (tier.clone(), vm_type.clone());
                (*vm, EffectKind::Started { tier, vm_type })
            }
            Action::Terminate { vm } => (*vm, EffectKind::Ended),
            // A listing that shows an earlier size brings the same size once more, which changes nothing.
            Action::ResizeVolume(_) | Action::ResizeLink(_) => return,
        };
        let memory = self.customers.entry(customer.clone()).or_default();
        if let Some(Effect {
            kind: EffectKind::Ended,
            ..
        }) = memory.effects.get(&vm)
        {
            // A start that is confirmed after the end has not brought the VM back.
            return;
        }
        if let EffectKind::Started { vm_type, .. } = &kind {
            memory.awaited.insert(vm, vm_type.clone());
        }
        memory.effects.insert(vm, Effect { at, kind });
    }

    /// Makes an observation of a listing: corrects it by what is known and learns from its starts.
    pub fn observe(&mut self, request: &ObserveRequest, listing: Listing) -> ObserveReply {
        let ObserveRequest { customer, now } = request;
        let memory = self.customers.entry(customer.clone()).or_default();
        let oldest = now.minus(LISTING_GRACE);
        memory.effects.retain(|_, effect| effect.at >= oldest);
        learn(memory, request, &listing);

        let mut allocation = listing.allocation;
        allocation.vms.retain(|vm| {
            let effect = memory.effects.get(&vm.vm);
            !matches!(
                effect,
                Some(Effect {
                    kind: EffectKind::Ended,
                    ..
                })
            )
        });
        let told: BTreeSet<VmId> = allocation
            .vms
            .iter()
            .map(|vm| vm.vm)
            .chain(listing.ended.iter().map(|ended| ended.vm))
            .collect();
        for (vm, effect) in &memory.effects {
            if let EffectKind::Started { tier, vm_type } = &effect.kind
                && !told.contains(vm)
            {
                allocation.vms.push(ObservedVm {
                    vm: *vm,
                    tier: tier.clone(),
                    vm_type: vm_type.clone(),
                    requested_at: effect.at,
                    serving_since: None,
                });
            }
        }
        allocation.vms.sort_by_key(|vm| vm.vm);
        let vm_types = allocation.vms.iter().map(|vm| vm.vm_type.clone());
        let start_up = memory.learner.report(*now, &vm_types.collect());
        ObserveReply {
            allocation,
            start_up,
        }
    }
}

fn learn(memory: &mut CustomerMemory, request: &ObserveRequest, listing: &Listing) {
    let ObserveRequest { customer, now } = request;
    let mut listed = BTreeSet::new();
    for vm in &listing.allocation.vms {
        listed.insert(vm.vm);
        let Some(serving_since) = vm.serving_since else {
            memory.awaited.insert(vm.vm, vm.vm_type.clone());
            continue;
        };
        memory.awaited.remove(&vm.vm);
        if memory.learned.insert(vm.vm, vm.vm_type.clone()).is_none() {
            let seconds = serving_since.seconds_since(vm.requested_at).max(0);
            let time = Seconds(u32::try_from(seconds).unwrap_or(u32::MAX));
            let start = (&vm.vm_type, StartOutcome::Served(time));
            memory.learner.record(*now, customer, vm.vm, start);
        }
    }
    for ended in &listing.ended {
        if let Some(vm_type) = memory.awaited.remove(&ended.vm)
            && ended.start_failed
        {
            let start = (&vm_type, StartOutcome::Failed);
            memory.learner.record(*now, customer, ended.vm, start);
        }
    }
    let effects = &memory.effects;
    let known = |vm: &VmId| listed.contains(vm) || effects.contains_key(vm);
    memory.learned.retain(|vm, _| known(vm));
    memory.awaited.retain(|vm, _| known(vm));
}
