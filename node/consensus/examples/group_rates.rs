//! Measures 64 groups on three nodes in one process, on real files: idle cost and proposals per second.
//!
//! `cargo run -p twinscale-consensus --example group_rates -- DIRECTORY`

mod nodes;

use std::collections::BTreeMap;
use std::io::{Write, stdout};
use std::path::PathBuf;
use std::time::Duration;

use bytes::Bytes;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep};
use twinscale_consensus::memory_network::MemoryNetwork;
use twinscale_consensus::{Group, GroupId};

use nodes::{
    Failure, GROUPS, NODES, Node, PATIENCE, leaders, processor_seconds, runtime, start_all,
};

const RUN: Duration = Duration::from_secs(8);

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

fn main() -> Result<(), Failure> {
    let directory: PathBuf = std::env::args_os()
        .nth(1)
        .ok_or("give an empty directory on the disk to measure")?
        .into();
    let network = MemoryNetwork::new(1);
    let main = runtime()?;
    let nodes = start_all(&directory, &network, &main)?;
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
    for node in nodes.into_values() {
        drop(node.groups);
        node.runtime.shutdown_timeout(PATIENCE);
    }
    Ok(())
}
