//! A customer's application stack, as far as allocation needs it: tiers, volumes, a link.

use crate::ids::{TierName, VmTypeId};
use crate::series::SeriesKey;
use crate::units::{FixedValue, Gib, Mbps, MicroDollars, MilliCores, Seconds, VmCount};
use serde::{Deserialize, Serialize};

/// One customer's stack.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Stack {
    /// Tiers of VMs, in the order of their names.
    pub tiers: Vec<Tier>,
    /// Volumes.
    pub volumes: Vec<Volume>,
    /// The network link, if it is planned.
    pub link: Option<Link>,
}

/// A tier: interchangeable VMs that serve one demand series.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tier {
    /// Its name.
    pub name: TierName,
    /// The series whose demand it serves.
    pub demand: SeriesKey,
    /// VM types that may serve it; at least one.
    pub vm_types: Vec<TierVmType>,
    /// Time from a VM's request until it serves, until a start-up time has been learned.
    pub start_up: Seconds,
    /// Shortest time that is billed.
    pub minimum_bill: Seconds,
    /// Least number of serving VMs.
    pub min_vms: VmCount,
    /// Least time that a VM stays, so that plans do not flap.
    pub min_up: Seconds,
    /// How requests are served, where latency matters.
    pub service: Option<ServiceModel>,
}

/// A VM type within a tier.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TierVmType {
    /// The type.
    pub vm_type: VmTypeId,
    /// What one VM of it costs.
    pub price_per_hour: MicroDollars,
    /// Where the price comes from; a report names assumed ones.
    pub price_assumed: bool,
    /// Demand that one VM serves when fully used, in the demand metric's unit; `None` = the policy's
    /// `capacity_per_vm`, or 1 for `vm_count`.
    pub capacity_per_vm: Option<FixedValue>,
    /// Virtual CPUs, for quotas and the service model.
    pub vcpu: MilliCores,
    /// Memory.
    pub memory: Gib,
}

/// How a tier serves requests: M/M/c on its cores.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ServiceModel {
    /// Mean service time of one request on one core, in microseconds.
    pub service_time_us: u64,
    /// The response time that 99 % of requests must meet, in microseconds.
    pub p99_target_us: u64,
}

/// A volume that grows with data.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Volume {
    /// Its name.
    pub name: TierName,
    /// The series of GiB that it must hold.
    pub demand: SeriesKey,
    /// Size of one block.
    pub block: Gib,
    /// Price of one block for one hour.
    pub price_block_hour: MicroDollars,
    /// Least time between two changes.
    pub cooldown: Seconds,
    /// Most blocks.
    pub blocks_max: u32,
    /// Blocks at the start.
    pub blocks_initial: u32,
}

/// A network link bought in steps.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Link {
    /// The series of Mbps that it must carry.
    pub demand: SeriesKey,
    /// What can be bought, ascending in bandwidth.
    pub options: Vec<LinkOption>,
    /// Least time that an option is held.
    pub hold: Seconds,
    /// The option at the start.
    pub option_initial: u32,
}

/// One size of a link.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LinkOption {
    /// Its bandwidth.
    pub bandwidth: Mbps,
    /// Its price for one hour.
    pub price_per_hour: MicroDollars,
}
