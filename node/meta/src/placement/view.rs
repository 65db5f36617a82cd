//! State and observation side by side, with the loads counted once.

use super::observed::{GroupObserved, NodeObserved, Observed};
use super::step::{Effect, Step};
use crate::limits::CAUGHT_UP_ENTRIES;
use crate::state::MetaState;
use crate::stored::v1::{GroupId, GroupRecord, MoveStage, NodeState};
use std::collections::BTreeSet;
use twinscale_protocol::{NodeNumber, ZoneName};

/// What the planner looks at.
pub(super) struct View<'a> {
    pub(super) state: &'a MetaState,
    pub(super) observed: &'a Observed,
    /// Replicas of shards by node, as they will be when the moves under way have ended.
    loads: Vec<u32>,
}

impl<'a> View<'a> {
    pub(super) fn new(state: &'a MetaState, observed: &'a Observed) -> Self {
        let mut loads = vec![0; state.nodes().len() + 1];
        for (id, group) in state.groups() {
            if id == GroupId::Meta {
                continue;
            }
            for node in expected_voters(group) {
                if let Some(load) = load_mut(&mut loads, node) {
                    *load += 1;
                }
            }
        }
        Self {
            state,
            observed,
            loads,
        }
    }

    pub(super) fn load(&self, node: NodeNumber) -> u32 {
        let index = usize::try_from(node.0).unwrap_or(usize::MAX);
        self.loads.get(index).copied().unwrap_or_default()
    }

    pub(super) fn node(&self, node: NodeNumber) -> Option<&'a NodeObserved> {
        self.observed.nodes.get(&node)
    }

    pub(super) fn is_alive(&self, node: NodeNumber) -> bool {
        self.node(node).is_some_and(|seen| seen.alive)
    }

    /// Tells whether a node may take replicas and lead: it serves and is heard.
    pub(super) fn is_open(&self, node: NodeNumber) -> bool {
        self.state.node_state(node) == Some(NodeState::Serving) && self.is_alive(node)
    }

    /// Tells whether a voter must be replaced: its node drains, died or is gone.
    pub(super) fn must_leave(&self, node: NodeNumber) -> bool {
        let stays = [Some(NodeState::Serving), Some(NodeState::Joining)];
        !stays.contains(&self.state.node_state(node))
    }

    pub(super) fn group(&self, group: GroupId) -> Option<&'a GroupObserved> {
        self.observed.groups.get(&group)
    }

    pub(super) fn is_busy(&self, group: GroupId) -> bool {
        self.observed.busy.contains_key(&group)
    }

    pub(super) fn zone(&self, node: NodeNumber) -> Option<&'a ZoneName> {
        self.state.node(node).map(|node| &node.facts.zone)
    }

    /// Counts the voters that are heard.
    pub(super) fn alive_of<'v>(&self, voters: impl IntoIterator<Item = &'v NodeNumber>) -> usize {
        let alive = voters.into_iter().filter(|node| self.is_alive(**node));
        alive.count()
    }

    pub(super) fn has_majority(&self, voters: &[NodeNumber]) -> bool {
        self.alive_of(voters) * 2 > voters.len()
    }

    /// Tells whether a majority of the voters is heard and has a replica: a voter that was down when its
    /// group began has none, and counts for nothing until it made one.
    pub(super) fn holds_majority(&self, seen: &GroupObserved, voters: &[NodeNumber]) -> bool {
        let holds = |node: &&NodeNumber| self.is_alive(**node) && seen.held_by.contains(*node);
        voters.iter().filter(holds).count() * 2 > voters.len()
    }

    /// Nodes that may take replicas.
    pub(super) fn open_nodes(&self) -> impl Iterator<Item = NodeNumber> {
        self.state
            .nodes()
            .iter()
            .map(|node| node.number)
            .filter(|node| self.is_open(*node))
    }

    /// A step on a group.
    pub(super) fn carry(&self, group: GroupId, effect: Effect) -> Step {
        let number = self.state.group(group).map_or(0, |record| record.last_move);
        Step::Carry {
            group,
            number,
            effect,
        }
    }
}

/// The voters of a group once the move under way has ended.
pub(super) fn expected_voters(group: &GroupRecord) -> Vec<NodeNumber> {
    match &group.under_way {
        Some(one) if one.stage != MoveStage::RollBack => group.goal(),
        _ => group.voters.clone(),
    }
}

fn load_mut(loads: &mut [u32], node: NodeNumber) -> Option<&mut u32> {
    loads.get_mut(usize::try_from(node.0).ok()?)
}

impl GroupObserved {
    /// Tells whether the committed voters are these, and no joint change is under way.
    pub(super) fn has_voters(&self, voters: &[NodeNumber]) -> bool {
        match self.voters.as_slice() {
            [one] => one.iter().eq(voters),
            _ => false,
        }
    }

    pub(super) fn is_joint(&self) -> bool {
        self.voters.len() > 1
    }

    /// Tells whether a learner or voter caught up.
    pub(super) fn is_caught_up(&self, node: NodeNumber) -> bool {
        let learner = self.learners.get(&node).map(|progress| progress.lag);
        let lag = learner.or_else(|| self.lag.get(&node).copied());
        lag.is_some_and(|lag| lag <= CAUGHT_UP_ENTRIES)
    }

    /// Every node that the membership names.
    pub(super) fn members(&self) -> BTreeSet<NodeNumber> {
        let voters = self.voters.iter().flatten();
        voters.chain(self.learners.keys()).copied().collect()
    }
}
