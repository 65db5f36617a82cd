//! Effects of the planner as errands: who is asked what, in which order.

use super::errand::{Carrier, Errand, ErrandRequest};
use futures::future::join_all;
use std::time::Duration;
use twinscale_meta::{Effect, GroupId};
use twinscale_protocol::{NodeNumber, WireError, WireErrorCode};

/// How long one errand may take: several elections, or the last snapshot of a replica that is deleted.
pub(super) const ERRAND_LIMIT: Duration = Duration::from_secs(5);

/// An effect with what it is carried out by.
#[derive(Clone, Debug)]
pub(super) struct Work {
    pub(super) group: GroupId,
    pub(super) number: u64,
    pub(super) effect: Effect,
    /// The group's leader as it was observed.
    pub(super) leader: Option<NodeNumber>,
    /// The cluster's number of shards.
    pub(super) shards: u32,
}

impl Work {
    /// Has the effect carried out.
    ///
    /// # Errors
    /// That of the first errand on which the rest depends.
    pub(super) async fn carry(&self, carrier: &dyn Carrier) -> Result<(), WireError> {
        match self.effect.clone() {
            Effect::Found { voters } => self.found(carrier, voters).await,
            Effect::MakeReplica { node } => {
                let shards = self.shards;
                self.ask(carrier, node, Errand::MakeFirst { shards }).await
            }
            Effect::AddLearners {
                learners,
                at_membership,
            } => self.add_learners(carrier, &learners, at_membership).await,
            Effect::ChangeVoters {
                voters,
                at_membership,
            } => {
                let errand = Errand::ChangeVoters {
                    voters,
                    at_membership,
                };
                self.ask_leader(carrier, errand).await
            }
            Effect::RemoveLearners {
                learners,
                at_membership,
            } => {
                let errand = Errand::RemoveLearners {
                    learners,
                    at_membership,
                };
                self.ask_leader(carrier, errand).await
            }
            Effect::DropReplica {
                node,
                made_up_to,
                at_membership,
            } => {
                let exclude = Errand::Exclude {
                    node,
                    at_membership,
                };
                self.ask_leader(carrier, exclude).await?;
                self.ask(carrier, node, Errand::Drop { made_up_to }).await
            }
            Effect::TransferLeader { to } => {
                self.ask_leader(carrier, Errand::TransferLeader { to })
                    .await
            }
        }
    }

    async fn found(&self, carrier: &dyn Carrier, voters: Vec<NodeNumber>) -> Result<(), WireError> {
        let shards = self.shards;
        let ready = self
            .ask_all(carrier, &voters, &Errand::MakeFirst { shards })
            .await;
        if ready.len() * 2 <= voters.len() {
            let text = format!("only nodes {ready:?} of {voters:?} made a replica");
            return Err(WireError::new(WireErrorCode::Unavailable, text));
        }
        // Who begins a group leads it at first: each shard another node.
        let turn = usize::try_from(self.group.number()).unwrap_or_default() % ready.len();
        let first = ready.get(turn).copied();
        let begin = Errand::Begin { voters };
        match first {
            Some(first) => self.ask(carrier, first, begin).await,
            None => Ok(()),
        }
    }

    async fn add_learners(
        &self,
        carrier: &dyn Carrier,
        learners: &[NodeNumber],
        at_membership: u64,
    ) -> Result<(), WireError> {
        let shards = self.shards;
        let make = Errand::MakeLearner { shards };
        // Only those that answered: an older replica may be about to be deleted.
        let ready = self.ask_all(carrier, learners, &make).await;
        if ready.is_empty() {
            let text = format!("none of nodes {learners:?} made a replica");
            return Err(WireError::new(WireErrorCode::Unavailable, text));
        }
        let add = Errand::AddLearners {
            learners: ready,
            at_membership,
        };
        self.ask_leader(carrier, add).await
    }

    /// Asks several nodes at once; returns those that did it.
    async fn ask_all(
        &self,
        carrier: &dyn Carrier,
        nodes: &[NodeNumber],
        errand: &Errand,
    ) -> Vec<NodeNumber> {
        let asked = nodes.iter().map(|node| async move {
            let done = self.ask(carrier, *node, errand.clone()).await;
            done.is_ok().then_some(*node)
        });
        join_all(asked).await.into_iter().flatten().collect()
    }

    async fn ask_leader(&self, carrier: &dyn Carrier, errand: Errand) -> Result<(), WireError> {
        let Some(leader) = self.leader else {
            let text = format!("{} has no leader", self.group);
            return Err(WireError::new(WireErrorCode::Unavailable, text));
        };
        self.ask(carrier, leader, errand).await
    }

    async fn ask(
        &self,
        carrier: &dyn Carrier,
        node: NodeNumber,
        errand: Errand,
    ) -> Result<(), WireError> {
        let request = ErrandRequest {
            group: self.group,
            number: self.number,
            errand,
            limit_ms: u32::try_from(ERRAND_LIMIT.as_millis()).unwrap_or(u32::MAX),
        };
        let done = carrier.carry(node, request).await;
        done.inspect_err(|error| {
            tracing::debug!(group = %self.group, %node, %error, "an errand was not done");
        })
    }
}
