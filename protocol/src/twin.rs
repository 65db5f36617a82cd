//! What a twin is told and asked.

mod misses;

pub use misses::{
    ByCause, GuardRule, MISSES_KEPT, Miss, MissCause, MissReport, TierMisses, Unserved,
};

use crate::forecaster::SeriesForecast;
use crate::ids::{CustomerId, MetricName, VmTypeId};
use crate::optimizer::Plan;
use crate::policy::Policy;
use crate::provisioner::ObservedAllocation;
use crate::series::{Event, Sample, SeriesKey};
use crate::stack::Stack;
use crate::units::{DomainTime, FixedValue, Seconds};
use serde::{Deserialize, Serialize};

/// Most samples in one request: bounds a command's size to about a megabyte.
pub const SAMPLES_PER_REQUEST_MAX: usize = 50_000;

/// Stores samples; the answer comes when they are durable and applied.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct IngestRequest {
    /// Whose samples.
    pub customer: CustomerId,
    /// Domain time of the request.
    pub now: DomainTime,
    /// The samples.
    pub samples: Vec<Sample>,
}

/// What became of the samples of a request.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct IngestReply {
    /// Stored for the first time.
    pub stored: u32,
    /// Already there with the same value.
    pub duplicates: u32,
    /// Already there with another value, which was replaced.
    pub replaced: u32,
    /// Not taken, and why.
    pub refused: Vec<RefusedSample>,
}

/// A sample that was not taken.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RefusedSample {
    /// The series.
    pub series: SeriesKey,
    /// Its time.
    pub at: DomainTime,
    /// Why.
    pub reason: RefusalReason,
}

/// Why a sample was not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RefusalReason {
    /// Older than the retention.
    TooOld {
        /// The oldest time that is still taken.
        oldest: DomainTime,
    },
    /// Further ahead of the clock than clocks may differ.
    InTheFuture {
        /// The newest time that is taken.
        newest: DomainTime,
    },
    /// The twin holds as many series as it may.
    TooManySeries {
        /// The limit.
        limit: u32,
    },
    /// The twin is quarantined.
    Quarantined,
}

/// Sets a customer's policy and stack.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ConfigureRequest {
    /// Whose.
    pub customer: CustomerId,
    /// The policy.
    pub policy: Policy,
    /// The stack.
    pub stack: Stack,
    /// Length of a planning step = spacing of the demand samples.
    pub interval: Seconds,
    /// How many steps forecasts and plans look ahead.
    pub horizon_steps: u16,
}

/// Announces events.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AnnounceRequest {
    /// Whose.
    pub customer: CustomerId,
    /// The events.
    pub events: Vec<Event>,
}

/// Runs one turn of the loop: forecast, plan, provision.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TickRequest {
    /// The moment: samples before it are in.
    pub now: DomainTime,
}

/// What a twin shows of itself.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TwinReport {
    /// Whose.
    pub customer: CustomerId,
    /// Newest forecasts.
    pub forecasts: Vec<SeriesForecast>,
    /// The target plan.
    pub plan: Option<Plan>,
    /// What was last observed to run.
    pub observed: ObservedAllocation,
    /// Counters.
    pub counters: TwinCounters,
    /// Demand that was not served, and what is to blame.
    pub misses: MissReport,
    /// Why it is quarantined, if it is.
    pub quarantine: Option<String>,
}

/// What a twin counted since it exists; committed with the state.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct TwinCounters {
    /// Samples stored.
    pub samples: u64,
    /// Samples that came again with the same value.
    pub duplicates: u64,
    /// Samples that came again with another value.
    pub replaced: u64,
    /// Samples refused.
    pub refused: u64,
    /// Forecasts stored.
    pub forecasts: u64,
    /// Of these, from the seasonal fallback.
    pub fallback_forecasts: u64,
    /// Turns in which no fresh forecast could be had.
    pub stale_turns: u64,
    /// Plans committed.
    pub plans: u64,
    /// Plans refused because their parent was no longer the target.
    pub plan_conflicts: u64,
    /// Turns whose problem no allocation satisfies.
    pub infeasible_turns: u64,
    /// VMs launched.
    pub launches: u64,
    /// VMs terminated.
    pub terminations: u64,
    /// Intents that the provider refused.
    pub refused_intents: u64,
}

/// Reads stored observations.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ObservationsRequest {
    /// The VM type.
    pub vm_type: VmTypeId,
    /// The metric.
    pub metric: MetricName,
    /// From this time on.
    pub from: DomainTime,
    /// Up to this time, exclusive.
    pub until: DomainTime,
}

/// Stored observations, ascending in time.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ObservationsReply {
    /// Time and value.
    pub samples: Vec<(DomainTime, FixedValue)>,
}
