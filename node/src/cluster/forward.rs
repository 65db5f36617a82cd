//! Has requests answered by the node that leads the shard they concern.
//!
//! Invariant: a node answers for a shard only while it is confirmed as its leader under the term that its
//! twins act under, so that what a person reads holds everything that was acknowledged before.

use super::messages::{
    API_REPLY, API_REQUEST, ApiAnswer, ApiCall, ApiReply, INGEST_REPLY, INGEST_REQUEST,
    IngestAnswer, IngestCall, Taken,
};
use super::twins::ShardedTwins;
use crate::observe::Instruments;
use crate::observe::catalogue::REQUESTS_FORWARDED;
use axum::http::header::IF_MATCH;
use futures::future::BoxFuture;
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;
use tokio::time::Instant;
use twinscale_cluster::network::NodeCalls;
use twinscale_membership::{Liveness, MembershipView};
use twinscale_protocol::envelope::{self, EnvelopeKind};
use twinscale_protocol::{CustomerId, NodeNumber, ShardId, WireError, WireErrorCode};
use twinscale_shards::{Router, ShardsError, of_wire};
use twinscale_twin::Twins as _;
use twinscale_wire::Envelope;

/// How long a request may look for its leader: several elections.
pub const FORWARD_LIMIT: Duration = Duration::from_secs(15);

/// How long one check that this node leads may take.
const CONFIRM_LIMIT: Duration = Duration::from_secs(2);

/// How long a node may take to tell what it alone knows.
const NODE_LIMIT: Duration = Duration::from_secs(5);

/// Answers requests on this node.
pub trait HereAnswers: Send + Sync + 'static {
    /// Answers a request of the API, without a look at who leads.
    fn api(&self, call: ApiCall) -> BoxFuture<'_, ApiAnswer>;

    /// Takes samples, without a look at who leads.
    fn ingest(&self, call: IngestCall) -> BoxFuture<'_, Vec<Taken>>;

    /// Whether the node takes requests still.
    fn is_open(&self) -> bool;
}

/// Has requests answered by the node that leads their shard.
pub struct Forwarder {
    own: NodeNumber,
    twins: Arc<ShardedTwins>,
    router: Arc<Router>,
    calls: NodeCalls,
    members: watch::Receiver<Arc<MembershipView>>,
    instruments: Instruments,
}

impl std::fmt::Debug for Forwarder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Forwarder")
            .field("own", &self.own)
            .finish_non_exhaustive()
    }
}

impl Forwarder {
    /// Joins the twins of a node with the ways to the others.
    pub fn new(
        own: NodeNumber,
        (twins, router): (Arc<ShardedTwins>, Arc<Router>),
        calls: NodeCalls,
        members: watch::Receiver<Arc<MembershipView>>,
        instruments: Instruments,
    ) -> Self {
        Self {
            own,
            twins,
            router,
            calls,
            members,
            instruments,
        }
    }

    /// The twins of this node.
    pub fn twins(&self) -> &Arc<ShardedTwins> {
        &self.twins
    }

    /// Makes sure that this node leads a shard now and holds all that was acknowledged in it.
    ///
    /// # Errors
    /// [`ShardsError::NotLeader`], and what keeps the check from its end.
    pub async fn confirm(&self, shard: ShardId) -> Result<(), ShardsError> {
        self.twins.confirm_led(shard, CONFIRM_LIMIT).await
    }

    /// Whether this node leads the shard of a customer, as far as it knows.
    pub fn leads(&self, customer: &CustomerId) -> bool {
        let shard = self.twins.shard_of(customer);
        shard.is_some_and(|shard| self.twins.leads(shard))
    }

    /// Has a request of the API answered by whoever leads its shard.
    ///
    /// # Errors
    /// [`ShardsError`] when nobody answers in time.
    pub async fn api(
        &self,
        call: ApiCall,
        shard: ShardId,
        here: &dyn HereAnswers,
    ) -> Result<ApiAnswer, ShardsError> {
        let call = ApiCall {
            shard: Some(shard),
            ..call
        };
        let deadline = Instant::now() + FORWARD_LIMIT;
        let attempt = |node, limit| -> BoxFuture<'_, _> {
            let call = &call;
            Box::pin(async move {
                if NodeNumber(node) == self.own {
                    return self.api_here(call.clone(), here).await;
                }
                let kinds = (API_REQUEST, API_REPLY);
                let ApiReply(reply) = self.ask(node, shard, kinds, call, limit).await?;
                reply
            })
        };
        // A request of the API may come again, since it says what is to be; one that depends on what was there
        // would be told that it came too late, by itself.
        let may_repeat = !call
            .headers
            .iter()
            .any(|(name, _)| name == IF_MATCH.as_str());
        self.router
            .with_leader(shard, deadline, may_repeat, attempt)
            .await
    }

    /// Has samples of one shard taken by whoever leads it.
    ///
    /// # Errors
    /// [`ShardsError`] when nobody answers in time.
    pub async fn ingest(
        &self,
        call: IngestCall,
        here: &(dyn Fn(IngestCall) -> BoxFuture<'static, Vec<Taken>> + Send + Sync),
    ) -> Result<Vec<Taken>, ShardsError> {
        let shard = call.shard;
        let deadline = Instant::now() + FORWARD_LIMIT;
        let attempt = |node, limit| -> BoxFuture<'_, _> {
            let call = &call;
            Box::pin(async move {
                if NodeNumber(node) == self.own {
                    self.led(shard)?;
                    return Ok(here(call.clone()).await);
                }
                let kinds = (INGEST_REQUEST, INGEST_REPLY);
                let IngestAnswer(answer) = self.ask(node, shard, kinds, call, limit).await?;
                answer
            })
        };
        // Samples have keys: one that comes again is not stored twice.
        self.router
            .with_leader(shard, deadline, true, attempt)
            .await
    }

    /// Whether a customer has a twin, as whoever leads its shard says.
    ///
    /// # Errors
    /// [`ShardsError`] when nobody answers in time.
    pub async fn is_known(&self, customer: &CustomerId) -> Result<bool, ShardsError> {
        let shard = self.twins.shard_of(customer);
        let shard = shard.ok_or(ShardsError::Unplaced)?;
        let deadline = Instant::now() + FORWARD_LIMIT;
        let call = ApiCall {
            shard: Some(shard),
            method: "GET".to_owned(),
            target: format!("/v1/customers/{customer}"),
            headers: Vec::new(),
            body: Vec::new(),
        };
        let attempt = |node, limit| -> BoxFuture<'_, _> {
            let call = &call;
            Box::pin(async move {
                if NodeNumber(node) == self.own {
                    self.confirm(shard).await?;
                    return Ok(self.twins.knows(customer));
                }
                let kinds = (API_REQUEST, API_REPLY);
                let ApiReply(reply) = self.ask(node, shard, kinds, call, limit).await?;
                match reply?.status {
                    200 => Ok(true),
                    404 => Ok(false),
                    other => Err(ShardsError::Unavailable {
                        shard,
                        reason: format!("node {node} answers with status {other}"),
                    }),
                }
            })
        };
        self.router
            .with_leader(shard, deadline, true, attempt)
            .await
    }

    /// Asks every node that is alive, this one excepted, what it alone can answer.
    pub async fn everywhere(
        &self,
        call: &ApiCall,
    ) -> BTreeMap<NodeNumber, Result<ApiAnswer, WireError>> {
        let others: Vec<NodeNumber> = {
            let view = self.members.borrow();
            let alive = view
                .members
                .values()
                .filter(|one| one.liveness == Liveness::Alive);
            alive
                .map(|one| one.id)
                .filter(|id| *id != self.own)
                .collect()
        };
        let asked = others.into_iter().map(|node| async move {
            let kinds = (API_REQUEST, API_REPLY);
            let shard = ShardId(0);
            let reply = self
                .ask::<ApiReply>(node.0, shard, kinds, call, NODE_LIMIT)
                .await;
            let reply = reply.and_then(|ApiReply(reply)| reply);
            (node, reply.map_err(WireError::from))
        });
        futures::future::join_all(asked).await.into_iter().collect()
    }

    /// Answers what another node asks of this one.
    ///
    /// # Errors
    /// [`ShardsError`] when this node does not lead the shard or takes nothing more.
    pub async fn api_here(
        &self,
        call: ApiCall,
        here: &dyn HereAnswers,
    ) -> Result<ApiAnswer, ShardsError> {
        if let Some(shard) = call.shard {
            open(shard, here)?;
            self.confirm(shard).await?;
        }
        Ok(here.api(call).await)
    }

    /// Takes what another node sends to this one.
    ///
    /// # Errors
    /// [`ShardsError`] when this node does not lead the shard or takes nothing more.
    pub async fn ingest_here(
        &self,
        call: IngestCall,
        here: &dyn HereAnswers,
    ) -> Result<Vec<Taken>, ShardsError> {
        open(call.shard, here)?;
        self.led(call.shard)?;
        Ok(here.ingest(call).await)
    }

    fn led(&self, shard: ShardId) -> Result<(), ShardsError> {
        if self.twins.leads(shard) {
            return Ok(());
        }
        Err(self.twins.not_led(shard))
    }

    async fn ask<R: DeserializeOwned + 'static>(
        &self,
        node: u64,
        shard: ShardId,
        (request, reply): (EnvelopeKind, EnvelopeKind),
        body: &(impl Serialize + Sync),
        limit: Duration,
    ) -> Result<R, ShardsError> {
        let forwarded = if request == INGEST_REQUEST {
            "samples"
        } else {
            "api"
        };
        self.instruments.add(&REQUESTS_FORWARDED, &[forwarded], 1);
        let sealed = envelope::seal(request, body).map_err(|error| ShardsError::Invalid {
            shard,
            reason: error.to_string(),
        })?;
        let asked = self.calls.call(NodeNumber(node), sealed, limit).await;
        let answered = asked.map_err(|error| of_wire(shard, node, &error))?;
        envelope::open(reply, &answered).map_err(|error| ShardsError::OutcomeUnknown {
            shard,
            reason: error.to_string(),
        })
    }
}

fn open(shard: ShardId, here: &dyn HereAnswers) -> Result<(), ShardsError> {
    if here.is_open() {
        return Ok(());
    }
    let reason = "its node is stopping".to_owned();
    Err(ShardsError::Unavailable { shard, reason })
}

/// Answers an envelope of another node.
pub(super) fn sealed(kind: EnvelopeKind, answer: &impl Serialize) -> Result<Envelope, WireError> {
    // What was asked may have happened by now: an answer that cannot be sent says nothing of it.
    Envelope::seal(kind, answer)
        .map_err(|error| WireError::new(WireErrorCode::OutcomeUnknown, error.to_string()))
}
