//! What a customer wants: service level, money and limits.

use crate::ids::MetricName;
use crate::units::{FixedValue, MicroDollars, PartsPerMillion, Seconds, VmCount};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// How far Twinscale may go for a customer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Mode {
    /// Learn and forecast only.
    Observe,
    /// Plan too, and show what it would do.
    Advise,
    /// Provision by the plan.
    Enforce,
}

/// A customer's policy.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Policy {
    /// How far Twinscale may go.
    pub mode: Mode,
    /// The service level to hold.
    pub sla: Sla,
    /// The most that one day of VMs, storage and bandwidth may cost, if there is a limit.
    pub budget_per_day: Option<MicroDollars>,
    /// Guardrails of provisioning.
    pub limits: Limits,
    /// What one VM can do, per demand metric that needs it.
    pub metrics: BTreeMap<MetricName, MetricMapping>,
    /// How long observations are kept.
    pub retention: Retention,
    /// Evaluations of candidate plans in one search.
    pub search_evaluations: u32,
}

/// The service level.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sla {
    /// Lowest quantile level of demand that every step must cover; one of 500000, 800000, 900000,
    /// 950000, 990000 ppm.
    pub level_min: PartsPerMillion,
    /// Highest level worth paying for; one of the same.
    pub level_max: PartsPerMillion,
    /// Largest traffic-weighted probability that a step is under-provisioned.
    pub risk_budget: PartsPerMillion,
    /// Price of one hour of one VM's worth of unserved demand, as a multiple of that VM's price.
    pub unserved_price_ratio: FixedValue,
    /// Price of a step in which demand exceeds what serves, as a multiple of what the VMs that the
    /// customer needs on average cost in a step; 0 = such steps have no price of their own.
    pub under_provisioned_step_price_ratio: FixedValue,
}

/// Guardrails of provisioning, per tier.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Limits {
    /// Never fewer VMs than this.
    pub floor: VmCount,
    /// Never more VMs than this.
    pub ceiling: VmCount,
    /// Most VMs started in one step.
    pub step_out_max: VmCount,
    /// Most VMs stopped in one step.
    pub step_in_max: VmCount,
    /// Least time between two scale-outs.
    pub cooldown_out: Seconds,
    /// Least time between the last change and a scale-in.
    pub cooldown_in: Seconds,
}

/// What one VM can do, in a metric's unit.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct MetricMapping {
    /// What one VM can do when it is fully used; a stack's VM type may say its own.
    pub capacity_per_vm: FixedValue,
    /// The share of it that may be planned for; 800000 ppm by default.
    pub target_utilisation: PartsPerMillion,
}

/// How long observations are kept, by resolution.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Retention {
    /// Raw samples.
    pub raw: Seconds,
    /// Five-minute roll-ups.
    pub five_minutes: Seconds,
    /// One-hour roll-ups.
    pub one_hour: Seconds,
}
