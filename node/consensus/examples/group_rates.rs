//! Measures 64 groups on three nodes in one process, on real files: idle cost, proposals per second, and how
//! long a group is without a leader when the node that leads it dies.
//!
//! `cargo run -p twinscale-consensus --example group_rates -- DIRECTORY`

use std::collections::{BTreeMap, BTreeSet};
use std::error::Error;
use std::io::{Read, Write, stdout};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use tokio::runtime::Runtime;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, timeout};
use twinscale_consensus::memory_network::MemoryNetwork;
use twinscale_consensus::{
    AppliedMark, CommittedBatch, Group, GroupId, GroupLog, GroupLogOptions, GroupRole, Groups,
    GroupsOptions, LogIdentity, MachineError, StateImage, StateMachine,
};
use twinscale_log::disk::FsDisk;
use twinscale_protocol::{ClusterId, NodeNumber};

const GROUPS: u32 = 64;
const NODES: u64 = 3;
const KILLS: u64 = 20;
const RUN: Duration = Duration::from_secs(8);
const PATIENCE: Duration = Duration::from_mins(1);

type Failure = Box<dyn Error + Send + Sync>;

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

struct Node {
    groups: Arc<Groups>,
    runtime: Runtime,
}

fn runtime() -> Result<Runtime, Failure> {
    let mut builder = tokio::runtime::Builder::new_multi_thread();
    Ok(builder.worker_threads(2).enable_all().build()?)
}

fn start(directory: &Path, network: &MemoryNetwork, number: u64) -> Result<Node, Failure> {
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
fn leader(nodes: &BTreeMap<u64, Node>, group: u32) -> Option<u64> {
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

async fn leaders(nodes: &BTreeMap<u64, Node>) -> Result<BTreeMap<u32, u64>, Failure> {
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
fn processor_seconds() -> Result<f64, Failure> {
    let text = std::fs::read_to_string("/proc/self/stat")?;
    let (_, behind_name) = text.rsplit_once(')').ok_or("no process name")?;
    let fields: Vec<&str> = behind_name.split_whitespace().collect();
    let hundredths = |at: usize| fields.get(at).and_then(|field| field.parse::<f64>().ok());
    let used = hundredths(11)
        .zip(hundredths(12))
        .ok_or("no processor times")?;
    Ok((used.0 + used.1) / 100.0)
}

/// Proposals of 100 bytes through clients that wait for each.
async fn rate(
    nodes: &BTreeMap<u64, Node>,
    clients: u32,
) -> Result<(f64, Duration, usize), Failure> {
    let leaders = leaders(nodes).await?;
    let mut tasks = JoinSet::new();
    let started = Instant::now();
    for client in 0..clients {
        let group = client % GROUPS;
        let handle: Group = nodes[&leaders[&group]].groups.group(GroupId(group));
        tasks.spawn(async move {
            let (mut latencies, mut failures) = (Vec::new(), 0);
            while started.elapsed() < RUN {
                let began = Instant::now();
                let proposed = handle.propose(Bytes::from(vec![0x5a; 100]), PATIENCE).await;
                if proposed.is_ok() {
                    latencies.push(began.elapsed());
                } else {
                    failures += 1;
                    sleep(Duration::from_millis(5)).await;
                }
            }
            (latencies, failures)
        });
    }
    let (mut all, mut failed) = (Vec::new(), 0);
    while let Some(ended) = tasks.join_next().await {
        let (latencies, failures) = ended?;
        all.extend(latencies);
        failed += failures;
    }
    let elapsed = started.elapsed();
    all.sort_unstable();
    let median = all.get(all.len() / 2).copied().unwrap_or_default();
    Ok((all.len() as f64 / elapsed.as_secs_f64(), median, failed))
}

/// Time from the death of the node that leads group 0 to the first proposal that another one took.
async fn fail_over(nodes: &BTreeMap<u64, Node>, died: Instant) -> Result<Duration, Failure> {
    let served = timeout(PATIENCE, async {
        loop {
            for node in nodes.values() {
                let group = node.groups.group(GroupId(0));
                let proposed = group.propose(Bytes::from_static(b"after"), PATIENCE).await;
                if proposed.is_ok() {
                    return died.elapsed();
                }
            }
            sleep(Duration::from_millis(2)).await;
        }
    });
    Ok(served.await?)
}

fn main() -> Result<(), Failure> {
    let directory: PathBuf = std::env::args_os()
        .nth(1)
        .ok_or("give an empty directory on the disk to measure")?
        .into();
    let network = MemoryNetwork::new(1);
    let mut nodes = BTreeMap::new();
    for number in 1..=NODES {
        nodes.insert(number, start(&directory, &network, number)?);
    }
    let main = runtime()?;
    let members: BTreeSet<NodeNumber> = (1..=NODES).map(NodeNumber).collect();
    main.block_on(async {
        for group in 0..GROUPS {
            let first = 1 + u64::from(group) % NODES;
            let handle = nodes[&first].groups.group(GroupId(group));
            handle.initialize(members.clone()).await?;
        }
        leaders(&nodes).await
    })?;
    let idle = Duration::from_secs(10);
    let before = processor_seconds()?;
    main.block_on(async { sleep(idle).await });
    let share = (processor_seconds()? - before) / idle.as_secs_f64();
    writeln!(
        stdout(),
        "idle: {:.1} % of one core for {GROUPS} groups on {NODES} nodes",
        share * 100.0
    )?;
    for clients in [64, 256, 1_024] {
        let (rate, median, failed) = main.block_on(rate(&nodes, clients))?;
        writeln!(
            stdout(),
            "{clients} clients: {rate:.0} proposals/s, p50 {median:.1?}, {failed} refused"
        )?;
    }
    let mut times = Vec::new();
    for _ in 0..KILLS {
        let led = main.block_on(leaders(&nodes))?;
        let victim = led[&0];
        let node = nodes.remove(&victim).ok_or("the leader runs")?;
        network.detach(NodeNumber(victim));
        let died = Instant::now();
        drop(node.groups);
        let ending = std::thread::spawn(move || node.runtime.shutdown_timeout(PATIENCE));
        times.push(main.block_on(fail_over(&nodes, died))?);
        ending
            .join()
            .map_err(|panic| format!("the node did not end: {panic:?}"))?;
        nodes.insert(victim, start(&directory, &network, victim)?);
    }
    times.sort_unstable();
    writeln!(
        stdout(),
        "fail-over of group 0 in {KILLS} kills of its leader's node: p50 {:.2?}, max {:.2?}",
        times[times.len() / 2],
        times[times.len() - 1]
    )?;
    Ok(())
}
