//! What group 0 keeps: plain integers, changed only by applying committed commands.
//!
//! Invariants: [`MetaState::apply`] is total and reads nothing but state and command; the same commands
//! give the same bytes everywhere; a refused command changes nothing but the audit. Every collection
//! has a bound of [`crate::limits`]. Not here: which command is wise ([`crate::next_step`]).

mod apply;
mod audit;
mod groups;
mod leave;
mod moves;
mod nodes;
mod refusal;
mod settings;
mod snapshot;
mod weights;

pub use apply::{Applied, Outcome};
pub use refusal::Refusal;
pub use snapshot::RestoreError;
pub use weights::id_of_digest;

use crate::stored::v1::{
    AuditRecord, Catalogue, Cluster, Defaults, GroupId, GroupRecord, MetaRecord, Move, MoveStage,
    NodeRecord, NodeState, Settings, ShardCount,
};
use crate::stored::v2::WeightsRecord;
use twinscale_protocol::{NodeNumber, ShardId};

/// What group 0 keeps.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct MetaState {
    record: MetaRecord,
    /// Stored with the rest once a command changed it.
    weights: WeightsRecord,
}

impl MetaState {
    /// What was fixed when the cluster was created, once it was.
    pub fn cluster(&self) -> Option<&Cluster> {
        self.record.cluster.as_ref()
    }

    /// The number of shards, once the cluster was created.
    pub fn shard_count(&self) -> Option<ShardCount> {
        self.cluster().map(|cluster| cluster.shard_count)
    }

    /// The schema gate: commands of a newer schema are refused.
    pub fn schema(&self) -> u32 {
        self.record.schema
    }

    /// All nodes ever, ascending by number.
    pub fn nodes(&self) -> &[NodeRecord] {
        &self.record.nodes
    }

    /// A node.
    pub fn node(&self, number: NodeNumber) -> Option<&NodeRecord> {
        self.record.nodes.get(node_index(number)?)
    }

    /// The state of a node, if it is known.
    pub fn node_state(&self, number: NodeNumber) -> Option<NodeState> {
        self.node(number).map(|node| node.state)
    }

    /// A group: group 0 or a shard's.
    pub fn group(&self, group: GroupId) -> Option<&GroupRecord> {
        match group {
            GroupId::Meta => Some(&self.record.meta),
            GroupId::Shard(shard) => self.record.shards.get(usize::try_from(shard.0).ok()?),
        }
    }

    /// All groups, group 0 first, then the shards in order.
    pub fn groups(&self) -> impl Iterator<Item = (GroupId, &GroupRecord)> {
        let shards = (0..).map(|shard| GroupId::Shard(ShardId(shard)));
        std::iter::once((GroupId::Meta, &self.record.meta)).chain(shards.zip(&self.record.shards))
    }

    /// Settings in force.
    pub fn settings(&self) -> Settings {
        self.record.settings
    }

    /// Defaults of policies.
    pub fn defaults(&self) -> &Defaults {
        &self.record.defaults
    }

    /// The catalogue of instances in force.
    pub fn catalogue(&self) -> Catalogue {
        self.record.catalogue
    }

    /// The newest audited commands, ascending.
    pub fn audit(&self) -> impl Iterator<Item = &AuditRecord> {
        self.record.audit.iter()
    }

    /// Commands that were ever audited.
    pub fn audited(&self) -> u64 {
        self.record.audited
    }

    /// Entries that were refused unread.
    pub fn unread(&self) -> u64 {
        self.record.unread
    }

    /// Moves that ended as planned, and moves that were rolled back.
    pub fn moves_ended(&self) -> (u64, u64) {
        (self.record.moves_finished, self.record.moves_rolled_back)
    }

    /// Counts the groups in which a node is a voter or is about to become or cease to be one.
    pub fn replicas_of(&self, node: NodeNumber) -> u32 {
        let held = self.groups().filter(|(_, group)| group.names(node));
        u32::try_from(held.count()).unwrap_or(u32::MAX)
    }

    pub(crate) fn serving(&self) -> u32 {
        let serving = self
            .nodes()
            .iter()
            .filter(|node| node.state == NodeState::Serving);
        u32::try_from(serving.count()).unwrap_or(u32::MAX)
    }

    /// Forgets which nodes groups avoid; on a copy, to plan what would be tried without it.
    pub(crate) fn forgive(&mut self) {
        self.record.meta.avoided.clear();
        for group in &mut self.record.shards {
            group.avoided.clear();
        }
    }

    #[cfg(test)]
    pub(crate) fn into_record(self) -> MetaRecord {
        self.record
    }

    #[cfg(test)]
    pub(crate) fn from_record(record: MetaRecord) -> Self {
        Self {
            record,
            weights: WeightsRecord::default(),
        }
    }

    fn node_mut(&mut self, number: NodeNumber) -> Result<&mut NodeRecord, Refusal> {
        node_index(number)
            .and_then(|index| self.record.nodes.get_mut(index))
            .ok_or(Refusal::UnknownNode { node: number })
    }

    fn group_mut(&mut self, group: GroupId) -> Result<&mut GroupRecord, Refusal> {
        let found = match group {
            GroupId::Meta => Some(&mut self.record.meta),
            GroupId::Shard(shard) => usize::try_from(shard.0)
                .ok()
                .and_then(|index| self.record.shards.get_mut(index)),
        };
        found.ok_or(Refusal::UnknownGroup { group })
    }
}

impl GroupRecord {
    /// The voters after the move under way; without one, the voters.
    pub fn goal(&self) -> Vec<NodeNumber> {
        self.under_way.as_ref().map_or_else(
            || self.voters.clone(),
            |one| self.goal_of(&one.add, &one.remove),
        )
    }

    /// The voters once the given nodes were added and removed, ascending.
    pub(crate) fn goal_of(&self, add: &[NodeNumber], remove: &[NodeNumber]) -> Vec<NodeNumber> {
        let stay = self.voters.iter().filter(|node| !remove.contains(node));
        let mut goal: Vec<NodeNumber> = stay.chain(add).copied().collect();
        goal.sort_unstable();
        goal.dedup();
        goal
    }

    /// Replicas without a vote: new ones that copy, or old ones that are about to go.
    pub fn learners(&self) -> &[NodeNumber] {
        match &self.under_way {
            Some(Move {
                stage: MoveStage::CleanUp,
                remove,
                ..
            }) => remove,
            Some(one) => &one.add,
            None => &[],
        }
    }

    /// Tells whether a node is a voter, or part of the move under way.
    pub fn names(&self, node: NodeNumber) -> bool {
        self.voters.contains(&node) || self.learners().contains(&node)
    }
}

fn node_index(number: NodeNumber) -> Option<usize> {
    usize::try_from(number.0).ok()?.checked_sub(1)
}

#[cfg(test)]
mod tests;
