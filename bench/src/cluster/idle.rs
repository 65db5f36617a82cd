//! What a cluster that nobody asks anything costs: processor time of its nodes, by the number of shards.

use super::processes::cpu_time;
use super::twinscale::Cluster;
use serde::Serialize;
use std::path::Path;
use std::time::Duration;
use tokio::time::Instant;

/// What an idle cluster takes.
#[derive(Debug, Serialize)]
pub struct Idle {
    /// Shards, each with three replicas on three nodes.
    pub shards: u32,
    /// Processor time of one node, as a share of one processor, in percent.
    pub cpu_percent: f64,
    /// Resident memory of one node, in MiB.
    pub memory_mib: f64,
}

/// Measures a new cluster for a time.
pub async fn idle(directory: &Path, shards: u32, time: Duration) -> anyhow::Result<Idle> {
    let scratch = tempfile::tempdir_in(directory)?;
    let cluster = Cluster::start(scratch.path(), shards).await?;
    // What starting leaves behind is done by then.
    tokio::time::sleep(time).await;
    let (before, begun) = (taken(&cluster)?, Instant::now());
    tokio::time::sleep(time).await;
    let after = taken(&cluster)?;
    let nodes = cluster.processes().count().max(1) as f64;
    let cpu = (after.0.saturating_sub(before.0)).as_secs_f64() / begun.elapsed().as_secs_f64();
    Ok(Idle {
        shards,
        cpu_percent: cpu * 100.0 / nodes,
        memory_mib: after.1 as f64 / (1 << 20) as f64 / nodes,
    })
}

fn taken(cluster: &Cluster) -> anyhow::Result<(Duration, u64)> {
    let mut total = (Duration::ZERO, 0);
    for process in cluster.processes() {
        let (time, bytes) = cpu_time(process)?;
        total.0 += time;
        total.1 += bytes;
    }
    Ok(total)
}
