//! Nodes that came or went, and shards without a home or without a group.

use super::candidates::Candidates;
use super::step::{Effect, Step};
use super::view::View;
use crate::limits::SHARDS_PER_COMMAND_MAX;
use crate::stored::v1::{
    GroupId, GroupRecord, MetaCommand, NodeRecord, NodeState, NodeWish, Placement,
};
use twinscale_protocol::{NodeNumber, ShardId};

/// Notes a node that is ready, is back, or was not heard for the grace period.
pub(super) fn node_news(view: &View<'_>) -> Option<Step> {
    view.state
        .nodes()
        .iter()
        .find_map(|node| news_of(view, node))
        .map(Step::Propose)
}

fn news_of(view: &View<'_>, record: &NodeRecord) -> Option<MetaCommand> {
    let node = record.number;
    let seen = view.node(node)?;
    let incarnation = record.facts.incarnation;
    let grace = view.state.settings().dead_after;
    let may_serve = matches!(record.state, NodeState::Joining | NodeState::Dead);
    let may_die = !matches!(record.state, NodeState::Decommissioned | NodeState::Dead);
    if seen.alive && seen.ready && seen.incarnation == incarnation && may_serve {
        return Some(MetaCommand::NoteServing { node, incarnation });
    }
    if !seen.alive && may_die && view.observed.now.is_past(seen.since, grace) {
        return Some(MetaCommand::NoteDead { node, incarnation });
    }
    None
}

/// Ends the decommission of a node that holds nothing any more.
pub(super) fn farewell(view: &View<'_>) -> Option<Step> {
    let leaving = view
        .state
        .nodes()
        .iter()
        .filter(|node| node.wish == NodeWish::Leave && node.state != NodeState::Decommissioned);
    let mut empty = leaving.filter(|node| view.state.replicas_of(node.number) == 0);
    let node = empty.next()?.number;
    Some(Step::Propose(MetaCommand::FinishDecommission { node }))
}

/// Places shards, has their groups founded, and notes the founded ones.
pub(super) fn step(view: &View<'_>) -> Option<Step> {
    note_founded(view)
        .or_else(|| place(view))
        .or_else(|| found(view))
}

/// Shards that are placed and not founded.
fn unfounded<'a>(
    view: &View<'a>,
) -> impl Iterator<Item = (GroupId, ShardId, &'a GroupRecord)> + use<'a> {
    view.state.groups().filter_map(|(id, group)| match id {
        GroupId::Shard(shard) if !group.founded && !group.voters.is_empty() => {
            Some((id, shard, group))
        }
        _ => None,
    })
}

fn note_founded(view: &View<'_>) -> Option<Step> {
    let seen = unfounded(view).filter(|(id, _, group)| {
        view.group(*id)
            .is_some_and(|seen| seen.leader.is_some() && seen.has_voters(&group.voters))
    });
    let shards: Vec<ShardId> = seen
        .map(|(_, shard, _)| shard)
        .take(SHARDS_PER_COMMAND_MAX)
        .collect();
    (!shards.is_empty()).then_some(Step::Propose(MetaCommand::NoteFounded { shards }))
}

/// Asks for a group. Its voters are never chosen again before it exists: two foundations with different
/// voters would be two groups.
fn found(view: &View<'_>) -> Option<Step> {
    let mut ready = unfounded(view)
        .filter(|(id, _, group)| !view.is_busy(*id) && view.has_majority(&group.voters));
    let (id, _, group) = ready.next()?;
    let voters = group.voters.clone();
    Some(view.carry(id, Effect::Found { voters }))
}

fn place(view: &View<'_>) -> Option<Step> {
    let expected = view.state.cluster()?.nodes_expected;
    let homeless = view.state.groups().filter_map(|(id, group)| match id {
        GroupId::Shard(shard) if group.voters.is_empty() => Some(shard),
        _ => None,
    });
    let shards: Vec<ShardId> = homeless.take(SHARDS_PER_COMMAND_MAX).collect();
    if shards.is_empty() || view.state.serving() < u32::from(expected) {
        return None;
    }
    let mut candidates = Candidates::new(view);
    let replication = usize::from(view.state.settings().replication);
    let mut placements = Vec::with_capacity(shards.len());
    for shard in shards {
        let mut voters: Vec<NodeNumber> = Vec::with_capacity(replication);
        while voters.len() < replication {
            let node = candidates.best(&voters, &[])?;
            candidates.take(node);
            voters.push(node);
        }
        voters.sort_unstable();
        placements.push(Placement { shard, voters });
    }
    Some(Step::Propose(MetaCommand::PlaceShards { placements }))
}
