//! What a report is made of.

use crate::rivals::Outcome;
use twinscale_protocol::{
    CustomerId, DomainTime, Event, FixedValue, MicroDollars, Seconds, SeriesKey, TierName, VmTypeId,
};

/// A whole run.
#[derive(Clone, Debug, PartialEq)]
pub struct ReportInput {
    /// What ran, such as `Twinscale demo`.
    pub title: String,
    /// The seed of the run.
    pub seed: u64,
    /// The customers, in the order in which they are shown.
    pub customers: Vec<CustomerReport>,
    /// Where the data come from.
    pub sources: Vec<SourceNote>,
    /// Anything else a reader must know, one sentence each.
    pub notes: Vec<String>,
}

/// One customer's run.
#[derive(Clone, Debug, PartialEq)]
pub struct CustomerReport {
    /// Who.
    pub customer: CustomerId,
    /// Start of the replayed window.
    pub start: DomainTime,
    /// Length of a step.
    pub interval: Seconds,
    /// Its tiers.
    pub tiers: Vec<TierReport>,
    /// Events within the window.
    pub events: Vec<Event>,
    /// Actors that failed and came back within the window.
    pub restarts: Vec<Restart>,
    /// VM types whose price nobody named.
    pub assumed_prices: Vec<AssumedPrice>,
}

/// One tier's run.
#[derive(Clone, Debug, PartialEq)]
pub struct TierReport {
    /// Which.
    pub tier: TierName,
    /// The series that it serves.
    pub demand: SeriesKey,
    /// The unit of demand and supply, for people.
    pub unit: String,
    /// What each contender cost and served.
    pub outcomes: Contest<Outcome>,
    /// What happened, one per step from the window's start.
    pub points: Vec<TierPoint>,
}

/// One step of a tier, in the demand metric's unit; supplies have the target utilisation taken off.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TierPoint {
    /// What was wanted; `None` = not observed.
    pub demand: Option<FixedValue>,
    /// The forecast in force: quantiles .05, .5 and .95; `None` = there was none.
    pub forecast: Option<[FixedValue; 3]>,
    /// What Twinscale had serving, averaged over the step.
    pub supply: FixedValue,
    /// What the reactive rival had serving, averaged over the step.
    pub supply_reactive: FixedValue,
}

/// One value per contender.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Contest<T> {
    /// Twinscale.
    pub twinscale: T,
    /// A reactive autoscaler after the Kubernetes HPA.
    pub reactive: T,
    /// As many VMs as the past peak needed, always.
    pub static_peak: T,
    /// Perfect foresight.
    pub foresight: T,
}

/// An actor that failed and came back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Restart {
    /// When, in domain time.
    pub at: DomainTime,
    /// Which kind, such as `forecaster`.
    pub actor: String,
}

/// A price that nobody named.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct AssumedPrice {
    /// The VM type.
    pub vm_type: VmTypeId,
    /// The price it was taken to have for one hour.
    pub price_per_hour: MicroDollars,
}

/// Where data come from.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct SourceNote {
    /// The data set.
    pub dataset: String,
    /// Whom to name.
    pub attribution: String,
    /// Its licence.
    pub licence: String,
}

/// Sums of outcomes.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Score {
    /// Cost of all VMs.
    pub cost: MicroDollars,
    /// Billed VM-hours.
    pub billed_vm_hours: f64,
    /// Demand in VM-hours of each tier's cheapest type.
    pub demand_vm_hours: f64,
    /// Unserved demand in the same.
    pub unserved_vm_hours: f64,
    /// Seconds with a known demand, over all tiers.
    pub observed_seconds: u64,
    /// Seconds of these in which less served than was wanted.
    pub under_seconds: u64,
    /// VMs started.
    pub starts: u64,
}

impl<T> Contest<T> {
    /// Makes a contest of what a function gives for each contender.
    pub fn map<U>(&self, mut function: impl FnMut(&T) -> U) -> Contest<U> {
        Contest {
            twinscale: function(&self.twinscale),
            reactive: function(&self.reactive),
            static_peak: function(&self.static_peak),
            foresight: function(&self.foresight),
        }
    }
}

impl Score {
    /// Reads the score of one tier.
    pub fn of(outcome: &Outcome) -> Self {
        Self {
            cost: outcome.cost,
            billed_vm_hours: outcome.billed_vm_hours(),
            demand_vm_hours: outcome.demand_vm_hours(),
            unserved_vm_hours: outcome.unserved_vm_hours(),
            observed_seconds: outcome.observed_seconds,
            under_seconds: outcome.under_seconds,
            starts: outcome.starts,
        }
    }

    /// Adds another score.
    #[must_use]
    pub fn plus(&self, other: &Self) -> Self {
        Self {
            cost: self.cost.plus(other.cost),
            billed_vm_hours: self.billed_vm_hours + other.billed_vm_hours,
            demand_vm_hours: self.demand_vm_hours + other.demand_vm_hours,
            unserved_vm_hours: self.unserved_vm_hours + other.unserved_vm_hours,
            observed_seconds: self.observed_seconds.saturating_add(other.observed_seconds),
            under_seconds: self.under_seconds.saturating_add(other.under_seconds),
            starts: self.starts.saturating_add(other.starts),
        }
    }

    /// Share of demand that was not served.
    pub fn unserved_share(&self) -> f64 {
        ratio(self.unserved_vm_hours, self.demand_vm_hours)
    }

    /// Share of time in which less served than was wanted.
    pub fn under_share(&self) -> f64 {
        ratio(self.under_seconds as f64, self.observed_seconds as f64)
    }

    /// Cost relative to another score's; `None` when that one is free.
    pub fn cost_ratio(&self, other: &Self) -> Option<f64> {
        (other.cost.0 > 0).then(|| self.cost.0 as f64 / other.cost.0 as f64)
    }
}

fn ratio(part: f64, whole: f64) -> f64 {
    if whole > 0.0 { part / whole } else { 0.0 }
}

impl TierReport {
    /// Reads the scores of all contenders.
    pub fn scores(&self) -> Contest<Score> {
        self.outcomes.map(Score::of)
    }
}

impl CustomerReport {
    /// Sums the scores over the tiers.
    pub fn scores(&self) -> Contest<Score> {
        total(self.tiers.iter().map(TierReport::scores))
    }

    /// End of the replayed window.
    pub fn end(&self) -> DomainTime {
        let steps = self.tiers.iter().map(|tier| tier.points.len()).max();
        let length = (steps.unwrap_or_default() as u64).saturating_mul(u64::from(self.interval.0));
        DomainTime(self.start.0.saturating_add_unsigned(length))
    }
}

impl ReportInput {
    /// Sums the scores over the customers.
    pub fn scores(&self) -> Contest<Score> {
        total(self.customers.iter().map(CustomerReport::scores))
    }

    /// Lists the assumed prices of all customers, each once.
    pub fn assumed_prices(&self) -> Vec<&AssumedPrice> {
        let mut prices: Vec<&AssumedPrice> = self
            .customers
            .iter()
            .flat_map(|customer| &customer.assumed_prices)
            .collect();
        prices.sort();
        prices.dedup();
        prices
    }
}

fn total(scores: impl Iterator<Item = Contest<Score>>) -> Contest<Score> {
    scores.fold(Contest::default(), |sum, score| Contest {
        twinscale: sum.twinscale.plus(&score.twinscale),
        reactive: sum.reactive.plus(&score.reactive),
        static_peak: sum.static_peak.plus(&score.static_peak),
        foresight: sum.foresight.plus(&score.foresight),
    })
}
