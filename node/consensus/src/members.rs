//! Changes of a group's members, each resting on a membership that its caller saw.
//!
//! A caller names the log index of the membership that its decision rests on, and the leader refuses when
//! another is committed or one is under way: so a request that is late or repeated changes nothing.
//!
//! Two things make comparing and proposing one step. A lock per group keeps other changes of this leader out,
//! and openraft takes both in the order in which they were sent. Between them this node cannot lose
//! leadership and win it again with other members, because it stands for no election while the lock is held.

use std::collections::BTreeSet;
use std::time::Duration;

use openraft::error::{ClientWriteError, RaftError};
use openraft::raft::ClientWriteResponse;
use openraft::{ChangeMembers, EmptyNode, Raft, RaftMetrics, RaftState, ServerState};
use tokio::time::{Instant, sleep_until, timeout_at};
use twinscale_protocol::NodeNumber;

use crate::error::GroupError;
use crate::group::Group;
use crate::ids::LogPosition;
use crate::types::TypeConfig;

type CoreState = RaftState<NodeNumber, EmptyNode, openraft::TokioInstant>;
type Written = Result<
    ClientWriteResponse<TypeConfig>,
    RaftError<NodeNumber, ClientWriteError<NodeNumber, EmptyNode>>,
>;

/// What a caller asks for.
enum Change {
    AddLearners(BTreeSet<NodeNumber>),
    RemoveLearners(BTreeSet<NodeNumber>),
    Voters(BTreeSet<NodeNumber>),
    Recommit,
}

impl Group {
    /// Adds replicas that receive entries and have no vote, in one entry; it does not wait until they have
    /// caught up. Returns the place of the new membership, which the status shows by then: its index is the
    /// next to compare with.
    ///
    /// # Errors
    /// [`GroupError::MembersChanged`] when the membership is another than at that index, or a change is under
    /// way; [`GroupError::Members`] during a joint change; [`GroupError::OutcomeUnknown`] when it may happen
    /// all the same: look at the status. Any other error means that it never will.
    pub async fn add_learners(
        &self,
        nodes: BTreeSet<NodeNumber>,
        at_membership: u64,
        deadline: Duration,
    ) -> Result<LogPosition, GroupError> {
        self.change(Change::AddLearners(nodes), at_membership, deadline)
            .await
    }

    /// Removes replicas that have no vote, in one entry; nodes that are none are passed over. Returns the
    /// place of the new membership.
    ///
    /// # Errors
    /// Those of [`Group::add_learners`]; [`GroupError::Members`] also when one of them is a voter.
    pub async fn remove_learners(
        &self,
        nodes: BTreeSet<NodeNumber>,
        at_membership: u64,
        deadline: Duration,
    ) -> Result<LogPosition, GroupError> {
        self.change(Change::RemoveLearners(nodes), at_membership, deadline)
            .await
    }

    /// Makes these the voters in one joint change, or ends with them the one under way; who was a voter and
    /// is none of them stays as a learner, so that it hears that it has no vote. Returns the place of the new
    /// membership, once it is no joint one any more.
    ///
    /// # Errors
    /// Those of [`Group::add_learners`]; [`GroupError::Members`] when one of them is no member yet, or none is
    /// named.
    pub async fn change_voters(
        &self,
        voters: BTreeSet<NodeNumber>,
        at_membership: u64,
        deadline: Duration,
    ) -> Result<LogPosition, GroupError> {
        self.change(Change::Voters(voters), at_membership, deadline)
            .await
    }

    /// Commits the same membership once more, also a joint one, so that its index rises and whatever still
    /// rests on an older one fails. Returns its new place.
    ///
    /// # Errors
    /// Those of [`Group::add_learners`].
    pub async fn recommit_members(
        &self,
        at_membership: u64,
        deadline: Duration,
    ) -> Result<LogPosition, GroupError> {
        self.change(Change::Recommit, at_membership, deadline).await
    }

    async fn change(
        &self,
        change: Change,
        asked: u64,
        deadline: Duration,
    ) -> Result<LogPosition, GroupError> {
        let until = Instant::now() + deadline;
        let (shared, running) = self.running()?;
        let term = self.check_leads(&shared, &running)?;
        let too_late = |_elapsed| GroupError::TimedOut {
            group: self.id(),
            what: "compare its members",
            after: deadline,
        };
        let lock = timeout_at(until, running.members_change.lock());
        let _one_at_a_time = lock.await.map_err(too_late)?;
        let raft = running.raft();
        let compared = timeout_at(until, async {
            knows_its_members(&raft, term).await;
            let compare = move |state: &CoreState| compare(state, term, asked);
            raft.with_raft_state(compare).await
        });
        let compared = compared.await.map_err(too_late)?;
        let (is_joint, member) = match compared.map_err(|error| self.stopped(&error))? {
            Compared::Same { is_joint, member } => (is_joint, member),
            Compared::NotLeader => return Err(self.not_leader(&running)),
            Compared::Changed { at } => {
                return Err(GroupError::MembersChanged {
                    group: self.id(),
                    asked,
                    at,
                });
            }
        };
        if is_joint && change.is_of_learners() {
            let reason = "a joint change of the voters is under way; end it first";
            return Err(self.members_error(&reason));
        }
        let written = tokio::select! {
            written = propose(&raft, change, member) => Some(written),
            () = sleep_until(until) => None,
            () = leads_no_more(&raft, term) => None,
        };
        let place = self.membership_outcome(&running, written)?;
        // The caller looks at the status next. That openraft ended in between takes nothing back.
        let mut status = running.status();
        let shown = status.wait_for(|status| status.membership_index >= place.index);
        drop(timeout_at(until, shown).await);
        Ok(place)
    }
}

impl Change {
    fn is_of_learners(&self) -> bool {
        matches!(self, Self::AddLearners(_) | Self::RemoveLearners(_))
    }
}

/// How the membership stands to what was asked.
enum Compared {
    Same { is_joint: bool, member: NodeNumber },
    Changed { at: u64 },
    NotLeader,
}

/// Runs inside openraft, between its steps.
fn compare(state: &CoreState, term: u64, asked: u64) -> Compared {
    let committed_in = state.committed.map(|place| place.leader_id.term);
    let leads =
        state.server_state == ServerState::Leader && state.vote_ref().leader_id.term == term;
    // Before its own first entry is committed, a leader does not know which of its entries are.
    if !leads || committed_in != Some(term) {
        return Compared::NotLeader;
    }
    let members = &state.membership_state;
    let newest = members.effective();
    let at = newest.log_id().map_or(0, |place| place.index);
    let is_settled = newest.log_id() == members.committed().log_id();
    match newest.nodes().next() {
        Some((member, _)) if is_settled && at == asked => Compared::Same {
            is_joint: newest.get_joint_config().len() > 1,
            member: *member,
        },
        _ => Compared::Changed { at },
    }
}

async fn propose(raft: &Raft<TypeConfig>, change: Change, member: NodeNumber) -> Written {
    match change {
        Change::AddLearners(nodes) => {
            let nodes = nodes.into_iter().map(|node| (node, EmptyNode {}));
            raft.change_membership(ChangeMembers::AddNodes(nodes.collect()), true)
                .await
        }
        Change::RemoveLearners(nodes) => {
            raft.change_membership(ChangeMembers::RemoveNodes(nodes), true)
                .await
        }
        Change::Voters(voters) => {
            raft.change_membership(ChangeMembers::ReplaceAllVoters(voters), true)
                .await
        }
        // Adding who is there already changes nothing, and is an entry all the same; also during a joint
        // change, which openraft would otherwise end.
        Change::Recommit => raft.add_learner(member, EmptyNode {}, false).await,
    }
}

/// Waits until the first entry of this leader's term is applied, or it leads no more.
async fn knows_its_members(raft: &Raft<TypeConfig>, term: u64) {
    let mut metrics = raft.metrics();
    let settled = metrics.wait_for(|metrics| {
        let applied = metrics.last_applied.map(|place| place.leader_id.term);
        !leads(metrics, term) || applied == Some(term)
    });
    // That openraft ended is found by whoever asks it next.
    drop(settled.await);
}

async fn leads_no_more(raft: &Raft<TypeConfig>, term: u64) {
    let mut metrics = raft.metrics();
    drop(metrics.wait_for(|metrics| !leads(metrics, term)).await);
}

fn leads(metrics: &RaftMetrics<NodeNumber, EmptyNode>, term: u64) -> bool {
    metrics.state == ServerState::Leader && metrics.current_term == term
}
