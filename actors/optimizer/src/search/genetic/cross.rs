//! Crossover: tiers, or a window of steps, of another individual.

use super::super::state::{Snapshot, State};
use super::{Individual, Run};
use rand::Rng;
use rand_chacha::ChaCha8Rng;

/// Cuts tried for the one where two parents differ least.
const CUTS: usize = 6;

impl Run<'_> {
    /// Puts tiers or a window of steps of another individual into a state.
    pub(in crate::search) fn cross(
        &self,
        state: &mut State<'_>,
        other: &Individual,
        caps: &[usize],
        rng: &mut ChaCha8Rng,
    ) {
        let steps = self.problem.steps;
        let mut target = state.snapshot();
        let theirs = &other.best.snapshot;
        let by_tier = self.model.tiers.len() > 1 && rng.random_bool(0.5);
        if by_tier {
            for (mine, theirs) in target.on.iter_mut().zip(&theirs.on) {
                if rng.random_bool(0.5) {
                    mine.copy_from_slice(theirs);
                }
            }
        } else {
            let from = self.cut(state, theirs, rng);
            let to = self.cut(state, theirs, rng);
            let (from, to) = (from.min(to), from.max(to));
            for (mine, theirs) in target.on.iter_mut().zip(&theirs.on) {
                for (mine, theirs) in mine.chunks_mut(steps).zip(theirs.chunks(steps)) {
                    mine[from..to].copy_from_slice(&theirs[from..to]);
                }
            }
            let levels = theirs.levels.iter().zip(caps).enumerate();
            for (step, (level, cap)) in levels.take(to).skip(from) {
                state.set_level(step, *level.min(cap));
            }
        }
        state.move_to(&target);
    }

    /// A step where two plans differ little, so that a change-over needs few starts and stops.
    fn cut(&self, state: &State<'_>, theirs: &Snapshot, rng: &mut ChaCha8Rng) -> usize {
        let steps = self.problem.steps;
        let difference = |step: usize| -> i64 {
            if step == 0 || step == steps {
                return 0;
            }
            let tiers = state.tiers.iter().zip(&theirs.on);
            let rows =
                tiers.flat_map(|(mine, theirs)| mine.on.chunks(steps).zip(theirs.chunks(steps)));
            rows.map(|(mine, theirs)| i64::from((mine[step] - theirs[step]).abs()))
                .sum()
        };
        let drawn: Vec<usize> = (0..CUTS).map(|_| rng.random_range(0..=steps)).collect();
        drawn
            .into_iter()
            .min_by_key(|step| difference(*step))
            .unwrap_or(0)
    }
}
