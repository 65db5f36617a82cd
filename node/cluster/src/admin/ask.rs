//! Asks the cluster, as an operator or a viewer, from outside of it.

use super::message::{
    Asked, CLUSTER_READ, CLUSTER_READ_REPLY, CLUSTER_WRITE, CLUSTER_WRITE_REPLY, ReadReply,
    ReadRequest, Routed, WriteReply, WriteRequest,
};
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::fmt;
use std::time::Duration;
use tokio::sync::watch;
use tokio::time::Instant;
use twinscale_protocol::envelope::EnvelopeKind;
use twinscale_protocol::{NodeId, WireError, WireErrorCode};
use twinscale_wire::{
    Addresses, CallError, CallOptions, Credentials, Envelope, Expiry, Identity, Peers, WireMetrics,
    WireSettings,
};

/// Why the cluster did not answer as asked.
#[derive(Debug, thiserror::Error)]
pub enum AskError {
    /// No node can be reached, or each refused the certificate; nothing was done.
    #[error("no node answers: {}", each(.tried))]
    NoNode {
        /// Each node that was tried.
        tried: Vec<Tried>,
    },
    /// A node answered with an error.
    #[error("node `{node}`: {}", .error.message)]
    Answered {
        /// The node.
        node: NodeId,
        /// What it says.
        error: WireError,
    },
    /// It may have happened.
    #[error("{reason}")]
    OutcomeUnknown {
        /// What went wrong.
        reason: String,
    },
    /// What is to be asked does not fit, or an answer cannot be read.
    #[error("{reason}")]
    Malformed {
        /// What is wrong.
        reason: String,
    },
}

/// A node that was tried.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tried {
    /// Its name.
    pub node: NodeId,
    /// Where it was looked for.
    pub address: String,
    /// What came of it.
    pub reason: String,
    /// Whether one of the two ends refused the other's certificate.
    pub is_refusal: bool,
}

impl fmt::Display for Tried {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}={}: {}", self.node, self.address, self.reason)
    }
}

fn each(tried: &[Tried]) -> String {
    let texts: Vec<String> = tried.iter().map(ToString::to_string).collect();
    texts.join("; ")
}

/// Asks the nodes of a cluster, in order, until one answers.
pub struct ClusterClient {
    nodes: Vec<(NodeId, String)>,
    credentials: Credentials,
    peers: Peers,
    /// Kept, since the end of it would end the connections.
    _addresses: watch::Sender<Addresses>,
}

impl fmt::Debug for ClusterClient {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ClusterClient")
            .field("nodes", &self.nodes)
            .field("identity", self.identity())
            .finish_non_exhaustive()
    }
}

impl ClusterClient {
    /// Connects to nodes, by name and address; call it inside a tokio runtime.
    pub fn connect(
        credentials: Credentials,
        nodes: Vec<(NodeId, String)>,
        settings: WireSettings,
    ) -> Self {
        let addresses = watch::Sender::new(nodes.iter().cloned().collect::<Addresses>());
        let known = addresses.subscribe();
        let metrics = WireMetrics::default();
        let peers = Peers::connect(credentials.clone(), known, settings, metrics);
        Self {
            nodes,
            credentials,
            peers,
            _addresses: addresses,
        }
    }

    /// Who asks, by certificate.
    pub fn identity(&self) -> &Identity {
        self.credentials.identity()
    }

    /// How long the certificate is valid still.
    pub fn expiry(&self) -> Expiry {
        self.credentials.expiry()
    }

    /// The nodes that are asked, in order.
    pub fn nodes(&self) -> &[(NodeId, String)] {
        &self.nodes
    }

    /// Asks a question.
    ///
    /// # Errors
    /// [`AskError`].
    pub async fn read(&self, request: ReadRequest, limit: Duration) -> Result<ReadReply, AskError> {
        let kinds = (CLUSTER_READ, CLUSTER_READ_REPLY);
        self.ask_routed(kinds, Asked::by_certificate(request), limit)
            .await
    }

    /// Gives a command.
    ///
    /// # Errors
    /// [`AskError`]: [`AskError::Answered`] with the reason where it was refused.
    pub async fn write(
        &self,
        request: WriteRequest,
        limit: Duration,
    ) -> Result<WriteReply, AskError> {
        let kinds = (CLUSTER_WRITE, CLUSTER_WRITE_REPLY);
        self.ask_routed(kinds, Asked::by_certificate(request), limit)
            .await
    }

    async fn ask_routed<Q: Serialize + Sync, R: DeserializeOwned>(
        &self,
        kinds: (EnvelopeKind, EnvelopeKind),
        asked: Q,
        limit: Duration,
    ) -> Result<R, AskError> {
        match self.ask(kinds, &asked, limit).await? {
            Routed::Done(reply) => Ok(reply),
            Routed::NotLeader { .. } => Err(AskError::Malformed {
                reason: "the node did not look for the leader of group 0, as nodes do".to_owned(),
            }),
        }
    }

    /// Asks anything of the first node that can be reached.
    ///
    /// # Errors
    /// [`AskError`].
    pub async fn ask<Q: Serialize + Sync, R: DeserializeOwned>(
        &self,
        (kind, reply_kind): (EnvelopeKind, EnvelopeKind),
        asked: &Q,
        limit: Duration,
    ) -> Result<R, AskError> {
        let malformed = |error: twinscale_protocol::envelope::EnvelopeError| AskError::Malformed {
            reason: error.to_string(),
        };
        let request = Envelope::seal(kind, asked).map_err(malformed)?;
        let until = Instant::now() + limit;
        let mut tried = Vec::new();
        for (node, address) in &self.nodes {
            let left = until.saturating_duration_since(Instant::now());
            let options = CallOptions::within(left);
            match self.peers.call(node, request.clone(), options).await {
                Ok(reply) => return reply.open(reply_kind).map_err(malformed),
                Err(CallError::Answered { peer, error }) => {
                    return Err(AskError::Answered { node: peer, error });
                }
                Err(error) if error.code() == WireErrorCode::OutcomeUnknown => {
                    return Err(AskError::OutcomeUnknown {
                        reason: error.to_string(),
                    });
                }
                Err(error) => tried.push(Tried {
                    node: node.clone(),
                    address: address.clone(),
                    is_refusal: matches!(error, CallError::Refused { .. }),
                    reason: error.to_string(),
                }),
            }
        }
        Err(AskError::NoNode { tried })
    }
}
