//! The receiving side: requests of peers, and the parts of snapshots they send.

use bytes::Bytes;
use openraft::Snapshot;
use openraft::raft::VoteRequest;

use crate::group::elect;
use crate::groups::Groups;
use crate::ids::{NodeNumber, StoredVote};
use crate::machine::AppliedMark;
use crate::network::PeerError;
use crate::running::Running;
use crate::snapshot::{Incoming, SnapshotError, SnapshotFile, SnapshotStore};
use crate::status::describe;
use crate::types::{SnapshotMeta, TypeConfig};
use crate::wire::{ChunkBody, Reply, Request, RequestBody};

/// The snapshot that a group receives, one at a time.
#[derive(Debug, Default)]
pub(crate) struct Receiving {
    transfer: Option<Transfer>,
    /// The last one that was taken over, for a sender that lost the answer.
    done: Option<(TransferId, StoredVote)>,
}

#[derive(Debug)]
struct Transfer {
    id: TransferId,
    incoming: Incoming,
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
    /// Answers a request of a peer, which [`crate::PeerNetwork::call`] of that peer was given.
    ///
    /// # Errors
    /// [`PeerError::Refused`] when the bytes are no request to this node of this cluster. That a group does
    /// not run here, or failed, is a reply.
    pub async fn receive(&self, request: &[u8]) -> Result<Bytes, PeerError> {
        let refused = |reason: String| PeerError::Refused { reason };
        let request = Request::decode(request).map_err(|error| refused(error.to_string()))?;
        let identity = self.log().identity();
        if request.cluster != identity.cluster || request.to != identity.node {
            return Err(refused(format!(
                "it is for node {} of cluster {}, this is node {} of cluster {}",
                request.to, request.cluster, identity.node, identity.cluster
            )));
        }
        let reply = match self.shared().running(request.group) {
            None => Reply::refused(format!("group {} does not run here", request.group)),
            Some(running) => self.answer(&running, request.from, request.body).await,
        };
        reply.encode().map_err(|error| refused(error.to_string()))
    }

    async fn answer(&self, running: &Running, from: NodeNumber, body: RequestBody) -> Reply {
        match body {
            RequestBody::Append(body) => {
                Reply::of_append(running.raft().append_entries(body.into()).await)
            }
            RequestBody::Vote { vote, last } => {
                let request = VoteRequest::new(vote.into(), last.map(Into::into));
                Reply::of_vote(running.raft().vote(request).await)
            }
            RequestBody::Chunk(body) => {
                let snapshots = self.shared().snapshots.clone();
                running
                    .receive_chunk(from, body, snapshots)
                    .await
                    .unwrap_or_else(|error| Reply::refused(describe(&error)))
            }
            RequestBody::Elect { last } => Reply::Elect {
                stands: elect(self.shared(), running, last).await,
            },
        }
    }
}

impl Running {
    /// Takes the next part of a snapshot; with the last one the whole is checked and installed.
    async fn receive_chunk(
        &self,
        from: NodeNumber,
        body: ChunkBody,
        snapshots: SnapshotStore,
    ) -> Result<Reply, SnapshotError> {
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
        let known = receiving.transfer.take().filter(|known| known.id == id);
        let mut transfer = match known {
            Some(known) => known,
            // A part of something that is not here: the sender begins at the start.
            None if body.offset != 0 => return Ok(Reply::ChunkWanted { offset: 0 }),
            None => Transfer {
                id,
                incoming: snapshots.begin(self.id)?,
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
        let mark = id.mark.clone();
        let snapshot = blocking(move || incoming.finish(&mark)).await?;
        Ok(self.install(&mut receiving, id, snapshot).await)
    }

    async fn install(
        &self,
        receiving: &mut Receiving,
        id: TransferId,
        snapshot: SnapshotFile,
    ) -> Reply {
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
        match installed {
            Ok(response) => {
                let vote = StoredVote::from(response.vote);
                receiving.done = Some((id, vote));
                Reply::Installed { vote }
            }
            Err(error) => Reply::refused(error),
        }
    }
}

async fn blocking<T: Send + 'static>(
    call: impl FnOnce() -> Result<T, SnapshotError> + Send + 'static,
) -> Result<T, SnapshotError> {
    let outcome = tokio::task::spawn_blocking(call).await;
    outcome.unwrap_or_else(|error| Err(SnapshotError::task(&error)))
}
