//! The scenario on a cluster of real processes: faults befall it while clients read, write and send, and at
//! the end everything that was promised is checked.
//!
//! Every node has a network and a disk of its own where the machine lets it; the clients and the simulated
//! cloud are beside the runner and reach every node, also one that the others do not. A run leaves its
//! history, faults, samples and calls in a folder, from which it can be judged again.

mod clients;
mod operator;
mod processes;
mod ready;
mod settle;
mod steady;
mod upgrade;
mod verdict;

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{BufReader, BufWriter, Write as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use serde::Serialize;
use tokio::runtime::Runtime;
use tokio::signal::unix::{SignalKind, signal};
use tokio::task::JoinSet;
use twinscale::dev::layout::LayoutOptions;
use twinscale::service::client::ApiClient;
use twinscale_log::{MonotonicClock as _, SystemMonotonicClock};
use twinscale_protocol::ClusterId;

use super::availability::availability;
use super::cloud::{CloudRecord, TwinVms};
use super::damage::store_bytes;
use super::deployment::{Deployment as _, StoreDamage};
use super::fabric::Fabric;
use super::faults::{FaultRecord, Faults, RunClock};
use super::history::History;
use super::play::{Leaders, Played, Repair, Stage, play};
use super::recorder::Recorder;
use super::recovery::recoveries;
use super::register::{Effort, check_registers};
use super::schedule::{FaultKind, Pace, schedule};
use super::telemetry::{Stored, check_telemetry};
use crate::error::ChaosError;
use clients::{Shared, WRITERS, read_register, send_samples, write_register};
use operator::{Operator, Replicas};
use processes::{Processes, cloud_of};
use ready::{all_ready, configure, not_ready, ready};
pub use steady::Requests;
pub use upgrade::{Notes, Step, UpgradeOptions, UpgradeVerdict, run_upgrade};
pub use verdict::{ClusterSize, ClusterVerdict};

/// How long nodes may take until they serve, and twins until they are at rest.
const PATIENCE: Duration = Duration::from_mins(4);

/// Tasks that send samples.
const SENDERS: u32 = 8;

/// Registers' clients ask about every so often, each.
const REGISTER_PAUSE: Duration = Duration::from_millis(300);

/// Samples of a twin are so far apart.
const SAMPLE_SPACING: Duration = Duration::from_secs(4);

/// Between two answers of a register's twin no gap yet: what its clients' pauses and a slow answer come to.
const GAP_US: u64 = 1_500_000;

/// Entries that the slowest voter may be behind while clients write.
const LAG_MAX: u64 = 20;

/// Steps that a search of one register may take.
const STEPS_MAX: u64 = 200_000_000;

/// What is asked of a run.
#[derive(Clone, Debug)]
pub struct ClusterOptions {
    /// How large the cluster is.
    pub size: ClusterSize,
    /// Twins whose policy is a register.
    pub registers: u32,
    /// Faults of each kind.
    pub faults: BTreeMap<FaultKind, u32>,
    /// How long things take.
    pub pace: Pace,
    /// Root of all choices.
    pub seed: u64,
    /// This program.
    pub program: PathBuf,
    /// Where what the run leaves goes; new.
    pub folder: PathBuf,
}

/// Runs it; `say` is told how it goes on.
///
/// # Errors
/// [`ChaosError`] when the run cannot be carried out: a broken promise is in the verdict.
pub fn run_cluster(
    options: &ClusterOptions,
    say: &mut dyn FnMut(&str),
) -> Result<ClusterVerdict, ChaosError> {
    Run::prepare(options)?.carry_out(say)
}

struct Run<'a> {
    options: &'a ClusterOptions,
    runtime: Runtime,
    clock: Arc<SystemMonotonicClock>,
    twins: Vec<String>,
}

/// Tasks that go on until they are told to stop.
type Clients = JoinSet<Result<(), ChaosError>>;

/// Told how a run goes on.
type Say<'a> = &'a mut dyn FnMut(&str);

/// What a run leaves to be judged.
struct Left {
    played: Played,
    played_s: f64,
    faults: Vec<FaultRecord>,
    replicas: Replicas,
    stored: Stored,
    known: BTreeMap<String, TwinVms>,
    cloud: CloudRecord,
}

impl<'a> Run<'a> {
    fn prepare(options: &'a ClusterOptions) -> Result<Self, ChaosError> {
        fs::create_dir_all(&options.folder)
            .map_err(|error| ChaosError::io("create", &options.folder, error))?;
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(2)
            .enable_all()
            .build()
            .map_err(|error| ChaosError::io("start", "a runtime", error))?;
        Ok(Self {
            options,
            runtime,
            clock: Arc::new(SystemMonotonicClock::start()),
            twins: (0..options.size.twins)
                .map(|twin| format!("twin-{twin:04}"))
                .collect(),
        })
    }
}

impl Run<'_> {
    fn carry_out(&self, say: &mut dyn FnMut(&str)) -> Result<ClusterVerdict, ChaosError> {
        let options = self.options;
        let mut fabric = Fabric::build(usize::from(options.size.nodes))?;
        let network = fabric.kind();
        let processes = self.start(&mut fabric, say)?;
        let nodes = processes.clients();
        let cloud = cloud_of(processes.layout())?;
        let operator = Operator::new(options.program.clone(), processes.layout().clone());
        let clock = Arc::clone(&self.clock);
        let mut faults = Faults::new(processes, fabric, run_clock(clock));
        let replicas = operator.replicas().unwrap_or_default();
        let (shared, mut tasks) = self.start_clients(&nodes)?;
        let begun = self.clock.elapsed();
        let played = self.play(&mut faults, &operator, (&mut tasks, say))?;
        let played_s = self.clock.elapsed().saturating_sub(begun).as_secs_f64();
        say("all faults are over: waiting until the twins are at rest");
        shared.calm();
        self.runtime.block_on(all_ready(&mut faults, &nodes))?;
        let settled = settle::vms(&nodes, &cloud, &self.twins, PATIENCE);
        let (known, cloud) = self.runtime.block_on(settled)?;
        shared.stop();
        self.runtime.block_on(async {
            while let Some(ended) = tasks.join_next().await {
                ended.map_err(of_product)??;
            }
            Ok::<(), ChaosError>(())
        })?;
        shared.recorder.check()?;
        say("reading everything back");
        let stored = settle::stored(&nodes, &self.twins, PATIENCE);
        let stored = self.runtime.block_on(stored)?;
        let left = Left {
            faults: faults.records().to_vec(),
            played,
            played_s,
            replicas,
            stored,
            known,
            cloud,
        };
        self.keep(&left)?;
        say("checking");
        self.judge(left, network)
    }

    fn start(
        &self,
        fabric: &mut Fabric,
        say: &mut dyn FnMut(&str),
    ) -> Result<Processes, ChaosError> {
        let ClusterSize {
            nodes,
            replication,
            shards,
            ..
        } = self.options.size;
        let layout = LayoutOptions {
            cluster: ClusterId::new("chaos").map_err(of_product)?,
            nodes,
            replication,
            shards: Some(shards),
            addresses: Vec::new(),
            cloud: fabric.runner_address(),
            node_keys: toml::Table::new(),
        };
        let folder = self.options.folder.join("cluster");
        let mut processes = Processes::lay_out(&self.options.program, &folder, layout, fabric)?;
        say(&format!("starting {nodes} nodes"));
        for node in 0..processes.nodes() {
            processes.start(node)?;
        }
        let clients = processes.clients();
        self.runtime
            .block_on(ready(&clients))
            .map_err(|silent| not_ready(&processes, silent))?;
        say(&format!("configuring {} twins", self.twins.len()));
        self.runtime.block_on(configure(&clients, &self.twins))?;
        Ok(processes)
    }

    fn start_clients(&self, nodes: &[ApiClient]) -> Result<(Arc<Shared>, Clients), ChaosError> {
        let path = self.file("history.jsonl");
        let file = File::create(&path).map_err(|error| ChaosError::io("create", path, error))?;
        let clock = run_clock(Arc::clone(&self.clock));
        let recorder = Recorder::new(Box::new(file), clock);
        let pace = (REGISTER_PAUSE, SAMPLE_SPACING);
        let shared = Shared::new(nodes, recorder, self.options.seed, pace);
        let shared = Arc::new(shared);
        let mut tasks = JoinSet::new();
        let mut process = 0;
        let registers = usize::try_from(self.options.registers).unwrap_or(usize::MAX);
        for twin in self.twins.iter().take(registers) {
            for _ in 0..WRITERS {
                let client = write_register(Arc::clone(&shared), twin.clone(), process);
                tasks.spawn_on(client, self.runtime.handle());
                process += 1;
            }
            let client = read_register(Arc::clone(&shared), twin.clone(), process);
            tasks.spawn_on(client, self.runtime.handle());
            process += 1;
        }
        let of_each = self.twins.len().div_ceil(SENDERS as usize).max(1);
        for some in self.twins.chunks(of_each) {
            let client = send_samples(Arc::clone(&shared), some.to_vec(), process);
            tasks.spawn_on(client, self.runtime.handle());
            process += 1;
        }
        Ok((shared, tasks))
    }

    fn play(
        &self,
        faults: &mut Faults<Processes>,
        operator: &Operator,
        (tasks, say): (&mut Clients, Say<'_>),
    ) -> Result<Played, ChaosError> {
        let options = self.options;
        let size = (usize::from(options.size.nodes), self.twins.len());
        let rounds = schedule(&options.faults, size, options.pace, options.seed);
        let mut failed = None;
        // Heard from here on, also while a fault is made and nobody waits.
        let mut interrupts = {
            let _within = self.runtime.enter();
            signal(SignalKind::interrupt())
                .map_err(|error| ChaosError::io("listen for", "signals", error))?
        };
        let mut wait = |time: Duration| {
            let ended = self.runtime.block_on(async {
                tokio::select! {
                    () = tokio::time::sleep(time) => None,
                    _ = interrupts.recv() => Some(Ok(())),
                    // Clients go on until they are told to stop: one that ends has failed.
                    Some(ended) = tasks.join_next() => Some(ended.unwrap_or_else(|error| Err(of_product(error)))),
                }
            });
            match ended {
                None => true,
                Some(result) => {
                    failed = result.err();
                    false
                }
            }
        };
        let count = rounds.len();
        let mut stage = Stage {
            wait: &mut wait,
            leaders: &mut |_: &mut Processes| operator.leaders(),
            twins: &self.twins,
            repaired: &mut |processes, node| self.repaired(processes, node, operator),
            tell: &mut |place, fault| {
                say(&format!("round {} of {count}: {fault:?}", place + 1));
            },
        };
        let played = play(faults, &rounds, &mut stage)?;
        failed.map_or(Ok(played), Err)
    }

    /// Waits until a node that was started a moment ago serves and lags no more.
    fn repaired(
        &self,
        processes: &mut Processes,
        node: usize,
        operator: &Operator,
    ) -> Result<Repair, ChaosError> {
        let begun = self.clock.elapsed();
        let nodes = processes.clients();
        let one = nodes.get(node..=node).unwrap_or_default();
        self.runtime
            .block_on(ready(one))
            .map_err(|(_, said)| not_ready(processes, (node, said)))?;
        while !operator.is_whole(LAG_MAX) {
            if self.clock.elapsed().saturating_sub(begun) > PATIENCE {
                return Err(not_ready(processes, (node, "a replica lags".to_owned())));
            }
        }
        let took = self.clock.elapsed().saturating_sub(begun);
        Ok(Repair {
            fault: 0,
            damage: StoreDamage::Lost,
            took_ms: u64::try_from(took.as_millis()).unwrap_or(u64::MAX),
            bytes: store_bytes(&processes.store(node)?)?,
        })
    }

    fn judge(
        &self,
        left: Left,
        network: super::fabric::FabricKind,
    ) -> Result<ClusterVerdict, ChaosError> {
        let history = self.history()?;
        let effort = Effort {
            steps_max: STEPS_MAX,
            is_over: &|| false,
        };
        let nodes = usize::from(self.options.size.nodes);
        let registers = usize::try_from(self.options.registers).unwrap_or(usize::MAX);
        let registers: Vec<&str> = self
            .twins
            .iter()
            .take(registers)
            .map(String::as_str)
            .collect();
        let led = &left.played.led;
        let is_struck = |record: &FaultRecord, key: &str| {
            let leader = led
                .get(&record.number)
                .and_then(|led: &Leaders| led.get(key));
            registers.contains(&key)
                && leader.is_some_and(|leader| record.fault.struck(nodes).contains(leader))
        };
        let is_served = |record: &FaultRecord, key: &str| {
            let replicas = left.replicas.get(key);
            registers.contains(&key)
                && replicas.is_some_and(|replicas| record.fault.leaves_majority(replicas, nodes))
        };
        let verdict = ClusterVerdict {
            scenario: "cluster",
            seed: self.options.seed,
            size: self.options.size,
            network,
            played_s: left.played_s,
            registers: check_registers(&history, &effort),
            telemetry: check_telemetry(&history, &left.stored),
            fencing: left.cloud.check_fencing(),
            vms: left.cloud.check_vms(&left.known),
            fail_over: recoveries(&history, &left.faults, &is_struck),
            availability: availability(&history, &left.faults, GAP_US, &is_served),
            played: left.played.clone(),
            passed: false,
        };
        let verdict = verdict.judge();
        self.write("verdict.json", &verdict)?;
        Ok(verdict)
    }

    fn history(&self) -> Result<History, ChaosError> {
        let path = self.file("history.jsonl");
        let file = File::open(&path).map_err(|error| ChaosError::io("open", &path, error))?;
        History::read(BufReader::new(file)).map_err(|source| ChaosError::History { path, source })
    }

    fn keep(&self, left: &Left) -> Result<(), ChaosError> {
        self.write("faults.json", &left.faults)?;
        self.write("stored.json", &left.stored)?;
        self.write("cloud.json", &left.cloud)?;
        self.write("twins.json", &left.known)?;
        self.write("leaders.json", &left.played.led)?;
        self.write("replicas.json", &left.replicas)
    }

    fn write<T: Serialize>(&self, name: &str, what: &T) -> Result<(), ChaosError> {
        let path = self.file(name);
        let written = File::create(&path)
            .map(BufWriter::new)
            .and_then(|mut file| {
                serde_json::to_writer(&mut file, what)?;
                file.flush()
            });
        written.map_err(|error| ChaosError::io("write", path, error))
    }

    fn file(&self, name: &str) -> PathBuf {
        Path::new(&self.options.folder).join(name)
    }
}

fn run_clock(clock: Arc<SystemMonotonicClock>) -> RunClock {
    Box::new(move || u64::try_from(clock.elapsed().as_micros()).unwrap_or(u64::MAX))
}

/// Mixes two numbers into one that looks random (the finaliser of `SplitMix64`).
fn mix(one: u64, other: u64) -> u64 {
    let mut mixed = one
        .wrapping_mul(0x9e37_79b9_7f4a_7c15)
        .wrapping_add(other)
        .wrapping_add(0x9e37_79b9_7f4a_7c15);
    mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    mixed ^ (mixed >> 31)
}

fn of_product(error: impl std::error::Error) -> ChaosError {
    ChaosError::Product {
        reason: error.to_string(),
    }
}
