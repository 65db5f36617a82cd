//! What links and the VMs' own connections carry.

use crate::flow::station::{TierFlow, ratio};
use crate::flow::visits::CallFlow;
use crate::model::{Endpoint, Link, StackModel};
use serde::Serialize;
use std::collections::BTreeMap;
use twinscale_protocol::{RequestClassName, TierName, ZoneName};

/// Megabits of a byte.
const MEGABITS_PER_BYTE: f64 = 8e-6;

/// The load of one link.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct LinkFlow {
    /// Messages per second that go over it, requests and answers.
    pub messages_per_s: f64,
    /// From its `from` to its `to`, in Mbps.
    pub forward_mbps: f64,
    /// From its `to` to its `from`, in Mbps.
    pub backward_mbps: f64,
    /// The larger of both by the bandwidth; `None` without a stated one.
    pub utilisation: Option<f64>,
}

/// What goes between two places: requests one way, answers the other.
struct Traffic<'a> {
    from: Option<&'a TierName>,
    to: &'a TierName,
    per_s: f64,
    request_mbps: f64,
    response_mbps: f64,
}

fn traffic<'a>(
    model: &'a StackModel,
    rates: &BTreeMap<RequestClassName, f64>,
    calls: &[CallFlow],
) -> Vec<Traffic<'a>> {
    let clients = model.classes.iter().map(|(name, class)| {
        let per_s = rates.get(name).copied().unwrap_or(0.0);
        Traffic {
            from: None,
            to: &class.entry,
            per_s,
            request_mbps: per_s * class.request_bytes * MEGABITS_PER_BYTE,
            response_mbps: per_s * class.response_bytes * MEGABITS_PER_BYTE,
        }
    });
    let between = model.calls.iter().zip(calls).map(|(call, flow)| Traffic {
        from: Some(&call.from),
        to: &call.to,
        per_s: flow.per_s,
        request_mbps: flow.per_s * call.request_bytes * MEGABITS_PER_BYTE,
        response_mbps: flow.per_s * call.response_bytes * MEGABITS_PER_BYTE,
    });
    clients.chain(between).collect()
}

/// Computes the load of every link, and adds to each tier what its VMs send and get.
pub(crate) fn network_flow(
    model: &StackModel,
    rates: &BTreeMap<RequestClassName, f64>,
    calls: &[CallFlow],
    tiers: &mut BTreeMap<TierName, TierFlow>,
) -> Vec<LinkFlow> {
    let traffic = traffic(model, rates, calls);
    for flow in &traffic {
        if let Some(tier) = flow.from.and_then(|from| tiers.get_mut(from)) {
            tier.network_out_mbps += flow.request_mbps;
            tier.network_in_mbps += flow.response_mbps;
        }
        if let Some(tier) = tiers.get_mut(flow.to) {
            tier.network_in_mbps += flow.request_mbps;
            tier.network_out_mbps += flow.response_mbps;
        }
    }
    for (name, flow) in tiers {
        let used = flow.network_in_mbps.max(flow.network_out_mbps);
        flow.network_utilisation = baseline_mbps(model, name).map(|all| ratio(used, all));
    }
    model
        .links
        .values()
        .map(|link| link_flow(model, link, &traffic))
        .collect()
}

fn baseline_mbps(model: &StackModel, tier: &TierName) -> Option<f64> {
    let tier = model.tiers.get(tier)?;
    tier.vms
        .iter()
        .map(|vms| {
            let baseline = model.vm_types.get(&vms.vm_type)?.network_baseline_mbps?;
            Some(f64::from(vms.count) * baseline)
        })
        .sum()
}

fn link_flow(model: &StackModel, link: &Link, traffic: &[Traffic<'_>]) -> LinkFlow {
    let mut flow = LinkFlow::default();
    for part in traffic {
        let forward = share(model, part, &link.from, &link.to);
        let backward = if link.from == link.to {
            0.0
        } else {
            share(model, part, &link.to, &link.from)
        };
        flow.messages_per_s += 2.0 * part.per_s * (forward + backward);
        flow.forward_mbps += forward * part.request_mbps + backward * part.response_mbps;
        flow.backward_mbps += forward * part.response_mbps + backward * part.request_mbps;
    }
    let used = flow.forward_mbps.max(flow.backward_mbps);
    flow.utilisation = link.bandwidth_mbps.map(|bandwidth| ratio(used, bandwidth));
    flow
}

/// Share of some traffic whose requests go from one end to another.
fn share(model: &StackModel, part: &Traffic<'_>, from: &Endpoint, to: &Endpoint) -> f64 {
    let starts = match part.from {
        Some(tier) => share_at(model, tier, from),
        None => f64::from(from.as_str() == Endpoint::CLIENTS),
    };
    starts * share_at(model, part.to, to)
}

/// Share of a tier that is at an end: all of it where that is the tier, its spread over zones where it is one.
fn share_at(model: &StackModel, tier: &TierName, end: &Endpoint) -> f64 {
    if tier.as_str() == end.as_str() {
        return 1.0;
    }
    let zones = zones_of(model, tier);
    let here = zones.iter().any(|zone| zone.as_str() == end.as_str());
    if here { 1.0 / zones.len() as f64 } else { 0.0 }
}

/// Reads the zones over which a tier is spread.
pub(crate) fn zones_of<'a>(model: &'a StackModel, tier: &TierName) -> &'a [ZoneName] {
    match model.tiers.get(tier) {
        Some(tier) if !tier.zones.is_empty() => &tier.zones,
        _ => &model.zones,
    }
}
