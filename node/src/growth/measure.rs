//! Goes through the phases with one number of twins.

use super::fleet::{self, Fleet, HISTORY_STEPS, INTERVAL, TIERS, step_at};
use super::memory::at_rest;
use super::report::{GrowthRow, MemoryMib};
use crate::assembly::{ForecastWeights, Node, NodeOptions, NodeTwin, WatchLimits};
use crate::error::ExpectedError;
use crate::micro::network_speed;
use crate::observe::Instruments;
use crate::progress::Progress;
use futures::{StreamExt as _, TryStreamExt as _};
use std::future::Future;
use std::num::NonZeroUsize;
use std::path::PathBuf;
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
const PARTS: u64 = 6;

/// How to measure.
#[derive(Clone, Debug)]
pub struct GrowthOptions {
    /// Folder of log and store.
    pub directory: PathBuf,
    /// Twins.
    pub twins: u32,
    /// The forecaster's weights.
    pub weights: ForecastWeights,
}

/// Measures with one number of twins; memory counts only in a process that did nothing else before.
///
/// # Errors
/// When the node does not start, or does not do what it is asked.
pub async fn measure(
    options: &GrowthOptions,
    clock: &dyn MonotonicClock,
    progress: &Progress,
) -> anyhow::Result<GrowthRow> {
    let part = |done, text: &str| {
        progress.of(done, PARTS);
        progress.note(format!("{} twins: {text}", options.twins));
    };
    let mut run = Run::start(options).await?;
    run.warm_up().await?;
    let process = at_rest().await?;
    part(0, "history");
    let begun = Instant::now();
    run.activate(options.twins).await?;
    let activations_per_s = per_second(options.twins, begun.elapsed());
    let idle = at_rest().await?;
    part(1, "first turns");
    let first_turns_per_s = run.turns().await?;
    part(2, "turns");
    let mut turns_took = Duration::ZERO;
    for _ in 0..ROUNDS {
        run.next_step().await?;
        let begun = Instant::now();
        run.turns().await?;
        turns_took += begun.elapsed();
    }
    let active = at_rest().await?;
    part(3, "forecasts");
    run.next_step().await?;
    let speed = network_speed(clock)?;
    let forecasts_per_s = run.forecasts().await?;
    part(4, "plans");
    let plans_per_s = run.plans().await?;
    part(5, "memory that is freed");
    let [stopped, closed] = run.stop().await?;
    Ok(GrowthRow {
        twins: options.twins,
        memory_mib: MemoryMib {
            process,
            idle,
            active,
            stopped,
            closed,
        },
        activations_per_s,
        first_turns_per_s,
        turns_per_s: per_second(options.twins * ROUNDS, turns_took),
        forecasts_per_s,
        network_forecasts_per_s: speed.network_rows_per_second,
        forecasts_gflops: forecasts_per_s * speed.network_gflops / speed.network_rows_per_second,
        peak_gflops: speed.peak_gflops,
        plans_per_s,
    })
}

fn per_second(count: u32, took: Duration) -> f64 {
    f64::from(count) / took.as_secs_f64().max(1e-9)
}

/// A node with its twins.
struct Run {
    node: Node,
    fleet: Fleet,
    twins: Vec<NodeTwin>,
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
            step: HISTORY_STEPS,
        })
    }

    /// Has the shared actors load what they load once, by a twin that is not counted.
    async fn warm_up(&mut self) -> anyhow::Result<()> {
        let twin = self.activate_one(u32::MAX).await?;
        self.turn(&twin).await?;
        twin.actor.stop().await;
        Ok(())
    }

    async fn activate(&mut self, twins: u32) -> anyhow::Result<()> {
        let one = |number| self.activate_one(number);
        self.twins = futures::stream::iter((0..twins).map(one))
            .buffered(AT_ONCE)
            .try_collect()
            .await?;
        Ok(())
    }

    async fn activate_one(&self, number: u32) -> anyhow::Result<NodeTwin> {
        let customer = fleet::customer(number)?;
        let host = self.node.twins();
        host.configure(self.fleet.configuration(&customer)).await?;
        self.ingest(&customer, number, 0..HISTORY_STEPS).await?;
        self.node.start_twin(&customer, self.now()).await
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

    /// Ends the twins' actors, then the node; returns the memory after each.
    async fn stop(self) -> anyhow::Result<[f64; 2]> {
        let Self { node, twins, .. } = self;
        for twin in twins {
            twin.actor.stop().await;
        }
        let stopped = at_rest().await?;
        node.stop().await;
        Ok([stopped, at_rest().await?])
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
