//! Checks calls and the graph that they form.

use super::Checked;
use crate::flow::{FlowError, call_order, visits};
use crate::model::{Call, StackModel, TierKind};
use std::collections::{BTreeMap, BTreeSet};
use twinscale_cluster_config::quoted;
use twinscale_protocol::{RequestClassName, TierName};

pub(super) fn check(model: &StackModel, found: &mut Checked) {
    let is_known = |tier: &TierName| model.tiers.contains_key(tier);
    let mut calls = model.calls.iter();
    // Where a call leads nowhere, what lies behind it would only repeat that.
    let reached = calls
        .all(|call| is_known(&call.from) && is_known(&call.to))
        .then(|| reached(model));
    for (index, call) in model.calls.iter().enumerate() {
        let path = format!("call[{index}]");
        check_tier(model, &call.from, format!("{path}.from"), found);
        check_tier(model, &call.to, format!("{path}.to"), found);
        check_classes(model, call, &path, reached.as_ref(), found);
        check_miss(model, call, &path, found);
    }
    match call_order(model) {
        Err(error @ FlowError::Cycle { .. }) => {
            let FlowError::Cycle { tiers } = &error else {
                return;
            };
            // The last of the circle in the file: the one that closed it, if any did.
            let next = tiers.iter().cycle().skip(1);
            let edges: Vec<(&TierName, &TierName)> = tiers.iter().zip(next).collect();
            let at = model
                .calls
                .iter()
                .rposition(|call| edges.contains(&(&call.from, &call.to)));
            found.refuse(
                at.map_or_else(|| "call".to_owned(), |index| format!("call[{index}]")),
                error.to_string(),
                "the calls of all classes together form no circle",
                "take one of these calls away, or split a tier that is called back in two",
            );
        }
        Err(_) => {}
        Ok(_) => check_visits(model, found),
    }
    check_connections(model, found);
}

fn check_tier(model: &StackModel, name: &TierName, key: String, found: &mut Checked) -> bool {
    let tiers = model.tiers.keys().map(TierName::as_str);
    found.names(key, name.as_str(), "tier", tiers)
}

fn check_visits(model: &StackModel, found: &mut Checked) {
    if let Err(error @ FlowError::TooManyVisits { .. }) = visits(model) {
        found.refuse(
            "call.*.per_request",
            "(too many)",
            error.to_string(),
            "calls multiply along a chain: state the mean per request at the calling tier",
        );
    }
}

fn check_classes(
    model: &StackModel,
    call: &Call,
    path: &str,
    reached: Option<&BTreeMap<&RequestClassName, BTreeSet<&TierName>>>,
    found: &mut Checked,
) {
    for (index, class) in call.classes.iter().enumerate() {
        let key = format!("{path}.classes[{index}]");
        let known = model.classes.keys().map(RequestClassName::as_str);
        if !found.names(&key, class.as_str(), "class", known) {
            continue;
        }
        let comes = reached
            .and_then(|reached| reached.get(class))
            .is_none_or(|tiers| tiers.contains(&call.from));
        if !comes {
            found.refuse(
                key,
                class,
                format!("no request of this class comes to tier {}", call.from),
                "add the call that leads there, or take the class away",
            );
        }
    }
}

fn check_miss(model: &StackModel, call: &Call, path: &str, found: &mut Checked) {
    let Some(cache) = &call.on_miss_of else {
        return;
    };
    let key = format!("{path}.on_miss_of");
    if !check_tier(model, cache, key.clone(), found) {
        return;
    }
    if model
        .tiers
        .get(cache)
        .is_some_and(|tier| tier.kind != TierKind::Cache)
    {
        let hint = "name a tier with kind = \"cache\"";
        found.refuse(key, cache, "is no cache", hint);
        return;
    }
    let asks = *cache == call.from
        || model
            .calls
            .iter()
            .any(|other| other.from == call.from && other.to == *cache);
    if !asks {
        found.refuse(
            key,
            cache,
            format!("tier {} does not ask this cache", call.from),
            format!(
                "add [[call]] from = {} to = {}, or call from the cache itself",
                quoted(call.from.as_str()),
                quoted(cache.as_str())
            ),
        );
    }
}

/// The tiers that requests of each class come to, whatever circles there are; also where a cache now answers all.
pub(super) fn reached(model: &StackModel) -> BTreeMap<&RequestClassName, BTreeSet<&TierName>> {
    model
        .classes
        .iter()
        .map(|(name, class)| {
            let mut tiers = BTreeSet::from([&class.entry]);
            let mut next = vec![&class.entry];
            while let Some(tier) = next.pop() {
                let from_here = model.calls.iter().filter(|call| call.from == *tier);
                for call in from_here.filter(|call| call.per_request > 0.0) {
                    let makes = call.classes.is_empty() || call.classes.contains(name);
                    if makes && tiers.insert(&call.to) {
                        next.push(&call.to);
                    }
                }
            }
            (name, tiers)
        })
        .collect()
}

/// Pools that together hold more connections than a database takes.
fn check_connections(model: &StackModel, found: &mut Checked) {
    for (name, tier) in &model.tiers {
        let Some(database) = &tier.database else {
            continue;
        };
        let vms = |tier: &TierName| -> f64 {
            let vms = model.tiers.get(tier).into_iter().flat_map(|t| &t.vms);
            vms.map(|vms| f64::from(vms.count)).sum()
        };
        let pooled: f64 = model
            .calls
            .iter()
            .filter(|call| call.to == *name)
            .filter_map(|call| Some(f64::from(call.pool_size?) * vms(&call.from)))
            .sum();
        let taken = f64::from(database.connections_max) * vms(name);
        if pooled > taken {
            found.warn(
                format!("tier.{}.database.connections_max", quoted(name.as_str())),
                database.connections_max,
                format!("callers' pools may hold {pooled} connections, its VMs take {taken}"),
                "make pool_size of the calls smaller, or connections_max larger",
            );
        }
    }
}
