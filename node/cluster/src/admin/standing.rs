//! How far a task is. Pure: any leader of group 0 tells it from what is committed and reported.

use super::look::{Known, group_of, leads};
use super::message::{MoveTask, Standing, Task};
use twinscale_meta::{GroupId, MetaState, NodeState, NodeWish, progress};
use twinscale_protocol::NodeNumber;

/// Lines of what a task waits for, at most.
const WAITS_MAX: usize = 8;

pub(super) fn standing(state: &MetaState, known: &Known, task: &Task) -> Standing {
    match task {
        Task::Empty { node } => emptied(state, known, *node, NodeWish::Drain),
        Task::Leave { node } => emptied(state, known, *node, NodeWish::Leave),
        Task::Moves { moves } => moved(state, known, moves),
    }
}

fn emptied(state: &MetaState, known: &Known, node: NodeNumber, wish: NodeWish) -> Standing {
    let Some(record) = state.node(node) else {
        let failed = Some(format!("node {node} is unknown: list the nodes"));
        return Standing {
            failed,
            ..Standing::default()
        };
    };
    let held = state.replicas_of(node);
    let total = record.held_at_first.max(held);
    let is_gone = record.state == NodeState::Decommissioned;
    let leads_still = leads(known, node);
    let is_over = match wish {
        NodeWish::Leave => is_gone,
        _ => is_gone || (held == 0 && leads_still == 0),
    };
    let changed = !is_gone && record.wish != wish && record.wish != NodeWish::Leave;
    let failed = changed.then(|| {
        let name = record.facts.name.as_str();
        format!("node {name} is to serve again: somebody ended it; see the audit")
    });
    let mut waits = Vec::new();
    if !is_over {
        let names = |group: GroupId| state.group(group).is_some_and(|group| group.names(node));
        let progress = progress(state, &known.observed);
        let moves = progress.moves.into_iter();
        let moves = moves.filter(|moving| names(moving.group));
        waits.extend(moves.map(|moving| format!("{}: {}", moving.group, moving.waits)));
        let waiting = progress.waiting.into_iter();
        let waiting = waiting.filter(|(group, _)| names(*group));
        waits.extend(waiting.map(|(group, wait)| format!("{group}: {wait}")));
        if leads_still > 0 {
            waits.push(format!("it leads {leads_still} shards still"));
        }
        waits.truncate(WAITS_MAX);
    }
    Standing {
        is_over,
        failed,
        done: total - held,
        total,
        waits,
    }
}

fn moved(state: &MetaState, known: &Known, moves: &[MoveTask]) -> Standing {
    let mut standing = Standing {
        total: u32::try_from(moves.len()).unwrap_or(u32::MAX),
        ..Standing::default()
    };
    let progress = progress(state, &known.observed);
    for one in moves {
        let group = group_of(one.shard);
        let Some(record) = state.group(group) else {
            standing.failed = Some(format!("{group} is unknown: list the shards"));
            continue;
        };
        let under_way = record.under_way.as_ref().map(|moving| moving.number);
        if under_way == Some(one.number) {
            let waits = progress.moves.iter();
            let waits = waits.filter(|moving| moving.group == group);
            let room = WAITS_MAX.saturating_sub(standing.waits.len());
            let waits = waits.map(|moving| {
                let stage = moving.one.stage;
                format!("{group}, move {} ({stage}): {}", one.number, moving.waits)
            });
            standing.waits.extend(waits.take(room));
            continue;
        }
        standing.done += 1;
        let is_there = one.add.iter().all(|node| record.voters.contains(node));
        // A later move may have taken it further: only the group's last one is sure to have been given up.
        if !is_there && record.last_move == one.number {
            standing.failed = Some(format!(
                "move {} of {group} was rolled back: the new replica did not catch up, or its node went; it is \
                 not tried again for some minutes",
                one.number
            ));
        }
    }
    standing.is_over = standing.done == standing.total;
    standing
}
