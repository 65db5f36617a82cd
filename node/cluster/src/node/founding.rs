//! Founding a cluster: only where none answers, and to its end once it began.
//!
//! Invariant: an empty directory founds no cluster whose id is answered for, since two clusters under one id
//! would take each other's nodes and customers. A founding that was cut short is known by its mark in the
//! directory: it is finished, or refused, and never taken for the restart of a node.

use super::ask::ask;
use super::error::NodeError;
use super::start::{Before, ClusterNode, NodeSetup, START_LIMIT};
use crate::admin::NODE_PROBE;
use crate::meta::{FIRST_NODE, Hands, found_cluster};
use crate::network::NodePlace;
use futures::StreamExt as _;
use futures::stream::FuturesUnordered;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;
use twinscale_membership::KeyRing;
use twinscale_meta::stored::v1::By;
use twinscale_meta::{Creation, NodeFacts, Outcome, Refusal};
use twinscale_protocol::{ClusterId, NodeId, NodeNumber};
use twinscale_wire::{CallError, CallOptions, Envelope, RefusalReason};

/// How long a seed may take to say that it is there: longer than it takes to find that nobody is.
const SEED_LIMIT: Duration = Duration::from_secs(3);

/// A seed that answers for the cluster.
#[derive(Clone, Debug)]
struct Answering {
    name: NodeId,
    address: String,
}

impl ClusterNode {
    /// Makes a cluster with this node as its first, in an empty directory; one that was cut short is
    /// finished. `creation` is given the facts of this node.
    ///
    /// # Errors
    /// [`NodeError`]: [`NodeError::Runs`] when a seed answers for a cluster of this id already.
    pub async fn found(
        setup: NodeSetup,
        keys: KeyRing,
        by: By,
        creation: impl FnOnce(ClusterId, NodeFacts) -> Creation + Send,
    ) -> Result<Self, NodeError> {
        let mut before = Before::read(setup)?;
        let is_begun = before.file.founding;
        if before.file.number.is_some() && !is_begun {
            return Err(NodeError::State {
                path: before.setup.directory,
                state: "has a node already",
                remedy: "start it without founding, or found a cluster with an empty directory",
            });
        }
        match before.running_already().await {
            Some(seed) if !is_begun => return Err(before.runs(seed)),
            Some(seed) => return before.take_up(seed, keys).await,
            None => {}
        }
        before.file.number = Some(FIRST_NODE);
        before.file.founding = true;
        before.begin()?;
        let cluster = before.file.cluster.clone();
        let creation = creation(cluster.clone(), before.facts());
        let mut settled = before.file.clone();
        settled.founding = false;
        let directory = before.setup.directory.clone();
        let telling = before.telling();
        let mut node = before.start(keys, FIRST_NODE, BTreeMap::new()).await?;
        let hands = Hands::new(Arc::clone(&node.keeper));
        let founded = found_cluster(&hands, &node.writer, by, creation, START_LIMIT).await;
        match founded.map_err(NodeError::Found)? {
            Outcome::Applied(_) | Outcome::Unchanged(_) => {}
            // It was cut short after the last step: the cluster is there, and knows an earlier start of this node.
            Outcome::Refused(Refusal::ClusterExists { cluster: made }) if made == cluster => {
                node.tell(telling);
            }
            Outcome::Refused(refusal) => {
                return Err(NodeError::Refused {
                    reason: refusal.to_string(),
                });
            }
        }
        settled.write(&directory)?;
        Ok(node)
    }
}

impl Before {
    /// Goes on as the first node of the cluster that runs, if that is the one which its founding made.
    async fn take_up(mut self, seed: Answering, keys: KeyRing) -> Result<ClusterNode, NodeError> {
        self.begin()?;
        let nodes = self.known_as_first(seed).await?;
        self.file.founding = false;
        self.file.write(&self.setup.directory)?;
        let telling = self.telling();
        let mut node = self.start(keys, FIRST_NODE, nodes).await?;
        node.tell(telling);
        Ok(node)
    }

    /// Looks for a seed that answers for the cluster. A node that only wants to join listens to nobody yet.
    async fn running_already(&self) -> Option<Answering> {
        let seeds = self.setup.seeds.iter();
        let mut asked: FuturesUnordered<_> = seeds
            .map(|(name, address)| async move {
                let request = Envelope::seal(NODE_PROBE, &()).ok()?;
                let options = CallOptions::within(SEED_LIMIT);
                let answered = self.asking.call(name, request, options).await;
                if let Err(error) = &answered {
                    tracing::debug!(%name, %error, "a seed said this to a node that founds a cluster");
                }
                is_of_cluster(&answered).then(|| Answering {
                    name: name.clone(),
                    address: address.clone(),
                })
            })
            .collect();
        while let Some(found) = asked.next().await {
            if found.is_some() {
                return found;
            }
        }
        None
    }

    /// Asks the cluster that runs whether it is the one that this directory has begun to found.
    async fn known_as_first(
        &self,
        seed: Answering,
    ) -> Result<BTreeMap<NodeNumber, NodePlace>, NodeError> {
        match ask(&self.asking, &self.seeds, &self.join_request(), START_LIMIT).await {
            Ok((FIRST_NODE, nodes)) => Ok(nodes),
            // Nobody leads its group 0: it may be this node that lacks for it, if it holds a replica of that.
            Err(NodeError::NoSeed { .. }) if self.holds_replicas()? => Ok(BTreeMap::new()),
            Ok(_) | Err(NodeError::Refused { .. } | NodeError::NoSeed { .. }) => {
                Err(self.runs(seed))
            }
            Err(other) => Err(other),
        }
    }

    fn runs(&self, seed: Answering) -> NodeError {
        NodeError::Runs {
            cluster: self.file.cluster.clone(),
            path: self.setup.directory.clone(),
            seed: seed.name.to_string(),
            address: seed.address,
        }
    }
}

/// Whether an answer is that of a node of this cluster: one of another cluster refuses the certificate.
fn is_of_cluster(answered: &Result<Envelope, CallError>) -> bool {
    match answered {
        Ok(_) | Err(CallError::Answered { .. }) => true,
        Err(CallError::Refused { refusal, .. }) => matches!(
            refusal.reason,
            RefusalReason::UnknownKind | RefusalReason::Overloaded
        ),
        Err(_) => false,
    }
}
