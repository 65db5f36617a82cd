//! The allocation problem of one customer: what must be served, what may be bought, and the limits.
//!
//! Invariants: every array has the length its doc names, every number is finite and not negative,
//! `min_up_steps >= max(delay_steps, 1)`, and `level_min <= level_max < levels.len()`. Only
//! [`Problem::from_json`] and the request conversion build one, and both check.

mod parse;
mod read;

pub use self::read::ProblemError;

/// Most steps of a problem: five weeks of quarter hours with room to spare.
pub const STEPS_MAX: usize = 10_000;
/// Most VMs of one type in one tier, as in the plan format.
pub const COUNT_MAX: u32 = 1_000_000;
/// Most tiers, volumes or link options.
pub const PARTS_MAX: usize = 256;
/// Most resources of a tier.
pub const RESOURCES_MAX: usize = 15;
/// Relative tolerance of every requirement and limit.
pub const TOLERANCE: f64 = 1e-6;

/// What the VMs of a tier run, for the queueing checks.
#[expect(clippy::struct_field_names, reason = "the names of the problem file")]
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Service {
    /// Mean service time on the reference core, in seconds.
    pub service_time_s: f64,
    /// Requests to this tier per request of the customer.
    pub visits: f64,
    /// Response time that 99 % of the requests must keep, in seconds.
    pub p99_target_s: f64,
}

/// A VM type as one tier may use it.
#[derive(Clone, Debug, PartialEq)]
pub struct VmOption {
    /// Name of the VM type.
    pub name: String,
    /// Price in $ per hour.
    pub price_per_hour: f64,
    /// Price of a start in $, on top of the hours.
    pub start_price: f64,
    /// Virtual CPUs counted against the quota.
    pub vcpu: f64,
    /// Capacity that one VM gives the tier. Shape: `[resource]`.
    pub capacity: Vec<f64>,
    /// VMs on at step -1; all of them serve and may be stopped.
    pub initial: u32,
}

/// A tier: a pool of VMs that serve one role.
#[derive(Clone, Debug, PartialEq)]
pub struct Tier {
    /// Name of the tier.
    pub name: String,
    /// How many resources its requirement has.
    pub resources: usize,
    /// Capacity that must be serving. Shape: `[step, level, resource]`, row-major.
    pub requirement: Vec<f64>,
    /// VM types that the tier may use.
    pub options: Vec<VmOption>,
    /// Steps from a start until the VM serves.
    pub delay_steps: usize,
    /// Steps that a started VM stays on at least.
    pub min_up_steps: usize,
    /// Least serving VMs.
    pub vms_min: u32,
    /// Most VMs that are on, over all types.
    pub vms_max: u32,
    /// Most starts per step.
    pub starts_max: u32,
    /// Most stops per step.
    pub stops_max: u32,
    /// Queueing model, when the tier has one.
    pub service: Option<Service>,
}

/// A block volume.
#[derive(Clone, Debug, PartialEq)]
pub struct Volume {
    /// Name of the tier that owns it.
    pub name: String,
    /// Size of a block in GiB.
    pub block_gib: f64,
    /// Price of a block in $ per hour.
    pub block_price_h: f64,
    /// Size that must be there, in GiB. Shape: `[step]`.
    pub required_gib: Vec<f64>,
    /// I/O operations per second that cost nothing.
    pub iops_free: f64,
    /// I/O operations per second of a block of them.
    pub iops_block: f64,
    /// Price of such a block in $ per hour.
    pub iops_price_h: f64,
    /// I/O operations per second that must be there. Shape: `[step, level]`.
    pub required_iops: Vec<f64>,
    /// Of this many consecutive steps at most one changes the volume.
    pub cooldown_steps: usize,
    /// First step that may change the volume: the rest of the cool-down of an earlier change.
    pub first_change: usize,
    /// Most size blocks.
    pub blocks_max: u32,
    /// Most I/O blocks.
    pub iops_blocks_max: u32,
    /// Size blocks at step -1.
    pub initial_blocks: u32,
    /// I/O blocks at step -1.
    pub initial_iops_blocks: u32,
}

/// The network link: exactly one option per step.
#[derive(Clone, Debug, PartialEq)]
pub struct Link {
    /// (Mbps, $ per hour) of each option.
    pub options: Vec<(f64, f64)>,
    /// Bandwidth that must be there, in Mbps. Shape: `[step, level]`.
    pub required_mbps: Vec<f64>,
    /// Of this many consecutive steps at most one changes the option.
    pub hold_steps: usize,
    /// First step that may change the option: the rest of the hold time of an earlier change.
    pub first_change: usize,
    /// Option at step -1.
    pub initial_option: u32,
}

/// A customer's allocation problem.
#[derive(Clone, Debug, PartialEq)]
pub struct Problem {
    /// Name, for reports.
    pub id: String,
    /// Number of steps.
    pub steps: usize,
    /// Length of a step in hours.
    pub step_hours: f64,
    /// Demand quantile levels, ascending.
    pub levels: Vec<f64>,
    /// Least level index that must be covered.
    pub level_min: usize,
    /// Highest level index that counts.
    pub level_max: usize,
    /// Most violation probability, weighted over the steps.
    pub risk_budget: f64,
    /// Share of the traffic in each step. Shape: `[step]`.
    pub step_weight: Vec<f64>,
    /// Expected cost of unserved demand in $. Shape: `[step, level]`.
    pub penalty: Vec<f64>,
    /// Demand in requests per second. Shape: `[step, level]`; empty when unknown.
    pub demand_rps: Vec<f64>,
    /// Names of the tiers' resources; empty when unknown.
    pub resources: Vec<String>,
    /// Tiers.
    pub tiers: Vec<Tier>,
    /// Block volumes.
    pub volumes: Vec<Volume>,
    /// Network link, when there is one.
    pub link: Option<Link>,
    /// Most virtual CPUs that are on at once.
    pub vcpu_quota: f64,
    /// Most spend of one step in $.
    pub step_spend_max: f64,
    /// Most spend of all steps in $.
    pub budget: f64,
}

impl Tier {
    /// Reads the requirement of a step and level. Shape: `[resource]`.
    ///
    /// # Panics
    /// When `step` or `level` is out of range.
    pub fn required(&self, step: usize, level: usize, levels: usize) -> &[f64] {
        let start = (step * levels + level) * self.resources;
        &self.requirement[start..start + self.resources]
    }
}

impl Problem {
    /// Reads and checks an instance of format `alloc-plan/1`.
    ///
    /// # Errors
    /// [`ProblemError`] that names the key path, the value and what to do.
    pub fn from_json(text: &str) -> Result<Self, ProblemError> {
        parse::problem(text)
    }

    /// Names a resource.
    pub fn resource_name(&self, resource: usize) -> String {
        let named = self.resources.get(resource).cloned();
        named.unwrap_or_else(|| format!("resource {resource}"))
    }

    /// Demand in requests per second at a level from 0 to 1, linear in the score `-ln(1 - level)` between
    /// the levels that are known, constant below the first; `None` when the file gives no demand.
    pub(crate) fn demand_at(&self, step: usize, level: f64) -> Option<f64> {
        let count = self.levels.len();
        let values = self.demand_rps.get(step * count..(step + 1) * count)?;
        let score = |level: f64| -(1.0 - level).ln();
        let right = self.levels.iter().position(|known| *known >= level);
        let right = right.unwrap_or(count - 1);
        if right == 0 {
            return values.first().copied();
        }
        let (low, high) = (score(self.levels[right - 1]), score(self.levels[right]));
        let share = (score(level) - low) / (high - low);
        Some(values[right - 1] + share * (values[right] - values[right - 1]))
    }

    /// The share of demand that level `level` leaves uncovered.
    pub(crate) fn uncovered(&self, level: usize) -> f64 {
        1.0 - self.levels[level]
    }
}

#[cfg(test)]
mod tests;
