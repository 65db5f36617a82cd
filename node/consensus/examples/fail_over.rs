//! Measures how long groups are without a leader when a node that leads some of 64 dies: three nodes in one
//! process, on real files.
//!
//! `cargo run -p twinscale-consensus --example fail_over -- DIRECTORY [KILLS]`

mod nodes;

use std::collections::{BTreeMap, BTreeSet};
use std::io::{Write, stdout};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::task::JoinSet;
use tokio::time::{Instant, timeout};
use twinscale_consensus::memory_network::MemoryNetwork;
use twinscale_consensus::{Group, GroupId, GroupRole};
use twinscale_protocol::NodeNumber;

use nodes::{
    Failure, GROUPS, NODES, Node, PATIENCE, leaders, processor_seconds, runtime, start, start_all,
};

/// What was seen of one group after its leader died, each as the time since then.
#[derive(Clone, Debug, Default)]
struct Seen {
    /// The terms in which a node stood for election.
    stood: BTreeSet<u64>,
    first_stood: Option<Duration>,
    elected: Option<Duration>,
    /// When the next leader had a majority and had applied an entry of its own.
    served: Option<Duration>,
}

async fn watch(group: Group, died: Instant, seen: Arc<Mutex<Seen>>) -> Option<()> {
    let mut status = group.status().ok()?;
    loop {
        {
            let status = status.borrow_and_update();
            let mut seen = seen.lock().unwrap_or_else(PoisonError::into_inner);
            if status.role == GroupRole::Candidate {
                seen.stood.insert(status.term);
                seen.first_stood.get_or_insert_with(|| died.elapsed());
            }
            if status.role == GroupRole::Leader {
                seen.elected.get_or_insert_with(|| died.elapsed());
                let knows = status
                    .applied
                    .is_some_and(|applied| applied.term == status.term);
                if knows && status.has_quorum {
                    seen.served.get_or_insert_with(|| died.elapsed());
                    return Some(());
                }
            }
        }
        status.changed().await.ok()?;
    }
}

/// Follows a group on the nodes that are left until one of them serves.
async fn follow(group: u32, handles: Vec<Group>, died: Instant) -> Result<Seen, Failure> {
    let seen: Arc<Mutex<Seen>> = Arc::default();
    let mut watches = JoinSet::new();
    for handle in handles {
        watches.spawn(watch(handle, died, Arc::clone(&seen)));
    }
    let first = timeout(PATIENCE, watches.join_next()).await;
    first.map_err(|_elapsed| format!("group {group} has no leader: {seen:?}"))?;
    let seen = seen.lock().unwrap_or_else(PoisonError::into_inner);
    Ok(seen.clone())
}

fn show(name: &str, mut times: Vec<Duration>) -> Result<(), Failure> {
    times.sort_unstable();
    let at = |per_cent: usize| {
        times.get((times.len() * per_cent / 100).min(times.len().saturating_sub(1)))
    };
    let (p50, p99, max) = (at(50), at(99), times.last());
    writeln!(
        stdout(),
        "{name}: p50 {p50:.2?}, p99 {p99:.2?}, max {max:.2?}"
    )?;
    Ok(())
}

fn main() -> Result<(), Failure> {
    let mut arguments = std::env::args_os().skip(1);
    let directory: PathBuf = arguments
        .next()
        .ok_or("give an empty directory on the disk to measure")?
        .into();
    let kills: u64 = arguments
        .next()
        .and_then(|kills| kills.into_string().ok())
        .map_or(Ok(20), |kills| kills.parse())?;
    let network = MemoryNetwork::new(1);
    let main = runtime()?;
    let mut nodes = start_all(&directory, &network, &main)?;
    let mut all: Vec<Seen> = Vec::new();
    let before = (processor_seconds()?, Instant::now());
    for kill in 0..kills {
        let led = main.block_on(leaders(&nodes))?;
        let victim = 1 + kill % NODES;
        let node = nodes.remove(&victim).ok_or("it runs")?;
        network.detach(NodeNumber(victim));
        let died = Instant::now();
        drop(node.groups);
        let ending = std::thread::spawn(move || node.runtime.shutdown_timeout(PATIENCE));
        let lost = led.iter().filter(|(_, leader)| **leader == victim);
        let follows: Vec<_> = lost
            .map(|(group, _)| {
                let handles = nodes
                    .values()
                    .map(|node: &Node| node.groups.group(GroupId(*group)));
                follow(*group, handles.collect(), died)
            })
            .collect();
        let seen = main.block_on(futures::future::try_join_all(follows))?;
        let slowest = seen.iter().filter_map(|one| one.served).max();
        writeln!(
            stdout(),
            "node {victim} led {} groups, the slowest was back after {slowest:.2?}",
            seen.len()
        )?;
        all.extend(seen);
        ending
            .join()
            .map_err(|panic| format!("the node did not end: {panic:?}"))?;
        nodes.insert(victim, start(&directory, &network, victim)?);
    }
    let share = (processor_seconds()? - before.0) / before.1.elapsed().as_secs_f64();
    writeln!(
        stdout(),
        "{kills} kills, {} groups of {GROUPS} lost their leader; {:.0} % of a core meanwhile",
        all.len(),
        share * 100.0
    )?;
    show(
        "first stood",
        all.iter().filter_map(|one| one.first_stood).collect(),
    )?;
    show(
        "elected",
        all.iter().filter_map(|one| one.elected).collect(),
    )?;
    show("served", all.iter().filter_map(|one| one.served).collect())?;
    let mut rounds: BTreeMap<usize, usize> = BTreeMap::new();
    for one in &all {
        *rounds.entry(one.stood.len()).or_default() += 1;
    }
    writeln!(
        stdout(),
        "terms in which a node stood, and in how many cases: {rounds:?}"
    )?;
    Ok(())
}
