//! What is found on histories of which the truth is known: demand that meets the environment's queue and answers.

use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;
use twinscale_environment::analytic::finite::FiniteRoom;
use twinscale_reaction::closed_loop::{Scaled, Scene, Service, Simulated, simulate};
use twinscale_reaction::drivers::{COMPONENTS, Component, INPUTS, Met};
use twinscale_reaction::effect::{LinearEffect, Scale};
use twinscale_reaction::estimate::{Estimate, Prior, estimate};
use twinscale_reaction::evaluate::{
    Verdict, advantage, affected, cut_of, judge, learned_effects, score, shared_effects,
};
use twinscale_reaction::history::History;
use twinscale_reaction::laws::{ByLaws, Laws};
use twinscale_reaction::naive::{Slope, slope};

/// Five weeks of five minutes.
const STEPS: usize = 35 * 288;
const INTERVAL_S: u32 = 300;
const SEEDS: u64 = 40;

/// M/M/c/K with room for eight per server; mean response promised within 1.3 service times.
#[derive(Debug)]
struct Station;

impl Service for Station {
    fn meet(&mut self, offered: f64, servers: u32) -> Met {
        let queue = FiniteRoom::new(servers, 8 * servers, offered, 1.0).expect("a queue");
        Met {
            latency: queue.response_mean() / 1.3,
            throttled: queue.blocking(),
        }
    }
}

/// Customers who answer by this, at scale 1.
fn linear() -> LinearEffect {
    let mut weights = [[0.0; INPUTS]; COMPONENTS];
    weights[0] = [-0.10, -0.20, 0.0];
    weights[2] = [0.30, 0.20, 0.0];
    weights[4] = [-0.20, -0.60, 0.0];
    weights[6] = [0.35, 0.0, 0.1];
    LinearEffect {
        weights,
        scales: [Scale([0.2, 0.7, 1.0, 1.3, 1.8]); COMPONENTS],
    }
}

fn scene(seed: u64) -> Scene {
    Scene::draw(INTERVAL_S, STEPS, &mut ChaCha8Rng::seed_from_u64(seed))
}

fn lived(seed: u64, scales: [f64; COMPONENTS], linear: &LinearEffect) -> Simulated {
    let mut customer = Scaled { linear, scales };
    simulate(&scene(seed), &mut customer, &mut Station, seed)
}

fn found(simulated: &Simulated, linear: &LinearEffect, prior: Prior) -> (Estimate, Option<Slope>) {
    let history = History::new(simulated.observed.clone()).expect("a history");
    let found = estimate(&history, linear, prior).expect("linear");
    (found, slope(&history))
}

/// How often intervals of 90 % hold the truth, and the mean estimate; of the seeds in which there was anything to see.
fn coverage(place: usize, truth: f64) -> (u32, u32, f64) {
    let linear = linear();
    let (mut held, mut seen, mut sum) = (0, 0, 0.0);
    for seed in 0..SEEDS {
        let simulated = lived(seed, [truth; COMPONENTS], &linear);
        let (found, _) = found(&simulated, &linear, Prior::Flat);
        let one = found.components[place];
        if one.episodes == 0 {
            continue;
        }
        let (low, high) = one.interval();
        seen += 1;
        held += u32::from(low <= truth && truth <= high);
        sum += one.mean;
    }
    (held, seen, sum / f64::from(seen))
}

/// Of 40 intervals of 90 %, 36 hold the truth, give or take 1.9: fewer than 31 would be beyond chance.
fn check_coverage(component: Component, truth: f64, near: f64) {
    let (held, seen, mean) = coverage(component.place(), truth);
    assert!(seen >= 30, "{component:?}: only {seen} seeds show it");
    let share = f64::from(held) / f64::from(seen);
    assert!(share >= 0.775, "{component:?} at {truth}: {held} of {seen}");
    assert!(
        (mean - truth).abs() < near,
        "{component:?} at {truth}: mean {mean}"
    );
}

#[test]
fn abandonment_is_found_with_its_interval() {
    check_coverage(Component::LatencyNow, 1.0, 0.05);
}

#[test]
fn retries_are_found_with_their_interval() {
    check_coverage(Component::ThrottleNow, 1.0, 0.2);
}

#[test]
fn elasticity_is_found_with_its_interval() {
    check_coverage(Component::Price, 1.0, 0.2);
}

#[test]
fn where_nothing_answers_nothing_is_found_though_demand_makes_latency() {
    check_coverage(Component::LatencyNow, 0.0, 0.05);
    check_coverage(Component::ThrottleNow, 0.0, 0.2);
    check_coverage(Component::Price, 0.0, 0.2);
}

#[test]
fn a_plain_regression_finds_latency_that_demand_made() {
    let linear = linear();
    let (mut upward, mut held, mut sum) = (0, 0, 0.0);
    // What demand truly does in the steps after: -0.3 for the logarithm of latency.
    let truth = linear.weights[0].iter().sum::<f64>();
    for seed in 0..SEEDS {
        let simulated = lived(seed, [1.0; COMPONENTS], &linear);
        let (_, plain) = found(&simulated, &linear, Prior::Flat);
        let plain = plain.expect("latency varies");
        upward += u32::from(plain.slope > 0.0);
        held += u32::from((plain.slope - truth).abs() <= plain.half);
        sum += plain.slope;
    }
    let mean = sum / f64::from(u32::try_from(SEEDS).expect("few"));
    println!(
        "plain regression: mean slope {mean:.3} for {truth:.2}, upward in {upward}, {held} intervals hold it"
    );
    assert!(
        mean > truth + 0.15,
        "the plain regression is not misled: {mean}"
    );
    assert!(held <= 8, "{held} of its intervals hold the truth");
}

#[test]
fn what_customers_do_is_told_better_than_by_doing_nothing() {
    let customers = |seeds: std::ops::Range<u64>| -> Vec<Simulated> {
        let one = |seed| {
            let mut rng = ChaCha8Rng::seed_from_u64(1_000 + seed);
            let laws = Laws::draw(&mut rng);
            let scene = Scene::draw(INTERVAL_S, STEPS, &mut rng);
            simulate(
                &scene,
                &mut ByLaws::new(laws, INTERVAL_S),
                &mut Station,
                seed,
            )
        };
        seeds.map(one).collect()
    };
    let known: Vec<_> = customers(0..60).iter().map(|one| one.known(16)).collect();
    let shared = LinearEffect::fit(&known);
    let (mut scores, mut truths) = (Vec::new(), [0.0; 3]);
    for one in customers(100..130) {
        let history = History::new(one.observed.clone()).expect("a history");
        let cut = cut_of(&history);
        let own = learned_effects(&history, &shared, cut).expect("linear");
        let all = shared_effects(&history, &shared).expect("linear");
        for step in cut..history.steps() {
            let truth: f64 = one.effects[step].iter().sum();
            truths[0] += (own[step] - truth).abs();
            truths[1] += (all[step] - truth).abs();
            truths[2] += truth.abs();
        }
        let sides = [own.as_slice()];
        scores.push(score(&history, &own, (cut, 12), &affected(&sides)));
    }
    println!("effects are missed by {truths:?}: own, shared, none");
    let gain = advantage(&scores, 1).expect("customers");
    println!("advantage an hour ahead {gain:?}");
    assert!(
        truths[0] < 0.8 * truths[1],
        "a customer's own history says nothing: {truths:?}"
    );
    assert!(
        truths[1] < truths[2],
        "the shared model says nothing: {truths:?}"
    );
    assert_eq!(judge(scores.len(), Some(&gain)), Verdict::Open, "{gain:?}");
}

#[test]
fn the_gate_stays_shut_for_customers_who_answer_to_nothing() {
    let mut scores = Vec::new();
    for seed in 0..30 {
        let simulated = simulate(
            &scene(seed),
            &mut ByLaws::new(Laws::NONE, INTERVAL_S),
            &mut Station,
            seed,
        );
        let history = History::new(simulated.observed).expect("a history");
        let all = shared_effects(&history, &linear()).expect("linear");
        let sides = [all.as_slice()];
        let cut = cut_of(&history);
        scores.push(score(&history, &all, (cut, 12), &affected(&sides)));
    }
    let gain = advantage(&scores, 1).expect("customers");
    assert_eq!(
        judge(scores.len(), Some(&gain)),
        Verdict::NotShown,
        "{gain:?}"
    );
}

#[test]
fn one_seed_gives_one_history_and_answers_change_nothing_but_demand() {
    let linear = linear();
    let (one, again) = (
        lived(3, [1.0; COMPONENTS], &linear),
        lived(3, [1.0; COMPONENTS], &linear),
    );
    assert_eq!(one, again);
    let deaf = lived(3, [0.0; COMPONENTS], &linear);
    assert_eq!(one.without, deaf.without);
    assert_eq!(one.servers, deaf.servers);
    let alone = deaf.without.iter().copied().map(Some);
    assert!(alone.eq(deaf.observed.demand.iter().copied()));
    assert_ne!(one.observed.demand, deaf.observed.demand);
}
