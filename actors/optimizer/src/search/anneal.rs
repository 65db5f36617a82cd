//! Simulated annealing of one individual: the local improvement inside the genetic algorithm.

use super::blocks;
use super::model::Model;
use super::moves::{self, Move};
use super::screen;
use super::state::{Edit, Snapshot, State};
use rand::Rng;
use rand_chacha::ChaCha8Rng;

/// One stretch of an annealing run; a run may be cut into several.
#[derive(Clone, Copy, Debug)]
pub(super) struct Cooling {
    /// First temperature of the run, in VM-steps of the mean price.
    pub(super) hot: f64,
    /// Shares of the run at which this stretch begins and ends.
    pub(super) begin: f64,
    pub(super) end: f64,
    /// Moves to price in this stretch, exactly.
    pub(super) evaluations: u64,
}

/// The best plan of an individual.
#[derive(Clone, Debug)]
pub(super) struct Best {
    pub(super) snapshot: Snapshot,
    /// Cost and the price of what is broken, in nano-dollars.
    pub(super) energy: f64,
    pub(super) feasible: bool,
}

impl Best {
    pub(super) fn of(state: &State<'_>) -> Self {
        let energy = state.energy_at(fine_last(state.model));
        Self {
            snapshot: state.snapshot(),
            energy,
            feasible: state.feasible(),
        }
    }

    /// Whether the other is an improvement: feasible first, then cheaper.
    pub(super) fn beaten_by(&self, energy: f64, feasible: bool) -> bool {
        (feasible && !self.feasible) || (feasible == self.feasible && energy < self.energy)
    }

    /// Order of preference: feasible first, then cheaper.
    pub(super) fn order(&self, other: &Self) -> std::cmp::Ordering {
        let feasible = other.feasible.cmp(&self.feasible);
        feasible.then(self.energy.total_cmp(&other.energy))
    }

    fn note(&mut self, state: &State<'_>, energy: f64, fine_last: f64) {
        let feasible = state.feasible();
        let energy = if feasible {
            energy
        } else {
            state.energy_at(fine_last)
        };
        if self.beaten_by(energy, feasible) {
            (self.energy, self.feasible) = (energy, feasible);
            state.save(&mut self.snapshot);
        }
    }
}

/// Last temperature of every run, in VM-steps of the mean price.
const COLD: f64 = 0.02;
/// Evaluations between two changes of the temperature.
const COOLING_INTERVAL: u64 = 64;
/// Price of a broken constraint at the start of a run, in VM-steps of the mean price.
const FINE_FIRST: f64 = 1.0;
/// The same at its end: dear enough that nothing stays broken.
const FINE_LAST: f64 = 40.0;
/// Share of moves that change levels, where the policy leaves a choice.
const LEVEL_SHARE: f64 = 0.06;

/// The price of a broken constraint at which plans are compared.
pub(super) fn fine_last(model: &Model) -> f64 {
    (model.unit_price * FINE_LAST).round()
}

/// Anneals a state over a stretch and notes the best that it passes; `caps` bounds the level of each
/// step.
pub(super) fn anneal(
    state: &mut State<'_>,
    best: &mut Best,
    caps: &[usize],
    cooling: Cooling,
    rng: &mut ChaCha8Rng,
) {
    let model = state.model;
    let dearest = fine_last(model);
    let wheel = Wheel::new(state);
    let level_share = if model.level_min < model.level_max {
        LEVEL_SHARE
    } else {
        0.0
    };
    let (mut temperature, mut energy) = (0.0, 0.0);
    for evaluation in 0..cooling.evaluations {
        if evaluation % COOLING_INTERVAL == 0 {
            let share = evaluation as f64 / cooling.evaluations as f64;
            let progress = cooling.begin + (cooling.end - cooling.begin) * share;
            temperature = geometric(cooling.hot, COLD, progress) * model.unit_price;
            state.fine = (geometric(FINE_FIRST, FINE_LAST, progress) * model.unit_price).round();
            energy = state.energy();
        }
        let drawn = if model.blocks && rng.random_bool(blocks::BLOCK_SHARE) {
            Drawn::Block(blocks::draw(state, wheel.spin(rng), rng))
        } else if level_share > 0.0 && rng.random_bool(level_share) {
            Drawn::Level(level_move(state, caps, rng))
        } else {
            Drawn::Counts(moves::draw(state, wheel.spin(rng), rng))
        };
        // Metropolis' rule, with the chance drawn first: a rise of at most `limit` is accepted.
        let limit = -(rng.random::<f64>().max(f64::MIN_POSITIVE)).ln() * temperature;
        if let Drawn::Counts(counts) = &drawn
            && screen::hopeless(state, counts, limit)
        {
            continue;
        }
        let undo = apply(state, &drawn);
        let new = if undo.refused {
            f64::INFINITY
        } else {
            state.energy()
        };
        if new - energy > limit {
            revert(state, &drawn, &undo);
            continue;
        }
        energy = new;
        best.note(state, energy, dearest);
    }
}

fn geometric(first: f64, last: f64, progress: f64) -> f64 {
    first * (last / first).powf(progress)
}

#[derive(Debug)]
enum Drawn {
    Counts(Move),
    Block(Vec<Edit>),
    Level(LevelMove),
}

/// Sets the level over a short window.
#[derive(Clone, Copy, Debug)]
struct LevelMove {
    from: usize,
    to: usize,
    level: usize,
}

/// Longest window of a level move.
const LEVEL_WINDOW: usize = 8;

/// What undoing needs to know.
#[derive(Debug)]
struct Undo {
    applied: usize,
    refused: bool,
    levels: [usize; LEVEL_WINDOW],
}

fn level_move(state: &State<'_>, caps: &[usize], rng: &mut ChaCha8Rng) -> LevelMove {
    let model = state.model;
    let from = rng.random_range(0..model.steps);
    let length = if rng.random_bool(0.6) {
        1
    } else {
        rng.random_range(1..=LEVEL_WINDOW)
    };
    let to = (from + length).min(model.steps);
    let most = caps[from..to]
        .iter()
        .copied()
        .min()
        .unwrap_or(model.level_min);
    let level = match rng.random_range(0..4_u32) {
        0 => state.levels[from].saturating_sub(1),
        1 => state.levels[from] + 1,
        _ => rng.random_range(model.level_min..=model.level_max),
    };
    LevelMove {
        from,
        to,
        level: level.min(most).max(model.level_min),
    }
}

fn apply(state: &mut State<'_>, drawn: &Drawn) -> Undo {
    let mut undo = Undo {
        applied: 0,
        refused: false,
        levels: [0; LEVEL_WINDOW],
    };
    match drawn {
        Drawn::Counts(counts) => apply_edits(state, counts.edits(), &mut undo),
        Drawn::Block(edits) => apply_edits(state, edits, &mut undo),
        Drawn::Level(level) => {
            for step in level.from..level.to {
                undo.levels[step - level.from] = state.levels[step];
                if state.levels[step] != level.level {
                    state.set_level(step, level.level);
                }
            }
        }
    }
    undo
}

fn apply_edits(state: &mut State<'_>, edits: &[Edit], undo: &mut Undo) {
    undo.refused = edits.is_empty();
    for edit in edits {
        if !state.apply(*edit) {
            undo.refused = true;
            break;
        }
        undo.applied += 1;
    }
}

fn revert_edits(state: &mut State<'_>, edits: &[Edit]) {
    for edit in edits.iter().rev() {
        let restored = state.apply(edit.inverse());
        debug_assert!(restored, "the opposite of an applied edit applies");
    }
}

fn revert(state: &mut State<'_>, drawn: &Drawn, undo: &Undo) {
    match drawn {
        Drawn::Counts(counts) => revert_edits(state, &counts.edits()[..undo.applied]),
        Drawn::Block(edits) => revert_edits(state, &edits[..undo.applied]),
        Drawn::Level(level) => {
            for step in level.from..level.to {
                state.set_level(step, undo.levels[step - level.from]);
            }
        }
    }
}

/// Chooses tiers in proportion to the size of their part of the problem.
#[derive(Debug)]
struct Wheel {
    sums: Vec<f64>,
}

impl Wheel {
    fn new(state: &State<'_>) -> Self {
        let mut sum = 0.0;
        let steps = state.model.steps as f64;
        let sums = state
            .model
            .tiers
            .iter()
            .zip(&state.tiers)
            .map(|(model, tier)| {
                let spend: f64 = tier
                    .area
                    .iter()
                    .zip(&model.step_price)
                    .map(|(area, price)| *area as f64 * price)
                    .sum();
                // The square root lets small tiers come to their turn.
                sum += (spend / model_unit(model) / steps + 1.0).sqrt();
                sum
            })
            .collect();
        Self { sums }
    }

    fn spin(&self, rng: &mut ChaCha8Rng) -> usize {
        let total = self.sums.last().copied().unwrap_or(0.0);
        let at = rng.random::<f64>() * total;
        self.sums.iter().position(|sum| at < *sum).unwrap_or(0)
    }
}

fn model_unit(model: &super::model::TierModel) -> f64 {
    let sum: f64 = model.step_price.iter().sum();
    (sum / model.options.max(1) as f64).max(1.0)
}

/// Levels that the volumes and the link of a plan allow in each step.
pub(super) fn level_caps(model: &Model, allowed: impl Fn(usize, usize) -> bool) -> Vec<usize> {
    (0..model.steps)
        .map(|step| {
            let levels = (model.level_min..=model.level_max).rev();
            levels
                .into_iter()
                .find(|level| allowed(step, *level))
                .unwrap_or(model.level_min)
        })
        .collect()
}
