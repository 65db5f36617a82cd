//! What of a model the calibration works on, by places instead of names.

use crate::calibrate::observation::{Observation, Row};
use crate::calibrate::transform::Family;
use crate::flow::{FlowError, ratio, usable_cores, visits};
use crate::model::{Balancer, Distribution, Endpoint, ServiceDemand, StackModel, Tier};
use serde::{Deserialize, Serialize};
use twinscale_protocol::{RequestClassName, TierName};

/// A stack by places.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Shape {
    pub(crate) classes: Vec<RequestClassName>,
    /// What passes outside of the tiers as far as the model says: links there and back, in seconds.
    pub(crate) delays_s: Vec<f64>,
    pub(crate) stations: Vec<Station>,
}

/// A tier.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Station {
    pub(crate) tier: TierName,
    /// Mean visits of one request of each class.
    pub(crate) visits: Vec<f64>,
    /// Stated reference core seconds of one visit of each class.
    pub(crate) stated_s: Vec<f64>,
    /// Stated squared coefficient of variation of service times, over all classes.
    pub(crate) stated_scv: f64,
    /// How service times are distributed as far as the model says.
    pub(crate) stated_family: Family,
    pub(crate) vms: f64,
    /// Reference cores of one VM, and how many requests they work on at once.
    pub(crate) cores_per_vm: f64,
    pub(crate) servers_per_vm: f64,
    /// Requests see one queue before all VMs, because the balancer knows their load.
    pub(crate) is_pooled: bool,
    /// More workers than cores: requests share them instead of waiting for them.
    pub(crate) is_shared: bool,
}

impl Shape {
    /// Reads a model.
    pub(crate) fn of(model: &StackModel) -> Result<Self, FlowError> {
        let found = visits(model)?;
        let classes: Vec<RequestClassName> = model.classes.keys().cloned().collect();
        let stations = model
            .tiers
            .iter()
            .map(|(name, tier)| {
                let visits = classes.iter().map(|class| found.of(name, class)).collect();
                Station::of(model, name, tier, visits, &classes)
            })
            .collect();
        let delays_s = classes
            .iter()
            .map(|class| delay_s(model, &found.calls, class))
            .collect();
        Ok(Self {
            classes,
            delays_s,
            stations,
        })
    }

    /// Reads an observation by places; `None` when its length is none, or a number in it is none.
    pub(crate) fn row(&self, observation: &Observation) -> Option<Row> {
        let Observation { duration_s, .. } = *observation;
        if !(duration_s.is_finite() && duration_s > 0.0) {
            return None;
        }
        let is_amount = |value: &f64| value.is_finite() && *value >= 0.0;
        let requests: Vec<f64> = self
            .classes
            .iter()
            .map(|class| observation.requests.get(class).copied().unwrap_or(0.0))
            .collect();
        if !requests.iter().all(is_amount) {
            return None;
        }
        let of_tier = |values: &std::collections::BTreeMap<TierName, f64>, station: &Station| {
            values.get(&station.tier).copied().filter(is_amount)
        };
        let stations = || self.stations.iter();
        Some(Row {
            rates: requests.iter().map(|count| count / duration_s).collect(),
            requests,
            utilisation: stations()
                .map(|station| of_tier(&observation.utilisation, station).map(|u| u.min(1.0)))
                .collect(),
            vms: stations()
                .map(|station| of_tier(&observation.vms, station).unwrap_or(station.vms))
                .collect(),
            responses: self
                .classes
                .iter()
                .map(|class| observation.responses.get(class).copied())
                .map(|times| times.filter(|times| times.mean_s.is_finite() && times.mean_s > 0.0))
                .collect(),
        })
    }
}

impl Station {
    fn of(
        model: &StackModel,
        name: &TierName,
        tier: &Tier,
        visits: Vec<f64>,
        classes: &[RequestClassName],
    ) -> Self {
        let (mut vms, mut cores, mut slots, mut vcpus) = (0.0, 0.0, 0.0, 0.0);
        for group in &tier.vms {
            let Some(vm_type) = model.vm_types.get(&group.vm_type) else {
                continue;
            };
            let count = f64::from(group.count);
            let workers = tier.workers_per_vm.map_or(vm_type.vcpu.ceil(), f64::from);
            vms += count;
            cores += count * usable_cores(tier, vm_type);
            slots += count * workers;
            vcpus += count * vm_type.vcpu;
        }
        let servers_per_vm = (vcpus.min(slots) / vms.max(1.0)).ceil().max(1.0);
        let demands: Vec<Option<&ServiceDemand>> = classes
            .iter()
            .map(|class| tier.demands.get(class))
            .collect();
        let scvs: Vec<f64> = demands
            .iter()
            .flatten()
            .map(|demand| scv_of(demand))
            .collect();
        Self {
            tier: name.clone(),
            visits,
            stated_s: demands
                .iter()
                .map(|demand| demand.map_or(0.0, |demand| mean_of(tier, demand)))
                .collect(),
            stated_scv: ratio(scvs.iter().sum(), scvs.len() as f64),
            stated_family: family_of(&demands),
            vms,
            cores_per_vm: ratio(cores, vms),
            servers_per_vm,
            is_pooled: !matches!(tier.balancer, Balancer::Random | Balancer::RoundRobin),
            is_shared: slots > vcpus.ceil(),
        }
    }

    /// Reference cores of some VMs.
    pub(crate) fn cores(&self, vms: f64) -> f64 {
        vms * self.cores_per_vm
    }

    /// Speed of one server relative to the reference core.
    pub(crate) fn speed(&self) -> f64 {
        self.cores_per_vm / self.servers_per_vm
    }

    /// Servers that one queue stands before.
    pub(crate) fn servers(&self, vms: f64) -> f64 {
        if self.is_pooled {
            (vms * self.servers_per_vm).max(1.0)
        } else {
            self.servers_per_vm
        }
    }
}

/// Mean demand of reads and writes together.
fn mean_of(tier: &Tier, demand: &ServiceDemand) -> f64 {
    let writes = crate::flow::write_share(tier, demand);
    let write_mean_s = demand.write_mean_s.unwrap_or(demand.mean_s);
    (1.0 - writes) * demand.mean_s + writes * write_mean_s
}

fn scv_of(demand: &ServiceDemand) -> f64 {
    demand.scv.unwrap_or(match demand.distribution {
        Distribution::Deterministic => 0.0,
        _ => 1.0,
    })
}

fn family_of(demands: &[Option<&ServiceDemand>]) -> Family {
    let mut demands = demands.iter().flatten();
    if demands.any(|demand| demand.distribution == Distribution::Lognormal) {
        Family::Lognormal
    } else {
        Family::Gamma
    }
}

fn delay_s(model: &StackModel, calls: &[crate::flow::CallFlow], class: &RequestClassName) -> f64 {
    let latency = |from: &str, to: &TierName| {
        let link = model.links.values().find(|link| {
            let ends = [link.from.as_str(), link.to.as_str()];
            ends == [from, to.as_str()] || ends == [to.as_str(), from]
        });
        link.map_or(0.0, |link| 2.0 * link.latency_s)
    };
    let entry = model.classes.get(class).map(|class| &class.entry);
    let entry = entry.map_or(0.0, |entry| latency(Endpoint::CLIENTS, entry));
    let between = model.calls.iter().zip(calls).map(|(call, flow)| {
        let made = flow.per_request.get(class).copied().unwrap_or(0.0);
        made * latency(call.from.as_str(), &call.to)
    });
    between.fold(entry, |sum, part| sum + part)
}
