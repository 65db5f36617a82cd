//! What a group shows of itself.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use openraft::{EmptyNode, RaftMetrics, ServerState};
use twinscale_protocol::NodeNumber;

use crate::ids::LogPosition;
use crate::types::StoredMembership;

/// The part that this node plays in a group.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum GroupRole {
    /// It takes proposals, as long as it hears from a majority.
    Leader,
    /// It follows a leader, or waits for one.
    Follower,
    /// It stands for election.
    Candidate,
    /// It receives entries and has no vote.
    Learner,
    /// It takes no part until it is started again; see [`GroupStatus::stopped`].
    Stopped,
}

/// The state of one group on this node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GroupStatus {
    /// The part that this node plays.
    pub role: GroupRole,
    /// The newest term that it knows: the generation, where it leads.
    pub term: u64,
    /// Who leads, as far as it knows; only a hint.
    pub leader: Option<NodeNumber>,
    /// Whether a leader heard from a majority within the longest election time.
    pub has_quorum: bool,
    /// How far its state is.
    pub applied: Option<LogPosition>,
    /// The log index of the committed membership, as far as this node has applied: what a change of the
    /// members names as its ground. 0 also while no membership is known; then there are no voters.
    pub membership_index: u64,
    /// Who votes: one set, or two during a joint change, of which the first is the old one.
    pub voters: Vec<BTreeSet<NodeNumber>>,
    /// Who only receives entries.
    pub learners: BTreeSet<NodeNumber>,
    /// Where it leads: how many entries each replica lags behind, as far as it has answered.
    pub lag: BTreeMap<NodeNumber, u64>,
    /// Why it stopped.
    pub stopped: Option<String>,
}

impl GroupStatus {
    /// Says whether a node votes, in either set.
    pub fn is_voter(&self, node: NodeNumber) -> bool {
        self.voters.iter().any(|set| set.contains(&node))
    }
}

/// Figures of one group on this node.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct GroupMetrics {
    /// The newest term that it knows.
    pub term: u64,
    /// The index of the last entry in its log.
    pub last_index: Option<u64>,
    /// How far its state is.
    pub applied: Option<LogPosition>,
    /// What its newest snapshot covers.
    pub snapshot: Option<LogPosition>,
    /// What was purged from its log.
    pub purged: Option<LogPosition>,
    /// Where it leads: how far each replica's log is known to agree.
    pub replication: BTreeMap<NodeNumber, Option<LogPosition>>,
    /// Where it leads: how long ago a majority was heard.
    pub since_quorum: Option<Duration>,
}

type Metrics = RaftMetrics<NodeNumber, EmptyNode>;

pub(crate) fn status_of(
    metrics: &Metrics,
    members: &StoredMembership,
    election_max: Duration,
) -> GroupStatus {
    let membership = members.membership();
    let role = match metrics.state {
        ServerState::Leader => GroupRole::Leader,
        ServerState::Follower => GroupRole::Follower,
        ServerState::Candidate => GroupRole::Candidate,
        ServerState::Learner => GroupRole::Learner,
        ServerState::Shutdown => GroupRole::Stopped,
    };
    GroupStatus {
        role,
        term: metrics.current_term,
        leader: metrics.current_leader,
        has_quorum: has_quorum(metrics, election_max),
        applied: metrics.last_applied.map(Into::into),
        membership_index: members.log_id().map_or(0, |place| place.index),
        voters: membership.get_joint_config().clone(),
        learners: membership.learner_ids().collect(),
        lag: lag_of(metrics),
        stopped: metrics.running_state.as_ref().err().map(describe),
    }
}

/// Says whether it leads with a majority behind it.
pub(crate) fn has_quorum(metrics: &Metrics, election_max: Duration) -> bool {
    // Members that are not committed yet count already for majorities.
    let mut voters = metrics.membership_config.voter_ids();
    let is_alone = voters.all(|voter| voter == metrics.id);
    let is_heard = metrics
        .millis_since_quorum_ack
        .is_some_and(|ms| Duration::from_millis(ms) <= election_max);
    metrics.state == ServerState::Leader && (is_alone || is_heard)
}

fn lag_of(metrics: &Metrics) -> BTreeMap<NodeNumber, u64> {
    let entries = |index: Option<u64>| index.map_or(0, |index| index + 1);
    let last = entries(metrics.last_log_index);
    let replication = metrics.replication.iter().flatten();
    replication
        .map(|(node, matching)| {
            let matching = entries(matching.map(|place| place.index));
            (*node, last.saturating_sub(matching))
        })
        .collect()
}

pub(crate) fn metrics_of(metrics: &Metrics) -> GroupMetrics {
    let replication = metrics.replication.iter().flatten();
    GroupMetrics {
        term: metrics.current_term,
        last_index: metrics.last_log_index,
        applied: metrics.last_applied.map(Into::into),
        snapshot: metrics.snapshot.map(Into::into),
        purged: metrics.purged.map(Into::into),
        replication: replication
            .map(|(node, matching)| (*node, matching.map(Into::into)))
            .collect(),
        since_quorum: metrics.millis_since_quorum_ack.map(Duration::from_millis),
    }
}

/// Tells an error with all its causes in one line.
pub(crate) fn describe(error: &(impl std::error::Error + 'static)) -> String {
    let mut text = error.to_string();
    let mut cause = std::error::Error::source(error);
    while let Some(inner) = cause {
        let inner_text = inner.to_string();
        if !text.contains(&inner_text) {
            text = format!("{text}: {inner_text}");
        }
        cause = inner.source();
    }
    text
}
