//! Which move to start: what is in danger first, then what was asked for, then what is uneven.

use super::balance;
use super::candidates::Candidates;
use super::drive::drive;
use super::report::Wait;
use super::step::Step;
use super::view::View;
use crate::limits::{META_VOTERS_MAX, MOVES_MAX};
use crate::stored::v1::{GroupId, GroupRecord, MetaCommand, MoveReason, NodeState, NodeWish};
use twinscale_protocol::NodeNumber;

/// Chooses a move, if one more may begin.
pub(super) fn step(view: &View<'_>) -> Option<Step> {
    if at_limit(view) {
        return None;
    }
    let candidates = Candidates::new(view);
    let needed = needs(view).into_iter().find_map(|need| {
        plan(view, &candidates, need.group, need.record, need.wanted)
            .ok()
            .map(|chosen| (need, chosen))
    });
    if let Some((need, chosen)) = needed {
        return Some(start(need.group, need.record, chosen));
    }
    balance::choose(view, &candidates)
}

/// What a move changes.
pub(super) struct Chosen {
    pub(super) add: Vec<NodeNumber>,
    pub(super) remove: Vec<NodeNumber>,
    pub(super) reason: MoveReason,
}

pub(super) fn start(group: GroupId, record: &GroupRecord, mut chosen: Chosen) -> Step {
    chosen.add.sort_unstable();
    chosen.remove.sort_unstable();
    Step::Propose(MetaCommand::StartMove {
        group,
        version: record.version,
        add: chosen.add,
        remove: chosen.remove,
        reason: chosen.reason,
    })
}

/// Tells whether enough moves go on. One whose group has lost its majority or leader holds no place:
/// it would keep the others from being repaired.
pub(super) fn at_limit(view: &View<'_>) -> bool {
    let moving = view
        .state
        .groups()
        .filter(|(_, group)| group.under_way.is_some());
    let (mut all, mut going) = (0, 0);
    for (id, group) in moving {
        all += 1;
        let held = matches!(
            drive(view, id, group),
            Err(Wait::NoMajority { .. } | Wait::NoLeader | Wait::NoReport)
        );
        going += usize::from(!held);
    }
    going >= usize::from(view.state.settings().moves_at_once) || all >= MOVES_MAX
}

/// A group that needs a move.
pub(super) struct Need<'a> {
    /// The more voters are lost of it, the sooner; then group 0; then by order.
    urgency: (u8, usize, GroupId),
    pub(super) group: GroupId,
    pub(super) record: &'a GroupRecord,
    /// How many voters it should have.
    pub(super) wanted: usize,
}

/// Lists the founded groups without a move that need one, the most urgent first.
pub(super) fn needs<'a>(view: &View<'a>) -> Vec<Need<'a>> {
    let replication = usize::from(view.state.settings().replication);
    let meta_voters = meta_voters_wanted(view);
    let idle = view
        .state
        .groups()
        .filter(|(_, group)| group.founded && group.under_way.is_none());
    let mut needs: Vec<Need<'a>> = idle
        .filter_map(|(group, record)| {
            let wanted = if group == GroupId::Meta {
                meta_voters
            } else {
                replication
            };
            let dead = record
                .voters
                .iter()
                .filter(|node| is_dead(view, **node))
                .count();
            let leaves = record.voters.iter().any(|node| view.must_leave(*node));
            let class = match (dead, leaves) {
                (0, false) if record.voters.len() == wanted => return None,
                (0, false) => 2,
                (0, true) => 1,
                _ => 0,
            };
            let spare = record.voters.len().saturating_sub(dead * 2);
            let urgency = (class, spare, group);
            Some(Need {
                urgency,
                group,
                record,
                wanted,
            })
        })
        .collect();
    needs.sort_unstable_by_key(|need| need.urgency);
    needs
}

fn is_dead(view: &View<'_>, node: NodeNumber) -> bool {
    !matches!(
        view.state.node_state(node),
        Some(NodeState::Joining | NodeState::Serving | NodeState::Draining)
    )
}

/// Five voters of group 0 where there are five nodes, three with three or four, else one. A node that
/// died counts until it is removed: its death is no reason to do with fewer.
fn meta_voters_wanted(view: &View<'_>) -> usize {
    let stays = view.state.nodes().iter().filter(|node| {
        node.wish == NodeWish::Serve && matches!(node.state, NodeState::Serving | NodeState::Dead)
    });
    match stays.count() {
        0..=2 => 1,
        3..=4 => 3,
        _ => META_VOTERS_MAX,
    }
}

/// Plans the move of a group that needs one.
pub(super) fn plan(
    view: &View<'_>,
    candidates: &Candidates<'_>,
    id: GroupId,
    record: &GroupRecord,
    wanted: usize,
) -> Result<Chosen, Wait> {
    let voters = &record.voters;
    if view.group(id).is_none() {
        return Err(Wait::NoReport);
    }
    need_majority(view, voters)?;
    let avoided = avoided(view, record);
    let chosen = if voters.len() > wanted {
        shrink(view, candidates, voters)
    } else if let Some(gone) = first_to_go(view, voters) {
        let stay = record.goal_of(&[], &[gone]);
        let node = candidates
            .best(&stay, &with(&avoided, gone))
            .ok_or(Wait::NoCandidate)?;
        let reason = if is_dead(view, gone) {
            MoveReason::Dead
        } else {
            MoveReason::Drain
        };
        Chosen {
            add: vec![node],
            remove: vec![gone],
            reason,
        }
    } else {
        grow(candidates, voters, &avoided)?
    };
    need_majority(view, &record.goal_of(&chosen.add, &chosen.remove))?;
    Ok(chosen)
}

fn with(avoided: &[NodeNumber], node: NodeNumber) -> Vec<NodeNumber> {
    avoided.iter().copied().chain([node]).collect()
}

/// Nodes that the group does not try now.
pub(super) fn avoided(view: &View<'_>, record: &GroupRecord) -> Vec<NodeNumber> {
    let now = view.observed.now;
    let still = record.avoided.iter().filter(|avoided| avoided.until > now);
    still.map(|avoided| avoided.node).collect()
}

fn need_majority(view: &View<'_>, voters: &[NodeNumber]) -> Result<(), Wait> {
    if view.has_majority(voters) {
        return Ok(());
    }
    let unheard = voters.iter().copied().filter(|node| !view.is_alive(*node));
    Err(Wait::NoMajority {
        unheard: unheard.collect(),
        voters: voters.len(),
    })
}

/// The voter that must leave first: dead ones before those that drain.
fn first_to_go(view: &View<'_>, voters: &[NodeNumber]) -> Option<NodeNumber> {
    let leaving = voters.iter().copied().filter(|node| view.must_leave(*node));
    leaving.min_by_key(|node| (!is_dead(view, *node), view.is_alive(*node), *node))
}

fn grow(
    candidates: &Candidates<'_>,
    voters: &[NodeNumber],
    avoided: &[NodeNumber],
) -> Result<Chosen, Wait> {
    let mut goal = voters.to_vec();
    let mut add = Vec::with_capacity(2);
    for _ in 0..2 {
        let node = candidates.best(&goal, avoided).ok_or(Wait::NoCandidate)?;
        goal.push(node);
        add.push(node);
    }
    let reason = MoveReason::Grow;
    Ok(Chosen {
        add,
        remove: Vec::new(),
        reason,
    })
}

/// Gives up two voters: those that must leave, then unheard ones, then those in crowded zones, then the
/// most loaded.
fn shrink(view: &View<'_>, candidates: &Candidates<'_>, voters: &[NodeNumber]) -> Chosen {
    let mut stay = voters.to_vec();
    let mut remove = Vec::with_capacity(2);
    for _ in 0..2 {
        let used = candidates.uses(&stay);
        let crowd = |node| {
            let zone = candidates.zone_of(node);
            zone.and_then(|zone| used.get(zone))
                .copied()
                .unwrap_or_default()
        };
        let worst = stay.iter().copied().max_by_key(|node| {
            let leaves = (
                is_dead(view, *node),
                view.must_leave(*node),
                !view.is_alive(*node),
            );
            (leaves, crowd(*node), view.load(*node), *node)
        });
        if let Some(node) = worst {
            stay.retain(|one| *one != node);
            remove.push(node);
        }
    }
    Chosen {
        add: Vec::new(),
        remove,
        reason: MoveReason::Shrink,
    }
}
