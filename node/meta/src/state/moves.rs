//! Moves of replicas: one at a time for each group, each stage noted once.

use super::apply::{Applied, Change, DONE, SAME};
use super::{MetaState, Refusal};
use crate::limits::{AVOID_S, AVOIDED_MAX, MOVE_REPLICAS_MAX, MOVES_MAX};
use crate::stored::v1::{Avoided, GroupId, GroupRecord, Move, MoveReason, MoveStage, UnixMillis};
use twinscale_protocol::{NodeNumber, Seconds};

impl MetaState {
    pub(super) fn apply_move_start(
        &mut self,
        (group, version): (GroupId, u64),
        (add, remove): (&[NodeNumber], &[NodeNumber]),
        reason: MoveReason,
        at: UnixMillis,
    ) -> Change {
        let record = self.group(group).ok_or(Refusal::UnknownGroup { group })?;
        check_idle(group, record, version)?;
        check_members(group, record, add, remove)?;
        for node in add {
            self.check_serving(*node)?;
        }
        let goal = record.goal_of(add, remove);
        let live = self.live_voters(&goal, &[]);
        if live * 2 <= goal.len() {
            let count = |number: usize| u32::try_from(number).unwrap_or(u32::MAX);
            let (live, voters) = (count(live), count(goal.len()));
            return Err(match remove.first() {
                Some(node) => Refusal::WouldLoseQuorum {
                    group,
                    node: *node,
                    live,
                    voters,
                },
                None => Refusal::NoQuorum {
                    group,
                    live,
                    voters,
                },
            });
        }
        if self.moves_under_way() >= MOVES_MAX {
            return Err(Refusal::TooManyMoves);
        }
        self.record.last_move = self.record.last_move.saturating_add(1);
        let number = self.record.last_move;
        let record = self.group_mut(group)?;
        record.version = record.version.saturating_add(1);
        record.last_move = number;
        record.avoided.retain(|avoided| avoided.until > at);
        record.under_way = Some(Move {
            number,
            add: add.to_vec(),
            remove: remove.to_vec(),
            stage: MoveStage::Learn,
            started_at: at,
            stage_at: at,
            reason,
        });
        Ok((Applied::MoveStarted(number), true))
    }

    /// Counts the moves under way.
    pub(crate) fn moves_under_way(&self) -> usize {
        let busy = self.groups().filter(|(_, group)| group.under_way.is_some());
        busy.count()
    }

    pub(super) fn apply_move_stage(
        &mut self,
        group: GroupId,
        number: u64,
        to: MoveStage,
        at: UnixMillis,
    ) -> Change {
        let record = self.group_mut(group)?;
        let goal = record.goal();
        let one = moving(group, record, number)?;
        let from = one.stage;
        if from == to {
            return SAME;
        }
        let allowed = matches!(
            (from, to),
            (MoveStage::Learn, MoveStage::Replace | MoveStage::RollBack)
                | (MoveStage::Replace, MoveStage::CleanUp | MoveStage::RollBack)
                // The change was given up, and took effect all the same.
                | (MoveStage::RollBack, MoveStage::CleanUp)
        );
        if !allowed {
            return Err(Refusal::StageOrder { group, from, to });
        }
        one.stage = to;
        one.stage_at = at;
        let added = one.add.clone();
        match to {
            MoveStage::CleanUp => record.voters = goal,
            MoveStage::RollBack => avoid(record, &added, at),
            MoveStage::Learn | MoveStage::Replace => {}
        }
        record.version = record.version.saturating_add(1);
        DONE
    }

    pub(super) fn apply_move_end(&mut self, group: GroupId, number: u64) -> Change {
        let record = self.group_mut(group)?;
        if record.last_move == number && record.under_way.is_none() {
            return SAME;
        }
        let from = moving(group, record, number)?.stage;
        let rolled_back = match from {
            MoveStage::CleanUp => false,
            MoveStage::RollBack => true,
            MoveStage::Learn | MoveStage::Replace => {
                let to = MoveStage::CleanUp;
                return Err(Refusal::StageOrder { group, from, to });
            }
        };
        record.under_way = None;
        record.version = record.version.saturating_add(1);
        let count = if rolled_back {
            &mut self.record.moves_rolled_back
        } else {
            &mut self.record.moves_finished
        };
        *count = count.saturating_add(1);
        DONE
    }
}

fn avoid(record: &mut GroupRecord, added: &[NodeNumber], at: UnixMillis) {
    let until = at.plus(Seconds(AVOID_S));
    record
        .avoided
        .retain(|avoided| !added.contains(&avoided.node));
    record
        .avoided
        .extend(added.iter().map(|node| Avoided { node: *node, until }));
    let excess = record.avoided.len().saturating_sub(AVOIDED_MAX);
    record.avoided.drain(..excess);
}

fn moving(group: GroupId, record: &mut GroupRecord, number: u64) -> Result<&mut Move, Refusal> {
    record
        .under_way
        .as_mut()
        .filter(|one| one.number == number)
        .ok_or(Refusal::NoSuchMove { group, number })
}

fn check_idle(group: GroupId, record: &GroupRecord, given: u64) -> Result<(), Refusal> {
    if !record.founded {
        return Err(Refusal::NotFounded { group });
    }
    if let Some(one) = &record.under_way {
        let number = one.number;
        return Err(Refusal::MoveUnderWay { group, number });
    }
    let version = record.version;
    if version != given {
        return Err(Refusal::StaleVersion {
            group,
            version,
            given,
        });
    }
    Ok(())
}

fn check_members(
    group: GroupId,
    record: &GroupRecord,
    add: &[NodeNumber],
    remove: &[NodeNumber],
) -> Result<(), Refusal> {
    let ascending = |nodes: &[NodeNumber]| nodes.is_sorted_by(|one, next| one < next);
    let few = add.len() <= MOVE_REPLICAS_MAX && remove.len() <= MOVE_REPLICAS_MAX;
    let some = !add.is_empty() || !remove.is_empty();
    if !(few && some && ascending(add) && ascending(remove)) {
        return Err(Refusal::BadMove { group });
    }
    if let Some(node) = add.iter().find(|node| record.voters.contains(node)) {
        return Err(Refusal::AlreadyVoter { group, node: *node });
    }
    if let Some(node) = remove.iter().find(|node| !record.voters.contains(node)) {
        return Err(Refusal::NotVoter { group, node: *node });
    }
    let voters = record.goal_of(add, remove).len();
    if voters.is_multiple_of(2) {
        let voters = u32::try_from(voters).unwrap_or(u32::MAX);
        return Err(Refusal::EvenVoters { group, voters });
    }
    Ok(())
}
