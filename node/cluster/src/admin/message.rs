//! Questions and commands as they travel.

use super::picture::{AuditReply, MembersReply, SchemaReply, ShardsReply};
use super::weights::WeightsReply;
use serde::{Deserialize, Serialize};
use twinscale_meta::stored::v2::WeightsNotice;
use twinscale_protocol::envelope::EnvelopeKind;
use twinscale_protocol::{AccountName, NodeNumber, ShardId, WireError, WireErrorCode};
use twinscale_wire::Identity;

/// A question: [`Asked`] of a [`ReadRequest`].
pub const CLUSTER_READ: EnvelopeKind = EnvelopeKind(0x0820);

/// The answer: [`Routed`] of a [`ReadReply`].
pub const CLUSTER_READ_REPLY: EnvelopeKind = EnvelopeKind(0x0821);

/// A command: [`Asked`] of a [`WriteRequest`].
pub const CLUSTER_WRITE: EnvelopeKind = EnvelopeKind(0x0822);

/// The answer: [`Routed`] of a [`WriteReply`].
pub const CLUSTER_WRITE_REPLY: EnvelopeKind = EnvelopeKind(0x0823);

/// What a node is asked of itself for a picture of the cluster: nothing in it.
pub const NODE_PROBE: EnvelopeKind = EnvelopeKind(0x0824);

/// A [`super::ProbeReply`].
pub const NODE_PROBE_REPLY: EnvelopeKind = EnvelopeKind(0x0825);

/// Something that a person asks, directly or through a node that sends it on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Asked<T> {
    /// The person, where a node sends it on; a person says nothing here, since the certificate does.
    pub by: Option<AccountName>,
    /// What is asked.
    pub request: T,
}

impl<T> Asked<T> {
    /// What a person asks.
    pub fn by_certificate(request: T) -> Self {
        Self { by: None, request }
    }
}

/// Names the person behind a call: by certificate, or by the node that sends it on.
///
/// # Errors
/// [`WireErrorCode::Invalid`] when neither names one.
pub fn admit_person(
    caller: &Identity,
    by: Option<AccountName>,
) -> Result<(AccountName, bool), WireError> {
    match (caller, by) {
        (Identity::Operator(name) | Identity::Viewer(name), None) => Ok((name.clone(), false)),
        (Identity::Node(_), Some(name)) => Ok((name, true)),
        (Identity::Node(_), None) => Err(WireError::new(
            WireErrorCode::Invalid,
            "a node asks for nobody: it must name the person whose question it sends on",
        )),
        (Identity::Operator(_) | Identity::Viewer(_), Some(other)) => Err(WireError::new(
            WireErrorCode::Invalid,
            format!("{caller} asks in the name of `{other}`: leave the name out"),
        )),
    }
}

/// An answer, or who is to be asked.
///
/// Invariant: variants travel by their place, so new ones come last.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Routed<T> {
    /// The answer.
    Done(T),
    /// Only the leader of group 0 can answer, and this node does not lead it.
    NotLeader {
        /// Who does, as far as it knows.
        leader: Option<NodeNumber>,
    },
}

/// What can be asked.
///
/// Invariant: variants travel by their place, so new ones come last.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum ReadRequest {
    /// All nodes.
    Members,
    /// Group 0 and all shards, or one of them.
    Shards {
        /// The shard alone.
        only: Option<ShardId>,
    },
    /// The newest audited commands.
    Audit {
        /// Most of them.
        at_most: u32,
    },
    /// How far a task is.
    Standing(Task),
    /// The schema gate, and what each node's program knows.
    Schema,
    /// The register of weights.
    Weights,
}

/// The answers, each to the question of the same place.
///
/// Invariant: variants travel by their place, so new ones come last.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum ReadReply {
    /// All nodes.
    Members(MembersReply),
    /// Groups.
    Shards(ShardsReply),
    /// Audited commands.
    Audit(AuditReply),
    /// How far a task is.
    Standing(Standing),
    /// The schema gate.
    Schema(SchemaReply),
    /// The register of weights.
    Weights(WeightsReply),
}

/// What can be commanded. Nodes are named by name or number.
///
/// Invariant: variants travel by their place, so new ones come last.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum WriteRequest {
    /// Empty a node for maintenance.
    Drain {
        /// The node.
        node: String,
    },
    /// Let a drained node serve again.
    Undrain {
        /// The node.
        node: String,
    },
    /// Empty a node and take it out for good.
    Decommission {
        /// The node.
        node: String,
        /// Whether it is gone already: its replicas are replaced without it.
        is_gone: bool,
    },
    /// Move one replica of a group.
    Move {
        /// The shard; `None` is group 0.
        shard: Option<ShardId>,
        /// The voter that gives its replica up.
        from: String,
        /// The node that gets one.
        to: String,
    },
    /// Start moves that make the cluster more even, without sparing nodes to which one failed lately.
    Rebalance,
    /// Have every replica of a group take a snapshot and purge its log behind it.
    Snapshot {
        /// The shard; `None` is group 0.
        shard: Option<ShardId>,
    },
    /// Raise the schema gate.
    RaiseSchema {
        /// The schema; `None` is the newest that a node knows.
        to: Option<u32>,
    },
    /// Change the register of weights.
    Weights(WeightsOrder),
}

/// What can be ordered of weights. They are named by id, by the first digits of it, or as `shipped`.
///
/// Invariant: variants travel by their place, so new ones come last.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum WeightsOrder {
    /// Make weights known, whose file a node has.
    Register(WeightsNotice),
    /// Forget weights, and end the trial of them.
    Drop {
        /// Which.
        weights: String,
    },
    /// Have weights forecast in the shadow of the active ones.
    Shadow {
        /// Which.
        weights: String,
    },
    /// Make weights the active ones.
    Promote {
        /// Which.
        weights: String,
    },
    /// Make those active again that were so before.
    RollBack,
}

/// What came of a command.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct WriteReply {
    /// Whether it changed anything.
    pub outcome: Outcome,
    /// For people: what was done and what follows.
    pub notes: Vec<String>,
    /// What goes on, when something does.
    pub task: Option<Task>,
}

/// Whether a command changed anything.
///
/// Invariant: variants travel by their place, so new ones come last.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Outcome {
    /// It took effect.
    Applied,
    /// It was so already, or goes on already.
    Unchanged,
}

/// What goes on after a command; enough to ask any leader how far it is.
///
/// Invariant: variants travel by their place, so new ones come last.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Task {
    /// A node is being emptied.
    Empty {
        /// The node.
        node: NodeNumber,
    },
    /// A node leaves for good.
    Leave {
        /// The node.
        node: NodeNumber,
    },
    /// Replicas move.
    Moves {
        /// The moves.
        moves: Vec<MoveTask>,
    },
}

/// A move that goes on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct MoveTask {
    /// The shard; `None` is group 0.
    pub shard: Option<ShardId>,
    /// The number of the move.
    pub number: u64,
    /// Nodes that get a replica.
    pub add: Vec<NodeNumber>,
    /// Nodes that give theirs up.
    pub remove: Vec<NodeNumber>,
}

/// How far a task is.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Standing {
    /// Whether nothing is left to do.
    pub is_over: bool,
    /// Why it will not end as asked.
    pub failed: Option<String>,
    /// Parts that are done.
    pub done: u32,
    /// All parts.
    pub total: u32,
    /// What it waits for.
    pub waits: Vec<String>,
}

#[cfg(test)]
mod tests {
    use super::*;
    use twinscale_protocol::envelope::{HEADER_BYTES, open, seal};

    fn body<T: Serialize>(kind: EnvelopeKind, value: &T) -> Vec<u8> {
        let bytes = seal(kind, value).expect("encodes");
        bytes[HEADER_BYTES..].to_vec()
    }

    #[test]
    fn golden_bytes_of_commands() {
        let node = || "ab".to_owned();
        let weights = || "ab".to_owned();
        let order = WriteRequest::Weights;
        let cases: [(WriteRequest, &[u8]); 12] = [
            (WriteRequest::Drain { node: node() }, &[0, 2, 97, 98]),
            (WriteRequest::Undrain { node: node() }, &[1, 2, 97, 98]),
            (
                WriteRequest::Decommission {
                    node: node(),
                    is_gone: true,
                },
                &[2, 2, 97, 98, 1],
            ),
            (
                WriteRequest::Move {
                    shard: Some(ShardId(17)),
                    from: node(),
                    to: "c".to_owned(),
                },
                &[3, 1, 17, 2, 97, 98, 1, 99],
            ),
            (WriteRequest::Rebalance, &[4]),
            (WriteRequest::Snapshot { shard: None }, &[5, 0]),
            (WriteRequest::RaiseSchema { to: None }, &[6, 0]),
            (WriteRequest::RaiseSchema { to: Some(2) }, &[6, 1, 2]),
            (
                order(WeightsOrder::Drop { weights: weights() }),
                &[7, 1, 2, 97, 98],
            ),
            (
                order(WeightsOrder::Shadow { weights: weights() }),
                &[7, 2, 2, 97, 98],
            ),
            (
                order(WeightsOrder::Promote { weights: weights() }),
                &[7, 3, 2, 97, 98],
            ),
            (order(WeightsOrder::RollBack), &[7, 4]),
        ];
        for (request, golden) in cases {
            let by = Some(AccountName::new("ada").expect("a name"));
            let asked = Asked {
                by,
                request: request.clone(),
            };
            let golden = [&[1, 3, 97, 100, 97], golden].concat();
            assert_eq!(body(CLUSTER_WRITE, &asked), golden, "{request:?}");
            let bytes = seal(CLUSTER_WRITE, &asked).expect("encodes");
            let read: Asked<WriteRequest> = open(CLUSTER_WRITE, &bytes).expect("decodes");
            assert_eq!(read, asked);
        }
    }

    #[test]
    fn golden_bytes_of_questions_and_tasks() {
        let moves = vec![MoveTask {
            shard: Some(ShardId(1)),
            number: 9,
            add: vec![NodeNumber(4)],
            remove: vec![NodeNumber(2)],
        }];
        let cases: [(ReadRequest, &[u8]); 8] = [
            (ReadRequest::Members, &[0]),
            (ReadRequest::Shards { only: None }, &[1, 0]),
            (ReadRequest::Audit { at_most: 7 }, &[2, 7]),
            (
                ReadRequest::Standing(Task::Empty {
                    node: NodeNumber(3),
                }),
                &[3, 0, 3],
            ),
            (
                ReadRequest::Standing(Task::Leave {
                    node: NodeNumber(3),
                }),
                &[3, 1, 3],
            ),
            (
                ReadRequest::Standing(Task::Moves { moves }),
                &[3, 2, 1, 1, 1, 9, 1, 4, 1, 2],
            ),
            (ReadRequest::Schema, &[4]),
            (ReadRequest::Weights, &[5]),
        ];
        for (request, golden) in cases {
            let asked = Asked::by_certificate(request.clone());
            let golden = [&[0], golden].concat();
            assert_eq!(body(CLUSTER_READ, &asked), golden, "{request:?}");
        }
    }

    #[test]
    fn golden_bytes_of_answers() {
        let reply = WriteReply {
            outcome: Outcome::Unchanged,
            notes: vec!["a".to_owned()],
            task: None,
        };
        let done = Routed::Done(reply);
        assert_eq!(body(CLUSTER_WRITE_REPLY, &done), [0, 1, 1, 1, 97, 0]);
        let elsewhere: Routed<WriteReply> = Routed::NotLeader {
            leader: Some(NodeNumber(2)),
        };
        assert_eq!(body(CLUSTER_WRITE_REPLY, &elsewhere), [1, 1, 2]);
        let standing = Standing {
            is_over: true,
            failed: None,
            done: 2,
            total: 3,
            waits: Vec::new(),
        };
        let reply = Routed::Done(ReadReply::Standing(standing));
        assert_eq!(body(CLUSTER_READ_REPLY, &reply), [0, 3, 1, 0, 2, 3, 0]);
    }
}
