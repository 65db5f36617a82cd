//! What is there at the end: samples that are stored, and VMs that run beside those that their twins know.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use futures::stream::{self, StreamExt as _, TryStreamExt as _};
use serde::de::DeserializeOwned;
use tokio::time::Instant;
use twinscale::service::api::{ObservationsReply, VmsReply};
use twinscale::service::client::ApiClient;
use twinscale::sim_cloud::RemoteCloud;

use super::super::cloud::{CloudRecord, TwinVms, check_vms};
use super::super::history::Sample;
use super::super::telemetry::Stored;
use super::clients::{METRIC, VM_TYPE};
use super::of_product;
use crate::error::ChaosError;

/// Pause between two looks.
const LOOK_PAUSE: Duration = Duration::from_millis(500);

/// Twins that are asked at once.
const TWINS_AT_ONCE: usize = 4;

/// Reads until a node answers: after the last fault all of them must, soon.
async fn read<T: DeserializeOwned>(
    nodes: &[ApiClient],
    path: &str,
    deadline: Instant,
) -> Result<T, ChaosError> {
    let mut last = String::new();
    for node in nodes.iter().cycle() {
        match node.get::<T>(path).await {
            Ok(reply) => return Ok(reply),
            Err(error) => last = error.to_string(),
        }
        if Instant::now() >= deadline {
            break;
        }
        tokio::time::sleep(LOOK_PAUSE).await;
    }
    Err(ChaosError::Product {
        reason: format!("{path} is not answered after the last fault: {last}"),
    })
}

/// Waits until each twin has been seen at rest once: what it observes is what it wants and what runs, and no
/// call is open. Returns what was last seen of each, with the cloud's record, from the same moment.
pub(super) async fn vms(
    nodes: &[ApiClient],
    cloud: &RemoteCloud,
    twins: &[String],
    limit: Duration,
) -> Result<(BTreeMap<String, TwinVms>, CloudRecord), ChaosError> {
    let deadline = Instant::now() + limit;
    let mut rested: BTreeMap<String, TwinVms> = BTreeMap::new();
    let mut left: BTreeSet<&String> = twins.iter().collect();
    let mut record = loop {
        let seen = stream::iter(left.iter().copied())
            .map(|twin| look(nodes, twin, deadline))
            .buffer_unordered(TWINS_AT_ONCE);
        let seen: Vec<(&String, Option<TwinVms>)> = seen.try_collect().await?;
        let record = CloudRecord::read(cloud, None).await?;
        for (twin, vms) in seen {
            let Some(vms) = vms else { continue };
            let of_twin: Vec<_> = record
                .vms
                .iter()
                .filter(|vm| vm.scope == *twin)
                .cloned()
                .collect();
            let known = [(twin.clone(), vms.clone())].into();
            if check_vms(&of_twin, &known).passed() {
                left.remove(twin);
            }
            rested.insert(twin.clone(), vms);
        }
        if left.is_empty() || Instant::now() >= deadline {
            break record;
        }
        tokio::time::sleep(LOOK_PAUSE).await;
    };
    // A twin that came to rest may have gone on since: its VMs are judged as they were then. What was started since
    // has an intent that is read after it.
    for twin in twins {
        let allocated = read::<VmsReply>(nodes, &path_of(twin), deadline)
            .await?
            .allocated;
        let Some(vms) = rested.get_mut(twin) else {
            continue;
        };
        vms.intended = (1..=allocated).collect();
        if !left.contains(twin) {
            rest(&mut record, twin, vms);
        }
    }
    Ok((rested, record))
}

/// Sets what runs of a twin that was seen at rest to what ran then.
fn rest(record: &mut CloudRecord, twin: &str, vms: &TwinVms) {
    let of_twin = record.vms.iter_mut().filter(|vm| vm.scope == twin);
    of_twin.for_each(|vm| vm.runs = vms.observed.contains(&vm.vm));
}

fn path_of(twin: &str) -> String {
    format!("/v1/customers/{twin}/vms")
}

async fn look<'a>(
    nodes: &[ApiClient],
    twin: &'a String,
    deadline: Instant,
) -> Result<(&'a String, Option<TwinVms>), ChaosError> {
    let reply: VmsReply = read(nodes, &path_of(twin), deadline).await?;
    let vms = reply.wanted.filter(|_| reply.open_intents == 0);
    Ok((
        twin,
        vms.map(|desired| TwinVms {
            intended: (1..=reply.allocated).collect(),
            observed: reply.vms.iter().map(|vm| vm.vm).collect(),
            desired,
        }),
    ))
}

/// Reads back all samples of all twins.
pub(super) async fn stored(
    nodes: &[ApiClient],
    twins: &[String],
    limit: Duration,
) -> Result<Stored, ChaosError> {
    let deadline = Instant::now() + limit;
    let series = stream::iter(twins)
        .map(|twin| samples(nodes, twin, deadline))
        .buffer_unordered(TWINS_AT_ONCE);
    Ok(Stored {
        series: series.try_collect().await?,
    })
}

async fn samples(
    nodes: &[ApiClient],
    twin: &str,
    deadline: Instant,
) -> Result<(String, Vec<Sample>), ChaosError> {
    let mut found = Vec::new();
    let mut from = Some(0);
    while let Some(start) = from {
        let path = format!(
            "/v1/customers/{twin}/observations?vm_type={VM_TYPE}&metric={METRIC}&from={start}"
        );
        let page: ObservationsReply = read(nodes, &path, deadline).await?;
        for (at, value) in page.samples {
            found.push(Sample {
                sequence: u64::try_from(at).unwrap_or(0),
                value: exact(value)?,
            });
        }
        from = page.next_from;
    }
    Ok((twin.to_owned(), found))
}

/// Values of a run are whole.
fn exact(value: f64) -> Result<i64, ChaosError> {
    format!("{value}").parse().map_err(of_product)
}
