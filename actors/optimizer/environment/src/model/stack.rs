//! The whole stack of one customer.

use crate::model::name::{LowerName, Name};
use crate::model::{Call, DataSet, Link, RequestClass, Tier, VmType, Volume};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use twinscale_protocol::{
    CustomerId, DataSetName, LinkName, RequestClassName, TierName, VmTypeId, VolumeName, ZoneName,
};

/// One customer's application stack.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct StackModel {
    /// The customer whose stack this is.
    #[schemars(with = "LowerName", example = &"acme")]
    pub customer: CustomerId,
    /// Requests per second of all classes together, of which each class takes its `share`. Not needed where every class states its own `rate_per_s`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0.0, max = 1e9), example = 120.0)]
    pub rate_per_s: Option<f64>,
    /// Zones over which the stack is spread; one unnamed zone when absent.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(with = "Vec<LowerName>", length(max = 16), extend("examples" = [["eu-1a", "eu-1b"]]))]
    pub zones: Vec<ZoneName>,
    /// Classes of requests: those of one class take the same way and cost the same.
    #[serde(rename = "class", default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(with = "BTreeMap<Name, RequestClass>", extend("maxProperties" = 32))]
    pub classes: BTreeMap<RequestClassName, RequestClass>,
    /// Facts about the VM types that tiers name. Quote names with a dot: `[vm_type."c7g.large"]`.
    #[serde(
        rename = "vm_type",
        default,
        skip_serializing_if = "BTreeMap::is_empty"
    )]
    #[schemars(with = "BTreeMap<Name, VmType>", extend("maxProperties" = 256))]
    pub vm_types: BTreeMap<VmTypeId, VmType>,
    /// Tiers: groups of interchangeable VMs.
    #[serde(rename = "tier", default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(with = "BTreeMap<Name, Tier>", extend("maxProperties" = 64))]
    pub tiers: BTreeMap<TierName, Tier>,
    /// Calls between tiers, in the order in which a request makes them. Together they form a graph without cycles.
    #[serde(rename = "call", default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 1024))]
    pub calls: Vec<Call>,
    /// Network links with a bandwidth or latency worth modelling.
    #[serde(rename = "link", default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(with = "BTreeMap<Name, Link>", extend("maxProperties" = 256))]
    pub links: BTreeMap<LinkName, Link>,
    /// Storage volumes of tiers.
    #[serde(rename = "volume", default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(with = "BTreeMap<Name, Volume>", extend("maxProperties" = 256))]
    pub volumes: BTreeMap<VolumeName, Volume>,
    /// Representative data sets, each held by one tier.
    #[serde(
        rename = "data_set",
        default,
        skip_serializing_if = "BTreeMap::is_empty"
    )]
    #[schemars(with = "BTreeMap<Name, DataSet>", extend("maxProperties" = 256))]
    pub data_sets: BTreeMap<DataSetName, DataSet>,
}
