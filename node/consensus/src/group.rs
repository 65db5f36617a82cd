//! The handle of one group: proposals, checks, members, leadership.

use std::collections::BTreeSet;
use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Weak};
use std::time::Duration;

use bytes::Bytes;
use openraft::error::{
    CheckIsLeaderError, ClientWriteError, ForwardToLeader, InitializeError, RaftError,
};
use openraft::raft::ClientWriteResponse;
use openraft::{EmptyNode, ServerState};
use tokio::sync::watch;
use tokio::time::{Instant, timeout};
use twinscale_protocol::NodeNumber;

use crate::error::{GroupError, log_refusal};
use crate::groups::Shared;
use crate::ids::{GroupId, LogPosition};
use crate::network::PeerLane;
use crate::observer::ProposalOutcome;
use crate::running::Running;
use crate::status::{GroupMetrics, GroupStatus, has_quorum, metrics_of};
use crate::types::{Batch, TypeConfig};
use crate::wire::{Reply, RequestBody};

/// A proposal that was committed and applied.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Proposed {
    /// Its place; the term is the generation under which it was committed.
    pub position: LogPosition,
    /// What the state answered.
    pub response: Bytes,
}

/// One group on this node; clones and restarts of the group share it.
#[derive(Clone)]
pub struct Group {
    id: GroupId,
    shared: Weak<Shared>,
}

impl fmt::Debug for Group {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_tuple("Group").field(&self.id).finish()
    }
}

type ProposalError = RaftError<NodeNumber, ClientWriteError<NodeNumber, EmptyNode>>;

impl Group {
    pub(crate) fn new(id: GroupId, shared: &Arc<Shared>) -> Self {
        Self {
            id,
            shared: Arc::downgrade(shared),
        }
    }

    /// Returns which group it is.
    pub fn id(&self) -> GroupId {
        self.id
    }

    /// Returns the group's state on this node and tells of changes.
    ///
    /// # Errors
    /// [`GroupError::NotRunning`].
    pub fn status(&self) -> Result<watch::Receiver<GroupStatus>, GroupError> {
        Ok(self.running()?.1.status())
    }

    /// Returns the group's figures on this node.
    ///
    /// # Errors
    /// [`GroupError::NotRunning`].
    pub fn metrics(&self) -> Result<GroupMetrics, GroupError> {
        let (_, running) = self.running()?;
        let metrics = running.raft().metrics();
        let current = metrics.borrow();
        Ok(metrics_of(&current))
    }

    /// Says whether this replica heard a leader within the longest election time, or started that recently.
    pub fn hears_leader(&self) -> bool {
        self.running().is_ok_and(|(shared, running)| {
            let faith = shared.options.election_max;
            running.standing.hears_leader(faith)
        })
    }

    /// Makes the first members of a group that is new everywhere; once, on one node.
    ///
    /// # Errors
    /// [`GroupError::Members`] when the group has members already, or this node is none of them.
    pub async fn initialize(&self, members: BTreeSet<NodeNumber>) -> Result<(), GroupError> {
        let (_, running) = self.running()?;
        match running.raft().initialize(members).await {
            Ok(()) => Ok(()),
            Err(RaftError::APIError(
                error @ (InitializeError::NotAllowed(_) | InitializeError::NotInMembers(_)),
            )) => Err(self.members_error(&error)),
            Err(RaftError::Fatal(error)) => Err(self.stopped(&error)),
        }
    }

    /// Proposes commands and returns what applying them gave; only the leader takes them.
    ///
    /// # Errors
    /// [`GroupError::OutcomeUnknown`] when they may be committed all the same; any other error means that
    /// they never will be.
    pub async fn propose(
        &self,
        commands: Bytes,
        deadline: Duration,
    ) -> Result<Proposed, GroupError> {
        let (shared, running) = self.running()?;
        let begun = Instant::now();
        let proposed = self.propose_to(&shared, &running, commands, deadline).await;
        let outcome = match &proposed {
            Ok(_) => ProposalOutcome::Committed,
            Err(GroupError::OutcomeUnknown { .. }) => ProposalOutcome::Unknown,
            Err(_) => ProposalOutcome::Refused,
        };
        running.observer.proposed(outcome, begun.elapsed());
        proposed
    }

    async fn propose_to(
        &self,
        shared: &Shared,
        running: &Running,
        commands: Bytes,
        deadline: Duration,
    ) -> Result<Proposed, GroupError> {
        let options = &shared.options;
        if commands.len() > options.proposal_bytes_max {
            return Err(GroupError::TooLarge {
                bytes: commands.len(),
                limit: options.proposal_bytes_max,
            });
        }
        self.check_leads(shared, running)?;
        let _under_way =
            running
                .proposals
                .try_acquire()
                .map_err(|_full| GroupError::Overloaded {
                    group: self.id,
                    limit: options.proposals_max,
                })?;
        let raft = running.raft();
        match timeout(deadline, raft.client_write(Batch(commands))).await {
            Ok(Ok(written)) => Ok(Proposed {
                position: written.log_id.into(),
                response: written.data.0,
            }),
            Ok(Err(error)) => Err(self.unknown(running, error.to_string())),
            Err(_elapsed) => Err(self.unknown(running, format!("no reply within {deadline:?}"))),
        }
    }

    /// Returns a place that this node has applied and that no acknowledged proposal of before lies behind,
    /// with its own term: until the next election nobody else acts under a later generation.
    ///
    /// # Errors
    /// [`GroupError::NotLeader`], [`GroupError::NoQuorum`] or [`GroupError::TimedOut`]; it has no effect.
    pub async fn check_linearizable(&self, deadline: Duration) -> Result<ReadPoint, GroupError> {
        let (shared, running) = self.running()?;
        let term = self.check_leads(&shared, &running)?;
        let raft = running.raft();
        let checked = timeout(deadline, raft.ensure_linearizable())
            .await
            .map_err(|_elapsed| GroupError::TimedOut {
                group: self.id,
                what: "confirm its leader",
                after: deadline,
            })?;
        match checked {
            Ok(applied) => {
                let now = self.check_leads(&shared, &running)?;
                let through = applied.map(LogPosition::from).unwrap_or_default();
                if now != term {
                    return Err(self.not_leader(&running));
                }
                Ok(ReadPoint { term, through })
            }
            Err(RaftError::APIError(CheckIsLeaderError::ForwardToLeader(forward))) => {
                Err(self.forwarded(&forward))
            }
            Err(RaftError::APIError(CheckIsLeaderError::QuorumNotEnough(_))) => {
                Err(GroupError::NoQuorum { group: self.id })
            }
            Err(RaftError::Fatal(error)) => Err(self.stopped(&error)),
        }
    }

    /// Takes a snapshot now, unless one is being taken.
    ///
    /// # Errors
    /// [`GroupError::NotRunning`] or [`GroupError::Stopped`].
    pub async fn snapshot(&self) -> Result<(), GroupError> {
        let (_, running) = self.running()?;
        let raft = running.raft();
        let triggered = raft.trigger().snapshot().await;
        triggered.map_err(|error| self.stopped(&error))
    }

    /// Hands leadership to another voter; returns once this node knows that it leads.
    ///
    /// Meanwhile the group takes no proposals here, so that the next leader has all of them. It needs the votes
    /// of a majority, and voters grant none while they have heard from the old leader within the longest
    /// election time, this node excepted: with more than three voters it takes about that long.
    ///
    /// # Errors
    /// [`GroupError::Members`] when the node is no voter; [`GroupError::HandingOver`] when it is under way;
    /// [`GroupError::TimedOut`] when the node did not win.
    pub async fn transfer_leadership(
        &self,
        to: NodeNumber,
        deadline: Duration,
    ) -> Result<(), GroupError> {
        let (shared, running) = self.running()?;
        self.check_leads(&shared, &running)?;
        if !running.status().borrow().is_voter(to) {
            return Err(self.members_error(&format!("node {to} is no voter")));
        }
        let _handing_over =
            HandingOver::begin(&running).ok_or(GroupError::HandingOver { group: self.id })?;
        timeout(deadline, hand_over(&shared, &running, to))
            .await
            .map_err(|_elapsed| GroupError::TimedOut {
                group: self.id,
                what: "hand over its leadership",
                after: deadline,
            })
    }

    pub(crate) fn running(&self) -> Result<(Arc<Shared>, Arc<Running>), GroupError> {
        let shared = self.shared.upgrade();
        let running = shared.as_ref().and_then(|shared| shared.running(self.id));
        shared
            .zip(running)
            .ok_or(GroupError::NotRunning { group: self.id })
    }

    /// Returns the term in which this node leads with a majority behind it and a log that takes writes.
    pub(crate) fn check_leads(
        &self,
        shared: &Shared,
        running: &Running,
    ) -> Result<u64, GroupError> {
        let refusal = shared.log.refusal();
        if let Some(error) = refusal {
            return Err(log_refusal(self.id, &error));
        }
        let metrics = running.raft().metrics();
        let current = metrics.borrow();
        if let Err(error) = &current.running_state {
            return Err(self.stopped(error));
        }
        if current.state != ServerState::Leader || current.current_leader != Some(current.id) {
            return Err(GroupError::NotLeader {
                group: self.id,
                leader: current
                    .current_leader
                    .filter(|leader| *leader != current.id),
            });
        }
        if !has_quorum(&current, shared.options.election_max) {
            return Err(GroupError::NoQuorum { group: self.id });
        }
        Ok(current.current_term)
    }

    pub(crate) fn membership_outcome(
        &self,
        running: &Running,
        outcome: Option<Result<ClientWriteResponse<TypeConfig>, ProposalError>>,
    ) -> Result<LogPosition, GroupError> {
        match outcome {
            Some(Ok(written)) => Ok(written.log_id.into()),
            Some(Err(RaftError::APIError(ClientWriteError::ChangeMembershipError(error)))) => {
                Err(self.members_error(&error))
            }
            Some(Err(error)) => Err(self.unknown(running, error.to_string())),
            None => Err(self.unknown(running, "no reply in time".to_owned())),
        }
    }

    /// openraft also says that another node leads when an entry was appended here and cut off again: it may
    /// still be committed from another node. So what was once handed to it has an unknown outcome.
    fn unknown(&self, running: &Running, reason: String) -> GroupError {
        let status = running.status();
        let leader = status.borrow().leader;
        GroupError::OutcomeUnknown {
            group: self.id,
            leader,
            reason,
        }
    }

    pub(crate) fn not_leader(&self, running: &Running) -> GroupError {
        let status = running.status();
        let leader = status.borrow().leader;
        GroupError::NotLeader {
            group: self.id,
            leader,
        }
    }

    fn forwarded(&self, forward: &ForwardToLeader<NodeNumber, EmptyNode>) -> GroupError {
        GroupError::NotLeader {
            group: self.id,
            leader: forward.leader_id,
        }
    }

    pub(crate) fn members_error(&self, reason: &impl ToString) -> GroupError {
        GroupError::Members {
            group: self.id,
            reason: reason.to_string(),
        }
    }

    pub(crate) fn stopped(&self, error: &impl ToString) -> GroupError {
        GroupError::Stopped {
            group: self.id,
            reason: error.to_string(),
        }
    }
}

/// What a linearizable check found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ReadPoint {
    /// The generation under which this node leads.
    pub term: u64,
    /// Its state holds everything through this place.
    pub through: LogPosition,
}

/// Keeps proposals out while leadership is handed over.
struct HandingOver<'a>(&'a AtomicBool);

impl<'a> HandingOver<'a> {
    fn begin(running: &'a Running) -> Option<Self> {
        let flag = &running.is_handing_over;
        let begun = flag.compare_exchange(false, true, Ordering::AcqRel, Ordering::Acquire);
        begun.is_ok().then_some(Self(flag))
    }
}

impl Drop for HandingOver<'_> {
    fn drop(&mut self) {
        self.0.store(false, Ordering::Release);
    }
}

async fn hand_over(shared: &Shared, running: &Running, to: NodeNumber) {
    let pause = shared.options.heartbeat;
    let mut metrics = running.raft().metrics();
    // What is under way goes first, or this node's log gets ahead of the next leader's once more.
    let permits = u32::try_from(shared.options.proposals_max).unwrap_or(u32::MAX);
    let Ok(_all) = running.proposals.acquire_many(permits).await else {
        return std::future::pending().await;
    };
    let caught_up = metrics.wait_for(|metrics| {
        let matching = metrics.replication.as_ref().and_then(|all| all.get(&to));
        let matching = matching.copied().flatten().map(|place| place.index);
        metrics.state != ServerState::Leader || matching == metrics.last_log_index
    });
    if caught_up.await.is_err() {
        // The group ended here, and with it what there is to hand over.
        return std::future::pending().await;
    }
    let last = shared.log.state(running.id).last;
    let mut status = running.status();
    loop {
        let body = RequestBody::Elect { last };
        match running.peers.ask(to, PeerLane::Votes, body, pause).await {
            Ok(Reply::Elect { .. }) => {}
            Ok(other) => tracing::warn!(?other, "a reply to another request"),
            Err(error) => tracing::debug!(%error, "a node did not stand for election yet"),
        }
        // Standing again would void the votes that are on their way.
        let leads = status.wait_for(|status| status.leader == Some(to));
        if let Ok(Ok(_)) = timeout(shared.options.election_min, leads).await {
            return;
        }
    }
}

/// Stands for election when the log here reaches a place; returns whether it does.
pub(crate) async fn elect(shared: &Shared, running: &Running, last: Option<LogPosition>) -> bool {
    let is_caught_up = shared.log.state(running.id).last >= last;
    // A change of the members that began while this node led must not go on under another term of it.
    let is_changing = running.members_change.try_lock();
    let stands =
        is_changing.is_ok() && is_caught_up && running.raft().trigger().elect().await.is_ok();
    if stands {
        running.observer.stood();
    }
    stands
}
