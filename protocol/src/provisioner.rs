//! What the provisioner is asked, and what it answers.
//!
//! The twin drives: it asks for a diff ([`ReconcileRequest`]), commits the intents, has them carried out
//! ([`ExecuteRequest`]) and commits the outcomes. So no effect precedes its committed intent.

use crate::ids::{CustomerId, Generation, IntentId, TierName, VmId, VmTypeId};
use crate::policy::{Limits, Mode};
use crate::units::{DomainTime, Mbps, MicroDollars, PartsPerMillion, Seconds, VmCount};
use serde::{Deserialize, Serialize};

/// Asks what must change so that observed becomes desired; pure, touches no provider.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReconcileRequest {
    /// Whose allocation.
    pub customer: CustomerId,
    /// The moment of the decision.
    pub now: DomainTime,
    /// How far it may go.
    pub mode: Mode,
    /// What is wanted.
    pub desired: Desired,
    /// What was last observed.
    pub observed: ObservedAllocation,
    /// Intents that are committed and have no outcome yet.
    pub open_intents: Vec<Intent>,
    /// Guardrails, for every tier.
    pub limits: Limits,
    /// Last changes per tier, for the cool-downs.
    pub last_changes: Vec<TierChange>,
}

/// A wanted allocation at one moment.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Desired {
    /// VMs per tier and type.
    pub vms: Vec<DesiredVms>,
    /// Blocks per volume.
    pub volumes: Vec<VolumeBlocks>,
    /// Bandwidth of the link.
    pub link: Option<LinkSize>,
    /// Whether metrics or forecast are missing: then nothing scales in.
    pub blind: bool,
}

/// Wanted VMs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DesiredVms {
    /// The tier.
    pub tier: TierName,
    /// The type.
    pub vm_type: VmTypeId,
    /// Wanted now, for the step that is being served.
    pub count: VmCount,
    /// Wanted in the step that comes next, when its lead has begun; launches happen for the larger of
    /// the two, terminations only below both.
    pub count_next: VmCount,
}

/// A volume's size.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct VolumeBlocks {
    /// The volume.
    pub volume: TierName,
    /// Its blocks.
    pub blocks: u32,
    /// Price of one block for one hour.
    pub price_block_hour: MicroDollars,
}

/// A link's size.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LinkSize {
    /// Index among the link's options.
    pub option: u32,
    /// Its bandwidth.
    pub bandwidth: Mbps,
    /// Its price for one hour.
    pub price_per_hour: MicroDollars,
}

/// What a provider was last seen to run for a customer.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ObservedAllocation {
    /// VMs, ascending by identity.
    pub vms: Vec<ObservedVm>,
    /// Volumes.
    pub volumes: Vec<VolumeBlocks>,
    /// The link.
    pub link: Option<LinkSize>,
}

/// One VM as last observed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ObservedVm {
    /// Its identity.
    pub vm: VmId,
    /// Its tier.
    pub tier: TierName,
    /// Its type.
    pub vm_type: VmTypeId,
    /// When it was asked for.
    pub requested_at: DomainTime,
    /// Since when it serves; `None` = still starting.
    pub serving_since: Option<DomainTime>,
}

/// When a tier last changed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TierChange {
    /// The tier.
    pub tier: TierName,
    /// Last scale-out.
    pub out_at: Option<DomainTime>,
    /// Last scale-in.
    pub in_at: Option<DomainTime>,
}

/// What must change.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReconcileReply {
    /// Operations, in the order in which they should be carried out.
    pub operations: Vec<Operation>,
    /// What a guardrail held back, and why.
    pub held: Vec<Held>,
}

/// A change without an identity yet: the committed intent gives it one.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Operation {
    /// Start this many VMs.
    Launch {
        /// The tier.
        tier: TierName,
        /// The type.
        vm_type: VmTypeId,
        /// How many.
        count: VmCount,
    },
    /// End this VM.
    Terminate {
        /// Which.
        vm: VmId,
    },
    /// Grow a volume.
    ResizeVolume(VolumeBlocks),
    /// Buy another link size.
    ResizeLink(LinkSize),
    /// An open intent whose outcome is unknown: carry it out again under the same key.
    Retry {
        /// Which.
        intent: IntentId,
    },
}

/// Something a guardrail held back.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Held {
    /// The tier or volume.
    pub tier: TierName,
    /// Which guardrail.
    pub rule: HeldRule,
    /// VMs that were held back.
    pub count: VmCount,
}

/// A guardrail.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum HeldRule {
    /// The mode forbids it.
    Mode,
    /// The floor.
    Floor,
    /// The ceiling.
    Ceiling,
    /// The step limit.
    StepLimit,
    /// A cool-down.
    Cooldown,
    /// Metrics are missing, so nothing scales in.
    Blind,
}

/// A committed wish to change the outside.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Intent {
    /// Its number.
    pub id: IntentId,
    /// When it was committed, in domain time.
    pub at: DomainTime,
    /// What to do.
    pub action: Action,
}

/// What an intent does; the identity in it is the idempotency key.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Action {
    /// Start this VM.
    Launch {
        /// Its identity, allocated by this intent.
        vm: VmId,
        /// The tier.
        tier: TierName,
        /// The type.
        vm_type: VmTypeId,
        /// Its price, for the ledger.
        price_per_hour: MicroDollars,
        /// Shortest time that is billed.
        minimum_bill: Seconds,
    },
    /// End this VM.
    Terminate {
        /// Which.
        vm: VmId,
    },
    /// Grow a volume.
    ResizeVolume(VolumeBlocks),
    /// Buy another link size.
    ResizeLink(LinkSize),
}

/// Asks to carry out committed intents.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ExecuteRequest {
    /// Whose.
    pub customer: CustomerId,
    /// The fencing number.
    pub generation: Generation,
    /// Domain time of the calls.
    pub now: DomainTime,
    /// The intents; all are committed.
    pub intents: Vec<Intent>,
}

/// What came of them.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ExecuteReply {
    /// One per intent, in the order of the request.
    pub outcomes: Vec<IntentOutcome>,
}

/// What came of one intent.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct IntentOutcome {
    /// Which.
    pub intent: IntentId,
    /// What came of it.
    pub result: OutcomeResult,
}

/// How a provider call ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OutcomeResult {
    /// It is done (or was done before under the same key).
    Done,
    /// The provider refused, for good; the intent is closed.
    Refused(String),
    /// It may or may not have happened: the intent stays open and is retried under the same key.
    Unknown(String),
}

/// Asks what the provider runs for a customer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ObserveRequest {
    /// Whose.
    pub customer: CustomerId,
    /// Domain time of the call.
    pub now: DomainTime,
}

/// What the provider runs.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ObserveReply {
    /// The allocation.
    pub allocation: ObservedAllocation,
    /// Learned start-up time per VM type.
    pub start_up: Vec<StartUpTime>,
}

/// How long VMs of a type took until they served.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StartUpTime {
    /// The type.
    pub vm_type: VmTypeId,
    /// Starts seen.
    pub count: u32,
    /// 95th percentile.
    pub p95: Seconds,
    /// Share of launches that failed.
    pub failed: PartsPerMillion,
}
