//! Cheap rejection: tells that a move cannot be accepted before it is applied.
//!
//! The test is a lower bound on the change of energy, so it never rejects what the full price would
//! accept: the change of spend is exact or underrated, the shortage that VMs taken away leave behind is
//! summed only where no start or delay can hide it, and whatever is broken now may at best be cured.

use super::model::{LANES, TierModel};
use super::moves::Move;
use super::state::{Edit, State};

/// Whether the energy is bound to rise by more than `limit`, or the move cannot be applied.
pub(super) fn hopeless(state: &State<'_>, drawn: &Move, limit: f64) -> bool {
    let edits = drawn.edits();
    let mut room = limit + state.broken_price();
    for (index, edit) in edits.iter().enumerate() {
        let alone = edits.iter().enumerate().all(|(other, theirs)| {
            other == index || theirs.option != edit.option || theirs.tier != edit.tier
        });
        room -= spend_change(state, *edit, alone);
    }
    if room < 0.0 {
        return true;
    }
    let Some(taken) = edits.iter().find(|edit| edit.delta < 0) else {
        return false;
    };
    leaves_shortage(state, edits, *taken, room)
}

/// Change of spend by an edit; a lower bound when other edits touch the same type.
fn spend_change(state: &State<'_>, edit: Edit, alone: bool) -> f64 {
    let steps = state.model.steps;
    let model = &state.model.tiers[edit.tier];
    let to = edit.to.min(steps);
    let length = to.saturating_sub(edit.from) as f64;
    let running = model.step_price[edit.option] * f64::from(edit.delta) * length;
    let start_price = model.start_price[edit.option];
    if !alone || edit.from >= to {
        return running - start_price * f64::from(edit.delta.abs());
    }
    let on = &state.tiers[edit.tier].on[edit.option * steps..(edit.option + 1) * steps];
    let before = if edit.from == 0 {
        model.initial[edit.option]
    } else {
        on[edit.from - 1]
    };
    let first = on[edit.from] - before;
    let mut starts = (first + edit.delta).max(0) - first.max(0);
    if to < steps {
        let after = on[to] - on[to - 1];
        starts += (after - edit.delta).max(0) - after.max(0);
    }
    running + f64::from(starts) * start_price
}

/// Whether taking VMs away leaves a shortage dearer than `room`, or takes more than there are.
fn leaves_shortage(state: &State<'_>, edits: &[Edit], taken: Edit, mut room: f64) -> bool {
    let steps = state.model.steps;
    let model = &state.model.tiers[taken.tier];
    let tier = &state.tiers[taken.tier];
    let to = taken.to.min(steps);
    let on = &tier.on[taken.option * steps..(taken.option + 1) * steps];
    let stretch = taken.from.min(to)..to;
    if stretch.is_empty() || on[stretch].iter().any(|count| count + taken.delta < 0) {
        return true;
    }
    for step in (taken.from + model.delay).min(to)..to {
        let mut change = [[0.0; LANES]; GROUPS_MAX];
        for edit in edits
            .iter()
            .filter(|edit| edit.from <= step && step < edit.to)
        {
            add_capacity(model, *edit, &mut change);
        }
        let price = shortage_with(state, taken.tier, step, &change);
        let old = tier.short[step];
        if price > 0.0 && old == 0.0 {
            room -= state.fine;
        }
        room -= (price - old).max(0.0);
        if room < 0.0 {
            return true;
        }
    }
    false
}

/// Groups of lanes looked at; further ones are left to the full price.
const GROUPS_MAX: usize = 1;

fn add_capacity(model: &TierModel, edit: Edit, change: &mut [[f64; LANES]; GROUPS_MAX]) {
    for (group, change) in change.iter_mut().enumerate().take(model.groups) {
        let units = &model.capacity[edit.option * model.groups + group];
        for lane in 0..LANES {
            change[lane] += units[lane] * f64::from(edit.delta);
        }
    }
}

fn shortage_with(
    state: &State<'_>,
    tier: usize,
    step: usize,
    change: &[[f64; LANES]; GROUPS_MAX],
) -> f64 {
    let model = &state.model.tiers[tier];
    let need = (step * state.model.levels + state.levels[step]) * model.groups;
    let mut price = 0.0;
    for (group, change) in change.iter().enumerate().take(model.groups) {
        let have = &state.tiers[tier].serving[step * model.groups + group];
        for lane in 0..LANES {
            let missing = (model.need[need + group][lane] - have[lane] - change[lane]).max(0.0);
            price += missing * model.weight[group][lane];
        }
    }
    price
}
