//! What befalls a cluster, and when.
//!
//! Every fault begins and ends: a killed node is started again, a paused one goes on, a cut heals, power comes
//! back, a disk has room again. Invariants: what has begun is in the records from before its blow; what can
//! be of no effect (a node that does not run, a disk that cannot fail) is refused and leaves no record; a
//! fault that ends touches only what it did.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use rustix::process::{Pid, Signal, kill_process};
use serde::{Deserialize, Serialize};

use super::deployment::{Deployment, StoreDamage};
use super::fabric::cut::Cut;
use super::fabric::{CutId, Fabric, FabricKind};
use crate::error::ChaosError;

/// What befalls nodes, numbered from 0.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "fault", rename_all = "kebab-case")]
pub enum Fault {
    /// SIGKILL; at the end it is started again.
    Kill {
        /// Which.
        node: usize,
    },
    /// SIGTERM, and wait until it has ended in order; at the end it is started again.
    Restart {
        /// Which.
        node: usize,
    },
    /// SIGSTOP; at the end SIGCONT.
    Pause {
        /// Which.
        node: usize,
    },
    /// Nodes do not hear each other; at the end they do.
    Partition {
        /// Which.
        cut: Cut,
    },
    /// The power of nodes fails at one moment, and what they had not synced is lost; at the end they are
    /// started again.
    PowerCut {
        /// Which.
        nodes: BTreeSet<usize>,
    },
    /// SIGKILL, and its store is damaged; at the end it is started again and has to make it anew.
    Store {
        /// Which.
        node: usize,
        /// How.
        damage: StoreDamage,
    },
    /// The disk of a node fills up; at the end it has room again.
    DiskFull {
        /// Which.
        node: usize,
    },
}

/// One fault with its times.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FaultRecord {
    /// Its number among the faults of the run, from 0.
    pub number: u64,
    /// What.
    #[serde(flatten)]
    pub fault: Fault,
    /// When its blow fell, in microseconds of the runner's clock: just before.
    pub begun_us: u64,
    /// When all was as before again; nothing for one that goes on.
    pub ended_us: Option<u64>,
}

/// The microseconds since the run began.
pub type RunClock = Box<dyn Fn() -> u64 + Send>;

/// Strikes a deployment, and keeps the records.
pub struct Faults<D> {
    deployment: D,
    fabric: Fabric,
    clock: RunClock,
    records: Vec<FaultRecord>,
    open: BTreeMap<u64, Undo>,
}

/// What is to be done at the end of a fault.
#[derive(Clone, Debug)]
enum Undo {
    Start(BTreeSet<usize>),
    Restore(BTreeSet<usize>),
    Continue(usize, Pid),
    Heal(CutId),
    MakeRoom(usize),
}

impl Fault {
    /// The name of its kind, with that of its cut.
    pub const fn kind(&self) -> &'static str {
        match self {
            Self::Kill { .. } => "kill",
            Self::Restart { .. } => "restart",
            Self::Pause { .. } => "pause",
            Self::Partition {
                cut: Cut::Half { .. },
            } => "partition-half",
            Self::Partition {
                cut: Cut::OneWay { .. },
            } => "partition-one-way",
            Self::Partition {
                cut: Cut::Pair { .. },
            } => "partition-pair",
            Self::PowerCut { .. } => "power-cut",
            Self::Store {
                damage: StoreDamage::Lost,
                ..
            } => "store-lost",
            Self::Store {
                damage: StoreDamage::Corrupted,
                ..
            } => "store-corrupted",
            Self::DiskFull { .. } => "disk-full",
        }
    }

    /// The nodes at its heart, among so many: the struck ones, the smaller side of a cut, both ends of a pair.
    pub fn struck(&self, nodes: usize) -> BTreeSet<usize> {
        match self {
            Self::Kill { node }
            | Self::Restart { node }
            | Self::Pause { node }
            | Self::Store { node, .. }
            | Self::DiskFull { node } => [*node].into(),
            Self::PowerCut { nodes } => nodes.clone(),
            Self::Partition {
                cut: Cut::Half { side },
            } if side.len() * 2 <= nodes => side.clone(),
            Self::Partition {
                cut: Cut::Half { side },
            } => (0..nodes).filter(|node| !side.contains(node)).collect(),
            Self::Partition { cut } => {
                let drops = cut.drops(nodes);
                let in_each =
                    |node: &usize| drops.iter().all(|(from, to)| from == node || to == node);
                (0..nodes).filter(in_each).collect()
            }
        }
    }

    /// Says whether a majority of some replicas is connected while it lasts: each of them to each other.
    pub fn leaves_majority(&self, replicas: &BTreeSet<usize>, nodes: usize) -> bool {
        let is_majority = |left: usize| left * 2 > replicas.len();
        let (gone, drops) = match self {
            Self::Partition { cut } => (BTreeSet::new(), cut.drops(nodes)),
            _ => (self.struck(nodes), BTreeSet::new()),
        };
        // A handful of replicas: every subset is looked at.
        let left: Vec<usize> = replicas.difference(&gone).copied().collect();
        let subsets = 0_u32..1 << left.len().min(16);
        subsets.into_iter().any(|subset| {
            let chosen: Vec<usize> = (0..left.len())
                .filter(|place| subset & (1 << place) != 0)
                .filter_map(|place| left.get(place).copied())
                .collect();
            let is_cut = |from: &usize| chosen.iter().any(|to| drops.contains(&(*from, *to)));
            is_majority(chosen.len()) && !chosen.iter().any(is_cut)
        })
    }

    /// Says whether a fabric of this kind, with disks that can fail or not, can bring it about.
    pub const fn can_befall(&self, fabric: FabricKind, disks_can_fail: bool) -> bool {
        match self {
            Self::Kill { .. } | Self::Restart { .. } | Self::Pause { .. } | Self::Store { .. } => {
                true
            }
            Self::Partition { .. } => matches!(fabric, FabricKind::Namespaces),
            Self::PowerCut { .. } | Self::DiskFull { .. } => disks_can_fail,
        }
    }
}

impl<D: Deployment> Faults<D> {
    /// Begins without any.
    pub const fn new(deployment: D, fabric: Fabric, clock: RunClock) -> Self {
        Self {
            deployment,
            fabric,
            clock,
            records: Vec::new(),
            open: BTreeMap::new(),
        }
    }

    /// The cluster.
    pub const fn deployment(&mut self) -> &mut D {
        &mut self.deployment
    }

    /// Its network.
    pub const fn fabric(&self) -> &Fabric {
        &self.fabric
    }

    /// What has befallen it so far, in order.
    pub fn records(&self) -> &[FaultRecord] {
        &self.records
    }

    /// Strikes; returns the number by which the fault is ended.
    ///
    /// # Errors
    /// [`ChaosError::NotHere`] for what can have no effect, without a record; others when a blow fails half
    /// way, with a record: the run proves nothing then.
    pub fn begin(&mut self, fault: Fault) -> Result<u64, ChaosError> {
        self.check(&fault)?;
        let number = u64::try_from(self.records.len()).unwrap_or(u64::MAX);
        self.records.push(FaultRecord {
            number,
            fault: fault.clone(),
            begun_us: (self.clock)(),
            ended_us: None,
        });
        if let Fault::PowerCut { nodes } = &fault {
            // A cut that fails half way has stopped nodes: its end sets them right.
            self.open.insert(number, Undo::Restore(nodes.clone()));
        }
        let undo = self.strike(fault)?;
        self.open.insert(number, undo);
        Ok(number)
    }

    /// Ends a fault; one that has ended already is no error.
    ///
    /// # Errors
    /// [`ChaosError`] when what was before cannot be had again; the fault goes on then.
    pub fn end(&mut self, number: u64) -> Result<(), ChaosError> {
        let Some(undo) = self.open.get(&number).cloned() else {
            return Ok(());
        };
        self.undo(undo)?;
        self.open.remove(&number);
        let ended_us = (self.clock)();
        let mut records = self.records.iter_mut();
        if let Some(record) = records.find(|record| record.number == number) {
            record.ended_us = Some(ended_us);
        }
        Ok(())
    }

    /// Ends all faults that go on, the first first.
    ///
    /// # Errors
    /// As [`Self::end`], at the first that fails.
    pub fn end_all(&mut self) -> Result<(), ChaosError> {
        while let Some((number, _)) = self.open.first_key_value() {
            let number = *number;
            self.end(number)?;
        }
        Ok(())
    }

    /// Gives the cluster and its network back, with the records.
    pub fn into_parts(self) -> (D, Fabric, Vec<FaultRecord>) {
        (self.deployment, self.fabric, self.records)
    }

    fn check(&mut self, fault: &Fault) -> Result<(), ChaosError> {
        match fault {
            Fault::Kill { node } | Fault::Restart { node } | Fault::Store { node, .. } => {
                self.running(*node).map(drop)
            }
            Fault::Pause { node } => {
                let pid = self.running(*node)?;
                let is_paused =
                    |undo: &Undo| matches!(undo, Undo::Continue(_, paused) if *paused == pid);
                if self.open.values().any(is_paused) {
                    return Err(refused(fault, "it is paused already"));
                }
                Ok(())
            }
            // The fabric refuses what it cannot do before anything happens.
            Fault::Partition { cut } if cut.drops(self.fabric.hosts()).is_empty() => {
                Err(refused(fault, "it cuts nobody from anybody"))
            }
            Fault::Partition { .. } => {
                let can = fault.can_befall(self.fabric.kind(), false);
                can.then_some(())
                    .ok_or_else(|| refused(fault, "the network cannot be cut; run it as root"))
            }
            Fault::PowerCut { nodes } => {
                if nodes.is_empty() {
                    return Err(refused(fault, "it names no node"));
                }
                for node in nodes {
                    self.running(*node)?;
                    self.check_disk(*node, fault)?;
                }
                Ok(())
            }
            Fault::DiskFull { node } => {
                self.running(*node)?;
                self.check_disk(*node, fault)?;
                let is_full = |undo: &Undo| matches!(undo, Undo::MakeRoom(full) if full == node);
                if self.open.values().any(is_full) {
                    return Err(refused(fault, "its disk is full already"));
                }
                Ok(())
            }
        }
    }

    fn check_disk(&mut self, node: usize, fault: &Fault) -> Result<(), ChaosError> {
        if self.deployment.disk(node).can_fail() {
            return Ok(());
        }
        Err(refused(fault, "its disk cannot fail; run it as root"))
    }

    fn running(&mut self, node: usize) -> Result<Pid, ChaosError> {
        let nodes = self.deployment.nodes();
        let missing = |because: String| ChaosError::NotHere {
            what: format!("a fault of node {node}"),
            because,
        };
        if node >= nodes {
            return Err(missing(format!("there are {nodes} nodes, from 0")));
        }
        let pid = self.deployment.pid(node);
        pid.ok_or_else(|| missing("it does not run".to_owned()))
    }

    fn strike(&mut self, fault: Fault) -> Result<Undo, ChaosError> {
        match fault {
            Fault::Kill { node } => {
                self.deployment.kill(node)?;
                Ok(Undo::Start([node].into()))
            }
            Fault::Restart { node } => {
                send(self.running(node)?, Signal::TERM)?;
                self.deployment.wait_for_end(node)?;
                Ok(Undo::Start([node].into()))
            }
            Fault::Store { node, damage } => {
                self.deployment.kill(node)?;
                self.deployment.damage(node, damage)?;
                Ok(Undo::Start([node].into()))
            }
            Fault::Pause { node } => {
                let pid = self.running(node)?;
                send(pid, Signal::STOP)?;
                Ok(Undo::Continue(node, pid))
            }
            Fault::Partition { cut } => self.fabric.cut(&cut).map(Undo::Heal),
            Fault::PowerCut { nodes } => {
                // Stopped first, so that none does anything between its disk's end and its own.
                for node in &nodes {
                    send(self.running(*node)?, Signal::STOP)?;
                }
                for node in &nodes {
                    self.deployment.disk(*node).cut_power()?;
                }
                for node in &nodes {
                    self.deployment.kill(*node)?;
                }
                Ok(Undo::Restore(nodes))
            }
            Fault::DiskFull { node } => {
                self.deployment.disk(node).fill()?;
                Ok(Undo::MakeRoom(node))
            }
        }
    }

    fn undo(&mut self, undo: Undo) -> Result<(), ChaosError> {
        match undo {
            Undo::Start(nodes) => self.start(&nodes),
            Undo::Restore(nodes) => {
                for node in &nodes {
                    // Whoever started it meanwhile has a disk without power.
                    self.deployment.kill(*node)?;
                    self.deployment.disk(*node).restore_power()?;
                }
                self.start(&nodes)
            }
            // Another process of the node, after a kill, was never paused.
            Undo::Continue(node, pid) if self.deployment.pid(node) == Some(pid) => {
                send(pid, Signal::CONT)
            }
            Undo::Continue(..) => Ok(()),
            Undo::Heal(cut) => self.fabric.heal(cut),
            Undo::MakeRoom(node) => self.deployment.disk(node).make_room(),
        }
    }

    fn start(&mut self, nodes: &BTreeSet<usize>) -> Result<(), ChaosError> {
        for node in nodes {
            if self.deployment.pid(*node).is_none() {
                self.deployment.start(*node)?;
            }
        }
        Ok(())
    }
}

fn refused(fault: &Fault, because: &str) -> ChaosError {
    ChaosError::NotHere {
        what: format!("the fault {}", fault.kind()),
        because: because.to_owned(),
    }
}

fn send(pid: Pid, signal: Signal) -> Result<(), ChaosError> {
    kill_process(pid, signal).map_err(|error| ChaosError::io("signal", "a node", error.into()))
}

impl<D: fmt::Debug> fmt::Debug for Faults<D> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Faults")
            .field("deployment", &self.deployment)
            .field("fabric", &self.fabric)
            .field("records", &self.records)
            .field("open", &self.open)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
