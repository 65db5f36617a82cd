//! The analytic engine for a whole stack: response times from queueing formulas, in microseconds of work.
//!
//! Every tier is a queue of its own (an open network with its visits taken apart): one for each VM where the
//! balancer does not look at load, one for all of them where it does. Response times of the tiers that a
//! request comes to add up; the slowest of calls made together counts. What formulas cannot say is left out
//! and listed, so that nobody takes silence for zero: [`crate::simulation`] is for that.
//!
//! Exact are M/M/c tiers with Poisson arrivals in sequence (Jackson); everything else is an approximation,
//! checked against the simulation in the tests.

mod moments;
mod station;

use self::moments::Moments;
use self::station::{StationError, tier_moments};
use crate::flow::{Flow, FlowError, flow_at};
use crate::model::{CallOrder, Endpoint, ServiceLevel, StackModel};
use serde::Serialize;
use std::collections::{BTreeMap, BTreeSet};
use twinscale_protocol::{RequestClassName, TierName};

/// What formulas say about a stack under a load.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Prediction {
    /// By class, in the order of their names.
    pub classes: Vec<ClassPrediction>,
    /// What is used, the most used first.
    pub resources: Vec<ResourceUse>,
    /// What the formulas leave out.
    pub left_out: Vec<String>,
}

/// What a class of requests meets.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct ClassPrediction {
    /// The class.
    pub class: RequestClassName,
    /// Requests per second.
    pub rate_per_s: f64,
    /// Mean response time, in seconds.
    pub mean_response_s: f64,
    /// Response time that half of the requests meet, in seconds.
    pub p50_response_s: f64,
    /// Response time that 95 % of the requests meet, in seconds.
    pub p95_response_s: f64,
    /// Response time that 99 % of the requests meet, in seconds.
    pub p99_response_s: f64,
    /// Share of requests that are later than the promise for 99 %; `None` without one.
    pub missed_p99: Option<f64>,
}

/// How far a resource is used.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct ResourceUse {
    /// Which resource, such as `cores of app`.
    pub resource: String,
    /// Share that is used: 1 = all of it.
    pub utilisation: f64,
    /// By how much the load may grow until it is full, if all of it grows alike.
    pub full_at_load: f64,
}

/// Why there is no prediction.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum PredictionError {
    /// The calls of the model lead nowhere or in circles.
    #[error(transparent)]
    Flow(#[from] FlowError),
    /// A resource is used up: requests would wait for ever.
    #[error(
        "{resource} would be used to {:.0} %: no steady state; add capacity, or lower the load to less than \
         {:.3} of this one",
        utilisation * 100.0,
        1.0 / utilisation
    )]
    Overloaded {
        /// Which resource.
        resource: String,
        /// Offered over what there is.
        utilisation: f64,
    },
}

/// Predicts what requests meet at the rates that the model states.
///
/// # Errors
/// [`PredictionError`].
pub fn predict(model: &StackModel) -> Result<Prediction, PredictionError> {
    predict_at(model, crate::flow::class_rates(model)?)
}

/// Predicts what requests meet at other rates.
///
/// # Errors
/// [`PredictionError`].
pub fn predict_at(
    model: &StackModel,
    rates_per_s: BTreeMap<RequestClassName, f64>,
) -> Result<Prediction, PredictionError> {
    let flow = flow_at(model, rates_per_s)?;
    let resources = resources(&flow);
    if let Some(first) = resources.first().filter(|first| first.utilisation >= 1.0) {
        return Err(PredictionError::Overloaded {
            resource: first.resource.clone(),
            utilisation: first.utilisation,
        });
    }
    let mut tiers = BTreeMap::new();
    for name in model.tiers.keys() {
        let found = tier_moments(model, &flow, name).map_err(|StationError { utilisation }| {
            PredictionError::Overloaded {
                resource: format!("cores of {name}"),
                utilisation,
            }
        })?;
        tiers.insert(name, found);
    }
    let way = Way {
        model,
        flow: &flow,
        tiers: &tiers,
    };
    let classes = model.classes.iter().map(|(name, class)| {
        let response = way.from(&class.entry, name).plus(way.to_clients(name));
        predicted(name, flow.rates_per_s[name], &response, &class.sla)
    });
    Ok(Prediction {
        classes: classes.collect(),
        resources,
        left_out: left_out(model),
    })
}

/// What is used of a stack under a flow, the most used first.
pub fn resources(flow: &Flow) -> Vec<ResourceUse> {
    let mut found = Vec::new();
    let mut add = |resource: String, utilisation: f64| {
        found.push(ResourceUse {
            resource,
            utilisation,
            full_at_load: if utilisation > 0.0 {
                1.0 / utilisation
            } else {
                f64::INFINITY
            },
        });
    };
    for (name, tier) in &flow.tiers {
        add(format!("cores of {name}"), tier.utilisation_max);
        if let Some(utilisation) = tier.network_utilisation {
            add(format!("network of {name}"), utilisation);
        }
    }
    for (name, link) in &flow.links {
        if let Some(utilisation) = link.utilisation {
            add(format!("link {name}"), utilisation);
        }
    }
    for (name, volume) in &flow.volumes {
        for (what, utilisation) in [
            ("operations of volume", volume.iops_utilisation),
            ("throughput of volume", volume.throughput_utilisation),
        ] {
            if let Some(utilisation) = utilisation {
                add(format!("{what} {name}"), utilisation);
            }
        }
    }
    found.sort_by(|left, right| right.utilisation.total_cmp(&left.utilisation));
    found
}

fn predicted(
    name: &RequestClassName,
    rate_per_s: f64,
    response: &Moments,
    promised: &ServiceLevel,
) -> ClassPrediction {
    ClassPrediction {
        class: name.clone(),
        rate_per_s,
        mean_response_s: response.mean,
        p50_response_s: response.quantile(0.5),
        p95_response_s: response.quantile(0.95),
        p99_response_s: response.quantile(0.99),
        missed_p99: promised.p99_s.map(|limit| response.tail(limit)),
    }
}

/// A request's way through tiers whose responses are known.
struct Way<'a> {
    model: &'a StackModel,
    flow: &'a Flow,
    /// Response of one visit, by class.
    tiers: &'a BTreeMap<&'a TierName, BTreeMap<RequestClassName, Moments>>,
}

impl Way<'_> {
    /// Response of a visit to a tier, with all that it calls.
    fn from(&self, tier: &TierName, class: &RequestClassName) -> Moments {
        let own = self.tiers.get(tier).and_then(|classes| classes.get(class));
        let mut sum = own.copied().unwrap_or_default();
        let mut together: Option<Moments> = None;
        for call in self.model.calls.iter().filter(|call| call.from == *tier) {
            if !(call.classes.is_empty() || call.classes.contains(class)) {
                continue;
            }
            let missed = call.on_miss_of.as_ref().map_or(1.0, |cache| {
                1.0 - self.flow.hit_ratios.get(cache).copied().unwrap_or(0.0)
            });
            let once = self.from(&call.to, class).plus(self.between(
                tier,
                &call.to,
                call.request_bytes + call.response_bytes,
            ));
            if call.order == CallOrder::Parallel {
                let copies = once.slowest_of(call.per_request).with_probability(missed);
                together = Some(together.map_or(copies, |other| other.or_slower(&copies)));
                continue;
            }
            if let Some(slowest) = together.take() {
                sum = sum.plus(slowest);
            }
            sum = sum.plus(once.times(call.per_request).with_probability(missed));
        }
        together.map_or(sum, |slowest| sum.plus(slowest))
    }

    /// There and back between two tiers, without waiting.
    fn between(&self, left: &TierName, right: &TierName, bytes: f64) -> Moments {
        self.over(&(left.as_str(), right.as_str()), bytes)
    }

    fn to_clients(&self, class: &RequestClassName) -> Moments {
        let stated = &self.model.classes[class];
        let ends = (Endpoint::CLIENTS, stated.entry.as_str());
        self.over(&ends, stated.request_bytes + stated.response_bytes)
    }

    fn over(&self, (left, right): &(&str, &str), bytes: f64) -> Moments {
        let mut seconds = 0.0;
        for link in self.model.links.values() {
            let ends = (link.from.as_str(), link.to.as_str());
            if ends == (*left, *right) || ends == (*right, *left) {
                seconds += 2.0 * link.latency_s;
                seconds += link.bandwidth_mbps.map_or(0.0, |mbps| bytes * 8e-6 / mbps);
            }
        }
        Moments::constant(seconds)
    }
}

fn left_out(model: &StackModel) -> Vec<String> {
    let mut found = Vec::new();
    for call in &model.calls {
        let name = format!("{} -> {}", call.from, call.to);
        if call.timeout_s.is_some() {
            found.push(format!("time-out and retries of {name}"));
        }
        if call.pool_size.is_some() {
            found.push(format!("waiting for a connection of {name}"));
        }
    }
    for (name, tier) in &model.tiers {
        if tier.waiting_max.is_some() {
            found.push(format!("refusals where the line of {name} is full"));
        }
        if tier.holds_worker {
            found.push(format!("workers of {name} that wait for their calls"));
        }
    }
    if model
        .links
        .values()
        .any(|link| link.bandwidth_mbps.is_some())
    {
        found.push("waiting before links and network cards".to_owned());
    }
    // Several calls may go the same way.
    let mut told = BTreeSet::new();
    found.retain(|one| told.insert(one.clone()));
    found
}

#[cfg(test)]
mod tests;
