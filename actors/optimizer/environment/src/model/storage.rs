//! Volumes, and the data sets that they hold.

use crate::model::name::Name;
use crate::model::tier::is_false;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use twinscale_protocol::TierName;

/// A storage volume, one at each VM of a tier.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Volume {
    /// The tier whose VMs each have one.
    #[schemars(with = "Name", example = &"db")]
    pub tier: TierName,
    /// Its capacity, in GiB.
    #[schemars(range(min = 0.001, max = 1e9), example = 500.0)]
    pub capacity_gib: f64,
    /// Operations per second that it always does; no limit when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0.1, max = 1e9), example = 3000.0)]
    pub iops_baseline: Option<f64>,
    /// Operations per second that it does for a while; the baseline when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0.1, max = 1e9), example = 16000.0)]
    pub iops_burst: Option<f64>,
    /// Megabytes (10^6) per second that it reads or writes; no limit when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0.001, max = 1e9), example = 125.0)]
    pub throughput_mb_per_s: Option<f64>,
    /// What one such volume costs for one hour, in US dollars. 0 only together with `free = true`.
    #[schemars(range(min = 0.0, max = 1e6), example = 0.055)]
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

/// A representative data set.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct DataSet {
    /// The tier that keeps it: each VM of a database holds all of it, the VMs of a cache share it.
    #[schemars(with = "Name", example = &"db")]
    pub tier: TierName,
    /// Its size, in GiB.
    #[schemars(range(min = 0.0, max = 1e9), example = 120.0)]
    pub size_gib: f64,
    /// What it grows by, in GiB per day.
    #[serde(default)]
    #[schemars(range(min = -1e6, max = 1e6), example = 0.4)]
    pub growth_gib_per_day: f64,
}
