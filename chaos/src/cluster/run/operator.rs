//! What the operators' commands say of the cluster under test: who leads which twin, who copies which shard.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::process::{Command, Output, Stdio};
use std::time::Duration;

use serde::Deserialize;
use twinscale::dev::layout::Layout;

use super::super::play::Leaders;

/// How long a command may take before nobody is known to lead.
const LIMIT: Duration = Duration::from_secs(5);

/// Asks the nodes of a cluster as an operator.
#[derive(Clone, Debug)]
pub(super) struct Operator {
    program: PathBuf,
    layout: Layout,
}

#[derive(Debug, Deserialize)]
struct TwinsAnswer {
    twins: Vec<TwinLine>,
}

#[derive(Debug, Deserialize)]
struct TwinLine {
    customer: String,
    node_name: String,
    shard: u32,
}

#[derive(Debug, Deserialize)]
struct ShardsAnswer {
    names: BTreeMap<u64, String>,
    shards: Vec<ShardLine>,
}

#[derive(Debug, Deserialize)]
struct ShardLine {
    shard: Option<u32>,
    voters: Vec<u64>,
    health: String,
    lag: Option<u64>,
}

/// Where the replicas of each twin's shard are, by its customer: places among the nodes.
pub(super) type Replicas = BTreeMap<String, BTreeSet<usize>>;

impl Operator {
    pub(super) fn new(program: PathBuf, layout: Layout) -> Self {
        Self { program, layout }
    }

    /// Which node drives each twin; without those that nobody drives now.
    pub(super) fn leaders(&self) -> Leaders {
        let answer: Option<TwinsAnswer> = self.ask(&["twins", "ls", "--limit", "0"]);
        let twins = answer.map(|answer| answer.twins).unwrap_or_default();
        let placed = twins.into_iter();
        placed
            .filter_map(|twin| Some((twin.customer, self.place(&twin.node_name)?)))
            .collect()
    }

    /// Which nodes copy each twin's shard; nothing when the cluster does not say.
    pub(super) fn replicas(&self) -> Option<Replicas> {
        let twins: TwinsAnswer = self.ask(&["twins", "ls", "--limit", "0"])?;
        let shards: ShardsAnswer = self.ask(&["shards"])?;
        let place = |number: &u64| self.place(shards.names.get(number)?);
        let voters: BTreeMap<u32, BTreeSet<usize>> = shards
            .shards
            .iter()
            .filter_map(|line| Some((line.shard?, line.voters.iter().filter_map(place).collect())))
            .collect();
        let of_twin = |twin: TwinLine| Some((twin.customer, voters.get(&twin.shard)?.clone()));
        Some(twins.twins.into_iter().filter_map(of_twin).collect())
    }

    /// Whether every group says that all its voters answer and none lags by more than so many entries.
    pub(super) fn is_whole(&self, lag_max: u64) -> bool {
        let answer: Option<ShardsAnswer> = self.ask(&["shards"]);
        let is_whole =
            |line: &ShardLine| line.health == "sound" && line.lag.is_some_and(|lag| lag <= lag_max);
        answer.is_some_and(|answer| answer.shards.iter().all(is_whole))
    }

    fn place(&self, name: &str) -> Option<usize> {
        let mut nodes = self.layout.nodes.iter();
        nodes.position(|node| node.name == name)
    }

    fn ask<T: serde::de::DeserializeOwned>(&self, words: &[&str]) -> Option<T> {
        serde_json::from_slice(&self.command(words)?.stdout).ok()
    }

    /// Gives a command. Any node may be asked: it goes on to the next one that answers.
    pub(super) fn command(&self, words: &[&str]) -> Option<Output> {
        let mut command = Command::new("timeout");
        command
            .arg(LIMIT.as_secs().to_string())
            .arg(&self.program)
            .arg("node")
            .args(words)
            .arg("--json")
            .args(self.layout.operator_arguments())
            .stdin(Stdio::null());
        command.output().ok()
    }
}
