//! Moves that only make things more even: different zones first, then as many replicas on each node.
//!
//! Both end: a move for zones raises the number of zones that a shard uses, a move for load lowers the
//! sum of the squares of the loads and keeps that number.

use super::candidates::Candidates;
use super::choose::{Chosen, avoided, start};
use super::step::Step;
use super::view::View;
use crate::stored::v1::{GroupId, GroupRecord, MoveReason};
use std::cmp::Reverse;
use std::collections::BTreeMap;
use twinscale_protocol::NodeNumber;

/// Chooses a move that makes the cluster more even. Only groups whose voters all serve and are heard
/// take part: the others have more urgent needs.
pub(super) fn choose(view: &View<'_>, candidates: &Candidates<'_>) -> Option<Step> {
    spread(view, candidates).or_else(|| level(view, candidates))
}

fn calm<'a>(view: &View<'a>) -> impl Iterator<Item = (GroupId, &'a GroupRecord)> {
    view.state.groups().filter(|(id, group)| {
        group.founded
            && group.under_way.is_none()
            && view.group(*id).is_some()
            && group.voters.iter().all(|node| view.is_open(*node))
    })
}

fn spread(view: &View<'_>, candidates: &Candidates<'_>) -> Option<Step> {
    let mut chosen = calm(view).filter_map(|(id, record)| {
        let used = candidates.uses(&record.voters);
        if used.len() >= record.voters.len().min(candidates.zones()) {
            return None;
        }
        let add = candidates.best_within(&record.voters, &avoided(view, record), (0, u32::MAX))?;
        let crowd = |node| {
            let zone = candidates.zone_of(node);
            zone.and_then(|zone| used.get(zone))
                .copied()
                .unwrap_or_default()
        };
        let voters = record.voters.iter().copied();
        let remove = voters.max_by_key(|node| (crowd(*node), view.load(*node), *node))?;
        let reason = MoveReason::Spread;
        let chosen = Chosen {
            add: vec![add],
            remove: vec![remove],
            reason,
        };
        Some(start(id, record, chosen))
    });
    chosen.next()
}

/// Moves a replica from the fullest node that can give one to a node with at least two less.
fn level(view: &View<'_>, candidates: &Candidates<'_>) -> Option<Step> {
    let least = candidates.load_min()?;
    let full = |node: &NodeNumber| view.load(*node) >= least.saturating_add(2);
    let mut sources: Vec<NodeNumber> = view.open_nodes().filter(full).collect();
    if sources.is_empty() {
        return None;
    }
    sources.sort_unstable_by_key(|node| (Reverse(view.load(*node)), *node));
    let mut held: BTreeMap<NodeNumber, Vec<(GroupId, &GroupRecord)>> = BTreeMap::new();
    for (id, record) in calm(view).filter(|(id, _)| *id != GroupId::Meta) {
        for node in &record.voters {
            held.entry(*node).or_default().push((id, record));
        }
    }
    sources.into_iter().find_map(|source| {
        let groups = held.get(&source)?;
        groups
            .iter()
            .find_map(|(id, record)| give(view, candidates, (*id, record), source))
    })
}

fn give(
    view: &View<'_>,
    candidates: &Candidates<'_>,
    (id, record): (GroupId, &GroupRecord),
    source: NodeNumber,
) -> Option<Step> {
    let stay = record.goal_of(&[], &[source]);
    let used = candidates.uses(&stay);
    let in_source_zone = candidates
        .zone_of(source)
        .and_then(|zone| used.get(zone))
        .copied()
        .unwrap_or_default();
    let mut not_to = avoided(view, record);
    not_to.push(source);
    let below = view.load(source).saturating_sub(1);
    let add = candidates.best_within(&stay, &not_to, (in_source_zone, below))?;
    let reason = MoveReason::Balance;
    Some(start(
        id,
        record,
        Chosen {
            add: vec![add],
            remove: vec![source],
            reason,
        },
    ))
}
