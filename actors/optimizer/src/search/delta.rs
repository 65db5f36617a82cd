//! Moves priced one by one, for the benchmark of delta evaluations.

use super::model::Model;
use super::moves::{self, Move};
use super::state::{Snapshot, State};
use crate::pieces;
use crate::plan::Plan;
use crate::problem::Problem;
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;

/// Moves drawn beforehand, so that drawing them is not timed.
const DRAWN: usize = 4_096;

/// A plan to which moves are applied, priced and taken back.
#[derive(Debug)]
pub(crate) struct DeltaBench {
    model: Box<Model>,
    snapshot: Snapshot,
    fixed: Vec<f64>,
    moves: Vec<Move>,
    next: usize,
}

impl DeltaBench {
    /// Draws moves around a plan.
    pub(crate) fn new(problem: &Problem, plan: &Plan) -> Self {
        let model = Box::new(Model::new(problem));
        let on = plan.counts.iter().map(|counts| {
            let counts = counts.iter().flatten();
            counts
                .map(|count| i32::try_from(*count).unwrap_or(0))
                .collect()
        });
        let snapshot = Snapshot {
            on: on.collect(),
            levels: vec![problem.level_max; problem.steps],
        };
        let fixed = pieces::spend(problem, plan);
        let mut rng = ChaCha8Rng::seed_from_u64(1);
        let state = State::restore(&model, &snapshot, &fixed);
        let draws = 0..DRAWN;
        let moves = draws.map(|_| {
            let tier = rng.random_range(0..model.tiers.len());
            moves::draw(&state, tier, &mut rng)
        });
        let moves = moves.collect();
        drop(state);
        Self {
            model,
            snapshot,
            fixed,
            moves,
            next: 0,
        }
    }

    /// Prices so many moves; the sum of their energies, so that none is left out.
    pub(crate) fn run(&mut self, moves: usize) -> f64 {
        let mut state = State::restore(&self.model, &self.snapshot, &self.fixed);
        let mut energy = 0.0;
        for _ in 0..moves {
            let drawn = &self.moves[self.next % self.moves.len()];
            self.next += 1;
            let edits = drawn.edits();
            let applied = edits.iter().take_while(|edit| state.apply(**edit)).count();
            energy += state.energy();
            for edit in edits[..applied].iter().rev() {
                state.apply(edit.inverse());
            }
        }
        energy
    }
}
