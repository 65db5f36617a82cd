//! The VMs of a tier as they run, and how requests are spread over them.

use super::layout::{TierLayout, VmLayout};
use super::least::Least;
use super::pipe::Pipe;
use super::vm::{Phase, Vm};
use crate::events::streams::Generator;
use crate::model::Balancer;
use rand::Rng;

/// What becomes of a request that reaches a VM.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Admission {
    /// A worker takes it.
    Worker,
    /// It waits.
    Line,
    /// There is no room.
    Refused,
}

/// Volumes of one VM.
#[derive(Debug)]
struct Storage {
    operations: Option<Pipe>,
    bytes: Option<Pipe>,
}

/// A tier as it runs.
#[derive(Debug)]
pub(super) struct Tier {
    vms: Vec<Vm>,
    /// VM type of each, by place in the layout.
    types: Vec<usize>,
    networks: Vec<Option<Pipe>>,
    storages: Vec<Storage>,
    /// VMs that take requests.
    serving: Vec<u32>,
    /// Those of them that take writes.
    primaries: Vec<u32>,
    /// The VM that is loaded the least, where the balancer asks.
    least: Option<Least>,
    /// Where round robin has come to, and where it has come to for writes.
    turns: (usize, usize),
}

impl Tier {
    pub(super) fn new(layout: &TierLayout) -> Self {
        let mut tier = Self {
            vms: Vec::new(),
            types: Vec::new(),
            networks: Vec::new(),
            storages: Vec::new(),
            serving: Vec::new(),
            primaries: Vec::new(),
            least: None,
            turns: (0, 0),
        };
        for (vm_type, stated) in layout.types.iter().enumerate() {
            for _ in 0..stated.count {
                tier.add(layout, vm_type, 0.0);
            }
        }
        // The last ones of the model's VMs are its read replicas.
        let replicas = layout.store.map_or(0, |store| store.replicas as usize);
        let first = tier.vms.len().saturating_sub(replicas);
        for vm in &mut tier.vms[first..] {
            vm.primary = false;
        }
        tier.refresh(layout);
        tier
    }

    fn add(&mut self, layout: &TierLayout, vm_type: usize, now: f64) -> usize {
        let VmLayout {
            strength,
            bytes_per_s,
            ..
        } = &layout.types[vm_type];
        self.vms.push(Vm::new(*strength, layout.calls.len(), now));
        self.types.push(vm_type);
        self.networks
            .push(bytes_per_s.map(|(rate, burst)| Pipe::new(rate, Some(burst))));
        let volumes = layout.volumes;
        let pipe = |(rate, burst)| Pipe::new(rate, Some(burst));
        self.storages.push(Storage {
            operations: volumes.and_then(|volumes| volumes.iops).map(pipe),
            bytes: volumes
                .and_then(|volumes| volumes.bytes_per_s)
                .map(|rate| Pipe::new(rate, None)),
        });
        self.vms.len() - 1
    }

    /// Lists anew who serves.
    fn refresh(&mut self, layout: &TierLayout) {
        let serves = |vm: &Vm| vm.phase == Phase::Serving;
        let places = (0_u32..).zip(&self.vms);
        self.serving = places
            .filter(|(_, vm)| serves(vm))
            .map(|(place, _)| place)
            .collect();
        let primary = |place: &&u32| self.vms[**place as usize].primary;
        self.primaries = self.serving.iter().filter(primary).copied().collect();
        self.least = match layout.balancer {
            Balancer::LeastConnections | Balancer::JoinShortestQueue => {
                let keys = self.vms.iter().map(|vm| key(layout.balancer, vm));
                Some(Least::new(keys.collect()))
            }
            Balancer::Random | Balancer::RoundRobin | Balancer::TwoChoices => None,
        };
    }

    pub(super) fn vm(&mut self, vm: u32) -> &mut Vm {
        &mut self.vms[vm as usize]
    }

    pub(super) fn advance(&mut self, now: f64) {
        for vm in &mut self.vms {
            vm.advance(now);
        }
    }

    pub(super) fn begin_measuring(&mut self, now: f64) {
        for vm in &mut self.vms {
            vm.begin_measuring(now);
        }
        let storages = self.storages.iter_mut();
        let pipes = storages.flat_map(|storage| [&mut storage.operations, &mut storage.bytes]);
        for pipe in pipes.chain(&mut self.networks).flatten() {
            pipe.begin_measuring();
        }
    }

    /// Core seconds used, and core seconds that were there, since the measuring began.
    pub(super) fn usage(&self) -> (f64, f64) {
        let usages = self.vms.iter().map(Vm::usage);
        usages.fold((0.0, 0.0), |sum, usage| (sum.0 + usage.0, sum.1 + usage.1))
    }

    /// Seconds in which its VMs were there, since the measuring began.
    pub(super) fn there_s(&self) -> f64 {
        self.vms.iter().map(Vm::there_s).sum()
    }

    /// Seconds in which volumes (operations, bytes) and networks of all VMs were in use.
    pub(super) fn pipes_used_s(&self) -> [f64; 3] {
        let used = |pipe: &Option<Pipe>| pipe.as_ref().map_or(0.0, Pipe::used_s);
        let storages = self.storages.iter();
        let operations = storages
            .clone()
            .map(|storage| used(&storage.operations))
            .sum();
        let bytes = storages.map(|storage| used(&storage.bytes)).sum();
        [operations, bytes, self.networks.iter().map(used).sum()]
    }

    /// Opens VMs whose start-up is over.
    pub(super) fn open(&mut self, layout: &TierLayout, now: f64) {
        for vm in &mut self.vms {
            if vm.phase == Phase::Away && vm.opens_at <= now {
                vm.advance(now);
                vm.phase = Phase::Serving;
                vm.warm_at = now + layout.warm_up_s;
            }
        }
        self.refresh(layout);
    }

    /// Sets the number of VMs of a type: new ones start, those that start go first, then the oldest.
    pub(super) fn resize(&mut self, layout: &TierLayout, vm_type: usize, count: u32, now: f64) {
        let there = |vm: &Vm| match vm.phase {
            Phase::Serving => true,
            Phase::Away => vm.opens_at.is_finite(),
            Phase::Draining => false,
        };
        let mut held: Vec<usize> = (0..self.vms.len())
            .filter(|vm| self.types[*vm] == vm_type && there(&self.vms[*vm]))
            .collect();
        let count = count as usize;
        for _ in held.len()..count {
            let added = self.add(layout, vm_type, now);
            let vm = &mut self.vms[added];
            vm.phase = Phase::Away;
            vm.opens_at = now + layout.start_up_s;
            vm.primary = layout.store.is_none_or(|store| store.replicas == 0);
        }
        held.sort_by_key(|vm| self.vms[*vm].phase == Phase::Serving);
        for vm in held.iter().take(held.len().saturating_sub(count)) {
            let vm = &mut self.vms[*vm];
            vm.advance(now);
            vm.opens_at = f64::INFINITY;
            vm.phase = if vm.held() == 0 {
                Phase::Away
            } else {
                Phase::Draining
            };
        }
        self.refresh(layout);
    }

    /// Chooses a VM for a request; `None` where none serves.
    pub(super) fn choose(
        &mut self,
        layout: &TierLayout,
        writes: bool,
        rng: &mut Generator,
    ) -> Option<u32> {
        let (eligible, turn) = if writes {
            (&self.primaries, &mut self.turns.1)
        } else {
            (&self.serving, &mut self.turns.0)
        };
        let count = eligible.len();
        if count <= 1 {
            return eligible.first().copied();
        }
        match layout.balancer {
            Balancer::Random => Some(eligible[rng.random_range(0..count)]),
            Balancer::RoundRobin => {
                *turn = (*turn + 1) % count;
                Some(eligible[*turn])
            }
            Balancer::TwoChoices => {
                let first = rng.random_range(0..count);
                let other = rng.random_range(0..count - 1);
                let second = if other >= first { other + 1 } else { other };
                let (first, second) = (eligible[first], eligible[second]);
                let load = |vm: u32| key(Balancer::LeastConnections, &self.vms[vm as usize]);
                Some(if load(second) < load(first) {
                    second
                } else {
                    first
                })
            }
            Balancer::LeastConnections | Balancer::JoinShortestQueue if writes => {
                let load = |vm: &&u32| key(layout.balancer, &self.vms[**vm as usize]);
                eligible
                    .iter()
                    .min_by(|left, right| load(left).total_cmp(&load(right)))
                    .copied()
            }
            Balancer::LeastConnections | Balancer::JoinShortestQueue => self
                .least
                .as_ref()
                .and_then(Least::least)
                .and_then(|vm| u32::try_from(vm).ok()),
        }
    }

    fn loaded(&mut self, layout: &TierLayout, vm: u32) {
        if let Some(least) = &mut self.least {
            least.set(vm as usize, key(layout.balancer, &self.vms[vm as usize]));
        }
    }

    /// Takes a visit in.
    pub(super) fn admit(&mut self, layout: &TierLayout, vm: u32, visit: u32) -> Admission {
        let place = &mut self.vms[vm as usize];
        let full = layout
            .store
            .is_some_and(|store| place.held() >= store.connections_max);
        let admission = if full {
            Admission::Refused
        } else if place.working < place.strength.workers {
            place.working += 1;
            Admission::Worker
        } else if place.line.len() < layout.waiting_max {
            place.line.push_back(visit);
            Admission::Line
        } else {
            Admission::Refused
        };
        self.loaded(layout, vm);
        admission
    }

    /// Frees a worker, which takes the visit that has waited the longest.
    pub(super) fn release(&mut self, layout: &TierLayout, vm: u32, now: f64) -> Option<u32> {
        let place = &mut self.vms[vm as usize];
        let next = place.line.pop_front();
        if next.is_none() {
            place.working -= 1;
            if place.phase == Phase::Draining && place.held() == 0 {
                place.advance(now);
                place.phase = Phase::Away;
            }
        }
        self.loaded(layout, vm);
        next
    }

    /// How many times as long a visit takes now.
    pub(super) fn slowdown(&self, layout: &TierLayout, vm: u32, now: f64) -> f64 {
        if now < self.vms[vm as usize].warm_at {
            layout.slowdown
        } else {
            1.0
        }
    }

    /// When the bytes have left the VM.
    pub(super) fn send(&mut self, vm: u32, now: f64, bytes: f64) -> f64 {
        let network = self.networks.get_mut(vm as usize);
        network
            .and_then(Option::as_mut)
            .map_or(now, |network| network.pass(now, bytes))
    }

    /// Begins the storage operations of a visit; `None` when there are none to wait for.
    pub(super) fn store(
        &mut self,
        layout: &TierLayout,
        vm: u32,
        writes: bool,
        now: f64,
    ) -> Option<f64> {
        let store = layout.store?;
        let operations = if writes {
            store.ios_per_write
        } else {
            store.ios_per_read
        };
        if operations <= 0.0 {
            return None;
        }
        let bytes = operations * store.io_bytes;
        if writes {
            for (place, storage) in self.storages.iter_mut().enumerate() {
                let copies = !self.vms[place].primary && self.vms[place].phase != Phase::Away;
                if copies && place != vm as usize {
                    storage.pass(now, operations, bytes);
                }
            }
        }
        let done = self.storages[vm as usize].pass(now, operations, bytes);
        (done > now).then_some(done)
    }
}

impl Storage {
    fn pass(&mut self, now: f64, operations: f64, bytes: f64) -> f64 {
        let pass =
            |pipe: &mut Option<Pipe>, work| pipe.as_mut().map_or(now, |pipe| pipe.pass(now, work));
        pass(&mut self.operations, operations).max(pass(&mut self.bytes, bytes))
    }
}

/// How loaded a VM is in the eyes of a balancer; infinite when it takes nothing.
fn key(balancer: Balancer, vm: &Vm) -> f64 {
    if vm.phase != Phase::Serving {
        return f64::INFINITY;
    }
    match balancer {
        Balancer::JoinShortestQueue => {
            vm.line.len() as f64 + f64::from(vm.working) / (f64::from(vm.strength.workers) + 1.0)
        }
        _ => f64::from(vm.held()) / vm.strength.cores,
    }
}
