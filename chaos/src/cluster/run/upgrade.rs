//! A rolling upgrade under load: nodes of one program are replaced, one after the other, by the next one,
//! which stores a kind that the first does not know.
//!
//! Until the schema is raised the new kind is refused by name and every node can go back; raising it is
//! refused while a node lacks it; afterwards the old program does not start on what the new one wrote. All
//! the while clients read, write and send, and at the end everything that was promised is checked.

mod steps;
mod verdict;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tokio::task::JoinSet;
use twinscale::service::client::ApiClient;

use super::super::fabric::Fabric;
use super::super::register::{Effort, check_registers};
use super::super::schedule::Pace;
use super::super::telemetry::check_telemetry;
use super::clients::Shared;
use super::operator::Operator;
use super::processes::{NodeProgram, Processes, cloud_of};
use super::steady::{Requests, steady};
use super::{
    Clients, ClusterOptions, ClusterSize, LAG_MAX, PATIENCE, Run, STEPS_MAX, Say, not_ready,
    of_product, ready, settle,
};
use crate::error::ChaosError;
use steps::Upgrade;
pub use verdict::{Notes, Step, UpgradeVerdict};

/// Clients that count what failed beyond retries.
const STEADY: usize = 6;

/// What is asked of a run.
#[derive(Clone, Debug)]
pub struct UpgradeOptions {
    /// How large the cluster is.
    pub size: ClusterSize,
    /// Twins whose policy is a register.
    pub registers: u32,
    /// How long the cluster is left alone between two steps.
    pub rest: Duration,
    /// Root of all choices.
    pub seed: u64,
    /// This program, which the nodes run first.
    pub program: PathBuf,
    /// The `twinscale` that they run next, of the next schema.
    pub next: PathBuf,
    /// Where what the run leaves goes; new.
    pub folder: PathBuf,
}

/// Runs it; `say` is told how it goes on.
///
/// # Errors
/// [`ChaosError`] when the run cannot be carried out: a broken promise is in the verdict.
pub fn run_upgrade(
    options: &UpgradeOptions,
    say: &mut dyn FnMut(&str),
) -> Result<UpgradeVerdict, ChaosError> {
    let cluster = ClusterOptions {
        size: options.size,
        registers: options.registers,
        faults: BTreeMap::new(),
        pace: Pace {
            rest: options.rest,
            hold: Duration::ZERO,
            pause: Duration::ZERO,
        },
        seed: options.seed,
        program: options.program.clone(),
        folder: options.folder.clone(),
    };
    let run = Run::prepare(&cluster)?;
    run.carry_out_upgrade(options, say)
}

/// All clients of a run.
struct Load {
    shared: Arc<Shared>,
    clients: Clients,
    steady: JoinSet<Requests>,
    stop: Arc<AtomicBool>,
}

impl Run<'_> {
    fn carry_out_upgrade(
        &self,
        options: &UpgradeOptions,
        say: Say<'_>,
    ) -> Result<UpgradeVerdict, ChaosError> {
        let mut fabric = Fabric::build(usize::from(options.size.nodes))?;
        let network = fabric.kind();
        let processes = self.start(&mut fabric, say)?;
        let nodes = processes.clients();
        let cloud = cloud_of(processes.layout())?;
        let load = self.start_load(&nodes)?;
        let begun = tokio::time::Instant::now();
        let mut upgrade = Upgrade::new(self, processes, NodeProgram::alone(&options.next), say);
        upgrade.carry_out()?;
        let took_s = begun.elapsed().as_secs_f64();
        upgrade.say("all nodes are upgraded: waiting until the twins are at rest");
        load.shared.calm();
        let settled = settle::vms(&nodes, &cloud, &self.twins, PATIENCE);
        let (known, cloud) = self.runtime.block_on(settled)?;
        let requests = self.end_load(load)?;
        upgrade.say("reading everything back");
        let stored = settle::stored(&nodes, &self.twins, PATIENCE);
        let stored = self.runtime.block_on(stored)?;
        let notes = upgrade.read_notes()?;
        let found = upgrade.found();
        let history = self.history()?;
        let effort = Effort {
            steps_max: STEPS_MAX,
            is_over: &|| false,
        };
        let verdict = UpgradeVerdict {
            scenario: "upgrade",
            seed: options.seed,
            size: options.size,
            network,
            took_s,
            steps: found.steps,
            broken: found.broken,
            notes,
            requests,
            registers: check_registers(&history, &effort),
            telemetry: check_telemetry(&history, &stored),
            fencing: cloud.check_fencing(),
            vms: cloud.check_vms(&known),
            passed: false,
        };
        let verdict = verdict.judge();
        self.write("stored.json", &stored)?;
        self.write("cloud.json", &cloud)?;
        self.write("verdict.json", &verdict)?;
        Ok(verdict)
    }

    fn start_load(&self, nodes: &[ApiClient]) -> Result<Load, ChaosError> {
        let (shared, clients) = self.start_clients(nodes)?;
        let stop = Arc::new(AtomicBool::new(false));
        let mut tasks = JoinSet::new();
        for (number, other) in self.twins.iter().cycle().take(STEADY).enumerate() {
            let twins = (format!("steady-{number}"), other.clone());
            let client = steady(nodes.to_vec(), twins, Arc::clone(&stop));
            tasks.spawn_on(client, self.runtime.handle());
        }
        Ok(Load {
            shared,
            clients,
            steady: tasks,
            stop,
        })
    }

    fn end_load(&self, load: Load) -> Result<Requests, ChaosError> {
        let Load {
            shared,
            mut clients,
            steady: mut tasks,
            stop,
        } = load;
        shared.stop();
        stop.store(true, Ordering::Relaxed);
        let mut requests = Requests::default();
        self.runtime.block_on(async {
            while let Some(ended) = clients.join_next().await {
                ended.map_err(of_product)??;
            }
            while let Some(ended) = tasks.join_next().await {
                requests.add(ended.map_err(of_product)?);
            }
            Ok::<(), ChaosError>(())
        })?;
        shared.recorder.check()?;
        Ok(requests)
    }
}
