//! What a live view shows, whatever it comes from.

use crate::service::api::{
    ActorView, CustomerItem, NodeReply, NotReady, StepsReply, ThreadsView, WeightsInService,
};
use serde::Serialize;

/// Name of the JSON document that holds a snapshot.
pub const SCHEMA: &str = "twinscale.live";

/// Its version.
pub const SCHEMA_VERSION: u32 = 1;

/// A node at one moment.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct LiveSnapshot {
    /// The node as a whole.
    pub head: Head,
    /// Its twins, in the order of their names.
    pub twins: Vec<CustomerItem>,
    /// Twins that the node has; more than are listed when there are too many.
    pub twins_total: u64,
    /// Its actors: the shared ones, and the twins together.
    pub actors: Vec<ActorRow>,
    /// What all of it costs.
    pub money: Money,
    /// What forecasts are made with; none in a replay, and from a node that does not tell.
    pub weights: Option<WeightsInService>,
    /// The chosen twin, step by step.
    pub chosen: Option<StepsReply>,
}

/// An actor, or all twins' actors together.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct ActorRow {
    /// Its name.
    pub name: String,
    /// `running`, `restarting` or `given-up`; the worst of many.
    pub state: String,
    /// Restarts.
    pub restarts: u64,
    /// Messages that wait or are being handled.
    pub mailbox: u64,
    /// Most of these.
    pub mailbox_max: u64,
    /// Its compute threads that hung and were replaced.
    pub abandoned_threads: u64,
}

/// A node as a whole.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Head {
    /// What is shown.
    pub title: String,
    /// Where it answers, where it does.
    pub address: Option<String>,
    /// Its version.
    pub version: String,
    /// Seconds since it started.
    pub uptime_s: i64,
    /// Whether it serves.
    pub ready: bool,
    /// Why it does not, or what is impaired.
    pub reasons: Vec<NotReady>,
    /// Entries that were committed to its log since it started.
    pub log_entries: u64,
    /// Syncs that it took.
    pub log_syncs: u64,
    /// Its domain time, in seconds since 1970.
    pub at: i64,
    /// Compute threads that hung and were replaced.
    pub abandoned_threads: u32,
    /// At so many of these the node ends.
    pub abandoned_threads_max: u32,
    /// How far a replay is.
    pub replay: Option<ReplayHead>,
}

/// How far a replay is.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct ReplayHead {
    /// Steps that are over.
    pub step: u64,
    /// All its steps.
    pub steps: u64,
    /// Steps in a second of system time.
    pub steps_per_second: f64,
    /// Seconds of domain time in a second of system time.
    pub speed: f64,
    /// Seconds of system time that are left at this speed.
    pub left_s: Option<u64>,
}

/// What all twins together cost.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct Money {
    /// What runs costs an hour, in US dollars.
    pub rate_usd_hour: f64,
    /// What was spent so far, in US dollars, as far as the provider tells.
    pub cost_usd: f64,
}

impl Money {
    /// Adds up what twins cost.
    #[must_use]
    pub fn of(twins: &[CustomerItem]) -> Self {
        Self {
            rate_usd_hour: twins.iter().map(|twin| twin.rate_usd_hour).sum(),
            cost_usd: twins.iter().filter_map(|twin| twin.cost_usd).sum(),
        }
    }
}

impl LiveSnapshot {
    /// Joins the answers of a daemon.
    #[must_use]
    pub fn of_daemon(
        address: &str,
        node: NodeReply,
        twins: Vec<CustomerItem>,
        (weights, chosen): (Option<WeightsInService>, Option<StepsReply>),
    ) -> Self {
        let counts = node.twins;
        let mut actors = actor_rows(node.actors, &node.threads);
        actors.push(ActorRow {
            name: format!("{} twins", counts.running),
            state: twins_state(counts.restarting, counts.given_up).to_owned(),
            restarts: counts.restarts,
            mailbox: counts.mailbox,
            mailbox_max: counts.mailbox_max,
            abandoned_threads: 0,
        });
        Self {
            head: Head {
                title: node.name,
                address: Some(address.to_owned()),
                version: node.version,
                uptime_s: node.uptime_s,
                ready: node.readiness.ready,
                reasons: node.readiness.reasons,
                log_entries: node.writer.commands,
                log_syncs: node.writer.batches,
                at: node.now,
                abandoned_threads: node.abandoned_threads,
                abandoned_threads_max: node.abandoned_threads_max,
                replay: None,
            },
            money: Money::of(&twins),
            twins,
            twins_total: node.customers.total,
            actors,
            weights,
            chosen,
        }
    }
}

/// The shared actors with their compute threads.
pub(super) fn actor_rows(actors: Vec<ActorView>, threads: &[ThreadsView]) -> Vec<ActorRow> {
    let hung = |name: &str| {
        let found = threads.iter().find(|threads| threads.name == name);
        found.map_or(0, |threads| threads.hung)
    };
    let rows = actors.into_iter().map(|actor| ActorRow {
        abandoned_threads: hung(&actor.name),
        name: actor.name,
        state: actor.state,
        restarts: actor.restarts,
        mailbox: actor.mailbox,
        mailbox_max: actor.mailbox_max,
    });
    rows.collect()
}

/// The state of many twins in the words for one actor: the worst of them.
pub(super) fn twins_state(restarting: u64, given_up: u64) -> &'static str {
    match (restarting, given_up) {
        (_, 1..) => "given-up",
        (1.., 0) => "restarting",
        (0, 0) => "running",
    }
}

/// Who looks at snapshots.
pub trait Audience: Send + Sync {
    /// Whether anybody looks.
    fn is_watching(&self) -> bool;

    /// The customer that is looked at.
    fn chosen(&self) -> Option<String>;

    /// Shows a snapshot in place of what was not looked at yet.
    fn show(&self, snapshot: LiveSnapshot);
}
