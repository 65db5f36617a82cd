//! Nodes with a runtime and a disk each.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::mpsc::{Sender, channel};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::runtime::Runtime;
use tokio::time::{sleep, timeout};
use twinscale_consensus::memory_network::MemoryNetwork;
use twinscale_consensus::{
    Group, GroupId, GroupLog, GroupLogOptions, GroupRole, Groups, GroupsOptions, LogIdentity,
};
use twinscale_log::fault_disk::FaultDisk;
use twinscale_protocol::{ClusterId, NodeNumber};

use crate::register::Register;

/// Whoever waits longer than this will wait for ever.
pub(crate) const PATIENCE: Duration = Duration::from_mins(1);

/// The leaders that were seen in each term of each group.
pub(crate) type Leaders = Arc<Mutex<BTreeMap<(GroupId, u64), BTreeSet<NodeNumber>>>>;

/// A node's disks, which outlive it.
#[derive(Clone)]
pub(crate) struct Disks {
    pub(crate) log: FaultDisk,
    pub(crate) snapshots: FaultDisk,
}

/// A node that runs.
pub(crate) struct Node {
    pub(crate) groups: Arc<Groups>,
    pub(crate) registers: BTreeMap<GroupId, Arc<Register>>,
    runtime: Runtime,
    frozen: Option<Sender<()>>,
}

/// Nodes, their disks and the network between them.
pub(crate) struct Cluster {
    pub(crate) network: MemoryNetwork,
    pub(crate) nodes: BTreeMap<NodeNumber, Node>,
    pub(crate) leaders: Leaders,
    disks: BTreeMap<NodeNumber, Disks>,
    group_ids: Vec<GroupId>,
    options: GroupsOptions,
    seed: u64,
    runtime: Runtime,
}

/// Times as in production; snapshots often, so that lagging replicas need them.
pub(crate) fn options() -> GroupsOptions {
    GroupsOptions {
        snapshot_every_entries: 200,
        keep_entries: 50,
        probe_interval: Duration::from_millis(100),
        ..GroupsOptions::default()
    }
}

fn log_options() -> GroupLogOptions {
    let mut options = GroupLogOptions::default();
    options.file.segment_bytes_max = 64 << 10;
    options.cache_bytes_max = 16 << 10;
    options.resume_free_bytes = 256 << 10;
    options
}

fn runtime(threads: usize) -> Runtime {
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(threads)
        .enable_all()
        .build()
        .unwrap()
}

impl Cluster {
    /// Starts nodes 1 to `count`, each with a replica of every group.
    pub(crate) fn start(seed: u64, count: u64, groups: u32) -> Self {
        Self::start_with(seed, count, groups, options())
    }

    pub(crate) fn start_with(seed: u64, count: u64, groups: u32, options: GroupsOptions) -> Self {
        let mut cluster = Self {
            network: MemoryNetwork::new(seed),
            nodes: BTreeMap::new(),
            leaders: Leaders::default(),
            disks: BTreeMap::new(),
            group_ids: (0..groups).map(GroupId).collect(),
            options,
            seed,
            runtime: runtime(2),
        };
        for number in 1..=count {
            cluster.add(NodeNumber(number));
        }
        let members: BTreeSet<NodeNumber> = cluster.nodes.keys().copied().collect();
        for (at, group) in cluster.group_ids.clone().into_iter().enumerate() {
            let first = NodeNumber(1 + at as u64 % count);
            let handle = cluster.nodes[&first].groups.group(group);
            cluster
                .block_on(handle.initialize(members.clone()))
                .unwrap();
        }
        cluster
    }

    /// Starts a node that is new, with an empty log.
    pub(crate) fn add(&mut self, number: NodeNumber) {
        let seed = self.seed ^ number.0;
        let disks = Disks {
            log: FaultDisk::new(seed),
            snapshots: FaultDisk::new(seed + 1),
        };
        let (files, room) = (Arc::new(disks.log.clone()), Arc::new(disks.log.clone()));
        let log = GroupLog::create_on(files, room, identity(number), log_options()).unwrap();
        self.disks.insert(number, disks);
        self.run(number, log);
    }

    /// Starts a node that was killed, from its disks.
    pub(crate) fn restart(&mut self, number: NodeNumber) {
        let disks = &self.disks[&number];
        let (files, room) = (Arc::new(disks.log.clone()), Arc::new(disks.log.clone()));
        let (log, _) = GroupLog::open_on(files, room, identity(number), log_options()).unwrap();
        self.run(number, log);
    }

    fn run(&mut self, number: NodeNumber, log: GroupLog) {
        let runtime = runtime(1);
        let snapshots = Arc::new(self.disks[&number].snapshots.clone());
        let groups = {
            let _entered = runtime.enter();
            Groups::open(log, snapshots, self.network.of(number), self.options).unwrap()
        };
        let groups = Arc::new(groups);
        let mut registers = BTreeMap::new();
        for group in &self.group_ids {
            let register = Arc::new(Register::default());
            let machine = Arc::clone(&register);
            let started = runtime.block_on(groups.start(*group, machine)).unwrap();
            runtime.spawn(watch_leaders(started, number, Arc::clone(&self.leaders)));
            registers.insert(*group, register);
        }
        self.network
            .attach(number, &groups, runtime.handle().clone());
        let node = Node {
            groups,
            registers,
            runtime,
            frozen: None,
        };
        self.nodes.insert(number, node);
    }

    /// Ends a node as kill -9 does: what it wrote stays.
    pub(crate) fn kill(&mut self, number: NodeNumber) {
        self.end(number);
        let disks = &self.disks[&number];
        disks.log.kill();
        disks.snapshots.kill();
    }

    /// Cuts a node's power: what it did not sync is there, torn or lost, by chance.
    pub(crate) fn cut_power(&mut self, number: NodeNumber) {
        let disks = self.disks[&number].clone();
        // The disks go first, so that nothing more becomes durable.
        disks.log.crash();
        disks.snapshots.crash();
        self.end(number);
    }

    fn end(&mut self, number: NodeNumber) {
        self.network.detach(number);
        let node = self.nodes.remove(&number).expect("it runs");
        drop(node.groups);
        node.runtime.shutdown_timeout(PATIENCE);
    }

    /// Stops all that a node does, timers included, until it is thawed.
    pub(crate) fn freeze(&mut self, number: NodeNumber) {
        let node = self.nodes.get_mut(&number).expect("it runs");
        let (thaw, thawed) = channel();
        let (begun, has_begun) = channel();
        // The only worker thread waits here.
        node.runtime.spawn(async move {
            begun.send(()).unwrap();
            // The sender is dropped to thaw the node.
            thawed.recv().unwrap_err();
        });
        has_begun.recv_timeout(PATIENCE).expect("the node freezes");
        node.frozen = Some(thaw);
    }

    pub(crate) fn thaw(&mut self, number: NodeNumber) {
        self.nodes.get_mut(&number).expect("it runs").frozen = None;
    }

    pub(crate) fn disks(&self, number: NodeNumber) -> Disks {
        self.disks[&number].clone()
    }

    pub(crate) fn group_ids(&self) -> &[GroupId] {
        &self.group_ids
    }

    pub(crate) fn numbers(&self) -> Vec<NodeNumber> {
        self.nodes.keys().copied().collect()
    }

    pub(crate) fn group(&self, number: NodeNumber, group: GroupId) -> Group {
        self.nodes[&number].groups.group(group)
    }

    pub(crate) fn block_on<F: Future>(&self, future: F) -> F::Output {
        self.runtime.block_on(future)
    }

    pub(crate) fn runtime(&self) -> &Runtime {
        &self.runtime
    }

    /// Waits until a condition holds, or fails with what was seen last.
    pub(crate) fn wait_until(
        &self,
        what: &str,
        mut check: impl FnMut(&Self) -> Result<(), String>,
    ) {
        let mut seen = Err("nothing yet".to_owned());
        let attempts = async {
            loop {
                seen = check(self);
                if seen.is_ok() {
                    break;
                }
                sleep(Duration::from_millis(5)).await;
            }
        };
        let waited = self
            .runtime
            .block_on(async { timeout(PATIENCE, attempts).await });
        assert!(waited.is_ok(), "waited {PATIENCE:?} until {what}: {seen:?}");
    }

    /// Returns the node that leads a group with a majority behind it, if exactly one does.
    pub(crate) fn leader(&self, group: GroupId) -> Option<NodeNumber> {
        let leaders = self.nodes.iter().filter(|(_, node)| {
            node.frozen.is_none()
                && node.groups.group(group).status().is_ok_and(|status| {
                    let status = status.borrow();
                    status.role == GroupRole::Leader && status.has_quorum
                })
        });
        let found: Vec<NodeNumber> = leaders.map(|(number, _)| *number).collect();
        match found.as_slice() {
            [one] => Some(*one),
            _ => None,
        }
    }

    /// Waits for a leader among some nodes.
    pub(crate) fn wait_leader(&self, group: GroupId, among: &[NodeNumber]) -> NodeNumber {
        let mut found = None;
        self.wait_until("a group has a leader", |cluster| {
            found = among.iter().copied().find(|number| {
                let status = cluster.group(*number, group).status();
                status.is_ok_and(|status| {
                    let status = status.borrow();
                    status.role == GroupRole::Leader && status.has_quorum
                })
            });
            found.map(drop).ok_or_else(|| cluster.describe(group))
        });
        found.expect("the wait ended")
    }

    /// Waits until all replicas hold the same and nothing is left to apply, and returns who wrote each version of
    /// each register. After a restart replicas hold the same too: what each knows to be committed, which is less
    /// than what is.
    pub(crate) fn wait_agreement(&self) -> BTreeMap<GroupId, Vec<u64>> {
        let mut agreed = BTreeMap::new();
        for group in &self.group_ids {
            self.wait_until("all replicas hold the same", |cluster| {
                let places: BTreeSet<_> = cluster
                    .nodes
                    .values()
                    .map(|node| node.groups.group(*group).metrics())
                    .map(|metrics| {
                        let metrics = metrics.map_err(|error| error.to_string())?;
                        Ok::<_, String>((metrics.last_index, metrics.applied))
                    })
                    .collect();
                let is_done = places.iter().all(|place| match place {
                    Ok((last_index, applied)) => {
                        applied.map(|applied| applied.index) == *last_index
                    }
                    Err(_) => false,
                });
                let writers: BTreeSet<_> = cluster
                    .nodes
                    .values()
                    .map(|node| node.registers[group].writers())
                    .collect();
                agreed.insert(*group, writers.first().cloned().unwrap_or_default());
                let is_same = places.len() == 1 && writers.len() == 1;
                if is_done && is_same && cluster.leader(*group).is_some() {
                    Ok(())
                } else {
                    Err(cluster.describe(*group))
                }
            });
        }
        agreed
    }

    pub(crate) fn describe(&self, group: GroupId) -> String {
        let states = self.nodes.iter().map(|(number, node)| {
            let status = node.groups.group(group).status();
            let status = status.map(|status| status.borrow().clone());
            let versions = node.registers[&group].writers().len();
            format!("node {number}, {versions} versions: {status:?}")
        });
        states.collect::<Vec<_>>().join("\n")
    }

    /// Fails when two nodes led in one term.
    pub(crate) fn check_leaders(&self) {
        let leaders = self.leaders.lock().unwrap();
        assert!(!leaders.is_empty(), "leaders were seen");
        for ((group, term), nodes) in &*leaders {
            assert_eq!(nodes.len(), 1, "group {group} had {nodes:?} in term {term}");
        }
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        for (_, node) in std::mem::take(&mut self.nodes) {
            drop(node.frozen);
            drop(node.groups);
            node.runtime.shutdown_background();
        }
    }
}

fn identity(node: NodeNumber) -> LogIdentity {
    LogIdentity::new(&ClusterId::new("test").unwrap(), node)
}

async fn watch_leaders(group: Group, number: NodeNumber, leaders: Leaders) {
    let Ok(mut status) = group.status() else {
        return;
    };
    loop {
        let leads = {
            let status = status.borrow_and_update();
            (status.role == GroupRole::Leader).then_some(status.term)
        };
        if let Some(term) = leads {
            let mut leaders = leaders.lock().unwrap();
            leaders
                .entry((group.id(), term))
                .or_default()
                .insert(number);
        }
        if status.changed().await.is_err() {
            return;
        }
    }
}
