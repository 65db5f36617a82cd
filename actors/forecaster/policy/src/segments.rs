//! Pieces of traces to learn from.
//!
//! What a choice leads to is paid within one start-up time, so short pieces hold all that there is to
//! learn, and each trace and price can have as many of them. What a minimum bill longer than a step adds is
//! left out here; comparisons count it.

use crate::environment::Setting;
use crate::features::State;
use crate::guard::{Guard, KEEP, Ladder, SHIFTS};
use crate::money::miss;
use crate::trace::Trace;
use rand::Rng;
use rand_chacha::ChaCha8Rng;
use std::collections::BTreeMap;

/// Steps of a piece in which choices are judged.
pub const SEGMENT_STEPS: usize = 48;
/// Most pieces of a trace at a price.
pub const SEGMENTS_MAX: usize = 1_024;
/// Smallest unit of savings: money of a step that is nothing.
const UNIT_MIN: f64 = 1e-6;

/// A piece of a trace at an operator's price.
#[derive(Clone, Debug)]
pub struct Segment {
    /// Which trace.
    pub trace: usize,
    /// What was seen at each step; those after [`SEGMENT_STEPS`] only show what the last choices lead to.
    pub states: Vec<State>,
    /// Steps in which choices are judged.
    pub judged: usize,
    /// What each choice asks for. Shape `[step][choice]`.
    counts: Vec<[u32; SHIFTS]>,
    /// What the operator's setting asked for in the start-up time before.
    before: Vec<u32>,
    /// VMs needed; `None` = not observed.
    needed: Vec<Option<u32>>,
    mean_vms: f64,
    price: f64,
    kept: Vec<f64>,
    /// Savings are told in this unit: their spread under random choices at this price in this suite.
    unit: f64,
}

impl Segment {
    /// What each choice would save in each judged step, all other steps being chosen as they are.
    ///
    /// Compared with the operator's setting, over the start-up time that the choice can influence, in units
    /// that are alike for all prices: exact, since demand does not depend on choices. `shifts` has one
    /// choice per state. A choice that is not allowed has the value of the operator's.
    pub fn returns(&self, shifts: &[usize]) -> Vec<[f64; SHIFTS]> {
        let start_up_steps = self.before.len();
        let asked = self.counts.iter().zip(shifts);
        let asked = asked.map(|(counts, shift)| counts[(*shift).min(SHIFTS - 1)]);
        let mut desired: Vec<u32> = self.before.iter().copied().chain(asked).collect();
        let mut all = Vec::with_capacity(self.judged);
        for (step, counts) in self.counts.iter().enumerate().take(self.judged) {
            let place = step + start_up_steps;
            let chosen = desired[place];
            let mut returns = [0.0; SHIFTS];
            for (value, count) in returns.iter_mut().zip(counts) {
                desired[place] = *count;
                let steps = step..=step + start_up_steps;
                *value = steps.map(|step| self.saved(step, &desired)).sum::<f64>() / self.unit;
            }
            desired[place] = chosen;
            all.push(returns);
        }
        all
    }

    /// Money saved in a step; `desired` begins a start-up time before the piece.
    fn saved(&self, step: usize, desired: &[u32]) -> f64 {
        let window = desired.get(step..=step + self.before.len());
        let window = window.unwrap_or_default();
        let needed = self.needed.get(step).copied().flatten();
        let (Some(needed), Some(asked)) = (needed, window.last()) else {
            return 0.0;
        };
        let serving = window.iter().copied().min().unwrap_or(0);
        let missed = miss(needed, serving, self.mean_vms);
        self.kept[step] - f64::from(*asked) / self.mean_vms - self.price * missed
    }
}

/// Cuts pieces out of the members among traces at every price of the ladder, as many of each.
///
/// Nothing of the other traces is looked at. Memory: about 200 bytes a step of a piece.
pub fn segments(
    (traces, members): (&[Trace], &[usize]),
    ladder: &Ladder,
    guard: &Guard,
    each: usize,
    rng: &mut ChaCha8Rng,
) -> Vec<Segment> {
    let mut all = Vec::new();
    for operator in 0..ladder.len() {
        let first = all.len();
        let of_members = members
            .iter()
            .filter_map(|number| Some((*number, traces.get(*number)?)));
        for (number, trace) in of_members {
            let setting = Setting {
                trace,
                ladder,
                guard,
                operator,
            };
            cut(&setting, number, each.min(SEGMENTS_MAX), rng, &mut all);
        }
        let suite = |segment: &Segment| traces[segment.trace].demand().suite.clone();
        set_units(&mut all[first..], &suite, rng);
    }
    all
}

fn cut(
    setting: &Setting<'_>,
    number: usize,
    each: usize,
    rng: &mut ChaCha8Rng,
    all: &mut Vec<Segment>,
) {
    let demand = setting.trace.demand();
    let start_up_steps = demand.start_up_steps;
    let length = SEGMENT_STEPS + start_up_steps;
    // What runs before a piece must be the operator's choice, for a whole start-up time.
    let last = demand.steps().checked_sub(length);
    let Some(last) = last.filter(|last| *last >= start_up_steps) else {
        return;
    };
    let states = setting.states();
    let kept = setting.kept();
    let kept_money = setting.money(&kept);
    let settings = setting.guard.settings(setting.ladder, setting.operator);
    for _ in 0..each {
        let from = rng.random_range(start_up_steps..=last);
        let steps = from..from + length;
        let counts = steps.clone().map(|step| {
            let of_step = setting.trace.counts(step);
            settings.map(|setting_of| {
                let wanted = setting_of.unwrap_or(setting.operator);
                of_step.get(wanted).copied().unwrap_or(0)
            })
        });
        let needed = steps
            .clone()
            .map(|step| demand.is_observed[step].then_some(demand.vms[step]));
        all.push(Segment {
            trace: number,
            counts: counts.collect(),
            needed: needed.collect(),
            before: kept[from - start_up_steps..from].to_vec(),
            states: states[steps.clone()].to_vec(),
            judged: SEGMENT_STEPS,
            mean_vms: demand.mean_vms,
            price: setting.price(),
            kept: kept_money[steps].to_vec(),
            unit: 1.0,
        });
    }
}

/// Sets the unit of all pieces at one price, per suite.
fn set_units(segments: &mut [Segment], suite: &dyn Fn(&Segment) -> String, rng: &mut ChaCha8Rng) {
    let mut sums: BTreeMap<String, (f64, f64)> = BTreeMap::new();
    for segment in &*segments {
        let shifts = segment.states.iter().map(|state| {
            let shift = rng.random_range(0..SHIFTS);
            if state.allowed[shift] { shift } else { KEEP }
        });
        let returns = segment.returns(&shifts.collect::<Vec<_>>());
        let returns = returns.as_flattened();
        let (squares, count) = sums.entry(suite(segment)).or_default();
        *squares += returns.iter().map(|value| value * value).sum::<f64>();
        *count += returns.len() as f64;
    }
    for segment in segments {
        let (squares, count) = sums.get(&suite(segment)).copied().unwrap_or_default();
        segment.unit = (squares / f64::max(count, 1.0)).sqrt().max(UNIT_MIN);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::trace::Demand;
    use proptest::prelude::*;
    use rand::{Rng, SeedableRng};

    proptest! {
        /// What a piece says of one changed choice is what the simulation of the whole trace says.
        #[test]
        fn a_changed_choice_saves_what_the_simulation_says(
            seed in any::<u64>(),
            start_up_steps in 0_usize..5,
        ) {
            let mut rng = ChaCha8Rng::seed_from_u64(seed);
            let steps = SEGMENT_STEPS + 2 * start_up_steps;
            let demand = Demand {
                suite: "made".to_owned(),
                name: "made".to_owned(),
                customer: "made".to_owned(),
                step_s: 300,
                start_up_steps,
                decision_steps: 1,
                minimum_bill_s: 60,
                start_s: 0,
                initial: 4,
                mean_vms: 3.0,
                vms: (0..steps).map(|_| rng.random_range(1..9)).collect(),
                is_observed: (0..steps).map(|step| step == steps - 1 || rng.random()).collect(),
            };
            let ladder = Ladder::new(vec![1.0, 2.0, 4.0]).expect("ascends");
            let counts = (0..steps * 3).map(|_| rng.random_range(1..9)).collect();
            let traces = [Trace::new(demand, &ladder, counts).expect("good")];
            let guard = Guard::default();
            let pieces = segments((&traces, &[0]), &ladder, &guard, 1, &mut rng);
            prop_assert_eq!(pieces.len(), 3);
            for (operator, piece) in pieces.iter().enumerate() {
                let setting = Setting { trace: &traces[0], ladder: &ladder, guard: &guard, operator };
                // The only piece that fits begins after one start-up time.
                let mut shifts = vec![KEEP; start_up_steps];
                shifts.extend(piece.states.iter().map(|_| rng.random_range(0..SHIFTS)));
                let total = |shifts: &[usize]| -> f64 {
                    setting.money(&setting.desired(shifts)).iter().sum()
                };
                let before = total(&shifts);
                let step = rng.random_range(0..SEGMENT_STEPS);
                let returns = piece.returns(&shifts[start_up_steps..])[step];
                let chosen = shifts[start_up_steps + step];
                for other in 0..SHIFTS {
                    shifts[start_up_steps + step] = other;
                    let saved = (returns[other] - returns[chosen]) * piece.unit;
                    prop_assert!((before - total(&shifts) - saved).abs() < 1e-9);
                }
            }
        }
    }
}
