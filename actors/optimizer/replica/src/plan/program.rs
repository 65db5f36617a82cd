//! What each tier's server is told, once the addresses of those that it calls are known.

use super::{ContainerSpec, Plan, Program, places_of_calls, prefix, whole, workers};
use crate::config::{Objects, Peer, ServeCall, ServeClass, ServeConfig, Target};
use std::collections::BTreeMap;
use twinscale_environment::model::{Call, CallOrder, StackModel, TierKind};
use twinscale_protocol::{RequestClassName, TierName};

/// Makes the configuration of a container; `addresses` are host and port of each container of each tier, in their
/// order.
pub fn serve_config(
    plan: &Plan,
    spec: &ContainerSpec,
    addresses: &BTreeMap<TierName, Vec<String>>,
) -> ServeConfig {
    let model = &plan.comparable.model;
    let tier = &model.tiers[&spec.tier];
    // Places of the model's calls that start here, in the order of the model.
    let from = |call: &&Call| call.from == spec.tier;
    let places: Vec<usize> = (0..model.calls.len())
        .filter(|place| from(&&model.calls[*place]))
        .collect();
    let calls = places
        .iter()
        .map(|place| serve_call(plan, *place, addresses));
    let class = |name: &RequestClassName| ServeClass {
        demand: tier.demands.get(name).cloned(),
        stages: stages(model, &places, name),
    };
    ServeConfig {
        tier: spec.tier.to_string(),
        workers: workers(tier, spec.cores),
        waiting_max: tier.waiting_max,
        holds_worker: tier.holds_worker,
        speed: match spec.program {
            Program::Serve { speed } => speed,
            Program::Redis(_) => 1.0,
        },
        classes: model
            .classes
            .keys()
            .map(|name| (name.to_string(), class(name)))
            .collect(),
        calls: calls.collect(),
    }
}

/// Calls that begin together, as places among those that start at the tier.
fn stages(model: &StackModel, places: &[usize], class: &RequestClassName) -> Vec<Vec<usize>> {
    let mut found: Vec<Vec<usize>> = Vec::new();
    let mut joins = false;
    for (own, place) in places.iter().enumerate() {
        let call = &model.calls[*place];
        if !(call.classes.is_empty() || call.classes.contains(class)) {
            continue;
        }
        let is_parallel = call.order == CallOrder::Parallel;
        match found.last_mut() {
            Some(last) if is_parallel && joins => last.push(own),
            _ => found.push(vec![own]),
        }
        joins = is_parallel;
    }
    found
}

fn serve_call(plan: &Plan, place: usize, addresses: &BTreeMap<TierName, Vec<String>>) -> ServeCall {
    let model = &plan.comparable.model;
    let call = &model.calls[place];
    let callee = &model.tiers[&call.to];
    let specs = plan.of_tier(&call.to);
    let known = addresses.get(&call.to).into_iter().flatten();
    let peers = specs.zip(known).map(|(spec, address)| Peer {
        address: address.clone(),
        cores: spec.cores,
        is_primary: !matches!(&spec.program, Program::Redis(redis) if redis.is_replica),
    });
    let bytes = |number: f64| usize::try_from(whole(number)).unwrap_or(usize::MAX);
    ServeCall {
        to: call.to.to_string(),
        target: target(plan, place),
        peers: peers.collect(),
        balancer: callee.balancer,
        per_request: call.per_request,
        on_miss_of: call.on_miss_of.as_ref().map(ToString::to_string),
        parallel: call.order == CallOrder::Parallel,
        request_bytes: bytes(call.request_bytes),
        response_bytes: bytes(call.response_bytes),
        pool_size: call.pool_size,
        timeout_s: call.timeout_s,
        retries_max: call.retries_max,
        retry_backoff_s: call.retry_backoff_s,
    }
}

fn target(plan: &Plan, place: usize) -> Target {
    let model = &plan.comparable.model;
    let call = &model.calls[place];
    let callee = &model.tiers[&call.to];
    debug_assert!(places_of_calls(model, &call.to).contains_key(&place));
    match callee.kind {
        TierKind::Service | TierKind::Queue => Target::Http,
        TierKind::Cache => {
            let ratios = &plan.comparable.hit_ratios;
            Target::Cache {
                hit_ratio: ratios.get(&call.to).copied().unwrap_or(0.0),
                objects: objects(plan, place),
            }
        }
        TierKind::Database => {
            let demands = callee.demands.iter();
            let write_shares = demands
                .map(|(class, demand)| (class.to_string(), 1.0 - demand.read_share.unwrap_or(1.0)));
            Target::Database {
                write_shares: write_shares.collect(),
                objects: objects(plan, place),
            }
        }
    }
}

/// The objects of a call that all containers of its tier have.
fn objects(plan: &Plan, place: usize) -> Objects {
    let prefix = prefix(place);
    let tier = &plan.comparable.model.calls[place].to;
    let of_call = plan.of_tier(tier).filter_map(|spec| match &spec.program {
        Program::Redis(redis) => redis.objects.iter().find(|found| found.prefix == prefix),
        Program::Serve { .. } => None,
    });
    let fewest = of_call.min_by_key(|objects| objects.count).cloned();
    fewest.unwrap_or(Objects {
        prefix,
        count: 1,
        bytes: 1,
    })
}
