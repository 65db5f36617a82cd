//! What the leader of group 0 asks one node to do, and how it travels.
//!
//! An effect of the planner is one errand or a few, each for one node. Invariant: an errand that is late or
//! repeated does no harm, since it names the number or the membership that it rests on.

use futures::future::BoxFuture;
use serde::{Deserialize, Serialize};
use std::time::Duration;
use twinscale_meta::GroupId;
use twinscale_protocol::envelope::{self, EnvelopeError, EnvelopeKind};
use twinscale_protocol::{NodeNumber, WireError};

/// An [`ErrandRequest`].
pub const ERRAND_REQUEST: EnvelopeKind = EnvelopeKind(0x0801);

/// The reply to it: nothing, or an error.
pub const ERRAND_REPLY: EnvelopeKind = EnvelopeKind(0x0802);

/// Something that one node is asked to do with its replica of a group.
///
/// Invariant: variants travel by their place, so new ones come last.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Errand {
    /// Make an empty replica, unless there is or was one.
    MakeFirst {
        /// The cluster's number of shards.
        shards: u32,
    },
    /// Make an empty replica that is to learn, or take the one that is there under the newer number; refused
    /// when one up to this number was deleted here.
    MakeLearner {
        /// The cluster's number of shards.
        shards: u32,
    },
    /// Begin the group with these voters, if the replica is of this number and knows no members.
    Begin {
        /// The voters.
        voters: Vec<NodeNumber>,
    },
    /// As leader, add learners.
    AddLearners {
        /// The nodes.
        learners: Vec<NodeNumber>,
        /// The membership that it rests on.
        at_membership: u64,
    },
    /// As leader, remove learners.
    RemoveLearners {
        /// The nodes.
        learners: Vec<NodeNumber>,
        /// The membership that it rests on.
        at_membership: u64,
    },
    /// As leader, change the voters.
    ChangeVoters {
        /// The voters afterwards.
        voters: Vec<NodeNumber>,
        /// The membership that it rests on.
        at_membership: u64,
    },
    /// As leader, commit the membership once more, if a node is no member of it.
    Exclude {
        /// The node.
        node: NodeNumber,
        /// The membership that it rests on.
        at_membership: u64,
    },
    /// Delete the replica, if it was made under no newer number, and remember the number.
    Drop {
        /// The newest number that may be deleted.
        made_up_to: u64,
    },
    /// As leader, hand over.
    TransferLeader {
        /// To whom.
        to: NodeNumber,
    },
    /// Take a snapshot of what is applied now, and purge the log behind it.
    Snapshot,
}

/// An errand on a group.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ErrandRequest {
    /// The group.
    pub group: GroupId,
    /// The number of the group's last move, under which a replica is made.
    pub number: u64,
    /// What to do.
    pub errand: Errand,
    /// For how long the asker waits, in milliseconds.
    pub limit_ms: u32,
}

/// Carries errands to nodes.
pub trait Carrier: Send + Sync + 'static {
    /// Has a node do an errand, this one included.
    ///
    /// # Errors
    /// What the node said, or that it did not answer within the limit; it may have done it all the same.
    fn carry(
        &self,
        node: NodeNumber,
        request: ErrandRequest,
    ) -> BoxFuture<'_, Result<(), WireError>>;
}

impl ErrandRequest {
    /// For how long the asker waits.
    pub fn limit(&self) -> Duration {
        Duration::from_millis(u64::from(self.limit_ms))
    }

    /// Encodes the request.
    ///
    /// # Errors
    /// [`EnvelopeError::TooLarge`].
    pub fn encode(&self) -> Result<Vec<u8>, EnvelopeError> {
        envelope::seal(ERRAND_REQUEST, self)
    }

    /// Decodes a request.
    ///
    /// # Errors
    /// [`EnvelopeError`].
    pub fn decode(bytes: &[u8]) -> Result<Self, EnvelopeError> {
        envelope::open(ERRAND_REQUEST, bytes)
    }
}

/// Encodes what a node says to an errand.
///
/// # Errors
/// [`EnvelopeError::TooLarge`].
pub fn encode_errand_reply(reply: &Result<(), WireError>) -> Result<Vec<u8>, EnvelopeError> {
    envelope::seal(ERRAND_REPLY, reply)
}

/// Decodes what [`encode_errand_reply`] made.
///
/// # Errors
/// [`EnvelopeError`].
pub fn decode_errand_reply(bytes: &[u8]) -> Result<Result<(), WireError>, EnvelopeError> {
    envelope::open(ERRAND_REPLY, bytes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use twinscale_protocol::{ShardId, WireErrorCode};

    fn node(number: u64) -> NodeNumber {
        NodeNumber(number)
    }

    fn body(errand: Errand) -> Vec<u8> {
        let request = ErrandRequest {
            group: GroupId::Shard(ShardId(17)),
            number: 9,
            errand,
            limit_ms: 100,
        };
        let bytes = request.encode().expect("encodes");
        assert_eq!(&bytes[..8], b"TWSC\x01\0\x01\x08");
        assert_eq!(ErrandRequest::decode(&bytes).expect("decodes"), request);
        bytes[envelope::HEADER_BYTES..].to_vec()
    }

    #[test]
    fn golden_bytes_of_errands() {
        let at_membership = 7;
        let cases: [(Errand, &[u8]); 10] = [
            (Errand::MakeFirst { shards: 64 }, &[0, 64]),
            (Errand::MakeLearner { shards: 64 }, &[1, 64]),
            (
                Errand::Begin {
                    voters: vec![node(1), node(2)],
                },
                &[2, 2, 1, 2],
            ),
            (
                Errand::AddLearners {
                    learners: vec![node(3)],
                    at_membership,
                },
                &[3, 1, 3, 7],
            ),
            (
                Errand::RemoveLearners {
                    learners: vec![node(3)],
                    at_membership,
                },
                &[4, 1, 3, 7],
            ),
            (
                Errand::ChangeVoters {
                    voters: vec![node(3)],
                    at_membership,
                },
                &[5, 1, 3, 7],
            ),
            (
                Errand::Exclude {
                    node: node(4),
                    at_membership,
                },
                &[6, 4, 7],
            ),
            (Errand::Drop { made_up_to: 8 }, &[7, 8]),
            (Errand::TransferLeader { to: node(5) }, &[8, 5]),
            (Errand::Snapshot, &[9]),
        ];
        for (errand, golden) in cases {
            let golden = [&[1, 17, 9], golden, &[100]].concat();
            assert_eq!(body(errand.clone()), golden, "{errand:?}");
        }
    }

    #[test]
    fn golden_bytes_of_replies() {
        let refused = WireError::new(WireErrorCode::Conflict, "ab");
        let cases: [(Result<(), WireError>, &[u8]); 2] =
            [(Ok(()), &[0]), (Err(refused), &[1, 2, 2, 97, 98])];
        for (reply, golden) in cases {
            let bytes = encode_errand_reply(&reply).expect("encodes");
            assert_eq!(&bytes[..8], b"TWSC\x01\0\x02\x08");
            assert_eq!(&bytes[envelope::HEADER_BYTES..], golden);
            assert_eq!(decode_errand_reply(&bytes).expect("decodes"), reply);
        }
    }
}
