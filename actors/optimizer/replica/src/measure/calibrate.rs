//! From what was seen at a low load to a model of the same containers. Pure.

use serde::Serialize;
use std::collections::BTreeMap;
use twinscale_environment::model::{Distribution, Endpoint, Link, ServiceDemand, StackModel};
use twinscale_protocol::{LinkName, RequestClassName, TierName};

/// What was seen while one class came alone.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Observation {
    /// The class.
    pub class: RequestClassName,
    /// Requests per second.
    pub rate_per_s: f64,
    /// Requests that were served while it was watched.
    pub requests: u64,
    /// The median of what a response took beyond the CPU time burnt for it, in seconds. At a low load half of the
    /// requests meet no other, so that this holds no waiting.
    pub rest_p50_s: f64,
    /// What each tier did.
    pub tiers: BTreeMap<TierName, TierUse>,
}

/// What a tier did while it was watched.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct TierUse {
    /// CPU seconds of its containers, without what they use when idle.
    pub cpu_s: f64,
    /// CPU seconds that its workers burnt for demands.
    pub burnt_s: f64,
    /// Visits that came to it.
    pub visits: u64,
}

/// What was made of an observation for one tier and class.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Fit {
    /// The tier.
    pub tier: TierName,
    /// The class.
    pub class: RequestClassName,
    /// Visits that it rests on.
    pub visits: u64,
    /// Mean demand of the model, in seconds of the reference core.
    pub stated_s: f64,
    /// Mean demand as measured.
    pub measured_s: f64,
}

/// A calibrated model, and how it came to be.
#[derive(Clone, Debug, PartialEq)]
pub struct Calibrated {
    /// The model.
    pub model: StackModel,
    /// What was fitted.
    pub fits: Vec<Fit>,
}

/// Feeds measured demands back into a model; `burns` says of a tier whether its server burns the stated demand, at
/// which speed. Where it does, the rest of its CPU time is a fixed cost on top; elsewhere all of it is the demand.
pub fn calibrated(
    model: &StackModel,
    observations: &[Observation],
    burns: &BTreeMap<TierName, f64>,
) -> Calibrated {
    let mut model = model.clone();
    let mut fits = Vec::new();
    for seen in observations {
        // What cannot be told from idleness stays as it was stated.
        let told = |used: &TierUse| used.visits > 0 && used.cpu_s > used.burnt_s;
        for (name, used) in seen.tiers.iter().filter(|(_, used)| told(used)) {
            let Some(tier) = model.tiers.get_mut(name) else {
                continue;
            };
            let stated = tier.demands.get(&seen.class).cloned();
            let visits = used.visits as f64;
            let demand = match burns.get(name) {
                Some(speed) => {
                    let fixed_s = (used.cpu_s - used.burnt_s).max(0.0) / visits * speed;
                    with_fixed(stated.as_ref(), fixed_s)
                }
                None => replaced(stated.as_ref(), used.cpu_s.max(0.0) / visits),
            };
            fits.push(Fit {
                tier: name.clone(),
                class: seen.class.clone(),
                visits: used.visits,
                stated_s: stated.map_or(0.0, |stated| stated.mean_s),
                measured_s: demand.mean_s,
            });
            tier.demands.insert(seen.class.clone(), demand);
        }
    }
    Calibrated { model, fits }
}

fn deterministic(mean_s: f64) -> ServiceDemand {
    ServiceDemand {
        mean_s,
        distribution: Distribution::Deterministic,
        scv: None,
        read_share: None,
        write_mean_s: None,
    }
}

/// A demand with a fixed cost on top: the variance stays, so the variation shrinks. The model has no shifted law; a
/// gamma law of the same mean and variance stands in where the stated law has no such variation.
fn with_fixed(stated: Option<&ServiceDemand>, fixed_s: f64) -> ServiceDemand {
    let Some(stated) = stated.filter(|stated| stated.mean_s > 0.0) else {
        return deterministic(fixed_s);
    };
    let mean_s = stated.mean_s + fixed_s;
    let own_scv = match stated.distribution {
        Distribution::Deterministic => return deterministic(mean_s),
        Distribution::Exponential => 1.0,
        Distribution::Erlang => stated.scv.unwrap_or(0.5),
        Distribution::Hyperexponential => stated.scv.unwrap_or(4.0),
        Distribution::Gamma | Distribution::Lognormal => stated.scv.unwrap_or(1.0),
    };
    let scv = own_scv * (stated.mean_s / mean_s).powi(2);
    let distribution = match stated.distribution {
        Distribution::Hyperexponential if scv >= 1.0 => Distribution::Hyperexponential,
        Distribution::Lognormal => Distribution::Lognormal,
        _ => Distribution::Gamma,
    };
    ServiceDemand {
        mean_s,
        distribution,
        scv: Some(scv),
        ..stated.clone()
    }
}

/// Another mean, the same law; reads and writes are not told apart.
fn replaced(stated: Option<&ServiceDemand>, mean_s: f64) -> ServiceDemand {
    match stated {
        Some(stated) => ServiceDemand {
            mean_s,
            write_mean_s: None,
            ..stated.clone()
        },
        None => deterministic(mean_s),
    }
}

/// Adds what no CPU time explains as a delay between clients and the entries of their classes: sockets, wake-ups,
/// time slices. For each entry it is the mean over its classes; a negative one is none. Tells the delays, there and
/// back together.
pub fn delayed(
    model: &StackModel,
    observations: &[Observation],
    burns: &BTreeMap<TierName, f64>,
) -> (StackModel, BTreeMap<TierName, f64>) {
    let mut by_entry: BTreeMap<TierName, Vec<f64>> = BTreeMap::new();
    for seen in observations {
        let Some(class) = model.classes.get(&seen.class) else {
            continue;
        };
        let fixed_s: f64 = seen
            .tiers
            .iter()
            .map(|(tier, used)| fixed_s(model, burns, tier, used))
            .sum();
        let delay_s = seen.rest_p50_s - fixed_s / seen.requests.max(1) as f64;
        by_entry
            .entry(class.entry.clone())
            .or_default()
            .push(delay_s);
    }
    let mut model = model.clone();
    let mut found = BTreeMap::new();
    for (entry, delays) in by_entry {
        let mean_s = delays.iter().sum::<f64>() / delays.len() as f64;
        let delay_s = mean_s.max(0.0);
        let (Some(from), Ok(link)) = (clients(), LinkName::new(entry.as_str())) else {
            continue;
        };
        model.links.insert(
            link,
            Link {
                from,
                to: Endpoint::new(entry.clone()),
                bandwidth_mbps: None,
                latency_s: delay_s / 2.0,
                price_per_hour_usd: None,
                price_assumed: false,
                free: false,
            },
        );
        found.insert(entry, delay_s);
    }
    (model, found)
}

/// Seconds that the model knows of beside what was burnt, over all requests, as if one came after the other.
fn fixed_s(
    model: &StackModel,
    burns: &BTreeMap<TierName, f64>,
    name: &TierName,
    used: &TierUse,
) -> f64 {
    // The rest of a response is without what was burnt, but with the time that a part of a core takes longer for it.
    let burnt_s = if burns.contains_key(name) {
        used.burnt_s
    } else {
        0.0
    };
    let types = model.tiers.get(name).into_iter().flat_map(|tier| &tier.vms);
    let cores = types.filter_map(|vms| Some(model.vm_types.get(&vms.vm_type)?.vcpu.min(1.0)));
    (used.cpu_s / cores.fold(1.0, f64::min) - burnt_s).max(0.0)
}

fn clients() -> Option<Endpoint> {
    TierName::new(Endpoint::CLIENTS).ok().map(Endpoint::new)
}

#[cfg(test)]
mod tests {
    use super::{Observation, TierUse, calibrated, delayed};
    use std::collections::BTreeMap;
    use twinscale_environment::model::{Distribution, StackModel, read_model};
    use twinscale_protocol::{RequestClassName, TierName};

    fn model() -> StackModel {
        let text = include_str!("../../../../../samples/models/replica-web-redis.toml");
        read_model(text, "test").expect("the sample is whole").model
    }

    fn tier(name: &str) -> TierName {
        TierName::new(name).expect("it is a name")
    }

    fn class(name: &str) -> RequestClassName {
        RequestClassName::new(name).expect("it is a name")
    }

    fn seen() -> Observation {
        let web = TierUse {
            cpu_s: 0.45,
            burnt_s: 0.4,
            visits: 100,
        };
        let cache = TierUse {
            cpu_s: 0.04,
            burnt_s: 0.0,
            visits: 400,
        };
        Observation {
            class: class("page"),
            rate_per_s: 10.0,
            requests: 100,
            rest_p50_s: 0.002,
            tiers: BTreeMap::from([(tier("web"), web), (tier("cache"), cache)]),
        }
    }

    #[test]
    fn a_server_gets_a_fixed_cost_and_redis_a_demand() {
        let burns = BTreeMap::from([(tier("web"), 1.0)]);
        let found = calibrated(&model(), &[seen()], &burns);
        let web = &found.model.tiers[&tier("web")].demands[&class("page")];
        assert!(
            (web.mean_s - 0.0045).abs() < 1e-12,
            "4 ms and 0.5 ms: {}",
            web.mean_s
        );
        // The variance of 4 ms exponential stays.
        let variance = web.scv.expect("it is stated") * web.mean_s * web.mean_s;
        assert!((variance - 0.004_f64.powi(2)).abs() < 1e-12, "{variance}");
        assert_eq!(web.distribution, Distribution::Gamma);
        let cache = &found.model.tiers[&tier("cache")].demands[&class("page")];
        assert!((cache.mean_s - 0.0001).abs() < 1e-12, "{}", cache.mean_s);
        let search = &found.model.tiers[&tier("web")].demands[&class("search")];
        assert!(
            (search.mean_s - 0.009).abs() < 1e-12,
            "what was not seen stays"
        );
        assert_eq!(found.fits.len(), 2);
    }

    #[test]
    fn what_no_cpu_time_explains_is_a_delay() {
        let burns = BTreeMap::from([(tier("web"), 1.0)]);
        let (model, delays_s) = delayed(&model(), &[seen()], &burns);
        // 2 ms less 0.5 ms at the server, less 0.4 ms of Redis over three quarters of a core.
        let delay_s = delays_s[&tier("web")];
        assert!(
            (delay_s - (0.0015 - 0.0004 / 0.75)).abs() < 1e-12,
            "{delay_s}"
        );
        let link = model.links.values().next().expect("there is one");
        assert!((link.latency_s - delay_s / 2.0).abs() < 1e-12);
        let mut fast = seen();
        fast.rest_p50_s = 0.0;
        assert!(delayed(&model, &[fast], &burns).1[&tier("web")].abs() < 1e-12);
    }
}
