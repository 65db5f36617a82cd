//! How a node gets its number: it asks any node, which sends it on to whoever leads group 0.

use crate::meta::{MetaError, MetaShown, MetaWriter};
use crate::network::{Answer, Directory, NodePlace, answered, opened};
use futures::future::BoxFuture;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;
use twinscale_meta::stored::v1::By;
use twinscale_meta::{Applied, MetaCommand, MetaState, NodeFacts, Outcome};
use twinscale_protocol::envelope::EnvelopeKind;
use twinscale_protocol::{AccountName, ClusterId, NodeId, NodeNumber, WireError};
use twinscale_wire::{Call, Envelope, Identity};

/// A [`JoinRequest`].
pub const JOIN_REQUEST: EnvelopeKind = EnvelopeKind(0x0805);

/// A [`JoinReply`].
pub const JOIN_REPLY: EnvelopeKind = EnvelopeKind(0x0806);

const PROPOSE_LIMIT: Duration = Duration::from_secs(5);

/// A node wants a number, or says that it was started again under the one that it has.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct JoinRequest {
    /// The cluster that it means.
    pub cluster: ClusterId,
    /// Who it is.
    pub facts: NodeFacts,
    /// The number that it has.
    pub claims: Option<NodeNumber>,
}

/// What became of it.
///
/// Invariant: variants travel by their place, so new ones come last.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum JoinReply {
    /// It is in.
    Joined {
        /// Its number.
        number: NodeNumber,
        /// All nodes: number, name and address.
        nodes: Vec<(NodeNumber, NodeId, String)>,
    },
    /// Another node leads group 0.
    NotLeader {
        /// Its name and address, when known.
        leader: Option<(NodeId, String)>,
    },
    /// The cluster does not take it.
    Refused {
        /// Why, and what helps.
        reason: String,
    },
}

/// Takes nodes in, where this node leads group 0.
pub(super) struct JoinAnswers {
    pub(super) cluster: ClusterId,
    pub(super) writer: MetaWriter,
    pub(super) shown: Arc<MetaShown>,
}

impl fmt::Debug for JoinAnswers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("JoinAnswers").finish_non_exhaustive()
    }
}

impl JoinAnswers {
    pub(super) async fn take(
        &self,
        caller: &Identity,
        request: JoinRequest,
    ) -> Result<JoinReply, WireError> {
        let refused = |reason: String| Ok(JoinReply::Refused { reason });
        if request.cluster != self.cluster {
            return refused(format!(
                "this is cluster `{}` and the node means `{}`: correct its seeds or its cluster id",
                self.cluster, request.cluster
            ));
        }
        let Identity::Node(name) = caller else {
            return refused(format!(
                "{caller} is no node: use the certificate of a node"
            ));
        };
        if *name != request.facts.name {
            return refused(format!(
                "the certificate is of node `{name}` and the node calls itself `{}`: use its own certificate",
                request.facts.name
            ));
        }
        if self.shown.state().shard_count().is_none() {
            // It is being founded, or this node does not know it yet: to be asked again.
            return Ok(JoinReply::NotLeader { leader: None });
        }
        let by = AccountName::new(format!("node-{name}")).map_or(By::Planner, By::Operator);
        let command = MetaCommand::JoinNode {
            facts: request.facts,
            claims: request.claims,
        };
        match self.writer.propose(by, command, PROPOSE_LIMIT).await {
            Ok(
                Outcome::Applied(Applied::Joined(number))
                | Outcome::Unchanged(Applied::Joined(number)),
            ) => Ok(JoinReply::Joined {
                number,
                nodes: places(&self.shown.state())
                    .into_iter()
                    .map(|(number, place)| (number, place.name, place.address))
                    .collect(),
            }),
            Ok(Outcome::Refused(refusal)) => refused(refusal.to_string()),
            Ok(Outcome::Applied(_) | Outcome::Unchanged(_)) => {
                refused("group 0 gave no number".to_owned())
            }
            Err(MetaError::NotLeader { leader }) => {
                let place = leader.and_then(|leader| places(&self.shown.state()).remove(&leader));
                Ok(JoinReply::NotLeader {
                    leader: place.map(|place| (place.name, place.address)),
                })
            }
            Err(error) => Err(error.into()),
        }
    }
}

impl Answer for JoinAnswers {
    fn answer(
        &self,
        _node: Option<NodeNumber>,
        call: Call,
    ) -> BoxFuture<'_, Result<Envelope, WireError>> {
        Box::pin(async move {
            let request = opened(&call, JOIN_REQUEST)?;
            let reply = self.take(&call.caller, request).await?;
            answered(JOIN_REPLY, &reply)
        })
    }
}

/// Where the nodes of a state listen, or listened when they left.
pub(super) fn places(state: &MetaState) -> BTreeMap<NodeNumber, NodePlace> {
    let nodes = state.nodes().iter().map(|node| {
        let place = NodePlace {
            name: node.facts.name.clone(),
            address: node.facts.peer_address.clone(),
        };
        (node.number, place)
    });
    nodes.collect()
}

/// Adds what a state knows of nodes to a directory, whenever it changes.
pub(super) async fn follow(shown: Arc<MetaShown>, directory: Arc<Directory>) {
    let mut states = shown.subscribe();
    loop {
        let state = Arc::clone(&states.borrow_and_update());
        let known = places(&state);
        if !known.is_empty() {
            directory.set(known);
        }
        if states.changed().await.is_err() {
            return;
        }
    }
}
