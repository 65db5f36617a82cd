//! Response of one visit to a tier.

use super::moments::Moments;
use crate::analytic::approximate::{choices_response_mean, many_general_wait_mean};
use crate::analytic::many::ManyServers;
use crate::flow::{Flow, VmGroup, write_share};
use crate::model::{Balancer, ServiceDemand, StackModel, Tier, Volume};
use std::collections::BTreeMap;
use twinscale_protocol::{RequestClassName, TierName};

/// A queue that has no steady state.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct StationError {
    pub(super) utilisation: f64,
}

/// One class's work at a tier, in reference core seconds.
#[derive(Clone, Copy, Debug, Default)]
struct Work {
    rate_per_s: f64,
    mean_s: f64,
    variance: f64,
    writes: f64,
}

/// Response of one visit of each class that comes to the tier.
pub(super) fn tier_moments(
    model: &StackModel,
    flow: &Flow,
    name: &TierName,
) -> Result<BTreeMap<RequestClassName, Moments>, StationError> {
    let tier = &model.tiers[name];
    let Some(stated) = flow.tiers.get(name) else {
        return Ok(BTreeMap::new());
    };
    let works: BTreeMap<&RequestClassName, Work> = stated
        .arrivals_per_s
        .iter()
        .map(|(class, rate)| (class, work(tier, tier.demands.get(class), *rate)))
        .collect();
    let all = mixed(works.values());
    let storage = storage(model, name, tier, &works);
    let mut found: BTreeMap<RequestClassName, Moments> = BTreeMap::new();
    for (class, own) in &works {
        let mut mixture = Mixture::default();
        for group in stated
            .groups
            .iter()
            .filter(|group| group.arrivals_per_s > 0.0)
        {
            let share = group.arrivals_per_s * f64::from(group.count);
            mixture.add(
                share,
                response(model, tier, &stated.groups, (group, &all, own))?,
            );
        }
        let response = mixture.moments().plus(storage.with_share(own.writes));
        found.insert((*class).clone(), response);
    }
    Ok(found)
}

fn work(tier: &Tier, demand: Option<&ServiceDemand>, rate_per_s: f64) -> Work {
    let Some(demand) = demand else {
        return Work {
            rate_per_s,
            ..Work::default()
        };
    };
    let writes = write_share(tier, demand);
    let write_s = demand.write_mean_s.unwrap_or(demand.mean_s);
    let mean = (1.0 - writes) * demand.mean_s + writes * write_s;
    let square = (1.0 - writes) * demand.mean_s.powi(2) + writes * write_s.powi(2);
    Work {
        rate_per_s,
        mean_s: mean,
        variance: (1.0 + demand.unit_law().scv()) * square - mean * mean,
        writes,
    }
}

/// The work of any request, whatever its class.
fn mixed<'a>(works: impl Iterator<Item = &'a Work>) -> Work {
    let (mut rate, mut mean, mut square) = (0.0, 0.0, 0.0);
    for work in works {
        rate += work.rate_per_s;
        mean += work.rate_per_s * work.mean_s;
        square += work.rate_per_s * (work.variance + work.mean_s * work.mean_s);
    }
    let mean_s = if rate > 0.0 { mean / rate } else { 0.0 };
    let square = if rate > 0.0 { square / rate } else { 0.0 };
    Work {
        rate_per_s: rate,
        mean_s,
        variance: (square - mean_s * mean_s).max(0.0),
        writes: 0.0,
    }
}

/// Times that happen with some weights.
#[derive(Clone, Copy, Debug, Default)]
struct Mixture {
    weight: f64,
    sum: f64,
    squares: f64,
}

impl Mixture {
    fn add(&mut self, weight: f64, time: Moments) {
        self.weight += weight;
        self.sum += weight * time.mean;
        self.squares += weight * (time.variance + time.mean * time.mean);
    }

    fn moments(&self) -> Moments {
        if self.weight <= 0.0 {
            return Moments::default();
        }
        let mean = self.sum / self.weight;
        Moments {
            mean,
            variance: (self.squares / self.weight - mean * mean).max(0.0),
        }
    }
}

/// Response of a visit of one class at a VM of a group, without storage.
fn response(
    model: &StackModel,
    tier: &Tier,
    groups: &[VmGroup],
    (group, all, own): (&VmGroup, &Work, &Work),
) -> Result<Moments, StationError> {
    let Some(vm_type) = model.vm_types.get(&group.vm_type) else {
        return Ok(Moments::default());
    };
    if all.mean_s <= 0.0 {
        return Ok(Moments::default());
    }
    let workers = tier.workers_per_vm.map_or(f64::INFINITY, f64::from);
    let cores = vm_type.vcpu.min(workers);
    // A fraction of a core is a slower one.
    let servers = servers(cores);
    let speed = vm_type.speed * cores / f64::from(servers);
    let overloaded = StationError {
        utilisation: group.utilisation,
    };
    // The work that makes a group as busy as the flow says, at the rate that comes to one of its VMs.
    let mean_s = group.utilisation * f64::from(servers) / group.arrivals_per_s;
    let scv = all.variance / (all.mean_s * all.mean_s);
    let shares = tier.workers_per_vm.is_some_and(|workers| workers > servers);
    let count: u32 = groups.iter().map(|group| group.count).sum();
    let queue = Queue {
        servers,
        rate_per_s: group.arrivals_per_s,
        mean_s,
        scv: if shares { 1.0 } else { scv },
        vms: count,
    };
    let wait = queue.wait(tier.balancer).ok_or(overloaded)?;
    let service = Moments {
        mean: own.mean_s / speed,
        variance: own.variance / (speed * speed),
    };
    if shares {
        // Who shares is slowed in proportion to its own work.
        let slowdown = (mean_s + wait.mean) / mean_s;
        return Ok(Moments {
            mean: slowdown * service.mean,
            variance: slowdown * slowdown * service.variance
                + wait.variance * (service.mean / mean_s).min(1.0),
        });
    }
    Ok(wait.plus(service))
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "the model allows at most 1,024 cores"
)]
fn servers(cores: f64) -> u32 {
    cores.ceil().clamp(1.0, 1e6) as u32
}

/// A queue before the servers of a VM.
#[derive(Clone, Copy, Debug)]
struct Queue {
    servers: u32,
    rate_per_s: f64,
    mean_s: f64,
    scv: f64,
    /// VMs among which the balancer chooses.
    vms: u32,
}

impl Queue {
    /// Time until a worker begins; `None` when the line grows for ever.
    fn wait(&self, balancer: Balancer) -> Option<Moments> {
        let alone = self.wait_of(self.servers, self.rate_per_s)?;
        if self.vms <= 1 {
            return Some(alone);
        }
        match balancer {
            Balancer::Random => Some(alone),
            Balancer::RoundRobin => {
                // Every n-th arrival: 1/n of the variability of Poisson's.
                let gaps = 1.0 / f64::from(self.vms);
                Some(alone.shortened((gaps + self.scv) / (1.0 + self.scv)))
            }
            Balancer::TwoChoices => {
                let load = self.rate_per_s * self.mean_s / f64::from(self.servers);
                let chosen = choices_response_mean(2, load).ok()? - 1.0;
                let random = load / (1.0 - load);
                Some(alone.shortened(chosen / random))
            }
            Balancer::LeastConnections | Balancer::JoinShortestQueue => {
                // All lines together are as one, but for a request that waits at one VM while another is idle.
                let servers = self.servers.saturating_mul(self.vms);
                self.wait_of(servers, self.rate_per_s * f64::from(self.vms))
            }
        }
    }

    fn wait_of(&self, servers: u32, rate_per_s: f64) -> Option<Moments> {
        let queue = ManyServers::new(servers, rate_per_s, 1.0 / self.mean_s).ok()?;
        let mean = many_general_wait_mean(servers, rate_per_s, self.mean_s, self.scv).ok()?;
        // A wait that happens is close to exponential.
        let probability = queue.wait_probability();
        if probability <= 0.0 {
            return Some(Moments::constant(mean));
        }
        let when_any = mean / probability;
        Some(Moments {
            mean,
            variance: probability * (2.0 - probability) * when_any * when_any,
        })
    }
}

impl Moments {
    fn shortened(self, by: f64) -> Self {
        Self {
            mean: self.mean * by,
            variance: self.variance * by * by,
        }
    }
}

/// Time for the storage operations of a read and of a write.
#[derive(Clone, Copy, Debug, Default)]
struct StorageTimes {
    read: Moments,
    write: Moments,
}

impl StorageTimes {
    fn with_share(&self, writes: f64) -> Moments {
        let mut mixture = Mixture::default();
        mixture.add(1.0 - writes, self.read);
        mixture.add(writes, self.write);
        mixture.moments()
    }
}

/// Operations in turn at the volumes of a VM, as M/G/1 at the rate of the busiest.
fn storage(
    model: &StackModel,
    name: &TierName,
    tier: &Tier,
    works: &BTreeMap<&RequestClassName, Work>,
) -> StorageTimes {
    let Some(database) = &tier.database else {
        return StorageTimes::default();
    };
    let volumes: Vec<&Volume> = model
        .volumes
        .values()
        .filter(|volume| volume.tier == *name)
        .collect();
    let sum = |rate: fn(&Volume) -> Option<f64>| -> Option<f64> {
        let rates = volumes.iter().map(|volume| rate(volume));
        rates.sum::<Option<f64>>().filter(|sum| *sum > 0.0)
    };
    let per_operation = |rate: Option<f64>, work: f64| rate.map_or(0.0, |rate| work / rate);
    let seconds = |operations: f64| {
        let bytes = operations * database.io_bytes;
        let counted = per_operation(sum(|volume| volume.iops_baseline), operations);
        counted.max(per_operation(
            sum(|volume| volume.throughput_mb_per_s),
            bytes / 1e6,
        ))
    };
    let (read_s, write_s) = (
        seconds(database.ios_per_read),
        seconds(database.ios_per_write),
    );
    let vms: f64 = tier.vms.iter().map(|vms| f64::from(vms.count)).sum();
    let replicas = f64::from(database.read_replicas);
    let (reads, writes) = works.values().fold((0.0, 0.0), |(reads, writes), work| {
        let written = work.rate_per_s * work.writes;
        (reads + work.rate_per_s - written, writes + written)
    });
    // A primary: its share of reads and of writes.
    let (reads, writes) = (reads / vms.max(1.0), writes / (vms - replicas).max(1.0));
    let load = reads * read_s + writes * write_s;
    if load <= 0.0 || load >= 1.0 {
        return StorageTimes {
            read: Moments::constant(read_s),
            write: Moments::constant(write_s),
        };
    }
    let second = reads * read_s * read_s + writes * write_s * write_s;
    let mean = 0.5 * second / (1.0 - load);
    let when_any = mean / load;
    let wait = Moments {
        mean,
        variance: load * (2.0 - load) * when_any * when_any,
    };
    StorageTimes {
        read: wait.plus(Moments::constant(read_s)),
        write: wait.plus(Moments::constant(write_s)),
    }
}
