//! What is measured in one interval.

use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use twinscale_protocol::{RequestClassName, TierName};

/// What was measured in one interval. Whatever is missing is not learned from.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Observation {
    /// Length of the interval, in seconds; above 0.
    pub duration_s: f64,
    /// Requests of each class that were answered in the interval.
    pub requests: BTreeMap<RequestClassName, f64>,
    /// Mean share of each tier's cores that was busy, 0 to 1.
    pub utilisation: BTreeMap<TierName, f64>,
    /// VMs of each tier that served, on average; those of the model where absent.
    pub vms: BTreeMap<TierName, f64>,
    /// Response times of each class as clients see them.
    pub responses: BTreeMap<RequestClassName, ResponseTimes>,
}

/// Response times, in seconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[expect(clippy::struct_field_names, reason = "the end is the unit")]
pub struct ResponseTimes {
    /// Their mean.
    pub mean_s: f64,
    /// What half of them are within.
    pub p50_s: Option<f64>,
    /// What 95 % of them are within.
    pub p95_s: Option<f64>,
    /// What 99 % of them are within.
    pub p99_s: Option<f64>,
}

/// An observation by the places of classes and tiers.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Row {
    /// Requests in the interval.
    pub(crate) requests: Vec<f64>,
    /// Requests per second.
    pub(crate) rates: Vec<f64>,
    pub(crate) utilisation: Vec<Option<f64>>,
    pub(crate) vms: Vec<f64>,
    pub(crate) responses: Vec<Option<ResponseTimes>>,
}
