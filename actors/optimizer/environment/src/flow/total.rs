//! The flow through a whole stack.

use crate::flow::error::FlowError;
use crate::flow::network::{LinkFlow, network_flow};
use crate::flow::station::{Overload, TierFlow, tier_flow, total};
use crate::flow::storage::{VolumeFlow, volume_flow};
use crate::flow::visits::{CallFlow, class_rates, visits};
use crate::model::StackModel;
use serde::Serialize;
use std::collections::BTreeMap;
use twinscale_protocol::{LinkName, RequestClassName, TierName, VolumeName};

/// What a load does to each part of a stack.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Flow {
    /// Requests per second of each class, as clients send them.
    pub rates_per_s: BTreeMap<RequestClassName, f64>,
    /// Each tier.
    pub tiers: BTreeMap<TierName, TierFlow>,
    /// Mean visits of one request of a class to a tier; only tiers that it comes to.
    pub visits: BTreeMap<TierName, BTreeMap<RequestClassName, f64>>,
    /// Each call of the model, in its order.
    pub calls: Vec<CallFlow>,
    /// Each cache's hit ratio.
    pub hit_ratios: BTreeMap<TierName, f64>,
    /// Each link.
    pub links: BTreeMap<LinkName, LinkFlow>,
    /// Each volume.
    pub volumes: BTreeMap<VolumeName, VolumeFlow>,
}

impl Flow {
    /// Sums the requests per second that clients send.
    pub fn rate_per_s(&self) -> f64 {
        total(self.rates_per_s.values().copied())
    }

    /// Lists the tiers that cannot serve their load, in the order of their names.
    pub fn overloads(&self) -> Vec<Overload> {
        self.tiers
            .iter()
            .filter(|(_, tier)| tier.utilisation_max >= 1.0)
            .map(|(name, tier)| Overload {
                tier: name.clone(),
                utilisation: tier.utilisation_max,
                rate_per_s: total(tier.arrivals_per_s.values().copied()),
                vms_needed: tier.vms_needed,
            })
            .collect()
    }
}

/// Computes what the stated load does to each part of a stack.
///
/// # Errors
/// [`FlowError`] when the calls have no flow, or a class has no rate.
pub fn flow(model: &StackModel) -> Result<Flow, FlowError> {
    flow_at(model, class_rates(model)?)
}

/// Computes what a load does to each part of a stack; classes that are not named send nothing.
///
/// # Errors
/// [`FlowError`] when the calls have no flow.
pub fn flow_at(
    model: &StackModel,
    rates_per_s: BTreeMap<RequestClassName, f64>,
) -> Result<Flow, FlowError> {
    let found = visits(model)?;
    let rate = |class: &RequestClassName| rates_per_s.get(class).copied().unwrap_or(0.0);
    let mut calls = found.calls;
    for call in &mut calls {
        let parts = call.per_request.iter();
        call.per_s = total(parts.map(|(class, calls)| rate(class) * calls));
    }
    let mut tiers: BTreeMap<TierName, TierFlow> = model
        .tiers
        .iter()
        .map(|(name, tier)| {
            let arrivals = found.tiers.get(name).into_iter().flatten();
            let arrivals = arrivals
                .map(|(class, visits)| (class.clone(), rate(class) * visits))
                .collect();
            (name.clone(), tier_flow(model, tier, arrivals))
        })
        .collect();
    let links = network_flow(model, &rates_per_s, &calls, &mut tiers);
    let links = model.links.keys().cloned().zip(links).collect();
    let volumes = model
        .volumes
        .iter()
        .map(|(name, volume)| (name.clone(), volume_flow(model, volume, &tiers)))
        .collect();
    Ok(Flow {
        rates_per_s,
        tiers,
        visits: found.tiers,
        calls,
        hit_ratios: found.hit_ratios,
        links,
        volumes,
    })
}
