//! Request classes and what they were promised.

use crate::model::name::Name;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use twinscale_protocol::TierName;

/// Requests that take the same way through the stack and cost the same.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RequestClass {
    /// The tier where its requests enter.
    #[schemars(with = "Name", example = &"web")]
    pub entry: TierName,
    /// Its share of the stack's `rate_per_s`, 0 to 1; the shares of all classes that state one sum to 1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0.0, max = 1.0), example = 0.7)]
    pub share: Option<f64>,
    /// Its own requests per second, instead of a share.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0.0, max = 1e9), example = 84.0)]
    pub rate_per_s: Option<f64>,
    /// Squared coefficient of variation of the times between arrivals; 1 = Poisson arrivals.
    #[serde(default = "one")]
    #[schemars(range(min = 0.0, max = 1000.0), example = 1.0)]
    pub arrival_scv: f64,
    /// Bytes that a client sends per request.
    #[serde(default)]
    #[schemars(range(min = 0.0, max = 1e12), example = 800.0)]
    pub request_bytes: f64,
    /// Bytes that a client gets per request.
    #[serde(default)]
    #[schemars(range(min = 0.0, max = 1e12), example = 24000.0)]
    pub response_bytes: f64,
    /// What one served request earns, in US dollars; 0 = not known.
    #[serde(default)]
    #[schemars(range(min = 0.0, max = 1e6), example = 0.0004)]
    pub price_per_request_usd: f64,
    /// What its requests were promised.
    #[serde(default, skip_serializing_if = "ServiceLevel::is_empty")]
    pub sla: ServiceLevel,
}

/// What the requests of a class were promised; nothing where a key is absent.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ServiceLevel {
    /// Response time that half of the requests must meet, in seconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1e-6, max = 86400.0), example = 0.05)]
    pub p50_s: Option<f64>,
    /// Response time that 95 % of the requests must meet, in seconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1e-6, max = 86400.0), example = 0.2)]
    pub p95_s: Option<f64>,
    /// Response time that 99 % of the requests must meet, in seconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1e-6, max = 86400.0), example = 0.5)]
    pub p99_s: Option<f64>,
    /// Share of requests that must be answered, 0 to 1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0.0, max = 1.0), example = 0.999)]
    pub availability: Option<f64>,
}

impl ServiceLevel {
    /// Says whether nothing was promised.
    pub fn is_empty(&self) -> bool {
        self == &Self::default()
    }
}

pub(crate) fn one() -> f64 {
    1.0
}
