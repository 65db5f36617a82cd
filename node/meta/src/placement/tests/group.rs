//! A group that changes its members the way consensus does, seen from outside.

use crate::placement::{Effect, LearnerProgress};
use std::collections::{BTreeMap, BTreeSet};
use twinscale_protocol::{NodeNumber, Seconds};

#[derive(Clone, Debug, Default)]
pub(crate) struct SimGroup {
    pub(crate) voters: Vec<BTreeSet<NodeNumber>>,
    pub(crate) learners: BTreeMap<NodeNumber, LearnerProgress>,
    pub(crate) index: u64,
    pub(crate) leader: Option<NodeNumber>,
    /// Replicas by the number under which they were made.
    pub(crate) held: BTreeMap<NodeNumber, u64>,
    /// What nodes remember of replicas that they deleted.
    pub(crate) dropped: BTreeMap<NodeNumber, u64>,
    /// Deletions that the leader let through and that travel to their node.
    pub(crate) to_drop: Vec<(NodeNumber, u64)>,
}

impl SimGroup {
    /// Carries an effect out, if the group takes it.
    pub(crate) fn carry(&mut self, number: u64, effect: &Effect, alive: &BTreeSet<NodeNumber>) {
        match effect {
            Effect::Found { voters } => found(self, voters, number, alive),
            Effect::MakeReplica { node } => make(self, *node, number, alive),
            Effect::AddLearners {
                learners,
                at_membership,
            } => {
                for node in learners {
                    make(self, *node, number, alive);
                }
                if accepts(self, *at_membership) {
                    self.index += 1;
                    // Only those that answered: an older replica may be about to be deleted.
                    let answered = |node: &&NodeNumber| {
                        self.held.get(node).is_some_and(|made| *made >= number)
                    };
                    let ready = learners.iter().filter(answered);
                    let fresh = LearnerProgress {
                        lag: 5_000,
                        stalled_for: Seconds(0),
                    };
                    self.learners.extend(ready.map(|node| (*node, fresh)));
                }
            }
            Effect::ChangeVoters {
                voters,
                at_membership,
            } => {
                if accepts(self, *at_membership) {
                    self.index += 1;
                    let next: BTreeSet<NodeNumber> = voters.iter().copied().collect();
                    for node in &next {
                        self.learners.remove(node);
                    }
                    let old = self.voters[0].clone();
                    self.voters = if old == next {
                        vec![next]
                    } else {
                        vec![old, next]
                    };
                }
            }
            Effect::RemoveLearners {
                learners,
                at_membership,
            } => {
                if accepts(self, *at_membership) {
                    self.index += 1;
                    self.learners.retain(|node, _| !learners.contains(node));
                }
            }
            Effect::DropReplica {
                node,
                made_up_to,
                at_membership,
            } => {
                let member = self.voters.iter().flatten().any(|voter| voter == node)
                    || self.learners.contains_key(node);
                if !accepts(self, *at_membership) || member {
                    return;
                }
                self.index += 1;
                self.to_drop.push((*node, *made_up_to));
            }
            Effect::TransferLeader { to } => {
                let can = self.voters.last().is_some_and(|set| set.contains(to));
                if self.leader.is_some() && can && alive.contains(to) {
                    self.leader = Some(*to);
                }
            }
        }
    }
}

/// The oldest deletion reaches its node, or gets lost when the node is down.
pub(crate) fn arrive_drop(group: &mut SimGroup, alive: &BTreeSet<NodeNumber>) {
    if group.to_drop.is_empty() {
        return;
    }
    let (node, made_up_to) = group.to_drop.remove(0);
    if alive.contains(&node) {
        drop_replica(group, node, made_up_to);
    }
}

/// Ends a joint change; the voters that leave may stay as learners.
pub(crate) fn end_joint(group: &mut SimGroup, keep: bool) {
    let [old, next] = group.voters.as_slice() else {
        return;
    };
    for node in old.difference(next).filter(|_| keep) {
        group.learners.insert(*node, LearnerProgress::default());
    }
    group.voters = vec![next.clone()];
    group.leader = group
        .leader
        .filter(|leader| group.voters[0].contains(leader));
    group.index += 1;
}

/// A leader takes an effect that rests on its membership; its group must be able to commit.
fn accepts(group: &SimGroup, at_membership: u64) -> bool {
    group.leader.is_some() && group.index == at_membership
}

fn make(group: &mut SimGroup, node: NodeNumber, number: u64, alive: &BTreeSet<NodeNumber>) {
    let deleted = group.dropped.get(&node).is_some_and(|mark| number <= *mark);
    if alive.contains(&node) && !deleted {
        let made = group.held.entry(node).or_default();
        *made = number.max(*made);
    }
}

fn found(group: &mut SimGroup, voters: &[NodeNumber], number: u64, alive: &BTreeSet<NodeNumber>) {
    for node in voters {
        make(group, *node, number, alive);
    }
    if group.voters.is_empty() {
        group.voters = vec![voters.iter().copied().collect()];
        group.index = 1;
    }
}

fn drop_replica(group: &mut SimGroup, node: NodeNumber, made_up_to: u64) {
    if group.held.get(&node).is_none_or(|made| *made <= made_up_to) {
        let member = group.voters.iter().flatten().any(|voter| *voter == node);
        assert!(!member, "the replica of voter {node} is deleted");
        assert!(
            !group.learners.contains_key(&node),
            "the replica of learner {node} is deleted"
        );
        group.held.remove(&node);
        let mark = group.dropped.entry(node).or_default();
        *mark = made_up_to.max(*mark);
    }
}
