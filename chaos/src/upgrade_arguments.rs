//! The command line of the scenario of an upgrade.

use std::path::PathBuf;
use std::time::Duration;

use clap::Args;
use twinscale_chaos::ChaosError;
use twinscale_chaos::cluster::run::{ClusterSize, UpgradeOptions};

#[derive(Debug, Args)]
#[command(after_help = "\
Example (make test-upgrade does both):
  $ cargo build -p twinscale --features next-schema --target-dir target/next
  $ twinscale-chaos upgrade --next target/next/debug/twinscale --out run-1")]
pub(super) struct UpgradeArguments {
    /// The `twinscale` of the next schema, built with the feature next-schema.
    #[arg(long, value_name = "PROGRAM")]
    next: PathBuf,
    /// Nodes.
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u16).range(3..=15))]
    nodes: u16,
    /// Replicas of each shard; odd.
    #[arg(long, default_value_t = 3)]
    replication: u8,
    /// Shards.
    #[arg(long, default_value_t = 8, value_parser = clap::value_parser!(u32).range(1..=4_096))]
    shards: u32,
    /// Twins; each sends samples.
    #[arg(long, default_value_t = 24, value_parser = clap::value_parser!(u32).range(1..=9_999))]
    twins: u32,
    /// Twins whose policy is read and compare-and-set, by three clients each.
    #[arg(long, default_value_t = 6)]
    registers: u32,
    /// Seconds for which the cluster is left alone between two steps.
    #[arg(long, default_value_t = 3)]
    rest: u64,
    /// Picks what clients do.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// A new folder for what the run leaves: history, samples, calls, logs.
    #[arg(long, value_name = "DIR")]
    out: PathBuf,
}

impl UpgradeArguments {
    pub(super) fn options(&self, program: PathBuf) -> Result<UpgradeOptions, ChaosError> {
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
        if !self.next.is_file() {
            return Err(ChaosError::NotHere {
                what: format!("the next program {}", self.next.display()),
                because: "there is no such file; build it: make build-next".to_owned(),
            });
        }
        let absolute = |path: &PathBuf| {
            std::path::absolute(path).map_err(|source| ChaosError::Io {
                operation: "find",
                path: path.clone(),
                source,
            })
        };
        Ok(UpgradeOptions {
            size: ClusterSize {
                nodes: self.nodes,
                replication: self.replication,
                shards: self.shards,
                twins: self.twins,
            },
            registers: self.registers,
            rest: Duration::from_secs(self.rest),
            seed: self.seed,
            program,
            next: absolute(&self.next)?,
            folder: absolute(&self.out)?,
        })
    }
}
