//! The receiving side: requests of peers, and the parts of snapshots they send.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use openraft::Snapshot;
use openraft::raft::{AppendEntriesRequest, AppendEntriesResponse, VoteRequest};
use tokio::task::JoinSet;
use tokio::time::timeout;
use twinscale_protocol::NodeNumber;

use crate::group::elect;
use crate::groups::{Groups, Shared};
use crate::ids::StoredVote;
use crate::machine::AppliedMark;
use crate::network::PeerError;
use crate::observer::SnapshotNews;
use crate::running::Running;
use crate::snapshot::{Incoming, SnapshotError};
use crate::status::describe;
use crate::types::{SnapshotMeta, TypeConfig};
use crate::wire::{ChunkBody, Reply, Request, RequestBody};

/// The snapshot that a group receives, one at a time.
#[derive(Debug, Default)]
pub(crate) struct Receiving {
    transfer: Option<Transfer>,
    /// The one that is whole and being checked and installed.
    install: Option<Install>,
    /// The last one that was taken over, for a sender that lost the answer.
    done: Option<(TransferId, StoredVote)>,
}

#[derive(Debug)]
struct Transfer {
    id: TransferId,
    incoming: Incoming,
}

/// The vote that the group knows afterwards, or why there is nothing new.
type InstallOutcome = Result<StoredVote, String>;

#[derive(Debug)]
struct Install {
    id: TransferId,
    task: JoinSet<InstallOutcome>,
}

/// One attempt of one sender.
#[derive(Clone, Debug, PartialEq, Eq)]
struct TransferId {
    from: NodeNumber,
    number: u64,
    vote: StoredVote,
    mark: AppliedMark,
    file_bytes: u64,
}

impl Groups {
    /// Answers a request of a peer, which [`crate::PeerNetwork::call`] of that peer was given. `is_sender` says
    /// whether whoever sent it is a node, as the network knows from elsewhere than the request.
    ///
    /// # Errors
    /// [`PeerError::Refused`] when the bytes are no request to this node of this cluster, or speak for a node
    /// that did not send them. That a group does not run here, or failed, is a reply.
    pub async fn receive(
        &self,
        request: &[u8],
        is_sender: impl FnOnce(NodeNumber) -> bool + Send,
    ) -> Result<Bytes, PeerError> {
        let refused = |reason: String| PeerError::Refused { reason };
        let request = Request::decode(request).map_err(|error| refused(error.to_string()))?;
        let identity = self.log().identity();
        if request.cluster != identity.cluster || request.to != identity.node {
            return Err(refused(format!(
                "it is for node {} of cluster {}, this is node {} of cluster {}",
                request.to, request.cluster, identity.node, identity.cluster
            )));
        }
        let from = request.from;
        if !is_sender(from) {
            return Err(refused(format!(
                "it says that it is of node {from}, and another one sent it: a node speaks for itself alone"
            )));
        }
        let other = request.body.stands_for().filter(|node| *node != from);
        if let Some(other) = other {
            return Err(refused(format!(
                "node {from} stands or leads in the name of node {other}: a node speaks for itself alone"
            )));
        }
        let reply = match self.shared().running(request.group) {
            None => Reply::refused(format!("group {} does not run here", request.group)),
            Some(running) => self.answer(&running, request.from, request.body).await,
        };
        reply.encode().map_err(|error| refused(error.to_string()))
    }

    async fn answer(&self, running: &Arc<Running>, from: NodeNumber, body: RequestBody) -> Reply {
        match body {
            RequestBody::Append(body) => {
                let reply = Reply::of_append(running.raft().append_entries(body.into()).await);
                if matches!(&reply, Reply::Append(outcome) if !outcome.is_of_later_leader()) {
                    running.standing.hear_leader();
                }
                reply
            }
            RequestBody::Vote { vote, last } => {
                let request = VoteRequest::new(vote.into(), last.map(Into::into));
                let reply = Reply::of_vote(running.raft().vote(request).await);
                if let Reply::Vote {
                    is_granted: true, ..
                } = &reply
                {
                    running.standing.leave_to_other(&self.shared().options);
                }
                reply
            }
            RequestBody::Chunk(body) => {
                let received = running.receive_chunk(from, body, self.shared()).await;
                received.unwrap_or_else(|error| Reply::refused(describe(&error)))
            }
            RequestBody::WouldVote { last } => Reply::WouldVote {
                would: running.would_vote(self.shared(), from, last),
            },
            RequestBody::Elect { last } => Reply::Elect {
                stands: elect(self.shared(), running, last).await,
            },
        }
    }
}

impl Running {
    /// Takes the next part of a snapshot; once all are there the whole is checked and installed.
    async fn receive_chunk(
        self: &Arc<Self>,
        from: NodeNumber,
        body: ChunkBody,
        shared: &Shared,
    ) -> Result<Reply, SnapshotError> {
        if let Some(reply) = self.hear_leader(&body).await {
            return Ok(reply);
        }
        let id = TransferId {
            from,
            number: body.transfer,
            vote: body.vote,
            mark: body.mark,
            file_bytes: body.file_bytes,
        };
        let mut receiving = self.receiving.lock().await;
        if let Some((done, vote)) = &receiving.done
            && *done == id
        {
            return Ok(Reply::Installed { vote: *vote });
        }
        if let Some(install) = &receiving.install {
            if install.id != id {
                return Ok(Reply::refused("another snapshot is being installed"));
            }
            return Ok(receiving.wait_installed(shared.options.election_min).await);
        }
        let known = receiving.transfer.take().filter(|known| known.id == id);
        let mut transfer = match known {
            Some(known) => known,
            // A part of something that is not here: the sender begins at the start.
            None if body.offset != 0 => return Ok(Reply::ChunkWanted { offset: 0 }),
            None => Transfer {
                id,
                incoming: shared.snapshots.begin(self.id)?,
            },
        };
        if body.offset == transfer.incoming.length() {
            let bytes = body.bytes;
            transfer = blocking(move || {
                transfer.incoming.append(&bytes)?;
                Ok(transfer)
            })
            .await?;
        }
        let length = transfer.incoming.length();
        if length < transfer.id.file_bytes {
            receiving.transfer = Some(transfer);
            return Ok(Reply::ChunkWanted { offset: length });
        }
        let Transfer { id, incoming } = transfer;
        let mut task = JoinSet::new();
        task.spawn(Arc::clone(self).install(id.clone(), incoming));
        receiving.install = Some(Install { id, task });
        Ok(receiving.wait_installed(shared.options.election_min).await)
    }

    /// Lets openraft know that the leader is alive, for openraft sends no heartbeats beside a snapshot: a
    /// receiver that stood for election meanwhile would refuse what it just received.
    async fn hear_leader(&self, body: &ChunkBody) -> Option<Reply> {
        let heartbeat = AppendEntriesRequest {
            vote: body.vote.into(),
            prev_log_id: None,
            entries: Vec::new(),
            leader_commit: None,
        };
        match self.raft().append_entries(heartbeat).await {
            Ok(AppendEntriesResponse::HigherVote(vote)) => {
                Some(Reply::Installed { vote: vote.into() })
            }
            Ok(_) => {
                self.standing.hear_leader();
                None
            }
            Err(error) => Some(Reply::refused(error)),
        }
    }

    async fn install(self: Arc<Self>, id: TransferId, incoming: Incoming) -> InstallOutcome {
        let mark = id.mark.clone();
        let snapshot = blocking(move || incoming.finish(&mark))
            .await
            .map_err(|error| describe(&error))?;
        let position = id.mark.position();
        let meta = SnapshotMeta {
            last_log_id: Some(position.into()),
            last_membership: id.mark.stored_membership(),
            snapshot_id: format!("{}-{}", position.term, position.index),
        };
        let snapshot: Snapshot<TypeConfig> = Snapshot {
            meta,
            snapshot: Box::new(snapshot),
        };
        let installed = self
            .raft()
            .install_full_snapshot(id.vote.into(), snapshot)
            .await;
        self.observer.snapshot(match &installed {
            Ok(_) => SnapshotNews::Installed {
                bytes: id.file_bytes,
            },
            Err(_) => SnapshotNews::NotInstalled,
        });
        installed
            .map(|response| response.vote.into())
            .map_err(|error| describe(&error))
    }
}

impl Receiving {
    /// Waits a little for the snapshot that is being installed; the sender asks again.
    async fn wait_installed(&mut self, patience: Duration) -> Reply {
        let Some(mut install) = self.install.take() else {
            return Reply::ChunkWanted { offset: 0 };
        };
        match timeout(patience, install.task.join_next()).await {
            Err(_elapsed) => {
                let offset = install.id.file_bytes;
                self.install = Some(install);
                Reply::ChunkWanted { offset }
            }
            Ok(Some(Ok(Ok(vote)))) => {
                self.done = Some((install.id, vote));
                Reply::Installed { vote }
            }
            Ok(Some(Ok(Err(reason)))) => Reply::refused(reason),
            Ok(Some(Err(error))) => Reply::refused(error),
            Ok(None) => Reply::refused("the installation ended without a result"),
        }
    }
}

async fn blocking<T: Send + 'static>(
    call: impl FnOnce() -> Result<T, SnapshotError> + Send + 'static,
) -> Result<T, SnapshotError> {
    let outcome = tokio::task::spawn_blocking(call).await;
    outcome.unwrap_or_else(|error| Err(SnapshotError::task(&error)))
}
