//! Drives moves of replicas, on the node that leads group 0.
//!
//! The planner says one step after the other; the driver commits its commands, has its effects carried out,
//! and shows it what came of them. It keeps nothing that the next leader needs: whatever is cut short is
//! planned again from group 0 and from what nodes report.

use super::carry::{ERRAND_LIMIT, Work};
use super::errand::Carrier;
use super::heard::{Heard, with_silent};
use super::reports::Reports;
use super::shown::MetaShown;
use super::writer::MetaWriter;
use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::{Interval, MissedTickBehavior, interval, sleep};
use twinscale_consensus::{GroupRole, GroupStatus};
use twinscale_membership::WallClock;
use twinscale_meta::stored::v1::By;
use twinscale_meta::{
    Effect, GroupId, MetaCommand, MetaState, Observed, Outcome, Step, UnixMillis, next_step,
};
use twinscale_protocol::{NodeNumber, Seconds, WireError};

/// How often the planner is asked when nothing happens.
const PLAN_INTERVAL: Duration = Duration::from_millis(500);

/// How long the planner's commands may take.
const PROPOSE_LIMIT: Duration = Duration::from_secs(5);

/// Steps of one round; more wait for the next, so that leadership is looked at.
const STEPS_MAX: usize = 64;

/// Effects under way at the same time: a new cluster founds a few hundred groups, and each takes a write of
/// every voter.
const EFFECTS_MAX: usize = 32;

/// For how long a new leader waits for reports of nodes that are heard: a planner that sees few of them
/// asks for what is there already.
const SETTLE: Seconds = Seconds(2);

/// For how long a group is left alone after an effect, at the longest: until its leader has reported again.
const REST: Seconds = Seconds(2);

/// What the driver works with.
#[derive(Clone)]
#[expect(
    missing_debug_implementations,
    reason = "most of it are traits of the node"
)]
pub struct DriverParts {
    /// Proposes in group 0.
    pub writer: MetaWriter,
    /// The state of group 0.
    pub shown: Arc<MetaShown>,
    /// Who is heard of.
    pub heard: Arc<dyn Heard>,
    /// Carries errands.
    pub carrier: Arc<dyn Carrier>,
    /// What nodes report.
    pub reports: Arc<Reports>,
    /// The clock that also stamps commands.
    pub clock: Arc<dyn WallClock>,
}

/// Drives moves of replicas, whenever this node leads group 0.
pub struct MetaDriver {
    parts: DriverParts,
}

impl fmt::Debug for MetaDriver {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MetaDriver")
            .field("writer", &self.parts.writer)
            .finish_non_exhaustive()
    }
}

/// An effect under way, or one that has answered and whose trace is not in the reports yet.
#[derive(Debug)]
struct Busy {
    effect: Effect,
    answered: Option<UnixMillis>,
}

/// One time of leading.
struct Leading<'a> {
    parts: &'a DriverParts,
    began: UnixMillis,
    busy: BTreeMap<GroupId, Busy>,
    carrying: JoinSet<(GroupId, Result<(), WireError>)>,
}

fn leads(status: &GroupStatus) -> bool {
    status.role == GroupRole::Leader && status.has_quorum
}

fn every(period: Duration) -> Interval {
    let mut ticks = interval(period);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    ticks
}

impl MetaDriver {
    /// Makes the driver of a node.
    pub fn new(parts: DriverParts) -> Self {
        Self { parts }
    }

    /// Waits until this node leads group 0, drives until it does not, and so on, for ever.
    #[expect(clippy::infinite_loop, reason = "the task is ended with the node")]
    pub async fn run(self) {
        loop {
            let Ok(status) = self.parts.writer.status() else {
                // Nothing tells when a replica of group 0 comes here.
                sleep(PLAN_INTERVAL).await;
                continue;
            };
            self.drive(status).await;
        }
    }

    /// Waits until this node leads, and drives until it does not, or the replica is gone.
    async fn drive(&self, mut status: watch::Receiver<GroupStatus>) {
        let Ok(term) = status.wait_for(leads).await.map(|status| status.term) else {
            sleep(PLAN_INTERVAL).await;
            return;
        };
        // What earlier leaders committed must be seen before anything is planned.
        match self.parts.writer.confirm(PROPOSE_LIMIT).await {
            Ok(confirmed) if confirmed == term => {}
            other => {
                tracing::debug!(?other, term, "leadership of group 0 was not confirmed");
                sleep(PLAN_INTERVAL).await;
                return;
            }
        }
        tracing::info!(term, "this node leads group 0 and drives moves");
        self.parts.reports.forget();
        let mut leading = Leading {
            parts: &self.parts,
            began: self.parts.now(),
            busy: BTreeMap::new(),
            carrying: JoinSet::new(),
        };
        let gone = status.wait_for(|status| !leads(status) || status.term != term);
        tokio::select! {
            _ = gone => {}
            () = leading.run() => {}
        }
        // What is under way ends here; what it did is seen in the reports.
        leading.carrying.shutdown().await;
        tracing::info!(term, "this node leads group 0 no more");
    }
}

impl DriverParts {
    fn now(&self) -> UnixMillis {
        UnixMillis(self.clock.unix_ms())
    }
}

impl Leading<'_> {
    /// Drives for ever; the caller drops it when leadership ends.
    async fn run(&mut self) {
        let mut ticks = every(PLAN_INTERVAL);
        let mut state = self.parts.shown.subscribe();
        let mut taken = self.parts.reports.taken();
        loop {
            tokio::select! {
                _ = ticks.tick() => {}
                Ok(()) = state.changed() => {}
                Ok(()) = taken.changed() => {}
                Some(ended) = self.carrying.join_next() => self.note_end(ended),
            }
            while let Some(ended) = self.carrying.try_join_next() {
                self.note_end(ended);
            }
            if self.is_settled() {
                self.plan().await;
            }
            // Its own commands change the state too; they were seen.
            state.mark_unchanged();
        }
    }

    /// Whether every node that is heard has reported, or had time to.
    fn is_settled(&self) -> bool {
        let now = self.parts.now();
        let reporters = self.parts.reports.reporters(now);
        let nodes = self.parts.heard.nodes();
        let mut alive = nodes.iter().filter(|(_, seen)| seen.alive);
        now.is_past(self.began, SETTLE) || alive.all(|(node, _)| reporters.contains(node))
    }

    async fn plan(&mut self) {
        for _ in 0..STEPS_MAX {
            let state = self.parts.shown.state();
            let observed = self.observe(&state);
            let goes_on = match next_step(&state, &observed) {
                None => false,
                Some(Step::Propose(command)) => self.propose(command).await,
                Some(Step::Carry {
                    group,
                    number,
                    effect,
                }) => {
                    if self.carrying.len() >= EFFECTS_MAX {
                        return;
                    }
                    let leader = observed.groups.get(&group).and_then(|seen| seen.leader);
                    self.carry(&state, (group, number, effect), leader);
                    true
                }
            };
            if !goes_on {
                return;
            }
        }
    }

    fn observe(&mut self, state: &MetaState) -> Observed {
        let now = self.parts.now();
        let reports = &self.parts.reports;
        self.busy.retain(|group, busy| {
            busy.answered.is_none_or(|answered| {
                let seen = reports.reported_at(*group);
                !now.is_past(answered, REST) && seen.is_none_or(|seen| seen <= answered)
            })
        });
        let busy = self.busy.iter();
        Observed {
            now,
            nodes: with_silent(self.parts.heard.nodes(), state, self.began),
            groups: reports.observe(now),
            busy: busy
                .map(|(group, busy)| (*group, busy.effect.clone()))
                .collect(),
        }
    }

    /// Commits a command of the planner; returns whether it can go on from what came of it.
    async fn propose(&self, command: MetaCommand) -> bool {
        let proposed = self
            .parts
            .writer
            .propose(By::Planner, command.clone(), PROPOSE_LIMIT)
            .await;
        match proposed {
            Ok(Outcome::Applied(_)) => {
                tracing::info!(?command, "group 0 took a step");
                true
            }
            Ok(outcome) => {
                tracing::warn!(?command, ?outcome, "a step of the planner changed nothing");
                false
            }
            Err(error) => {
                tracing::warn!(?command, %error, "a step of the planner was not committed");
                false
            }
        }
    }

    fn carry(
        &mut self,
        state: &MetaState,
        (group, number, effect): (GroupId, u64, Effect),
        leader: Option<NodeNumber>,
    ) {
        tracing::info!(%group, number, ?effect, "an effect is carried out");
        let work = Work {
            group,
            number,
            effect: effect.clone(),
            leader,
            shards: state
                .shard_count()
                .map_or(0, twinscale_meta::ShardCount::get),
        };
        let carrier = Arc::clone(&self.parts.carrier);
        self.carrying.spawn(async move {
            // Each errand has its limit; an effect has two of them at most.
            let limit = ERRAND_LIMIT * 3;
            let done = tokio::time::timeout(limit, work.carry(&*carrier)).await;
            let late = |_elapsed| {
                let text = format!("{group} took longer than {limit:?}");
                Err(WireError::new(
                    twinscale_protocol::WireErrorCode::Timeout,
                    text,
                ))
            };
            (group, done.unwrap_or_else(late))
        });
        let busy = Busy {
            effect,
            answered: None,
        };
        self.busy.insert(group, busy);
    }

    fn note_end(
        &mut self,
        ended: Result<(GroupId, Result<(), WireError>), tokio::task::JoinError>,
    ) {
        let (group, outcome) = match ended {
            Ok(ended) => ended,
            Err(error) => {
                // Its group stays busy until the next leader: a task that panics would do so again.
                tracing::error!(%error, "an effect's task failed");
                return;
            }
        };
        if let Err(error) = outcome {
            tracing::info!(%group, %error, "an effect was not carried out; it is planned again");
        }
        let now = self.parts.now();
        if let Some(busy) = self.busy.get_mut(&group) {
            busy.answered = Some(now);
        }
    }
}
