//! What the simulated cloud says was done to it: no stale call was accepted, no VM doubled or leaked.
//!
//! It is the cloud's own record that is judged, never what a caller believes. Calls are in the order in which
//! the cloud took them. A scope is what generations are compared within: a customer, whose generation is the
//! term of its shard's leader.

mod record;

pub use record::CloudRecord;

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};
use twinscale_provisioner::simcloud::{
    CallEffect, CallOperation, CallRecord, Ledger, RefusalCause,
};

/// How many violations are named.
const NAMED_MAX: usize = 20;

/// A call that reached the cloud.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CloudCall {
    /// Its place among the calls of its scope, from 0; what is dropped in front of the record counts.
    pub sequence: u64,
    /// Whose.
    pub scope: String,
    /// Under which generation; a listing has none.
    pub generation: Option<u64>,
    /// What was asked for.
    pub action: CloudAction,
    /// What the cloud did.
    pub effect: CloudEffect,
}

/// What a call asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "do", content = "vm", rename_all = "kebab-case")]
pub enum CloudAction {
    /// Start a VM under this key.
    Launch(u64),
    /// End the VM of this key.
    Terminate(u64),
    /// Change the size of something.
    Resize,
    /// Look.
    List,
}

/// What the cloud did.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum CloudEffect {
    /// It changed something.
    Applied,
    /// It had been done before.
    Unchanged,
    /// Refused for its generation.
    RefusedStale,
    /// Refused for another reason.
    Refused,
}

/// A VM that was started.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CloudVm {
    /// Whose.
    pub scope: String,
    /// Its key, which an intent allocated.
    pub vm: u64,
    /// Whether it runs at the end.
    pub runs: bool,
}

/// What one twin knows and wants at the end, two reconcile periods after the heal.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct TwinVms {
    /// Keys that a committed intent ever allocated.
    pub intended: BTreeSet<u64>,
    /// Keys that the twin observes running.
    pub observed: BTreeSet<u64>,
    /// How many VMs it wants.
    pub desired: u64,
}

/// Calls that were accepted though a higher generation had been seen.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct FencingVerdict {
    /// Calls that carried a generation.
    pub calls: u64,
    /// Stale calls that the cloud refused: the fence at work.
    pub refused_stale: u64,
    /// Scopes that were called under more than one generation.
    pub taken_over: u64,
    /// Stale calls that changed something.
    pub accepted_stale: u64,
    /// Calls under generations that were seen before and refused all the same.
    pub wrongly_refused: u64,
    /// Calls that the record no longer holds, which the caller fills in: what they did is not known.
    pub unrecorded: u64,
    /// The first violations.
    pub violations: Vec<String>,
}

/// VMs that should not be, or not be so.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct VmVerdict {
    /// VMs that were ever started.
    pub started: u64,
    /// VMs that run at the end.
    pub running: u64,
    /// Keys under which more than one VM was started.
    pub doubled: u64,
    /// VMs that were started without a committed intent.
    pub without_intent: u64,
    /// VMs that run and that their twin does not observe.
    pub leaked: u64,
    /// VMs that their twin observes and that do not run.
    pub missing: u64,
    /// Twins for which another number of VMs runs than is wanted.
    pub not_settled: u64,
    /// The first violations.
    pub violations: Vec<String>,
}

/// Checks that no call took effect under a generation below one that its scope had seen.
///
/// A generation is seen when a call of it reached the cloud, whether or not it was refused for another reason.
pub fn check_fencing<'a>(calls: impl IntoIterator<Item = &'a CloudCall>) -> FencingVerdict {
    let mut verdict = FencingVerdict::default();
    let mut highest: BTreeMap<&str, u64> = BTreeMap::new();
    let mut taken_over: BTreeSet<&str> = BTreeSet::new();
    for call in calls {
        let Some(sent) = call.generation else {
            continue;
        };
        if call.action == CloudAction::List {
            continue;
        }
        verdict.calls += 1;
        let seen = highest.entry(&call.scope).or_insert(sent);
        if sent != *seen {
            taken_over.insert(&call.scope);
        }
        let is_stale = sent < *seen;
        let wrong = match (is_stale, call.effect) {
            (true, CloudEffect::RefusedStale) => {
                verdict.refused_stale += 1;
                None
            }
            (true, CloudEffect::Applied) => {
                verdict.accepted_stale += 1;
                Some("was accepted after")
            }
            (false, CloudEffect::RefusedStale) => {
                verdict.wrongly_refused += 1;
                Some("was refused as stale after")
            }
            _ => None,
        };
        if let Some(wrong) = wrong {
            let CloudCall {
                scope, sequence, ..
            } = call;
            let text = format!("{scope}: call {sequence} of generation {sent} {wrong} {seen}");
            name(&mut verdict.violations, text);
        }
        *seen = sent.max(*seen);
    }
    verdict.taken_over = u64::try_from(taken_over.len()).unwrap_or(u64::MAX);
    verdict
}

/// Checks that each key started one VM that an intent had allocated, and that at the end what runs is what
/// each twin observes and wants.
pub fn check_vms(vms: &[CloudVm], twins: &BTreeMap<String, TwinVms>) -> VmVerdict {
    let mut verdict = VmVerdict::default();
    let mut starts: BTreeMap<(&str, u64), u64> = BTreeMap::new();
    let mut running: BTreeMap<&str, BTreeSet<u64>> = BTreeMap::new();
    for vm in vms {
        verdict.started += 1;
        *starts.entry((&vm.scope, vm.vm)).or_default() += 1;
        if vm.runs {
            verdict.running += 1;
            running.entry(&vm.scope).or_default().insert(vm.vm);
        }
    }
    let nothing = TwinVms::default();
    for ((scope, vm), count) in starts {
        if count > 1 {
            verdict.doubled += 1;
            let text = format!("{scope}: {count} VMs were started under key {vm}");
            name(&mut verdict.violations, text);
        }
        if !twins.get(scope).unwrap_or(&nothing).intended.contains(&vm) {
            verdict.without_intent += 1;
            let text = format!("{scope}: VM {vm} was started without a committed intent");
            name(&mut verdict.violations, text);
        }
    }
    let scopes: BTreeSet<&str> = twins
        .keys()
        .map(String::as_str)
        .chain(running.keys().copied())
        .collect();
    for scope in scopes {
        let runs = running.remove(scope).unwrap_or_default();
        verdict.compare(scope, &runs, twins.get(scope).unwrap_or(&nothing));
    }
    verdict
}

impl VmVerdict {
    fn compare(&mut self, scope: &str, runs: &BTreeSet<u64>, twin: &TwinVms) {
        for vm in runs.difference(&twin.observed) {
            self.leaked += 1;
            let text = format!("{scope}: VM {vm} runs and its twin does not observe it");
            name(&mut self.violations, text);
        }
        for vm in twin.observed.difference(runs) {
            self.missing += 1;
            let text = format!("{scope}: VM {vm} does not run and its twin observes it");
            name(&mut self.violations, text);
        }
        let count = u64::try_from(runs.len()).unwrap_or(u64::MAX);
        if count != twin.desired {
            self.not_settled += 1;
            let text = format!("{scope}: {count} VMs run, {} are wanted", twin.desired);
            name(&mut self.violations, text);
        }
    }

    /// Whether no rule is broken.
    pub const fn passed(&self) -> bool {
        self.doubled == 0
            && self.without_intent == 0
            && self.leaked == 0
            && self.missing == 0
            && self.not_settled == 0
    }
}

impl FencingVerdict {
    /// Whether no rule is broken, as far as a whole record shows.
    pub const fn passed(&self) -> bool {
        self.accepted_stale == 0 && self.wrongly_refused == 0 && self.unrecorded == 0
    }
}

fn name(violations: &mut Vec<String>, text: String) {
    if violations.len() < NAMED_MAX {
        violations.push(text);
    }
}

/// Reads the calls of a customer off the ledger of a simulated cloud, without those that never arrived.
///
/// The ledger drops its oldest calls past a bound: `Ledger::calls_dropped` goes into
/// [`FencingVerdict::unrecorded`].
pub fn calls_of<'a>(scope: &'a str, ledger: &'a Ledger) -> impl Iterator<Item = CloudCall> + 'a {
    let calls = ledger.calls();
    calls.filter_map(move |call| call_of(scope, call))
}

/// Reads the VMs of a customer off the ledger of a simulated cloud, as they are at a time.
pub fn vms_of<'a>(
    scope: &'a str,
    ledger: &'a Ledger,
    at: twinscale_protocol::DomainTime,
) -> impl Iterator<Item = CloudVm> + 'a {
    ledger.vms().iter().map(move |vm| CloudVm {
        scope: scope.to_owned(),
        vm: vm.spec.vm.0,
        runs: !vm.has_ended(at),
    })
}

fn call_of(scope: &str, call: &CallRecord) -> Option<CloudCall> {
    let effect = match call.effect {
        CallEffect::Applied => CloudEffect::Applied,
        CallEffect::Unchanged => CloudEffect::Unchanged,
        CallEffect::NotReached => return None,
        CallEffect::Refused(RefusalCause::StaleGeneration) => CloudEffect::RefusedStale,
        CallEffect::Refused(_) => CloudEffect::Refused,
    };
    let action = match &call.operation {
        CallOperation::Launch(vm) => CloudAction::Launch(vm.0),
        CallOperation::Terminate(vm) => CloudAction::Terminate(vm.0),
        CallOperation::ResizeVolume(..) | CallOperation::ResizeLink(_) => CloudAction::Resize,
        CallOperation::List => CloudAction::List,
    };
    Some(CloudCall {
        sequence: call.sequence,
        scope: scope.to_owned(),
        generation: call.generation.map(|generation| generation.0),
        action,
        effect,
    })
}

#[cfg(test)]
mod tests;
