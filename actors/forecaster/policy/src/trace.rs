//! A trace: demand of a customer, and what the planner asked for at each price.

use crate::guard::Ladder;

/// Longest window in steps: almost two years of minutes.
pub const STEPS_MAX: usize = 1_000_000;
/// Most VMs that are needed or asked for.
pub const VMS_MAX: u32 = 1_000_000;
/// Longest start-up in steps.
pub const START_UP_STEPS_MAX: usize = 1_440;

/// Demand of a customer over a window.
#[derive(Clone, Debug, PartialEq)]
pub struct Demand {
    /// Suite of the trace: traces with one step length, compared with each other.
    pub suite: String,
    /// Its name.
    pub name: String,
    /// Whose demand it is; traces of one customer are never on both sides of a split.
    pub customer: String,
    /// Length of a step, seconds.
    pub step_s: u32,
    /// Steps from the request of a VM until it serves.
    pub start_up_steps: usize,
    /// Steps between two decisions.
    pub decision_steps: usize,
    /// Shortest time that is billed, seconds.
    pub minimum_bill_s: u32,
    /// Time of the first step, epoch seconds.
    pub start_s: i64,
    /// VMs that serve when the window begins.
    pub initial: u32,
    /// VMs needed on average before the window: the unit of money.
    pub mean_vms: f64,
    /// VMs needed in each step; the last value is carried over missing samples.
    pub vms: Vec<u32>,
    /// Whether there is a sample for the step.
    pub is_observed: Vec<bool>,
}

/// Why a trace cannot be used.
#[derive(Debug, thiserror::Error, PartialEq)]
pub enum TraceError {
    /// A value breaks a rule.
    #[error("trace `{trace}`, {key}: {value} {rule}")]
    Value {
        /// The trace.
        trace: String,
        /// Which value.
        key: &'static str,
        /// The value.
        value: String,
        /// The rule, and the remedy.
        rule: String,
    },
}

impl Demand {
    /// Steps of the window.
    pub fn steps(&self) -> usize {
        self.vms.len()
    }

    /// Time of a step, epoch seconds.
    pub fn time_s(&self, step: usize) -> i64 {
        let step = i64::try_from(step).unwrap_or(i64::MAX);
        self.start_s
            .saturating_add(step.saturating_mul(i64::from(self.step_s)))
    }

    /// Refuses what cannot be simulated.
    ///
    /// # Errors
    /// [`TraceError`] for the first value that breaks a rule.
    pub fn check(&self) -> Result<(), TraceError> {
        let steps = self.vms.len();
        if steps <= self.start_up_steps || steps > STEPS_MAX {
            let rule = format!(
                "is no length: give more steps than a start takes ({}), at most {STEPS_MAX}",
                self.start_up_steps
            );
            return Err(self.refuse("vms", steps, rule));
        }
        if self.start_up_steps > START_UP_STEPS_MAX {
            let rule = format!("is too long: give at most {START_UP_STEPS_MAX} steps");
            return Err(self.refuse("start_up_steps", self.start_up_steps, rule));
        }
        if self.is_observed.len() != steps {
            let rule = format!("is not the length of the demand, which is {steps}");
            return Err(self.refuse("is_observed", self.is_observed.len(), rule));
        }
        if self.step_s == 0 {
            return Err(self.refuse("step_s", 0, "is no step: give at least a second".into()));
        }
        if self.decision_steps == 0 {
            return Err(self.refuse("decision_steps", 0, "is no step: give at least 1".into()));
        }
        if !self.mean_vms.is_finite() || self.mean_vms <= 0.0 {
            let rule = "is no mean: give a positive number of VMs".to_owned();
            return Err(self.refuse("mean_vms", self.mean_vms, rule));
        }
        if let Some(vms) = self.vms.iter().find(|vms| !(1..=VMS_MAX).contains(*vms)) {
            let rule = format!("is no demand: give 1 to {VMS_MAX} VMs");
            return Err(self.refuse("vms", vms, rule));
        }
        let scored = self.is_observed.iter().skip(self.start_up_steps);
        if !scored.clone().any(|is_observed| *is_observed) {
            let rule = "has no observed step after the first start-up".to_owned();
            return Err(self.refuse("is_observed", "the window", rule));
        }
        Ok(())
    }

    pub(crate) fn refuse(
        &self,
        key: &'static str,
        value: impl ToString,
        rule: String,
    ) -> TraceError {
        TraceError::Value {
            trace: self.name.clone(),
            key,
            value: value.to_string(),
            rule,
        }
    }
}

/// A trace with the planner's counts at every price of the ladder.
#[derive(Clone, Debug, PartialEq)]
pub struct Trace {
    demand: Demand,
    /// Shape `[step][setting]`, flat.
    counts: Vec<u32>,
    settings: usize,
}

impl Trace {
    /// Joins demand and counts. Shape of `counts`: `[step][setting]`, flat.
    ///
    /// # Errors
    /// [`TraceError`] when the demand cannot be simulated, the planner does not decide at every step, or
    /// the counts have another shape.
    pub fn new(demand: Demand, ladder: &Ladder, counts: Vec<u32>) -> Result<Self, TraceError> {
        demand.check()?;
        let settings = ladder.len();
        if demand.decision_steps != 1 {
            let rule =
                "is not supported: a policy chooses at every step, so let the planner decide \
                        at every step"
                    .to_owned();
            return Err(demand.refuse("decision_steps", demand.decision_steps, rule));
        }
        if counts.len() != demand.steps() * settings {
            let rule = format!(
                "is not one count per step and price, which are {} and {settings}",
                demand.steps()
            );
            return Err(demand.refuse("counts", counts.len(), rule));
        }
        if let Some(count) = counts.iter().find(|count| **count > VMS_MAX) {
            let rule = format!("is too many: give at most {VMS_MAX} VMs");
            return Err(demand.refuse("counts", count, rule));
        }
        Ok(Self {
            demand,
            counts,
            settings,
        })
    }

    /// The demand.
    pub fn demand(&self) -> &Demand {
        &self.demand
    }

    /// The planner's counts at a step, one per price. Empty after the window.
    pub fn counts(&self, step: usize) -> &[u32] {
        let from = step.saturating_mul(self.settings);
        self.counts
            .get(from..from.saturating_add(self.settings))
            .unwrap_or_default()
    }

    /// What a setting asks for at every step; nothing for a setting that the ladder lacks.
    pub fn desired(&self, setting: usize) -> Vec<u32> {
        if setting >= self.settings {
            return Vec::new();
        }
        self.counts
            .iter()
            .skip(setting)
            .step_by(self.settings)
            .copied()
            .collect()
    }

    /// What a choice of setting at every step asks for; shorter choices end the window early.
    pub fn desired_by(&self, settings: &[usize]) -> Vec<u32> {
        settings
            .iter()
            .enumerate()
            .filter_map(|(step, setting)| self.counts(step).get(*setting).copied())
            .collect()
    }
}
