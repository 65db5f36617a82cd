//! Pictures of the cluster, as they travel and as programs get them.

use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use twinscale_protocol::{NodeId, NodeNumber, ShardId, ZoneName};

/// Who made a picture.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SeenBy {
    /// The node that made it.
    pub node: NodeNumber,
    /// Who leads group 0; `None` = no leader answered, and the picture is what the node itself knows: it may
    /// be old, and tells nothing of replicas.
    pub meta_leader: Option<NodeNumber>,
    /// When, by the clock of that node; milliseconds since 1970.
    pub at_unix_ms: u64,
}

/// All nodes that there are, and those that left within memory.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct MembersReply {
    /// Who says so.
    pub seen_by: SeenBy,
    /// The nodes, ascending by number.
    pub members: Vec<MemberLine>,
}

/// A node.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct MemberLine {
    /// Its number.
    pub number: NodeNumber,
    /// Its name.
    pub name: NodeId,
    /// Where it stands.
    pub zone: ZoneName,
    /// What group 0 says that it is.
    pub state: MemberState,
    /// What an operator wants of it.
    pub wish: MemberWish,
    /// Whether gossip hears it.
    pub heard: Heard,
    /// Since when gossip hears it, or does not; milliseconds since 1970.
    pub heard_since_unix_ms: Option<u64>,
    /// How often it was seen to die since the node that says so started.
    pub deaths: u64,
    /// Where other nodes reach it.
    pub peer_address: String,
    /// Where clients reach it.
    pub api_address: String,
    /// Its software version.
    pub software: String,
    /// Which start of it.
    pub incarnation: u64,
    /// Twins alive on it, as it says.
    pub twins: Option<u32>,
    /// Share of its processors in use, in thousandths.
    pub cpu_per_mille: Option<u32>,
    /// Its part in group 0.
    pub meta: MetaPart,
    /// Replicas of groups that it holds or is about to, by the shard map.
    pub replicas: u32,
    /// Shards that it leads, as it reports.
    pub leads: Option<u32>,
    /// How far its clock is ahead of the clock of the node that asked it, in milliseconds.
    pub clock_offset_ms: Option<i64>,
    /// How long its certificate is valid still.
    pub certificate: Option<Certificate>,
    /// Why it did not answer, where it did not.
    pub silent: Option<String>,
}

/// What group 0 says that a node is.
///
/// Invariant: variants travel by their place, so new ones come last.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum MemberState {
    /// Admitted, not yet ready.
    Joining,
    /// Takes replicas and leads.
    Serving,
    /// Is being emptied.
    Draining,
    /// Holds nothing and never comes back.
    Decommissioned,
    /// Not heard for the grace period.
    Dead,
}

/// What an operator wants of a node.
///
/// Invariant: variants travel by their place, so new ones come last.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum MemberWish {
    /// To serve.
    Serve,
    /// To be empty.
    Drain,
    /// To leave for good.
    Leave,
}

/// Whether gossip hears a node.
///
/// Invariant: variants travel by their place, so new ones come last.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Heard {
    /// It is heard from.
    Alive,
    /// It was alive and is silent.
    Dead,
    /// It said that it leaves.
    Left,
    /// It was never heard, or is forgotten.
    Never,
}

/// The part of a node in group 0.
///
/// Invariant: variants travel by their place, so new ones come last.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum MetaPart {
    /// None.
    None,
    /// It copies and has no vote.
    Learner,
    /// It votes.
    Voter,
    /// It leads.
    Leader,
}

/// How long a certificate is valid still.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Certificate {
    /// The first end of a validity, of the node's certificate and the authorities that it trusts; seconds
    /// since 1970.
    pub not_after: i64,
    /// How urgent a new one is.
    pub level: CertificateLevel,
}

/// How urgent a new certificate is.
///
/// Invariant: variants travel by their place, so new ones come last.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum CertificateLevel {
    /// More than a fifth of the validity is left.
    Fine,
    /// A fifth or less is left.
    Soon,
    /// A twentieth or less is left.
    Urgent,
    /// Nothing is left.
    Expired,
}

/// Group 0 and the shards.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ShardsReply {
    /// Who says so.
    pub seen_by: SeenBy,
    /// Names of the nodes that the lines name.
    pub names: BTreeMap<NodeNumber, NodeId>,
    /// Group 0 first, then the shards in order.
    pub shards: Vec<ShardLine>,
}

/// A group.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ShardLine {
    /// The shard; `None` is group 0.
    pub shard: Option<ShardId>,
    /// Who votes, by the shard map.
    pub voters: Vec<NodeNumber>,
    /// Who copies and has no vote.
    pub learners: Vec<NodeNumber>,
    /// Who leads.
    pub leader: Option<NodeNumber>,
    /// The term in which it does.
    pub term: Option<u64>,
    /// Voters that hold their replica and answer.
    pub answering: u32,
    /// What that means.
    pub health: GroupHealth,
    /// By how many entries the voter farthest behind lags; `None` = nobody says, or a voter does not answer.
    pub lag: Option<u64>,
    /// The move under way.
    pub moving: Option<MoveLine>,
}

/// How sound a group is.
///
/// Invariant: variants travel by their place, so new ones come last; ascending by how bad it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum GroupHealth {
    /// All voters answer and one leads.
    Sound,
    /// A majority answers and one leads; a voter is missing.
    Degraded,
    /// It is not placed or founded yet.
    Unfounded,
    /// Nobody says that he leads it.
    NoLeader,
    /// No majority of its voters answers: it serves nobody.
    NoMajority,
    /// No leader of group 0 answers, and without one nobody knows.
    Unknown,
}

/// A move under way.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct MoveLine {
    /// Its number in the cluster.
    pub number: u64,
    /// Nodes that become voters.
    pub add: Vec<NodeNumber>,
    /// Nodes that cease to be voters.
    pub remove: Vec<NodeNumber>,
    /// How far it is.
    pub stage: String,
    /// What for.
    pub reason: String,
    /// What it waits for.
    pub waits: String,
    /// When it began; milliseconds since 1970.
    pub started_unix_ms: u64,
}

/// The schema gate.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SchemaReply {
    /// Who says so.
    pub seen_by: SeenBy,
    /// The schema up to which commands may be proposed.
    pub gate: u32,
    /// The nodes that may apply them, ascending by number.
    pub nodes: Vec<SchemaLine>,
}

/// The schemas that a node's program knows.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SchemaLine {
    /// Its number.
    pub number: NodeNumber,
    /// Its name.
    pub name: NodeId,
    /// What group 0 says that it is.
    pub state: MemberState,
    /// Its software version.
    pub software: String,
    /// The oldest schema.
    pub oldest: u32,
    /// The newest schema.
    pub newest: u32,
}

/// What was done to the cluster, newest last.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AuditReply {
    /// Who says so.
    pub seen_by: SeenBy,
    /// Commands that were ever audited; older ones than those that are kept are only counted.
    pub audited: u64,
    /// The commands.
    pub records: Vec<AuditLine>,
}

/// An audited command.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AuditLine {
    /// Its number, from 1.
    pub number: u64,
    /// When, by the clock of who led group 0; milliseconds since 1970.
    pub at_unix_ms: u64,
    /// Who: `operator/NAME`, `node/NUMBER` or `planner`.
    pub by: String,
    /// What, such as `drain-node`.
    pub what: String,
    /// The node that it was about.
    pub node: Option<NodeNumber>,
    /// Its name.
    pub node_name: Option<NodeId>,
    /// The group that it was about: `group 0` or `shard N`.
    pub group: Option<String>,
    /// The value that it set.
    pub value: Option<u64>,
    /// `applied`, `unchanged` or `refused`.
    pub outcome: String,
    /// Why it was refused.
    pub reason: Option<String>,
}

#[cfg(test)]
mod tests;
