//! The network that chooses a price: it learns what pays, says the same again, and survives its file.

use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use twinscale_forecast_model::policy::{
    CrossError, CrossOptions, PolicyCardError, PolicyNetwork, PolicyTrainError, PolicyTrainOptions,
    PolicyWeightsError, cross_train, kept_back_by, train_policy,
};
use twinscale_policy::environment::{Choosing, Setting};
use twinscale_policy::features::State;
use twinscale_policy::guard::{Guard, KEEP, Ladder};
use twinscale_policy::policies::{Caution, Guarded, StochasticPolicy};
use twinscale_policy::segments::{Segment, segments};
use twinscale_policy::trace::{Demand, Trace};

const SETTINGS: u32 = 9;

fn ladder() -> Ladder {
    let prices = (0..SETTINGS).map(|power| 2.0_f64.powi(i32::try_from(power).expect("small")));
    Ladder::new(prices.collect()).expect("ascends")
}

/// Half of the day demand is calm and counts leave far too much room; half of it they leave too little.
fn trace(seed: u64, steps: usize) -> Trace {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let (mut vms, mut counts) = (Vec::new(), Vec::new());
    for step in 0..steps {
        let is_wild = step % 24 >= 12;
        counts.extend((0..SETTINGS).map(|setting| 20 + 2 * setting));
        vms.push(if is_wild {
            rng.random_range(20..33)
        } else {
            20
        });
    }
    let demand = Demand {
        suite: "made".to_owned(),
        name: format!("trace {seed}"),
        customer: format!("customer {seed}"),
        step_s: 3_600,
        start_up_steps: 1,
        decision_steps: 1,
        minimum_bill_s: 60,
        start_s: 0,
        initial: 20,
        mean_vms: 20.0,
        is_observed: vec![true; steps],
        vms,
    };
    Trace::new(demand, &ladder(), counts).expect("good")
}

fn pieces(traces: &[Trace]) -> Vec<Segment> {
    let members: Vec<usize> = (0..traces.len()).collect();
    let mut rng = ChaCha8Rng::seed_from_u64(1);
    segments(
        (traces, &members),
        &ladder(),
        &Guard::default(),
        6,
        &mut rng,
    )
}

fn short(rounds: u32) -> PolicyTrainOptions {
    PolicyTrainOptions {
        rounds,
        pieces: 32,
        rate: 3e-3,
        ..PolicyTrainOptions::default()
    }
}

fn trained(rounds: u32, seed: u64) -> PolicyNetwork {
    let traces: Vec<Trace> = (0..6).map(|seed| trace(seed, 600)).collect();
    let pieces = pieces(&traces);
    let pieces: Vec<&Segment> = pieces.iter().collect();
    let options = PolicyTrainOptions {
        seed,
        ..short(rounds)
    };
    train_policy(&pieces, &options, &mut |_| {}).expect("trains")
}

fn some_states() -> Vec<State> {
    let (ladder, guard) = (ladder(), Guard::default());
    let trace = trace(50, 300);
    let setting = Setting {
        trace: &trace,
        ladder: &ladder,
        guard: &guard,
        operator: 1,
    };
    setting.states()
}

#[test]
fn it_learns_what_pays_on_customers_it_has_not_seen() {
    let network = trained(80, 1);
    let (ladder, guard) = (ladder(), Guard::default());
    let policy = Guarded {
        range: network.range(),
        policy: network,
        caution: Caution::default(),
    };
    let (mut kept, mut paid) = (0.0, 0.0);
    for seed in 100..104 {
        let trace = trace(seed, 600);
        for operator in 0..ladder.len() {
            let setting = Setting {
                trace: &trace,
                ladder: &ladder,
                guard: &guard,
                operator,
            };
            let run = setting
                .run(&policy, &setting.states(), &mut Choosing::Likeliest)
                .expect("a distribution");
            kept += setting.money(&setting.kept()).iter().sum::<f64>();
            paid += setting.money(&run.desired).iter().sum::<f64>();
        }
    }
    // The counts cost a fifth too much in calm hours alone, before any miss.
    assert!(
        paid < 0.9 * kept,
        "paid {paid}, the operator's settings {kept}"
    );
}

#[test]
fn a_seed_gives_one_policy_and_its_file_gives_it_back() {
    let (one, again, other) = (trained(3, 7), trained(3, 7), trained(3, 8));
    let bytes = one.write().expect("writes");
    assert_eq!(bytes, again.write().expect("writes"));
    assert_ne!(bytes, other.write().expect("writes"));
    let read = PolicyNetwork::read(&bytes).expect("own bytes");
    let states = some_states();
    let found = read.probabilities(&states).expect("answers");
    assert_eq!(found, one.probabilities(&states).expect("answers"));
    assert_eq!(read.range(), one.range());
    for (probabilities, state) in found.iter().zip(&states) {
        let sum: f64 = probabilities.iter().sum();
        assert!((sum - 1.0).abs() < 1e-9);
        for (probability, is_allowed) in probabilities.iter().zip(state.allowed) {
            assert!(is_allowed || *probability == 0.0);
        }
    }
}

#[test]
fn a_row_does_not_depend_on_its_batch() {
    let network = trained(2, 1);
    let states = some_states();
    let together = network.probabilities(&states).expect("answers");
    for (state, expected) in states.iter().zip(&together).take(20) {
        let alone = network
            .probabilities(std::slice::from_ref(state))
            .expect("answers");
        for (one, other) in alone[0].iter().zip(expected) {
            assert!((one - other).abs() < 1e-5);
        }
    }
}

#[test]
fn broken_weights_are_refused() {
    let bytes = trained(1, 1).write().expect("writes");
    let cut = PolicyNetwork::read(&bytes[..bytes.len() - 9]).expect_err("cut off");
    assert!(matches!(cut, PolicyWeightsError::Corrupt { .. }), "{cut}");
    let mut strange = bytes.clone();
    let last = strange.len() - 4;
    strange[last..].copy_from_slice(&f32::NAN.to_le_bytes());
    let strange = PolicyNetwork::read(&strange).expect_err("no number");
    assert!(
        matches!(strange, PolicyWeightsError::NotFinite { .. }),
        "{strange}"
    );
}

#[test]
fn nothing_to_learn_from_is_refused() {
    let refused = train_policy(&[], &short(1), &mut |_| {}).expect_err("no piece");
    assert!(matches!(refused, PolicyTrainError::Empty));
    let options = CrossOptions {
        pieces_each: usize::MAX / 1_000,
        ..CrossOptions::default()
    };
    let traces: Vec<Trace> = (0..6).map(|seed| trace(seed, 200)).collect();
    let refused = cross_train(&traces, &ladder(), &options, &mut |_, _| {});
    assert!(matches!(refused, Err(CrossError::Pieces { .. })));
}

#[test]
fn no_fold_sees_the_customers_that_it_keeps_back() {
    let options = CrossOptions {
        folds: 3,
        pieces_each: 2,
        train: short(2),
        ..CrossOptions::default()
    };
    let mut traces: Vec<Trace> = (0..6).map(|seed| trace(seed, 200)).collect();
    let crossed = cross_train(&traces, &ladder(), &options, &mut |_, _| {}).expect("trains");
    for (_, card) in &crossed.policies {
        assert!(!card.kept_back.is_empty());
        assert!(
            card.kept_back
                .iter()
                .all(|name| !card.trained_on.contains(name))
        );
    }
    let cards: Vec<_> = crossed
        .policies
        .iter()
        .map(|(_, card)| card.clone())
        .collect();
    assert_eq!(kept_back_by(&cards, &traces).expect("all"), crossed.folds);
    let stranger = kept_back_by(&cards, &[trace(77, 200)]).expect_err("never seen");
    assert!(stranger.to_string().contains("customer 77"), "{stranger}");
    let bytes = crossed.policies[0].0.policy.write().expect("writes");
    assert!(cards[0].open(&bytes, &ladder()).is_ok());
    let other = cards[1].open(&bytes, &ladder());
    assert!(matches!(other, Err(PolicyCardError::OtherWeights { .. })));
    let prices = Ladder::new(vec![1.0, 3.0]).expect("ascends");
    let other = cards[0].open(&bytes, &prices);
    assert!(matches!(other, Err(PolicyCardError::OtherPrices { .. })));
    // Other demand of customers kept back changes nothing in the fold's weights.
    let fold = crossed.folds[0];
    traces[0] = Trace::new(
        Demand {
            vms: vec![29; 200],
            ..traces[0].demand().clone()
        },
        &ladder(),
        (0..200)
            .flat_map(|step| traces[0].counts(step).to_vec())
            .collect(),
    )
    .expect("good");
    let changed = cross_train(&traces, &ladder(), &options, &mut |_, _| {}).expect("trains");
    for (number, ((one, _), (other, _))) in
        crossed.policies.iter().zip(&changed.policies).enumerate()
    {
        let is_same = one.policy.write().expect("writes") == other.policy.write().expect("writes");
        assert_eq!(is_same, number == fold, "fold {number}");
    }
    assert_eq!(KEEP, 3);
}
