//! Driving the moves under way, one stage after the other.

use super::observed::GroupObserved;
use super::report::Wait;
use super::step::{Effect, Step};
use super::view::View;
use crate::limits::{HAND_OVER_S, STALL_S};
use crate::stored::v1::{GroupId, GroupRecord, MetaCommand, Move, MoveStage, NodeState};
use std::collections::BTreeSet;
use twinscale_protocol::{NodeNumber, Seconds};

/// What a group with a move under way needs, or why it waits.
pub(super) type Driven = Result<Step, Wait>;

/// Finds the first move that can go on.
pub(super) fn step(view: &View<'_>) -> Option<Step> {
    let moving = view
        .state
        .groups()
        .filter(|(_, group)| group.under_way.is_some());
    let mut driven = moving.map(|(id, group)| drive(view, id, group));
    driven.find_map(Result::ok)
}

/// Says what the move of a group needs next.
pub(super) fn drive(view: &View<'_>, id: GroupId, group: &GroupRecord) -> Driven {
    let Some(one) = &group.under_way else {
        return Err(Wait::NothingToDo);
    };
    if view.is_busy(id) {
        return Err(Wait::Carrying);
    }
    let seen = view.group(id).ok_or(Wait::NoReport)?;
    let driving = Driving {
        view,
        id,
        group,
        one,
        seen,
    };
    match one.stage {
        MoveStage::Learn => driving.learn(),
        MoveStage::Replace => driving.replace(),
        MoveStage::CleanUp => driving.clean_up(),
        MoveStage::RollBack => driving.roll_back(),
    }
}

/// A move under way with what was seen of its group.
struct Driving<'a> {
    view: &'a View<'a>,
    id: GroupId,
    group: &'a GroupRecord,
    one: &'a Move,
    seen: &'a GroupObserved,
}

impl Driving<'_> {
    fn learn(&self) -> Driven {
        if !self.targets_serve() {
            return Ok(self.advance(MoveStage::RollBack));
        }
        if self.one.add.is_empty() {
            return Ok(self.advance(MoveStage::Replace));
        }
        self.need_leader()?;
        if self.stalled() {
            return Ok(self.advance(MoveStage::RollBack));
        }
        if let Some(effect) = self.missing_learners() {
            return Ok(effect);
        }
        self.need_caught_up()?;
        Ok(self.advance(MoveStage::Replace))
    }

    fn replace(&self) -> Driven {
        let goal = self.group.goal();
        if self.seen.has_voters(&goal) {
            return Ok(self.advance(MoveStage::CleanUp));
        }
        if self.seen.is_joint() {
            self.need_leader()?;
            return self.change_voters(goal);
        }
        if !self.targets_serve() {
            return Ok(self.advance(MoveStage::RollBack));
        }
        self.need_leader()?;
        if self.stalled() {
            return Ok(self.advance(MoveStage::RollBack));
        }
        if let Some(effect) = self.missing_learners() {
            return Ok(effect);
        }
        self.need_caught_up()?;
        self.need_majority(&self.group.voters)?;
        self.need_majority(&goal)?;
        if let Some(effect) = self.hand_over(&goal) {
            return Ok(effect);
        }
        self.change_voters(goal)
    }

    fn clean_up(&self) -> Driven {
        self.need_leader()?;
        if !self.seen.has_voters(&self.group.voters) {
            return self.change_voters(self.group.voters.clone());
        }
        Ok(self.remove_learners().unwrap_or_else(|| self.finish()))
    }

    fn roll_back(&self) -> Driven {
        let goal = self.group.goal();
        if self.seen.has_voters(&goal) {
            return Ok(self.advance(MoveStage::CleanUp));
        }
        self.need_leader()?;
        if self.seen.is_joint() {
            return self.change_voters(goal);
        }
        Ok(self.remove_learners().unwrap_or_else(|| self.finish()))
    }

    fn advance(&self, to: MoveStage) -> Step {
        Step::Propose(MetaCommand::AdvanceMove {
            group: self.id,
            number: self.one.number,
            to,
        })
    }

    fn finish(&self) -> Step {
        Step::Propose(MetaCommand::FinishMove {
            group: self.id,
            number: self.one.number,
        })
    }

    /// Asks for the voters, if a majority of them is heard and has a replica: the change could not be committed otherwise,
    /// or would be the group's last one.
    fn change_voters(&self, voters: Vec<NodeNumber>) -> Driven {
        self.need_majority(&voters)?;
        let at_membership = self.seen.membership_index;
        let effect = Effect::ChangeVoters {
            voters,
            at_membership,
        };
        Ok(self.view.carry(self.id, effect))
    }

    fn remove_learners(&self) -> Option<Step> {
        let learners: Vec<NodeNumber> = self.seen.learners.keys().copied().collect();
        let at_membership = self.seen.membership_index;
        let effect = Effect::RemoveLearners {
            learners: learners.clone(),
            at_membership,
        };
        (!learners.is_empty()).then(|| self.view.carry(self.id, effect))
    }

    fn missing_learners(&self) -> Option<Step> {
        let members = self.seen.members();
        let missing = self.one.add.iter().filter(|node| !members.contains(node));
        let learners: Vec<NodeNumber> = missing.copied().collect();
        let at_membership = self.seen.membership_index;
        let effect = Effect::AddLearners {
            learners: learners.clone(),
            at_membership,
        };
        (!learners.is_empty()).then(|| self.view.carry(self.id, effect))
    }

    /// Has a leader that is to go hand over first, for a while: a group whose leader removes itself
    /// waits for an election.
    fn hand_over(&self, goal: &[NodeNumber]) -> Option<Step> {
        let leader = self.seen.leader?;
        let late = self
            .view
            .observed
            .now
            .is_past(self.one.stage_at, Seconds(HAND_OVER_S));
        if goal.contains(&leader) || late {
            return None;
        }
        let stays = |node: &&NodeNumber| goal.contains(node) && self.view.is_alive(**node);
        let mut heirs = self.group.voters.iter().filter(stays);
        let to = *heirs.find(|node| self.seen.is_caught_up(**node))?;
        Some(self.view.carry(self.id, Effect::TransferLeader { to }))
    }

    fn targets_serve(&self) -> bool {
        let serves =
            |node: &NodeNumber| self.view.state.node_state(*node) == Some(NodeState::Serving);
        self.one.add.iter().all(serves)
    }

    /// Tells whether a target is not heard, does not copy, or was never made, for too long.
    fn stalled(&self) -> bool {
        let now = self.view.observed.now;
        let limit = Seconds(STALL_S);
        let stage_is_old = now.is_past(self.one.stage_at, limit);
        self.one.add.iter().any(|node| {
            let unheard = match self.view.node(*node) {
                Some(seen) => !seen.alive && now.is_past(seen.since, limit),
                None => stage_is_old,
            };
            let still = match self.seen.learners.get(node) {
                Some(progress) => !self.seen.is_caught_up(*node) && progress.stalled_for >= limit,
                None => stage_is_old,
            };
            unheard || still
        })
    }

    fn need_leader(&self) -> Result<(), Wait> {
        if self.seen.leader.is_some() {
            return Ok(());
        }
        self.need_majority(&self.group.voters)?;
        Err(Wait::NoLeader)
    }

    fn need_majority(&self, voters: &[NodeNumber]) -> Result<(), Wait> {
        if self.view.holds_majority(self.seen, voters) {
            return Ok(());
        }
        let unheard: BTreeSet<NodeNumber> = voters
            .iter()
            .copied()
            .filter(|node| !self.view.is_alive(*node) || !self.seen.held_by.contains(node))
            .collect();
        Err(Wait::NoMajority {
            unheard: unheard.into_iter().collect(),
            voters: voters.len(),
        })
    }

    fn need_caught_up(&self) -> Result<(), Wait> {
        let behind = self
            .one
            .add
            .iter()
            .find(|node| !self.seen.is_caught_up(**node));
        let Some(node) = behind else {
            return Ok(());
        };
        let lag = self
            .seen
            .learners
            .get(node)
            .map_or(u64::MAX, |progress| progress.lag);
        Err(Wait::CatchingUp { node: *node, lag })
    }
}
