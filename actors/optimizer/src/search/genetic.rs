//! The genetic algorithm: individuals, crossover and the order of the work.
//!
//! Every `ga_generation` gives each individual one child: parents are crossed by tier and by time
//! window, the child is annealed with a fixed share of the evaluations, and it takes its parent's place
//! when it is better. A child depends on the generation before and on a generator of its own, so threads
//! change nothing but the time. How a generation works never depends on how many follow.

mod cross;

use super::anneal::{self, Best, Cooling};
use super::model::Model;
use super::state::{Snapshot, State};
use super::{SearchSettings, heuristic};
use crate::pieces;
use crate::plan::Plan;
use crate::problem::Problem;
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use std::thread;

/// Individuals.
pub(super) const POPULATION: usize = 2;
/// Share of the evaluations for the first run of every individual.
const FIRST_RUN_SHARE: f64 = 0.6;
/// Generations that the first run is cut into.
const FIRST_RUN_GENERATIONS: u32 = 8;
/// Generations of crossed children after the first run.
const CROSSED_GENERATIONS: u32 = 6;
/// Share of the evaluations kept for cooling down at once when the first run is cut short.
const QUENCH_SHARE: f64 = 0.05;
/// First temperature of the first run, in VM-steps of the mean price.
pub(super) const HOT_FIRST: [f64; 2] = [8.0; 2];
/// The same from plans that are good already: the best keeps its shape, the next goes far from its own.
pub(super) const HOT_FOUNDED: [f64; 2] = [1.5, 8.0];
/// Moves that repair the switching of a rounded relaxation, per tier, and where their cooling begins.
const REPAIR_EVALUATIONS: u64 = 6_000;
const REPAIR_BEGIN: f64 = 0.5;
/// First temperatures of children, in turn.
const HOT_CHILD: [f64; 4] = [1.0, 3.0, 0.4, 1.5];
/// First temperature of the quench.
const HOT_QUENCH: f64 = 0.3;
/// A plan with its settled volumes and link.
#[derive(Clone, Debug)]
pub(super) struct Individual {
    pub(super) best: Best,
    /// Where its annealing stands.
    pub(super) current: Snapshot,
    pub(super) settled: Settled,
}

/// Volumes and link, settled for a row of levels.
#[derive(Clone, Debug)]
pub(super) struct Settled {
    pub(super) plan: Plan,
    /// Spend of each step in nano-dollars.
    pub(super) fixed: Vec<f64>,
    /// Highest level that they cover in each step.
    pub(super) caps: Vec<usize>,
}

/// What the algorithm found.
#[derive(Clone, Debug)]
pub(super) struct Found {
    pub(super) plan: Plan,
    pub(super) seed: Plan,
    pub(super) evaluations: u64,
    pub(super) ga_generations: u32,
    pub(super) truncated: bool,
}

/// One run of the algorithm.
#[derive(Debug)]
pub(super) struct Run<'a> {
    pub(super) problem: &'a Problem,
    pub(super) model: &'a Model,
    pub(super) settings: &'a SearchSettings,
    /// First temperatures of the first run of even and odd lines, in VM-steps of the mean price.
    pub(super) hot: [f64; 2],
}

/// What a run starts from.
#[derive(Debug)]
pub(super) struct Start<'a> {
    /// Plans besides the one by rule.
    pub(super) founders: &'a [&'a Plan],
    /// First temperatures of the first run of even and odd lines, in VM-steps of the mean price.
    pub(super) hot: [f64; 2],
    /// Whether moves may replace a type over a long stretch.
    pub(super) blocks: bool,
}

/// Searches; `may_start` is asked before every generation, with the evaluations used so far, whether so
/// many more may begin.
pub(super) fn run(
    problem: &Problem,
    settings: &SearchSettings,
    start: &Start<'_>,
    may_start: &mut dyn FnMut(u64, u64) -> bool,
) -> Found {
    let mut model = Model::new(problem);
    model.blocks = start.blocks;
    let run = Run {
        problem,
        model: &model,
        settings,
        hot: start.hot,
    };
    let settled = run.settle_highest();
    let seed = run.seed(&settled);
    let mut population = vec![seed.clone(); POPULATION];
    let warm = start
        .founders
        .iter()
        .filter_map(|plan| run.warm(plan, &settled));
    let mut founders: Vec<Individual> = warm.collect();
    if founders.len() > 1 {
        // Of many founders the best two have a line each.
        founders.insert(0, seed.clone());
        founders.sort_by(|left, right| left.best.order(&right.best));
        population[0] = founders.remove(0);
    }
    if let Some(warm) = founders.first() {
        // The last plan founds every other line, so neither seed can be lost to the other.
        population
            .iter_mut()
            .skip(1)
            .step_by(2)
            .for_each(|slot| *slot = warm.clone());
    }
    let mut elite = Run::better(&population).clone();
    let (mut used, mut ga_generation, mut truncated) = (0, 0, false);
    while let Some(phase) = run.phase(ga_generation, used) {
        let quench = if phase.first_run {
            run.share(QUENCH_SHARE)
        } else {
            0
        };
        truncated = !may_start(used, phase.budget + quench);
        let phase = if truncated {
            run.quench(quench, used)
        } else {
            phase
        };
        let children = run.generation(&population, phase);
        for (slot, child) in population.iter_mut().zip(children) {
            if phase.first_run || slot.best.beaten_by(child.best.energy, child.best.feasible) {
                *slot = child;
            }
        }
        let best = Run::better(&population);
        if elite.best.beaten_by(best.best.energy, best.best.feasible) {
            elite = best.clone();
        }
        used += phase.budget;
        ga_generation += u32::from(phase.budget > 0);
        if truncated {
            break;
        }
    }
    let (plan, seed) = (run.plan(&elite), run.plan(&seed));
    Found {
        plan,
        seed,
        evaluations: used,
        ga_generations: ga_generation,
        truncated,
    }
}

/// Builds a plan from the counts of a relaxation. Shape of `relaxed`: `[tier][option][step]`.
pub(super) fn rounded(problem: &Problem, relaxed: &[Vec<Vec<f64>>]) -> Plan {
    let model = Model::new(problem);
    let settings = SearchSettings {
        seed: 0,
        evaluations: 0,
        threads: 1,
    };
    let run = Run {
        problem,
        model: &model,
        settings: &settings,
        hot: [HOT_QUENCH; 2],
    };
    run.rounded(relaxed)
}

/// What a generation does.
#[derive(Clone, Copy, Debug)]
struct Phase {
    ga_generation: u32,
    /// Whether it goes on with the first run instead of crossing.
    first_run: bool,
    /// First temperatures of even and odd lines, unless crossing takes turns.
    hot: [f64; 2],
    /// Shares of the run at its begin and end.
    begin: f64,
    end: f64,
    /// Evaluations of all individuals together.
    budget: u64,
}

impl Run<'_> {
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "a share of a u64"
    )]
    fn share(&self, share: f64) -> u64 {
        (self.settings.evaluations as f64 * share) as u64
    }

    /// The next generation; `None` when all evaluations are used.
    fn phase(&self, ga_generation: u32, used: u64) -> Option<Phase> {
        let left = self.settings.evaluations - used;
        if left == 0 {
            return None;
        }
        let first_run = ga_generation < FIRST_RUN_GENERATIONS;
        let share = if first_run {
            FIRST_RUN_SHARE / f64::from(FIRST_RUN_GENERATIONS)
        } else {
            (1.0 - FIRST_RUN_SHARE) / f64::from(CROSSED_GENERATIONS)
        };
        let last = ga_generation + 1 >= FIRST_RUN_GENERATIONS + CROSSED_GENERATIONS;
        let budget = if last {
            left
        } else {
            self.share(share).clamp(1, left)
        };
        let cut = |at: u32| f64::from(at) / f64::from(FIRST_RUN_GENERATIONS);
        let (begin, end) = if first_run {
            (cut(ga_generation), cut(ga_generation + 1))
        } else {
            (0.0, 1.0)
        };
        Some(Phase {
            ga_generation,
            first_run,
            hot: self.hot,
            begin,
            end,
            budget,
        })
    }

    /// Cools every individual down at once, with at most `budget` evaluations.
    fn quench(&self, budget: u64, used: u64) -> Phase {
        let budget = budget.min(self.settings.evaluations - used);
        let ga_generation = FIRST_RUN_GENERATIONS;
        Phase {
            ga_generation,
            first_run: true,
            hot: [HOT_QUENCH; 2],
            begin: 0.0,
            end: 1.0,
            budget,
        }
    }

    /// The counts of a relaxation as a plan; volumes and link are settled for the levels covered.
    fn rounded(&self, relaxed: &[Vec<Vec<f64>>]) -> Plan {
        let settled = self.settle_highest();
        let state = heuristic::round(self.model, relaxed, &settled.caps, &settled.fixed);
        let mut state = state;
        let mut best = Best::of(&state);
        let mut rng = ChaCha8Rng::seed_from_u64(self.settings.seed);
        let cooling = Cooling {
            hot: HOT_QUENCH,
            begin: REPAIR_BEGIN,
            end: 1.0,
            evaluations: REPAIR_EVALUATIONS * relaxed.len() as u64,
        };
        anneal::anneal(&mut state, &mut best, &settled.caps, cooling, &mut rng);
        let individual = Individual {
            best,
            current: state.snapshot(),
            settled,
        };
        self.plan(&self.resettle(individual))
    }

    fn better(population: &[Individual]) -> &Individual {
        let mut best = &population[0];
        for individual in &population[1..] {
            if best
                .best
                .beaten_by(individual.best.energy, individual.best.feasible)
            {
                best = individual;
            }
        }
        best
    }

    fn plan(&self, individual: &Individual) -> Plan {
        let mut plan = individual.settled.plan.clone();
        State::write(&individual.best.snapshot, self.problem.steps, &mut plan);
        plan
    }

    /// Settles volumes and link for the highest level that they can cover in all steps.
    fn settle_highest(&self) -> Settled {
        let problem = self.problem;
        let mut plan = Plan::unchanged(problem);
        // What cannot be settled stays as it is, and the judge finds it.
        match pieces::settle_highest(problem, &mut plan) {
            Ok(_) | Err(_) => self.settled(plan),
        }
    }

    pub(super) fn settled(&self, plan: Plan) -> Settled {
        let (problem, model) = (self.problem, self.model);
        let caps = anneal::level_caps(model, |step, level| {
            pieces::covers(problem, &plan, step, level)
        });
        Settled {
            fixed: pieces::spend(problem, &plan),
            caps,
            plan,
        }
    }

    fn seed(&self, settled: &Settled) -> Individual {
        let state = heuristic::seed(self.model, &settled.caps, &settled.fixed);
        Individual {
            best: Best::of(&state),
            current: state.snapshot(),
            settled: settled.clone(),
        }
    }

    /// The last plan as an individual, when its shape is this problem's.
    fn warm(&self, plan: &Plan, settled: &Settled) -> Option<Individual> {
        let steps = self.problem.steps;
        let mut on = Vec::with_capacity(plan.counts.len());
        for (counts, tier) in plan.counts.iter().zip(&self.problem.tiers) {
            let fits =
                counts.len() == tier.options.len() && counts.iter().all(|row| row.len() == steps);
            if !fits {
                return None;
            }
            let counts = counts.iter().flatten();
            on.push(
                counts
                    .map(|count| i32::try_from(*count).unwrap_or(i32::MAX / 4))
                    .collect(),
            );
        }
        if on.len() != self.problem.tiers.len() {
            return None;
        }
        let snapshot = Snapshot {
            on,
            levels: settled.caps.clone(),
        };
        let mut state = State::restore(self.model, &snapshot, &settled.fixed);
        heuristic::lower_broken(&mut state);
        let (best, current) = (Best::of(&state), state.snapshot());
        Some(Individual {
            best,
            current,
            settled: settled.clone(),
        })
    }

    /// One child per individual, on as many threads as allowed.
    fn generation(&self, parents: &[Individual], phase: Phase) -> Vec<Individual> {
        let (count, budget) = (parents.len() as u64, phase.budget);
        let shares: Vec<u64> = (0..count)
            .map(|slot| budget / count + u64::from(slot < budget % count))
            .collect();
        let threads = self.settings.threads.clamp(1, parents.len());
        if threads == 1 {
            let slots = shares.iter().enumerate();
            return slots
                .map(|(slot, share)| self.child(parents, slot, phase, *share))
                .collect();
        }
        let mut children: Vec<Option<Individual>> = vec![None; parents.len()];
        thread::scope(|scope| {
            let chunk = parents.len().div_ceil(threads);
            for (first, places) in (0..).step_by(chunk).zip(children.chunks_mut(chunk)) {
                let shares = &shares;
                let fill = move |(slot, place): (usize, &mut Option<Individual>)| {
                    *place = Some(self.child(parents, slot, phase, shares[slot]));
                };
                scope.spawn(move || (first..).zip(places).for_each(fill));
            }
        });
        let slots = children.into_iter().zip(parents);
        slots
            .map(|(child, parent)| child.unwrap_or_else(|| parent.clone()))
            .collect()
    }

    fn child(&self, parents: &[Individual], slot: usize, phase: Phase, share: u64) -> Individual {
        let mut rng = ChaCha8Rng::seed_from_u64(self.settings.seed);
        rng.set_stream((u64::from(phase.ga_generation) << 16) | slot as u64);
        let parent = &parents[slot];
        let mut child = parent.clone();
        let caps = &parent.settled.caps;
        let from = if phase.first_run {
            &parent.current
        } else {
            &parent.best.snapshot
        };
        let mut state = State::restore(self.model, from, &parent.settled.fixed);
        let mut hot = phase.hot[slot % phase.hot.len()];
        if !phase.first_run {
            let other = &parents[rng.random_range(0..parents.len())];
            self.cross(&mut state, other, caps, &mut rng);
            hot = HOT_CHILD[(phase.ga_generation as usize + slot) % HOT_CHILD.len()];
        }
        let Phase { begin, end, .. } = phase;
        let cooling = Cooling {
            hot,
            begin,
            end,
            evaluations: share,
        };
        anneal::anneal(&mut state, &mut child.best, caps, cooling, &mut rng);
        child.current = state.snapshot();
        if phase.first_run && phase.end < 1.0 {
            child
        } else {
            self.resettle(child)
        }
    }

    /// Settles volumes and link again for the levels of an individual, when that is cheaper.
    fn resettle(&self, individual: Individual) -> Individual {
        if self.model.level_min == self.model.level_max {
            return individual;
        }
        let levels = &individual.best.snapshot.levels;
        let mut plan = individual.settled.plan.clone();
        if pieces::settle(self.problem, levels, &mut plan).is_err()
            || plan == individual.settled.plan
        {
            return individual;
        }
        let settled = self.settled(plan);
        let state = State::restore(self.model, &individual.best.snapshot, &settled.fixed);
        let best = Best::of(&state);
        if individual.best.beaten_by(best.energy, best.feasible) {
            let current = best.snapshot.clone();
            return Individual {
                best,
                current,
                settled,
            };
        }
        individual
    }
}
