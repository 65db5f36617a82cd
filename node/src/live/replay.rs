//! Shows a replay: a sink of steps beside the one that makes the report.
//!
//! It reads twins and the provider's ledger and changes neither, a few times a second at the most, so a
//! replay gives the same bytes with and without it.

use super::memory::{Memory, StepMemory};
use super::snapshot::{
    ActorRow, Audience, Head, LiveSnapshot, Money, ReplayHead, actor_rows, twins_state,
};
use crate::assembly::{Node, NodeTwin};
use crate::replay::{StepRecord, StepSink};
use crate::service::api::{
    CustomerItem, TwinAround, actors, customer_item, range_at, steps_reply, supply_of, threads,
    twin_mailboxes,
};
use crate::workload::ReplayCustomer;
use futures::future::BoxFuture;
use std::time::Duration;
use tokio::time::Instant;
use twinscale_protocol::DomainTime;
use twinscale_supervision::ChildState;
use twinscale_twin::TwinConfig;

/// Time between two snapshots: as often as a person sees a change.
const PERIOD: Duration = Duration::from_millis(200);

/// Steps that are over, of the chosen twin.
const PAST: usize = 400;

/// A sink that shows each step and hands it on.
pub struct WatchedReplay<'a> {
    inner: &'a mut dyn StepSink,
    customers: &'a [ReplayCustomer],
    audience: Box<dyn Audience>,
    title: String,
    memory: Memory,
    steps: usize,
    begun: Instant,
    shown_at: Option<Instant>,
}

impl std::fmt::Debug for WatchedReplay<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("WatchedReplay")
            .field("title", &self.title)
            .finish_non_exhaustive()
    }
}

impl<'a> WatchedReplay<'a> {
    /// Shows the steps of these customers on the way to `inner`.
    pub fn new(
        inner: &'a mut dyn StepSink,
        customers: &'a [ReplayCustomer],
        title: &str,
        audience: Box<dyn Audience>,
    ) -> Self {
        let steps = customers.iter().map(|one| one.steps.len()).max();
        Self {
            inner,
            customers,
            audience,
            title: title.to_owned(),
            memory: Memory::of_twins(customers.len()),
            steps: steps.unwrap_or(0),
            begun: Instant::now(),
            shown_at: None,
        }
    }

    fn show(&mut self, step: usize, node: &Node, twins: &[NodeTwin]) {
        self.shown_at = Some(Instant::now());
        if !self.audience.is_watching() {
            return;
        }
        let snapshot = self.snapshot(step, node, twins);
        self.audience.show(snapshot);
    }

    fn snapshot(&self, step: usize, node: &Node, twins: &[NodeTwin]) -> LiveSnapshot {
        let pairs = self.customers.iter().zip(twins);
        let items: Vec<CustomerItem> = pairs
            .filter_map(|(one, twin)| item(node, one, twin, step))
            .collect();
        let wanted = self.audience.chosen();
        let chosen = self
            .customers
            .iter()
            .find(|one| wanted.as_deref() == Some(one.customer.as_str()))
            .or(self.customers.first());
        let steps = chosen.and_then(|one| {
            let now = now(one, step);
            let steps = node
                .twins()
                .read(&one.customer, |state| steps_reply(state, now, PAST));
            let mut steps = steps?;
            self.memory.complete(&mut steps);
            Some(steps)
        });
        LiveSnapshot {
            head: self.head(
                step,
                node,
                chosen.map_or(DomainTime(0), |one| now(one, step)),
            ),
            twins_total: items.len() as u64,
            actors: all_actors(node, twins),
            money: Money::of(&items),
            weights: None,
            chosen: steps,
            twins: items,
        }
    }

    fn head(&self, step: usize, node: &Node, at: DomainTime) -> Head {
        let metrics = node.twins().metrics();
        let passed = self.begun.elapsed();
        let rate = step as f64 / passed.as_secs_f64().max(1e-3);
        let interval = self.customers.first().map_or(0, |one| one.interval.0);
        let left = passed.as_secs() * self.steps.saturating_sub(step) as u64;
        let (abandoned_threads, abandoned_threads_max) = node.health().abandoned_threads();
        Head {
            title: self.title.clone(),
            address: None,
            version: env!("CARGO_PKG_VERSION").to_owned(),
            uptime_s: i64::try_from(passed.as_secs()).unwrap_or(i64::MAX),
            ready: true,
            reasons: Vec::new(),
            log_entries: metrics.commands,
            log_syncs: metrics.batches,
            at: at.0,
            abandoned_threads,
            abandoned_threads_max,
            replay: Some(ReplayHead {
                step: step as u64,
                steps: self.steps as u64,
                steps_per_second: rate,
                speed: rate * f64::from(interval),
                left_s: left.checked_div(step as u64),
            }),
        }
    }

    fn remember(&mut self, one: &ReplayCustomer, record: &StepRecord) {
        let config = TwinConfig {
            policy: one.policy.clone(),
            stack: one.stack.clone(),
            interval: one.interval,
            horizon_steps: one.horizon_steps,
        };
        for tier in &one.stack.tiers {
            let serving = record.observed.vms.iter();
            let serving = serving.filter(|vm| vm.tier == tier.name && vm.serving_since.is_some());
            let known = StepMemory {
                forecast: record
                    .forecast
                    .as_ref()
                    .and_then(|forecast| range_at(forecast, &tier.demand, record.at)),
                supply: supply_of(&config, tier, serving.map(|vm| (&vm.vm_type, 1))),
            };
            let (customer, tier) = (one.customer.as_str(), tier.name.as_str());
            self.memory.note(customer, tier, record.at.0, known);
        }
    }
}

/// The moment in a customer's domain time at which a step begins; its end when it has ended before.
fn now(one: &ReplayCustomer, step: usize) -> DomainTime {
    one.step_at(step.min(one.steps.len()))
}

fn item(node: &Node, one: &ReplayCustomer, twin: &NodeTwin, step: usize) -> Option<CustomerItem> {
    let now = now(one, step);
    let cost = node.cloud().map(|cloud| {
        let cost = cloud.with_cloud(|cloud| cloud.cost(&one.customer, now));
        cost.total()
    });
    let around = TwinAround::of(Some(twin), now, cost);
    node.twins()
        .read(&one.customer, |state| customer_item(state, &around))
}

fn all_actors(node: &Node, twins: &[NodeTwin]) -> Vec<ActorRow> {
    let mut all = actor_rows(actors(node), &threads(node));
    let (mailbox, mailbox_max) = twin_mailboxes(node);
    let (mut restarts, mut restarting, mut given_up) = (0, 0, 0);
    for twin in twins {
        let report = twin.actor.report().borrow().clone();
        restarts += report.restarts;
        match report.state {
            ChildState::Running => {}
            ChildState::Restarting { .. } => restarting += 1,
            ChildState::GivenUp { .. } => given_up += 1,
        }
    }
    all.push(ActorRow {
        name: format!("{} twins", twins.len()),
        state: twins_state(restarting, given_up).to_owned(),
        restarts,
        mailbox,
        mailbox_max,
        abandoned_threads: 0,
    });
    all
}

impl StepSink for WatchedReplay<'_> {
    fn step(
        &mut self,
        index: usize,
        customer: &ReplayCustomer,
        step: usize,
        record: &StepRecord,
    ) -> anyhow::Result<()> {
        if self.audience.is_watching() {
            self.remember(customer, record);
        }
        self.inner.step(index, customer, step, record)
    }

    fn beside<'a>(
        &'a mut self,
        step: usize,
        node: &'a Node,
        twins: &'a [NodeTwin],
    ) -> BoxFuture<'a, ()> {
        Box::pin(async move {
            // Polled behind the turns of the step, so mailboxes are seen while messages wait in them.
            if self.shown_at.is_none_or(|at| at.elapsed() >= PERIOD) {
                self.show(step, node, twins);
            }
            self.inner.beside(step, node, twins).await;
        })
    }

    fn finished(&mut self, node: &Node, twins: &[NodeTwin]) -> anyhow::Result<()> {
        self.show(self.steps, node, twins);
        self.inner.finished(node, twins)
    }
}
