//! Three nodes with many groups each, in one process and on real files.

use std::collections::{BTreeMap, BTreeSet};
use std::error::Error;
use std::io::Read;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use tokio::runtime::Runtime;
use tokio::time::{sleep, timeout};
use twinscale_consensus::memory_network::MemoryNetwork;
use twinscale_consensus::{
    AppliedMark, CommittedBatch, GroupId, GroupLog, GroupLogOptions, GroupRole, Groups,
    GroupsOptions, LogIdentity, MachineError, StateImage, StateMachine,
};
use twinscale_log::disk::FsDisk;
use twinscale_protocol::{ClusterId, NodeNumber};

pub(crate) const GROUPS: u32 = 64;
pub(crate) const NODES: u64 = 3;
pub(crate) const PATIENCE: Duration = Duration::from_mins(1);

pub(crate) type Failure = Box<dyn Error + Send + Sync>;

/// Counts what it applied.
#[derive(Default)]
struct Counter {
    state: Mutex<(u64, Option<AppliedMark>)>,
}

impl StateMachine for Counter {
    fn applied(&self) -> Result<Option<AppliedMark>, MachineError> {
        Ok(self
            .state
            .lock()
            .map_err(|error| MachineError::new(error.to_string()))?
            .1
            .clone())
    }

    fn apply(
        &self,
        batches: &[CommittedBatch],
        mark: &AppliedMark,
    ) -> Result<Vec<Bytes>, MachineError> {
        let mut state = self
            .state
            .lock()
            .map_err(|error| MachineError::new(error.to_string()))?;
        state.0 += batches.len() as u64;
        state.1 = Some(mark.clone());
        Ok(batches.iter().map(|_| Bytes::new()).collect())
    }

    fn image(&self) -> Result<Option<StateImage>, MachineError> {
        let state = self
            .state
            .lock()
            .map_err(|error| MachineError::new(error.to_string()))?;
        let contents = state.0.to_le_bytes().to_vec();
        Ok(state.1.clone().map(|mark| StateImage {
            mark,
            contents: Box::new(std::io::Cursor::new(contents)),
        }))
    }

    fn install(&self, mark: &AppliedMark, contents: &mut dyn Read) -> Result<(), MachineError> {
        let mut bytes = [0; 8];
        contents.read_exact(&mut bytes).map_err(MachineError::new)?;
        let state = (u64::from_le_bytes(bytes), Some(mark.clone()));
        *self
            .state
            .lock()
            .map_err(|error| MachineError::new(error.to_string()))? = state;
        Ok(())
    }
}

pub(crate) struct Node {
    pub(crate) groups: Arc<Groups>,
    pub(crate) runtime: Runtime,
}

pub(crate) fn runtime() -> Result<Runtime, Failure> {
    let mut builder = tokio::runtime::Builder::new_multi_thread();
    Ok(builder.worker_threads(2).enable_all().build()?)
}

pub(crate) fn start(
    directory: &Path,
    network: &MemoryNetwork,
    number: u64,
) -> Result<Node, Failure> {
    let place = directory.join(format!("node-{number}"));
    let identity = LogIdentity::new(&ClusterId::new("rates")?, NodeNumber(number));
    let options = GroupLogOptions::default();
    let log = if place.exists() {
        GroupLog::open(&place.join("log"), identity, options)?.0
    } else {
        GroupLog::create(&place.join("log"), identity, options)?
    };
    let snapshots = Arc::new(FsDisk::at(place.join("snapshots"))?);
    let runtime = runtime()?;
    let groups = runtime.block_on(async {
        let network = network.of(NodeNumber(number));
        let groups = Groups::open(log, snapshots, network, GroupsOptions::default())?;
        for group in 0..GROUPS {
            groups
                .start(GroupId(group), Arc::new(Counter::default()))
                .await?;
        }
        Ok::<_, Failure>(Arc::new(groups))
    })?;
    network.attach(NodeNumber(number), &groups, runtime.handle().clone());
    Ok(Node { groups, runtime })
}

/// Returns the node that leads a group with a majority behind it.
pub(crate) fn leader(nodes: &BTreeMap<u64, Node>, group: u32) -> Option<u64> {
    let leads = |node: &Node| {
        let status = node.groups.group(GroupId(group)).status();
        status.is_ok_and(|status| {
            let status = status.borrow();
            status.role == GroupRole::Leader && status.has_quorum
        })
    };
    nodes
        .iter()
        .find(|(_, node)| leads(node))
        .map(|(number, _)| *number)
}

pub(crate) async fn leaders(nodes: &BTreeMap<u64, Node>) -> Result<BTreeMap<u32, u64>, Failure> {
    let found = timeout(PATIENCE, async {
        loop {
            let found: BTreeMap<u32, u64> = (0..GROUPS)
                .filter_map(|group| Some((group, leader(nodes, group)?)))
                .collect();
            if found.len() == GROUPS as usize {
                return found;
            }
            sleep(Duration::from_millis(5)).await;
        }
    });
    Ok(found.await?)
}

/// Seconds of processor that this process used; the system counts hundredths of them.
pub(crate) fn processor_seconds() -> Result<f64, Failure> {
    let text = std::fs::read_to_string("/proc/self/stat")?;
    let (_, behind_name) = text.rsplit_once(')').ok_or("no process name")?;
    let fields: Vec<&str> = behind_name.split_whitespace().collect();
    let hundredths = |at: usize| fields.get(at).and_then(|field| field.parse::<f64>().ok());
    let used = hundredths(11)
        .zip(hundredths(12))
        .ok_or("no processor times")?;
    Ok((used.0 + used.1) / 100.0)
}

/// Starts all nodes in an empty directory, with all groups, and waits until each has a leader.
pub(crate) fn start_all(
    directory: &Path,
    network: &MemoryNetwork,
    main: &Runtime,
) -> Result<BTreeMap<u64, Node>, Failure> {
    let mut nodes = BTreeMap::new();
    for number in 1..=NODES {
        nodes.insert(number, start(directory, network, number)?);
    }
    let members: BTreeSet<NodeNumber> = (1..=NODES).map(NodeNumber).collect();
    main.block_on(async {
        for group in 0..GROUPS {
            let first = 1 + u64::from(group) % NODES;
            let handle = nodes[&first].groups.group(GroupId(group));
            handle.initialize(members.clone()).await?;
        }
        leaders(&nodes).await
    })?;
    Ok(nodes)
}
