//! Weights from other nodes, in chunks.

use super::gather::Gather;
use super::message::Fetching;
use std::time::Duration;
use tokio::time::{Instant, timeout_at};
use twinscale_meta::stored::v2::WeightsNotice;
use twinscale_protocol::envelope;
use twinscale_protocol::{NodeNumber, WireError, WireErrorCode};
use twinscale_weights::{
    Assembly, AssemblyError, CHUNK_REPLY, CHUNK_REQUEST, ChunkCall, ChunkReply, Part,
};

/// How long one chunk may take.
const CHUNK_LIMIT: Duration = Duration::from_secs(10);

/// How long all of a file may take from one node.
const FILE_LIMIT: Duration = Duration::from_mins(2);

/// Nodes that are asked in one round.
const PEERS_ASKED_MAX: usize = 5;

/// Weights with their card.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Fetched {
    pub(super) weights: Vec<u8>,
    pub(super) card: Vec<u8>,
}

/// Fetches weights from one node after the other, beginning with another one in each round.
///
/// # Errors
/// Why the last one that was asked did not give them.
pub(super) async fn fetch(
    gather: &Gather,
    notice: &WeightsNotice,
    round: usize,
) -> Result<Fetched, WireError> {
    let mut peers = gather.peers();
    if let Some(first) = round.checked_rem(peers.len()) {
        peers.rotate_left(first);
    }
    peers.truncate(PEERS_ASKED_MAX);
    let mut last = WireError::new(WireErrorCode::Unavailable, "no other node is heard");
    for peer in peers {
        let card = (Part::Card, notice.summary.digest, notice.summary.bytes);
        let weights = (Part::Weights, notice.digest, notice.bytes);
        let card = match file(gather, notice, peer, card).await {
            Ok(card) => card,
            Err(error) => {
                last = error;
                continue;
            }
        };
        match file(gather, notice, peer, weights).await {
            Ok(weights) => {
                gather.local.say_fetching(None);
                tracing::info!(weights = %notice.id, %peer, "weights were fetched");
                return Ok(Fetched { weights, card });
            }
            Err(error) => last = error,
        }
    }
    gather.local.say_fetching(None);
    Err(last)
}

async fn file(
    gather: &Gather,
    notice: &WeightsNotice,
    peer: NodeNumber,
    (part, digest, total): (Part, [u8; 32], u64),
) -> Result<Vec<u8>, WireError> {
    let of_peer = |error: &AssemblyError| {
        WireError::new(WireErrorCode::Unavailable, format!("node {peer}: {error}"))
    };
    let mut assembly = Assembly::new(part, digest, total).map_err(|error| of_peer(&error))?;
    let until = Instant::now() + FILE_LIMIT;
    while let Some(offset) = assembly.next() {
        gather.local.say_fetching(Some(Fetching {
            weights: notice.id.clone(),
            have: offset,
            total,
        }));
        let call = ChunkCall {
            digest: notice.digest,
            part,
            offset,
        };
        let chunk = timeout_at(until, chunk(gather, peer, &call)).await;
        let chunk = chunk.map_err(|_late| {
            let text = format!("node {peer} took longer than {FILE_LIMIT:?} for the {part}");
            WireError::new(WireErrorCode::Timeout, text)
        })??;
        assembly
            .take(offset, &chunk.bytes)
            .map_err(|error| of_peer(&error))?;
    }
    assembly.finish().map_err(|error| of_peer(&error))
}

async fn chunk(
    gather: &Gather,
    peer: NodeNumber,
    call: &ChunkCall,
) -> Result<ChunkReply, WireError> {
    let unreadable =
        |error: envelope::EnvelopeError| WireError::new(WireErrorCode::Internal, error.to_string());
    let request = envelope::seal(CHUNK_REQUEST, call).map_err(unreadable)?;
    let reply = gather.calls.call(peer, request, CHUNK_LIMIT).await?;
    envelope::open(CHUNK_REPLY, &reply).map_err(unreadable)
}
