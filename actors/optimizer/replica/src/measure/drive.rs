//! The whole of a measurement, from the engine's version to the last container gone.

use super::calibrate::{Observation, TierUse, calibrated, delayed};
use super::compare::{Seen, rates_at};
use super::observe::{Between, Running, load_average, snapshot};
use super::report::Report;
use crate::burn::core_speed;
use crate::clock::now;
use crate::config::{Objects, Peer, REDIS_PORT, TIER_PORT};
use crate::engine::{Engine, EngineError, Run, RunSettings};
use crate::load::{Entry, LoadOutcome, LoadRun, RunOptions, ScheduleError, schedule};
use crate::plan::{ContainerSpec, Machine, Plan, PlanError, Program, plan, serve_config};
use crate::serve::{HttpConnection, RedisConnection, RedisError};
use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;
use twinscale_environment::flow::FlowError;
use twinscale_environment::model::StackModel;
use twinscale_environment::simulation::{Load, Options, Outcome, SimulationError, simulate};
use twinscale_protocol::{RequestClassName, TierName};

/// Longest wait for a container, a loaded Redis included.
const READY_LIMIT: Duration = Duration::from_mins(1);
/// How long containers are watched while nothing comes: their own housekeeping.
const IDLE: Duration = Duration::from_secs(3);
/// Time between the decision to start a load and its first second: its threads are made meanwhile.
const LEAD: Duration = Duration::from_millis(200);
/// CPU time of each of five measurements of the core's speed, in seconds.
const SPEED_S: f64 = 0.05;
/// Keys that are set in one go.
const LOAD_BATCH: usize = 256;
/// Runs of the simulation: enough for intervals of a tenth of a run's spread.
const RUNS: u32 = 96;

/// What to measure, and how.
#[derive(Clone, Debug)]
pub struct MeasureOptions {
    /// Utilisations of the bottleneck.
    pub loads: Vec<f64>,
    /// How long each load counts, in seconds.
    pub seconds: f64,
    /// Time before that, in seconds.
    pub warm_up_s: f64,
    /// Utilisation of the bottleneck in the calibration.
    pub calibration_load: f64,
    /// How long each class counts in the calibration, in seconds.
    pub calibration_s: f64,
    /// Root of all randomness.
    pub seed: u64,
    /// The image.
    pub image: String,
    /// This program.
    pub program: PathBuf,
    /// The machine.
    pub machine: Machine,
    /// Period of CPU quotas, in microseconds.
    pub period_us: u32,
    /// Control group above those of the containers.
    pub cgroup_parent: Option<String>,
}

/// Why there are no figures.
#[derive(Debug, thiserror::Error)]
pub enum MeasureError {
    /// The stack has no replica.
    #[error(transparent)]
    Plan(#[from] PlanError),
    /// The container engine does not do what it was asked.
    #[error(transparent)]
    Engine(#[from] EngineError),
    /// The load cannot be sent.
    #[error(transparent)]
    Schedule(#[from] ScheduleError),
    /// The model has no flow.
    #[error(transparent)]
    Flow(#[from] FlowError),
    /// The model cannot be simulated.
    #[error(transparent)]
    Simulation(#[from] SimulationError),
    /// A Redis cannot be loaded.
    #[error(transparent)]
    Redis(#[from] RedisError),
    /// A file or connection failed.
    #[error("{what}: {source}")]
    Io {
        /// What was attempted.
        what: &'static str,
        /// Why it failed.
        source: io::Error,
    },
    /// Containers did nothing that could be measured.
    #[error(
        "class {0} was never served while it was calibrated: look at the time-outs and limits of the model"
    )]
    Unserved(RequestClassName),
}

fn io(what: &'static str) -> impl FnOnce(io::Error) -> MeasureError {
    move |source| MeasureError::Io { what, source }
}

/// Builds the replica of a stack, calibrates, measures, removes it, simulates, and compares. `say` is told what is
/// being done. When the future is dropped, all containers are removed as well.
///
/// # Errors
/// [`MeasureError`].
pub async fn measure(
    model: &StackModel,
    options: &MeasureOptions,
    say: &(dyn Fn(&str) + Sync),
) -> Result<Report, MeasureError> {
    let plan = plan(model, &options.machine, options.period_us)?;
    let engine = Engine;
    let version = engine.version().await?;
    engine.has_image(&options.image).await?;
    let core_speed = core_speed(SPEED_S);
    say(&format!(
        "engine {version}, a core does {:.0} million rounds/s",
        core_speed / 1e6
    ));
    let folder = tempfile::Builder::new()
        .prefix("twinscale-replica-")
        .tempdir();
    let folder = folder.map_err(io("a folder for configurations"))?;
    let settings = settings(options, folder.path());
    let run = Run::begin(engine, settings.clone()).await?;
    let running = bring_up(&run, &plan, &settings, say).await?;
    let bench = Bench {
        plan: &plan,
        running: &running,
        options,
    };
    let observations = bench.observations(say).await?;
    let burns = plan
        .containers
        .iter()
        .filter_map(|spec| match spec.program {
            Program::Serve { speed } => Some((spec.tier.clone(), speed)),
            Program::Redis(_) => None,
        });
    let burns: BTreeMap<TierName, f64> = burns.collect();
    let fitted = calibrated(&plan.comparable.model, &observations, &burns);
    let mut seen = Vec::new();
    for (number, load) in (2..).zip(&options.loads) {
        let rates = rates_at(&fitted.model, *load)?;
        say(&format!("load {load}: {}", shown(&rates)));
        let times = (options.warm_up_s, options.seconds);
        let (outcome, between) = bench.run(&rates, times, number).await?;
        seen.push(bench.seen(*load, rates, outcome, &between));
    }
    say("removing the containers, then simulating");
    drop(run);
    let (model, delays_s) = delayed(&fitted.model, &observations, &burns);
    let mut rows = Vec::new();
    for one in &seen {
        let times = (options.warm_up_s, options.seconds);
        rows.push(one.beside(&predict(&model, &one.rates, times, options.seed)?));
    }
    Ok(Report {
        form: Report::FORM.to_owned(),
        engine: version,
        core_speed,
        seed: options.seed,
        seconds: options.seconds,
        calibration_load: options.calibration_load,
        observations,
        fits: fitted.fits,
        delays_s,
        left_out: plan.comparable.left_out.clone(),
        loads: rows,
    })
}

/// The folder's name, which nobody else has, names the run.
fn settings(options: &MeasureOptions, folder: &Path) -> RunSettings {
    let name = folder.file_name().map(|name| name.to_string_lossy());
    RunSettings {
        run: name.unwrap_or_default().replace('.', "-").to_lowercase(),
        image: options.image.clone(),
        program: options.program.clone(),
        folder: folder.to_owned(),
        cgroup_parent: options.cgroup_parent.clone(),
    }
}

fn shown(rates: &BTreeMap<RequestClassName, f64>) -> String {
    let each = rates
        .iter()
        .map(|(class, rate)| format!("{class} {rate:.1}/s"));
    each.collect::<Vec<_>>().join(", ")
}

/// What the discrete-event engine says: many runs as long as the measurement.
fn predict(
    model: &StackModel,
    rates: &BTreeMap<RequestClassName, f64>,
    (warm_up_s, seconds): (f64, f64),
    seed: u64,
) -> Result<Outcome, MeasureError> {
    let rates = rates
        .iter()
        .map(|(class, rate)| (class.clone(), *rate))
        .collect();
    let load = Load::steady(rates, warm_up_s + seconds);
    let options = Options {
        seed,
        threads: 1,
        replications: RUNS,
        warm_up_s,
        stop: None,
    };
    Ok(simulate(model, &load, &[], &options, &|_| true)?)
}

/// Starts all containers, callees first, waits for each, and loads what is to be loaded.
async fn bring_up(
    run: &Run,
    plan: &Plan,
    settings: &RunSettings,
    say: &(dyn Fn(&str) + Sync),
) -> Result<Vec<Running>, MeasureError> {
    let mut addresses: BTreeMap<TierName, Vec<String>> = BTreeMap::new();
    let mut running = Vec::new();
    for spec in &plan.containers {
        let name = spec.name();
        say(&format!("starting {name} on cores {:?}", spec.cpu.cpuset));
        if matches!(spec.program, Program::Serve { .. }) {
            let config = serve_config(plan, spec, &addresses);
            let text = serde_json::to_vec_pretty(&config).map_err(io::Error::from);
            let file = settings.folder.join(format!("{name}.json"));
            let written = text.and_then(|text| std::fs::write(file, text));
            written.map_err(io("the configuration of a container"))?;
        }
        let address = run.start(spec).await?;
        let port = match spec.program {
            Program::Serve { .. } => TIER_PORT,
            Program::Redis(_) => REDIS_PORT,
        };
        let full = format!("{address}:{port}");
        run.ready(spec, READY_LIMIT, || answers(spec, full.clone()))
            .await?;
        if let Program::Redis(redis) = &spec.program
            && !redis.is_replica
        {
            for objects in &redis.objects {
                fill(&full, objects).await?;
            }
        }
        addresses.entry(spec.tier.clone()).or_default().push(full);
        running.push(Running {
            account: run.account(spec).await?,
            spec: spec.clone(),
            address,
        });
    }
    Ok(running)
}

async fn answers(spec: &ContainerSpec, address: String) -> Result<(), String> {
    match spec.program {
        Program::Serve { .. } => {
            let asked = async { HttpConnection::connect(&address).await?.get("/ready").await };
            asked.await.map(drop).map_err(|error| error.to_string())
        }
        Program::Redis(_) => {
            let asked = async { RedisConnection::connect(&address).await?.ping().await };
            asked.await.map_err(|error| error.to_string())
        }
    }
}

/// Loads objects.
async fn fill(address: &str, objects: &Objects) -> Result<(), RedisError> {
    let mut redis = RedisConnection::connect(address).await?;
    let value = vec![b'v'; objects.bytes];
    let keys: Vec<String> = (0..objects.count)
        .map(|number| format!("{}{number}", objects.prefix))
        .collect();
    for batch in keys.chunks(LOAD_BATCH) {
        redis.set_all(batch, &value).await?;
    }
    Ok(())
}

/// Containers that run, ready to be loaded.
struct Bench<'a> {
    plan: &'a Plan,
    running: &'a [Running],
    options: &'a MeasureOptions,
}

impl Bench<'_> {
    /// Watches containers idle, then each class alone.
    async fn observations(
        &self,
        say: &(dyn Fn(&str) + Sync),
    ) -> Result<Vec<Observation>, MeasureError> {
        let options = self.options;
        let rates = rates_at(&self.plan.comparable.model, options.calibration_load)?;
        say(&format!("warming up: {}", shown(&rates)));
        self.run(&rates, (0.0, options.warm_up_s.max(1.0)), 0)
            .await?;
        let idle = self.idle().await?;
        let mut found = Vec::new();
        for class in rates.keys() {
            let alone = alone(&self.plan.comparable.model, class, options.calibration_load)?;
            say(&format!("calibrating: {} alone", shown(&alone)));
            let times = (options.warm_up_s, options.calibration_s);
            let (outcome, between) = self.run(&alone, times, 1).await?;
            let seen = outcome.classes.iter().find(|seen| seen.class == *class);
            let seen = seen.filter(|seen| seen.served > 0);
            let seen = seen.ok_or_else(|| MeasureError::Unserved(class.clone()))?;
            found.push(Observation {
                class: class.clone(),
                rate_per_s: alone[class],
                requests: seen.served,
                rest_p50_s: seen.rests.quantile(0.5),
                tiers: uses(&between, &idle, options.calibration_s),
            });
        }
        Ok(found)
    }

    /// CPU seconds per second of each tier while nothing comes.
    async fn idle(&self) -> Result<BTreeMap<TierName, f64>, MeasureError> {
        let before = snapshot(self.running)
            .await
            .map_err(io("looking at containers"))?;
        let begun = now();
        tokio::time::sleep(IDLE).await;
        let seconds = begun.elapsed().as_secs_f64();
        let after = snapshot(self.running)
            .await
            .map_err(io("looking at containers"))?;
        let between = after.since(&before, self.running);
        let used = between.cpu_s.into_iter();
        Ok(used.map(|(tier, cpu_s)| (tier, cpu_s / seconds)).collect())
    }

    /// Sends a load and watches the part of it that counts.
    async fn run(
        &self,
        rates: &BTreeMap<RequestClassName, f64>,
        (warm_up_s, seconds): (f64, f64),
        number: u64,
    ) -> Result<(LoadOutcome, Between), MeasureError> {
        let model = &self.plan.comparable.model;
        let rates = rates
            .iter()
            .map(|(class, rate)| (class.clone(), *rate))
            .collect();
        let load = Load::steady(rates, warm_up_s + seconds);
        let planned = schedule(model, &load, self.options.seed.wrapping_add(number))?;
        let entries = planned
            .classes
            .iter()
            .map(|class| self.entry(class))
            .collect();
        let start = now() + LEAD;
        let options = RunOptions {
            start,
            warm_up_s,
            core: Some(self.plan.generator_core),
        };
        let load = LoadRun::start(planned, entries, options).map_err(io("the generator"))?;
        let at = |seconds| (start + Duration::from_secs_f64(seconds)).into();
        tokio::time::sleep_until(at(warm_up_s)).await;
        let before = snapshot(self.running)
            .await
            .map_err(io("looking at containers"))?;
        tokio::time::sleep_until(at(warm_up_s + seconds)).await;
        let after = snapshot(self.running)
            .await
            .map_err(io("looking at containers"))?;
        let outcome = load.finish().await.map_err(io("the generator"))?;
        Ok((outcome, after.since(&before, self.running)))
    }

    fn entry(&self, class: &RequestClassName) -> Entry {
        let model = &self.plan.comparable.model;
        let stated = &model.classes[class];
        let of_entry = self
            .running
            .iter()
            .filter(|one| one.spec.tier == stated.entry);
        let peers = of_entry.map(|one| Peer {
            address: format!("{}:{TIER_PORT}", one.address),
            cores: one.spec.cores,
            is_primary: true,
        });
        Entry {
            peers: peers.collect(),
            balancer: model.tiers[&stated.entry].balancer,
            request_bytes: bytes(stated.request_bytes),
            response_bytes: bytes(stated.response_bytes),
        }
    }

    fn seen(
        &self,
        load: f64,
        rates: BTreeMap<RequestClassName, f64>,
        outcome: LoadOutcome,
        between: &Between,
    ) -> Seen {
        let mut cores: BTreeMap<TierName, f64> = BTreeMap::new();
        for one in self.running {
            *cores.entry(one.spec.tier.clone()).or_default() += one.spec.cores;
        }
        let seconds = self.options.seconds;
        let share = |(tier, cpu_s): (&TierName, &f64)| {
            (
                tier.clone(),
                cpu_s / (seconds * cores.get(tier).copied().unwrap_or(1.0)),
            )
        };
        Seen {
            load,
            rates,
            outcome,
            utilisations: between.cpu_s.iter().map(share).collect(),
            load_average: load_average(),
            other_share: between.other_share,
            hits: between.servers.values().map(|server| server.hits).sum(),
            misses: between.servers.values().map(|server| server.misses).sum(),
        }
    }
}

/// What each tier did, without what it does when idle.
fn uses(
    between: &Between,
    idle: &BTreeMap<TierName, f64>,
    seconds: f64,
) -> BTreeMap<TierName, TierUse> {
    let calls = |tier: &TierName| {
        let servers = between.servers.values();
        let calls = servers.filter_map(|server| server.calls.get(tier.as_str()));
        calls.sum::<u64>()
    };
    let of = |(tier, cpu_s): (&TierName, &f64)| {
        let server = between.servers.get(tier);
        let idle_s = idle.get(tier).copied().unwrap_or(0.0) * seconds;
        let used = TierUse {
            cpu_s: (cpu_s - idle_s).max(0.0),
            burnt_s: server.map_or(0.0, |server| server.burnt_s.values().sum()),
            visits: server.map_or_else(|| calls(tier), |server| server.visits.values().sum()),
        };
        (tier.clone(), used)
    };
    between.cpu_s.iter().map(of).collect()
}

/// The rate at which a class alone uses the bottleneck to `load`.
fn alone(
    model: &StackModel,
    class: &RequestClassName,
    load: f64,
) -> Result<BTreeMap<RequestClassName, f64>, FlowError> {
    let mut only = model.clone();
    for (name, stated) in &mut only.classes {
        stated.share = None;
        stated.rate_per_s = Some(if name == class { 1.0 } else { 0.0 });
    }
    only.rate_per_s = None;
    rates_at(&only, load)
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "the planner allows at most 1 MiB"
)]
fn bytes(number: f64) -> usize {
    number.max(0.0) as usize
}
