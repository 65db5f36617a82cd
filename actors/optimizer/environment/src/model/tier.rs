//! Tiers: groups of interchangeable VMs, what a request costs there, caches and databases.

use crate::law::Law;
use crate::model::class::one;
use crate::model::name::{LowerName, Name};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use twinscale_protocol::{DataSetName, RequestClassName, VmTypeId, ZoneName};

/// Facts about a VM type.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct VmType {
    /// Virtual CPUs; a container's limit may be a fraction.
    #[schemars(range(min = 0.01, max = 1024.0), example = 2.0)]
    pub vcpu: f64,
    /// Memory, in GiB.
    #[schemars(range(min = 0.001, max = 65536.0), example = 4.0)]
    pub memory_gib: f64,
    /// Speed of one of its cores relative to the reference core, on which service demands are stated.
    #[serde(default = "one")]
    #[schemars(range(min = 0.01, max = 100.0), example = 1.0)]
    pub speed: f64,
    /// Network bandwidth that one VM always has, in Mbps; no limit when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0.001, max = 1e7), example = 750.0)]
    pub network_baseline_mbps: Option<f64>,
    /// Network bandwidth that one VM has for a while, in Mbps; the baseline when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0.001, max = 1e7), example = 12500.0)]
    pub network_burst_mbps: Option<f64>,
    /// What one VM costs for one hour, in US dollars. 0 only together with `free = true`.
    #[schemars(range(min = 0.0, max = 1e6), example = 0.0725)]
    pub price_per_hour_usd: f64,
    /// The price is only a guess; reports say so.
    #[serde(default, skip_serializing_if = "is_false")]
    #[schemars(example = true)]
    pub price_assumed: bool,
    /// It costs nothing, and that is meant.
    #[serde(default, skip_serializing_if = "is_false")]
    #[schemars(example = true)]
    pub free: bool,
}

/// A group of interchangeable VMs.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Tier {
    /// What it is.
    #[serde(default)]
    #[schemars(example = &"service")]
    pub kind: TierKind,
    /// Its VMs: how many of which type. At least one VM in all.
    #[serde(rename = "vm", default)]
    #[schemars(length(max = 16))]
    pub vms: Vec<TierVms>,
    /// Zones over which its VMs are spread evenly; all zones of the stack when absent.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(with = "Vec<LowerName>", length(max = 16), extend("examples" = [["eu-1a"]]))]
    pub zones: Vec<ZoneName>,
    /// Requests that one VM works on at once. More than its vCPUs share them; fewer leave vCPUs idle. One for each begun vCPU when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 1_000_000), example = 16)]
    pub workers_per_vm: Option<u32>,
    /// Requests that may wait at one VM when all its workers are busy; no limit when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0, max = 100_000_000), example = 1000)]
    pub waiting_max: Option<u32>,
    /// What happens to a request beyond `waiting_max`.
    #[serde(default)]
    #[schemars(example = &"refuse")]
    pub overflow: Overflow,
    /// Whether a request keeps its worker while it waits for the calls that it makes, as in a server with a thread
    /// for each request.
    #[serde(default, skip_serializing_if = "is_false")]
    #[schemars(example = true)]
    pub holds_worker: bool,
    /// How requests are spread over its VMs.
    #[serde(default)]
    #[schemars(example = &"two-choices")]
    pub balancer: Balancer,
    /// What one request of a class costs here, each time that it comes.
    #[serde(rename = "demand", default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(with = "BTreeMap<Name, ServiceDemand>")]
    pub demands: BTreeMap<RequestClassName, ServiceDemand>,
    /// Time from a VM's request until it serves, in seconds.
    #[serde(default)]
    #[schemars(range(min = 0.0, max = 86400.0), example = 90.0)]
    pub start_up_s: f64,
    /// Time after that in which a VM is still slow (cold caches, just-in-time compilation), in seconds.
    #[serde(default)]
    #[schemars(range(min = 0.0, max = 86400.0), example = 60.0)]
    pub warm_up_s: f64,
    /// How many times as long a request takes while a VM warms up; 1 = no longer.
    #[serde(default = "one")]
    #[schemars(range(min = 1.0, max = 1000.0), example = 1.8)]
    pub warm_up_slowdown: f64,
    /// How well it caches. Needed where `kind = "cache"`, and only there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cache: Option<Cache>,
    /// How it stores. Only where `kind = "database"`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub database: Option<Database>,
}

/// What a tier is.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "kebab-case")]
pub enum TierKind {
    /// It computes an answer.
    #[default]
    Service,
    /// It answers from memory, or says that it cannot.
    Cache,
    /// It keeps data on volumes.
    Database,
    /// It takes messages and passes them on.
    Queue,
}

/// How many VMs of one type.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct TierVms {
    /// The VM type, as `[vm_type.NAME]` describes it.
    #[serde(rename = "type")]
    #[schemars(with = "Name", example = &"c7g.large")]
    pub vm_type: VmTypeId,
    /// How many VMs of it.
    #[schemars(range(min = 0, max = 1_000_000), example = 4)]
    pub count: u32,
}

/// What happens to a request that finds no place to wait.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "kebab-case")]
pub enum Overflow {
    /// It is refused at once; its caller may try again.
    #[default]
    Refuse,
}

/// How requests are spread over the VMs of a tier.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "kebab-case")]
pub enum Balancer {
    /// To any VM, each as likely.
    Random,
    /// To each VM in turn.
    #[default]
    RoundRobin,
    /// To the VM with the fewest requests in work and waiting, relative to its cores.
    LeastConnections,
    /// To the VM with the fewest requests waiting.
    JoinShortestQueue,
    /// To the less loaded of two VMs taken at random.
    TwoChoices,
}

/// What one request costs in a tier.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ServiceDemand {
    /// Mean time of one reference core for one request (a read, in a database), in seconds.
    #[schemars(range(min = 0.0, max = 86400.0), example = 0.004)]
    pub mean_s: f64,
    /// How the time is distributed.
    #[serde(default)]
    #[schemars(example = &"lognormal")]
    pub distribution: Distribution,
    /// Its squared coefficient of variation; what the distribution has of itself when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0.0, max = 1000.0), example = 2.0)]
    pub scv: Option<f64>,
    /// Share of the requests that only read, 0 to 1. Only in a database.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0.0, max = 1.0), example = 0.9)]
    pub read_share: Option<f64>,
    /// Mean time for one request that writes, in seconds; `mean_s` when absent. Only in a database.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0.0, max = 86400.0), example = 0.012)]
    pub write_mean_s: Option<f64>,
}

impl ServiceDemand {
    /// The law of the time, scaled to mean 1. A checked model states `scv` wherever a law does not have it of itself.
    pub(crate) fn unit_law(&self) -> Law {
        let (mean, scv) = (1.0, self.scv);
        match self.distribution {
            Distribution::Deterministic => Law::Deterministic { mean },
            Distribution::Exponential => Law::Exponential { mean },
            Distribution::Erlang => Law::Gamma {
                mean,
                scv: 1.0 / (1.0 / scv.unwrap_or(0.5)).round().max(1.0),
            },
            Distribution::Hyperexponential => Law::balanced_or_exponential(scv.unwrap_or(4.0)),
            Distribution::Gamma => Law::Gamma {
                mean,
                scv: scv.unwrap_or(1.0),
            },
            Distribution::Lognormal => Law::Lognormal {
                mean,
                scv: scv.unwrap_or(1.0),
            },
        }
    }
}

/// How service times are distributed.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "kebab-case")]
pub enum Distribution {
    /// Always the mean; `scv` is 0.
    Deterministic,
    /// Exponential; `scv` is 1.
    #[default]
    Exponential,
    /// Erlang of the order nearest to 1/`scv`; `scv` from 0.001 to 1.
    Erlang,
    /// Two exponential branches with balanced means; `scv` at least 1.
    Hyperexponential,
    /// Gamma; `scv` above 0.
    Gamma,
    /// Log-normal; `scv` above 0.
    Lognormal,
}

/// How well a tier caches.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Cache {
    /// Share of look-ups that find their answer, by data set size and memory.
    pub hit: HitRatio,
    /// Data sets whose objects it keeps, as far as they fit; the data sets of the tier itself when absent.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(with = "Vec<Name>", length(max = 256), extend("examples" = [["products"]]))]
    pub data_sets: Vec<DataSetName>,
    /// Share of the VMs' memory that holds cached objects, 0 to 1.
    #[serde(default = "memory_share")]
    #[schemars(range(min = 0.01, max = 1.0), example = 0.75)]
    pub memory_share: f64,
}

/// Share of a cache's look-ups that find their answer.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "by", rename_all = "kebab-case", deny_unknown_fields)]
pub enum HitRatio {
    /// The same whatever the data.
    Fixed {
        /// The share, 0 to 1.
        #[schemars(range(min = 0.0, max = 1.0), example = 0.9)]
        ratio: f64,
    },
    /// Measured at some sizes of the data; a straight line between them, level beyond them.
    Table {
        /// What was measured, ascending in size.
        #[schemars(length(min = 1, max = 256))]
        points: Vec<HitPoint>,
    },
    /// Least recently used objects leave, and popularity is Zipf's: Che's approximation.
    Zipf {
        /// How uneven popularity is; the n-th object is asked for n^-exponent as often as the first.
        #[schemars(range(min = 0.0, max = 4.0), example = 0.9)]
        exponent: f64,
        /// Mean size of an object, in bytes.
        #[schemars(range(min = 1.0, max = 1e12), example = 4096.0)]
        object_bytes: f64,
    },
}

/// A measured hit ratio.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct HitPoint {
    /// Size of the data, in GiB.
    #[schemars(range(min = 0.0, max = 1e9), example = 8.0)]
    pub data_gib: f64,
    /// Share of look-ups that found their answer, 0 to 1.
    #[schemars(range(min = 0.0, max = 1.0), example = 0.97)]
    pub ratio: f64,
}

/// How a tier stores.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Database {
    /// Connections that one VM takes.
    #[schemars(range(min = 1, max = 1_000_000), example = 200)]
    pub connections_max: u32,
    /// How many of the tier's VMs are read replicas; the others take writes, and reads as well.
    #[serde(default)]
    #[schemars(range(min = 0, max = 1_000_000), example = 2)]
    pub read_replicas: u32,
    /// Operations on the volume per read that reaches it.
    #[serde(default)]
    #[schemars(range(min = 0.0, max = 1e6), example = 0.4)]
    pub ios_per_read: f64,
    /// Operations on the volume per write, at the primary and at each replica.
    #[serde(default)]
    #[schemars(range(min = 0.0, max = 1e6), example = 3.0)]
    pub ios_per_write: f64,
    /// Mean size of one operation, in bytes.
    #[serde(default = "io_bytes")]
    #[schemars(range(min = 1.0, max = 1e9), example = 16384.0)]
    pub io_bytes: f64,
}

fn memory_share() -> f64 {
    0.75
}

fn io_bytes() -> f64 {
    16384.0
}

#[expect(
    clippy::trivially_copy_pass_by_ref,
    reason = "serde passes a reference"
)]
pub(crate) fn is_false(flag: &bool) -> bool {
    !flag
}
