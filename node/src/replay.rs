//! Replays customers through the real actors on virtual domain time.
//!
//! Each step of each customer: a tick (forecast, plan, provision), then the time moves to the step's end,
//! waking the twin on the way, then the step's samples are ingested. Customers run side by side, a step at
//! a time. Invariant: what a customer's twin sees depends on its own data, the seed and the weights alone;
//! so a report is the same on any number of threads, also when an actor is killed on the way.

mod cluster;
mod drive;
mod embedded;
mod record;

pub use cluster::{ClusterOptions, replay_on_cluster};
pub use record::{StepRecord, StepSink, Unwatched};

use crate::assembly::{Node, NodeOptions, NodeTwin};
use crate::error::ExpectedError;
use crate::progress::Progress;
use crate::score::LedgerVms;
use crate::workload::ReplayCustomer;
use anyhow::Context as _;
use futures::future::{join, join_all, try_join_all};
use std::time::Duration;
use twinscale_protocol::twin::Miss;
use twinscale_protocol::twin::{
    AnnounceRequest, ConfigureRequest, IngestRequest, SAMPLES_PER_REQUEST_MAX, TickRequest,
    TwinCounters,
};
use twinscale_protocol::{DomainTime, MicroDollars, Sample, WireError};
use twinscale_provisioner::SimCloudDriver;
use twinscale_provisioner::simcloud::CloudCost;
use twinscale_twin::feedback::feedback;
use twinscale_twin::{ApplyResult, TurnSummary, TwinCommand, TwinMessage, TwinState, Twins};

/// System time that one turn may take: a search and a restart of every actor fit many times.
const TURN_LIMIT: Duration = Duration::from_mins(5);

/// How to replay.
#[derive(Clone, Debug)]
pub struct ReplayOptions {
    /// How the node is built.
    pub node: NodeOptions,
    /// The step at which the forecaster is killed, if it is.
    pub kill_forecaster_at: Option<usize>,
}

/// What came of one customer.
#[derive(Clone, Debug)]
pub struct ReplayedCustomer {
    /// VMs by the provider's ledger.
    pub vms: LedgerVms,
    /// The provider's bill.
    pub bill: CloudCost,
    /// The part of it that volumes and link cost in the scored part.
    pub storage_and_link: MicroDollars,
    /// Misses of the last steps, which no turn follows that could judge them.
    pub last_misses: Vec<Miss>,
    /// What the twin counted.
    pub counters: TwinCounters,
    /// What went wrong in its turns, each text once, with the number of turns.
    pub failures: Vec<(String, u64)>,
}

/// What came of a replay.
#[derive(Clone, Debug)]
pub struct Replayed {
    /// In the order of the customers given.
    pub customers: Vec<ReplayedCustomer>,
    /// Restarts of the forecaster.
    pub forecaster_restarts: u64,
}

/// Replays customers and tells a sink of each step, in the order of steps and customers.
///
/// # Errors
/// When the node does not start, a sample is refused, or a turn gets no answer.
pub async fn replay(
    customers: &[ReplayCustomer],
    options: ReplayOptions,
    sink: &mut dyn StepSink,
    progress: &Progress,
) -> anyhow::Result<Replayed> {
    let (node, _report) = Node::start(options.node).await?;
    let twins = try_join_all(customers.iter().map(|one| prepare(&node, one))).await?;
    let steps = customers
        .iter()
        .map(|one| one.steps.len())
        .max()
        .unwrap_or(0);
    progress.of(0, steps as u64);
    let mut failures = vec![record::Failures::default(); customers.len()];
    for step in 0..steps {
        if options.kill_forecaster_at == Some(step) {
            progress.line("the forecaster is killed; its supervisor brings it back");
            node.forecaster().kill_child();
        }
        let turns = customers
            .iter()
            .zip(&twins)
            .map(|(one, twin)| run_step(&node, one, twin, step));
        let (records, ()) = join(join_all(turns), sink.beside(step, &node, &twins)).await;
        for (index, record) in records.into_iter().enumerate() {
            let Some(record) = record? else { continue };
            if let (Some(one), Some(failures)) = (customers.get(index), failures.get_mut(index)) {
                failures.note(&record.summary);
                sink.step(index, one, step, &record)?;
            }
        }
        progress.at(step as u64 + 1);
    }
    sink.finished(&node, &twins)?;
    let replayed = collect(&node, customers, failures)?;
    for twin in twins {
        twin.actor.stop().await;
    }
    node.stop().await;
    Ok(replayed)
}

/// Starts a twin, configures it, and gives it its history.
async fn prepare(node: &Node, one: &ReplayCustomer) -> anyhow::Result<NodeTwin> {
    introduce(node.twins(), one).await?;
    node.start_twin(&one.customer, one.first_step_at).await
}

/// Configures a twin, and gives it its history.
async fn introduce(twins: &dyn Twins, one: &ReplayCustomer) -> anyhow::Result<()> {
    let now = one.first_step_at;
    let configure = ConfigureRequest {
        customer: one.customer.clone(),
        policy: one.policy.clone(),
        stack: one.stack.clone(),
        interval: one.interval,
        horizon_steps: one.horizon_steps,
    };
    twins
        .configure(configure)
        .await
        .map_err(|error| input(one, error))?;
    if !one.events.is_empty() {
        let announce = AnnounceRequest {
            customer: one.customer.clone(),
            events: one.events.clone(),
        };
        twins
            .announce(announce)
            .await
            .map_err(|error| input(one, error))?;
    }
    // Older samples than are kept would be refused; the rest of the trace is what a twin would hold.
    let oldest = now.minus(one.policy.retention.raw);
    let kept: Vec<Sample> = one
        .history
        .iter()
        .filter(|sample| sample.at >= oldest)
        .cloned()
        .collect();
    for chunk in kept.chunks(SAMPLES_PER_REQUEST_MAX) {
        ingest(twins, one, chunk.to_vec(), now).await?;
    }
    Ok(())
}

async fn run_step(
    node: &Node,
    one: &ReplayCustomer,
    twin: &NodeTwin,
    step: usize,
) -> anyhow::Result<Option<StepRecord>> {
    let Some(samples) = one.steps.get(step) else {
        return Ok(None);
    };
    let now = one.step_at(step);
    let end = one.step_at(step + 1);
    let judged = node
        .twins()
        .read(&one.customer, |state| state.feedback().judged_until)
        .flatten();
    let asked = twin.actor.address().ask(TURN_LIMIT, |reply_to| {
        TwinMessage::Tick(TickRequest { now }, reply_to)
    });
    let summary: Result<TurnSummary, WireError> = asked.await.map_err(|error| input(one, error))?;
    let summary = summary.map_err(|error| input(one, error))?;
    let record = step_record(node.twins(), one, (now, judged), summary);
    twin.clock.advance_to(end).await;
    // Work that the last timer set off belongs to this step as well.
    twin.clock.idle().await;
    ingest(node.twins(), one, samples.clone(), end).await?;
    Ok(record)
}

/// What is told of a turn; `judged` is up to where misses were told of before.
fn step_record(
    twins: &dyn Twins,
    one: &ReplayCustomer,
    (at, judged): (DomainTime, Option<DomainTime>),
    summary: TurnSummary,
) -> Option<StepRecord> {
    twins.read(&one.customer, |state| StepRecord {
        at,
        summary,
        forecast: state.forecast().cloned(),
        plan: state.target_plan().cloned(),
        observed: state.observed().clone(),
        misses: state
            .misses_since(judged.unwrap_or_default())
            .cloned()
            .collect(),
    })
}

async fn ingest(
    twins: &dyn Twins,
    one: &ReplayCustomer,
    samples: Vec<Sample>,
    now: DomainTime,
) -> anyhow::Result<()> {
    let request = IngestRequest {
        customer: one.customer.clone(),
        now,
        samples,
    };
    let reply = twins
        .ingest(request)
        .await
        .map_err(|error| input(one, error))?;
    match reply.refused.first() {
        None => Ok(()),
        Some(refused) => Err(ExpectedError::input_hint(
            format!(
                "customer `{}`: {} samples were refused, first {} at {}: {:?}",
                one.customer,
                reply.refused.len(),
                refused.series,
                refused.at,
                refused.reason
            ),
            "check the clock of the samples and the policy's retention",
        )
        .into()),
    }
}

fn collect(
    node: &Node,
    customers: &[ReplayCustomer],
    failures: Vec<record::Failures>,
) -> anyhow::Result<Replayed> {
    let cloud = node
        .cloud()
        .context("a replay reads the bills of its own simulated cloud")?;
    let customers = customers.iter().zip(failures);
    let customers = customers.map(|(one, failures)| outcome(node.twins(), cloud, one, failures));
    Ok(Replayed {
        customers: customers.collect(),
        forecaster_restarts: node.forecaster().restarts(),
    })
}

fn outcome(
    twins: &dyn Twins,
    cloud: &SimCloudDriver,
    one: &ReplayCustomer,
    failures: record::Failures,
) -> ReplayedCustomer {
    let (vms, bill) = cloud.with_cloud(|cloud| {
        (
            cloud.lifetimes(&one.customer),
            cloud.cost(&one.customer, one.end()),
        )
    });
    let before = cloud.with_cloud(|cloud| cloud.cost(&one.customer, one.scored_start()));
    let counters = twins.read(&one.customer, TwinState::counters);
    ReplayedCustomer {
        vms,
        bill,
        storage_and_link: MicroDollars(extras(&bill).0.saturating_sub(extras(&before).0)),
        last_misses: last_misses(twins, cloud, one),
        counters: counters.unwrap_or_default(),
        failures: failures.into_list(),
    }
}

/// What volumes and link cost.
fn extras(bill: &CloudCost) -> MicroDollars {
    bill.volumes.plus(bill.link).micro_dollars()
}

/// Judges the steps behind the last turn as the next one would: by what the provider shows at the end.
fn last_misses(twins: &dyn Twins, cloud: &SimCloudDriver, one: &ReplayCustomer) -> Vec<Miss> {
    let end = one.end();
    let Some(mut state) = twins.read(&one.customer, TwinState::clone) else {
        return Vec::new();
    };
    let seen = TwinCommand::ObserveAllocation {
        at: end,
        allocation: cloud.with_cloud(|cloud| cloud.allocation(&one.customer, end)),
        start_up: state.start_up().to_vec(),
    };
    match state.apply(seen) {
        ApplyResult::AllocationObserved => {
            let found = feedback(&state, end, false);
            found.map(|found| found.misses).unwrap_or_default()
        }
        _ => Vec::new(),
    }
}

fn input(
    one: &ReplayCustomer,
    error: impl std::error::Error + Send + Sync + 'static,
) -> ExpectedError {
    ExpectedError::input(
        format!("the replay of customer `{}` stopped", one.customer),
        error,
    )
}
