//! Block replacement: another VM type takes over a long stretch.
//!
//! Small moves cannot change the type that carries a tier's base load: each of them alone makes the plan
//! dearer. Here the VMs of one type, or of all, leave a stretch of steps and another type gets just the
//! counts that the stretch then lacks, short valleys filled so that VMs are not stopped for a moment.

use super::model::LANES;
use super::state::{Edit, State};
use rand::Rng;
use rand_chacha::ChaCha8Rng;

/// Share of the moves of a long search that replace blocks.
pub(super) const BLOCK_SHARE: f64 = 0.004;
/// Chance that all types leave.
const ALL_LEAVE: f64 = 0.3;
/// Steps of the longest valley that is filled.
const VALLEY_MAX: usize = 16;
/// A stretch is at least this share of the horizon.
const STRETCH_SHARE: usize = 8;

/// Draws a replacement in a tier, as edits in order; none when there is no other type.
pub(super) fn draw(state: &State<'_>, tier: usize, rng: &mut ChaCha8Rng) -> Vec<Edit> {
    let model = &state.model.tiers[tier];
    let steps = state.model.steps;
    let entering = model.candidates[rng.random_range(0..model.candidates.len())];
    let leaving: Vec<usize> = if rng.random_bool(ALL_LEAVE) {
        (0..model.options)
            .filter(|option| *option != entering)
            .collect()
    } else {
        let active = |option: &usize| *option != entering && state.tiers[tier].area[*option] > 0;
        let active: Vec<usize> = (0..model.options).filter(active).collect();
        if active.is_empty() {
            return Vec::new();
        }
        vec![active[rng.random_range(0..active.len())]]
    };
    let least = (steps / STRETCH_SHARE).clamp(1, steps);
    let length = rng.random_range(least..=steps);
    let from = rng.random_range(0..=steps - length);
    let mut edits = Vec::new();
    for option in &leaving {
        let on = &state.tiers[tier].on[option * steps..(option + 1) * steps];
        push_runs(&mut edits, (tier, *option, from), |step| {
            (step < from + length).then(|| -on[step])
        });
    }
    let mut wanted = lacking(state, tier, (entering, &leaving), (from, from + length));
    fill_valleys(&mut wanted, rng.random_range(1..=VALLEY_MAX));
    // VMs start ahead of their time.
    let ahead = model.delay.min(from);
    let first = from - ahead;
    let led = |step: usize| -> Option<i32> {
        let place = step.checked_sub(first)?;
        let last = wanted.len() + ahead;
        let within = place.saturating_sub(ahead)..(place + 1).min(wanted.len());
        (place < last).then(|| wanted[within].iter().copied().max().unwrap_or(0))
    };
    push_runs(&mut edits, (tier, entering, first), led);
    edits
}

/// VMs of the entering type that each step lacks once others have left.
fn lacking(
    state: &State<'_>,
    tier: usize,
    (entering, leaving): (usize, &[usize]),
    (from, to): (usize, usize),
) -> Vec<i32> {
    let model = &state.model.tiers[tier];
    let steps = state.model.steps;
    let groups = model.groups;
    let capacity = |option: usize| &model.capacity[option * groups..(option + 1) * groups];
    (from..to)
        .map(|step| {
            let need = (step * state.model.levels + state.levels[step]) * groups;
            let mut most = 0.0_f64;
            for group in 0..groups {
                for lane in 0..LANES {
                    let mut have = state.tiers[tier].serving[step * groups + group][lane];
                    for option in leaving {
                        let on = state.tiers[tier].on[option * steps + step];
                        have -= capacity(*option)[group][lane] * f64::from(on);
                    }
                    let missing = model.need[need + group][lane] - have;
                    let units = capacity(entering)[group][lane];
                    if missing > 0.0 && units > 0.0 {
                        most = most.max((missing / units).ceil());
                    }
                }
            }
            whole(most)
        })
        .collect()
}

#[expect(clippy::cast_possible_truncation, reason = "bounded just before")]
fn whole(value: f64) -> i32 {
    value.min(1e6) as i32
}

/// Raises valleys shorter than `width` steps to their lower bank.
fn fill_valleys(counts: &mut [i32], width: usize) {
    let dilated: Vec<i32> = (0..counts.len())
        .map(|step| {
            let within = step.saturating_sub(width - 1)..=step;
            counts[within].iter().copied().max().unwrap_or(0)
        })
        .collect();
    for (step, count) in counts.iter_mut().enumerate() {
        let within = step..(step + width).min(dilated.len());
        let closed = dilated[within].iter().copied().min().unwrap_or(0);
        *count = closed.max(*count);
    }
}

/// Adds an edit for each run of equal changes from `first` on, until `change` ends.
fn push_runs(
    edits: &mut Vec<Edit>,
    (tier, option, first): (usize, usize, usize),
    change: impl Fn(usize) -> Option<i32>,
) {
    let mut from = first;
    while let Some(delta) = change(from) {
        let mut to = from + 1;
        while change(to) == Some(delta) {
            to += 1;
        }
        if delta != 0 {
            edits.push(Edit {
                tier,
                option,
                from,
                to,
                delta,
            });
        }
        from = to;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn short_valleys_are_filled_and_long_ones_stay() {
        let mut counts = [3, 1, 3, 0, 0, 0, 0, 2, 2];
        fill_valleys(&mut counts, 3);
        assert_eq!(counts, [3, 3, 3, 0, 0, 0, 0, 2, 2]);
    }
}
