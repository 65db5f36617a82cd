//! What a tier's server is told: one JSON file, made by the planner.

use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use twinscale_environment::model::{Balancer, ServiceDemand};

/// Port on which every tier's server listens in its container.
pub const TIER_PORT: u16 = 8080;
/// Port of Redis.
pub const REDIS_PORT: u16 = 6379;

/// How one VM of a tier serves.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ServeConfig {
    /// The tier.
    pub tier: String,
    /// Requests in work at once.
    pub workers: u32,
    /// Requests that may wait beyond those; no limit when absent.
    pub waiting_max: Option<u32>,
    /// Whether a request keeps its worker while it waits for its calls.
    pub holds_worker: bool,
    /// Speed of the VM's cores; a demand takes its seconds by this.
    pub speed: f64,
    /// Classes, by name.
    pub classes: BTreeMap<String, ServeClass>,
    /// Calls that start here.
    pub calls: Vec<ServeCall>,
}

/// What a class costs and calls at a tier.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ServeClass {
    /// What it costs; nothing when absent.
    pub demand: Option<ServiceDemand>,
    /// Places of calls that begin together, one list after the other.
    pub stages: Vec<Vec<usize>>,
}

/// A call from this tier to another.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ServeCall {
    /// The tier that is called.
    pub to: String,
    /// What answers there.
    pub target: Target,
    /// The VMs of the tier.
    pub peers: Vec<Peer>,
    /// How calls are spread over them.
    pub balancer: Balancer,
    /// Mean number of calls per request.
    pub per_request: f64,
    /// Only made when this cache missed.
    pub on_miss_of: Option<String>,
    /// Whether it starts together with its neighbours.
    pub parallel: bool,
    /// Bytes that it sends.
    pub request_bytes: usize,
    /// Bytes that it gets.
    pub response_bytes: usize,
    /// Connections at most.
    pub pool_size: Option<u32>,
    /// Seconds after which a try is given up.
    pub timeout_s: Option<f64>,
    /// Further tries.
    pub retries_max: u32,
    /// Seconds before the first further try.
    pub retry_backoff_s: f64,
}

/// What answers a call.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Target {
    /// A tier's server.
    Http,
    /// Redis as a cache.
    Cache {
        /// Share of look-ups for keys that are there.
        hit_ratio: f64,
        /// What was loaded for this call.
        objects: Objects,
    },
    /// Redis as a database, every write synced.
    Database {
        /// Share of the calls that write, by class.
        write_shares: BTreeMap<String, f64>,
        /// What was loaded for this call.
        objects: Objects,
    },
}

/// Objects of one size in a Redis.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Objects {
    /// What their keys begin with.
    pub prefix: String,
    /// How many there are.
    pub count: u64,
    /// Size of each, in bytes.
    pub bytes: usize,
}

/// A VM that is called.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Peer {
    /// Host and port.
    pub address: String,
    /// Its cores, for balancers that look at load.
    pub cores: f64,
    /// Whether it takes writes.
    pub is_primary: bool,
}

/// What a server has done since its start.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct ServeStatus {
    /// Visits that a worker began, by class.
    pub visits: BTreeMap<String, u64>,
    /// CPU seconds burnt for them, by class.
    pub burnt_s: BTreeMap<String, f64>,
    /// Visits that found no room.
    pub refused: u64,
    /// Calls made, by the tier called; every try counts.
    pub calls: BTreeMap<String, u64>,
    /// Tries that were given up.
    pub timed_out: u64,
    /// Tries that failed otherwise.
    pub failed: u64,
    /// Look-ups that found their answer.
    pub hits: u64,
    /// Look-ups that did not.
    pub misses: u64,
}
