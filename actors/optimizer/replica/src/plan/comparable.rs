//! The model as a replica can be it: what containers on one machine do not have is taken out, and listed.

use super::{PlanError, is_redis};
use std::collections::BTreeMap;
use twinscale_environment::flow::visits;
use twinscale_environment::model::{Balancer, HitRatio, StackModel, Tier, TierKind};
use twinscale_protocol::{TierName, VmTypeId};

/// A model without what a replica does not have.
#[derive(Clone, Debug, PartialEq)]
pub struct Comparable {
    /// The model.
    pub model: StackModel,
    /// What was taken out or is stood in for.
    pub left_out: Vec<String>,
    /// Share of look-ups that each cache answers.
    pub hit_ratios: BTreeMap<TierName, f64>,
}

/// Takes out of a model what a replica does not have.
///
/// # Errors
/// When the calls have no flow.
pub fn comparable(model: &StackModel) -> Result<Comparable, PlanError> {
    let hit_ratios = visits(model)?.hit_ratios;
    let mut model = model.clone();
    let mut left_out = Vec::new();
    without_devices(&mut model, &mut left_out);
    let names: Vec<TierName> = model.tiers.keys().cloned().collect();
    for name in &names {
        without_phases(&mut model, name, &mut left_out);
        as_redis(&mut model, name, &hit_ratios, &mut left_out);
        let callers: Vec<_> = model.calls.iter().filter(|call| call.to == *name).collect();
        let sees_load = !matches!(
            model.tiers[name].balancer,
            Balancer::Random | Balancer::RoundRobin
        );
        if sees_load && !callers.is_empty() && vms(&model.tiers[name]) > 1 {
            left_out.push(format!(
                "the balancer of {name} knows all load: in the replica each caller knows its own requests"
            ));
        }
    }
    Ok(Comparable {
        model,
        left_out,
        hit_ratios,
    })
}

fn vms(tier: &Tier) -> u32 {
    tier.vms.iter().map(|vms| vms.count).sum()
}

fn without_devices(model: &mut StackModel, left_out: &mut Vec<String>) {
    for name in std::mem::take(&mut model.links).keys() {
        left_out.push(format!("bandwidth and latency of link {name}"));
    }
    for name in std::mem::take(&mut model.volumes).keys() {
        left_out.push(format!(
            "rates of volume {name}: the machine's own disk stands in"
        ));
    }
    for (name, facts) in &mut model.vm_types {
        if facts.network_baseline_mbps.take().is_some() {
            left_out.push(format!("network rates of VM type {name}"));
        }
        facts.network_burst_mbps = None;
    }
}

fn without_phases(model: &mut StackModel, name: &TierName, left_out: &mut Vec<String>) {
    let Some(tier) = model.tiers.get_mut(name) else {
        return;
    };
    if tier.start_up_s > 0.0 || tier.warm_up_s > 0.0 {
        left_out.push(format!("start-up and warm-up times of {name}"));
    }
    tier.start_up_s = 0.0;
    tier.warm_up_s = 0.0;
    tier.warm_up_slowdown = 1.0;
    if let Some(database) = &mut tier.database {
        database.ios_per_read = 0.0;
        database.ios_per_write = 0.0;
    }
}

/// Redis answers with one thread, at the speed of the machine's core: its VMs get types of their own that say so.
fn as_redis(
    model: &mut StackModel,
    name: &TierName,
    hit_ratios: &BTreeMap<TierName, f64>,
    left_out: &mut Vec<String>,
) {
    let Some(tier) = model.tiers.get_mut(name).filter(|tier| is_redis(tier)) else {
        return;
    };
    if let (Some(cache), Some(ratio)) = (&mut tier.cache, hit_ratios.get(name)) {
        cache.hit = HitRatio::Fixed { ratio: *ratio };
    }
    left_out.push(match tier.kind {
        TierKind::Database => format!(
            "{name} is a Redis with one thread that syncs every write, not a relational database; its demands are measured"
        ),
        _ => format!("{name} is a Redis with one thread; its demands are measured"),
    });
    tier.workers_per_vm = Some(1);
    for vms in &mut tier.vms {
        let Some(facts) = model.vm_types.get(&vms.vm_type) else {
            continue;
        };
        let mut facts = facts.clone();
        facts.vcpu = (facts.vcpu.min(1.0) * facts.speed).min(1.0);
        facts.speed = 1.0;
        // The name of a tier is at most as long as that of a type, and starts like one.
        let Ok(own) = VmTypeId::new(own_type(name, vms.vm_type.as_str())) else {
            continue;
        };
        model.vm_types.insert(own.clone(), facts);
        vms.vm_type = own;
    }
}

fn own_type(tier: &TierName, vm_type: &str) -> String {
    let all = format!("{tier}.{vm_type}");
    all.chars().take(63).collect()
}
