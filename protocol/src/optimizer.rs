//! What the optimizer is asked, and the plan that it answers.

use crate::ids::{CustomerId, PlanNumber, TierName, VmTypeId};
use crate::quantile::{PeakQuantiles, Quantiles};
use crate::stack::{LinkOption, ServiceModel};
use crate::units::{
    DomainTime, FixedValue, Gib, MicroDollars, MilliCores, PartsPerMillion, Seconds, VmCount,
};
use serde::{Deserialize, Serialize};

/// Asks for a plan of one customer.
///
/// The plan is a function of this request alone: same request, same plan, bit for bit.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PlanRequest {
    /// Whose plan.
    pub customer: CustomerId,
    /// The number that the plan will carry.
    pub number: PlanNumber,
    /// The plan before it.
    pub parent: Option<PlanNumber>,
    /// Why it is asked for.
    pub trigger: PlanTrigger,
    /// Start of step 0: the first demand interval to be served.
    pub first_step_at: DomainTime,
    /// Length of a step.
    pub interval: Seconds,
    /// How many steps.
    pub steps: u16,
    /// The tiers, in ascending order of their names.
    pub tiers: Vec<TierProblem>,
    /// The volumes.
    pub volumes: Vec<VolumeProblem>,
    /// The link.
    pub link: Option<LinkProblem>,
    /// What the plan must keep.
    pub rules: PlanRules,
    /// The parent's counts over these steps, as one seed of the search.
    pub last_plan: Option<PlanAllocation>,
    /// Root of the search's randomness.
    pub seed: u64,
    /// Evaluations that the search may use; 0 = exact path or heuristic only.
    pub evaluations: u32,
}

/// Why a plan was asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PlanTrigger {
    /// The first plan.
    First,
    /// The period has passed.
    Periodic,
    /// Demand left the forecast's range.
    Surprise,
    /// Policy or stack changed.
    PolicyChange,
    /// Someone asked.
    Asked,
}

/// One tier's part of the problem.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TierProblem {
    /// Its name.
    pub name: TierName,
    /// Demand per step, shape `[step][quantile]`, in the demand metric's unit.
    pub demand: Vec<Quantiles>,
    /// The VM types that may serve it.
    pub options: Vec<VmOption>,
    /// Least number of serving VMs.
    pub min_vms: VmCount,
    /// Most VMs (on, of all types together).
    pub max_vms: VmCount,
    /// Steps from the start of a VM until it serves a whole step; 0 when it is started early enough
    /// before its first step.
    pub delay_steps: u16,
    /// Least number of steps that a started VM stays on.
    pub min_up_steps: u16,
    /// Most starts in one step.
    pub start_max_per_step: VmCount,
    /// Most stops in one step.
    pub stop_max_per_step: VmCount,
    /// How requests are served, where latency matters.
    pub service: Option<ServiceModel>,
    /// Price of one unit of demand that is not served for one hour.
    pub unserved_price_per_unit_hour: MicroDollars,
    /// The peak of the first steps with the price of missing it, where the policy prices that.
    pub peak: Option<PeakProblem>,
}

/// What the first steps must hold until the next plan can change anything, and what a miss costs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PeakProblem {
    /// How many steps, from step 0 on; at least 1.
    pub steps: u16,
    /// Quantiles of the highest demand of these steps, in the demand metric's unit.
    pub quantiles: PeakQuantiles,
    /// Price of a step in which demand exceeds what serves.
    pub missed_step_price: MicroDollars,
}

/// One VM type's part of a tier.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct VmOption {
    /// The type.
    pub vm_type: VmTypeId,
    /// What one VM costs for one hour.
    pub price_per_hour: MicroDollars,
    /// What one start costs on top (paid while it does not serve yet).
    pub start_cost: MicroDollars,
    /// Demand units that one serving VM covers, target utilisation already taken off.
    pub capacity: FixedValue,
    /// Virtual CPUs.
    pub vcpu: MilliCores,
    /// VMs that are on at the moment before step 0.
    pub initial: VmCount,
}

/// One volume's part of the problem.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct VolumeProblem {
    /// Its name.
    pub name: TierName,
    /// GiB to hold per step, shape `[step][quantile]`.
    pub demand: Vec<Quantiles>,
    /// Size of one block.
    pub block: Gib,
    /// Price of one block for one hour.
    pub price_block_hour: MicroDollars,
    /// Steps within which at most one change may fall.
    pub cooldown_steps: u16,
    /// Steps that have passed since the last change before step 0, if there was one.
    pub steps_since_change: Option<u16>,
    /// Most blocks.
    pub blocks_max: u32,
    /// Blocks at the moment before step 0.
    pub initial: u32,
}

/// The link's part of the problem.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LinkProblem {
    /// Mbps to carry per step, shape `[step][quantile]`.
    pub demand: Vec<Quantiles>,
    /// What can be bought, ascending in bandwidth.
    pub options: Vec<LinkOption>,
    /// Steps that an option is held.
    pub hold_steps: u16,
    /// Steps that have passed since the last change before step 0, if there was one.
    pub steps_since_change: Option<u16>,
    /// The option at the moment before step 0.
    pub initial: u32,
}

/// What a plan must keep.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PlanRules {
    /// Lowest level that each step covers.
    pub level_min: PartsPerMillion,
    /// Highest level worth covering.
    pub level_max: PartsPerMillion,
    /// Largest demand-weighted probability of an under-provisioned step.
    pub risk_budget: PartsPerMillion,
    /// The most that the whole plan may cost.
    pub budget: Option<MicroDollars>,
    /// Most vCPUs on at once.
    pub vcpu_quota: Option<MilliCores>,
}

/// The allocation of a plan.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct PlanAllocation {
    /// One per tier and VM type, in ascending order.
    pub vms: Vec<PlanVms>,
    /// One per volume.
    pub volumes: Vec<PlanVolume>,
    /// The link's option per step; empty without a link.
    pub link: Vec<u32>,
}

/// VMs of one type in one tier.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PlanVms {
    /// The tier.
    pub tier: TierName,
    /// The type.
    pub vm_type: VmTypeId,
    /// VMs on, per step.
    pub counts: Vec<VmCount>,
}

/// Blocks of one volume.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PlanVolume {
    /// The volume.
    pub volume: TierName,
    /// Blocks per step.
    pub blocks: Vec<u32>,
}

/// An immutable plan.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Plan {
    /// Its place in the customer's chain.
    pub number: PlanNumber,
    /// The plan it was derived from.
    pub parent: Option<PlanNumber>,
    /// Why it was made.
    pub trigger: PlanTrigger,
    /// Start of step 0.
    pub first_step_at: DomainTime,
    /// Length of a step.
    pub interval: Seconds,
    /// Number of steps.
    pub steps: u16,
    /// What is on in each step: step t is the demand interval it must serve.
    pub allocation: PlanAllocation,
    /// Covered quantile level per step (lowest over the tiers).
    pub levels: Vec<PartsPerMillion>,
    /// Expected cost by part.
    pub cost: PlanCost,
    /// Demand-weighted probability that a step is under-provisioned.
    pub risk: PartsPerMillion,
    /// How it was found.
    pub search: SearchRecord,
}

/// Expected cost of a plan by part.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct PlanCost {
    /// Running VMs.
    pub vms: MicroDollars,
    /// Starts.
    pub starts: MicroDollars,
    /// Volumes.
    pub storage: MicroDollars,
    /// The link.
    pub link: MicroDollars,
    /// Expected unserved demand.
    pub unserved: MicroDollars,
}

/// How a plan was found.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SearchRecord {
    /// Which way.
    pub method: PlanMethod,
    /// Cost of the best seed that the search started from.
    pub seed_cost: MicroDollars,
    /// Cost of the plan.
    pub search_cost: MicroDollars,
    /// Evaluations used.
    pub evaluations: u32,
    /// Whether a deadline cut the search short.
    pub truncated: bool,
    /// What the discrete-event check of the winner found, where a tier has a service model.
    pub check: Option<SimulationCheck>,
}

/// Which way a plan was found.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PlanMethod {
    /// Proven optimal, tier by tier.
    Exact,
    /// The genetic algorithm.
    Genetic,
    /// The heuristic alone.
    Heuristic,
}

/// What simulated requests met under the plan.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SimulationCheck {
    /// Share of requests that missed their target.
    pub violation: PartsPerMillion,
    /// Half-width of its 99 % confidence interval.
    pub half_width: PartsPerMillion,
    /// 99th percentile of the response time, in microseconds.
    pub p99_us: u64,
    /// Requests simulated.
    pub requests: u64,
}

impl PlanCost {
    /// Adds the parts.
    #[must_use]
    pub const fn total(&self) -> MicroDollars {
        self.vms
            .plus(self.starts)
            .plus(self.storage)
            .plus(self.link)
            .plus(self.unserved)
    }
}
