//! What a group shows of itself.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use openraft::{EmptyNode, RaftMetrics, ServerState};

use crate::ids::{LogPosition, NodeNumber};

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
    /// Who votes.
    pub voters: BTreeSet<NodeNumber>,
    /// Who only receives entries.
    pub learners: BTreeSet<NodeNumber>,
    /// Why it stopped.
    pub stopped: Option<String>,
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

pub(crate) fn status_of(metrics: &Metrics, election_max: Duration) -> GroupStatus {
    let membership = metrics.membership_config.membership();
    let voters: BTreeSet<NodeNumber> = membership.voter_ids().collect();
    let role = match metrics.state {
        ServerState::Leader => GroupRole::Leader,
        ServerState::Follower => GroupRole::Follower,
        ServerState::Candidate => GroupRole::Candidate,
        ServerState::Learner => GroupRole::Learner,
        ServerState::Shutdown => GroupRole::Stopped,
    };
    let is_alone = voters.len() == 1 && voters.contains(&metrics.id);
    let is_heard = metrics
        .millis_since_quorum_ack
        .is_some_and(|ms| Duration::from_millis(ms) <= election_max);
    GroupStatus {
        role,
        term: metrics.current_term,
        leader: metrics.current_leader,
        has_quorum: role == GroupRole::Leader && (is_alone || is_heard),
        applied: metrics.last_applied.map(Into::into),
        learners: membership.learner_ids().collect(),
        voters,
        stopped: metrics.running_state.as_ref().err().map(describe),
    }
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
