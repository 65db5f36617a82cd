//! From a stack model to containers: which, where, and with what limits. Pure.
//!
//! One container stands for one VM. Service and queue tiers run this crate's own server; a cache is a Redis in
//! memory; a database is a Redis that syncs every write to its volume, which costs less than a relational database
//! and keeps what the model knows of one: connections, primaries and replicas, reads and writes.
//!
//! A VM with whole vCPUs has cores of its own and no quota. The fraction that is left of another shares a core and
//! is held to its part by a quota, which a container may use up at full speed at the beginning of each period: so
//! the period is short. The generator of the load has a quarter of the last core.

mod comparable;
mod cores;
mod machine;
mod program;

pub use self::comparable::{Comparable, comparable};
pub use self::cores::{Cores, GENERATOR_CORES};
pub use self::machine::machine;
pub use self::program::serve_config;

use crate::config::Objects;
use crate::serve::WORKERS_MAX;
use std::collections::BTreeMap;
use twinscale_environment::flow::{FlowError, call_order};
use twinscale_environment::model::{StackModel, Tier, TierKind};
use twinscale_protocol::TierName;

/// Most containers of a replica: one machine starts, loads and watches so many in a minute.
pub const CONTAINERS_MAX: usize = 32;
/// Period of a CPU quota, in microseconds. The engine's own 100 ms lets a container stand still for tens of
/// milliseconds; below 5 ms the kernel's tick of 4 ms charges too late. docs/replica.md has what was measured.
pub const PERIOD_US: u32 = 5_000;
/// Largest message, in bytes: one beyond it would be a test of the network and not of the stack.
pub const MESSAGE_BYTES_MAX: f64 = 1024.0 * 1024.0;
/// Most objects that are loaded for one call.
pub const OBJECTS_MAX: u64 = 20_000;
/// What the objects of one Redis take at most, in bytes.
const LOADED_BYTES_MAX: f64 = 256.0 * 1024.0 * 1024.0;
/// What Redis needs beside each object, in bytes.
const OBJECT_OVERHEAD_BYTES: f64 = 128.0;
const GIB_BYTES: f64 = 1024.0 * 1024.0 * 1024.0;
const MIB_PER_GIB: f64 = 1024.0;
/// Least memory of a container, in MiB: a server and its threads.
const MEMORY_MIB_MIN: f64 = 64.0;

/// The machine that the containers run on.
#[derive(Clone, Debug, PartialEq)]
pub struct Machine {
    /// Numbers of its cores.
    pub cores: Vec<u32>,
    /// Its memory, in MiB.
    pub memory_mib: u64,
}

/// Containers of a stack.
#[derive(Clone, Debug, PartialEq)]
pub struct Plan {
    /// In the order in which they are started: whoever is called stands before its callers.
    pub containers: Vec<ContainerSpec>,
    /// The core on which the load is generated.
    pub generator_core: u32,
    /// The model that the replica is compared with.
    pub comparable: Comparable,
}

impl Plan {
    /// The containers of a tier.
    pub fn of_tier<'a>(&'a self, tier: &TierName) -> impl Iterator<Item = &'a ContainerSpec> {
        let tier = tier.clone();
        self.containers.iter().filter(move |spec| spec.tier == tier)
    }
}

/// One container.
#[derive(Clone, Debug, PartialEq)]
pub struct ContainerSpec {
    /// Its tier.
    pub tier: TierName,
    /// Its number in the tier.
    pub number: u32,
    /// Cores that it can use, as utilisation counts them.
    pub cores: f64,
    /// Where and how much it may compute.
    pub cpu: CpuLimit,
    /// Memory limit, in MiB.
    pub memory_mib: u64,
    /// What it runs.
    pub program: Program,
}

impl ContainerSpec {
    /// Its name within a run.
    pub fn name(&self) -> String {
        format!("{}-{}", self.tier, self.number)
    }
}

/// Where and how much a container may compute.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CpuLimit {
    /// Cores on which it runs.
    pub cpuset: Vec<u32>,
    /// CPU time per period; all of its cores when absent.
    pub quota: Option<Quota>,
}

/// CPU time per period.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Quota {
    /// Length of a period, in microseconds.
    pub period_us: u32,
    /// CPU time in one, in microseconds.
    pub quota_us: u32,
}

/// What a container runs.
#[derive(Clone, Debug, PartialEq)]
pub enum Program {
    /// A tier's server.
    Serve {
        /// Speed of its VM type.
        speed: f64,
    },
    /// Redis.
    Redis(RedisSpec),
}

/// How a Redis runs.
#[derive(Clone, Debug, PartialEq)]
pub struct RedisSpec {
    /// Every write is synced to a volume before it is answered.
    pub is_durable: bool,
    /// Connections that it takes.
    pub connections_max: Option<u32>,
    /// It copies the first container of its tier.
    pub is_replica: bool,
    /// What is loaded into it.
    pub objects: Vec<Objects>,
}

/// Why a stack has no replica.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum PlanError {
    /// The calls lead nowhere or in circles.
    #[error(transparent)]
    Flow(#[from] FlowError),
    /// A VM type is not described.
    #[error("tier {tier} names the VM type {vm_type}, which the model does not describe")]
    UnknownVmType {
        /// The tier.
        tier: TierName,
        /// The type.
        vm_type: String,
    },
    /// There are too many VMs.
    #[error(
        "the stack has {count} VMs and a replica at most {CONTAINERS_MAX} containers: scale counts and rates down alike"
    )]
    TooManyContainers {
        /// How many VMs the stack has.
        count: usize,
    },
    /// A tier has no VM.
    #[error("tier {0} has no VM: give it one")]
    NoVm(TierName),
    /// A server would have too many threads.
    #[error(
        "tier {tier} has {workers} workers per VM, and each is a thread: a replica has at most {WORKERS_MAX}; lower workers_per_vm"
    )]
    TooManyWorkers {
        /// The tier.
        tier: TierName,
        /// Its workers.
        workers: u32,
    },
    /// A message is too large.
    #[error(
        "{what} has {bytes} bytes, and a message of a replica at most {MESSAGE_BYTES_MAX}: lower it"
    )]
    MessageTooLarge {
        /// Which one.
        what: String,
        /// Its size.
        bytes: f64,
    },
    /// The machine is too small.
    #[error(
        "the VMs need {needed:.2} cores and the generator {GENERATOR_CORES}, and the machine has {there}: lower vcpu or counts, or give --cpus of a larger machine"
    )]
    TooFewCores {
        /// Cores of all VMs.
        needed: f64,
        /// Cores of the machine.
        there: usize,
    },
    /// The machine has too little memory.
    #[error(
        "the VMs have {needed_mib} MiB of memory and the machine {there_mib} MiB: lower memory_gib"
    )]
    TooLittleMemory {
        /// Memory of all VMs.
        needed_mib: u64,
        /// Memory of the machine.
        there_mib: u64,
    },
}

/// Plans the containers of a stack.
///
/// # Errors
/// [`PlanError`].
pub fn plan(model: &StackModel, machine: &Machine, period_us: u32) -> Result<Plan, PlanError> {
    check(model)?;
    let comparable = comparable(model)?;
    let mut containers = Vec::new();
    let mut order = call_order(model)?;
    order.reverse();
    for name in &order {
        containers.extend(of_tier(&comparable, name)?);
    }
    let needed_mib = containers.iter().map(|spec| spec.memory_mib).sum();
    if needed_mib > machine.memory_mib {
        return Err(PlanError::TooLittleMemory {
            needed_mib,
            there_mib: machine.memory_mib,
        });
    }
    let wanted: Vec<f64> = containers.iter().map(|spec| spec.cores).collect();
    let cores = Cores::new(&machine.cores, period_us);
    let limits = cores.pack(&wanted).ok_or(PlanError::TooFewCores {
        needed: wanted.iter().sum(),
        there: machine.cores.len(),
    })?;
    for (spec, cpu) in containers.iter_mut().zip(limits) {
        spec.cpu = cpu;
    }
    Ok(Plan {
        containers,
        generator_core: cores.generator(),
        comparable,
    })
}

fn check(model: &StackModel) -> Result<(), PlanError> {
    let of = |tier: &Tier| tier.vms.iter().map(|vms| vms.count as usize).sum::<usize>();
    let count = model.tiers.values().map(of).sum();
    if count > CONTAINERS_MAX {
        return Err(PlanError::TooManyContainers { count });
    }
    for (name, tier) in &model.tiers {
        if of(tier) == 0 {
            return Err(PlanError::NoVm(name.clone()));
        }
        if let Some(workers) = tier.workers_per_vm.filter(|workers| *workers > WORKERS_MAX)
            && !is_redis(tier)
        {
            return Err(PlanError::TooManyWorkers {
                tier: name.clone(),
                workers,
            });
        }
    }
    let calls = model.calls.iter().flat_map(|call| {
        let name = format!("the call {} -> {}", call.from, call.to);
        [
            (name.clone(), call.request_bytes),
            (name, call.response_bytes),
        ]
    });
    let classes = model.classes.iter().flat_map(|(name, class)| {
        let name = format!("class {name}");
        [
            (name.clone(), class.request_bytes),
            (name, class.response_bytes),
        ]
    });
    match calls
        .chain(classes)
        .find(|(_, bytes)| *bytes > MESSAGE_BYTES_MAX)
    {
        Some((what, bytes)) => Err(PlanError::MessageTooLarge { what, bytes }),
        None => Ok(()),
    }
}

/// Whether a tier is a Redis.
pub(crate) fn is_redis(tier: &Tier) -> bool {
    matches!(tier.kind, TierKind::Cache | TierKind::Database)
}

fn of_tier(comparable: &Comparable, name: &TierName) -> Result<Vec<ContainerSpec>, PlanError> {
    let model = &comparable.model;
    let tier = &model.tiers[name];
    let all: u32 = tier.vms.iter().map(|vms| vms.count).sum();
    let replicas = tier
        .database
        .as_ref()
        .map_or(0, |database| database.read_replicas);
    let primaries = all.saturating_sub(replicas);
    let mut found = Vec::new();
    for vms in &tier.vms {
        let facts = model
            .vm_types
            .get(&vms.vm_type)
            .ok_or_else(|| PlanError::UnknownVmType {
                tier: name.clone(),
                vm_type: vms.vm_type.as_str().to_owned(),
            })?;
        let workers = workers(tier, facts.vcpu);
        for _ in 0..vms.count {
            let number = u32::try_from(found.len()).unwrap_or(u32::MAX);
            let memory = (facts.memory_gib * MIB_PER_GIB).max(MEMORY_MIB_MIN);
            found.push(ContainerSpec {
                tier: name.clone(),
                number,
                cores: facts.vcpu.min(f64::from(workers)),
                cpu: CpuLimit {
                    cpuset: Vec::new(),
                    quota: None,
                },
                memory_mib: whole(memory),
                program: if is_redis(tier) {
                    Program::Redis(RedisSpec {
                        is_durable: tier.kind == TierKind::Database,
                        connections_max: tier.database.as_ref().map(|store| store.connections_max),
                        is_replica: number >= primaries,
                        objects: objects(model, name, facts.memory_gib),
                    })
                } else {
                    Program::Serve { speed: facts.speed }
                },
            });
        }
    }
    Ok(found)
}

/// Workers of a VM: as stated, or one for each begun vCPU.
pub(crate) fn workers(tier: &Tier, vcpu: f64) -> u32 {
    let begun = u32::try_from(whole(vcpu.ceil().max(1.0))).unwrap_or(u32::MAX);
    tier.workers_per_vm.unwrap_or(begun)
}

/// What is loaded into a Redis: objects for each call to it, in the size that the call gets, as many as the data
/// set has or as fit.
fn objects(model: &StackModel, tier: &TierName, memory_gib: f64) -> Vec<Objects> {
    let mut names: Vec<_> = model.tiers[tier]
        .cache
        .iter()
        .flat_map(|cache| cache.data_sets.clone())
        .collect();
    if names.is_empty() {
        let own = model.data_sets.iter().filter(|(_, set)| set.tier == *tier);
        names.extend(own.map(|(name, _)| name.clone()));
    }
    let sets = names.iter().filter_map(|name| model.data_sets.get(name));
    let stated: f64 = sets.map(|set| set.size_gib * GIB_BYTES).sum();
    let calls = places_of_calls(model, tier);
    let room = (memory_gib * GIB_BYTES / 2.0).min(LOADED_BYTES_MAX);
    let all = if stated > 0.0 { stated.min(room) } else { room };
    let share = all / calls.len().max(1) as f64;
    let of = |(place, bytes): (&usize, &f64)| Objects {
        prefix: prefix(*place),
        count: whole(share / (bytes + OBJECT_OVERHEAD_BYTES)).clamp(1, OBJECTS_MAX),
        bytes: usize::try_from(whole(bytes.max(1.0))).unwrap_or(usize::MAX),
    };
    calls.iter().map(of).collect()
}

/// Places and object sizes of the calls that go to a tier.
fn places_of_calls(model: &StackModel, tier: &TierName) -> BTreeMap<usize, f64> {
    let calls = model.calls.iter().enumerate();
    let to = calls.filter(|(_, call)| call.to == *tier);
    to.map(|(place, call)| (place, call.response_bytes))
        .collect()
}

fn prefix(place: usize) -> String {
    format!("call-{place}:")
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "the model's ranges are far below, and a float saturates"
)]
fn whole(number: f64) -> u64 {
    number.max(0.0) as u64
}

#[cfg(test)]
mod tests;
