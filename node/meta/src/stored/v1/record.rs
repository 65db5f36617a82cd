//! The records of a snapshot.

use super::command::{By, Catalogue, NodeFacts};
use super::ids::{GroupId, ShardCount, UnixMillis};
use crate::limits::{DEAD_AFTER_S_DEFAULT, MOVES_AT_ONCE_DEFAULT, REPLICATION_DEFAULT};
use crate::state::Refusal;
use serde::{Deserialize, Serialize};
use std::collections::VecDeque;
use std::fmt;
use twinscale_protocol::{ClusterId, NodeNumber, Seconds};

/// All that group 0 keeps.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct MetaRecord {
    /// What is fixed, once the cluster was created.
    pub cluster: Option<Cluster>,
    /// The schema gate.
    pub schema: u32,
    /// All nodes ever; the node of number n is at n - 1.
    pub nodes: Vec<NodeRecord>,
    /// Group 0's own members.
    pub meta: GroupRecord,
    /// The shard map, by shard.
    pub shards: Vec<GroupRecord>,
    /// Settings.
    pub settings: Settings,
    /// Defaults of policies.
    pub defaults: Defaults,
    /// The catalogue of instances.
    pub catalogue: Catalogue,
    /// The number of the last move.
    pub last_move: u64,
    /// Moves that ended as planned.
    pub moves_finished: u64,
    /// Moves that were rolled back.
    pub moves_rolled_back: u64,
    /// Entries that were refused unread: beyond the gate, or damaged.
    pub unread: u64,
    /// Commands that were ever audited.
    pub audited: u64,
    /// The newest of them, ascending.
    pub audit: VecDeque<AuditRecord>,
}

/// What is fixed at creation.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cluster {
    /// The id.
    pub id: ClusterId,
    /// When.
    pub created_at: UnixMillis,
    /// Shards.
    pub shard_count: ShardCount,
    /// Nodes that must serve before shards are placed.
    pub nodes_expected: u16,
}

/// A node.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct NodeRecord {
    /// Its number.
    pub number: NodeNumber,
    /// What it said of itself last.
    pub facts: NodeFacts,
    /// What it is.
    pub state: NodeState,
    /// What an operator wants of it.
    pub wish: NodeWish,
    /// Since when it is in this state.
    pub since: UnixMillis,
    /// Replicas that it held when it began to be emptied.
    pub held_at_first: u32,
}

/// What a node is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum NodeState {
    /// Admitted, not yet ready.
    Joining,
    /// Takes replicas and leads.
    Serving,
    /// Serves what it holds, and is being emptied.
    Draining,
    /// Holds nothing and never comes back.
    Decommissioned,
    /// Not heard for the grace period; its replicas are being replaced.
    Dead,
}

impl fmt::Display for NodeState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Joining => "joining",
            Self::Serving => "serving",
            Self::Draining => "draining",
            Self::Decommissioned => "decommissioned",
            Self::Dead => "dead",
        })
    }
}

/// What an operator wants of a node; it outlasts a death.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum NodeWish {
    /// To serve.
    Serve,
    /// To be empty.
    Drain,
    /// To leave for good.
    Leave,
}

/// The members of a group and what is under way.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct GroupRecord {
    /// Voters, ascending; none before the first placement.
    pub voters: Vec<NodeNumber>,
    /// Whether the group was seen to exist. It is never founded again: that would forget what it holds.
    pub founded: bool,
    /// Counts the changes of this record.
    pub version: u64,
    /// The number of its last move.
    pub last_move: u64,
    /// The move under way.
    pub under_way: Option<Move>,
    /// Nodes that are not tried again for a while.
    pub avoided: Vec<Avoided>,
}

/// A move of replicas.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Move {
    /// Its number in the cluster, from 1.
    pub number: u64,
    /// Nodes that become voters, ascending.
    pub add: Vec<NodeNumber>,
    /// Nodes that cease to be voters, ascending.
    pub remove: Vec<NodeNumber>,
    /// How far it is.
    pub stage: MoveStage,
    /// When it began.
    pub started_at: UnixMillis,
    /// When it reached its stage.
    pub stage_at: UnixMillis,
    /// What for.
    pub reason: MoveReason,
}

/// How far a move is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum MoveStage {
    /// The new replicas copy as learners.
    Learn,
    /// They caught up; one joint change makes them voters in place of the old ones.
    Replace,
    /// The voters are changed; what is left of the old ones is removed.
    CleanUp,
    /// Given up before the change; the learners are removed.
    RollBack,
}

impl fmt::Display for MoveStage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Learn => "learn",
            Self::Replace => "replace",
            Self::CleanUp => "clean up",
            Self::RollBack => "roll back",
        })
    }
}

/// What a move is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum MoveReason {
    /// A dead node's replica is replaced.
    Dead,
    /// A node is being emptied.
    Drain,
    /// More replicas are wanted.
    Grow,
    /// Fewer replicas are wanted.
    Shrink,
    /// Two replicas stand in one zone while another has none.
    Spread,
    /// A node holds more replicas than another.
    Balance,
    /// An operator asked for it.
    Operator,
}

/// A node that a group does not try for a while.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Avoided {
    /// The node.
    pub node: NodeNumber,
    /// Until when.
    pub until: UnixMillis,
}

/// Settings that commands change.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Settings {
    /// Replicas of each shard; odd.
    pub replication: u8,
    /// Moves that go on at the same time.
    pub moves_at_once: u16,
    /// For how long a node is not heard before its replicas are replaced.
    pub dead_after: Seconds,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            replication: REPLICATION_DEFAULT,
            moves_at_once: MOVES_AT_ONCE_DEFAULT,
            dead_after: Seconds(DEAD_AFTER_S_DEFAULT),
        }
    }
}

/// Defaults of policies; opaque here.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Defaults {
    /// Counts the changes.
    pub version: u64,
    /// As the configuration encodes them, kind and version included.
    pub bytes: Vec<u8>,
}

/// A command that was audited.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AuditRecord {
    /// Its number, from 1.
    pub number: u64,
    /// When.
    pub at: UnixMillis,
    /// Who.
    pub by: By,
    /// What. No text: replicas of different software versions must keep the same bytes.
    pub what: Subject,
    /// What came of it.
    pub outcome: AuditOutcome,
}

/// What a command did, in short.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Subject {
    /// The verb.
    pub verb: Verb,
    /// The node that it was about.
    pub node: Option<NodeNumber>,
    /// The group that it was about.
    pub group: Option<GroupId>,
    /// The value that it set.
    pub value: Option<u64>,
}

/// The verb of a command.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[expect(missing_docs, reason = "each is the command of the same name")]
pub enum Verb {
    CreateCluster,
    JoinNode,
    NoteServing,
    NoteDead,
    DrainNode,
    FillNode,
    DecommissionNode,
    RemoveNode,
    FinishDecommission,
    PlaceShards,
    NoteFounded,
    StartMove,
    AdvanceMove,
    FinishMove,
    SetReplication,
    SetMovesAtOnce,
    SetDeadAfter,
    SetShardCount,
    SetDefaults,
    SetCatalogue,
    RaiseSchema,
    RegisterWeights,
    DropWeights,
    ShadowWeights,
    PromoteWeights,
    RollBackWeights,
    EndTrial,
    NoteRetraining,
}

/// What came of an audited command.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum AuditOutcome {
    /// It took effect.
    Applied,
    /// It was so already.
    Unchanged,
    /// It was refused.
    Refused(Refusal),
}
