//! What moves left behind: members that nobody recorded, replicas that nobody names, and voters that
//! have none.

use super::observed::GroupObserved;
use super::step::{Effect, Step};
use super::view::View;
use crate::stored::v1::{GroupId, GroupRecord};
use twinscale_protocol::NodeNumber;

/// Finds a group without a move whose members are not those recorded, or a replica that nobody names.
/// Such are left when an effect of a move that was given up came late.
pub(super) fn step(view: &View<'_>) -> Option<Step> {
    let idle = view
        .state
        .groups()
        .filter(|(id, group)| group.founded && group.under_way.is_none() && !view.is_busy(*id));
    let mut found = idle.filter_map(|(id, group)| {
        let seen = view.group(id)?;
        let restored = restore(view, id, group, seen);
        restored.or_else(|| stray(view, id, group, seen))
    });
    found.next()
}

/// Finds a voter that is heard and has no replica: it was down when the group began.
pub(super) fn absent(view: &View<'_>) -> Option<Step> {
    let founded = view
        .state
        .groups()
        .filter(|(id, group)| group.founded && !view.is_busy(*id));
    let mut found = founded.filter_map(|(id, group)| {
        let seen = view.group(id)?;
        let absent = |node: &&NodeNumber| view.is_alive(**node) && !seen.held_by.contains(*node);
        let node = *group.voters.iter().find(absent)?;
        Some(view.carry(id, Effect::MakeReplica { node }))
    });
    found.next()
}

/// Brings the members of a group back to those recorded.
fn restore(
    view: &View<'_>,
    id: GroupId,
    group: &GroupRecord,
    seen: &GroupObserved,
) -> Option<Step> {
    seen.leader?;
    let at_membership = seen.membership_index;
    let voters = group.voters.clone();
    let effect = if !seen.has_voters(&voters) {
        if !view.holds_majority(seen, &voters) {
            return None;
        }
        Effect::ChangeVoters {
            voters,
            at_membership,
        }
    } else if seen.learners.is_empty() {
        return None;
    } else {
        let learners = seen.learners.keys().copied().collect();
        Effect::RemoveLearners {
            learners,
            at_membership,
        }
    };
    Some(view.carry(id, effect))
}

fn stray(view: &View<'_>, id: GroupId, group: &GroupRecord, seen: &GroupObserved) -> Option<Step> {
    seen.leader?;
    let members = seen.members();
    let strays = seen.held_by.iter().copied();
    let node = strays
        .filter(|node| !members.contains(node) && !group.voters.contains(node))
        .find(|node| view.is_alive(*node))?;
    let effect = Effect::DropReplica {
        node,
        made_up_to: group.last_move,
        at_membership: seen.membership_index,
    };
    Some(view.carry(id, effect))
}
