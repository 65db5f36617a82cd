//! A replay whose twins are sharded over nodes of an embedded cluster, one of which is killed on the way.
//!
//! What is committed and decided is the same as on one node, and so is the report: a plan is a function of what
//! was committed, the seed and the weights, whoever leads.

use super::drive::{self, Driven};
use super::embedded::Embedded;
use super::{
    ReplayOptions, Replayed, StepRecord, StepSink, ingest, introduce, outcome, record, step_record,
};
use crate::progress::Progress;
use crate::workload::ReplayCustomer;
use futures::future::{join_all, try_join_all};
use std::collections::BTreeMap;
use std::num::NonZeroU16;
use twinscale_protocol::NodeNumber;

/// On how many nodes, and when one of them is killed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ClusterOptions {
    /// Nodes.
    pub nodes: NonZeroU16,
    /// The step before which the node is killed that drives the most twins; three nodes bear it.
    pub kill_node_at: Option<usize>,
}

/// Replays customers on an embedded cluster and tells a sink of each step, in the order of steps and customers.
/// The sink is not told beside the turns, and not of the nodes at the end: there are several.
///
/// # Errors
/// When the cluster does not start, a sample is refused, a turn gets no answer, or a shard has no leader.
pub async fn replay_on_cluster(
    customers: &[ReplayCustomer],
    options: ReplayOptions,
    cluster_options: ClusterOptions,
    sink: &mut dyn StepSink,
    progress: &Progress,
) -> anyhow::Result<Replayed> {
    let mut cluster = Embedded::start(cluster_options.nodes, &options.node).await?;
    let prepared = customers.iter().map(|one| prepare(&cluster, one));
    let mut driven = try_join_all(prepared).await?;
    let steps = customers.iter().map(|one| one.steps.len()).max();
    let steps = steps.unwrap_or(0);
    progress.of(0, steps as u64);
    let mut failures = vec![record::Failures::default(); customers.len()];
    let mut restarts = 0;
    for step in 0..steps {
        if options.kill_forecaster_at == Some(step) {
            progress.line("the forecaster of a node is killed; its supervisor brings it back");
            cluster.any()?.forecaster().kill_child();
        }
        if cluster_options.kill_node_at == Some(step)
            && let Some(busiest) = busiest(&driven)
        {
            progress.line("a node is killed; the others elect leaders for its shards");
            restarts += cluster.kill(busiest).await;
        }
        let turns = customers
            .iter()
            .zip(&mut driven)
            .map(|(one, driven)| run_step(&cluster, one, driven, step));
        for (index, record) in join_all(turns).await.into_iter().enumerate() {
            let Some(record) = record? else { continue };
            if let (Some(one), Some(failures)) = (customers.get(index), failures.get_mut(index)) {
                failures.note(&record.summary);
                sink.step(index, one, step, &record)?;
            }
        }
        progress.at(step as u64 + 1);
    }
    let mut replayed = Vec::with_capacity(customers.len());
    for ((one, driven), failures) in customers.iter().zip(&driven).zip(failures) {
        let place = drive::leader(&cluster, one).await?;
        debug_assert!(place.node == driven.node() || cluster_options.nodes.get() > 1);
        let twins = cluster.twins(place.node)?;
        replayed.push(outcome(twins, cluster.cloud(), one, failures));
    }
    let forecaster_restarts = restarts + cluster.forecaster_restarts();
    for driven in driven {
        driven.stop().await;
    }
    cluster.stop().await;
    Ok(Replayed {
        customers: replayed,
        forecaster_restarts,
    })
}

/// The node that drives the most twins.
fn busiest(driven: &[Driven]) -> Option<NodeNumber> {
    let mut counts: BTreeMap<NodeNumber, usize> = BTreeMap::new();
    for one in driven {
        *counts.entry(one.node()).or_default() += 1;
    }
    let busiest = counts.into_iter().max_by_key(|(_, count)| *count);
    busiest.map(|(node, _)| node)
}

async fn prepare(cluster: &Embedded, one: &ReplayCustomer) -> anyhow::Result<Driven> {
    let place = drive::leader(cluster, one).await?;
    introduce(cluster.twins(place.node)?, one).await?;
    drive::start(cluster, one, one.first_step_at).await
}

async fn run_step(
    cluster: &Embedded,
    one: &ReplayCustomer,
    driven: &mut Driven,
    step: usize,
) -> anyhow::Result<Option<StepRecord>> {
    let Some(samples) = one.steps.get(step) else {
        return Ok(None);
    };
    let (now, end) = (one.step_at(step), one.step_at(step + 1));
    drive::ensure(cluster, one, driven, now).await?;
    let judged = cluster
        .twins(driven.node())?
        .read(&one.customer, |state| state.feedback().judged_until);
    let summary = drive::turn(cluster, one, driven, now).await?;
    let twins = cluster.twins(driven.node())?;
    let record = step_record(twins, one, (now, judged.flatten()), summary);
    drive::advance(cluster, one, driven, (now, end)).await?;
    ingest(cluster.twins(driven.node())?, one, samples.clone(), end).await?;
    Ok(record)
}
