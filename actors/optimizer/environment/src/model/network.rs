//! Calls between tiers, and the links that carry them.

use crate::model::class::one;
use crate::model::name::Name;
use crate::model::tier::is_false;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::fmt;
use twinscale_protocol::{RequestClassName, TierName};

/// One tier calls another while it serves a request.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Call {
    /// The tier that calls.
    #[schemars(with = "Name", example = &"app")]
    pub from: TierName,
    /// The tier that is called.
    #[schemars(with = "Name", example = &"db")]
    pub to: TierName,
    /// Classes whose requests make the call; all that reach `from` when absent.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(with = "Vec<Name>", length(max = 32), extend("examples" = [["buy"]]))]
    pub classes: Vec<RequestClassName>,
    /// Mean number of calls per request at `from`; less than 1 = some requests do not call.
    #[serde(default = "one")]
    #[schemars(range(min = 0.0, max = 10000.0), example = 2.0)]
    pub per_request: f64,
    /// A cache tier: the call is only made for the share of requests that this cache could not answer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<Name>", example = &"cache")]
    pub on_miss_of: Option<TierName>,
    /// Whether it waits for the calls before it.
    #[serde(default)]
    #[schemars(example = &"parallel")]
    pub order: CallOrder,
    /// Bytes that one call sends.
    #[serde(default)]
    #[schemars(range(min = 0.0, max = 1e12), example = 500.0)]
    pub request_bytes: f64,
    /// Bytes that one call gets back.
    #[serde(default)]
    #[schemars(range(min = 0.0, max = 1e12), example = 6000.0)]
    pub response_bytes: f64,
    /// Connections that one calling VM holds open at most; no limit when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 1_000_000), example = 40)]
    pub pool_size: Option<u32>,
    /// Time after which the caller gives up one try, in seconds; never when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1e-6, max = 86400.0), example = 1.0)]
    pub timeout_s: Option<f64>,
    /// Most further tries after one that was refused or given up.
    #[serde(default)]
    #[schemars(range(min = 0, max = 100), example = 2)]
    pub retries_max: u32,
    /// Pause before the first further try, in seconds; each later one waits twice as long.
    #[serde(default = "backoff")]
    #[schemars(range(min = 0.0, max = 86400.0), example = 0.05)]
    pub retry_backoff_s: f64,
}

/// Whether a call waits for those before it.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "kebab-case")]
pub enum CallOrder {
    /// It starts when the calls listed before it are answered.
    #[default]
    Sequential,
    /// It starts together with the parallel calls of the same tier next to it; the slowest counts.
    Parallel,
}

/// A network link.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Link {
    /// Where it starts: a tier, a zone, or `clients`.
    #[schemars(with = "Name", example = &"app")]
    pub from: Endpoint,
    /// Where it ends: a tier or a zone, of the same sort as `from`; after `clients`, a tier.
    #[schemars(with = "Name", example = &"db")]
    pub to: Endpoint,
    /// Bandwidth in each direction, in Mbps; no limit when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0.001, max = 1e9), example = 10000.0)]
    pub bandwidth_mbps: Option<f64>,
    /// Time that a message takes one way, in seconds.
    #[serde(default)]
    #[schemars(range(min = 0.0, max = 100.0), example = 0.0002)]
    pub latency_s: f64,
    /// What it costs for one hour, in US dollars; part of other prices when absent. 0 only together with `free = true`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0.0, max = 1e6), example = 0.3)]
    pub price_per_hour_usd: Option<f64>,
    /// The price is only a guess; reports say so.
    #[serde(default, skip_serializing_if = "is_false")]
    #[schemars(example = true)]
    pub price_assumed: bool,
    /// It costs nothing, and that is meant.
    #[serde(default, skip_serializing_if = "is_false")]
    #[schemars(example = true)]
    pub free: bool,
}

/// Where a link starts or ends: the name of a tier or zone, or [`Endpoint::CLIENTS`].
///
/// Which of them it is follows from the names of the stack: no tier bears the name of a zone.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Endpoint(TierName);

impl Endpoint {
    /// The name of whoever sends requests to the stack.
    pub const CLIENTS: &'static str = "clients";

    /// Makes an endpoint of a name.
    pub const fn new(name: TierName) -> Self {
        Self(name)
    }

    /// Reads the name.
    pub fn as_str(&self) -> &str {
        self.0.as_str()
    }
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

fn backoff() -> f64 {
    0.05
}
