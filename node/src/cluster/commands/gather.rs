//! Asks other nodes, and names them.

use super::Around;
use super::message::SilentNode;
use super::show::Here;
use crate::service::state::Service;
use futures::StreamExt as _;
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::sync::Arc;
use std::time::Duration;
use twinscale_cluster::admin::Asked;
use twinscale_membership::Liveness;
use twinscale_meta::NodeState;
use twinscale_protocol::envelope::{self, EnvelopeKind};
use twinscale_protocol::{AccountName, CustomerId, NodeNumber, ShardId, WireError, WireErrorCode};

/// Nodes that are asked at the same time.
const ASKED_AT_ONCE: usize = 64;

/// The kinds of a question and of its answer.
pub(super) type Kinds = (EnvelopeKind, EnvelopeKind);

/// Asks other nodes, and names them.
#[derive(Debug)]
pub(super) struct Gatherer {
    around: Around,
}

impl Gatherer {
    pub(super) fn new(around: Around) -> Self {
        Self { around }
    }

    pub(super) fn own(&self) -> NodeNumber {
        self.around.own
    }

    /// The service, while it runs.
    pub(super) fn service(&self) -> Result<Arc<Service>, WireError> {
        self.around.service.upgrade().ok_or_else(|| {
            let text = "this node stops: ask another one";
            WireError::new(WireErrorCode::Unavailable, text)
        })
    }

    /// This node, as its lines name it.
    pub(super) fn here<'a>(
        &self,
        service: &'a Service,
        shard_of: &'a (dyn Fn(&CustomerId) -> Option<ShardId> + Sync),
    ) -> Here<'a> {
        Here {
            service,
            node: self.around.own,
            name: self.name(self.around.own),
            shard_of,
        }
    }

    pub(super) fn shard_of(&self, customer: &CustomerId) -> Option<ShardId> {
        self.around.places.shard_of(customer)
    }

    /// Nodes that hold a replica of a customer's shard: one of them drives its twin.
    pub(super) fn holders(&self, customer: &CustomerId) -> Vec<NodeNumber> {
        let shard = self.shard_of(customer);
        let holders = shard.map(|shard| self.around.places.replicas(shard));
        let holders = holders.unwrap_or_default().into_iter();
        holders.map(NodeNumber).collect()
    }

    /// A node's name, or its number where that is not known.
    pub(super) fn name(&self, node: NodeNumber) -> String {
        let state = self.around.shown.state();
        let known = state.node(node).map(|node| node.facts.name.to_string());
        known.unwrap_or_else(|| node.to_string())
    }

    /// Finds a node by its name, or else by its number.
    pub(super) fn resolve(&self, text: &str) -> Result<NodeNumber, WireError> {
        let state = self.around.shown.state();
        let nodes = || state.nodes().iter().rev();
        let named = nodes().find(|node| node.facts.name.as_str() == text);
        let found = named.or_else(|| nodes().find(|node| node.number.to_string() == text));
        found.map(|node| node.number).ok_or_else(|| {
            let shown: String = text.chars().take(64).collect();
            let text = format!("no node `{shown}`: `twinscale members` lists the nodes");
            WireError::new(WireErrorCode::NotFound, text)
        })
    }

    /// All other nodes that may answer: those of the registry, silent ones too, so that they are named.
    pub(super) fn others(&self) -> Vec<NodeNumber> {
        let state = self.around.shown.state();
        let view = Arc::clone(&self.around.members.borrow());
        let is_there = |node: NodeNumber, state: NodeState| match view.liveness(node) {
            Some(Liveness::Alive) => true,
            // It said that it leaves, or its replicas were replaced: it drives nothing.
            Some(Liveness::Left) => false,
            _ => state != NodeState::Dead,
        };
        let nodes = state.nodes().iter();
        let nodes = nodes.filter(|node| {
            node.number != self.around.own
                && node.state != NodeState::Decommissioned
                && is_there(node.number, node.state)
        });
        nodes.map(|node| node.number).collect()
    }

    /// Sends a person's question on to a node.
    pub(super) async fn ask<Q: Serialize + Clone + Sync, R: DeserializeOwned>(
        &self,
        node: NodeNumber,
        (kind, reply_kind): Kinds,
        by: &AccountName,
        request: &Q,
        limit: Duration,
    ) -> Result<R, WireError> {
        let asked = Asked {
            by: Some(by.clone()),
            request: request.clone(),
        };
        let unreadable = |error: envelope::EnvelopeError| {
            WireError::new(WireErrorCode::Internal, error.to_string())
        };
        let sealed = envelope::seal(kind, &asked).map_err(unreadable)?;
        let reply = self.around.calls.call(node, sealed, limit).await?;
        envelope::open(reply_kind, &reply).map_err(unreadable)
    }

    /// Sends a person's question on to nodes, and sorts out those that do not answer.
    pub(super) async fn ask_all<Q: Serialize + Clone + Sync, R: DeserializeOwned + Send>(
        &self,
        nodes: Vec<NodeNumber>,
        kinds: Kinds,
        by: &AccountName,
        request: &Q,
        limit: Duration,
    ) -> (Vec<R>, Vec<SilentNode>) {
        let asked = nodes.into_iter().map(|node| async move {
            let answer = self.ask::<Q, R>(node, kinds, by, request, limit).await;
            (node, answer)
        });
        let answers = futures::stream::iter(asked).buffered(ASKED_AT_ONCE);
        let answers: Vec<(NodeNumber, Result<R, WireError>)> = answers.collect().await;
        let mut replies = Vec::new();
        let mut silent = Vec::new();
        for (node, answer) in answers {
            match answer {
                Ok(reply) => replies.push(reply),
                Err(error) => silent.push(SilentNode {
                    node,
                    name: self.name(node),
                    reason: error.message,
                }),
            }
        }
        (replies, silent)
    }
}
