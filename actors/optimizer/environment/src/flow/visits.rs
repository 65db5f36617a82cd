//! How often a request of each class comes to each tier.

use crate::flow::error::FlowError;
use crate::flow::hit::hit_ratio;
use crate::model::{Cache, Call, StackModel};
use serde::Serialize;
use std::collections::BTreeMap;
use twinscale_protocol::{RequestClassName, TierName};

/// Most visits of one request to one tier; more is a slip in the model.
pub const VISITS_MAX: f64 = 1e9;

/// How often requests come where.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Visits {
    /// Mean visits of one request of a class to a tier; only tiers that it comes to.
    pub tiers: BTreeMap<TierName, BTreeMap<RequestClassName, f64>>,
    /// For each call of the model, in its order.
    pub calls: Vec<CallFlow>,
    /// Hit ratio of each cache at the stated size of its data.
    pub hit_ratios: BTreeMap<TierName, f64>,
}

/// How often a call is made.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct CallFlow {
    /// Mean calls per request of a class; only classes that make it.
    pub per_request: BTreeMap<RequestClassName, f64>,
    /// Calls per second of all classes together, at the rates of the flow; 0 where only visits are known.
    pub per_s: f64,
}

impl Visits {
    /// Reads the mean visits of one request of a class to a tier.
    pub fn of(&self, tier: &TierName, class: &RequestClassName) -> f64 {
        let classes = self.tiers.get(tier);
        classes
            .and_then(|classes| classes.get(class))
            .copied()
            .unwrap_or(0.0)
    }
}

/// Computes how often a request of each class comes to each tier.
///
/// # Errors
/// [`FlowError`] when calls go in a circle, name a tier that is not there, or multiply beyond
/// [`VISITS_MAX`].
pub fn visits(model: &StackModel) -> Result<Visits, FlowError> {
    let order = call_order(model)?;
    let hit_ratios: BTreeMap<TierName, f64> = model
        .tiers
        .iter()
        .filter_map(|(name, tier)| {
            let cache = tier.cache.as_ref()?;
            Some((name.clone(), hit_of(model, name, cache)))
        })
        .collect();
    let mut found = Visits {
        tiers: BTreeMap::new(),
        calls: vec![CallFlow::default(); model.calls.len()],
        hit_ratios,
    };
    for (class, spec) in &model.classes {
        if !model.tiers.contains_key(&spec.entry) {
            return Err(FlowError::UnknownTier {
                place: format!("class.{class}.entry"),
                tier: spec.entry.clone(),
            });
        }
        found.add(class, &spec.entry, 1.0)?;
        for tier in &order {
            let here = found.of(tier, class);
            if here > 0.0 {
                found.add_calls(model, class, tier, here)?;
            }
        }
    }
    Ok(found)
}

impl Visits {
    fn add(
        &mut self,
        class: &RequestClassName,
        tier: &TierName,
        visits: f64,
    ) -> Result<(), FlowError> {
        let classes = self.tiers.entry(tier.clone()).or_default();
        let all = classes.entry(class.clone()).or_insert(0.0);
        *all += visits;
        if *all <= VISITS_MAX {
            return Ok(());
        }
        Err(FlowError::TooManyVisits {
            class: class.clone(),
            tier: tier.clone(),
        })
    }

    fn add_calls(
        &mut self,
        model: &StackModel,
        class: &RequestClassName,
        tier: &TierName,
        here: f64,
    ) -> Result<(), FlowError> {
        for (index, call) in model.calls.iter().enumerate() {
            if call.from != *tier || !is_made_by(call, class) {
                continue;
            }
            let missed = call.on_miss_of.as_ref().map_or(1.0, |cache| {
                1.0 - self.hit_ratios.get(cache).copied().unwrap_or(0.0)
            });
            let calls = here * call.per_request * missed;
            if calls <= 0.0 {
                continue;
            }
            self.add(class, &call.to, calls)?;
            if let Some(flow) = self.calls.get_mut(index) {
                flow.per_request.insert(class.clone(), calls);
            }
        }
        Ok(())
    }
}

/// Orders the tiers so that each stands before those that it calls; by name where either may stand first.
///
/// # Errors
/// [`FlowError::Cycle`] names one circle; [`FlowError::UnknownTier`] the first call that names no tier.
pub fn call_order(model: &StackModel) -> Result<Vec<TierName>, FlowError> {
    let mut called: BTreeMap<&TierName, usize> = model.tiers.keys().map(|name| (name, 0)).collect();
    let mut calls: BTreeMap<&TierName, Vec<&TierName>> = BTreeMap::new();
    for (index, call) in model.calls.iter().enumerate() {
        for tier in [&call.from, &call.to] {
            if !called.contains_key(tier) {
                return Err(FlowError::UnknownTier {
                    place: format!("call[{index}]"),
                    tier: tier.clone(),
                });
            }
        }
        *called.entry(&call.to).or_default() += 1;
        calls.entry(&call.from).or_default().push(&call.to);
    }
    let mut order = Vec::new();
    let mut ready: Vec<&TierName> = called
        .iter()
        .filter(|(_, count)| **count == 0)
        .map(|(name, _)| *name)
        .rev()
        .collect();
    while let Some(tier) = ready.pop() {
        called.remove(tier);
        order.push(tier.clone());
        for to in calls.get(tier).into_iter().flatten() {
            let Some(count) = called.get_mut(to) else {
                continue;
            };
            *count -= 1;
            if *count == 0 {
                ready.push(to);
            }
        }
    }
    if called.is_empty() {
        return Ok(order);
    }
    Err(FlowError::Cycle {
        tiers: circle_among(&called, model),
    })
}

/// Finds one circle: every tier that is left is called by another that is left, so walking back ends in one.
fn circle_among(left: &BTreeMap<&TierName, usize>, model: &StackModel) -> Vec<TierName> {
    let mut way: Vec<&TierName> = left.keys().next().copied().into_iter().collect();
    while let Some(tier) = way.last() {
        let caller = model
            .calls
            .iter()
            .filter(|call| call.to == **tier && left.contains_key(&call.from))
            .map(|call| &call.from)
            .min();
        let Some(caller) = caller else {
            break;
        };
        if let Some(start) = way.iter().position(|seen| *seen == caller) {
            way.drain(..start);
            break;
        }
        way.push(caller);
    }
    way.reverse();
    // From its least name, so that one circle always reads the same.
    let least = way.iter().enumerate().min_by_key(|(_, name)| **name);
    let start = least.map_or(0, |(index, _)| index);
    way.rotate_left(start);
    way.into_iter().cloned().collect()
}

/// Computes the requests per second of each class.
///
/// # Errors
/// [`FlowError::NoRate`] when a class states neither a rate nor, together with the stack, a share of one.
pub fn class_rates(model: &StackModel) -> Result<BTreeMap<RequestClassName, f64>, FlowError> {
    model
        .classes
        .iter()
        .map(|(name, class)| {
            let rate = match (class.rate_per_s, class.share, model.rate_per_s) {
                (Some(rate), _, _) => rate,
                (None, Some(share), Some(all)) => share * all,
                _ => {
                    return Err(FlowError::NoRate {
                        class: name.clone(),
                    });
                }
            };
            Ok((name.clone(), rate))
        })
        .collect()
}

pub(crate) fn is_made_by(call: &Call, class: &RequestClassName) -> bool {
    call.classes.is_empty() || call.classes.contains(class)
}

/// Sums the data of a cache, in GiB.
pub(crate) fn cached_gib(model: &StackModel, tier: &TierName, cache: &Cache) -> f64 {
    model
        .data_sets
        .iter()
        .filter(|(name, data_set)| {
            if cache.data_sets.is_empty() {
                data_set.tier == *tier
            } else {
                cache.data_sets.contains(name)
            }
        })
        .map(|(_, data_set)| data_set.size_gib)
        .sum()
}

fn hit_of(model: &StackModel, name: &TierName, cache: &Cache) -> f64 {
    let memory_gib: f64 = model.tiers.get(name).map_or(0.0, |tier| {
        tier.vms
            .iter()
            .filter_map(|vms| {
                let vm_type = model.vm_types.get(&vms.vm_type)?;
                Some(f64::from(vms.count) * vm_type.memory_gib)
            })
            .sum()
    });
    let data_gib = cached_gib(model, name, cache);
    hit_ratio(&cache.hit, data_gib, memory_gib * cache.memory_share)
}
