//! First placement and foundation of shards, and majorities.

use super::apply::{Change, DONE, SAME};
use super::{MetaState, Refusal};
use crate::limits::SHARDS_PER_COMMAND_MAX;
use crate::stored::v1::{GroupId, NodeState, Placement};
use std::collections::BTreeSet;
use twinscale_protocol::{NodeNumber, ShardId};

impl MetaState {
    pub(super) fn apply_placements(&mut self, placements: &[Placement]) -> Change {
        check_shards(placements.iter().map(|placement| placement.shard))?;
        let expected = self.cluster().map_or(0, |cluster| cluster.nodes_expected);
        let mut fresh = false;
        for placement in placements {
            fresh |= self.check_placement(placement, u32::from(expected))?;
        }
        for placement in placements {
            let group = self.group_mut(GroupId::Shard(placement.shard))?;
            if group.voters.is_empty() {
                group.voters.clone_from(&placement.voters);
                group.version = group.version.saturating_add(1);
            }
        }
        if fresh { DONE } else { SAME }
    }

    /// Checks a placement; `true` when it brings something new.
    fn check_placement(&self, placement: &Placement, expected: u32) -> Result<bool, Refusal> {
        let shard = placement.shard;
        let id = GroupId::Shard(shard);
        let group = self.group(id).ok_or(Refusal::UnknownGroup { group: id })?;
        if !group.voters.is_empty() {
            let same = group.voters == placement.voters;
            return if same {
                Ok(false)
            } else {
                Err(Refusal::AlreadyPlaced { shard })
            };
        }
        let serving = self.serving();
        if serving < expected {
            return Err(Refusal::NodesMissing { serving, expected });
        }
        let replication = self.record.settings.replication;
        let sound = placement.voters.len() == usize::from(replication)
            && placement.voters.is_sorted_by(|one, next| one < next);
        if !sound {
            let given = u32::try_from(placement.voters.len()).unwrap_or(u32::MAX);
            return Err(Refusal::PlacementSize {
                shard,
                given,
                replication,
            });
        }
        for node in &placement.voters {
            self.check_serving(*node)?;
        }
        Ok(true)
    }

    pub(super) fn apply_founded(&mut self, shards: &[ShardId]) -> Change {
        check_shards(shards.iter().copied())?;
        for shard in shards {
            let group = GroupId::Shard(*shard);
            let record = self.group(group).ok_or(Refusal::UnknownGroup { group })?;
            if record.voters.is_empty() {
                return Err(Refusal::NotFounded { group });
            }
        }
        let mut change = SAME;
        for shard in shards {
            let group = self.group_mut(GroupId::Shard(*shard))?;
            if !group.founded {
                group.founded = true;
                group.version = group.version.saturating_add(1);
                change = DONE;
            }
        }
        change
    }

    /// Checks that replicas may move to a node.
    pub(super) fn check_serving(&self, node: NodeNumber) -> Result<(), Refusal> {
        match self.node_state(node) {
            Some(NodeState::Serving) => Ok(()),
            Some(state) => Err(Refusal::NodeNotServing { node, state }),
            None => Err(Refusal::UnknownNode { node }),
        }
    }

    /// Counts the voters that are neither dead nor among `lost`.
    pub(super) fn live_voters(&self, voters: &[NodeNumber], lost: &[NodeNumber]) -> usize {
        let gone = |node: &NodeNumber| {
            let state = self.node_state(*node);
            lost.contains(node)
                || matches!(
                    state,
                    None | Some(NodeState::Dead | NodeState::Decommissioned)
                )
        };
        voters.iter().filter(|node| !gone(node)).count()
    }

    /// Finds the first group of a node that has no majority without the nodes in `lost`. While voters
    /// are replaced, both sets need one.
    pub(super) fn first_without_majority(
        &self,
        node: NodeNumber,
        lost: &[NodeNumber],
    ) -> Option<(GroupId, u32, u32)> {
        self.groups().find_map(|(id, group)| {
            let goal = group.goal();
            let sets = [&group.voters, &goal];
            let short = sets.into_iter().find(|voters| {
                voters.contains(&node) && self.live_voters(voters, lost) * 2 <= voters.len()
            })?;
            let live = u32::try_from(self.live_voters(short, lost)).unwrap_or(u32::MAX);
            Some((id, live, u32::try_from(short.len()).unwrap_or(u32::MAX)))
        })
    }
}

fn check_shards(shards: impl ExactSizeIterator<Item = ShardId>) -> Result<(), Refusal> {
    let given = shards.len();
    let different = shards.collect::<BTreeSet<ShardId>>().len();
    if (1..=SHARDS_PER_COMMAND_MAX).contains(&given) && different == given {
        return Ok(());
    }
    let given = u32::try_from(given).unwrap_or(u32::MAX);
    Err(Refusal::ShardsPerCommand { given })
}
