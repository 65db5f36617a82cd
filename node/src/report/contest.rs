//! Contenders and their scores.

use crate::rivals::Outcome;
use twinscale_protocol::MicroDollars;

/// Who serves the demand.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Contender {
    /// Twinscale.
    Twinscale,
    /// A reactive autoscaler after the Kubernetes HPA.
    Reactive,
    /// The reactive autoscaler with a floor from an hourly forecast, after AWS predictive scaling.
    Predictive,
    /// A moving window after Google's Autopilot.
    Autopilot,
    /// As many VMs as the past peak needed, always.
    StaticPeak,
    /// Perfect foresight.
    Foresight,
}

/// One value per contender.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Contest<T> {
    /// For [`Contender::Twinscale`].
    pub twinscale: T,
    /// For [`Contender::Reactive`].
    pub reactive: T,
    /// For [`Contender::Predictive`].
    pub predictive: T,
    /// For [`Contender::Autopilot`].
    pub autopilot: T,
    /// For [`Contender::StaticPeak`].
    pub static_peak: T,
    /// For [`Contender::Foresight`].
    pub foresight: T,
}

/// Sums of outcomes.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Score {
    /// Cost of all VMs, and of volumes and link where a customer has them.
    pub cost: MicroDollars,
    /// The part of it that volumes and link cost.
    pub storage_and_link: MicroDollars,
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

impl Contender {
    /// All, in the order in which they are told.
    pub const ALL: [Self; 6] = [
        Self::Twinscale,
        Self::Reactive,
        Self::Predictive,
        Self::Autopilot,
        Self::StaticPeak,
        Self::Foresight,
    ];

    /// Its name in files.
    pub const fn key(self) -> &'static str {
        match self {
            Self::Twinscale => "twinscale",
            Self::Reactive => "reactive",
            Self::Predictive => "predictive",
            Self::Autopilot => "autopilot",
            Self::StaticPeak => "static_peak",
            Self::Foresight => "perfect_foresight",
        }
    }

    /// Its name for people.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Twinscale => "Twinscale",
            Self::Reactive => "reactive (HPA)",
            Self::Predictive => "predictive (AWS-like)",
            Self::Autopilot => "moving window (Autopilot)",
            Self::StaticPeak => "static peak",
            Self::Foresight => "perfect foresight",
        }
    }

    /// Its class in pages and pictures.
    pub(super) const fn class(self) -> &'static str {
        match self {
            Self::Twinscale => "own",
            Self::Reactive => "reactive",
            Self::Predictive => "predictive",
            Self::Autopilot => "autopilot",
            Self::StaticPeak => "static",
            Self::Foresight => "foresight",
        }
    }
}

impl<T> Contest<T> {
    /// Makes one value per contender.
    pub fn of(mut make: impl FnMut(Contender) -> T) -> Self {
        Self {
            twinscale: make(Contender::Twinscale),
            reactive: make(Contender::Reactive),
            predictive: make(Contender::Predictive),
            autopilot: make(Contender::Autopilot),
            static_peak: make(Contender::StaticPeak),
            foresight: make(Contender::Foresight),
        }
    }

    /// Reads the value of a contender.
    pub const fn get(&self, contender: Contender) -> &T {
        match contender {
            Contender::Twinscale => &self.twinscale,
            Contender::Reactive => &self.reactive,
            Contender::Predictive => &self.predictive,
            Contender::Autopilot => &self.autopilot,
            Contender::StaticPeak => &self.static_peak,
            Contender::Foresight => &self.foresight,
        }
    }

    /// Makes a contest of what a function gives for each contender.
    pub fn map<U>(&self, mut function: impl FnMut(&T) -> U) -> Contest<U> {
        Contest::of(|contender| function(self.get(contender)))
    }
}

impl Contest<Score> {
    /// Sums scores, contender by contender.
    pub fn total(scores: impl Iterator<Item = Self>) -> Self {
        scores.fold(Self::default(), |sum, score| {
            Self::of(|contender| sum.get(contender).plus(score.get(contender)))
        })
    }
}

impl Score {
    /// Reads the score of one tier.
    pub fn of(outcome: &Outcome) -> Self {
        Self {
            cost: outcome.cost,
            storage_and_link: MicroDollars(0),
            billed_vm_hours: outcome.billed_vm_hours(),
            demand_vm_hours: outcome.demand_vm_hours(),
            unserved_vm_hours: outcome.unserved_vm_hours(),
            observed_seconds: outcome.observed_seconds,
            under_seconds: outcome.under_seconds,
            starts: outcome.starts,
        }
    }

    /// Adds what volumes and link cost.
    #[must_use]
    pub fn with_extras(self, cost: MicroDollars) -> Self {
        Self {
            cost: self.cost.plus(cost),
            storage_and_link: self.storage_and_link.plus(cost),
            ..self
        }
    }

    /// Adds another score.
    #[must_use]
    pub fn plus(&self, other: &Self) -> Self {
        Self {
            cost: self.cost.plus(other.cost),
            storage_and_link: self.storage_and_link.plus(other.storage_and_link),
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
