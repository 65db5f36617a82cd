//! What a stack costs.

use crate::model::StackModel;
use serde::Serialize;

/// Cost of one hour, in US dollars.
#[expect(clippy::struct_field_names, reason = "the unit stands in the name")]
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct HourlyCost {
    /// VMs.
    pub vms_usd: f64,
    /// Volumes, one at each VM of their tiers.
    pub volumes_usd: f64,
    /// Links that have a price of their own.
    pub links_usd: f64,
    /// All of it.
    pub total_usd: f64,
    /// The part of it whose prices are only guesses.
    pub assumed_usd: f64,
}

/// What a stack costs for one hour at the prices of its model.
pub fn hourly_cost(model: &StackModel) -> HourlyCost {
    let mut cost = HourlyCost::default();
    for vms in model.tiers.values().flat_map(|tier| &tier.vms) {
        let Some(vm_type) = model.vm_types.get(&vms.vm_type) else {
            continue;
        };
        let all = f64::from(vms.count) * vm_type.price_per_hour_usd;
        cost.vms_usd += all;
        cost.assumed_usd += assumed(vm_type.price_assumed, all);
    }
    for volume in model.volumes.values() {
        let vms = model.tiers.get(&volume.tier).map_or(0, |tier| {
            tier.vms.iter().map(|vms| u64::from(vms.count)).sum()
        });
        let all = vms as f64 * volume.price_per_hour_usd;
        cost.volumes_usd += all;
        cost.assumed_usd += assumed(volume.price_assumed, all);
    }
    for link in model.links.values() {
        let price = link.price_per_hour_usd.unwrap_or(0.0);
        cost.links_usd += price;
        cost.assumed_usd += assumed(link.price_assumed, price);
    }
    cost.total_usd = cost.vms_usd + cost.volumes_usd + cost.links_usd;
    cost
}

fn assumed(is_assumed: bool, price: f64) -> f64 {
    if is_assumed { price } else { 0.0 }
}
