//! Policies on made demand: nothing later is seen, the guard holds, and what is estimated from another's
//! decisions is what a replay finds.

use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use twinscale_policy::bootstrap::{Draws, interval};
use twinscale_policy::compare::{Candidate, compare};
use twinscale_policy::environment::{Choosing, Setting};
use twinscale_policy::features::{FEATURES, NAMES, State};
use twinscale_policy::guard::{Guard, KEEP, Ladder, SHIFTS};
use twinscale_policy::off_policy::{Estimate, Log, SavingsModel, estimate, log};
use twinscale_policy::policies::{
    Caution, Exploring, FollowBest, Guarded, PolicyError, Probabilities, Shifted, StochasticPolicy,
    Tabular, TrainedRange,
};
use twinscale_policy::trace::{Demand, Trace};

const OPERATOR: usize = 4;

fn ladder() -> Ladder {
    Ladder::new((0..9).map(|power| 0.5 * 2.0_f64.powi(power)).collect()).expect("ascends")
}

/// Demand that wavers around a day's curve, and counts that leave more room at higher prices. Where
/// `is_bold`, the planner trusts itself too much.
fn trace(seed: u64, steps: usize, start_up_steps: usize, is_bold: bool) -> Trace {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let mut vms = Vec::new();
    let mut counts = Vec::new();
    for step in 0..steps {
        let day = (step as f64 / 24.0 * std::f64::consts::TAU).sin();
        let base = 20.0 + 8.0 * day;
        let width = if is_bold { 0.7 } else { 1.6 };
        for setting in 0..9 {
            counts.push(whole(base + width * f64::from(setting)));
        }
        vms.push(whole(
            base + 4.0 * rng.random_range(-1.0..1.0) * rng.random::<f64>(),
        ));
    }
    let demand = Demand {
        suite: "made".to_owned(),
        name: format!("trace {seed}"),
        customer: format!("customer {seed}"),
        step_s: 3_600,
        start_up_steps,
        decision_steps: 1,
        minimum_bill_s: 60,
        start_s: 1_700_000_000,
        initial: 20,
        mean_vms: 20.0,
        is_observed: (0..steps).map(|step| step % 37 != 5).collect(),
        vms,
    };
    Trace::new(demand, &ladder(), counts).expect("good")
}

fn whole(value: f64) -> u32 {
    format!("{:.0}", value.max(1.0))
        .parse()
        .expect("small and positive")
}

fn on<'a>(trace: &'a Trace, ladder: &'a Ladder, guard: &'a Guard) -> Setting<'a> {
    Setting {
        trace,
        ladder,
        guard,
        operator: OPERATOR,
    }
}

#[test]
fn later_samples_and_counts_change_no_state() {
    let (ladder, guard) = (ladder(), Guard::default());
    for start_up_steps in [0, 1, 5] {
        let whole = trace(1, 400, start_up_steps, true);
        let states = on(&whole, &ladder, &guard).states();
        for cut in [20, 77, 250] {
            // The same until the cut; other demand from it on, other counts after it.
            let mut demand = whole.demand().clone();
            for vms in demand.vms.iter_mut().skip(cut) {
                *vms = 400 - *vms;
            }
            for seen in demand.is_observed.iter_mut().skip(cut) {
                *seen = !*seen;
            }
            let counts = (0..demand.steps()).flat_map(|step| {
                let extra = if step > cut { 3 } else { 0 };
                whole.counts(step).iter().map(move |count| count + extra)
            });
            let counts: Vec<u32> = counts.collect();
            let other = Trace::new(demand, &ladder, counts).expect("good");
            let changed = on(&other, &ladder, &guard).states();
            assert_eq!(states[..=cut], changed[..=cut], "cut at {cut}");
            assert_ne!(
                states[cut + 1..],
                changed[cut + 1..],
                "the test sees no change"
            );
        }
    }
}

#[test]
fn states_have_no_unit() {
    let (ladder, guard) = (ladder(), Guard::default());
    let small = trace(3, 300, 1, true);
    let mut demand = small.demand().clone();
    demand.vms.iter_mut().for_each(|vms| *vms *= 10);
    demand.initial *= 10;
    demand.mean_vms *= 10.0;
    let counts = (0..300).flat_map(|step| small.counts(step).iter().map(|count| count * 10));
    let big = Trace::new(demand, &ladder, counts.collect()).expect("good");
    let (small, big) = (
        on(&small, &ladder, &guard).states(),
        on(&big, &ladder, &guard).states(),
    );
    for (one, other) in small.iter().zip(&big) {
        for (name, (one, other)) in NAMES.iter().zip(one.features.iter().zip(&other.features)) {
            assert!((one - other).abs() < 1e-4, "{name}: {one} and {other}");
        }
    }
}

/// Stands for a network: some distribution over everything, allowed or not.
fn tabular(feature: usize) -> Tabular {
    Tabular {
        feature,
        edges: vec![-0.1, 0.1],
        weights: vec![
            [1.0, 2.0, 3.0, 4.0, 1.0, 1.0, 1.0],
            [0.0, 1.0, 1.0, 4.0, 2.0, 2.0, 0.0],
            [0.5, 0.5, 1.0, 2.0, 4.0, 4.0, 2.0],
        ],
    }
}

#[test]
fn a_policy_asks_for_counts_of_the_planner_within_the_guard() {
    let (ladder, guard) = (ladder(), Guard { up: 2.0, down: 4.0 });
    let trace = trace(5, 500, 1, true);
    let setting = on(&trace, &ladder, &guard);
    let states = setting.states();
    let mut rng = ChaCha8Rng::seed_from_u64(9);
    let policy = Exploring {
        policy: tabular(31),
        share: 0.5,
    };
    let run = setting
        .run(&policy, &states, &mut Choosing::Drawn(&mut rng))
        .expect("a distribution");
    let mut used = [false; SHIFTS];
    for (step, (desired, shift)) in run.desired.iter().zip(&run.shifts).enumerate() {
        used[*shift] = true;
        let within = &trace.counts(step)[OPERATOR - 2..=OPERATOR + 1];
        assert!(within.contains(desired), "step {step}");
    }
    assert_eq!(used, [false, true, true, true, true, false, false]);
}

struct Broken;

impl StochasticPolicy for Broken {
    fn probabilities(&self, states: &[State]) -> Result<Vec<Probabilities>, PolicyError> {
        Ok(vec![[f64::NAN; SHIFTS]; states.len()])
    }
}

#[test]
fn an_answer_that_is_no_distribution_is_refused() {
    let (ladder, guard) = (ladder(), Guard::default());
    let trace = trace(6, 50, 1, false);
    let setting = on(&trace, &ladder, &guard);
    let states = setting.states();
    let refused = setting.run(&Broken, &states, &mut Choosing::Likeliest);
    assert!(matches!(
        refused,
        Err(PolicyError::NoDistribution { number: 0, .. })
    ));
}

#[test]
fn off_its_range_or_unsure_the_operator_is_kept() {
    let (ladder, guard) = (ladder(), Guard::default());
    let trace = trace(7, 400, 1, true);
    let states = on(&trace, &ladder, &guard).states();
    let up = Shifted { shift: KEEP + 1 };
    let mut guarded = Guarded {
        policy: up,
        range: TrainedRange::of(&states),
        caution: Caution::default(),
    };
    let chosen = |guarded: &Guarded<Shifted>, states: &[State]| -> Vec<bool> {
        let all = guarded.probabilities(states).expect("an answer");
        all.iter().map(|one| one[KEEP] > 0.5).collect()
    };
    assert!(chosen(&guarded, &states).iter().all(|is_kept| !is_kept));
    let strange = states.iter().map(|state| State {
        features: [90.0; FEATURES],
        ..*state
    });
    let strange: Vec<State> = strange.collect();
    assert!(chosen(&guarded, &strange).iter().all(|is_kept| *is_kept));
    guarded.caution.sure_factor = f64::INFINITY;
    assert!(chosen(&guarded, &states).iter().all(|is_kept| *is_kept));
    guarded.range = TrainedRange::of(&[]);
    guarded.caution = Caution::default();
    assert!(chosen(&guarded, &states).iter().all(|is_kept| *is_kept));
}

/// What a policy saves per step when it is run, in the mean over draws.
fn replayed(setting: &Setting<'_>, policy: &dyn StochasticPolicy, draws: u64) -> f64 {
    let states = setting.states();
    let kept: f64 = setting.money(&setting.kept()).iter().sum();
    let saved = (0..draws).map(|seed| {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        let run = setting
            .run(policy, &states, &mut Choosing::Drawn(&mut rng))
            .expect("a distribution");
        kept - setting.money(&run.desired).iter().sum::<f64>()
    });
    saved.sum::<f64>() / (draws as f64) / (states.len() as f64)
}

fn logged(traces: &[Trace], guard: &Guard, seed: u64) -> Vec<Log> {
    let ladder = ladder();
    let behaviour = Exploring {
        policy: Shifted { shift: KEEP },
        share: 0.6,
    };
    traces
        .iter()
        .zip(seed..)
        .map(|(trace, seed)| {
            let mut rng = ChaCha8Rng::seed_from_u64(seed);
            log(&on(trace, &ladder, guard), &behaviour, &mut rng).expect("a distribution")
        })
        .collect()
}

#[test]
fn the_estimates_are_centred_on_the_replay() {
    let (ladder, guard) = (ladder(), Guard { up: 2.0, down: 2.0 });
    let target = tabular(31);
    for start_up_steps in [0, 1, 3] {
        let trace = trace(11, 1_500, start_up_steps, true);
        let truth = replayed(&on(&trace, &ladder, &guard), &target, 40);
        let others = logged(&[self::trace(12, 1_500, start_up_steps, true)], &guard, 500);
        let model = SavingsModel::fit(others.iter());
        let estimates: Vec<Estimate> = (0..40)
            .map(|seed| {
                let logs = logged(std::slice::from_ref(&trace), &guard, 1_000 + seed);
                estimate(&logs[0], &target, &model).expect("a distribution")
            })
            .collect();
        for read in [
            |one: &Estimate| one.weighted,
            |one: &Estimate| one.doubly_robust,
        ] {
            let values: Vec<f64> = estimates.iter().map(read).collect();
            let mean = values.iter().sum::<f64>() / 40.0;
            let spread = values.iter().map(|one| (one - mean).powi(2)).sum::<f64>() / 39.0;
            let error = (spread / 40.0).sqrt();
            // Three and a half standard errors, and the truth has one of its own.
            assert!(
                (mean - truth).abs() < 3.5 * error * 2.0_f64.sqrt(),
                "start-up {start_up_steps}: {mean} +- {error}, replay {truth}"
            );
            assert!(error < 0.2, "the test says nothing: +- {error}");
        }
        let first = &estimates[0];
        assert!(first.effective_steps < 1_500.0 && first.effective_steps > 100.0);
    }
}

#[test]
fn a_log_of_the_policy_itself_needs_no_weights() {
    let (ladder, guard) = (ladder(), Guard::default());
    let trace = trace(13, 600, 2, true);
    let policy = Exploring {
        policy: tabular(31),
        share: 0.2,
    };
    let mut rng = ChaCha8Rng::seed_from_u64(3);
    let own = log(&on(&trace, &ladder, &guard), &policy, &mut rng).expect("a distribution");
    let model = SavingsModel::fit(std::iter::once(&own));
    let found = estimate(&own, &policy, &model).expect("a distribution");
    let mean = own.saved.iter().sum::<f64>() / 600.0;
    assert!((found.weighted - mean).abs() < 1e-9);
    assert!((found.self_normalised - mean).abs() < 1e-9);
    assert!((found.effective_steps - 600.0).abs() < 1e-6);
}

#[test]
fn following_what_saved_pays_where_the_planner_is_too_bold() {
    let (ladder, guard) = (ladder(), Guard::default());
    let traces: Vec<Trace> = (20..28).map(|seed| trace(seed, 2_000, 1, true)).collect();
    let policy = FollowBest::default();
    let desired = traces.iter().map(|trace| {
        (0..ladder.len())
            .map(|operator| {
                let setting = Setting {
                    operator,
                    ..on(trace, &ladder, &guard)
                };
                let states = setting.states();
                let run = setting.run(&policy, &states, &mut Choosing::Likeliest);
                run.expect("a distribution").desired
            })
            .collect()
    });
    let kept = traces.iter().map(|trace| {
        (0..ladder.len())
            .map(|operator| trace.desired(operator))
            .collect()
    });
    let candidates = [
        Candidate {
            name: "follow".to_owned(),
            desired: desired.collect(),
        },
        Candidate {
            name: "kept".to_owned(),
            desired: kept.collect(),
        },
    ];
    let found = compare(&traces, &ladder, &guard, &candidates, &Draws::default());
    let found = found.expect("one count per step");
    let suite = &found.suites[0];
    assert_eq!((suite.traces, suite.customers), (8, 8));
    let row = &suite.money[OPERATOR];
    let [follow, kept] = &row.candidates[..] else {
        panic!("two candidates: {row:?}");
    };
    let follow = follow.saved.expect("an interval");
    assert!(follow.low > 0.0, "{follow:?}");
    // The bound holds, and a fixed setting is level with itself.
    assert!(row.hindsight <= row.own && row.best_fixed <= row.own);
    let kept = kept.saved.expect("an interval");
    assert!(kept.low.abs() < 1e-12 && kept.high.abs() < 1e-12);
    for level in suite.levels.iter().filter(|level| level.fixed.is_some()) {
        let ratio = level.candidates[1].ratio.expect("an interval");
        assert!((ratio.low - 1.0).abs() < 1e-12 && (ratio.high - 1.0).abs() < 1e-12);
    }
}

#[test]
fn an_interval_holds_the_truth_about_as_often_as_it_says() {
    // Savings of customers around a known mean; 90 % intervals over 30 customers.
    let names: Vec<String> = (0..30).map(|at| at.to_string()).collect();
    let customers: Vec<&str> = names.iter().map(String::as_str).collect();
    let mut rng = ChaCha8Rng::seed_from_u64(4);
    let holds = (0..200).filter(|seed| {
        let values: Vec<f64> = customers
            .iter()
            .map(|_| 0.3 + rng.random_range(-1.0..1.0))
            .collect();
        let draws = Draws {
            count: 400,
            seed: *seed,
            ..Draws::default()
        };
        let mean = |rows: &[usize]| {
            Some(rows.iter().map(|row| values[*row]).sum::<f64>() / (rows.len() as f64))
        };
        let found = interval(&customers, &draws, &mean).expect("has a value");
        (found.low..=found.high).contains(&0.3)
    });
    let holds = holds.count();
    // Binomial with 200 draws: four standard deviations around 0.88.
    assert!((158..=194).contains(&holds), "{holds} of 200");
}
