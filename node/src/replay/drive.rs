//! Drives the twins of a replay on an embedded cluster: each by the node that leads its shard.
//!
//! When leadership changes, or the node dies, the twin goes on at the next leader from what is committed, at the
//! domain time at which it was. A turn that its node did not see to the end is asked for again: what of it was
//! committed is not done twice.

use super::embedded::Embedded;
use super::{TURN_LIMIT, input};
use crate::assembly::NodeTwin;
use crate::workload::ReplayCustomer;
use anyhow::Context as _;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::{Instant, sleep};
use twinscale_protocol::twin::TickRequest;
use twinscale_protocol::{DomainTime, Generation, NodeNumber};
use twinscale_shards::{HostedShard, LeaderWriter, Places};
use twinscale_twin::{Authority, TurnSummary, TwinMessage};

/// How long a shard may be without a leader: several elections.
const LEADER_LIMIT: Duration = Duration::from_mins(1);

/// How long one check that a node leads may take.
const CONFIRM_LIMIT: Duration = Duration::from_secs(5);

/// Pause before it is looked again who leads.
const LOOK_AGAIN: Duration = Duration::from_millis(20);

/// Who leads a customer's shard.
#[derive(Clone, Debug)]
pub(super) struct Place {
    pub(super) node: NodeNumber,
    pub(super) shard: Arc<HostedShard>,
    pub(super) places: Arc<dyn Places>,
    pub(super) generation: Generation,
}

impl Place {
    fn still_leads(&self, cluster: &Embedded) -> bool {
        let lives = cluster.node(self.node).is_some();
        lives && self.shard.generation() == Some(self.generation)
    }
}

/// A customer's twin where it is driven.
#[derive(Debug)]
pub(super) struct Driven {
    place: Place,
    twin: NodeTwin,
}

impl Driven {
    /// Where it is driven.
    pub(super) fn node(&self) -> NodeNumber {
        self.place.node
    }

    /// Ends its actor.
    pub(super) async fn stop(self) {
        self.twin.actor.stop().await;
    }
}

/// Waits until a node leads a customer's shard.
pub(super) async fn leader(cluster: &Embedded, one: &ReplayCustomer) -> anyhow::Result<Place> {
    let deadline = Instant::now() + LEADER_LIMIT;
    loop {
        if let Some(place) = cluster.leader(&one.customer, CONFIRM_LIMIT).await {
            return Ok(place);
        }
        let customer = &one.customer;
        anyhow::ensure!(
            Instant::now() < deadline,
            "no node of the embedded cluster leads the shard of customer `{customer}` after {LEADER_LIMIT:?}"
        );
        sleep(LOOK_AGAIN).await;
    }
}

/// Starts a customer's twin at its leader, at a moment of its domain time.
pub(super) async fn start(
    cluster: &Embedded,
    one: &ReplayCustomer,
    now: DomainTime,
) -> anyhow::Result<Driven> {
    let place = leader(cluster, one).await?;
    let node = cluster.node(place.node).context("whoever leads lives")?;
    let writer = LeaderWriter::new(
        Arc::clone(&place.shard),
        Arc::clone(&place.places),
        place.generation,
    );
    let authority = Authority {
        writer: Arc::new(writer),
        generation: place.generation,
    };
    let twin = node.start_twin_under(&one.customer, now, authority).await?;
    Ok(Driven { place, twin })
}

/// Has the twin driven by who leads now, at a moment of its domain time.
pub(super) async fn ensure(
    cluster: &Embedded,
    one: &ReplayCustomer,
    driven: &mut Driven,
    now: DomainTime,
) -> anyhow::Result<()> {
    if driven.place.still_leads(cluster) {
        return Ok(());
    }
    let next = start(cluster, one, now).await?;
    let before = std::mem::replace(driven, next);
    before.stop().await;
    Ok(())
}

/// One turn, by whoever leads to its end.
pub(super) async fn turn(
    cluster: &Embedded,
    one: &ReplayCustomer,
    driven: &mut Driven,
    now: DomainTime,
) -> anyhow::Result<TurnSummary> {
    loop {
        ensure(cluster, one, driven, now).await?;
        let asked = driven.twin.actor.address().ask(TURN_LIMIT, |reply_to| {
            TwinMessage::Tick(TickRequest { now }, reply_to)
        });
        let answered = asked.await;
        // What a node says that lost its leadership meanwhile may rest on a commit that was refused.
        if !driven.place.still_leads(cluster) {
            continue;
        }
        let summary = answered.map_err(|error| input(one, error))?;
        return Ok(summary.map_err(|error| input(one, error))?);
    }
}

/// Moves the twin's domain time from one moment to another; what wakes on the way is done by who leads then.
pub(super) async fn advance(
    cluster: &Embedded,
    one: &ReplayCustomer,
    driven: &mut Driven,
    (now, end): (DomainTime, DomainTime),
) -> anyhow::Result<()> {
    loop {
        ensure(cluster, one, driven, now).await?;
        driven.twin.clock.advance_to(end).await;
        // Work that the last timer set off belongs to this step as well.
        driven.twin.clock.idle().await;
        if driven.place.still_leads(cluster) {
            return Ok(());
        }
    }
}
