//! Leadership: away from nodes that leave, and as many leaders on each node as on the others.

use super::observed::GroupObserved;
use super::step::{Effect, Step};
use super::view::View;
use crate::limits::TRANSFERS_AT_ONCE;
use crate::stored::v1::{GroupId, GroupRecord, NodeState};
use std::collections::BTreeMap;
use twinscale_protocol::NodeNumber;

/// Proposes one transfer of leadership.
pub(super) fn step(view: &View<'_>) -> Option<Step> {
    let leads: Vec<Led<'_>> = led(view).collect();
    let mut counts: BTreeMap<NodeNumber, u32> = BTreeMap::new();
    for one in leads.iter().filter(|one| one.id != GroupId::Meta) {
        *counts.entry(one.leader).or_default() += 1;
    }
    let count = |node: NodeNumber| counts.get(&node).copied().unwrap_or_default();
    let free = || {
        leads
            .iter()
            .filter(|one| one.record.under_way.is_none() && !view.is_busy(one.id))
    };
    let leaving = free().filter(|one| drains(view, one.leader));
    let away = leaving.filter_map(|one| {
        let to = one.heirs(view).min_by_key(|node| (count(*node), *node))?;
        Some((one.id, to))
    });
    if let Some((id, to)) = away.into_iter().next() {
        return Some(view.carry(id, Effect::TransferLeader { to }));
    }
    let handing_over = view.observed.busy.values();
    let handing_over =
        handing_over.filter(|effect| matches!(effect, Effect::TransferLeader { .. }));
    if handing_over.count() >= TRANSFERS_AT_ONCE {
        return None;
    }
    let shards = free().filter(|one| one.id != GroupId::Meta);
    let uneven = shards.filter_map(|one| {
        let from = count(one.leader);
        let to = one.heirs(view).min_by_key(|node| (count(*node), *node))?;
        (count(to).saturating_add(2) <= from).then_some((from, one.id, to))
    });
    let (_, id, to) = uneven.max_by_key(|(from, id, _)| (*from, std::cmp::Reverse(*id)))?;
    Some(view.carry(id, Effect::TransferLeader { to }))
}

fn drains(view: &View<'_>, node: NodeNumber) -> bool {
    view.state.node_state(node) == Some(NodeState::Draining)
}

/// A group with a leader.
struct Led<'a> {
    id: GroupId,
    record: &'a GroupRecord,
    seen: &'a GroupObserved,
    leader: NodeNumber,
}

fn led<'a>(view: &View<'a>) -> impl Iterator<Item = Led<'a>> {
    view.state.groups().filter_map(|(id, record)| {
        let seen = view.group(id)?;
        // Who leads once the transfer under way has ended; or the same node would be asked twice.
        let leader = match view.observed.busy.get(&id) {
            Some(Effect::TransferLeader { to }) => *to,
            _ => seen.leader?,
        };
        Some(Led {
            id,
            record,
            seen,
            leader,
        })
    })
}

impl Led<'_> {
    /// Voters that could lead instead.
    fn heirs(&self, view: &View<'_>) -> impl Iterator<Item = NodeNumber> {
        let voters = self.record.voters.iter().copied();
        voters.filter(|node| {
            *node != self.leader && view.is_open(*node) && self.seen.is_caught_up(*node)
        })
    }
}
