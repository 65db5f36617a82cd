//! openraft's calls of one peer over the network.

use std::future::Future;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use futures::future::{Either, select};
use openraft::error::{
    Fatal, NetworkError, RPCError, RaftError, ReplicationClosed, StreamingError, Unreachable,
};
use openraft::network::{Backoff, RPCOption, RaftNetwork, RaftNetworkFactory};
use openraft::raft::{
    AppendEntriesRequest, AppendEntriesResponse, SnapshotResponse, VoteRequest, VoteResponse,
};
use openraft::{
    AnyError, EmptyNode, OptionalSend, RaftMetrics, Snapshot, StorageError, StorageIOError,
};
use tokio::sync::watch;
use twinscale_protocol::NodeNumber;

use crate::group_log::LogIdentity;
use crate::ids::{GroupId, StoredVote};
use crate::machine::AppliedMark;
use crate::network::{PeerCall, PeerError, PeerLane, PeerNetwork};
use crate::observer::{GroupsObserver, SnapshotNews};
use crate::snapshot::SnapshotFile;
use crate::types::{TypeConfig, Vote};
use crate::wire::{ChunkBody, Reply, Request, RequestBody};

/// How much of a snapshot one message carries, in bytes.
const MESSAGE_BYTES: usize = 256 << 10;

/// How often a chunk is sent again before the transfer starts anew.
const CHUNK_ATTEMPTS: usize = 4;

/// The pause after a call that failed, so that a peer that comes back is found soon.
const RETRY_PAUSE: Duration = Duration::from_millis(100);

type MetricsReceiver = watch::Receiver<RaftMetrics<NodeNumber, EmptyNode>>;
type CallError = RPCError<NodeNumber, EmptyNode, RaftError<NodeNumber>>;
type SnapshotError = StreamingError<TypeConfig, Fatal<NodeNumber>>;

/// What all calls of one group share.
#[derive(Clone)]
pub(crate) struct PeerFactory {
    pub(crate) identity: LogIdentity,
    pub(crate) group: GroupId,
    pub(crate) network: Arc<dyn PeerNetwork>,
    pub(crate) chunk_deadline: Duration,
    pub(crate) election_max: Duration,
    /// What the group's openraft says, once it runs.
    pub(crate) metrics: Arc<Mutex<Option<MetricsReceiver>>>,
    pub(crate) transfers: Arc<AtomicU64>,
    pub(crate) observer: Arc<dyn GroupsObserver>,
}

/// One peer of one group.
pub(crate) struct Peer {
    factory: PeerFactory,
    to: NodeNumber,
}

impl RaftNetworkFactory<TypeConfig> for PeerFactory {
    type Network = Peer;

    async fn new_client(&mut self, target: NodeNumber, _node: &EmptyNode) -> Peer {
        Peer {
            factory: self.clone(),
            to: target,
        }
    }
}

impl PeerFactory {
    /// Says whether a leader that hears no majority keeps silent for now.
    ///
    /// Whoever hears a leader votes for no other, so one that is heard and hears nothing would keep its group
    /// without a leader for ever. It falls silent for as long as an election takes, and then speaks for a
    /// while, in case a majority is there again.
    fn keeps_silent(&self) -> bool {
        let metrics = self.metrics.lock().unwrap_or_else(PoisonError::into_inner);
        let unheard = metrics
            .as_ref()
            .and_then(|metrics| metrics.borrow().millis_since_quorum_ack)
            .map(Duration::from_millis);
        let Some(since_silence) =
            unheard.and_then(|unheard| unheard.checked_sub(self.election_max * 2))
        else {
            return false;
        };
        let silence = self.election_max * 4;
        let round = silence + self.election_max;
        let in_round = since_silence.as_millis() % round.as_millis().max(1);
        in_round < silence.as_millis()
    }

    /// Asks a node and reads its reply.
    pub(crate) async fn ask(
        &self,
        to: NodeNumber,
        lane: PeerLane,
        body: RequestBody,
        deadline: Duration,
    ) -> Result<Reply, PeerError> {
        let unreadable = |error: &dyn std::fmt::Display| PeerError::Refused {
            reason: error.to_string(),
        };
        let request = Request {
            cluster: self.identity.cluster,
            from: self.identity.node,
            to,
            group: self.group,
            body,
        };
        let request = request.encode().map_err(|error| unreadable(&error))?;
        let call = PeerCall {
            lane,
            request,
            deadline,
        };
        let reply = tokio::time::timeout(deadline, self.network.call(to, call))
            .await
            .unwrap_or(Err(PeerError::TimedOut {
                node: to,
                after: deadline,
            }))?;
        match Reply::decode(&reply).map_err(|error| unreadable(&error))? {
            Reply::Refused { reason } => Err(PeerError::Refused { reason }),
            reply => Ok(reply),
        }
    }
}

fn call_error(error: PeerError) -> CallError {
    match error {
        PeerError::TimedOut { .. } => RPCError::Network(NetworkError::new(&error)),
        PeerError::Unreachable { .. } | PeerError::Refused { .. } => {
            RPCError::Unreachable(Unreachable::new(&error))
        }
    }
}

fn unexpected(reply: &Reply) -> PeerError {
    PeerError::Refused {
        reason: format!("the reply is to another request: {reply:?}"),
    }
}

impl RaftNetwork<TypeConfig> for Peer {
    async fn append_entries(
        &mut self,
        rpc: AppendEntriesRequest<TypeConfig>,
        option: RPCOption,
    ) -> Result<AppendEntriesResponse<NodeNumber>, CallError> {
        if self.factory.keeps_silent() {
            let error =
                AnyError::error("no majority was heard; silent so that another can be elected");
            return Err(RPCError::Unreachable(Unreachable::new(&error)));
        }
        let body = RequestBody::Append(rpc.into());
        let reply = self
            .factory
            .ask(self.to, PeerLane::Entries, body, option.hard_ttl())
            .await
            .map_err(call_error)?;
        match reply {
            Reply::Append(reply) => Ok(reply.into()),
            other => Err(call_error(unexpected(&other))),
        }
    }

    async fn vote(
        &mut self,
        rpc: VoteRequest<NodeNumber>,
        option: RPCOption,
    ) -> Result<VoteResponse<NodeNumber>, CallError> {
        let reply = self
            .factory
            .ask(self.to, PeerLane::Votes, rpc.into(), option.hard_ttl())
            .await
            .map_err(call_error)?;
        match reply {
            Reply::Vote {
                vote,
                is_granted,
                last,
            } => Ok(VoteResponse {
                vote: vote.into(),
                vote_granted: is_granted,
                last_log_id: last.map(Into::into),
            }),
            other => Err(call_error(unexpected(&other))),
        }
    }

    async fn full_snapshot(
        &mut self,
        vote: Vote,
        snapshot: Snapshot<TypeConfig>,
        cancel: impl Future<Output = ReplicationClosed> + OptionalSend + 'static,
        _option: RPCOption,
    ) -> Result<SnapshotResponse<NodeNumber>, SnapshotError> {
        let bytes = snapshot.snapshot.length();
        let sending = Box::pin(self.send_snapshot(vote, *snapshot.snapshot));
        let outcome = match select(sending, Box::pin(cancel)).await {
            Either::Left((outcome, _)) => outcome,
            Either::Right((closed, _)) => Err(closed.into()),
        };
        self.factory.observer.snapshot(match &outcome {
            Ok(_) => SnapshotNews::Sent { bytes },
            Err(_) => SnapshotNews::NotSent,
        });
        outcome
    }

    fn backoff(&self) -> Backoff {
        Backoff::new(std::iter::repeat(RETRY_PAUSE))
    }
}

impl Peer {
    /// Sends a snapshot file in parts; the receiver says which part it wants next. An empty part at the end
    /// asks whether it is installed yet.
    async fn send_snapshot(
        &self,
        vote: Vote,
        snapshot: SnapshotFile,
    ) -> Result<SnapshotResponse<NodeNumber>, SnapshotError> {
        let (_, mark, _) = snapshot.read_header().map_err(|error| unreadable(&error))?;
        let transfer = self.factory.transfers.fetch_add(1, Ordering::Relaxed);
        let mut offset = 0;
        loop {
            let bytes = read(&snapshot, offset).await?;
            let body = ChunkBody {
                transfer,
                vote: vote.into(),
                mark: mark.clone(),
                file_bytes: snapshot.length(),
                offset,
                bytes,
            };
            match self.send_chunk(body, &mark).await? {
                Progress::Wanted(next) if next <= snapshot.length() => offset = next,
                Progress::Wanted(next) => {
                    let reason = format!("byte {next} of {} is wanted", snapshot.length());
                    let error = AnyError::error(reason);
                    return Err(StreamingError::Unreachable(Unreachable::new(&error)));
                }
                Progress::Installed(vote) => return Ok(SnapshotResponse::new(vote.into())),
            }
        }
    }

    async fn send_chunk(
        &self,
        body: ChunkBody,
        mark: &AppliedMark,
    ) -> Result<Progress, SnapshotError> {
        let deadline = self.factory.chunk_deadline;
        let mut failure = None;
        for _ in 0..CHUNK_ATTEMPTS {
            let body = RequestBody::Chunk(body.clone());
            let asked = self
                .factory
                .ask(self.to, PeerLane::Snapshots, body, deadline)
                .await;
            match asked {
                Ok(Reply::ChunkWanted { offset }) => return Ok(Progress::Wanted(offset)),
                Ok(Reply::Installed { vote }) => return Ok(Progress::Installed(vote)),
                Ok(other) => failure = Some(unexpected(&other)),
                Err(error) => {
                    let is_final = matches!(error, PeerError::Refused { .. });
                    failure = Some(error);
                    if is_final {
                        break;
                    }
                }
            }
        }
        let failure = failure.unwrap_or(PeerError::TimedOut {
            node: self.to,
            after: deadline,
        });
        tracing::warn!(group = %self.factory.group, to = %self.to, position = %mark.position(), %failure,
            "a snapshot was not delivered and is sent again");
        Err(StreamingError::Unreachable(Unreachable::new(&failure)))
    }
}

/// What the receiver of a snapshot said.
enum Progress {
    Wanted(u64),
    Installed(StoredVote),
}

async fn read(snapshot: &SnapshotFile, offset: u64) -> Result<Bytes, SnapshotError> {
    let snapshot = snapshot.clone();
    let bytes = tokio::task::spawn_blocking(move || snapshot.bytes_at(offset, MESSAGE_BYTES)).await;
    match bytes {
        Ok(Ok(bytes)) => Ok(bytes.into()),
        Ok(Err(error)) => Err(unreadable(&error)),
        Err(error) => Err(unreadable(&error)),
    }
}

fn unreadable(error: &(impl std::error::Error + 'static)) -> SnapshotError {
    let error = StorageIOError::read_snapshot(None, AnyError::new(error));
    StreamingError::StorageError(StorageError::from(error))
}
