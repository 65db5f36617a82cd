//! What a simulated cloud writes down: every call and every VM of one customer.

use crate::driver::VmSpec;
use crate::lifetimes::Lifetime;
use std::collections::VecDeque;
use twinscale_protocol::{DomainTime, Generation, TierName, VmId};

/// A customer's calls and VMs, in the order in which they came.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Ledger {
    calls: VecDeque<CallRecord>,
    calls_dropped: u64,
    vms: Vec<VmRecord>,
}

/// One call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CallRecord {
    /// Its place among the customer's calls, from 0; a duplicated call keeps its place.
    pub sequence: u64,
    /// When, in domain time.
    pub at: DomainTime,
    /// Under which generation; a listing has none.
    pub generation: Option<Generation>,
    /// What was asked for; the identity in it is the key.
    pub operation: CallOperation,
    /// What it did.
    pub effect: CallEffect,
    /// What the caller got.
    pub reply: CallReply,
}

/// What a call asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CallOperation {
    /// Start a VM.
    Launch(VmId),
    /// End a VM.
    Terminate(VmId),
    /// Grow a volume to so many blocks.
    ResizeVolume(TierName, u32),
    /// Set the link to an option.
    ResizeLink(u32),
    /// List what runs.
    List,
}

/// What a call did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CallEffect {
    /// It changed something (or, for a listing, was answered).
    Applied,
    /// It was done before.
    Unchanged,
    /// It never arrived.
    NotReached,
    /// It was refused.
    Refused(RefusalCause),
}

/// Why a call was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RefusalCause {
    /// A higher generation has called before.
    StaleGeneration,
    /// The key is known with another tier or type.
    KeyConflict,
    /// No room for another VM of the type.
    NoCapacity,
    /// The ledger holds as many VMs of the customer as it may.
    LedgerFull,
}

/// What the caller got.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CallReply {
    /// The outcome.
    Outcome,
    /// The outcome, late.
    Late,
    /// For a listing: an earlier moment.
    Stale,
    /// HTTP 429.
    Throttled,
    /// HTTP 5xx.
    ServerError,
    /// Nothing.
    TimedOut,
}

/// One VM that was started.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VmRecord {
    /// What was asked for; `spec.vm` is the key.
    pub spec: VmSpec,
    /// Under which generation it was started.
    pub generation: Generation,
    /// Its life, for bills.
    pub life: Lifetime,
}

impl Ledger {
    /// Reads the calls that are kept, oldest first.
    pub fn calls(&self) -> impl ExactSizeIterator<Item = &CallRecord> {
        self.calls.iter()
    }

    /// Counts the calls that are no longer kept.
    pub const fn calls_dropped(&self) -> u64 {
        self.calls_dropped
    }

    /// Reads the VMs in the order of their starts.
    pub fn vms(&self) -> &[VmRecord] {
        &self.vms
    }

    pub(crate) fn record_call(&mut self, call: CallRecord, calls_max: usize) {
        self.calls.push_back(call);
        while self.calls.len() > calls_max {
            self.calls.pop_front();
            self.calls_dropped += 1;
        }
    }

    pub(crate) fn record_start(&mut self, vm: VmRecord) -> usize {
        self.vms.push(vm);
        self.vms.len() - 1
    }

    pub(crate) fn vm(&self, place: usize) -> Option<&VmRecord> {
        self.vms.get(place)
    }

    /// Ends a VM that has not ended before `at`; a start that would have failed later ends earlier.
    pub(crate) fn end_vm(&mut self, place: usize, at: DomainTime) {
        if let Some(vm) = self.vms.get_mut(place) {
            let ended_at = vm.life.ended_at.map_or(at, |ended_at| ended_at.min(at));
            vm.life.ended_at = Some(ended_at);
        }
    }
}

impl VmRecord {
    /// Whether it has ended by a time.
    pub fn has_ended(&self, at: DomainTime) -> bool {
        self.life.ended_at.is_some_and(|ended_at| ended_at <= at)
    }
}
