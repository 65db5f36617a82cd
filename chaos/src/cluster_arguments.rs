//! The command line of the scenario on a cluster.

use std::path::PathBuf;
use std::time::Duration;

use clap::Args;
use twinscale_chaos::ChaosError;
use twinscale_chaos::cluster::run::{ClusterOptions, ClusterSize};
use twinscale_chaos::cluster::schedule::{FaultKind, Pace};

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  # a few faults of each kind, in some minutes
  $ twinscale-chaos cluster --out run-1
  # the long run
  $ twinscale-chaos cluster --out run-2 --kills 100 --pauses 50 --partitions 50 --power-cuts 20")]
pub(super) struct ClusterArguments {
    /// Nodes.
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u16).range(3..=15))]
    nodes: u16,
    /// Replicas of each shard; odd.
    #[arg(long, default_value_t = 3)]
    replication: u8,
    /// Shards.
    #[arg(long, default_value_t = 16, value_parser = clap::value_parser!(u32).range(1..=4_096))]
    shards: u32,
    /// Twins; each sends samples.
    #[arg(long, default_value_t = 200, value_parser = clap::value_parser!(u32).range(1..=9_999))]
    twins: u32,
    /// Twins whose policy is read and compare-and-set, by three clients each.
    #[arg(long, default_value_t = 24)]
    registers: u32,
    /// SIGKILLs.
    #[arg(long, default_value_t = 4)]
    kills: u32,
    /// Restarts in order, by SIGTERM.
    #[arg(long, default_value_t = 2)]
    restarts: u32,
    /// Pauses.
    #[arg(long, default_value_t = 2)]
    pauses: u32,
    /// Partitions of each kind: halves, one way, single pairs.
    #[arg(long, default_value_t = 2)]
    partitions: u32,
    /// Power cuts of a minority of the nodes (needs root).
    #[arg(long, default_value_t = 2)]
    power_cuts: u32,
    /// Power cuts of all nodes at once (needs root).
    #[arg(long, default_value_t = 0)]
    power_cuts_of_all: u32,
    /// Disks that fill up (needs root).
    #[arg(long, default_value_t = 0)]
    full_disks: u32,
    /// Nodes whose store is deleted.
    #[arg(long, default_value_t = 0)]
    stores_lost: u32,
    /// Nodes whose store is corrupted.
    #[arg(long, default_value_t = 0)]
    stores_corrupted: u32,
    /// Seconds without a fault before each, at least.
    #[arg(long, default_value_t = 2)]
    rest: u64,
    /// Seconds that a fault lasts, at least; up to half as long again.
    #[arg(long, default_value_t = 4)]
    hold: u64,
    /// Seconds that a pause lasts, at least.
    #[arg(long, default_value_t = 10)]
    pause_hold: u64,
    /// Picks faults, victims and what clients do.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// A new folder for what the run leaves: history, faults, samples, calls, logs.
    #[arg(long, value_name = "DIR")]
    out: PathBuf,
}

impl ClusterArguments {
    pub(super) fn options(&self, program: PathBuf) -> Result<ClusterOptions, ChaosError> {
        if self.out.exists() {
            return Err(ChaosError::NotHere {
                what: format!("a run in {}", self.out.display()),
                because: "the folder is there already; name a new one".to_owned(),
            });
        }
        if self.replication.is_multiple_of(2) || u16::from(self.replication) > self.nodes {
            return Err(ChaosError::NotHere {
                what: format!("replication {} on {} nodes", self.replication, self.nodes),
                because: "it must be odd and no more than there are nodes".to_owned(),
            });
        }
        let out = std::path::absolute(&self.out).map_err(|source| ChaosError::Io {
            operation: "find",
            path: self.out.clone(),
            source,
        })?;
        Ok(ClusterOptions {
            size: ClusterSize {
                nodes: self.nodes,
                replication: self.replication,
                shards: self.shards,
                twins: self.twins,
            },
            registers: self.registers,
            faults: [
                (FaultKind::Kill, self.kills),
                (FaultKind::Restart, self.restarts),
                (FaultKind::Pause, self.pauses),
                (FaultKind::PartitionHalf, self.partitions),
                (FaultKind::PartitionOneWay, self.partitions),
                (FaultKind::PartitionPair, self.partitions),
                (FaultKind::PowerCut, self.power_cuts),
                (FaultKind::PowerCutAll, self.power_cuts_of_all),
                (FaultKind::DiskFull, self.full_disks),
                (FaultKind::StoreLost, self.stores_lost),
                (FaultKind::StoreCorrupted, self.stores_corrupted),
            ]
            .into(),
            pace: Pace {
                rest: Duration::from_secs(self.rest),
                hold: Duration::from_secs(self.hold),
                pause: Duration::from_secs(self.pause_hold),
            },
            seed: self.seed,
            program,
            folder: out,
        })
    }
}
