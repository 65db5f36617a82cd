//! The state of one customer's twin: plain integers, changed only by applying committed commands.
//!
//! Invariants: [`TwinState::apply`] is total and reads nothing but state and command: no clock, no
//! float, no model; the same commands give the same bytes everywhere. What must not be applied
//! quarantines this twin alone, with the same reason everywhere. Every collection has a bound of
//! [`crate::limits`]. Not here: who decides what is committed ([`crate::cycle`]) and how it becomes
//! durable ([`crate::host`]).

mod apply;
mod configure;
mod events;
mod feedback;
mod forecasts;
mod intents;
#[cfg(feature = "next-schema")]
mod notes;
mod parts;
mod plans;
mod samples;

pub use apply::{ApplyResult, EventsRecorded, OutcomesCommitted, Refusal};
pub(crate) use events::check_event;
#[cfg(feature = "next-schema")]
pub(crate) use notes::check_note;
pub(crate) use parts::KEYS_PREFIX;
pub use parts::{PartChange, PartKey, RestoreError};

use crate::limits::START_UPS_LEARNED_MIN;
use crate::observations::{Observations, Resolution};
use crate::stored::v1::{AllocationRecord, FeedbackRecord, ForecastRecord, Meta, TwinConfig};
use std::collections::{BTreeMap, BTreeSet};
use twinscale_protocol::optimizer::Plan;
use twinscale_protocol::policy::Retention;
use twinscale_protocol::provisioner::{Intent, ObservedAllocation, StartUpTime, TierChange};
use twinscale_protocol::stack::Tier;
use twinscale_protocol::twin::{MissReport, TwinCounters, TwinReport};
use twinscale_protocol::{
    CustomerId, DomainTime, Event, FixedValue, IntentId, PlanNumber, Seconds, SeriesKey, TierName,
    VmId, VmTypeId,
};

/// Kept until a policy says otherwise: ten weeks of raw samples and five minutes, two years of hours.
pub const RETENTION_DEFAULT: Retention = Retention {
    raw: Seconds(70 * 86_400),
    five_minutes: Seconds(70 * 86_400),
    one_hour: Seconds(730 * 86_400),
};

/// The state of one customer's twin.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TwinState {
    customer: CustomerId,
    meta: Meta,
    config: Option<TwinConfig>,
    observations: Observations,
    events: Vec<Event>,
    forecast: Option<ForecastRecord>,
    calibrations: BTreeMap<SeriesKey, Vec<u8>>,
    plans: BTreeMap<PlanNumber, Plan>,
    allocation: AllocationRecord,
    open_intents: BTreeMap<IntentId, Intent>,
    feedback: FeedbackRecord,
    #[cfg(feature = "next-schema")]
    notes: notes::Notes,
    /// Parts that changed since they were last taken for the store; no part of the state itself.
    dirty: BTreeSet<PartKey>,
}

impl TwinState {
    /// Makes the state of a customer that nothing is known about yet.
    pub fn new(customer: CustomerId) -> Self {
        Self {
            customer,
            // 0 is never given: it stands for none.
            meta: Meta {
                next_vm: VmId(1),
                next_intent: IntentId(1),
                ..Meta::default()
            },
            config: None,
            observations: Observations::default(),
            events: Vec::new(),
            forecast: None,
            calibrations: BTreeMap::new(),
            plans: BTreeMap::new(),
            allocation: AllocationRecord::default(),
            open_intents: BTreeMap::new(),
            feedback: FeedbackRecord::default(),
            #[cfg(feature = "next-schema")]
            notes: notes::Notes::default(),
            dirty: BTreeSet::new(),
        }
    }

    /// Whose twin it is.
    pub fn customer(&self) -> &CustomerId {
        &self.customer
    }

    /// Policy, stack, interval and horizon, once they were set.
    pub fn config(&self) -> Option<&TwinConfig> {
        self.config.as_ref()
    }

    /// Counts the changes of policy and stack.
    pub fn config_version(&self) -> u64 {
        self.meta.config_version
    }

    /// Counters since the twin exists.
    pub fn counters(&self) -> TwinCounters {
        self.meta.counters
    }

    /// Why the twin is quarantined, if it is.
    pub fn quarantine(&self) -> Option<&str> {
        self.meta.quarantine.as_deref()
    }

    /// How long observations are kept.
    pub fn retention(&self) -> Retention {
        self.config
            .as_ref()
            .map_or(RETENTION_DEFAULT, |config| config.policy.retention)
    }

    /// Known events, ascending by start.
    pub fn events(&self) -> &[Event] {
        &self.events
    }

    /// The newest forecasts and when they were issued.
    pub fn forecast(&self) -> Option<&ForecastRecord> {
        self.forecast.as_ref()
    }

    /// The calibration of a series that the forecaster returned last; empty at first.
    pub fn calibration(&self, series: &SeriesKey) -> &[u8] {
        self.calibrations
            .get(series)
            .map(Vec::as_slice)
            .unwrap_or_default()
    }

    /// The target plan.
    pub fn target_plan(&self) -> Option<&Plan> {
        self.plans.get(&self.meta.target?.number)
    }

    /// When the target plan was committed, and the version of the configuration that it rests on.
    pub fn target_basis(&self) -> Option<(DomainTime, u64)> {
        self.meta
            .target
            .map(|target| (target.at, target.config_version))
    }

    /// The number that the next plan carries.
    pub fn next_plan_number(&self) -> PlanNumber {
        let last = self.meta.target.map_or(0, |target| target.number.0);
        PlanNumber(last.saturating_add(1))
    }

    /// The plans that are kept, ascending by number.
    pub fn plans(&self) -> impl Iterator<Item = &Plan> {
        self.plans.values()
    }

    /// The identity that the next VM gets.
    pub fn next_vm(&self) -> VmId {
        self.meta.next_vm
    }

    /// What was last observed to run, with the outcomes since.
    pub fn observed(&self) -> &ObservedAllocation {
        &self.allocation.observed
    }

    /// Learned start-up times, ascending by VM type.
    pub fn start_up(&self) -> &[StartUpTime] {
        &self.allocation.start_up
    }

    /// Intents without an outcome, ascending by number.
    pub fn open_intents(&self) -> impl Iterator<Item = &Intent> {
        self.open_intents.values()
    }

    /// Last changes of tiers, ascending by name.
    pub fn tier_changes(&self) -> &[TierChange] {
        &self.allocation.tier_changes
    }

    /// When a volume last changed.
    pub fn volume_changed_at(&self, volume: &TierName) -> Option<DomainTime> {
        self.allocation
            .volume_changes
            .iter()
            .find(|change| change.tier == *volume)
            .and_then(|change| change.out_at)
    }

    /// When the link last changed.
    pub fn link_changed_at(&self) -> Option<DomainTime> {
        self.allocation.link_changed_at
    }

    /// How long before it must serve a VM of a tier is started: the largest learned 95th percentile of
    /// its types, the stack's start-up time until enough starts were seen.
    pub fn lead(&self, tier: &Tier) -> Seconds {
        let learned = |vm_type: &VmTypeId| {
            self.allocation
                .start_up
                .iter()
                .find(|one| one.vm_type == *vm_type && one.count >= START_UPS_LEARNED_MIN)
                .map(|one| one.p95)
        };
        tier.vm_types
            .iter()
            .map(|one| learned(&one.vm_type).unwrap_or(tier.start_up))
            .max()
            .unwrap_or(tier.start_up)
    }

    /// Names the series that were measured, in the order in which they were first seen.
    pub fn series(&self) -> impl Iterator<Item = &SeriesKey> {
        self.observations.keys()
    }

    /// Reads the stored samples or roll-ups of a series from `from` up to `until`, exclusive.
    pub fn observations(
        &self,
        series: &SeriesKey,
        resolution: Resolution,
        from: DomainTime,
        until: DomainTime,
    ) -> Vec<crate::observations::Slot> {
        self.observations.range(series, resolution, from, until)
    }

    /// The time of the newest sample of a series.
    pub fn newest_sample_at(&self, series: &SeriesKey) -> Option<DomainTime> {
        self.observations.last_at(series)
    }

    /// The time of the oldest sample or roll-up of a series.
    pub fn oldest_sample_at(&self, series: &SeriesKey) -> Option<DomainTime> {
        self.observations.first_at(series)
    }

    /// The mean value per interval from `from` on, `steps` of them; `None` where nothing is known.
    pub fn interval_means(
        &self,
        series: &SeriesKey,
        from: DomainTime,
        interval: Seconds,
        steps: usize,
    ) -> Vec<Option<FixedValue>> {
        self.observations.intervals(series, from, interval, steps)
    }

    /// Shows the twin to people and programs.
    pub fn report(&self) -> TwinReport {
        TwinReport {
            customer: self.customer.clone(),
            forecasts: self
                .forecast
                .as_ref()
                .map(|record| record.forecasts.clone())
                .unwrap_or_default(),
            plan: self.target_plan().cloned(),
            observed: self.allocation.observed.clone(),
            counters: self.meta.counters,
            misses: MissReport {
                judged_until: self.feedback.judged_until,
                tiers: self.feedback.totals.clone(),
                latest: self.feedback.latest.clone(),
            },
            quarantine: self.meta.quarantine.clone(),
        }
    }
}

#[cfg(test)]
mod tests;
