//! The seed: a plan by rule, without chance.
//!
//! Tier by tier, every VM type worth starting is tried as the one type to grow with: VMs of step -1 stay
//! until they are superfluous, new ones start just in time, as early as the start limit asks for; then
//! everything that nothing needs is taken away, latest VMs first. The cheapest of the tries stays.

use super::model::Model;
use super::state::{Edit, State};

/// Price of a broken constraint while the rule works, in VM-steps of the mean price.
const FINE: f64 = 1000.0;
/// Most rounds of taking VMs away; each takes at least one window away.
const TRIM_ROUNDS_MAX: usize = 40;

/// Builds the seed state for a row of levels.
pub(super) fn seed<'m>(model: &'m Model, levels: &[usize], fixed: &[f64]) -> State<'m> {
    let mut state = State::unchanged(model, levels, fixed);
    state.fine = model.unit_price * FINE;
    for tier in 0..model.tiers.len() {
        let mut best: Option<State<'m>> = None;
        for option in &model.tiers[tier].candidates {
            let mut grown = state.clone();
            grow(&mut grown, tier, *option);
            trim(&mut grown, tier);
            if best
                .as_ref()
                .is_none_or(|best| grown.energy() < best.energy())
            {
                best = Some(grown);
            }
        }
        state = best.unwrap_or(state);
    }
    lower_broken(&mut state);
    state
}

/// Counts of a relaxation, rounded up from these fractions on; each is tried.
const ROUNDINGS: [f64; 3] = [0.25, 0.5, 0.75];

/// Builds a state from the counts of a relaxation: rounded, then what is missing started and what is
/// superfluous taken away as for [`seed`]. Shape of `relaxed`: `[tier][option][step]`.
pub(super) fn round<'m>(
    model: &'m Model,
    relaxed: &[Vec<Vec<f64>>],
    levels: &[usize],
    fixed: &[f64],
) -> State<'m> {
    let mut state = State::unchanged(model, levels, fixed);
    state.fine = model.unit_price * FINE;
    for (tier, counts) in relaxed.iter().enumerate() {
        let mut best: Option<State<'m>> = None;
        for fraction in ROUNDINGS {
            let mut rounded = state.clone();
            round_tier(&mut rounded, tier, counts, fraction);
            for option in &model.tiers[tier].candidates {
                let mut grown = rounded.clone();
                grow(&mut grown, tier, *option);
                trim(&mut grown, tier);
                let better = best
                    .as_ref()
                    .is_none_or(|best| grown.energy() < best.energy());
                if better {
                    best = Some(grown);
                }
            }
        }
        state = best.unwrap_or(state);
    }
    lower_broken(&mut state);
    state
}

#[expect(clippy::cast_possible_truncation, reason = "counts are small")]
fn round_tier(state: &mut State<'_>, tier: usize, counts: &[Vec<f64>], fraction: f64) {
    let steps = state.model.steps;
    let mut target = state.snapshot();
    for (row, series) in target.on[tier].chunks_mut(steps).zip(counts) {
        for (count, relaxed) in row.iter_mut().zip(series) {
            *count = (relaxed + 1.0 - fraction + 1e-6).floor().max(0.0) as i32;
        }
    }
    state.move_to(&target);
}

/// Starts VMs of one type wherever capacity is missing.
fn grow(state: &mut State<'_>, tier: usize, option: usize) {
    let steps = state.model.steps;
    let (delay, starts_max) = (
        state.model.tiers[tier].delay,
        state.model.tiers[tier].starts_max,
    );
    for step in 0..steps {
        let Some(latest) = step.checked_sub(delay) else {
            continue;
        };
        let mut from = latest;
        while state.tiers[tier].short[step] > 0.0 {
            let missing = state.tiers[tier].short[step];
            while state.tiers[tier].ups[from] >= starts_max && from > 0 {
                from -= 1;
            }
            if state.tiers[tier].ups[from] >= starts_max {
                break;
            }
            let edit = Edit {
                tier,
                option,
                from,
                to: steps,
                delta: 1,
            };
            if !state.apply(edit) {
                break;
            }
            if state.tiers[tier].short[step] >= missing {
                // This type lacks what is missing.
                state.apply(edit.inverse());
                break;
            }
        }
    }
}

/// Takes VMs away while that lowers the energy.
fn trim(state: &mut State<'_>, tier: usize) {
    for _round in 0..TRIM_ROUNDS_MAX {
        let before = state.energy();
        for option in 0..state.model.tiers[tier].options {
            trim_option(state, tier, option);
        }
        if state.energy() >= before {
            break;
        }
    }
}

fn trim_option(state: &mut State<'_>, tier: usize, option: usize) {
    let steps = state.model.steps;
    // Ends of the horizon first, then stretches between two changes.
    while improve_suffix(state, tier, option) {}
    let mut step = 0;
    while step < steps {
        let model = &state.model.tiers[tier];
        let to = state.tiers[tier]
            .next_edge(model, option, step + 1, steps)
            .unwrap_or(steps);
        let (mut from, mut end) = (step, to);
        // Halving finds a stretch that nobody needs without trying every one.
        while from < end {
            if improves(
                state,
                Edit {
                    tier,
                    option,
                    from,
                    to: end,
                    delta: -1,
                },
            ) {
                break;
            }
            let middle = from + (end - from).div_ceil(2);
            if improves(
                state,
                Edit {
                    tier,
                    option,
                    from: middle,
                    to: end,
                    delta: -1,
                },
            ) {
                break;
            }
            if middle == end {
                from = end;
            }
            end = middle.min(end - 1);
        }
        step = to;
    }
}

/// Stops one VM as early as it is not needed until the end.
fn improve_suffix(state: &mut State<'_>, tier: usize, option: usize) -> bool {
    let steps = state.model.steps;
    let (mut low, mut high) = (0, steps);
    let mut found = false;
    while low < high {
        let from = low.midpoint(high);
        let edit = Edit {
            tier,
            option,
            from,
            to: steps,
            delta: -1,
        };
        let before = state.energy();
        if state.apply(edit) && state.energy() < before {
            state.apply(edit.inverse());
            found = true;
            high = from;
        } else {
            if state.energy() > before {
                state.apply(edit.inverse());
            }
            low = from + 1;
        }
    }
    found
        && improves(
            state,
            Edit {
                tier,
                option,
                from: high,
                to: steps,
                delta: -1,
            },
        )
}

/// Keeps an edit when it lowers the energy.
fn improves(state: &mut State<'_>, edit: Edit) -> bool {
    let before = state.energy();
    if !state.apply(edit) {
        return false;
    }
    if state.energy() < before {
        return true;
    }
    state.apply(edit.inverse());
    false
}

/// Lowers the level of steps that cannot be covered, where the policy allows it.
pub(super) fn lower_broken(state: &mut State<'_>) {
    let least = state.model.level_min;
    for step in 0..state.model.steps {
        let missing = |state: &State<'_>| state.tiers.iter().any(|tier| tier.short[step] > 0.0);
        while state.levels[step] > least && missing(state) {
            state.set_level(step, state.levels[step] - 1);
        }
    }
}
