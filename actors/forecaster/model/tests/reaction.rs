//! The network of reactions: it learns what simulated customers do, keeps its promises, and survives its file.

use std::sync::OnceLock;
use twinscale_environment::analytic::finite::FiniteRoom;
use twinscale_forecast_model::reaction::{
    MadeOf, ReactionCard, ReactionCardError, ReactionNetwork, ReactionTrainError,
    ReactionTrainOptions, load_reaction, load_shipped_reaction, train_reaction,
};
use twinscale_reaction::closed_loop::{Service, Simulated};
use twinscale_reaction::drivers::{COMPONENTS, Component, Features, Met, NORMAL, Sign};
use twinscale_reaction::effect::{EFFECT_MAX, KnownRow, LinearEffect, SharedEffect};
use twinscale_reaction::evaluate::Verdict;
use twinscale_reaction::study::{Population, Worth, worth};

const POPULATION: Population = Population {
    seed: 7,
    interval_s: 300,
    steps: 28 * 288,
};
const TRAINED_ON: u64 = 60;
const KEPT_BACK: u64 = 24;

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

fn known() -> &'static Vec<Vec<KnownRow>> {
    static KNOWN: OnceLock<Vec<Vec<KnownRow>>> = OnceLock::new();
    KNOWN.get_or_init(|| {
        let of = |number| POPULATION.customer(number, &mut Station).known(8);
        (0..TRAINED_ON).map(of).collect()
    })
}

fn options(steps: u32) -> ReactionTrainOptions {
    ReactionTrainOptions {
        steps,
        ..ReactionTrainOptions::default()
    }
}

fn trained() -> &'static Vec<u8> {
    static TRAINED: OnceLock<Vec<u8>> = OnceLock::new();
    TRAINED.get_or_init(|| {
        let network = train_reaction(known(), &options(800), &mut |_| {}).expect("trains");
        network.write().expect("writes")
    })
}

fn network() -> ReactionNetwork {
    ReactionNetwork::read(trained()).expect("reads")
}

fn with(component: Component, inputs: [f64; 3]) -> Features {
    let mut row = NORMAL;
    row[component.place()] = inputs;
    row
}

#[test]
fn it_is_worth_more_than_nothing_on_customers_kept_back() {
    let kept_back: Vec<Simulated> = (TRAINED_ON..TRAINED_ON + KEPT_BACK)
        .map(|number| POPULATION.customer(number, &mut Station))
        .collect();
    let network = network();
    let found = worth(&kept_back, &network).expect("has steps");
    let linear = worth(&kept_back, &LinearEffect::fit(known())).expect("has steps");
    println!("network {found:?}\nlinear {linear:?}");
    assert!(found.own.low > 0.0 && found.shared.low > 0.0, "{found:?}");
    let [own, shared, none] = found.effect_missed;
    assert!(own < shared && shared < none, "{found:?}");
    // The nominal share is 0.9; laws of customers are not of the network's form.
    assert!(found.inside > 0.75, "{found:?}");
    card_keeps_its_gate(&network, found, linear);
}

fn card_keeps_its_gate(network: &ReactionNetwork, found: Worth, linear: Worth) {
    let made_of = MadeOf {
        population: POPULATION,
        trained_on: TRAINED_ON,
        kept_back: KEPT_BACK,
    };
    let card = ReactionCard::of(network, (1, 800), made_of, (found, linear)).expect("a card");
    assert_eq!(card.verdict, Verdict::Open);
    let json = serde_json::to_vec(&card).expect("writes");
    let (_, read) = load_reaction(trained(), &json).expect("opens");
    assert_eq!(read, card);
    let mut useless = card.clone();
    useless.worth.shared.low = -0.01;
    assert!(matches!(
        useless.open(trained()),
        Err(ReactionCardError::Shut { .. })
    ));
    let mut other = card.clone();
    "0123456789abcdef".clone_into(&mut other.weights_id);
    assert!(matches!(
        other.open(trained()),
        Err(ReactionCardError::OtherWeights { .. })
    ));
    let newer = String::from_utf8(json).expect("text");
    let newer = newer.replace("\"card_version\":1", "\"card_version\":9");
    assert!(matches!(
        ReactionCard::from_json(newer.as_bytes()),
        Err(ReactionCardError::Version { found: 9 })
    ));
}

#[test]
fn a_normal_step_has_no_effect_at_all_whatever_stands_beside_it() {
    let network = network();
    let dear = with(Component::Price, [0.1, 0.1, 0.1]);
    let rows = [NORMAL, dear, NORMAL];
    let found = network.profiles(&rows).expect("answers");
    for row in [&found[0], &found[2]] {
        assert!(row.iter().all(|one| *one == 0.0), "{row:?}");
    }
    for (component, one) in Component::ALL.iter().zip(&found[1]) {
        assert_eq!(*one != 0.0, *component == Component::Price, "{component:?}");
    }
}

#[test]
fn falling_components_fall_and_all_are_bounded() {
    let network = network();
    for component in Component::ALL {
        let rows: Vec<Features> = (-40..=40)
            .map(|at| with(component, [f64::from(at) / 10.0; 3]))
            .collect();
        let found = network.profiles(&rows).expect("answers");
        let of: Vec<f64> = found.iter().map(|row| row[component.place()]).collect();
        assert!(of.iter().all(|one| one.abs() <= EFFECT_MAX + 1e-6));
        let scale = network.scales()[component.place()];
        assert!(scale.0.is_sorted(), "{component:?}: {scale:?}");
        if component.sign() == Sign::Falling {
            assert!(
                of.windows(2).all(|pair| pair[1] <= pair[0]),
                "{component:?}"
            );
            assert!(scale.0[0] >= 0.0, "{component:?}: {scale:?}");
        }
    }
}

#[test]
fn one_seed_gives_one_file_and_another_seed_another() {
    let of = |options: &ReactionTrainOptions| {
        let network = train_reaction(known(), options, &mut |_| {}).expect("trains");
        network.write().expect("writes")
    };
    let (first, again) = (of(&options(20)), of(&options(20)));
    assert_eq!(first, again);
    let mut other = options(20);
    other.seed = 2;
    assert_ne!(first, of(&other));
}

#[test]
fn what_is_no_model_is_refused() {
    let bytes = trained();
    assert!(ReactionNetwork::read(&bytes[..bytes.len() / 2]).is_err());
    assert!(ReactionNetwork::read(b"no weights").is_err());
    let nothing = train_reaction(&[Vec::new()], &options(1), &mut |_| {});
    assert!(matches!(
        nothing,
        Err(ReactionTrainError::Empty { customers: 1 })
    ));
    let hot = ReactionTrainOptions {
        rate: f64::INFINITY,
        ..options(5)
    };
    let diverged = train_reaction(known(), &hot, &mut |_| {});
    assert!(matches!(
        diverged,
        Err(ReactionTrainError::Diverged { .. } | ReactionTrainError::Weights(_))
    ));
}

#[test]
fn inputs_that_are_no_numbers_are_an_error_and_no_panic() {
    let network = network();
    let rows = [with(Component::LatencyNow, [f64::NAN; 3])];
    let found = network.profiles(&rows);
    assert!(found.is_err() || found.expect("finite")[0][0].is_finite());
    let rows = [with(Component::LatencyNow, [f64::INFINITY, 1e300, -1e300])];
    let found = network.profiles(&rows);
    assert!(found.is_err() || found.expect("finite")[0][0].abs() <= EFFECT_MAX + 1e-6);
    assert_eq!(
        network.profiles(&[]).expect("nothing"),
        Vec::<[f64; COMPONENTS]>::new()
    );
}

#[test]
fn the_shipped_model_opens_small_and_trained_on_simulated_customers() {
    let (network, card) = load_shipped_reaction().expect("opens");
    assert!(network.write().expect("writes").len() < 200_000);
    assert_eq!(card.verdict, Verdict::Open);
    assert!(card.made_of.kept_back >= 20);
    assert!(card.worth.own.low > 0.0);
}
