//! Checks links, volumes and data sets.

use super::Checked;
use crate::flow::flow_at;
use crate::model::{Endpoint, Link, StackModel, TierKind};
use std::collections::{BTreeMap, BTreeSet};
use twinscale_cluster_config::quoted;
use twinscale_protocol::{TierName, ZoneName};

pub(super) fn check(model: &StackModel, found: &mut Checked) {
    let mut pairs = BTreeSet::new();
    for (name, link) in &model.links {
        let path = format!("link.{}", quoted(name.as_str()));
        check_link(model, link, &path, found);
        let pair = (
            link.from.clone().min(link.to.clone()),
            link.from.clone().max(link.to.clone()),
        );
        if !pairs.insert(pair) {
            let ends = format!("{} and {}", link.from, link.to);
            let hint = "describe them as one, with their bandwidth together";
            found.refuse(path, ends, "two links join the same ends", hint);
        }
    }
    for (name, volume) in &model.volumes {
        let path = format!("volume.{}", quoted(name.as_str()));
        let tiers = model.tiers.keys().map(TierName::as_str);
        found.names(format!("{path}.tier"), volume.tier.as_str(), "tier", tiers);
        found.price(&path, volume.price_per_hour_usd, volume.free);
        found.burst(&path, "iops", volume.iops_baseline, volume.iops_burst);
    }
    check_data(model, found);
}

fn check_link(model: &StackModel, link: &Link, path: &str, found: &mut Checked) {
    match link.price_per_hour_usd {
        Some(price) => found.price(path, price, link.free),
        None if link.free => found.refuse(
            format!("{path}.free"),
            true,
            "only a stated price of 0 is free",
            "take it away: a link without a price is part of other prices",
        ),
        None => {}
    }
    let mut known: Vec<&str> = vec![Endpoint::CLIENTS];
    known.extend(model.tiers.keys().map(TierName::as_str));
    known.extend(model.zones.iter().map(ZoneName::as_str));
    let mut kinds = Vec::new();
    for (key, end) in [("from", &link.from), ("to", &link.to)] {
        let key = format!("{path}.{key}");
        if found.names(key, end.as_str(), "tier or zone", known.iter().copied()) {
            kinds.push(model.zones.iter().any(|zone| zone.as_str() == end.as_str()));
        }
    }
    if link.to.as_str() == Endpoint::CLIENTS {
        found.refuse(
            format!("{path}.to"),
            &link.to,
            "clients send requests and are sent none",
            "swap from and to: a link carries answers back",
        );
    }
    match kinds.as_slice() {
        [from, to] if from != to => found.refuse(
            format!("{path}.to"),
            &link.to,
            format!("is of another sort than {}", link.from),
            "join two tiers, two zones, or clients with a tier",
        ),
        [false, false] if link.from == link.to => found.refuse(
            format!("{path}.to"),
            &link.to,
            "a tier does not call itself",
            "join two tiers",
        ),
        [false, false] if !is_used(model, link) => found.warn(
            path,
            "(table)",
            format!(
                "carries nothing: no call goes between {} and {}",
                link.from, link.to
            ),
            "take it away, or add the call",
        ),
        _ => {}
    }
}

fn is_used(model: &StackModel, link: &Link) -> bool {
    let joins = |from: &str, to: &TierName| {
        let ends = [(&link.from, &link.to), (&link.to, &link.from)];
        ends.iter()
            .any(|(a, b)| a.as_str() == from && b.as_str() == to.as_str())
    };
    let mut entries = model.classes.values();
    entries.any(|class| joins(Endpoint::CLIENTS, &class.entry))
        || model
            .calls
            .iter()
            .any(|call| joins(call.from.as_str(), &call.to))
}

fn check_data(model: &StackModel, found: &mut Checked) {
    for (name, data_set) in &model.data_sets {
        let key = format!("data_set.{}.tier", quoted(name.as_str()));
        let tiers = model.tiers.keys().map(TierName::as_str);
        if !found.names(&key, data_set.tier.as_str(), "tier", tiers) {
            continue;
        }
        let kind = model.tiers.get(&data_set.tier).map(|tier| tier.kind);
        let has_volume = model.volumes.values().any(|v| v.tier == data_set.tier);
        if kind == Some(TierKind::Service) && !has_volume {
            found.warn(
                key,
                &data_set.tier,
                "a service without a volume keeps no data",
                "name the database or cache that holds it, or give the tier a volume",
            );
        }
    }
    // Rates do not matter to what a volume holds; a stack without a flow is reported elsewhere.
    let Ok(flow) = flow_at(model, BTreeMap::new()) else {
        return;
    };
    for (name, volume) in &flow.volumes {
        if volume.fill > 1.0 {
            let capacity = model.volumes.get(name).map_or(0.0, |v| v.capacity_gib);
            found.refuse(
                format!("volume.{}.capacity_gib", quoted(name.as_str())),
                capacity,
                format!("holds {:.1} GiB of data", volume.data_gib),
                "state a larger volume, or what it does not hold",
            );
        }
    }
}
