//! Goes through the phases with one number of twins.

use super::fleet::{self, Fleet, HISTORY_STEPS, INTERVAL, TIERS, step_at};
use super::memory::at_rest;
use super::report::{GrowthRow, Latency, MemoryMib};
use crate::assembly::{ForecastWeights, Node, NodeOptions, NodeTwin, WatchLimits};
use crate::error::ExpectedError;
use crate::micro::network_speed;
use crate::observe::Instruments;
use crate::progress::Progress;
use anyhow::Context as _;
use futures::{StreamExt as _, TryStreamExt as _};
use std::future::Future;
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};
use std::time::Duration;
use tokio::time::Instant;
use twinscale_forecaster::actor::ForecasterRequest;
use twinscale_log::MonotonicClock;
use twinscale_optimizer::actor::OptimizerRequest;
use twinscale_protocol::forecaster::ForecastRequest;
use twinscale_protocol::optimizer::{PlanRequest, PlanTrigger};
use twinscale_protocol::twin::TickRequest;
use twinscale_protocol::{CustomerId, DomainTime};
use twinscale_provisioner::SimCloudConfig;
use twinscale_twin::demand::{PlanBasis, plan_request};
use twinscale_twin::{TurnSummary, TwinMessage, TwinState, cycle};

/// Twins that are asked at once, as many as a node's own schedule lets run.
const AT_ONCE: usize = 64;

/// System time for one answer: a first turn back-casts, and waits behind others that do.
const ASK_LIMIT: Duration = Duration::from_mins(10);

/// Least time for which forecasts and plans are asked for; few twins are asked again until it is over.
const LEAST: Duration = Duration::from_secs(1);

/// Turns of each twin that are timed, after the first.
const ROUNDS: u32 = 2;

/// Parts of a run, for its progress.
const PARTS: u64 = 9;

/// Twins that are given their history before those that are done are put away.
const HISTORY_CHUNK: u32 = 1_000;

/// Twins at rest that are asked for something, one after the other.
const COLD_MAX: usize = 1_000;

/// Twins whose snapshot is measured, of those with turns and of those without.
const WEIGHED_MAX: u32 = 200;

/// How to measure.
#[derive(Clone, Debug)]
pub struct GrowthOptions {
    /// Folder of log and store.
    pub directory: PathBuf,
    /// Twins.
    pub twins: u32,
    /// Most twins that are given turns; the others have their history and rest.
    pub active_max: u32,
    /// The forecaster's weights.
    pub weights: ForecastWeights,
}

/// Measures with one number of twins; memory counts only in a process that did nothing else before.
///
/// # Errors
/// When the node does not start, or does not do what it is asked.
#[expect(
    clippy::too_many_lines,
    reason = "one measurement after the other, each of what the one before left"
)]
pub async fn measure(
    options: &GrowthOptions,
    clock: &dyn MonotonicClock,
    progress: &Progress,
) -> anyhow::Result<GrowthRow> {
    let part = |done, text: &str| {
        progress.of(done, PARTS);
        progress.note(format!("{} twins: {text}", options.twins));
    };
    let load_average_begin = load_average()?;
    let mut run = Run::start(options).await?;
    run.warm_up().await?;
    let process = at_rest().await?;
    part(0, "history");
    let begun = Instant::now();
    run.give_history(options.twins).await?;
    let histories_per_s = per_second(options.twins, begun.elapsed());
    let passive = at_rest().await?;
    part(1, "actors");
    let active = options.twins.min(options.active_max);
    let begun = Instant::now();
    run.activate(active).await?;
    let activations_per_s = per_second(active, begun.elapsed());
    let idle = at_rest().await?;
    part(2, "first turns");
    let first_turns_per_s = run.turns().await?;
    part(3, "turns");
    let mut turns_took = Duration::ZERO;
    for _ in 0..ROUNDS {
        run.next_step().await?;
        let begun = Instant::now();
        run.turns().await?;
        turns_took += begun.elapsed();
    }
    let with_turns = at_rest().await?;
    part(4, "forecasts");
    run.next_step().await?;
    let speed = network_speed(clock)?;
    let forecasts_per_s = run.forecasts().await?;
    part(5, "plans");
    let plans_per_s = run.plans().await?;
    part(6, "twins at rest that are asked");
    run.rest().await;
    let rested = at_rest().await?;
    let cold_report = run.cold_reports().await?;
    let cold_sample = run.cold_samples().await?;
    part(7, "sizes");
    let snapshot_kib = run.snapshot_kib(options.twins, active)?;
    let closed = run.stop().await?;
    let store_mib = mib_of(&options.directory.join("store"))?;
    let log_mib = mib_of(&options.directory.join("log"))?;
    part(8, "start with all of them");
    let begun = Instant::now();
    let run = Run::start(options).await?;
    let start_s = begun.elapsed().as_secs_f64();
    let started = at_rest().await?;
    run.stop().await?;
    Ok(GrowthRow {
        twins: options.twins,
        active,
        load_average: [load_average_begin, load_average()?],
        memory_mib: MemoryMib {
            process,
            passive,
            idle,
            active: with_turns,
            rested,
            closed,
            started,
        },
        histories_per_s,
        activations_per_s,
        first_turns_per_s,
        turns_per_s: per_second(active * ROUNDS, turns_took),
        forecasts_per_s,
        network_forecasts_per_s: speed.network_rows_per_second,
        forecasts_gflops: forecasts_per_s * speed.network_gflops / speed.network_rows_per_second,
        peak_gflops: speed.peak_gflops,
        plans_per_s,
        cold_report,
        cold_sample,
        snapshot_kib,
        store_mib,
        log_mib,
        start_s,
    })
}

/// How many processes wanted a processor during the last minute, on average.
fn load_average() -> anyhow::Result<f64> {
    let text = std::fs::read_to_string("/proc/loadavg").context("failed to read /proc/loadavg")?;
    let first = text.split(' ').next().and_then(|one| one.parse().ok());
    first.context("/proc/loadavg has no number")
}

/// What the files in a folder take.
fn mib_of(directory: &Path) -> anyhow::Result<f64> {
    Ok(bytes_of(directory)? as f64 / 1_048_576.0)
}

fn bytes_of(directory: &Path) -> anyhow::Result<u64> {
    let mut bytes = 0;
    for entry in std::fs::read_dir(directory)? {
        let entry = entry?;
        let metadata = entry.metadata()?;
        bytes += if metadata.is_dir() {
            bytes_of(&entry.path())?
        } else {
            metadata.len()
        };
    }
    Ok(bytes)
}

fn per_second(count: u32, took: Duration) -> f64 {
    f64::from(count) / took.as_secs_f64().max(1e-9)
}

/// A node with its twins.
struct Run {
    node: Node,
    fleet: Fleet,
    twins: Vec<NodeTwin>,
    /// Twins that are given turns: the first ones.
    active: u32,
    /// The step that begins now.
    step: u32,
}

impl Run {
    async fn start(options: &GrowthOptions) -> anyhow::Result<Self> {
        let (node, _report) = Node::start_recorded(NodeOptions {
            directory: options.directory.clone(),
            seed: 1,
            optimizer_threads: std::thread::available_parallelism().unwrap_or(NonZeroUsize::MIN),
            weights: options.weights.clone(),
            cloud: SimCloudConfig::with_seed(1),
            watch: WatchLimits::default(),
            instruments: Instruments::default(),
        })
        .await?;
        Ok(Self {
            node,
            fleet: Fleet::new()?,
            twins: Vec::new(),
            active: options.twins.min(options.active_max),
            step: HISTORY_STEPS,
        })
    }

    /// Has the shared actors load what they load once, by a twin that is not counted.
    async fn warm_up(&mut self) -> anyhow::Result<()> {
        self.give_history_to(u32::MAX).await?;
        let twin = self.activate_one(u32::MAX).await?;
        self.turn(&twin).await?;
        twin.actor.stop().await;
        Ok(())
    }

    /// Configures twins and gives them two days of samples; those that are done are put away.
    async fn give_history(&self, twins: u32) -> anyhow::Result<()> {
        let mut first = 0;
        while first < twins {
            let until = twins.min(first + HISTORY_CHUNK);
            all((first..until).map(|number| self.give_history_to(number))).await?;
            self.put_away().await;
            first = until;
        }
        Ok(())
    }

    async fn give_history_to(&self, number: u32) -> anyhow::Result<()> {
        let customer = fleet::customer(number)?;
        let host = self.node.twins();
        host.configure(self.fleet.configuration(&customer)).await?;
        self.ingest(&customer, number, 0..HISTORY_STEPS).await
    }

    /// Puts away every state that nobody holds.
    async fn put_away(&self) {
        // The first time only notes who is used.
        for _ in 0..2 {
            self.node.twins().put_away_idle();
            tokio::task::yield_now().await;
        }
    }

    async fn activate(&mut self, twins: u32) -> anyhow::Result<()> {
        let one = |number| self.activate_one(number);
        self.twins = futures::stream::iter((0..twins).map(one))
            .buffered(AT_ONCE)
            .try_collect()
            .await?;
        Ok(())
    }

    /// Starts the actor of a twin, whose state comes back from the store.
    async fn activate_one(&self, number: u32) -> anyhow::Result<NodeTwin> {
        let customer = fleet::customer(number)?;
        self.node.start_twin(&customer, self.now()).await
    }

    /// Ends the twins' actors and puts their states away, as a keeper does with those that are idle.
    async fn rest(&mut self) {
        for twin in std::mem::take(&mut self.twins) {
            twin.actor.stop().await;
        }
        self.put_away().await;
    }

    /// Twins at rest, each asked for its report: from the question until the answer of an actor that was
    /// started for it.
    async fn cold_reports(&self) -> anyhow::Result<Latency> {
        let mut took = Vec::new();
        for number in self.cold() {
            let begun = Instant::now();
            let twin = self.activate_one(number).await?;
            let asked = twin.actor.address().ask(ASK_LIMIT, TwinMessage::Report);
            let report = asked.await??;
            took.push(begun.elapsed());
            if report.customer != twin.customer {
                return Err(failed(&twin.customer, "another twin answered".to_owned()));
            }
            twin.actor.stop().await;
        }
        self.put_away().await;
        Ok(Latency::of(took))
    }

    /// Twins at rest, each sent a sample: from the request until it is durable and applied.
    async fn cold_samples(&self) -> anyhow::Result<Latency> {
        let mut took = Vec::new();
        for number in self.cold() {
            let customer = fleet::customer(number)?;
            let begun = Instant::now();
            self.ingest(&customer, number, self.step..self.step + 1)
                .await?;
            took.push(begun.elapsed());
        }
        self.put_away().await;
        Ok(Latency::of(took))
    }

    /// Twins that had turns, spread over all of them.
    fn cold(&self) -> impl Iterator<Item = u32> + use<> {
        let step = (self.active as usize).div_ceil(COLD_MAX).max(1);
        (0..self.active).step_by(step)
    }

    /// What a snapshot holds of a twin at rest that had no turn, and of one that had some, in KiB.
    fn snapshot_kib(&self, twins: u32, active: u32) -> anyhow::Result<[f64; 2]> {
        let mean = |numbers: std::ops::Range<u32>| -> anyhow::Result<f64> {
            let mut bytes = 0;
            let count = numbers.len().max(1);
            for number in numbers {
                let customer = fleet::customer(number)?;
                let encoded = self.node.twins().glance(&customer, TwinState::encode_all);
                let encoded = encoded.ok_or_else(|| failed(&customer, "it is gone".to_owned()))?;
                bytes += encoded?.iter().map(|(_, value)| value.len()).sum::<usize>();
            }
            Ok(bytes as f64 / count as f64 / 1_024.0)
        };
        let without = mean(active..twins.min(active + WEIGHED_MAX))?;
        Ok([without, mean(0..active.min(WEIGHED_MAX))?])
    }

    async fn ingest(
        &self,
        customer: &CustomerId,
        number: u32,
        steps: std::ops::Range<u32>,
    ) -> anyhow::Result<()> {
        let request = self.fleet.samples(customer, number, steps);
        let count = request.samples.len();
        let reply = self.node.twins().ingest(request).await?;
        if u64::from(reply.stored) == count as u64 {
            return Ok(());
        }
        Err(failed(customer, format!("of {count} samples: {reply:?}")))
    }

    /// Every twin's samples of the step that ends, and its clock at the end; what a twin wakes up for on the
    /// way is done.
    async fn next_step(&mut self) -> anyhow::Result<()> {
        let step = self.step;
        self.step += 1;
        let end = self.now();
        let run = &*self;
        let moved = (0_u32..).zip(&run.twins).map(|(number, twin)| async move {
            run.ingest(&twin.customer, number, step..step + 1).await?;
            twin.clock.advance_to(end).await;
            twin.clock.idle().await;
            anyhow::Ok(())
        });
        all(moved).await.map(drop)
    }

    /// One turn of every twin; returns turns per second.
    async fn turns(&self) -> anyhow::Result<f64> {
        let begun = Instant::now();
        let turns = all(self.twins.iter().map(|twin| self.turn(twin))).await?;
        Ok(per_second(turns, begun.elapsed()))
    }

    async fn turn(&self, twin: &NodeTwin) -> anyhow::Result<()> {
        let now = self.now();
        let asked = twin.actor.address().ask(ASK_LIMIT, |reply_to| {
            TwinMessage::Tick(TickRequest { now }, reply_to)
        });
        let summary: TurnSummary = asked.await??;
        match summary.failures.first() {
            None => Ok(()),
            Some(failure) => Err(failed(&twin.customer, format!("turn at {now}: {failure}"))),
        }
    }

    /// Fresh forecasts of all twins, as their turns ask for them; returns series per second.
    async fn forecasts(&self) -> anyhow::Result<f64> {
        let now = self.now();
        let rate = self
            .repeated(
                |state| cycle::forecast_request(state, now),
                |request| self.forecast(request),
            )
            .await?;
        Ok(rate * f64::from(TIERS))
    }

    async fn forecast(&self, request: ForecastRequest) -> anyhow::Result<()> {
        let address = self.node.forecaster().address();
        let reply = address.ask(ASK_LIMIT, |reply_to| {
            ForecasterRequest::Forecast(Box::new(request.clone()), reply_to)
        });
        let reply = reply.await??;
        if reply.forecasts.len() == request.series.len() {
            return Ok(());
        }
        Err(failed(
            &request.customer,
            "a series has no forecast".to_owned(),
        ))
    }

    /// New plans of all twins, as their turns ask for them; returns plans per second.
    async fn plans(&self) -> anyhow::Result<f64> {
        let basis = PlanBasis {
            trigger: PlanTrigger::Periodic,
            root_seed: 1,
        };
        self.repeated(
            |state| plan_request(state, basis).ok(),
            |request| self.plan(request),
        )
        .await
    }

    async fn plan(&self, request: PlanRequest) -> anyhow::Result<()> {
        let address = self.node.optimizer().address();
        let plan = address.ask(ASK_LIMIT, |reply_to| {
            OptimizerRequest::Plan(Box::new(request.clone()), reply_to)
        });
        plan.await??;
        Ok(())
    }

    /// Asks something of all twins' states, again and again for a while; returns answers per second. The
    /// requests are made beside the answers, as they are in turns.
    async fn repeated<R, F>(
        &self,
        request: impl Fn(&TwinState) -> Option<R> + Send + Sync,
        ask: impl Fn(R) -> F + Send + Sync,
    ) -> anyhow::Result<f64>
    where
        F: Future<Output = anyhow::Result<()>> + Send,
    {
        let begun = Instant::now();
        let mut count = 0;
        while begun.elapsed() < LEAST {
            let asked = self.twins.iter().map(|twin| {
                let made = self.node.twins().read(&twin.customer, &request).flatten();
                let asked = made.map(&ask);
                async move {
                    match asked {
                        Some(asked) => asked.await,
                        None => Err(failed(&twin.customer, "nothing can be asked".to_owned())),
                    }
                }
            });
            count += all(asked).await?;
        }
        Ok(per_second(count, begun.elapsed()))
    }

    /// Ends the twins' actors, then the node; returns the memory after that.
    async fn stop(mut self) -> anyhow::Result<f64> {
        self.rest().await;
        self.node.stop().await;
        at_rest().await
    }

    fn now(&self) -> DomainTime {
        step_at(self.step)
    }
}

/// Waits for all of them, so many at once; returns how many there were.
async fn all<F>(futures: impl Iterator<Item = F> + Send) -> anyhow::Result<u32>
where
    F: Future<Output = anyhow::Result<()>> + Send,
{
    futures::stream::iter(futures)
        .buffer_unordered(AT_ONCE)
        .try_fold(
            0,
            |count: u32, ()| async move { Ok(count.saturating_add(1)) },
        )
        .await
}

fn failed(customer: &CustomerId, what: String) -> anyhow::Error {
    let interval = INTERVAL.0;
    ExpectedError::input_hint(
        format!("customer `{customer}`, steps of {interval} s: {what}"),
        "run again with -v to see what the actors say",
    )
    .into()
}
