//! Version 1 of the stored kinds: the commands in the log and the parts of a state in the store.
//!
//! Invariant: the bytes of these types never change; `golden/v1.txt` holds samples that must stay
//! readable. Where a type of `twinscale-protocol` is part of a stored kind, a change there that alters
//! the bytes fails the same test, and needs a copy of the old type here.

use serde::{Deserialize, Serialize};
use twinscale_protocol::envelope::EnvelopeKind;
use twinscale_protocol::forecaster::SeriesForecast;
use twinscale_protocol::optimizer::Plan;
use twinscale_protocol::policy::Policy;
use twinscale_protocol::provisioner::{
    Held, Intent, IntentOutcome, ObservedAllocation, Operation, StartUpTime, TierChange,
};
use twinscale_protocol::stack::Stack;
use twinscale_protocol::twin::{GuardRule, Miss, TierMisses, TwinCounters};
use twinscale_protocol::{
    DomainTime, Event, FixedValue, IntentId, PlanNumber, Seconds, SeriesKey, TierName, VmCount,
    VmId, VmTypeId,
};

/// A command of one twin, in the log.
pub const COMMAND: EnvelopeKind = EnvelopeKind(0x0100);

/// Identity, counters and chain head of a state.
pub const META: EnvelopeKind = EnvelopeKind(0x0110);

/// Policy, stack, interval and horizon.
pub const CONFIG: EnvelopeKind = EnvelopeKind(0x0111);

/// A series.
pub const SERIES: EnvelopeKind = EnvelopeKind(0x0112);

/// A block of observations.
pub const BLOCK: EnvelopeKind = EnvelopeKind(0x0113);

/// Events.
pub const EVENTS: EnvelopeKind = EnvelopeKind(0x0114);

/// The newest forecasts.
pub const FORECAST: EnvelopeKind = EnvelopeKind(0x0115);

/// The calibration of one series.
pub const CALIBRATION: EnvelopeKind = EnvelopeKind(0x0116);

/// A plan.
pub const PLAN: EnvelopeKind = EnvelopeKind(0x0117);

/// Observed allocation, start-up times and last changes.
pub const ALLOCATION: EnvelopeKind = EnvelopeKind(0x0118);

/// Intents without an outcome.
pub const INTENTS: EnvelopeKind = EnvelopeKind(0x0119);

/// What was covered, what served, what failed, and the misses that came of it.
pub const FEEDBACK: EnvelopeKind = EnvelopeKind(0x011a);

/// The first and the last kind of this crate: a kind between them that no constant names was written by
/// a newer program.
pub const KINDS: std::ops::RangeInclusive<u16> = 0x0100..=0x01ff;

/// What can happen to a twin. Commands carry results; applying one only stores.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum TwinCommand {
    /// Sets policy and stack.
    Configure(TwinConfig),
    /// Records measured values.
    RecordSamples {
        /// Domain time of the request.
        now: DomainTime,
        /// The samples by series; of two with one key the later wins.
        groups: Vec<SampleGroup>,
    },
    /// Records events; one with the same kind, name, start and series replaces the older.
    RecordEvents {
        /// The events.
        events: Vec<Event>,
    },
    /// Keeps fresh forecasts and the calibration for the next ones.
    StoreForecast {
        /// End of the last observed interval.
        issued_at: DomainTime,
        /// Whether the forecast that this one replaces was wrong about the last interval: known for the
        /// rest of the turn, should it be cut short.
        surprised: bool,
        /// One per series.
        forecasts: Vec<SeriesForecast>,
        /// One per series.
        calibrations: Vec<Vec<u8>>,
        /// What was found about the steps that are over.
        feedback: Option<Feedback>,
    },
    /// Notes a turn without a fresh forecast; keeps the last ones, shifted and widened.
    NoteStaleTurn {
        /// When.
        at: DomainTime,
        /// As in [`Self::StoreForecast`].
        surprised: bool,
        /// The widened ones; empty when there never was a forecast.
        forecasts: Vec<SeriesForecast>,
        /// As in [`Self::StoreForecast`].
        feedback: Option<Feedback>,
    },
    /// Makes a plan the target, if its parent is the target now.
    CommitPlan {
        /// When.
        at: DomainTime,
        /// The version of the configuration that it was made from.
        config_version: u64,
        /// The plan.
        plan: Plan,
    },
    /// Notes a turn in which no plan could be made; the last one stays the target.
    NoteInfeasibleTurn {
        /// When.
        at: DomainTime,
    },
    /// Commits wishes to change the outside and gives identities to the VMs among them.
    CommitIntents {
        /// When.
        at: DomainTime,
        /// The operations, in order.
        operations: Vec<Operation>,
        /// Launches that limits of the policy held back in the same pass.
        held: Vec<Held>,
    },
    /// Commits what came of intents.
    CommitOutcomes {
        /// When.
        at: DomainTime,
        /// The outcomes.
        outcomes: Vec<IntentOutcome>,
    },
    /// Commits what the provider was seen to run.
    ObserveAllocation {
        /// When.
        at: DomainTime,
        /// What runs.
        allocation: ObservedAllocation,
        /// Learned start-up times.
        start_up: Vec<StartUpTime>,
    },
    /// Lets a quarantined twin work again; an operator's decision.
    LiftQuarantine,
    /// Sets policy and stack, if the configuration is still of a version.
    ConfigureIf {
        /// The version that it must be of; 0 = there is none yet.
        config_version: u64,
        /// Policy and stack.
        config: TwinConfig,
    },
    /// Writes a note down (schema 3).
    #[cfg(feature = "next-schema")]
    Annotate(super::v3::Note),
}

/// What a twin is told about its customer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TwinConfig {
    /// What the customer wants.
    pub policy: Policy,
    /// What the customer runs.
    pub stack: Stack,
    /// Length of a step.
    pub interval: Seconds,
    /// How many steps forecasts and plans look ahead.
    pub horizon_steps: u16,
}

/// Samples of one series.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SampleGroup {
    /// The series.
    pub series: SeriesKey,
    /// Start of the measured interval, and value in the metric's unit.
    pub samples: Vec<(DomainTime, FixedValue)>,
}

/// The small part that nearly every command changes.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Meta {
    /// Counters since the twin exists.
    pub counters: TwinCounters,
    /// Why it is quarantined, if it is.
    pub quarantine: Option<String>,
    /// Counts the changes of policy and stack.
    pub config_version: u64,
    /// The target plan's number and what it rests on.
    pub target: Option<TargetPlan>,
    /// The number of the next VM.
    pub next_vm: VmId,
    /// The number of the next intent.
    pub next_intent: IntentId,
}

/// The head of the chain of plans.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TargetPlan {
    /// Its number.
    pub number: PlanNumber,
    /// When it was committed.
    pub at: DomainTime,
    /// The configuration that it was made from.
    pub config_version: u64,
}

/// The key and the floors of a series, by resolution: nothing older is taken.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SeriesRecord {
    /// The series.
    pub key: SeriesKey,
    /// Floors of raw samples, five minutes, one hour.
    pub floors: [DomainTime; 3],
}

/// A block's encoded slots.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BlockRecord {
    /// As written by the crate's column encoding.
    pub bytes: Vec<u8>,
}

/// The newest forecasts.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ForecastRecord {
    /// End of the last observed interval.
    pub issued_at: DomainTime,
    /// Whether the forecast before this one was wrong about that interval.
    pub surprised: bool,
    /// One per series.
    pub forecasts: Vec<SeriesForecast>,
}

/// The calibration of one series; opaque to all but the forecaster.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct CalibrationRecord {
    /// As the forecaster returned it.
    pub bytes: Vec<u8>,
}

/// What runs, how long starts took, and when something last changed.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct AllocationRecord {
    /// When it was last observed.
    pub observed_at: Option<DomainTime>,
    /// What was seen, with the outcomes since.
    pub observed: ObservedAllocation,
    /// Learned start-up times, ascending by VM type.
    pub start_up: Vec<StartUpTime>,
    /// Last changes of tiers, ascending by name.
    pub tier_changes: Vec<TierChange>,
    /// Last changes of volumes, ascending by name.
    pub volume_changes: Vec<TierChange>,
    /// Last change of the link.
    pub link_changed_at: Option<DomainTime>,
}

/// Intents without an outcome, ascending by number.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct IntentsRecord {
    /// The intents.
    pub open: Vec<Intent>,
}

/// What a turn found about steps that are over.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Feedback {
    /// Steps that begin before this moment are judged or never will be.
    pub judged_until: DomainTime,
    /// What the decision that has just been replaced covers of steps to come.
    pub covers: Vec<CoverRecord>,
    /// Steps that were judged, by tier.
    pub judged: Vec<JudgedSteps>,
    /// Of these, those in which less served than was wanted, ascending in time.
    pub misses: Vec<Miss>,
}

/// How many steps of a tier were judged.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct JudgedSteps {
    /// The tier.
    pub tier: TierName,
    /// Steps.
    pub steps: u32,
}

/// What two decisions covered of one step of a tier.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CoverRecord {
    /// The tier.
    pub tier: TierName,
    /// Start of the step.
    pub step_at: DomainTime,
    /// The last decision that could have something serving when the step begins.
    pub early: Option<Cover>,
    /// The decision after it: what it orders serves within the step.
    pub late: Option<Cover>,
}

/// What a decision covered of one step of a tier, in the demand metric's unit.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cover {
    /// The highest quantile of its forecast; `None` = there was none.
    pub high: Option<FixedValue>,
    /// What its plan wanted to serve; `None` = there was no plan.
    pub planned: Option<FixedValue>,
    /// The limit that kept the plan from more, if one did.
    pub bound: Option<GuardRule>,
}

/// What the judgement of steps rests on, and what came of it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct FeedbackRecord {
    /// Steps that begin before this moment are judged or never will be; `None` = none was yet.
    pub judged_until: Option<DomainTime>,
    /// Covers of steps that are not judged yet, ascending by step and tier.
    pub covers: Vec<CoverRecord>,
    /// VMs that served in steps that are not judged yet and have ended, in the order of their ends.
    pub ended: Vec<EndedVms>,
    /// Launches that came to nothing, in the order in which it was seen.
    pub failed: Vec<FailedVms>,
    /// Passes after which other launches were held back than before, ascending in time.
    pub held: Vec<HeldPass>,
    /// The last turn in which no plan kept the policy.
    pub infeasible_at: Option<DomainTime>,
    /// By tier, ascending.
    pub totals: Vec<TierMisses>,
    /// The latest misses, ascending in time.
    pub latest: Vec<Miss>,
}

/// VMs of one type that served and ended together.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct EndedVms {
    /// Their tier.
    pub tier: TierName,
    /// Their type.
    pub vm_type: VmTypeId,
    /// Since when they served, as far as it still matters.
    pub serving_since: DomainTime,
    /// When they ended.
    pub ended_at: DomainTime,
    /// How many.
    pub count: VmCount,
}

/// VMs of one type that the provider refused or lost.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FailedVms {
    /// Their tier.
    pub tier: TierName,
    /// Their type.
    pub vm_type: VmTypeId,
    /// Since when they were missed.
    pub from: DomainTime,
    /// From when on others could have taken their place.
    pub until: DomainTime,
    /// How many.
    pub count: VmCount,
}

/// What was held back from one pass on, until the next entry.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct HeldPass {
    /// When.
    pub at: DomainTime,
    /// Launches held back, by tier and rule.
    pub held: Vec<Held>,
}

#[cfg(test)]
mod tests;
