//! NSGA-II over whole plans: spend, risk and, where the problem describes queues, response time.
//!
//! A child begins as a cross of two plans and is annealed shortly, at prices instead of limits. Children
//! of risk lie between two neighbours of the front of spend and risk, with the risk priced at about the
//! slope between them (the price of risk takes the place of the penalty). Children of response have a
//! price on response time as well: it makes the problem ask for the cores that are worth it
//! ([`Responses::demanding`]), so that the search itself need not know of queues. Ranks by dominance,
//! then crowding, decide who stays ([`members`]).

pub(crate) mod members;

use self::members::{Member, flat, select};
use super::anneal::{self, Best, Cooling};
use super::genetic::{Individual, Run};
use super::model::Model;
use super::state::{Snapshot, State};
use super::{SearchSettings, genetic};
use crate::pieces;
use crate::plan::Plan;
use crate::problem::Problem;
use crate::response::Responses;
use crate::score::Scorer;
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use std::thread;

/// Children of a generation.
const CHILDREN: usize = 16;
/// Moves of a child, per step of the horizon; and at least.
const MOVES_PER_STEP: u64 = 12;
const MOVES_MIN: u64 = 300;
/// First temperatures of children, in VM-steps of the mean price, in turn.
const HOT: [f64; 3] = [0.2, 0.6, 1.5];
/// Streams of the generator, apart from those of the search, by what children aim at.
const STREAM: u64 = 1 << 50;
const STREAM_RESPONSE: u64 = 1 << 51;
/// What a relative change of response is worth against one of spend, when drawn afresh: from, to.
const WORTH: (f64, f64) = (0.02, 4.0);
/// Share of the children of response whose worth is drawn afresh, and not near their mother's.
const WORTH_FRESH: f64 = 0.3;

/// What children are to be better at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Aim {
    /// Spend and risk.
    Risk,
    /// Response time as well.
    Response,
}

/// What is optimised.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Task<'a> {
    pub(crate) problem: &'a Problem,
    /// Queues, where the problem describes them.
    pub(crate) responses: Option<&'a Responses<'a>>,
    pub(crate) settings: SearchSettings,
}

/// Moves a child takes.
pub(crate) fn moves(problem: &Problem) -> u64 {
    (MOVES_PER_STEP * problem.steps as u64).max(MOVES_MIN)
}

/// Refines a front; `may_start` is asked before every generation.
pub(crate) fn refine(
    task: &Task<'_>,
    aim: Aim,
    members: Vec<Member>,
    may_start: &mut dyn FnMut(u64, u64) -> bool,
) -> (Vec<Member>, u64) {
    let model = Model::new(task.problem);
    let mut front = select(members);
    let budget = moves(task.problem) * CHILDREN as u64;
    let (mut used, mut ga_generation) = (0, 0_u64);
    let parents = |front: &[Member]| match aim {
        Aim::Risk => flat(front).len() > 1,
        Aim::Response => task.responses.is_some() && !front.is_empty(),
    };
    while used + budget <= task.settings.evaluations && parents(&front) && may_start(used, budget) {
        let nursery = Nursery {
            task,
            model: &model,
            front: &front,
            flat: flat(&front),
        };
        let children = nursery.generation(aim, ga_generation);
        front.extend(children);
        front = select(front);
        used += budget;
        ga_generation += 1;
    }
    (front, used)
}

/// A front that has children.
#[derive(Debug)]
struct Nursery<'a> {
    task: &'a Task<'a>,
    model: &'a Model,
    front: &'a [Member],
    /// The members between which spend and risk alone decide, by ascending risk.
    flat: Vec<&'a Member>,
}

/// How a child is made.
#[derive(Debug)]
struct Draw<'a> {
    mother: &'a Member,
    father: &'a Member,
    /// Price of a risk of 1, in $.
    risk_price: f64,
    /// What response is worth, and its price in $ per second.
    worth: f64,
    response_price: f64,
}

impl Nursery<'_> {
    fn generation(&self, aim: Aim, ga_generation: u64) -> Vec<Member> {
        let threads = self.task.settings.threads.clamp(1, CHILDREN);
        let mut children: Vec<Option<Member>> = vec![None; CHILDREN];
        thread::scope(|scope| {
            let chunk = CHILDREN.div_ceil(threads);
            for (first, places) in (0..).step_by(chunk).zip(children.chunks_mut(chunk)) {
                scope.spawn(move || self.brood(aim, (ga_generation, first), places));
            }
        });
        children.into_iter().flatten().collect()
    }

    /// Children of a generation, from the slot `first` on.
    fn brood(&self, aim: Aim, (ga_generation, first): (u64, usize), places: &mut [Option<Member>]) {
        let stream = match aim {
            Aim::Risk => STREAM,
            Aim::Response => STREAM_RESPONSE,
        };
        let mut scorer = Scorer::new(self.task.problem);
        for (slot, place) in (first..).zip(places) {
            let mut rng = ChaCha8Rng::seed_from_u64(self.task.settings.seed);
            rng.set_stream(stream | (ga_generation << 8) | slot as u64);
            let draw = match aim {
                Aim::Risk => self.between(&mut rng),
                Aim::Response => self.beside(&mut rng),
            };
            *place = self.child(&draw, &mut scorer, (slot, &mut rng));
        }
    }

    /// A child between two neighbours of the front of spend and risk.
    fn between(&self, rng: &mut ChaCha8Rng) -> Draw<'_> {
        let left = pair(&self.flat, rng);
        let (safe, cheap) = (self.flat[left], self.flat[left + 1]);
        let risk_price = slope(safe, cheap) * (rng.random_range(-0.7_f64..0.7)).exp();
        let (mother, father) = if rng.random_bool(0.5) {
            (safe, cheap)
        } else {
            (cheap, safe)
        };
        Draw {
            mother,
            father,
            risk_price,
            worth: 0.0,
            response_price: 0.0,
        }
    }

    /// A child of any member, quicker or cheaper than it.
    fn beside(&self, rng: &mut ChaCha8Rng) -> Draw<'_> {
        let any = |rng: &mut ChaCha8Rng| &self.front[rng.random_range(0..self.front.len())];
        let mother = any(rng);
        let others = [any(rng), any(rng), any(rng)];
        let apart = |other: &&Member| {
            let risk = (mother.risk - other.risk).abs() / mother.risk.max(1e-9);
            let spend = (mother.spend - other.spend).abs() / mother.spend.max(1e-9);
            risk + spend
        };
        let nearest = others
            .into_iter()
            .min_by(|left, right| apart(left).total_cmp(&apart(right)));
        let worth = if mother.worth <= 0.0 || rng.random_bool(WORTH_FRESH) {
            WORTH.0 * (WORTH.1 / WORTH.0).powf(rng.random())
        } else {
            mother.worth * rng.random_range(-0.7_f64..0.7).exp()
        };
        let right = self
            .flat
            .partition_point(|member| member.risk < mother.risk);
        let risk_price = match right.clamp(1, self.flat.len().max(2) - 1) {
            right if right < self.flat.len() => slope(self.flat[right - 1], self.flat[right]),
            _ => 0.0,
        };
        Draw {
            mother,
            father: nearest.unwrap_or(mother),
            risk_price: risk_price * (rng.random_range(-0.7_f64..0.7)).exp(),
            worth,
            response_price: response_price(mother, worth),
        }
    }

    /// Crosses the parents and anneals the child at its prices.
    fn child(
        &self,
        draw: &Draw<'_>,
        scorer: &mut Scorer<'_>,
        (slot, rng): (usize, &mut ChaCha8Rng),
    ) -> Option<Member> {
        let problem = self.task.problem;
        let demanding = match self.task.responses {
            Some(responses) if draw.response_price > 0.0 => {
                Some(responses.demanding(problem, draw.response_price))
            }
            _ => None,
        };
        let model = demanding.as_ref().map(Model::new);
        let model = model.as_ref().unwrap_or(self.model);
        let model = model.with_risk_priced(draw.risk_price);
        let run = Run {
            problem,
            model: &model,
            settings: &self.task.settings,
            hot: genetic::HOT_FIRST,
        };
        let mother = individual(&run, draw.mother);
        let father = individual(&run, draw.father);
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
        scorer.score(&plan);
        let levels = scorer.levels().to_vec();
        let mut settled = plan.clone();
        let of = |plan: Plan, scorer: &mut Scorer<'_>| {
            let responses = self.task.responses;
            Member::new(plan, scorer, responses).map(|member| Member {
                worth: draw.worth,
                ..member
            })
        };
        if pieces::settle(problem, &levels, &mut settled).is_ok()
            && let Some(member) = of(settled, scorer)
        {
            return Some(member);
        }
        of(plan, scorer)
    }
}

/// The price of a second at which so much of a member's response is worth so much of its spend.
pub(crate) fn response_price(member: &Member, worth: f64) -> f64 {
    let response = member.response.map_or(0.0, |response| response.mean_s);
    if response > 0.0 {
        worth * member.spend / response
    } else {
        0.0
    }
}

/// What less risk costs between two neighbours, in $.
fn slope(safe: &Member, cheap: &Member) -> f64 {
    (safe.spend - cheap.spend) / (cheap.risk - safe.risk).max(1e-12)
}

/// Draws the left one of two neighbours; wide gaps have more turns.
fn pair(front: &[&Member], rng: &mut ChaCha8Rng) -> usize {
    let (first, last) = (front[0], front[front.len() - 1]);
    let spend = (first.spend - last.spend).max(1e-12);
    let risk = (last.risk - first.risk).max(1e-12);
    let area = |pair: &[&Member]| {
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
