//! What a node asks another for a shard, and the answer.

use crate::error::ShardsError;
use serde::{Deserialize, Serialize};
use twinscale_protocol::ShardId;
use twinscale_protocol::envelope::{self, EnvelopeError, EnvelopeKind};
use twinscale_twin::ApplyResult;
use twinscale_twin::stored::shard_v1::ShardCommand;

/// A request to a shard.
pub const SHARD_REQUEST: EnvelopeKind = EnvelopeKind(0x0600);

/// The answer to one.
pub const SHARD_RESPONSE: EnvelopeKind = EnvelopeKind(0x0601);

/// A command for the node that leads a shard.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ShardRequest {
    /// The shard.
    pub shard: ShardId,
    /// The command, with the id under which it takes effect once.
    pub command: ShardCommand,
}

/// What became of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ShardAnswer(pub Result<(u64, ApplyResult), ShardsError>);

/// Decodes a request that came over the wire.
///
/// # Errors
/// [`EnvelopeError`].
pub fn decode_request(bytes: &[u8]) -> Result<ShardRequest, EnvelopeError> {
    envelope::open(SHARD_REQUEST, bytes)
}

/// Encodes an answer.
///
/// # Errors
/// [`EnvelopeError::TooLarge`].
pub fn encode_answer(answer: &ShardAnswer) -> Result<Vec<u8>, EnvelopeError> {
    envelope::seal(SHARD_RESPONSE, answer)
}

pub(crate) fn encode_request(request: &ShardRequest) -> Result<Vec<u8>, EnvelopeError> {
    envelope::seal(SHARD_REQUEST, request)
}

pub(crate) fn decode_answer(bytes: &[u8]) -> Result<ShardAnswer, EnvelopeError> {
    envelope::open(SHARD_RESPONSE, bytes)
}
