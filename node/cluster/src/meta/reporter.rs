//! Reports of this node to the leader of group 0, and the desk that takes them there.

use super::keeper::ReplicaKeeper;
use super::replica::consensus_group;
use super::report::{MetaCopy, NodeReport, ReportReply, led_groups};
use super::reports::Reports;
use futures::future::BoxFuture;
use std::collections::BTreeSet;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Notify;
use tokio::time::{MissedTickBehavior, interval};
use twinscale_consensus::GroupRole;
use twinscale_membership::WallClock;
use twinscale_meta::{GroupId, UnixMillis};
use twinscale_protocol::{NodeNumber, WireError};

/// How often a node reports.
pub(super) const REPORT_INTERVAL: Duration = Duration::from_millis(500);

/// How long a report may take.
const REPORT_LIMIT: Duration = Duration::from_secs(2);

/// How many nodes are asked for the leader in one round.
const ASKED_MAX: usize = 5;

/// Carries reports to other nodes.
pub trait ReportNetwork: Send + Sync + 'static {
    /// Sends a [`NodeReport`] to a node, whose [`ReportDesk::receive`] answers with a [`ReportReply`].
    ///
    /// # Errors
    /// That it did not answer within the limit.
    fn send(
        &self,
        node: NodeNumber,
        report: Vec<u8>,
        limit: Duration,
    ) -> BoxFuture<'_, Result<Vec<u8>, WireError>>;

    /// Nodes that may know who leads group 0, where the state of group 0 does not say: the seeds.
    fn seeds(&self) -> Vec<NodeNumber>;
}

/// Takes reports, where this node leads group 0.
#[derive(Clone, Debug)]
pub struct ReportDesk {
    keeper: Arc<ReplicaKeeper>,
    reports: Arc<Reports>,
    clock: Arc<dyn WallClock>,
}

impl ReportDesk {
    /// Puts what it takes where the driver looks.
    pub fn new(
        keeper: Arc<ReplicaKeeper>,
        reports: Arc<Reports>,
        clock: Arc<dyn WallClock>,
    ) -> Self {
        Self {
            keeper,
            reports,
            clock,
        }
    }

    /// Takes a report. That the sender is the node of the report is for the wire to know.
    pub fn receive(&self, report: NodeReport) -> ReportReply {
        let (leads, leader) = self.leader();
        if !leads {
            return ReportReply::NotLeader { leader };
        }
        let (index, state) = self.keeper.shown().current();
        let newer = index.filter(|index| report.meta_index.is_none_or(|theirs| theirs < *index));
        let newer = newer.and_then(|index| MetaCopy::of(index, &state));
        self.reports.take(report, UnixMillis(self.clock.unix_ms()));
        ReportReply::Taken { newer }
    }

    /// Whether this node leads group 0, and who does as far as it knows.
    fn leader(&self) -> (bool, Option<NodeNumber>) {
        let group = self.keeper.groups().group(consensus_group(GroupId::Meta));
        let Ok(status) = group.status() else {
            return (false, None);
        };
        let status = status.borrow();
        let leads = status.role == GroupRole::Leader && status.has_quorum;
        let leader = status.leader.filter(|_| status.role != GroupRole::Leader);
        (leads, leader)
    }
}

/// Reports of this node.
pub struct Reporter {
    node: NodeNumber,
    /// Which start of the node it is; rises from one to the next.
    incarnation: u64,
    count: u64,
    desk: ReportDesk,
    network: Arc<dyn ReportNetwork>,
    /// Who took the last report.
    hint: Option<NodeNumber>,
}

impl fmt::Debug for Reporter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Reporter")
            .field("node", &self.node)
            .field("hint", &self.hint)
            .finish_non_exhaustive()
    }
}

impl Reporter {
    /// Makes the reporter of a node.
    pub fn new(
        node: NodeNumber,
        incarnation: u64,
        desk: ReportDesk,
        network: Arc<dyn ReportNetwork>,
    ) -> Self {
        Self {
            node,
            incarnation,
            count: 0,
            desk,
            network,
            hint: None,
        }
    }

    /// Reports every half second, when it is told to, and when a replica came or went; for ever.
    pub async fn run(mut self, now: Arc<Notify>) {
        let mut held = self.desk.keeper.held();
        let mut ticks = interval(REPORT_INTERVAL);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                _ = ticks.tick() => {}
                () = now.notified() => {}
                Ok(()) = held.changed() => {}
            }
            self.report().await;
        }
    }

    /// Reports once, to whoever leads group 0.
    async fn report(&mut self) {
        self.count += 1;
        let held = self.desk.keeper.held().borrow().clone();
        let report = NodeReport {
            node: self.node,
            number: (self.incarnation, self.count),
            meta_index: self.desk.keeper.shown().index(),
            led: led_groups(self.desk.keeper.groups(), &held),
            held,
        };
        let mut next = match self.desk.receive(report.clone()) {
            ReportReply::Taken { .. } => return,
            ReportReply::NotLeader { leader } => leader.or(self.hint),
        };
        let mut asked = BTreeSet::from([self.node]);
        let mut others = self.others().into_iter();
        while asked.len() <= ASKED_MAX {
            let untried = next.take().filter(|node| !asked.contains(node));
            let Some(node) = untried.or_else(|| others.find(|node| !asked.contains(node))) else {
                break;
            };
            asked.insert(node);
            match self.ask(node, &report).await {
                Some(ReportReply::Taken { newer }) => {
                    self.hint = Some(node);
                    self.show(newer);
                    return;
                }
                Some(ReportReply::NotLeader { leader }) => next = leader,
                None => {}
            }
        }
        self.hint = None;
    }

    /// Who may know the leader.
    fn others(&self) -> Vec<NodeNumber> {
        let state = self.desk.keeper.shown().state();
        let mut others = state
            .group(GroupId::Meta)
            .map(|group| group.voters.clone())
            .unwrap_or_default();
        // Another one first each time, so that a few that are gone do not hide the rest.
        let turn = usize::try_from(self.count).unwrap_or_default() % others.len().max(1);
        others.rotate_left(turn);
        others.extend(self.network.seeds());
        others
    }

    async fn ask(&self, node: NodeNumber, report: &NodeReport) -> Option<ReportReply> {
        let bytes = report.encode();
        let bytes = bytes.inspect_err(|error| tracing::error!(%error, "a report is too large"));
        let sent = self.network.send(node, bytes.ok()?, REPORT_LIMIT).await;
        let reply = sent.inspect_err(|error| tracing::debug!(%node, %error, "a report got lost"));
        let reply = ReportReply::decode(&reply.ok()?);
        reply
            .inspect_err(|error| tracing::warn!(%node, %error, "the reply to a report is unusable"))
            .ok()
    }

    fn show(&self, newer: Option<MetaCopy>) {
        if let Some(copy) = newer
            && let Some(state) = copy.state()
        {
            self.desk.keeper.shown().show(copy.through, || state);
        }
    }
}
