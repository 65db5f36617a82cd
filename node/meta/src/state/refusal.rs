//! Why commands are refused. A refusal is stored in the audit, so it holds values and no text.

use crate::limits::{
    DEFAULTS_BYTES_MAX, MOVE_REPLICAS_MAX, MOVES_MAX, NODES_ACTIVE_MAX, NODES_EVER_MAX,
    REPLICATION_MAX, SHARDS_MAX, SHARDS_PER_COMMAND_MAX, WEIGHTS_BYTES_MAX, WEIGHTS_KNOWN_MAX,
};
use crate::stored::v1::{GroupId, MoveStage, NodeState};
use crate::stored::v2::WeightsChoice;
use serde::{Deserialize, Serialize};
use twinscale_protocol::{ClusterId, NodeId, NodeNumber, ShardId, WeightsId};

/// Why a command was not applied; the text names the value, the place and the remedy.
///
/// Invariant: variants are stored by their place, so new ones come last.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[expect(missing_docs, reason = "the text of each variant names its fields")]
pub enum Refusal {
    #[error("no cluster was created yet: create one on the first node")]
    NoCluster,
    #[error("cluster `{cluster}` exists: join it, or create another with an empty data directory")]
    ClusterExists { cluster: ClusterId },
    #[error("{count} shards: use 1 to {SHARDS_MAX}")]
    ShardCountRange { count: u32 },
    #[error(
        "shard count {wanted}: it is {count} since the cluster was created and cannot change; create \
         another cluster and move the customers"
    )]
    ShardCountFixed { count: u32, wanted: u32 },
    #[error(
        "replication {replication} is even and survives no more than one less: use an odd number"
    )]
    EvenReplication { replication: u8 },
    #[error("replication {replication}: use an odd number from 1 to {REPLICATION_MAX}")]
    ReplicationRange { replication: u8 },
    #[error(
        "replication {replication} needs as many serving nodes and there are {nodes}: add nodes first"
    )]
    MoreReplicasThanNodes { replication: u8, nodes: u32 },
    #[error("setting value {value}: use {least} to {most}")]
    SettingRange { value: u64, least: u64, most: u64 },
    #[error(
        "command of schema {schema} is beyond the gate {gate}: upgrade every node, then raise the schema"
    )]
    BeyondGate { schema: u32, gate: u32 },
    #[error("entry of group 0 cannot be read: upgrade this node, or restore its log from a peer")]
    Unreadable,
    #[error("schema {to} is below the gate {gate}, which never falls: keep this software version")]
    SchemaFalls { to: u32, gate: u32 },
    #[error("node {node} supports schemas up to {newest}, not {to}: upgrade it first")]
    SchemaUnsupported {
        node: NodeNumber,
        newest: u32,
        to: u32,
    },
    #[error(
        "node supports schemas {oldest} to {newest} and the gate is {gate}: start a software version \
         that supports it"
    )]
    SchemaOfNode { oldest: u32, newest: u32, gate: u32 },
    #[error(
        "name `{name}` belongs to node {node} with another data directory: give the node back its \
         directory, or start it under a new name"
    )]
    NameTaken { name: NodeId, node: NodeNumber },
    #[error(
        "node claims number {claims}, which is not its own ({owner:?}): its data directory is a copy; \
         start it with an empty one under a new name"
    )]
    DuplicateNumber {
        claims: NodeNumber,
        owner: Option<NodeNumber>,
    },
    #[error(
        "data directory is that of node {node}: it is a copy; start with an empty one under a new name"
    )]
    DuplicateDisk { node: NodeNumber },
    #[error(
        "start {given} of node {node} is not newer than the known {known}: another program runs with a \
         copy of its data directory; stop one of them"
    )]
    DuplicateStart {
        node: NodeNumber,
        given: u64,
        known: u64,
    },
    #[error("node {node} is unknown: list the nodes")]
    UnknownNode { node: NodeNumber },
    #[error(
        "node {node} is decommissioned for good: start it with an empty data directory under a new name"
    )]
    Decommissioned { node: NodeNumber },
    #[error("start {given} of node {node} is not the known {known}: observe it again")]
    OtherStart {
        node: NodeNumber,
        given: u64,
        known: u64,
    },
    #[error(
        "{active} nodes: the cluster takes {NODES_ACTIVE_MAX}, and {NODES_EVER_MAX} ever; found another"
    )]
    TooManyNodes { active: u32 },
    #[error(
        "address, version or start of node `{name}` is empty or too long: correct its configuration"
    )]
    BadFacts { name: NodeId },
    #[error(
        "without node {node}, {left} serving nodes are left for {replication} replicas: add a node or \
         lower the replication first"
    )]
    TooFewNodes {
        node: NodeNumber,
        left: u32,
        replication: u8,
    },
    #[error(
        "without node {node}, {group} keeps {live} of {voters} voters, no majority: bring back its other \
         voters first"
    )]
    WouldLoseQuorum {
        group: GroupId,
        node: NodeNumber,
        live: u32,
        voters: u32,
    },
    #[error(
        "{group} has {live} of {voters} voters and cannot move replicas: bring back its other voters first"
    )]
    NoQuorum {
        group: GroupId,
        live: u32,
        voters: u32,
    },
    #[error("node {node} is {state}, not leaving: decommission it first")]
    NotLeaving { node: NodeNumber, state: NodeState },
    #[error("node {node} still holds {replicas} replicas: wait until they moved")]
    StillHolds { node: NodeNumber, replicas: u32 },
    #[error("{group} is unknown: list the shards")]
    UnknownGroup { group: GroupId },
    #[error("{given} shards in a command: use 1 to {SHARDS_PER_COMMAND_MAX}, each once")]
    ShardsPerCommand { given: u32 },
    #[error("shard {shard} is placed already: move its replicas instead")]
    AlreadyPlaced { shard: ShardId },
    #[error("shard {shard} gets {given} voters, not {replication} different ones: plan again")]
    PlacementSize {
        shard: ShardId,
        given: u32,
        replication: u8,
    },
    #[error(
        "{serving} of {expected} expected nodes serve: start the others before shards are placed"
    )]
    NodesMissing { serving: u32, expected: u32 },
    #[error("{group} does not exist yet: wait until it is founded")]
    NotFounded { group: GroupId },
    #[error("{group} is at version {version}, not {given}: read it again and plan again")]
    StaleVersion {
        group: GroupId,
        version: u64,
        given: u64,
    },
    #[error("move {number} of {group} is under way: wait for its end")]
    MoveUnderWay { group: GroupId, number: u64 },
    #[error("{group} has no move {number} under way: read it again")]
    NoSuchMove { group: GroupId, number: u64 },
    #[error("{MOVES_MAX} moves are under way: wait for their end")]
    TooManyMoves,
    #[error("node {node} is {state}: replicas move only to serving nodes; choose another")]
    NodeNotServing { node: NodeNumber, state: NodeState },
    #[error(
        "a move adds and removes up to {MOVE_REPLICAS_MAX} different nodes, in ascending order: give \
         {group} another"
    )]
    BadMove { group: GroupId },
    #[error("node {node} is a voter of {group} already: choose another")]
    AlreadyVoter { group: GroupId, node: NodeNumber },
    #[error("node {node} is no voter of {group}: choose one that is")]
    NotVoter { group: GroupId, node: NodeNumber },
    #[error("{group} would have {voters} voters: add or remove so that the number is odd")]
    EvenVoters { group: GroupId, voters: u32 },
    #[error("move of {group} does not go from `{from}` to `{to}`: read it again")]
    StageOrder {
        group: GroupId,
        from: MoveStage,
        to: MoveStage,
    },
    #[error("defaults are at version {version}, not {given}: read them again")]
    StaleDefaults { version: u64, given: u64 },
    #[error("defaults of {bytes} bytes: use up to {DEFAULTS_BYTES_MAX}")]
    DefaultsSize { bytes: u64 },
    #[error("catalogue version {given} is not above {version}: publish it under a newer version")]
    OldCatalogue { version: u64, given: u64 },
    #[error(
        "weights {id} are not as they were made known, or larger than {WEIGHTS_BYTES_MAX} bytes: put the file \
         again"
    )]
    WeightsNotice { id: WeightsId },
    #[error("{WEIGHTS_KNOWN_MAX} weights are known: drop some that are not used first")]
    TooManyWeights,
    #[error("weights {id} are unknown: put them first, or list those that are known")]
    UnknownWeights { id: WeightsId },
    #[error("weights {weights} are the active ones: promote others or roll back first")]
    WeightsActive { weights: WeightsChoice },
    #[error(
        "trial {number} of weights {weights} is under way: wait for its end, or drop them first"
    )]
    TrialUnderWay { number: u64, weights: WeightsChoice },
    #[error("trial {number} is not the one under way: read the register again")]
    NoSuchTrial { number: u64 },
    #[error("no weights were active before that could be gone back to: promote others instead")]
    NothingBefore,
}
