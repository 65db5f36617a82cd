//! Demand that was not served, and what is to blame for it.

use crate::ids::TierName;
use crate::units::{DomainTime, FixedValue, MicroDollars, Seconds};
use serde::{Deserialize, Serialize};

/// Misses that a twin keeps one by one; the totals hold all.
pub const MISSES_KEPT: usize = 64;

/// What is to blame for demand that was not served, in the order of the levels from the demand down to
/// what served.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum MissCause {
    /// The demand was above the highest quantile of the forecast that could still be acted upon.
    Forecast,
    /// The forecast's range held it, and the plan chose to cover less.
    Plan,
    /// A limit of the policy kept the plan from covering it, or held its launches back.
    Guardrail,
    /// The provider refused, lost or did not answer for what was asked of it.
    Provider,
    /// The plan wanted it and nothing stood in the way but time: it did not serve yet.
    StartUp,
}

/// A limit of the policy that kept VMs from being there.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum GuardRule {
    /// The most VMs.
    Ceiling,
    /// The most VMs that one step may start.
    StepLimit,
    /// The least time between two scale-outs.
    Cooldown,
    /// The most that a day may cost.
    Budget,
    /// No plan keeps all of the policy's limits, so the one before stayed.
    Infeasible,
}

/// One value per cause.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ByCause<T> {
    /// For [`MissCause::Forecast`].
    pub forecast: T,
    /// For [`MissCause::Plan`].
    pub plan: T,
    /// For [`MissCause::Guardrail`].
    pub guardrail: T,
    /// For [`MissCause::Provider`].
    pub provider: T,
    /// For [`MissCause::StartUp`].
    pub start_up: T,
}

/// A part of the demand that was not served.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Unserved {
    /// Seconds of VMs of the tier's cheapest type per capacity.
    pub vm_seconds: FixedValue,
    /// What it costs by the policy's price of unserved demand.
    pub money: MicroDollars,
}

/// A step of a tier in which, for some time, less served than was wanted.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Miss {
    /// The tier.
    pub tier: TierName,
    /// Start of the step.
    pub step_at: DomainTime,
    /// What was wanted, in the demand metric's unit.
    pub demand: FixedValue,
    /// What served, averaged over the step, in the same.
    pub served: FixedValue,
    /// The highest quantile of the forecast that the worst moment of the step could rest on; `None` =
    /// there was no forecast.
    pub forecast_high: Option<FixedValue>,
    /// What the plan that the worst moment rests on wanted to serve; `None` = there was no plan.
    pub planned: Option<FixedValue>,
    /// How long it lasted.
    pub short: Seconds,
    /// What is to blame; the parts add up to the whole.
    pub causes: ByCause<Unserved>,
    /// The limit behind [`MissCause::Guardrail`], if it has a share.
    pub rule: Option<GuardRule>,
}

/// What became of a tier's steps since the twin exists.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TierMisses {
    /// The tier.
    pub tier: TierName,
    /// Steps whose demand was observed and compared with what served.
    pub judged_steps: u64,
    /// Of these, steps in which for some time less served than was wanted.
    pub missed_steps: u64,
    /// Seconds in which less served than was wanted.
    pub short_seconds: u64,
    /// What is to blame.
    pub causes: ByCause<Unserved>,
    /// Missed steps by the cause with the largest part.
    pub steps: ByCause<u64>,
}

/// All misses of a twin.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct MissReport {
    /// Steps that begin before this moment are judged or never will be.
    pub judged_until: Option<DomainTime>,
    /// By tier, ascending.
    pub tiers: Vec<TierMisses>,
    /// The latest misses, ascending in time; at most [`MISSES_KEPT`].
    pub latest: Vec<Miss>,
}

impl MissCause {
    /// All causes, in their order.
    pub const ALL: [Self; 5] = [
        Self::Forecast,
        Self::Plan,
        Self::Guardrail,
        Self::Provider,
        Self::StartUp,
    ];

    /// Its name in files and tables.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Forecast => "forecast",
            Self::Plan => "plan",
            Self::Guardrail => "guardrail",
            Self::Provider => "provider",
            Self::StartUp => "start-up",
        }
    }
}

impl GuardRule {
    /// What it is called.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Ceiling => "the ceiling",
            Self::StepLimit => "the step limit",
            Self::Cooldown => "the cool-down of scale-outs",
            Self::Budget => "the budget",
            Self::Infeasible => "limits that no plan keeps",
        }
    }
}

impl<T> ByCause<T> {
    /// Makes one value per cause.
    pub fn of(mut make: impl FnMut(MissCause) -> T) -> Self {
        Self {
            forecast: make(MissCause::Forecast),
            plan: make(MissCause::Plan),
            guardrail: make(MissCause::Guardrail),
            provider: make(MissCause::Provider),
            start_up: make(MissCause::StartUp),
        }
    }

    /// Reads the value of a cause.
    pub const fn get(&self, cause: MissCause) -> &T {
        match cause {
            MissCause::Forecast => &self.forecast,
            MissCause::Plan => &self.plan,
            MissCause::Guardrail => &self.guardrail,
            MissCause::Provider => &self.provider,
            MissCause::StartUp => &self.start_up,
        }
    }

    /// Reads the value of a cause, to change it.
    pub const fn get_mut(&mut self, cause: MissCause) -> &mut T {
        match cause {
            MissCause::Forecast => &mut self.forecast,
            MissCause::Plan => &mut self.plan,
            MissCause::Guardrail => &mut self.guardrail,
            MissCause::Provider => &mut self.provider,
            MissCause::StartUp => &mut self.start_up,
        }
    }

    /// Reads all values with their causes, in the order of the causes.
    pub fn iter(&self) -> impl Iterator<Item = (MissCause, &T)> {
        MissCause::ALL
            .map(|cause| (cause, self.get(cause)))
            .into_iter()
    }
}

impl Unserved {
    /// Adds another part, saturating.
    #[must_use]
    pub const fn plus(self, other: Self) -> Self {
        Self {
            vm_seconds: FixedValue(self.vm_seconds.0.saturating_add(other.vm_seconds.0)),
            money: self.money.plus(other.money),
        }
    }
}

impl ByCause<Unserved> {
    /// Adds the parts.
    #[must_use]
    pub fn total(&self) -> Unserved {
        self.iter()
            .fold(Unserved::default(), |sum, (_, part)| sum.plus(*part))
    }

    /// Adds another split, part by part.
    #[must_use]
    pub fn plus(&self, other: &Self) -> Self {
        Self::of(|cause| self.get(cause).plus(*other.get(cause)))
    }

    /// The cause with the largest part; of equal ones the first. `None` when nothing was unserved.
    pub fn largest(&self) -> Option<MissCause> {
        let mut best: Option<(MissCause, FixedValue)> = None;
        for (cause, part) in self.iter() {
            let is_larger = best.is_none_or(|(_, most)| part.vm_seconds > most);
            if part.vm_seconds.0 > 0 && is_larger {
                best = Some((cause, part.vm_seconds));
            }
        }
        best.map(|(cause, _)| cause)
    }
}

impl TierMisses {
    /// Makes the totals of a tier that nothing was seen of yet.
    pub fn new(tier: TierName) -> Self {
        Self {
            tier,
            judged_steps: 0,
            missed_steps: 0,
            short_seconds: 0,
            causes: ByCause::default(),
            steps: ByCause::default(),
        }
    }

    /// Counts one miss; its step is counted as judged elsewhere.
    pub fn add(&mut self, miss: &Miss) {
        self.missed_steps = self.missed_steps.saturating_add(1);
        self.short_seconds = self.short_seconds.saturating_add(u64::from(miss.short.0));
        self.causes = self.causes.plus(&miss.causes);
        if let Some(cause) = miss.causes.largest() {
            let steps = self.steps.get_mut(cause);
            *steps = steps.saturating_add(1);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn unserved(vm_seconds: i64) -> Unserved {
        Unserved {
            vm_seconds: FixedValue(vm_seconds),
            money: MicroDollars(vm_seconds * 2),
        }
    }

    #[test]
    fn totals_are_the_sums_of_their_misses() {
        let tier = TierName::new("web").expect("a name");
        let mut totals = TierMisses::new(tier.clone());
        for (forecast, start_up) in [(3, 4), (5, 5), (0, 0)] {
            let causes = ByCause {
                forecast: unserved(forecast),
                start_up: unserved(start_up),
                ..ByCause::default()
            };
            totals.add(&Miss {
                tier: tier.clone(),
                step_at: DomainTime(0),
                demand: FixedValue(2),
                served: FixedValue(1),
                forecast_high: None,
                planned: None,
                short: Seconds(60),
                causes,
                rule: None,
            });
        }
        assert_eq!(totals.causes.total(), unserved(17));
        assert_eq!((totals.missed_steps, totals.short_seconds), (3, 180));
        // Of equal parts the first cause counts, and nothing unserved counts for none.
        assert_eq!((totals.steps.forecast, totals.steps.start_up), (1, 1));
    }
}
