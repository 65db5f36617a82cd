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

#[cfg(test)]
mod tests {
    use super::*;
    use std::fmt::Write as _;
    use twinscale_protocol::RequestId;

    fn hex(bytes: &[u8]) -> String {
        bytes.iter().fold(String::new(), |mut hex, byte| {
            write!(hex, "{byte:02x}").expect("a string takes it");
            hex
        })
    }

    #[test]
    fn sent_bytes_stay_as_they_are() {
        let request = ShardRequest {
            shard: ShardId(3),
            command: ShardCommand {
                request: RequestId(9),
                payload: vec![1, 2],
            },
        };
        let bytes = encode_request(&request).expect("small");
        assert_eq!(hex(&bytes), "54575343010000060500000044461b080309020102");
        assert_eq!(decode_request(&bytes).expect("readable"), request);
        let answers = [
            (
                Ok((7, ApplyResult::Configured { config_version: 2 })),
                "545753430100010604000000b5a805ca00070002",
            ),
            (
                Err(ShardsError::NotLeader {
                    shard: ShardId(3),
                    leader: Some(2),
                }),
                "5457534301000106050000009930110e0100030102",
            ),
            (
                Err(ShardsError::OutcomeUnknown {
                    shard: ShardId(3),
                    reason: "no".to_owned(),
                }),
                "54575343010001060600000016bc3c85010503026e6f",
            ),
            (
                Err(ShardsError::BeyondGate {
                    shard: ShardId(3),
                    schema: 2,
                    gate: 1,
                }),
                "54575343010001060500000084d288d3010a030201",
            ),
        ];
        for (answer, golden) in answers {
            let answer = ShardAnswer(answer);
            let bytes = encode_answer(&answer).expect("small");
            assert_eq!(hex(&bytes), golden);
            assert_eq!(decode_answer(&bytes).expect("readable"), answer);
        }
    }
}
