//! Checks tiers and VM types.

use super::Checked;
use super::calls::reached;
use crate::flow::call_order;
use crate::model::{Distribution, Endpoint, HitRatio, ServiceDemand, StackModel, Tier, TierKind};
use std::collections::BTreeSet;
use twinscale_cluster_config::quoted;
use twinscale_protocol::{DataSetName, RequestClassName, TierName, VmTypeId, ZoneName};

/// Farthest that a stated `scv` may lie from the one that its distribution has of itself.
const SCV_TOLERANCE: f64 = 1e-9;

pub(super) fn check(model: &StackModel, found: &mut Checked) {
    let mut used: BTreeSet<&VmTypeId> = BTreeSet::new();
    for (name, tier) in &model.tiers {
        let path = format!("tier.{}", quoted(name.as_str()));
        used.extend(tier.vms.iter().map(|vms| &vms.vm_type));
        check_name(model, name, &path, found);
        check_vms(model, tier, &path, found);
        check_zones(model, tier, &path, found);
        check_demands(model, tier, &path, found);
        check_kind(model, name, tier, &path, found);
    }
    check_zone_list(model, found);
    check_reached(model, found);
    for (name, vm_type) in &model.vm_types {
        let path = format!("vm_type.{}", quoted(name.as_str()));
        found.price(&path, vm_type.price_per_hour_usd, vm_type.free);
        let (baseline, burst) = (vm_type.network_baseline_mbps, vm_type.network_burst_mbps);
        found.burst(&path, "network", baseline, burst);
        if !used.contains(name) {
            let hint = "take it away, or name it in a tier's vm list";
            found.warn(path, "(table)", "is not used: no tier has a VM of it", hint);
        }
    }
}

fn check_name(model: &StackModel, name: &TierName, path: &str, found: &mut Checked) {
    let is_zone = model
        .zones
        .iter()
        .any(|zone| zone.as_str() == name.as_str());
    if is_zone || name.as_str() == Endpoint::CLIENTS {
        let what = if is_zone {
            "a zone"
        } else {
            "whoever sends requests"
        };
        found.refuse(
            path,
            "(table)",
            format!("bears the name of {what}, so that links could mean either"),
            "choose another name",
        );
    }
}

fn check_vms(model: &StackModel, tier: &Tier, path: &str, found: &mut Checked) {
    let mut seen = BTreeSet::new();
    for (index, vms) in tier.vms.iter().enumerate() {
        let key = format!("{path}.vm[{index}].type");
        let known = model.vm_types.keys().map(VmTypeId::as_str);
        found.names(&key, vms.vm_type.as_str(), "VM type", known);
        if !seen.insert(&vms.vm_type) {
            let hint = "add the counts in one entry";
            found.refuse(key, &vms.vm_type, "is listed twice in this tier", hint);
        }
    }
    if tier.vms.iter().all(|vms| vms.count == 0) {
        found.refuse(
            format!("{path}.vm"),
            "no VM",
            "a tier without servers can serve nothing",
            "add [[tier.NAME.vm]] with type = \"…\" and count = 1",
        );
    }
}

fn check_zones(model: &StackModel, tier: &Tier, path: &str, found: &mut Checked) {
    let mut seen = BTreeSet::new();
    for (index, zone) in tier.zones.iter().enumerate() {
        let key = format!("{path}.zones[{index}]");
        let known = model.zones.iter().map(ZoneName::as_str);
        found.names(&key, zone.as_str(), "zone", known);
        if !seen.insert(zone) {
            found.refuse(key, zone, "is listed twice", "list each zone once");
        }
    }
}

fn check_zone_list(model: &StackModel, found: &mut Checked) {
    let mut seen = BTreeSet::new();
    for (index, zone) in model.zones.iter().enumerate() {
        if !seen.insert(zone) {
            let key = format!("zones[{index}]");
            found.refuse(key, zone, "is listed twice", "list each zone once");
        }
    }
}

fn check_demands(model: &StackModel, tier: &Tier, path: &str, found: &mut Checked) {
    for (class, demand) in &tier.demands {
        let path = format!("{path}.demand.{}", quoted(class.as_str()));
        let known = model.classes.keys().map(RequestClassName::as_str);
        found.names(&path, class.as_str(), "class", known);
        check_distribution(demand, &path, found);
        if tier.kind != TierKind::Database {
            for (key, value) in [
                ("read_share", demand.read_share),
                ("write_mean_s", demand.write_mean_s),
            ] {
                if let Some(value) = value {
                    found.refuse(
                        format!("{path}.{key}"),
                        value,
                        "only a database tells reads from writes",
                        "take it away, or set kind = \"database\"",
                    );
                }
            }
        }
    }
}

fn check_distribution(demand: &ServiceDemand, path: &str, found: &mut Checked) {
    let rule = match (demand.distribution, demand.scv) {
        (Distribution::Deterministic, Some(scv)) if scv > SCV_TOLERANCE => {
            "is 0 in a deterministic distribution"
        }
        (Distribution::Exponential, Some(scv)) if (scv - 1.0).abs() > SCV_TOLERANCE => {
            "is 1 in an exponential distribution"
        }
        (Distribution::Erlang, Some(scv)) if !(0.001..=1.0).contains(&scv) => {
            "is from 0.001 to 1 in an Erlang distribution"
        }
        (Distribution::Hyperexponential, Some(scv)) if scv < 1.0 => {
            "is at least 1 in a hyperexponential distribution"
        }
        (Distribution::Gamma | Distribution::Lognormal, Some(scv)) if scv <= 0.0 => {
            "is above 0 in this distribution"
        }
        (
            Distribution::Erlang
            | Distribution::Hyperexponential
            | Distribution::Gamma
            | Distribution::Lognormal,
            None,
        ) => {
            found.lack(
                format!("{path}.scv"),
                "is needed: this distribution has none of itself",
                "state the squared coefficient of variation, for example: scv = 1.0",
            );
            return;
        }
        _ => return,
    };
    found.refuse(
        format!("{path}.scv"),
        demand.scv.unwrap_or_default(),
        rule,
        "choose the distribution that has it: erlang below 1, hyperexponential or lognormal above",
    );
}

fn check_kind(model: &StackModel, name: &TierName, tier: &Tier, path: &str, found: &mut Checked) {
    match (tier.kind, &tier.cache) {
        (TierKind::Cache, None) => found.lack(
            format!("{path}.cache"),
            "is needed where kind = \"cache\"",
            "state cache = { hit = { by = \"fixed\", ratio = 0.9 } }",
        ),
        (TierKind::Cache, Some(_)) => check_cache(model, name, tier, path, found),
        (_, Some(_)) => found.refuse(
            format!("{path}.cache"),
            "(table)",
            "only a cache has it",
            "take it away, or set kind = \"cache\"",
        ),
        (_, None) => {}
    }
    let Some(database) = &tier.database else {
        return;
    };
    if tier.kind != TierKind::Database {
        found.refuse(
            format!("{path}.database"),
            "(table)",
            "only a database has it",
            "take it away, or set kind = \"database\"",
        );
    }
    let vms: u64 = tier.vms.iter().map(|vms| u64::from(vms.count)).sum();
    if vms > 0 && u64::from(database.read_replicas) >= vms {
        found.refuse(
            format!("{path}.database.read_replicas"),
            database.read_replicas,
            format!("is less than the tier's {vms} VMs: one must take writes"),
            "read replicas are counted among the VMs: add a VM, or state fewer",
        );
    }
}

fn check_cache(model: &StackModel, name: &TierName, tier: &Tier, path: &str, found: &mut Checked) {
    let Some(cache) = &tier.cache else {
        return;
    };
    for (index, data_set) in cache.data_sets.iter().enumerate() {
        let key = format!("{path}.cache.data_sets[{index}]");
        let known = model.data_sets.keys().map(DataSetName::as_str);
        found.names(key, data_set.as_str(), "data set", known);
    }
    if let HitRatio::Table { points } = &cache.hit {
        let sizes = points.windows(2).enumerate();
        for (index, pair) in sizes {
            if let [left, right] = pair
                && left.data_gib >= right.data_gib
            {
                found.refuse(
                    format!("{path}.cache.hit.points[{}].data_gib", index + 1),
                    right.data_gib,
                    format!("is more than the {} before it", left.data_gib),
                    "list the points ascending in size",
                );
            }
        }
    }
    let has_data = !cache.data_sets.is_empty() || model.data_sets.values().any(|s| s.tier == *name);
    if !has_data && !matches!(cache.hit, HitRatio::Fixed { .. }) {
        found.lack(
            format!("{path}.cache.data_sets"),
            "is needed: the hit ratio depends on the size of the data",
            "name the data sets that it caches, or use hit = { by = \"fixed\", ratio = 0.9 }",
        );
    }
}

/// A tier that no request comes to, and a class without a demand where it comes.
fn check_reached(model: &StackModel, found: &mut Checked) {
    let is_known = |tier: &TierName| model.tiers.contains_key(tier);
    let mut entries = model.classes.values().map(|class| &class.entry);
    // What has no flow is reported where that is checked.
    if call_order(model).is_err() || !entries.all(is_known) {
        return;
    }
    let reached = reached(model);
    for (name, tier) in &model.tiers {
        let path = format!("tier.{}", quoted(name.as_str()));
        let classes: BTreeSet<&RequestClassName> = reached
            .iter()
            .filter(|(_, tiers)| tiers.contains(name))
            .map(|(class, _)| *class)
            .collect();
        if classes.is_empty() {
            found.refuse(
                path,
                "(table)",
                "no class reaches it",
                "add a [[call]] to it, make it the entry of a class, or take it away",
            );
            continue;
        }
        for class in classes
            .iter()
            .filter(|class| !tier.demands.contains_key(**class))
        {
            found.lack(
                format!("{path}.demand.{}", quoted(class.as_str())),
                format!("is needed: requests of class {class} come here"),
                "state what one costs, for example: { mean_s = 0.004 }",
            );
        }
        for class in tier
            .demands
            .keys()
            .filter(|class| model.classes.contains_key(class) && !classes.contains(class))
        {
            found.warn(
                format!("{path}.demand.{}", quoted(class.as_str())),
                "(table)",
                format!("is not used: no request of class {class} comes here"),
                "take it away, or add the call",
            );
        }
    }
}
