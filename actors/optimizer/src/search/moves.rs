//! Random edits of a plan: the neighbourhood of the search.
//!
//! A move is a short list of edits that belong together: shift a start or a stop, take a VM away for a
//! while, or put VMs of another type in its place. Moves look only at the state and the generator.

use super::model::{LANES, TierModel};
use super::state::{Edit, State};
use rand::Rng;
use rand_chacha::ChaCha8Rng;

/// Most edits in a move.
pub(super) const EDITS_MAX: usize = 4;

/// A move: edits of VM counts, applied in order.
#[derive(Clone, Copy, Debug)]
pub(super) struct Move {
    edits: [Edit; EDITS_MAX],
    count: usize,
}

impl Move {
    fn none() -> Self {
        let edit = Edit {
            tier: 0,
            option: 0,
            from: 0,
            to: 0,
            delta: 0,
        };
        Self {
            edits: [edit; EDITS_MAX],
            count: 0,
        }
    }

    fn push(&mut self, edit: Edit) {
        if edit.from < edit.to && edit.delta != 0 && self.count < EDITS_MAX {
            self.edits[self.count] = edit;
            self.count += 1;
        }
    }

    /// The edits in order.
    pub(super) fn edits(&self) -> &[Edit] {
        &self.edits[..self.count]
    }
}

/// Steps that a random window or shift spans at most, as a share of the horizon.
fn random_length(steps: usize, rng: &mut ChaCha8Rng) -> usize {
    // Short ones are common, long ones happen: the logarithm is uniform.
    let most = (steps as f64).ln();
    let length = (rng.random::<f64>() * most).exp();
    whole(length).clamp(1, steps)
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "small and positive"
)]
fn whole(value: f64) -> usize {
    value as usize
}

/// Draws a move in one tier.
pub(super) fn draw(state: &State<'_>, tier: usize, rng: &mut ChaCha8Rng) -> Move {
    let model = &state.model.tiers[tier];
    let Some(option) = active_option(state, tier, rng) else {
        return add(state, tier, rng);
    };
    match rng.random_range(0..100_u32) {
        0..=29 => shift(state, tier, option, rng),
        30..=39 => shift_two(state, tier, option, rng),
        40..=49 => remove(state, tier, option, rng),
        50..=54 => add(state, tier, rng),
        55..=69 if model.options > 2 => bundle(state, tier, option, rng),
        _ if model.options > 1 => swap(state, tier, option, rng),
        _ => shift(state, tier, option, rng),
    }
}

/// A type that has VMs, chosen evenly.
fn active_option(state: &State<'_>, tier: usize, rng: &mut ChaCha8Rng) -> Option<usize> {
    let initial = &state.model.tiers[tier].initial;
    let counts = || state.tiers[tier].area.iter().zip(initial).enumerate();
    let active = || counts().filter(|(_, (area, initial))| **area > 0 || **initial > 0);
    let count = active().count();
    if count == 0 {
        return None;
    }
    active()
        .nth(rng.random_range(0..count))
        .map(|(option, _)| option)
}

/// A type to start VMs of: often one in use, else any candidate.
fn start_option(state: &State<'_>, tier: usize, rng: &mut ChaCha8Rng) -> usize {
    let model = &state.model.tiers[tier];
    let used = rng
        .random_bool(0.6)
        .then(|| active_option(state, tier, rng))
        .flatten();
    used.unwrap_or_else(|| model.candidates[rng.random_range(0..model.candidates.len())])
}

/// A step where the count of a type changes.
fn edge(state: &State<'_>, tier: usize, option: usize, rng: &mut ChaCha8Rng) -> Option<usize> {
    let (model, steps) = (&state.model.tiers[tier], state.model.steps);
    let at = rng.random_range(0..steps);
    let tier = &state.tiers[tier];
    tier.next_edge(model, option, at, steps)
        .or_else(|| tier.next_edge(model, option, 0, steps))
}

/// Moves one start or stop earlier or later.
fn shift_edit(state: &State<'_>, tier: usize, option: usize, rng: &mut ChaCha8Rng) -> Edit {
    let steps = state.model.steps;
    // The end of the horizon is an edge too: a VM may stop just before it.
    let at = if rng.random_bool(0.12) {
        steps
    } else {
        edge(state, tier, option, rng).unwrap_or(steps)
    };
    let on = |step: usize| state.tiers[tier].on[option * steps + step];
    let before = if at == 0 {
        state.model.tiers[tier].initial[option]
    } else {
        on(at - 1)
    };
    let after = if at == steps { 0 } else { on(at) };
    let change = after - before;
    let height = change.abs().max(1);
    let units = if height > 1 && rng.random_bool(0.4) {
        rng.random_range(1..=height)
    } else {
        1
    };
    let length = random_length(steps, rng);
    let later = at < steps && (at == 0 || rng.random_bool(0.5));
    let (from, to) = if later {
        (at, (at + length).min(steps))
    } else {
        (at.saturating_sub(length), at)
    };
    // A start that moves later, or a stop that moves earlier, takes VMs away.
    let delta = if later == (change > 0) { -units } else { units };
    Edit {
        tier,
        option,
        from,
        to,
        delta,
    }
}

fn shift(state: &State<'_>, tier: usize, option: usize, rng: &mut ChaCha8Rng) -> Move {
    let mut drawn = Move::none();
    drawn.push(shift_edit(state, tier, option, rng));
    drawn
}

/// Shifts an edge and lets another type make up for it over the same window.
fn shift_two(state: &State<'_>, tier: usize, option: usize, rng: &mut ChaCha8Rng) -> Move {
    let mut drawn = Move::none();
    let edit = shift_edit(state, tier, option, rng);
    drawn.push(edit);
    let other = if edit.delta > 0 {
        active_option(state, tier, rng).unwrap_or(option)
    } else {
        start_option(state, tier, rng)
    };
    if other == option {
        return drawn;
    }
    let units = exchange(
        &state.model.tiers[tier],
        (option, other),
        edit.delta.abs(),
        rng,
    );
    drawn.push(Edit {
        option: other,
        delta: -edit.delta.signum() * units,
        ..edit
    });
    drawn
}

/// Takes VMs of a type away, mostly between two of its edges.
fn remove(state: &State<'_>, tier: usize, option: usize, rng: &mut ChaCha8Rng) -> Move {
    let (from, to) = window(state, tier, option, rng);
    let mut drawn = Move::none();
    drawn.push(Edit {
        tier,
        option,
        from,
        to,
        delta: -1,
    });
    drawn
}

/// Adds a VM for a while.
fn add(state: &State<'_>, tier: usize, rng: &mut ChaCha8Rng) -> Move {
    let option = start_option(state, tier, rng);
    let (from, to) = window(state, tier, option, rng);
    let mut drawn = Move::none();
    drawn.push(Edit {
        tier,
        option,
        from,
        to,
        delta: 1,
    });
    drawn
}

/// A window of steps whose ends are often edges of the type.
fn window(state: &State<'_>, tier: usize, option: usize, rng: &mut ChaCha8Rng) -> (usize, usize) {
    let (model, steps) = (&state.model.tiers[tier], state.model.steps);
    let at = rng.random_range(0..steps);
    let from = if rng.random_bool(0.5) {
        edge(state, tier, option, rng).unwrap_or(at)
    } else {
        at
    };
    let to = match rng.random_range(0..10_u32) {
        0..=3 => state.tiers[tier]
            .next_edge(model, option, from + 1, steps)
            .unwrap_or(steps),
        4 => steps,
        _ => (from + random_length(steps, rng)).min(steps),
    };
    if from < to {
        (from, to)
    } else {
        (at, (at + 1).min(steps))
    }
}

/// Replaces VMs of a type over a window by VMs of another type that start in time.
fn swap(state: &State<'_>, tier: usize, option: usize, rng: &mut ChaCha8Rng) -> Move {
    let model = &state.model.tiers[tier];
    let mut drawn = Move::none();
    let mut other = start_option(state, tier, rng);
    if other == option {
        other = model.candidates[rng.random_range(0..model.candidates.len())];
    }
    if other == option {
        return shift(state, tier, option, rng);
    }
    let leading = if rng.random_bool(0.3) { other } else { option };
    let (from, to) = window(state, tier, leading, rng);
    let most = state.tiers[tier].on[option * state.model.steps + from].clamp(1, 8);
    let units = if rng.random_bool(0.6) {
        1
    } else {
        rng.random_range(1..=most)
    };
    drawn.push(Edit {
        tier,
        option,
        from,
        to,
        delta: -units,
    });
    let units = exchange(model, (option, other), units, rng);
    let lead = if rng.random_bool(0.8) { model.delay } else { 0 };
    let from = from.saturating_sub(lead);
    let added = Edit {
        tier,
        option: other,
        from,
        to,
        delta: units,
    };
    if units > 1 && rng.random_bool(0.5) {
        stagger(&mut drawn, added, rng);
    } else {
        drawn.push(added);
    }
    drawn
}

/// Replaces VMs of one type by VMs of several others over a window, or the other way round.
fn bundle(state: &State<'_>, tier: usize, option: usize, rng: &mut ChaCha8Rng) -> Move {
    let model = &state.model.tiers[tier];
    let mut drawn = Move::none();
    let gather = rng.random_bool(0.5);
    let single = if gather {
        start_option(state, tier, rng)
    } else {
        option
    };
    let (from, to) = window(state, tier, option, rng);
    let ahead = from.saturating_sub(model.delay);
    let edit = |option: usize, units: i32| Edit {
        tier,
        option,
        from: if units > 0 { ahead } else { from },
        to,
        delta: units,
    };
    let sign = if gather { 1 } else { -1 };
    drawn.push(edit(single, sign));
    let lane = scarce_lane(model, rng);
    let mut left = units_of(model, single, lane);
    let mut chosen = [single; EDITS_MAX];
    for place in 1..EDITS_MAX {
        let other = if gather {
            active_option(state, tier, rng).unwrap_or(option)
        } else {
            start_option(state, tier, rng)
        };
        let units = units_of(model, other, lane);
        if chosen.contains(&other) || units <= 0.0 {
            continue;
        }
        // A removed VM must be covered, an added one may cover a little less than it could.
        let ratio = (left / units).min(8.0);
        let most = if gather { ratio.floor() } else { ratio.ceil() };
        let count = i32::try_from(whole(most)).unwrap_or(1);
        if count <= 0 {
            continue;
        }
        let count = if rng.random_bool(0.5) {
            count
        } else {
            rng.random_range(1..=count)
        };
        chosen[place] = other;
        left -= units * f64::from(count);
        drawn.push(edit(other, -sign * count));
        if left <= 0.0 {
            break;
        }
    }
    drawn
}

/// A lane of capacity, chosen evenly: any one resource may be the scarce one.
fn scarce_lane(model: &TierModel, rng: &mut ChaCha8Rng) -> usize {
    rng.random_range(0..model.groups * LANES - 1)
}

fn units_of(model: &TierModel, option: usize, lane: usize) -> f64 {
    model.capacity[option * model.groups + lane / LANES][lane % LANES]
}

/// Adds VMs that start one after the other and stop likewise, as tight start limits ask for.
fn stagger(drawn: &mut Move, added: Edit, rng: &mut ChaCha8Rng) {
    let parts = added.delta.min(3);
    let apart = rng.random_range(1..=2_usize);
    for (part, index) in (0..parts).zip(0_usize..) {
        let delta = added.delta / parts + i32::from(part < added.delta % parts);
        let from = added.from.saturating_sub(index * apart);
        let to = if rng.random_bool(0.5) {
            added.to + index * apart
        } else {
            added.to
        };
        drawn.push(Edit {
            from,
            to,
            delta,
            ..added
        });
    }
}

/// How many VMs of `right` stand in for `units` of `left`, rounded up or down at random.
fn exchange(
    model: &TierModel,
    (left, right): (usize, usize),
    units: i32,
    rng: &mut ChaCha8Rng,
) -> i32 {
    let lane = scarce_lane(model, rng);
    let (have, get) = (units_of(model, left, lane), units_of(model, right, lane));
    if have <= 0.0 || get <= 0.0 {
        return units;
    }
    let ratio = (f64::from(units) * have / get).min(1000.0);
    let low = ratio.floor();
    let chosen = if rng.random_bool(0.5) { low } else { low + 1.0 };
    i32::try_from(whole(chosen.max(1.0))).unwrap_or(1)
}
