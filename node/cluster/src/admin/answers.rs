//! Answers people, here or through the node that leads group 0.

use super::look::{Known, Members, asked, shards};
use super::message::{
    Asked, CLUSTER_READ, CLUSTER_READ_REPLY, CLUSTER_WRITE, CLUSTER_WRITE_REPLY, NODE_PROBE,
    NODE_PROBE_REPLY, ReadReply, ReadRequest, Routed, WriteReply, WriteRequest, admit_person,
};
use super::picture::{AuditReply, MembersReply, SeenBy};
use super::probe::{ProbeReply, probe};
use super::schema::schema;
use super::standing::standing;
use super::weights::weights_picture;
use super::words;
use crate::meta::{Carrier, Heard, MetaShown, MetaWriter, Reports, with_silent};
use crate::network::{Answer, NodeCalls, answered, invalid, opened};
use futures::future::BoxFuture;
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;
use tokio::time::{Instant, sleep};
use twinscale_consensus::GroupRole;
use twinscale_membership::{Liveness, MembershipView, WallClock};
use twinscale_meta::{GroupId, MetaState, Observed, UnixMillis};
use twinscale_protocol::envelope::{self, EnvelopeKind};
use twinscale_protocol::{AccountName, NodeNumber, WireError, WireErrorCode};
use twinscale_wire::{Call, Credentials, Envelope};

/// How long it may take to make sure that this node leads group 0.
const CONFIRM_LIMIT: Duration = Duration::from_secs(2);

/// For how long a leader is looked for before a node answers a question from what it knows itself.
const LOOK_LIMIT: Duration = Duration::from_secs(3);

/// Pause before the leader is looked for again.
const LOOK_AGAIN: Duration = Duration::from_millis(100);

/// What is kept of a caller's time for the way back.
const WAY_BACK: Duration = Duration::from_millis(250);

/// Most audited commands in one answer.
const AUDIT_MAX: usize = 512;

/// What people are answered from.
pub(crate) struct AdminParts {
    pub(crate) own: NodeNumber,
    pub(crate) writer: MetaWriter,
    pub(crate) shown: Arc<MetaShown>,
    pub(crate) reports: Arc<Reports>,
    pub(crate) heard: Arc<dyn Heard>,
    pub(crate) members: watch::Receiver<Arc<MembershipView>>,
    pub(crate) calls: NodeCalls,
    pub(crate) carrier: Arc<dyn Carrier>,
    pub(crate) credentials: Credentials,
    pub(crate) clock: Arc<dyn WallClock>,
}

/// Answers people.
pub(crate) struct Admin {
    pub(super) parts: AdminParts,
}

impl fmt::Debug for Admin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Admin")
            .field("own", &self.parts.own)
            .finish_non_exhaustive()
    }
}

/// The kinds of a question and of its answer.
type Kinds = (EnvelopeKind, EnvelopeKind);

impl Admin {
    pub(crate) fn new(parts: AdminParts) -> Self {
        Self { parts }
    }

    /// Says who leads group 0, unless it is this node with all that was acknowledged applied.
    pub(super) async fn elsewhere<T>(&self) -> Option<Routed<T>> {
        let Ok(status) = self.parts.writer.status() else {
            return Some(Routed::NotLeader { leader: None });
        };
        let (leads, leader) = {
            let status = status.borrow();
            let leads = status.role == GroupRole::Leader && status.has_quorum;
            let other = status.leader.filter(|leader| *leader != self.parts.own);
            (leads, other)
        };
        if !leads || self.parts.writer.confirm(CONFIRM_LIMIT).await.is_err() {
            return Some(Routed::NotLeader { leader });
        }
        None
    }

    /// What is known of groups and nodes, where group 0 is led.
    pub(super) fn known(&self, state: &MetaState) -> Known {
        let now = UnixMillis(self.parts.clock.unix_ms());
        Known {
            observed: Observed {
                now,
                nodes: with_silent(self.parts.heard.nodes(), state, now),
                groups: self.parts.reports.observe(now),
                busy: BTreeMap::new(),
            },
            terms: self.parts.reports.terms(now),
        }
    }

    async fn read_here(&self, request: &ReadRequest) -> Result<Routed<ReadReply>, WireError> {
        if let Some(elsewhere) = self.elsewhere().await {
            return Ok(elsewhere);
        }
        let state = self.parts.shown.state();
        let known = self.known(&state);
        if let ReadRequest::Standing(task) = request {
            let standing = standing(&state, &known, task);
            return Ok(Routed::Done(ReadReply::Standing(standing)));
        }
        let picture = self.picture(request, &state, Some(&known)).await?;
        Ok(Routed::Done(picture))
    }

    /// A picture: whole where group 0 is led, and otherwise what this node knows.
    async fn picture(
        &self,
        request: &ReadRequest,
        state: &MetaState,
        known: Option<&Known>,
    ) -> Result<ReadReply, WireError> {
        let meta_leader = known.map(|_| self.parts.own);
        let seen_by = SeenBy {
            node: self.parts.own,
            meta_leader,
            at_unix_ms: self.parts.clock.unix_ms(),
        };
        match request {
            ReadRequest::Members => {
                let mut others = asked(state);
                others.retain(|node| *node != self.parts.own);
                let clock = &*self.parts.clock;
                let mut probed = probe(&self.parts.calls, clock, others).await;
                let own = ProbeReply::of(clock, &self.parts.credentials);
                probed.insert(self.parts.own, Ok((0, own)));
                let view = Arc::clone(&self.parts.members.borrow());
                let members = Members {
                    state,
                    view: &view,
                    known,
                    meta_leader,
                    probed: &probed,
                };
                let members = members.lines();
                Ok(ReadReply::Members(MembersReply { seen_by, members }))
            }
            ReadRequest::Shards { only } => {
                if let Some(shard) = only
                    && state.group(GroupId::Shard(*shard)).is_none()
                {
                    let text = format!("shard {shard} is unknown: list the shards");
                    return Err(WireError::new(WireErrorCode::NotFound, text));
                }
                let reply = shards(seen_by, state, known, *only);
                Ok(ReadReply::Shards(reply))
            }
            ReadRequest::Audit { at_most } => {
                let at_most = usize::try_from(*at_most).unwrap_or(AUDIT_MAX);
                let skipped = state.audit().count().saturating_sub(at_most.min(AUDIT_MAX));
                let records = state.audit().skip(skipped);
                Ok(ReadReply::Audit(AuditReply {
                    seen_by,
                    audited: state.audited(),
                    records: records.map(|one| words::audit_line(state, one)).collect(),
                }))
            }
            ReadRequest::Schema => Ok(ReadReply::Schema(schema(seen_by, state))),
            ReadRequest::Weights => Ok(ReadReply::Weights(weights_picture(seen_by, state))),
            ReadRequest::Standing(_) => Err(WireError::new(
                WireErrorCode::Unavailable,
                "no node leads group 0 now, which alone knows how far it is: ask again",
            )),
        }
    }

    async fn read(&self, by: AccountName, request: ReadRequest, until: Instant) -> ReadOutcome {
        let looking = until.min(Instant::now() + LOOK_LIMIT);
        let asked = Asked {
            by: Some(by),
            request: request.clone(),
        };
        let kinds = (CLUSTER_READ, CLUSTER_READ_REPLY);
        let here = || self.read_here(&request);
        match self.route(kinds, &asked, looking, here).await {
            Err(error) if may_have_no_leader(error.code) => {
                tracing::debug!(%error, "a question is answered without the leader of group 0");
                let state = self.parts.shown.state();
                self.picture(&request, &state, None).await
            }
            answered => answered,
        }
    }

    /// Asks here, then whoever leads group 0, until one answers. What is asked is safe to ask twice.
    async fn route<'a, Q, R, F, H>(
        &'a self,
        (kind, reply_kind): Kinds,
        asked: &Q,
        until: Instant,
        here: H,
    ) -> Result<R, WireError>
    where
        Q: Serialize + Sync,
        R: DeserializeOwned + Send,
        F: Future<Output = Result<Routed<R>, WireError>> + Send + 'a,
        H: Fn() -> F + Send + Sync,
    {
        let sealed = envelope::seal(kind, asked).map_err(|error| invalid(&error))?;
        let mut last = WireError::new(
            WireErrorCode::Unavailable,
            "no node leads group 0: start enough of its nodes, or ask again when they elected one",
        );
        loop {
            let mut next = match here().await? {
                Routed::Done(reply) => return Ok(reply),
                Routed::NotLeader { leader } => leader,
            };
            let mut others = self.others().into_iter();
            let mut tried = vec![self.parts.own];
            while let Some(node) = next.take().or_else(|| others.next()) {
                let left = until.saturating_duration_since(Instant::now());
                if left.is_zero() {
                    return Err(last);
                }
                if tried.contains(&node) {
                    continue;
                }
                tried.push(node);
                match self.ask(node, sealed.clone(), reply_kind, left).await {
                    Ok(Routed::Done(reply)) => return Ok(reply),
                    Ok(Routed::NotLeader { leader }) => next = leader,
                    Err(error) if may_have_no_leader(error.code) => last = error,
                    Err(error) => return Err(error),
                }
            }
            if Instant::now() + LOOK_AGAIN >= until {
                return Err(last);
            }
            sleep(LOOK_AGAIN).await;
        }
    }

    /// Nodes that may lead group 0: its voters, and whoever is heard where they are not known.
    fn others(&self) -> Vec<NodeNumber> {
        let state = self.parts.shown.state();
        let voters = state.group(GroupId::Meta).map(|meta| meta.voters.clone());
        let mut others = voters.unwrap_or_default();
        let view = Arc::clone(&self.parts.members.borrow());
        let heard = view.members.values();
        let heard = heard.filter(|member| member.liveness == Liveness::Alive);
        others.extend(heard.map(|member| member.id).take(5));
        others
    }

    async fn ask<R: DeserializeOwned>(
        &self,
        node: NodeNumber,
        request: Vec<u8>,
        reply_kind: EnvelopeKind,
        limit: Duration,
    ) -> Result<Routed<R>, WireError> {
        let reply = self.parts.calls.call(node, request, limit).await?;
        envelope::open(reply_kind, &reply)
            .map_err(|error| WireError::new(WireErrorCode::Internal, error.to_string()))
    }
}

type ReadOutcome = Result<ReadReply, WireError>;

/// Whether another node, or the same one later, may answer what one did not.
fn may_have_no_leader(code: WireErrorCode) -> bool {
    matches!(
        code,
        WireErrorCode::Unavailable
            | WireErrorCode::Overloaded
            | WireErrorCode::Timeout
            | WireErrorCode::NotLeader
            | WireErrorCode::OutcomeUnknown
    )
}

/// When an answer must be on its way.
fn due(call: &Call) -> Instant {
    let now = Instant::now();
    let left = call.deadline.saturating_duration_since(now);
    now + left.saturating_sub(WAY_BACK)
}

/// Answers questions of people.
#[derive(Debug)]
pub(crate) struct ReadAnswers(pub(crate) Arc<Admin>);

impl Answer for ReadAnswers {
    fn answer(
        &self,
        _node: Option<NodeNumber>,
        call: Call,
    ) -> BoxFuture<'_, Result<Envelope, WireError>> {
        Box::pin(async move {
            let asked: Asked<ReadRequest> = opened(&call, CLUSTER_READ)?;
            let (by, is_sent_on) = admit_person(&call.caller, asked.by)?;
            let reply: Routed<ReadReply> = if is_sent_on {
                self.0.read_here(&asked.request).await?
            } else {
                Routed::Done(self.0.read(by, asked.request, due(&call)).await?)
            };
            answered(CLUSTER_READ_REPLY, &reply)
        })
    }
}

/// Carries out commands of operators.
#[derive(Debug)]
pub(crate) struct WriteAnswers(pub(crate) Arc<Admin>);

impl Answer for WriteAnswers {
    fn answer(
        &self,
        _node: Option<NodeNumber>,
        call: Call,
    ) -> BoxFuture<'_, Result<Envelope, WireError>> {
        Box::pin(async move {
            let asked: Asked<WriteRequest> = opened(&call, CLUSTER_WRITE)?;
            let (by, is_sent_on) = admit_person(&call.caller, asked.by)?;
            let request = asked.request;
            let here = || self.0.write_here(&by, &request);
            let reply: Routed<WriteReply> = if is_sent_on {
                here().await?
            } else {
                let asked = Asked {
                    by: Some(by.clone()),
                    request: request.clone(),
                };
                let kinds = (CLUSTER_WRITE, CLUSTER_WRITE_REPLY);
                Routed::Done(self.0.route(kinds, &asked, due(&call), here).await?)
            };
            answered(CLUSTER_WRITE_REPLY, &reply)
        })
    }
}

/// Says of this node what others cannot know.
pub(crate) struct ProbeAnswers {
    pub(crate) clock: Arc<dyn WallClock>,
    pub(crate) credentials: Credentials,
}

impl fmt::Debug for ProbeAnswers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ProbeAnswers").finish_non_exhaustive()
    }
}

impl Answer for ProbeAnswers {
    fn answer(
        &self,
        _node: Option<NodeNumber>,
        call: Call,
    ) -> BoxFuture<'_, Result<Envelope, WireError>> {
        Box::pin(async move {
            let () = opened(&call, NODE_PROBE)?;
            let reply = ProbeReply::of(&*self.clock, &self.credentials);
            answered(NODE_PROBE_REPLY, &reply)
        })
    }
}
