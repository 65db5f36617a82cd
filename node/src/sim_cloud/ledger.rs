//! The cloud's own record of a customer, page by page: what was asked of it under which generation, what it
//! did, and every VM that it ever started.

use serde::{Deserialize, Serialize};
use twinscale_protocol::{
    CustomerId, DomainTime, Generation, MicroDollars, TierName, VmId, VmTypeId,
};
use twinscale_provisioner::simcloud::{
    CallEffect, CallOperation, CallRecord, CallReply, Ledger, RefusalCause, VmRecord,
};

/// Calls, and VMs, of one page.
pub const PAGE_MAX: usize = 10_000;

/// Which part of a ledger is asked for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LedgerQuery {
    /// Whose.
    pub customer: CustomerId,
    /// When, for what runs; the time of the customer's latest call when left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub at: Option<DomainTime>,
    /// From which of all calls on, from 0.
    #[serde(default)]
    pub calls_from: u64,
    /// From which of all VMs on, from 0.
    #[serde(default)]
    pub vms_from: u64,
}

/// A page of a customer's ledger.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LedgerReply {
    /// Whose.
    pub customer: CustomerId,
    /// The time for which it says what runs.
    pub at: DomainTime,
    /// Calls, in the order in which they came; a call that arrived twice stands there twice.
    pub calls: Vec<CallView>,
    /// Calls that are no longer kept: the first so many.
    pub calls_dropped: u64,
    /// Send this as `calls_from` for the calls behind these; none at the end.
    pub next_calls_from: Option<u64>,
    /// VMs, in the order of their starts.
    pub vms: Vec<VmView>,
    /// Send this as `vms_from` for the VMs behind these; none at the end.
    pub next_vms_from: Option<u64>,
}

/// One call.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CallView {
    /// Its place among the customer's calls, from 0; a duplicated call keeps its place. Listings from before
    /// a restart of the cloud are not counted.
    pub sequence: u64,
    /// When, in domain time.
    pub at: DomainTime,
    /// Under which generation; a listing has none.
    pub generation: Option<Generation>,
    /// What was asked for.
    #[serde(flatten)]
    pub operation: OperationView,
    /// What it did.
    pub effect: EffectView,
    /// What the caller was told.
    pub reply: ReplyView,
}

/// What a call asks for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "operation", rename_all = "kebab-case")]
pub enum OperationView {
    /// Start a VM.
    Launch {
        /// Its key.
        vm: VmId,
    },
    /// End a VM.
    Terminate {
        /// Its key.
        vm: VmId,
    },
    /// Grow a volume.
    ResizeVolume {
        /// Which.
        volume: TierName,
        /// To so many blocks.
        blocks: u32,
    },
    /// Set the link.
    ResizeLink {
        /// To this option.
        option: u32,
    },
    /// List what runs.
    List,
}

/// What a call did.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum EffectView {
    /// It changed something (or, for a listing, was answered).
    Applied,
    /// It was done before.
    Unchanged,
    /// It never arrived.
    NotReached,
    /// Refused, since a higher generation had called before.
    RefusedStale,
    /// Refused, since the key is known with another tier or type.
    RefusedKey,
    /// Refused for want of capacity.
    RefusedCapacity,
    /// Refused, since the ledger holds as many VMs as it may.
    RefusedLedgerFull,
}

/// What a caller was told.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ReplyView {
    /// The outcome.
    Outcome,
    /// The outcome, late.
    Late,
    /// For a listing: an earlier moment.
    Stale,
    /// Too many calls.
    Throttled,
    /// A failure of the provider.
    ServerError,
    /// Nothing.
    TimedOut,
}

/// One VM that was started.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct VmView {
    /// Its key, which an intent allocated.
    pub vm: VmId,
    /// Its tier.
    pub tier: TierName,
    /// Its type.
    pub vm_type: VmTypeId,
    /// Under which generation it was started.
    pub generation: Generation,
    /// When it was asked for.
    pub requested_at: DomainTime,
    /// When it serves or will serve; none when its start fails.
    pub serving_at: Option<DomainTime>,
    /// When it ended or will end.
    pub ended_at: Option<DomainTime>,
    /// Whether it runs or starts at the time of the page.
    pub runs: bool,
    /// What it cost until then, in millionths of a US dollar.
    pub cost: MicroDollars,
}

impl LedgerReply {
    /// Reads a page of a ledger; empty where there is none.
    pub(super) fn of(ledger: Option<&Ledger>, query: LedgerQuery, at: DomainTime) -> Self {
        let mut reply = Self {
            customer: query.customer,
            at,
            calls: Vec::new(),
            calls_dropped: 0,
            next_calls_from: None,
            vms: Vec::new(),
            next_vms_from: None,
        };
        let Some(ledger) = ledger else { return reply };
        reply.calls_dropped = ledger.calls_dropped();
        let from = query.calls_from.max(reply.calls_dropped);
        let kept = place(from - reply.calls_dropped);
        let calls = ledger.calls().skip(kept).take(PAGE_MAX);
        reply.calls = calls.map(CallView::from).collect();
        let end = kept.saturating_add(reply.calls.len());
        reply.next_calls_from =
            (end < ledger.calls().len()).then(|| from + reply.calls.len() as u64);
        let from = place(query.vms_from);
        let vms = ledger.vms().iter().skip(from).take(PAGE_MAX);
        reply.vms = vms.map(|vm| VmView::of(vm, at)).collect();
        let end = from.saturating_add(reply.vms.len());
        reply.next_vms_from = (end < ledger.vms().len()).then_some(end as u64);
        reply
    }
}

/// A place in memory; one that does not fit is behind the end.
fn place(number: u64) -> usize {
    usize::try_from(number).unwrap_or(usize::MAX)
}

impl From<&CallRecord> for CallView {
    fn from(call: &CallRecord) -> Self {
        Self {
            sequence: call.sequence,
            at: call.at,
            generation: call.generation,
            operation: match &call.operation {
                CallOperation::Launch(vm) => OperationView::Launch { vm: *vm },
                CallOperation::Terminate(vm) => OperationView::Terminate { vm: *vm },
                CallOperation::ResizeVolume(volume, blocks) => OperationView::ResizeVolume {
                    volume: volume.clone(),
                    blocks: *blocks,
                },
                CallOperation::ResizeLink(option) => OperationView::ResizeLink { option: *option },
                CallOperation::List => OperationView::List,
            },
            effect: match call.effect {
                CallEffect::Applied => EffectView::Applied,
                CallEffect::Unchanged => EffectView::Unchanged,
                CallEffect::NotReached => EffectView::NotReached,
                CallEffect::Refused(RefusalCause::StaleGeneration) => EffectView::RefusedStale,
                CallEffect::Refused(RefusalCause::KeyConflict) => EffectView::RefusedKey,
                CallEffect::Refused(RefusalCause::NoCapacity) => EffectView::RefusedCapacity,
                CallEffect::Refused(RefusalCause::LedgerFull) => EffectView::RefusedLedgerFull,
            },
            reply: match call.reply {
                CallReply::Outcome => ReplyView::Outcome,
                CallReply::Late => ReplyView::Late,
                CallReply::Stale => ReplyView::Stale,
                CallReply::Throttled => ReplyView::Throttled,
                CallReply::ServerError => ReplyView::ServerError,
                CallReply::TimedOut => ReplyView::TimedOut,
            },
        }
    }
}

impl VmView {
    fn of(vm: &VmRecord, at: DomainTime) -> Self {
        Self {
            vm: vm.spec.vm,
            tier: vm.spec.tier.clone(),
            vm_type: vm.spec.vm_type.clone(),
            generation: vm.generation,
            requested_at: vm.life.requested_at,
            serving_at: vm.life.serving_at,
            ended_at: vm.life.ended_at,
            runs: vm.life.requested_at <= at && !vm.has_ended(at),
            cost: vm.life.cost(at).total().micro_dollars(),
        }
    }
}
