//! What its load takes of a tier's cores.

use crate::model::{Balancer, ServiceDemand, StackModel, Tier, VmType};
use serde::Serialize;
use std::collections::BTreeMap;
use std::fmt;
use twinscale_protocol::{RequestClassName, TierName, VmTypeId};

/// The load of one tier.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct TierFlow {
    /// Requests per second of each class that comes here, every visit counted.
    pub arrivals_per_s: BTreeMap<RequestClassName, f64>,
    /// Reference cores that the load keeps busy.
    pub offered_cores: f64,
    /// Reference cores that there are.
    pub cores: f64,
    /// Offered by what there is; above 1 it cannot be served. Infinite without servers.
    pub utilisation: f64,
    /// Utilisation of the most loaded VMs, which balancing may leave above the mean.
    pub utilisation_max: f64,
    /// Its VMs, by type and role.
    pub groups: Vec<VmGroup>,
    /// Least number of VMs, mixed as they are, that the load keeps below full; in a database the primaries
    /// stay and replicas are added. `None` when no number does, or there are no VMs to go by.
    pub vms_needed: Option<u64>,
    /// What its VMs get together, in Mbps.
    pub network_in_mbps: f64,
    /// What its VMs send together, in Mbps.
    pub network_out_mbps: f64,
    /// The larger of both by the VMs' baselines; `None` when a type states none.
    pub network_utilisation: Option<f64>,
}

/// VMs of a tier that are alike.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct VmGroup {
    /// Their type.
    pub vm_type: VmTypeId,
    /// What they do.
    pub role: Role,
    /// How many there are.
    pub count: u32,
    /// Reference cores of one of them.
    pub cores: f64,
    /// Requests per second that one of them gets.
    pub arrivals_per_s: f64,
    /// Share of its cores that those keep busy.
    pub utilisation: f64,
}

/// What a VM does in its tier.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Role {
    /// It serves any request.
    Any,
    /// It takes writes, and its share of the reads.
    Primary,
    /// It takes its share of the reads.
    Replica,
}

/// A tier whose load is more than it can serve.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Overload {
    /// The tier.
    pub tier: TierName,
    /// Offered load by what there is.
    pub utilisation: f64,
    /// Requests per second that come to it.
    pub rate_per_s: f64,
    /// Least number of VMs that keeps up; `None` when no number does.
    pub vms_needed: Option<u64>,
}

impl fmt::Display for Overload {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            tier,
            utilisation,
            rate_per_s,
            vms_needed,
        } = self;
        let rate = crate::draw::number(*rate_per_s);
        write!(
            f,
            "tier {tier}: utilisation {utilisation:.2} at {rate} requests/s: needs "
        )?;
        match vms_needed {
            Some(1) => f.write_str("at least 1 VM"),
            Some(count) => write!(f, "at least {count} VMs"),
            None => f.write_str("more or faster primaries, since replicas take no writes"),
        }
    }
}

/// Load of a database or another tier, split by what may go where.
#[derive(Clone, Copy, Debug, Default)]
struct Offered {
    /// Requests per second that any VM takes, and the cores that they keep busy.
    reads_per_s: f64,
    read_cores: f64,
    /// Requests per second that only a primary takes, and the cores that they keep busy.
    writes_per_s: f64,
    write_cores: f64,
}

pub(crate) fn tier_flow(
    model: &StackModel,
    tier: &Tier,
    arrivals_per_s: BTreeMap<RequestClassName, f64>,
) -> TierFlow {
    let offered = offered(tier, &arrivals_per_s);
    let mut groups = groups_of(model, tier);
    let cores = total(groups.iter().map(|g| f64::from(g.count) * g.cores));
    let offered_cores = offered.read_cores + offered.write_cores;
    spread(&mut groups, &offered, tier.balancer);
    let utilisation = ratio(offered_cores, cores);
    let hottest = groups.iter().map(|group| group.utilisation);
    let utilisation_max = hottest.fold(utilisation, f64::max);
    TierFlow {
        offered_cores,
        cores,
        utilisation,
        utilisation_max,
        vms_needed: vms_needed(&groups, &offered, cores, utilisation_max),
        groups,
        arrivals_per_s,
        network_in_mbps: 0.0,
        network_out_mbps: 0.0,
        network_utilisation: None,
    }
}

/// Reference cores that requests can use at one VM: its workers', but no more than its own.
pub(crate) fn usable_cores(tier: &Tier, vm_type: &VmType) -> f64 {
    let workers = tier.workers_per_vm.map_or(f64::INFINITY, f64::from);
    vm_type.vcpu.min(workers) * vm_type.speed
}

/// Share of a class's requests that write, and so only a primary takes.
pub(crate) fn write_share(tier: &Tier, demand: &ServiceDemand) -> f64 {
    write_share_of(tier.database.is_some(), demand)
}

/// The same where the tier itself is at work.
pub(crate) fn write_share_of(is_database: bool, demand: &ServiceDemand) -> f64 {
    if is_database {
        1.0 - demand.read_share.unwrap_or(1.0)
    } else {
        0.0
    }
}

fn offered(tier: &Tier, arrivals_per_s: &BTreeMap<RequestClassName, f64>) -> Offered {
    let mut offered = Offered::default();
    for (class, rate) in arrivals_per_s {
        let Some(demand) = tier.demands.get(class) else {
            offered.reads_per_s += rate;
            continue;
        };
        let writes = rate * write_share(tier, demand);
        let reads = rate - writes;
        offered.reads_per_s += reads;
        offered.read_cores += reads * demand.mean_s;
        offered.writes_per_s += writes;
        offered.write_cores += writes * demand.write_mean_s.unwrap_or(demand.mean_s);
    }
    offered
}

fn groups_of(model: &StackModel, tier: &Tier) -> Vec<VmGroup> {
    let all: u64 = tier.vms.iter().map(|vms| u64::from(vms.count)).sum();
    let replicas = tier
        .database
        .as_ref()
        .map_or(0, |database| u64::from(database.read_replicas));
    let mut primaries = all.saturating_sub(replicas);
    let mut groups = Vec::new();
    for vms in &tier.vms {
        let Some(vm_type) = model.vm_types.get(&vms.vm_type) else {
            continue;
        };
        let first = u32::try_from(primaries.min(u64::from(vms.count))).unwrap_or(vms.count);
        primaries -= u64::from(first);
        let roles = match tier.database {
            Some(_) => [(Role::Primary, first), (Role::Replica, vms.count - first)],
            None => [(Role::Any, vms.count), (Role::Any, 0)],
        };
        for (role, count) in roles.into_iter().filter(|(_, count)| *count > 0) {
            groups.push(VmGroup {
                vm_type: vms.vm_type.clone(),
                role,
                count,
                cores: usable_cores(tier, vm_type),
                arrivals_per_s: 0.0,
                utilisation: 0.0,
            });
        }
    }
    groups
}

/// Spreads the load over the VMs: evenly where the balancer knows nothing of their load, else by their cores.
fn spread(groups: &mut [VmGroup], offered: &Offered, balancer: Balancer) {
    let by_count = matches!(balancer, Balancer::Random | Balancer::RoundRobin);
    let weight = |group: &VmGroup| if by_count { 1.0 } else { group.cores };
    let sum = |groups: &[VmGroup], writes: bool| -> f64 {
        groups
            .iter()
            .filter(|group| !writes || group.role != Role::Replica)
            .map(|group| f64::from(group.count) * weight(group))
            .sum()
    };
    let (readers, writers) = (sum(groups, false), sum(groups, true));
    for group in groups {
        let reads = ratio(weight(group), readers);
        let writes = match group.role {
            Role::Replica => 0.0,
            Role::Any | Role::Primary => ratio(weight(group), writers),
        };
        group.arrivals_per_s = offered.reads_per_s * reads + offered.writes_per_s * writes;
        let busy = offered.read_cores * reads + offered.write_cores * writes;
        group.utilisation = ratio(busy, group.cores);
    }
}

/// A number of VMs below which the most loaded is full: all kinds grow alike, but a database by its replicas.
fn vms_needed(groups: &[VmGroup], offered: &Offered, cores: f64, hottest: f64) -> Option<u64> {
    let count: f64 = groups.iter().map(|group| f64::from(group.count)).sum();
    let primaries: f64 = groups
        .iter()
        .filter(|group| group.role == Role::Primary)
        .map(|group| f64::from(group.count) * group.cores)
        .sum();
    if count == 0.0 {
        return None;
    }
    let needed = if primaries > 0.0 {
        let left_by_writes = 1.0 - offered.write_cores / primaries;
        if left_by_writes <= 0.0 {
            return None;
        }
        offered.read_cores / (cores / count * left_by_writes)
    } else {
        count * hottest
    };
    // At the very number the utilisation is 1: one more than the whole part is below it.
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "it is not negative, and a count beyond the range stays at its end"
    )]
    let whole = needed.floor() as u64;
    Some(whole.saturating_add(1))
}

/// Sums from 0: the sum of no floats would be -0.
pub(crate) fn total(values: impl Iterator<Item = f64>) -> f64 {
    values.fold(0.0, |sum, value| sum + value)
}

/// Divides what may have no divisor: nothing by nothing is nothing, something by nothing is without bound.
pub(crate) fn ratio(part: f64, whole: f64) -> f64 {
    if whole > 0.0 {
        part / whole
    } else if part > 0.0 {
        f64::INFINITY
    } else {
        0.0
    }
}
