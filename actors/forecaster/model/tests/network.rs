//! The network as others use it: shipped weights, broken weights, the same bits in any company, training.

use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use twinscale_forecast_model::append::weights_file_onto;
use twinscale_forecast_model::shipped::{SHIPPED_CARD, SHIPPED_WEIGHTS, load, load_shipped};
use twinscale_forecast_model::throughput::measure;
use twinscale_forecast_model::train::{TrainError, TrainOptions, Trained, train, weights_file};
use twinscale_forecast_model::{Architecture, Network, Parent, WeightsError, engine_of};
use twinscale_forecaster::features::fill_row;
use twinscale_forecaster::network::{
    BATCH_ROWS, FeatureBatch, HORIZON_SHAPES, Purpose, QuantileNetwork, infer_checked,
};
use twinscale_forecaster::series::Series;
use twinscale_forecaster::training::corpus::{Corpus, SourceSeries};
use twinscale_protocol::QUANTILES;

fn series(seed: u64, interval_s: u32) -> Series {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let values: Vec<Option<f64>> = (0..1200)
        .map(|_| rng.random_bool(0.95).then(|| rng.random_range(0.0..100.0)))
        .collect();
    Series::new(1_600_000_000, interval_s, &values).expect("a series")
}

/// A network of each kind, the shipped ones first.
fn networks() -> Vec<Network> {
    let (mut networks, _) = load_shipped().expect("shipped weights load");
    let corpus = corpus();
    let untrained = |architecture| {
        let options = TrainOptions {
            architecture,
            steps: 1,
            rows: 2,
            ..TrainOptions::default()
        };
        train(&corpus, &options, &mut |_| {}).expect("one step")
    };
    let file = weights_file(&Architecture::ALL.map(untrained)).expect("a file");
    networks.extend(Network::all_of(&file).expect("loads"));
    networks
}

/// Runs `row` at `place` among others drawn from `seed`.
fn among(network: &mut Network, place: usize, seed: u64, shape: usize) -> Vec<f32> {
    let mut batch = FeatureBatch::zeroed(BATCH_ROWS, shape);
    for at in 0..BATCH_ROWS {
        // An empty company for seed 0.
        if at != place && seed > 0 {
            let other = series(seed * 1000 + at as u64, 300);
            fill_row(&other, other.len() - 1, &mut batch.row_mut(at));
        }
    }
    let row = series(7, 3600);
    fill_row(&row, row.len() - 1, &mut batch.row_mut(place));
    let output = infer_checked(network, &batch).expect("runs");
    let width = shape * QUANTILES;
    output[place * width..(place + 1) * width].to_vec()
}

#[test]
fn a_row_has_the_same_bits_in_any_place_and_company() {
    for mut network in networks() {
        for shape in HORIZON_SHAPES {
            let alone = among(&mut network, 0, 0, shape);
            for place in (0..BATCH_ROWS).step_by(3) {
                let seed = place as u64 % 5;
                assert_eq!(among(&mut network, place, seed, shape), alone, "{place}");
            }
            for step in alone.chunks_exact(QUANTILES) {
                assert!(step.windows(2).all(|pair| pair[0] <= pair[1]), "{step:?}");
            }
        }
    }
}

#[test]
fn any_thread_gives_the_same_bits() {
    for mut network in networks() {
        let here = among(&mut network, 3, 2, 24);
        let there = std::thread::spawn(move || among(&mut network, 3, 2, 24));
        assert_eq!(there.join().expect("no panic"), here);
    }
}

#[test]
fn zeroed_weights_give_something_else() {
    for mut network in networks() {
        let before = among(&mut network, 0, 0, 24);
        network.zero_weights().expect("zeroes");
        assert_ne!(among(&mut network, 0, 0, 24), before);
        assert_eq!(network.weights_id().as_str(), "zeroed");
    }
}

#[test]
fn broken_weights_are_refused_with_a_remedy() {
    let refused = |bytes: &[u8]| Network::all_of(bytes).expect_err("broken");
    assert!(matches!(refused(b""), WeightsError::Corrupt { .. }));
    let half = &SHIPPED_WEIGHTS[..SHIPPED_WEIGHTS.len() / 2];
    let error = refused(half);
    assert!(error.to_string().contains("train again"), "{error}");
    let text = String::from_utf8_lossy(SHIPPED_WEIGHTS);
    assert!(text.contains("mixer_weight"));
    let mut renamed = SHIPPED_WEIGHTS.to_vec();
    let at = renamed
        .windows(12)
        .position(|name| name == b"mixer_weight")
        .expect("named");
    renamed[at] = b'n';
    assert!(matches!(
        refused(&renamed),
        WeightsError::Missing {
            name: "mixer_weight"
        }
    ));
    let mut infinite = SHIPPED_WEIGHTS.to_vec();
    let end = infinite.len();
    infinite[end - 4..].copy_from_slice(&f32::NAN.to_le_bytes());
    assert!(matches!(refused(&infinite), WeightsError::NotFinite { .. }));
}

#[test]
fn a_card_of_other_weights_is_refused() {
    let mut other = SHIPPED_WEIGHTS.to_vec();
    let end = other.len();
    other[end - 2] ^= 1;
    let error = load(&other, SHIPPED_CARD).expect_err("other weights");
    assert!(error.to_string().contains("keep both files together"));
    let (_, card) = load_shipped().expect("shipped weights load");
    assert!(
        card.datasets
            .values()
            .all(|dataset| !dataset.source.is_empty())
    );
}

#[test]
fn throughput_is_measured_below_its_limit() {
    #[expect(
        clippy::disallowed_methods,
        reason = "a benchmark reads the machine's clock"
    )]
    let start = std::time::Instant::now();
    let measured = measure(
        || Ok(load_shipped().expect("shipped weights load").0),
        5,
        &mut || start.elapsed(),
    );
    let measured = measured.expect("measures");
    println!("{measured:?}");
    assert!(measured.forecasts_per_second > 0.0);
    assert!(measured.network_gflops < 2.0 * measured.peak_gflops);
}

fn corpus() -> Corpus {
    let values = |interval_s: i64, steps: i64| {
        let at = move |step: i64| {
            let share = (step * interval_s % 86_400) as f64 / 86_400.0;
            Some(20.0 + 10.0 * (std::f64::consts::TAU * share).sin())
        };
        (0..steps).map(at).collect()
    };
    let source = |interval_s: u32, steps: i64| SourceSeries {
        dataset: "waves".to_owned(),
        id: format!("c/v/m{interval_s}"),
        start_s: 1_600_000_000,
        interval_s,
        values: values(i64::from(interval_s), steps),
        events: Vec::new(),
        cut_s: i64::MAX,
    };
    let mut rng = ChaCha8Rng::seed_from_u64(1);
    Corpus::build(&[source(3600, 4000), source(300, 12_000)], &mut rng).expect("a corpus")
}

fn same(one: &Trained, other: &Trained) -> bool {
    let file = |trained: &Trained| weights_file(std::slice::from_ref(trained)).expect("a file");
    file(one) == file(other)
}

#[test]
fn training_learns_and_a_resumed_run_ends_like_a_whole_one() {
    let corpus = corpus();
    for architecture in Architecture::ALL {
        let directory = tempfile::tempdir().expect("a directory");
        let options = TrainOptions {
            architecture,
            steps: 12,
            rows: 16,
            validate_every: 4,
            ..TrainOptions::default()
        };
        let mut losses = Vec::new();
        let whole = train(&corpus, &options, &mut |progress| {
            losses.push((progress.training_loss, progress.validation_loss));
        });
        let whole = whole.expect("trains");
        assert_eq!(losses.len(), 3);
        assert!(losses[2].0 < losses[0].0, "{losses:?}");
        // Twelve steps are too few for it to get better on later spans a week ahead.
        if architecture != Architecture::RecurrentLong {
            assert!(losses[2].1 < losses[0].1, "{architecture:?}: {losses:?}");
        }
        let resumable = TrainOptions {
            checkpoint: Some(directory.path().join("run")),
            ..options
        };
        // The first part ends abruptly after its second validation, whose checkpoint is already written.
        let first_part = std::panic::catch_unwind(|| {
            train(&corpus, &resumable, &mut |progress| {
                assert!(progress.step < 8, "interrupted on purpose");
            })
        });
        assert!(first_part.is_err());
        let rest = train(&corpus, &resumable, &mut |_| {}).expect("resumes");
        assert!(same(&rest, &whole), "{architecture:?}");
        let other_seed = TrainOptions {
            seed: 2,
            ..resumable
        };
        let error = train(&corpus, &other_seed, &mut |_| {}).expect_err("another run's checkpoint");
        assert!(matches!(error, TrainError::Checkpoint(_)));
    }
}

#[test]
fn a_file_keeps_several_networks_in_their_order() {
    let networks = networks();
    let kinds: Vec<Architecture> = networks.iter().map(Network::architecture).collect();
    assert!(kinds.ends_with(&Architecture::ALL), "{kinds:?}");
    let engine = engine_of(networks).expect("an engine");
    assert!(!engine.weights_id().as_str().is_empty());
    assert!(engine_of(Vec::new()).is_err());
}

#[test]
fn networks_are_added_to_a_file_and_those_in_it_stay_as_they_are() {
    let corpus = corpus();
    let options = TrainOptions {
        architecture: Architecture::Young,
        steps: 1,
        rows: 2,
        ..TrainOptions::default()
    };
    let young = train(&corpus, &options, &mut |_| {}).expect("one step");
    let file = weights_file_onto(SHIPPED_WEIGHTS, std::slice::from_ref(&young)).expect("a file");
    let (mut before, card) = load_shipped().expect("shipped weights load");
    let mut after = Network::all_of(&file).expect("loads");
    assert_eq!(after.len(), before.len() + 1);
    for (before, after) in before.iter_mut().zip(&mut after) {
        assert_eq!(after.architecture(), before.architecture());
        assert_eq!(among(after, 0, 0, 24), among(before, 0, 0, 24));
    }
    let last = after.last().expect("the added one");
    assert_eq!(last.purpose(), Purpose::Young);
    assert_eq!(card.networks.len(), before.len());
    let many = vec![young; 8];
    let error = weights_file_onto(SHIPPED_WEIGHTS, &many).expect_err("too many");
    assert!(error.to_string().contains("add fewer"), "{error}");
}

#[test]
fn a_training_goes_on_from_a_parent_and_is_never_worse_on_what_was_kept_back() {
    let corpus = corpus();
    let parents = Parent::all_of(SHIPPED_WEIGHTS).expect("reads");
    assert!(parents.len() > 3, "{}", parents.len());
    for parent in parents.into_iter().skip(1) {
        let options = TrainOptions {
            steps: 8,
            rows: 16,
            validate_every: 4,
            ..parent.options()
        };
        let untrained = TrainOptions {
            parent: None,
            ..options.clone()
        };
        let mut told = Vec::new();
        let trained = train(&corpus, &options, &mut |progress| {
            told.push((progress.step, progress.validation_loss));
        });
        let trained = trained.expect("trains");
        let steps: Vec<u64> = told.iter().map(|(step, _)| *step).collect();
        assert_eq!(steps, [0, 4, 8], "the parent is looked at first");
        assert!(trained.progress.best_loss <= told[0].1, "{told:?}");
        let afresh = train(&corpus, &untrained, &mut |_| {}).expect("trains");
        assert!(
            trained.progress.best_loss < afresh.progress.best_loss,
            "what was known counts"
        );
    }
}
