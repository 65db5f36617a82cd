//! NSGA-II over whole plans: two objectives, spend and risk.
//!
//! A child lies between two neighbours of the front: their plans are crossed and the child is annealed
//! shortly, with the risk priced at about the slope between them (the price of risk takes the place of
//! the penalty). Ranks by dominance, then crowding, decide who stays.

use super::anneal::{self, Best, Cooling};
use super::genetic::{Individual, Run};
use super::model::Model;
use super::state::{Snapshot, State};
use super::{SearchSettings, genetic};
use crate::evaluate::evaluate;
use crate::pieces;
use crate::plan::Plan;
use crate::problem::Problem;
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use std::thread;

/// Children of a generation.
const CHILDREN: usize = 16;
/// Plans that stay.
const FRONT_MAX: usize = 64;
/// Moves of a child, per step of the horizon; and at least.
const MOVES_PER_STEP: u64 = 12;
const MOVES_MIN: u64 = 300;
/// First temperatures of children, in VM-steps of the mean price, in turn.
const HOT: [f64; 3] = [0.2, 0.6, 1.5];
/// Stream of the generator, apart from those of the search.
const STREAM: u64 = 1 << 50;

/// A plan with its two objectives.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Member {
    pub(crate) plan: Plan,
    pub(crate) spend: f64,
    pub(crate) risk: f64,
    levels: Vec<usize>,
}

impl Member {
    /// Judges a plan; `None` unless it is allowed.
    pub(crate) fn new(problem: &Problem, plan: Plan) -> Option<Self> {
        let judged = evaluate(problem, &plan);
        let levels = judged
            .levels
            .iter()
            .map(|level| level.unwrap_or(problem.level_min));
        judged.feasible().then(|| Self {
            spend: judged.spend,
            risk: judged.risk,
            levels: levels.collect(),
            plan,
        })
    }
}

/// Moves a child takes.
pub(crate) fn moves(problem: &Problem) -> u64 {
    (MOVES_PER_STEP * problem.steps as u64).max(MOVES_MIN)
}

/// Keeps the plans that none dominates, by ascending risk; of equal ones the first, of too many the
/// least crowded.
pub(crate) fn select(mut members: Vec<Member>) -> Vec<Member> {
    members.sort_by(|left, right| {
        left.risk
            .total_cmp(&right.risk)
            .then(left.spend.total_cmp(&right.spend))
    });
    let mut front: Vec<Member> = Vec::new();
    for member in members {
        if front
            .last()
            .is_none_or(|last| member.spend < last.spend - 1e-9)
        {
            front.push(member);
        }
    }
    while front.len() > FRONT_MAX {
        let crowding = crowding(&front);
        let inner = 1..front.len() - 1;
        let least = inner.min_by(|left, right| crowding[*left].total_cmp(&crowding[*right]));
        front.remove(least.unwrap_or(1));
    }
    front
}

/// Size of the box between a member's neighbours, as a share of the front's; the ends have none.
fn crowding(front: &[Member]) -> Vec<f64> {
    let (first, last) = (&front[0], &front[front.len() - 1]);
    let spend = (first.spend - last.spend).max(1e-12);
    let risk = (last.risk - first.risk).max(1e-12);
    let inner = front.windows(3).map(|three| {
        (three[0].spend - three[2].spend) / spend + (three[2].risk - three[0].risk) / risk
    });
    [f64::INFINITY]
        .into_iter()
        .chain(inner)
        .chain([f64::INFINITY])
        .collect()
}

/// Refines a front; `may_start` is asked before every generation.
pub(crate) fn refine(
    problem: &Problem,
    settings: &SearchSettings,
    members: Vec<Member>,
    may_start: &mut dyn FnMut(u64, u64) -> bool,
) -> (Vec<Member>, u64) {
    let model = Model::new(problem);
    let mut front = select(members);
    let budget = moves(problem) * CHILDREN as u64;
    let (mut used, mut ga_generation) = (0, 0_u64);
    while used + budget <= settings.evaluations && front.len() > 1 && may_start(used, budget) {
        let children = generation(problem, (&model, settings), &front, ga_generation);
        front.extend(children);
        front = select(front);
        used += budget;
        ga_generation += 1;
    }
    (front, used)
}

fn generation(
    problem: &Problem,
    (model, settings): (&Model, &SearchSettings),
    front: &[Member],
    ga_generation: u64,
) -> Vec<Member> {
    let threads = settings.threads.clamp(1, CHILDREN);
    let mut children: Vec<Option<Member>> = vec![None; CHILDREN];
    thread::scope(|scope| {
        let chunk = CHILDREN.div_ceil(threads);
        for (first, places) in (0..).step_by(chunk).zip(children.chunks_mut(chunk)) {
            scope.spawn(move || {
                for (slot, place) in (first..).zip(places) {
                    let mut rng = ChaCha8Rng::seed_from_u64(settings.seed);
                    rng.set_stream(STREAM | (ga_generation << 8) | slot as u64);
                    *place = child(problem, (model, settings), front, (slot, &mut rng));
                }
            });
        }
    });
    children.into_iter().flatten().collect()
}

/// Crosses two neighbours and anneals the child at the slope between them.
fn child(
    problem: &Problem,
    (model, settings): (&Model, &SearchSettings),
    front: &[Member],
    (slot, rng): (usize, &mut ChaCha8Rng),
) -> Option<Member> {
    let left = pair(front, rng);
    let (safe, cheap) = (&front[left], &front[left + 1]);
    let slope = (safe.spend - cheap.spend) / (cheap.risk - safe.risk).max(1e-12);
    let price = slope * (rng.random_range(-0.7_f64..0.7)).exp();
    let model = model.with_risk_priced(price);
    let run = Run {
        problem,
        model: &model,
        settings,
        hot: genetic::HOT_FIRST,
    };
    let (mother, father) = if rng.random_bool(0.5) {
        (safe, cheap)
    } else {
        (cheap, safe)
    };
    let mother = individual(&run, mother);
    let father = individual(&run, father);
    let mut state = State::restore(&model, &mother.best.snapshot, &mother.settled.fixed);
    if rng.random_bool(0.7) {
        run.cross(&mut state, &father, &mother.settled.caps, rng);
    }
    let mut best = Best::of(&state);
    let cooling = Cooling {
        hot: HOT[slot % HOT.len()],
        begin: 0.0,
        end: 1.0,
        evaluations: moves(problem),
    };
    anneal::anneal(&mut state, &mut best, &mother.settled.caps, cooling, rng);
    let mut plan = mother.settled.plan;
    State::write(&best.snapshot, problem.steps, &mut plan);
    let levels = Member::new(problem, plan.clone())?.levels;
    let mut settled = plan.clone();
    if pieces::settle(problem, &levels, &mut settled).is_ok()
        && let Some(member) = Member::new(problem, settled)
    {
        return Some(member);
    }
    Member::new(problem, plan)
}

/// Draws the left one of two neighbours; wide gaps have more turns.
fn pair(front: &[Member], rng: &mut ChaCha8Rng) -> usize {
    let (first, last) = (&front[0], &front[front.len() - 1]);
    let spend = (first.spend - last.spend).max(1e-12);
    let risk = (last.risk - first.risk).max(1e-12);
    let area = |pair: &[Member]| {
        let area = (pair[0].spend - pair[1].spend) / spend * (pair[1].risk - pair[0].risk) / risk;
        area.sqrt() + 0.1 / front.len() as f64
    };
    let total: f64 = front.windows(2).map(area).sum();
    let mut at = rng.random::<f64>() * total;
    for (index, pair) in front.windows(2).enumerate() {
        at -= area(pair);
        if at < 0.0 {
            return index;
        }
    }
    front.len() - 2
}

fn individual(run: &Run<'_>, member: &Member) -> Individual {
    let counts = member.plan.counts.iter();
    let on = counts.map(|counts| {
        let counts = counts.iter().flatten();
        counts
            .map(|count| i32::try_from(*count).unwrap_or(i32::MAX / 4))
            .collect()
    });
    let settled = run.settled(member.plan.clone());
    let snapshot = Snapshot {
        on: on.collect(),
        levels: member.levels.clone(),
    };
    let state = State::restore(run.model, &snapshot, &settled.fixed);
    Individual {
        best: Best::of(&state),
        current: snapshot,
        settled,
    }
}
