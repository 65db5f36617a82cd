//! Rules that a provider's ledger must keep whatever goes wrong: for tests and for chaos runs.
//!
//! Each check is a function of the ledger (and of what the twin committed) that returns what breaks its
//! rule; empty = kept. They look at the provider's own books, never at what a caller believes.

use crate::simcloud::{CallEffect, CallOperation, Ledger};
use std::collections::{BTreeMap, BTreeSet};
use twinscale_protocol::provisioner::{Desired, ObservedAllocation};
use twinscale_protocol::{CustomerId, DomainTime, Generation, TierName, VmId, VmTypeId};

/// A broken rule.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Violation {
    /// A key started more than one VM.
    #[error("customer {customer}: {count} VMs were started under key {vm}")]
    DoubledVm {
        /// Whose.
        customer: CustomerId,
        /// The key.
        vm: VmId,
        /// How many.
        count: usize,
    },
    /// A VM was started under a key that no intent allocated.
    #[error("customer {customer}: VM {vm} was started without a committed intent")]
    WithoutIntent {
        /// Whose.
        customer: CustomerId,
        /// The key.
        vm: VmId,
    },
    /// A change took effect under a generation below one seen before it.
    #[error(
        "customer {customer}: call {sequence} took effect under generation {sent} after {highest}"
    )]
    StaleGeneration {
        /// Whose.
        customer: CustomerId,
        /// The call's place in the ledger.
        sequence: u64,
        /// Its generation.
        sent: Generation,
        /// The highest seen before it.
        highest: Generation,
    },
    /// A VM runs that the twin does not know of.
    #[error("customer {customer}: VM {vm} runs and the twin does not know of it")]
    Orphan {
        /// Whose.
        customer: CustomerId,
        /// The key.
        vm: VmId,
    },
    /// Not as many VMs run as are wanted.
    #[error("customer {customer}: {observed} VMs of {tier}/{vm_type} run, {desired} are wanted")]
    NotSettled {
        /// Whose.
        customer: CustomerId,
        /// The tier.
        tier: TierName,
        /// The type.
        vm_type: VmTypeId,
        /// VMs that run.
        observed: u32,
        /// VMs that are wanted.
        desired: u32,
    },
    /// A volume or the link has another size than is wanted.
    #[error("customer {customer}: {resource} has size {observed}, {desired} is wanted")]
    WrongSize {
        /// Whose.
        customer: CustomerId,
        /// The volume's name, or `link`.
        resource: String,
        /// Its blocks, or the link's option.
        observed: String,
        /// What is wanted.
        desired: String,
    },
}

/// Checks that each key started one VM, and that an intent had allocated it.
pub fn check_keys(
    customer: &CustomerId,
    ledger: &Ledger,
    committed: &BTreeSet<VmId>,
) -> Vec<Violation> {
    let mut starts: BTreeMap<VmId, usize> = BTreeMap::new();
    for vm in ledger.vms() {
        *starts.entry(vm.spec.vm).or_default() += 1;
    }
    let mut violations = Vec::new();
    for (vm, count) in starts {
        let customer = customer.clone();
        if !committed.contains(&vm) {
            let customer = customer.clone();
            violations.push(Violation::WithoutIntent { customer, vm });
        }
        if count > 1 {
            violations.push(Violation::DoubledVm {
                customer,
                vm,
                count,
            });
        }
    }
    violations
}

/// Checks that nothing took effect under a stale generation; only for providers that check generations.
pub fn check_generations(customer: &CustomerId, ledger: &Ledger) -> Vec<Violation> {
    let mut highest = Generation(0);
    let mut violations = Vec::new();
    for call in ledger.calls() {
        let (Some(sent), false) = (call.generation, call.operation == CallOperation::List) else {
            continue;
        };
        if call.effect == CallEffect::NotReached {
            continue;
        }
        if sent < highest && call.effect == CallEffect::Applied {
            violations.push(Violation::StaleGeneration {
                customer: customer.clone(),
                sequence: call.sequence,
                sent,
                highest,
            });
        }
        highest = highest.max(sent);
    }
    violations
}

/// Checks, two reconcile periods after the last fault, that what runs is what is wanted and nothing else.
///
/// `known` are the VMs that the twin observes or has an open intent for.
pub fn check_settled(
    customer: &CustomerId,
    ledger: &Ledger,
    (desired, known): (&Desired, &BTreeSet<VmId>),
    at: DomainTime,
) -> Vec<Violation> {
    let mut counts: BTreeMap<(TierName, VmTypeId), (u32, u32)> = BTreeMap::new();
    for wanted in &desired.vms {
        let key = (wanted.tier.clone(), wanted.vm_type.clone());
        counts.entry(key).or_default().1 += wanted.count.0.max(wanted.count_next.0);
    }
    let mut violations = Vec::new();
    for vm in ledger.vms().iter().filter(|vm| !vm.has_ended(at)) {
        let key = (vm.spec.tier.clone(), vm.spec.vm_type.clone());
        counts.entry(key).or_default().0 += 1;
        if !known.contains(&vm.spec.vm) {
            violations.push(Violation::Orphan {
                customer: customer.clone(),
                vm: vm.spec.vm,
            });
        }
    }
    for ((tier, vm_type), (observed, desired)) in counts {
        if observed != desired {
            violations.push(Violation::NotSettled {
                customer: customer.clone(),
                tier,
                vm_type,
                observed,
                desired,
            });
        }
    }
    violations
}

/// Checks, two reconcile periods after the last fault, that volumes hold at least the wanted blocks and the
/// link has the wanted option.
pub fn check_sizes(
    customer: &CustomerId,
    observed: &ObservedAllocation,
    desired: &Desired,
) -> Vec<Violation> {
    let mut violations = Vec::new();
    let mut wrong = |resource: &str, observed: Option<u32>, desired: u32| {
        violations.push(Violation::WrongSize {
            customer: customer.clone(),
            resource: resource.to_owned(),
            observed: observed.map_or_else(|| "none".to_owned(), |size| size.to_string()),
            desired: desired.to_string(),
        });
    };
    for wanted in &desired.volumes {
        let found = observed
            .volumes
            .iter()
            .find(|one| one.volume == wanted.volume);
        let blocks = found.map(|one| one.blocks);
        if blocks.is_none_or(|blocks| blocks < wanted.blocks) {
            wrong(wanted.volume.as_str(), blocks, wanted.blocks);
        }
    }
    if let Some(wanted) = desired.link {
        let option = observed.link.map(|link| link.option);
        if option != Some(wanted.option) {
            wrong("link", option, wanted.option);
        }
    }
    violations
}
