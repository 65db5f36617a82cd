//! A stack model with places in lists instead of names, as the engine reads it.

use super::SimulationError;
use super::draws::{unit_law, with_scv};
use super::vm::Strength;
use crate::events::sample::Sampler;
use crate::model::{Balancer, CallOrder, Endpoint, Link, ServiceLevel, StackModel, TierKind};
use std::collections::BTreeMap;
use twinscale_protocol::{RequestClassName, TierName, ZoneName};

/// Bits of a megabit over bits of a byte.
const BYTES_PER_MEGABIT: f64 = 1e6 / 8.0;

/// A class of requests.
#[derive(Clone, Debug)]
pub(super) struct ClassLayout {
    pub(super) name: RequestClassName,
    pub(super) entry: usize,
    /// Law of the times between arrivals, mean 1.
    pub(super) gaps: Sampler,
    pub(super) request_bytes: f64,
    pub(super) response_bytes: f64,
    pub(super) promised: ServiceLevel,
}

/// What a request costs in a tier.
#[derive(Clone, Debug)]
pub(super) struct DemandLayout {
    pub(super) law: Sampler,
    pub(super) read_s: f64,
    pub(super) write_s: f64,
    pub(super) read_share: f64,
}

/// How a database stores.
#[derive(Clone, Copy, Debug)]
pub(super) struct StoreLayout {
    pub(super) connections_max: u32,
    pub(super) replicas: u32,
    pub(super) ios_per_read: f64,
    pub(super) ios_per_write: f64,
    pub(super) io_bytes: f64,
}

/// What the volumes of one VM do together.
#[derive(Clone, Copy, Debug)]
pub(super) struct VolumeLayout {
    pub(super) iops: Option<(f64, f64)>,
    pub(super) bytes_per_s: Option<f64>,
}

/// Calls that begin together: places of calls.
pub(super) type Stage = Vec<usize>;

/// A VM type as a tier uses it.
#[derive(Clone, Debug)]
pub(super) struct VmLayout {
    pub(super) name: String,
    pub(super) strength: Strength,
    pub(super) bytes_per_s: Option<(f64, f64)>,
    pub(super) count: u32,
}

/// A tier.
#[derive(Clone, Debug)]
pub(super) struct TierLayout {
    pub(super) name: TierName,
    pub(super) balancer: Balancer,
    pub(super) waiting_max: usize,
    pub(super) holds_worker: bool,
    pub(super) types: Vec<VmLayout>,
    /// Zones of its VMs, each in turn.
    pub(super) zones: Vec<usize>,
    /// By class; `None` = it costs nothing here.
    pub(super) demands: Vec<Option<DemandLayout>>,
    /// By class.
    pub(super) stages: Vec<Vec<Stage>>,
    /// Places of all calls that start here.
    pub(super) calls: Vec<usize>,
    pub(super) start_up_s: f64,
    pub(super) warm_up_s: f64,
    pub(super) slowdown: f64,
    /// Share of look-ups that a cache answers.
    pub(super) hit_ratio: Option<f64>,
    pub(super) store: Option<StoreLayout>,
    pub(super) volumes: Option<VolumeLayout>,
}

impl TierLayout {
    /// Zone of a VM, where the stack has zones.
    pub(super) fn zone(&self, vm: u32) -> Option<usize> {
        let place = (vm as usize).checked_rem(self.zones.len())?;
        self.zones.get(place).copied()
    }
}

/// A call from one tier to another.
#[derive(Clone, Debug)]
pub(super) struct CallLayout {
    pub(super) from: usize,
    pub(super) to: usize,
    /// Its place among the calls of `from`.
    pub(super) slot: usize,
    pub(super) per_request: f64,
    pub(super) on_miss_of: Option<usize>,
    pub(super) parallel: bool,
    pub(super) request_bytes: f64,
    pub(super) response_bytes: f64,
    pub(super) pool_size: Option<u32>,
    pub(super) timeout_s: Option<f64>,
    pub(super) retries_max: u32,
    pub(super) backoff_s: f64,
}

/// A link, with both of its directions.
#[derive(Clone, Debug)]
pub(super) struct LinkLayout {
    pub(super) name: String,
    pub(super) from: Place,
    pub(super) to: Place,
    pub(super) bytes_per_s: Option<f64>,
    pub(super) latency_s: f64,
}

/// Where a link ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Place {
    Clients,
    Tier(usize),
    Zone(usize),
}

/// The stack.
#[derive(Clone, Debug)]
pub(super) struct Layout {
    pub(super) classes: Vec<ClassLayout>,
    pub(super) tiers: Vec<TierLayout>,
    pub(super) calls: Vec<CallLayout>,
    pub(super) links: Vec<LinkLayout>,
}

/// Finds places by name.
struct Names<'a> {
    tiers: BTreeMap<&'a TierName, usize>,
    classes: BTreeMap<&'a RequestClassName, usize>,
    zones: BTreeMap<&'a ZoneName, usize>,
}

impl Names<'_> {
    fn tier(&self, name: &TierName) -> Result<usize, SimulationError> {
        let found = self.tiers.get(name).copied();
        found.ok_or_else(|| SimulationError::unknown("tier", name.as_str()))
    }

    fn class(&self, name: &RequestClassName) -> Result<usize, SimulationError> {
        let found = self.classes.get(name).copied();
        found.ok_or_else(|| SimulationError::unknown("class", name.as_str()))
    }

    fn zone(&self, name: &ZoneName) -> Result<usize, SimulationError> {
        let found = self.zones.get(name).copied();
        found.ok_or_else(|| SimulationError::unknown("zone", name.as_str()))
    }

    fn place(&self, endpoint: &Endpoint) -> Result<Place, SimulationError> {
        let name = endpoint.as_str();
        if name == Endpoint::CLIENTS {
            return Ok(Place::Clients);
        }
        let tier = self.tiers.iter().find(|(tier, _)| tier.as_str() == name);
        let zone = self.zones.iter().find(|(zone, _)| zone.as_str() == name);
        match (tier, zone) {
            (Some((_, tier)), _) => Ok(Place::Tier(*tier)),
            (None, Some((_, zone))) => Ok(Place::Zone(*zone)),
            (None, None) => Err(SimulationError::unknown("tier or zone", name)),
        }
    }
}

impl Layout {
    /// Lays a model out; `hits` are the shares of look-ups that caches answer.
    pub(super) fn new(
        model: &StackModel,
        hits: &BTreeMap<TierName, f64>,
    ) -> Result<Self, SimulationError> {
        let names = Names {
            tiers: places(model.tiers.keys()),
            classes: places(model.classes.keys()),
            zones: places(model.zones.iter()),
        };
        let calls = calls(model, &names)?;
        let mut tiers = Vec::with_capacity(model.tiers.len());
        for name in model.tiers.keys() {
            tiers.push(tier(model, name, &names, &calls, hits)?);
        }
        let mut classes = Vec::with_capacity(model.classes.len());
        for (name, class) in &model.classes {
            classes.push(ClassLayout {
                name: name.clone(),
                entry: names.tier(&class.entry)?,
                gaps: with_scv(class.arrival_scv),
                request_bytes: class.request_bytes,
                response_bytes: class.response_bytes,
                promised: class.sla.clone(),
            });
        }
        let links = model.links.iter();
        let links = links.map(|(name, link)| self::link(name.as_str(), link, &names));
        Ok(Self {
            classes,
            tiers,
            calls,
            links: links.collect::<Result<_, _>>()?,
        })
    }
}

fn places<'a, N: Ord>(names: impl Iterator<Item = &'a N>) -> BTreeMap<&'a N, usize> {
    names
        .enumerate()
        .map(|(place, name)| (name, place))
        .collect()
}

fn calls(model: &StackModel, names: &Names<'_>) -> Result<Vec<CallLayout>, SimulationError> {
    let mut slots = vec![0; model.tiers.len()];
    let mut found = Vec::with_capacity(model.calls.len());
    for call in &model.calls {
        let from = names.tier(&call.from)?;
        let slot = slots[from];
        slots[from] += 1;
        found.push(CallLayout {
            from,
            to: names.tier(&call.to)?,
            slot,
            per_request: call.per_request,
            on_miss_of: match &call.on_miss_of {
                Some(cache) => Some(names.tier(cache)?),
                None => None,
            },
            parallel: call.order == CallOrder::Parallel,
            request_bytes: call.request_bytes,
            response_bytes: call.response_bytes,
            pool_size: call.pool_size,
            timeout_s: call.timeout_s,
            retries_max: call.retries_max,
            backoff_s: call.retry_backoff_s,
        });
    }
    Ok(found)
}

/// The calls of a tier for a class, in the order in which a request makes them.
fn stages(
    model: &StackModel,
    tier: usize,
    class: usize,
    names: &Names<'_>,
    calls: &[CallLayout],
) -> Result<Vec<Stage>, SimulationError> {
    let mut found: Vec<Stage> = Vec::new();
    let mut joins = false;
    for (place, (call, stated)) in calls.iter().zip(&model.calls).enumerate() {
        if call.from != tier {
            continue;
        }
        let mut made = stated.classes.is_empty();
        for name in &stated.classes {
            made |= names.class(name)? == class;
        }
        if !made {
            continue;
        }
        match found.last_mut() {
            Some(last) if call.parallel && joins => last.push(place),
            _ => found.push(vec![place]),
        }
        joins = call.parallel;
    }
    Ok(found)
}

fn tier(
    model: &StackModel,
    name: &TierName,
    names: &Names<'_>,
    calls: &[CallLayout],
    hits: &BTreeMap<TierName, f64>,
) -> Result<TierLayout, SimulationError> {
    let place = names.tier(name)?;
    let tier = &model.tiers[name];
    let stated = if tier.zones.is_empty() {
        &model.zones
    } else {
        &tier.zones
    };
    let zones = stated.iter().map(|zone| names.zone(zone));
    let mut demands = vec![None; model.classes.len()];
    for (class, demand) in &tier.demands {
        demands[names.class(class)?] = Some(DemandLayout {
            law: unit_law(demand),
            read_s: demand.mean_s,
            write_s: demand.write_mean_s.unwrap_or(demand.mean_s),
            read_share: demand.read_share.unwrap_or(1.0),
        });
    }
    let of_class = |class| stages(model, place, class, names, calls);
    Ok(TierLayout {
        name: name.clone(),
        balancer: tier.balancer,
        waiting_max: tier.waiting_max.map_or(usize::MAX, |most| most as usize),
        holds_worker: tier.holds_worker,
        types: types(model, tier)?,
        zones: zones.collect::<Result<_, _>>()?,
        demands,
        stages: (0..model.classes.len())
            .map(of_class)
            .collect::<Result<_, _>>()?,
        calls: (0..calls.len())
            .filter(|call| calls[*call].from == place)
            .collect(),
        start_up_s: tier.start_up_s,
        warm_up_s: tier.warm_up_s,
        slowdown: tier.warm_up_slowdown,
        hit_ratio: match tier.kind {
            TierKind::Cache => Some(hits.get(name).copied().unwrap_or(0.0)),
            TierKind::Service | TierKind::Database | TierKind::Queue => None,
        },
        store: tier.database.as_ref().map(|store| StoreLayout {
            connections_max: store.connections_max,
            replicas: store.read_replicas,
            ios_per_read: store.ios_per_read,
            ios_per_write: store.ios_per_write,
            io_bytes: store.io_bytes,
        }),
        volumes: volumes(model, name),
    })
}

fn types(model: &StackModel, tier: &crate::model::Tier) -> Result<Vec<VmLayout>, SimulationError> {
    let of = |vms: &crate::model::TierVms| {
        let facts = model
            .vm_types
            .get(&vms.vm_type)
            .ok_or_else(|| SimulationError::unknown("VM type", vms.vm_type.as_str()))?;
        let baseline = facts.network_baseline_mbps;
        let burst = facts.network_burst_mbps.or(baseline);
        let workers = tier.workers_per_vm.unwrap_or_else(|| begun(facts.vcpu));
        Ok(VmLayout {
            name: vms.vm_type.as_str().to_owned(),
            strength: Strength {
                cores: facts.vcpu.min(f64::from(workers)),
                speed: facts.speed,
                workers,
            },
            bytes_per_s: baseline
                .zip(burst)
                .map(|(base, burst)| (base * BYTES_PER_MEGABIT, burst * BYTES_PER_MEGABIT)),
            count: vms.count,
        })
    };
    tier.vms.iter().map(of).collect()
}

/// Begun vCPUs, at least one.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "clamped first"
)]
fn begun(vcpu: f64) -> u32 {
    vcpu.ceil().clamp(1.0, 1e6) as u32
}

/// Several volumes of a tier take turns, so that their rates add up; one without a limit lifts it.
fn volumes(model: &StackModel, tier: &TierName) -> Option<VolumeLayout> {
    let mut of_tier = model.volumes.values().filter(|volume| volume.tier == *tier);
    let first = of_tier.next()?;
    let mut iops = first
        .iops_baseline
        .map(|base| (base, first.iops_burst.unwrap_or(base)));
    let mut throughput = first.throughput_mb_per_s;
    for volume in of_tier {
        iops = iops
            .zip(volume.iops_baseline)
            .map(|((base, burst), more)| (base + more, burst + volume.iops_burst.unwrap_or(more)));
        throughput = throughput
            .zip(volume.throughput_mb_per_s)
            .map(|(sum, more)| sum + more);
    }
    Some(VolumeLayout {
        iops,
        bytes_per_s: throughput.map(|megabytes| megabytes * 1e6),
    })
}

fn link(name: &str, link: &Link, names: &Names<'_>) -> Result<LinkLayout, SimulationError> {
    Ok(LinkLayout {
        name: name.to_owned(),
        from: names.place(&link.from)?,
        to: names.place(&link.to)?,
        bytes_per_s: link.bandwidth_mbps.map(|mbps| mbps * BYTES_PER_MEGABIT),
        latency_s: link.latency_s,
    })
}
