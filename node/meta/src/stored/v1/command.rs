//! The commands of group 0.

use super::ids::{DiskId, GroupId, ShardCount, UnixMillis};
use super::record::{MoveReason, MoveStage};
use crate::limits::{REPLICATION_DEFAULT, SHARDS_DEFAULT};
use crate::stored::v2::{self, WeightsCommand};
use serde::{Deserialize, Serialize};
use twinscale_protocol::{AccountName, ClusterId, NodeId, NodeNumber, Seconds, ShardId, ZoneName};

/// A command with who proposed it, when, and in which schema.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct MetaEntry {
    /// The schema that the command needs.
    pub schema: u32,
    /// Who.
    pub by: By,
    /// When, by the proposer's clock.
    pub at: UnixMillis,
    /// What.
    pub command: MetaCommand,
}

/// Who proposed a command.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum By {
    /// A person, by the name in the certificate.
    Operator(AccountName),
    /// A node, for itself.
    Node(NodeNumber),
    /// The planner on the leader of group 0.
    Planner,
}

/// What can happen to the cluster.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum MetaCommand {
    /// Creates the cluster with its first node.
    CreateCluster(Creation),
    /// Admits a node, or one that comes back.
    JoinNode {
        /// What the node says of itself.
        facts: NodeFacts,
        /// The number that it found in its data directory.
        claims: Option<NodeNumber>,
    },
    /// Notes that a node is up and ready.
    NoteServing {
        /// The node.
        node: NodeNumber,
        /// The start that was observed.
        incarnation: u64,
    },
    /// Notes that a node was not heard for the grace period; its replicas are replaced.
    NoteDead {
        /// The node.
        node: NodeNumber,
        /// The start that was last observed.
        incarnation: u64,
    },
    /// Empties a node for maintenance.
    DrainNode {
        /// The node.
        node: NodeNumber,
    },
    /// Lets a drained node serve again.
    FillNode {
        /// The node.
        node: NodeNumber,
    },
    /// Empties a node and then takes it out for good.
    DecommissionNode {
        /// The node.
        node: NodeNumber,
        /// Nodes that do not answer the proposer now.
        unreachable: Vec<NodeNumber>,
    },
    /// Takes out a node that is gone already; its replicas are replaced without it.
    RemoveNode {
        /// The node.
        node: NodeNumber,
        /// Nodes that do not answer the proposer now.
        unreachable: Vec<NodeNumber>,
    },
    /// Ends the decommission of a node that holds nothing any more.
    FinishDecommission {
        /// The node.
        node: NodeNumber,
    },
    /// Gives shards their first voters.
    PlaceShards {
        /// The shards, each once.
        placements: Vec<Placement>,
    },
    /// Notes shards whose groups were seen to exist; they are never founded again.
    NoteFounded {
        /// The shards.
        shards: Vec<ShardId>,
    },
    /// Starts to move replicas of a group.
    StartMove {
        /// The group.
        group: GroupId,
        /// The version of its record that the move was planned from.
        version: u64,
        /// Nodes that become voters.
        add: Vec<NodeNumber>,
        /// Nodes that cease to be voters.
        remove: Vec<NodeNumber>,
        /// What for.
        reason: MoveReason,
    },
    /// Notes that a move reached a stage.
    AdvanceMove {
        /// The group.
        group: GroupId,
        /// The move's number.
        number: u64,
        /// The stage.
        to: MoveStage,
    },
    /// Notes that a move is over.
    FinishMove {
        /// The group.
        group: GroupId,
        /// The move's number.
        number: u64,
    },
    /// Changes a setting.
    ChangeSetting(Setting),
    /// Replaces the defaults of policies, if their version is still the one that was read.
    SetDefaults {
        /// The version that is replaced.
        version: u64,
        /// As the configuration encodes them.
        bytes: Vec<u8>,
    },
    /// Names the catalogue of instances in force.
    SetCatalogue(Catalogue),
    /// Lets commands of a newer schema in.
    RaiseSchema {
        /// The schema.
        to: u32,
    },
    /// Changes the register of weights (schema 2).
    Weights(WeightsCommand),
}

impl MetaCommand {
    /// The schema that it needs: while the gate is below, it is not proposed.
    pub const fn schema(&self) -> u32 {
        // Each kind by name, so that a new one must say its own.
        match self {
            Self::CreateCluster(_)
            | Self::JoinNode { .. }
            | Self::NoteServing { .. }
            | Self::NoteDead { .. }
            | Self::DrainNode { .. }
            | Self::FillNode { .. }
            | Self::DecommissionNode { .. }
            | Self::RemoveNode { .. }
            | Self::FinishDecommission { .. }
            | Self::PlaceShards { .. }
            | Self::NoteFounded { .. }
            | Self::StartMove { .. }
            | Self::AdvanceMove { .. }
            | Self::FinishMove { .. }
            | Self::ChangeSetting(_)
            | Self::SetDefaults { .. }
            | Self::SetCatalogue(_)
            | Self::RaiseSchema { .. } => super::SCHEMA,
            Self::Weights(
                WeightsCommand::Register(_)
                | WeightsCommand::Drop { .. }
                | WeightsCommand::Shadow { .. }
                | WeightsCommand::Promote { .. }
                | WeightsCommand::RollBack { .. }
                | WeightsCommand::EndTrial { .. }
                | WeightsCommand::NoteRetraining(_),
            ) => v2::SCHEMA,
        }
    }
}

/// What is fixed, or first set, when a cluster is created.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Creation {
    /// The cluster's id.
    pub cluster: ClusterId,
    /// Shards, for ever.
    pub shard_count: u32,
    /// Replicas of each shard; odd.
    pub replication: u8,
    /// Nodes that must serve before shards are placed.
    pub nodes_expected: u16,
    /// The schema gate to begin with.
    pub schema: u32,
    /// The first node.
    pub first_node: NodeFacts,
}

impl Creation {
    /// The usual creation of a cluster of so many nodes.
    pub fn new(cluster: ClusterId, first_node: NodeFacts, nodes_expected: u16) -> Self {
        let replication = if nodes_expected >= 3 {
            REPLICATION_DEFAULT
        } else {
            1
        };
        Self {
            cluster,
            shard_count: SHARDS_DEFAULT,
            replication,
            nodes_expected,
            schema: super::SCHEMA,
            first_node,
        }
    }

    /// The number of shards, if it is allowed.
    pub fn shards(&self) -> Option<ShardCount> {
        ShardCount::new(self.shard_count)
    }
}

/// What a node says of itself when it starts.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct NodeFacts {
    /// Its name, for ever.
    pub name: NodeId,
    /// Its data directory.
    pub disk: DiskId,
    /// How often it was started on this directory.
    pub incarnation: u64,
    /// Where other nodes reach it.
    pub peer_address: String,
    /// Where clients reach it.
    pub api_address: String,
    /// Where it stands.
    pub zone: ZoneName,
    /// Its software version.
    pub software: String,
    /// The schemas that it can apply.
    pub schema: SchemaRange,
}

/// The schemas that a node can apply.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SchemaRange {
    /// The oldest gate under which it works.
    pub oldest: u32,
    /// The newest.
    pub newest: u32,
}

impl SchemaRange {
    /// Whether it holds a schema.
    pub const fn holds(self, schema: u32) -> bool {
        self.oldest <= schema && schema <= self.newest
    }
}

/// The first voters of a shard.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Placement {
    /// The shard.
    pub shard: ShardId,
    /// Its voters, ascending.
    pub voters: Vec<NodeNumber>,
}

/// A setting of the cluster.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Setting {
    /// Replicas of each shard; odd.
    Replication(u8),
    /// Moves that go on at the same time.
    MovesAtOnce(u16),
    /// For how long a node is not heard before its replicas are replaced.
    DeadAfter(Seconds),
    /// The number of shards: refused, it is fixed.
    ShardCount(u32),
}

/// The catalogue of instances in force; its content is kept elsewhere.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Catalogue {
    /// Rises with each change.
    pub version: u64,
    /// SHA-256 of the content.
    pub digest: [u8; 32],
}
