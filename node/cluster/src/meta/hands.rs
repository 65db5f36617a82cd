//! Does errands on this node.

use super::errand::{Errand, ErrandRequest};
use super::error::wire_error;
use super::keeper::ReplicaKeeper;
use super::replica::consensus_group;
use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Notify;
use tokio::time::{Instant, sleep, timeout};
use twinscale_consensus::{Group, GroupError};
use twinscale_meta::GroupId;
use twinscale_protocol::{NodeNumber, WireError, WireErrorCode};

/// How often it is looked whether a snapshot is there.
const SNAPSHOT_LOOK: Duration = Duration::from_millis(10);

/// After this time without the snapshot another one is asked for.
const SNAPSHOT_AGAIN: Duration = Duration::from_millis(500);

/// How long what is shown of a group may lag behind what it knows.
const SHOWN_LIMIT: Duration = Duration::from_secs(2);

/// Does errands on this node. Who asks must be a node of the cluster: that is for the wire to know.
#[derive(Clone, Debug)]
pub struct Hands {
    keeper: Arc<ReplicaKeeper>,
    /// Told after each errand, so that a report follows at once.
    done: Arc<Notify>,
}

fn members(nodes: &[NodeNumber]) -> BTreeSet<NodeNumber> {
    nodes.iter().copied().collect()
}

impl Hands {
    /// Takes the node's replicas.
    pub fn new(keeper: Arc<ReplicaKeeper>) -> Self {
        let done = Arc::default();
        Self { keeper, done }
    }

    /// Is told after each errand.
    pub fn done(&self) -> Arc<Notify> {
        Arc::clone(&self.done)
    }

    /// Does an errand within its limit.
    ///
    /// # Errors
    /// [`WireError`]: [`WireErrorCode::Conflict`] when what it rests on has changed,
    /// [`WireErrorCode::NotLeader`] when another node leads the group; after [`WireErrorCode::Timeout`] it may
    /// go on.
    #[expect(
        clippy::disallowed_methods,
        reason = "the task has the errand's limit, and whoever asked awaits it or gave up"
    )]
    pub async fn run(&self, request: ErrandRequest) -> Result<(), WireError> {
        // It goes on when the asker gives up. A leader of group 0 that hands over steps down in the middle of
        // it: an election that nobody repeats then would be lost to it again, and so on for ever.
        let hands = self.clone();
        let ended = tokio::spawn(async move { hands.run_within(request).await }).await;
        ended.unwrap_or_else(|error| {
            let text = format!("the errand ended early: {error}");
            Err(WireError::new(WireErrorCode::Internal, text))
        })
    }

    async fn run_within(&self, request: ErrandRequest) -> Result<(), WireError> {
        let limit = request.limit();
        let outcome = timeout(limit, self.run_all(request)).await;
        self.done.notify_one();
        outcome.unwrap_or_else(|_elapsed| {
            let text = format!("the errand took longer than {limit:?}; look at the group");
            Err(WireError::new(WireErrorCode::Timeout, text))
        })
    }

    async fn run_all(&self, request: ErrandRequest) -> Result<(), WireError> {
        let (group, number, limit) = (request.group, request.number, request.limit());
        let keeper = &self.keeper;
        match request.errand {
            Errand::MakeFirst { shards } => {
                // What is half made is finished by the next start or the next errand.
                Ok(keeper.make_first(group, number, shards).await?)
            }
            Errand::MakeLearner { shards } => {
                Ok(keeper.make_learner(group, number, shards).await?)
            }
            Errand::Drop { made_up_to } => Ok(keeper.drop_replica(group, made_up_to).await?),
            Errand::Begin { voters } => {
                keeper.check_number(group, number).await?;
                begin(&self.group(group), &voters).await
            }
            Errand::Snapshot => snapshot(&self.group(group)).await,
            leads => self.lead(&self.group(group), leads, limit).await,
        }
        .map_err(|error: WireError| {
            tracing::debug!(%group, %error, "an errand was not done");
            error
        })
    }

    async fn lead(&self, group: &Group, errand: Errand, limit: Duration) -> Result<(), WireError> {
        let done = match errand {
            Errand::AddLearners {
                learners,
                at_membership,
            } => {
                let learners = members(&learners);
                group.add_learners(learners, at_membership, limit).await
            }
            Errand::RemoveLearners {
                learners,
                at_membership,
            } => {
                let learners = members(&learners);
                group.remove_learners(learners, at_membership, limit).await
            }
            Errand::ChangeVoters {
                voters,
                at_membership,
            } => {
                let voters = members(&voters);
                group.change_voters(voters, at_membership, limit).await
            }
            Errand::Exclude {
                node,
                at_membership,
            } => {
                check_excluded(group, node, at_membership)?;
                group.recommit_members(at_membership, limit).await
            }
            Errand::TransferLeader { to } => {
                let done = group.transfer_leadership(to, limit).await;
                return done.map_err(|error| wire_error(&error));
            }
            other => {
                let text = format!("{other:?} is no errand of a leader");
                return Err(WireError::new(WireErrorCode::Internal, text));
            }
        };
        done.map(|_place| ()).map_err(|error| wire_error(&error))
    }

    fn group(&self, group: GroupId) -> Group {
        self.keeper.groups().group(consensus_group(group))
    }
}

/// Begins a group, unless it has members.
async fn begin(group: &Group, voters: &[NodeNumber]) -> Result<(), WireError> {
    let done = group.initialize(members(voters)).await;
    if matches!(done, Err(GroupError::Members { .. }))
        && let Ok(true) = timeout(SHOWN_LIMIT, has_members(group)).await
    {
        return Ok(());
    }
    done.map_err(|error| wire_error(&error))
}

/// Takes a snapshot that covers all that is applied now; returns once it is on disk.
async fn snapshot(group: &Group) -> Result<(), WireError> {
    let metrics = || group.metrics().map_err(|error| wire_error(&error));
    let Some(wanted) = metrics()?.applied else {
        return Ok(());
    };
    loop {
        // One that is under way is not begun again, and may cover less.
        let taken = group.snapshot().await;
        taken.map_err(|error| wire_error(&error))?;
        let again = Instant::now() + SNAPSHOT_AGAIN;
        while Instant::now() < again {
            if metrics()?
                .snapshot
                .is_some_and(|covered| covered.index >= wanted.index)
            {
                return Ok(());
            }
            sleep(SNAPSHOT_LOOK).await;
        }
    }
}

/// Waits until a group that runs again is seen to have members.
async fn has_members(group: &Group) -> bool {
    let Ok(mut status) = group.status() else {
        return false;
    };
    let shown = status.wait_for(|status| !status.voters.is_empty());
    shown.await.is_ok()
}

/// Checks that the membership that is compared with does not name a node.
fn check_excluded(group: &Group, node: NodeNumber, at_membership: u64) -> Result<(), WireError> {
    let status = group.status().map_err(|error| wire_error(&error))?;
    let status = status.borrow();
    let is_member = status.is_voter(node) || status.learners.contains(&node);
    if status.membership_index == at_membership && !is_member {
        return Ok(());
    }
    let text = format!(
        "node {node} is a member of {:?}, or its members were changed since index {at_membership}",
        group.id()
    );
    Err(WireError::new(WireErrorCode::Conflict, text))
}
