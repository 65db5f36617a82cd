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
    Intent, IntentOutcome, ObservedAllocation, Operation, StartUpTime, TierChange,
};
use twinscale_protocol::stack::Stack;
use twinscale_protocol::twin::TwinCounters;
use twinscale_protocol::{
    DomainTime, Event, FixedValue, IntentId, PlanNumber, Seconds, SeriesKey, VmId,
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
    },
    /// Notes a turn without a fresh forecast; keeps the last ones, shifted and widened.
    NoteStaleTurn {
        /// When.
        at: DomainTime,
        /// As in [`Self::StoreForecast`].
        surprised: bool,
        /// The widened ones; empty when there never was a forecast.
        forecasts: Vec<SeriesForecast>,
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

#[cfg(test)]
mod tests;
