use super::book::ShadowBook;
use super::*;
use crate::fixtures::request;
use proptest::prelude::*;
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use std::collections::BTreeMap;
use twinscale_protocol::forecaster::{
    ForecastContext, ForecastRequest, ForecastSource, SeriesForecast,
};
use twinscale_protocol::{FixedValue, QUANTILES, WeightsId};

const HOUR: u32 = 3_600;

fn id(name: &str) -> WeightsId {
    WeightsId::new(name).expect("an id")
}

/// A forecast whose quantiles lie around a median.
fn forecast(request: &ForecastRequest, weights: &str, median: f64, gap: f64) -> SeriesForecast {
    let mut quantiles = [FixedValue(0); QUANTILES];
    for (at, quantile) in (-3_i32..).zip(&mut quantiles) {
        *quantile = FixedValue::from_model(median + gap * f64::from(at));
    }
    SeriesForecast {
        key: request.series[0].key.clone(),
        first_step_at: request.issued_at,
        interval: request.interval,
        quantiles: vec![quantiles; usize::from(request.horizon_steps)],
        peak: None,
        source: ForecastSource::Network(id(weights)),
        context: ForecastContext::default(),
    }
}

/// So many hours of one value.
fn asked(customer: &str, hours: usize) -> ForecastRequest {
    request(customer, HOUR, &vec![Some(10.0); hours])
}

fn offer(book: &mut ShadowBook, request: &ForecastRequest, medians: [f64; 2]) {
    let champion = forecast(request, "old", medians[0], 1.0);
    let challenger = forecast(request, "new", medians[1], 1.0);
    let window = &request.series[0];
    book.offer(
        request,
        OfferedSeries {
            window,
            champion: &champion,
            challenger: &challenger,
            calibration: &[7],
        },
    );
}

fn book() -> ShadowBook {
    ShadowBook::new(1, id("old"), id("new"))
}

#[test]
fn both_are_scored_on_the_same_steps_once_their_truth_is_known() {
    let mut book = book();
    let issued = asked("acme", 100);
    offer(&mut book, &issued, [14.0, 10.0]);
    book.observe(&issued);
    assert_eq!(book.tallies(), [], "nothing of it is over");
    let later = asked("acme", 103);
    book.observe(&later);
    book.observe(&later);
    let [one] = book.tallies()[..] else {
        panic!("one series");
    };
    let tally = one.tally;
    assert_eq!((tally.forecasts, tally.steps), (1, 3), "each step once");
    // Pinball by hand: quantiles 7 to 14 around the truth 10, in units of the mean of 10.
    let by_hand: f64 = [
        0.05 * 3.0,
        0.1 * 2.0,
        0.25,
        0.0,
        0.25,
        0.1 * 2.0,
        0.05 * 3.0,
        0.01 * 4.0,
    ]
    .iter()
    .sum();
    assert!(
        (tally.losses[1] - 3.0 * by_hand / 10.0).abs() < 1e-5,
        "{tally:?}"
    );
    assert!(tally.losses[0] > 2.0 * tally.losses[1], "{tally:?}");
    assert_eq!(tally.within_80, [0, 3]);
    assert_eq!(tally.within_90, [0, 3]);
    assert_eq!(tally.last_at - tally.first_at, 2 * i64::from(HOUR));
    assert_eq!(
        book.calibration(&issued.customer, &issued.series[0].key),
        [7]
    );
    book.observe(&asked("acme", 300));
    assert_eq!(book.tallies()[0].tally.steps, 24, "the horizon and no more");
}

#[test]
fn what_is_missing_or_not_of_both_is_not_scored() {
    let mut book = book();
    let issued = asked("acme", 100);
    let other = forecast(&issued, "another", 1.0, 1.0);
    let champion = forecast(&issued, "old", 1.0, 1.0);
    book.offer(
        &issued,
        OfferedSeries {
            window: &issued.series[0],
            champion: &champion,
            challenger: &other,
            calibration: &[],
        },
    );
    assert_eq!(book.series(), 0, "it switched in between");
    offer(
        &mut book,
        &request("idle", HOUR, &[Some(0.0); 100]),
        [1.0, 2.0],
    );
    offer(&mut book, &issued, [1.0, 2.0]);
    let gaps: Vec<Option<f64>> = (0..104).map(|at| (at != 101).then_some(10.0)).collect();
    book.observe(&request("acme", HOUR, &gaps));
    let steps: Vec<u64> = book.tallies().iter().map(|one| one.tally.steps).collect();
    assert_eq!(steps, [3], "an idle series has no unit, a gap no truth");
    // The customer's steps are shorter now: what was forecast is of no use any more.
    book.observe(&request("acme", 300, &vec![Some(10.0); 1_400]));
    book.observe(&asked("acme", 110));
    assert_eq!(book.tallies()[0].tally.steps, 3);
}

#[test]
fn series_and_forecasts_are_bounded_and_resting_ones_make_room() {
    let mut book = book();
    let customer = |number: usize| format!("c-{number}");
    for number in 0..SERIES_MAX + 10 {
        offer(&mut book, &asked(&customer(number), 50), [1.0, 2.0]);
    }
    assert_eq!(book.series(), SERIES_MAX);
    let newcomer = asked("newcomer", 50);
    let takes = |book: &ShadowBook| book.takes(&newcomer.customer, &newcomer.series[0].key);
    assert!(!takes(&book));
    for round in 0..10 {
        for number in 1..SERIES_MAX {
            offer(&mut book, &asked(&customer(number), 51 + round), [1.0, 2.0]);
        }
    }
    assert!(takes(&book), "customer 0 rests");
    offer(&mut book, &newcomer, [1.0, 2.0]);
    assert_eq!(book.series(), SERIES_MAX);
    assert!(!book.takes(&asked(&customer(0), 50).customer, &newcomer.series[0].key));
}

/// Series whose challenger loses `ratio` times what the champion does, give or take.
fn tallies(count: u64, ratio: f64, spread: f64, seed: u64) -> BTreeMap<u64, PairTally> {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let one = |series| {
        let off: f64 = rng.random_range(-spread..=spread);
        let tally = PairTally {
            forecasts: 40,
            steps: 400,
            losses: [80.0, 80.0 * ratio * off.exp()],
            within_80: [320, 318],
            within_90: [360, 362],
            first_at: 0,
            last_at: 200_000,
        };
        SeriesTally { series, tally }
    };
    merge((0..count).map(one).collect::<Vec<_>>())
}

fn verdict(purpose: Purpose, age_s: u64, tallies: &BTreeMap<u64, PairTally>) -> Verdict {
    let rule = Rule::default();
    judge(purpose, age_s, compare(tallies, &rule).as_ref(), &rule)
}

#[test]
fn the_rule_on_known_truths() {
    use Purpose::{Promotion, Watch};
    use Verdict::{Better, GoesOn, TimeOver, Worse};
    let (young, old) = (1_000, 15 * 86_400);
    let better = tallies(40, 0.9, 0.2, 1);
    let worse = tallies(40, 1.15, 0.2, 2);
    let alike = tallies(40, 1.0, 0.2, 3);
    let slightly = tallies(400, 0.995, 0.01, 4);
    let few = tallies(5, 0.5, 0.01, 5);
    for (purpose, age, tallies, wanted) in [
        (Promotion, young, &better, Better),
        (Promotion, young, &worse, Worse),
        (Promotion, young, &alike, GoesOn),
        (Promotion, old, &alike, TimeOver),
        (Promotion, young, &slightly, GoesOn),
        (Promotion, young, &few, GoesOn),
        (Watch, young, &better, Better),
        (Watch, young, &worse, GoesOn),
        (Watch, old, &worse, TimeOver),
    ] {
        assert_eq!(verdict(purpose, age, tallies), wanted, "{purpose:?} {age}");
    }
    assert_eq!(verdict(Promotion, young, &BTreeMap::new()), GoesOn);
    let found = compare(&better, &Rule::default()).expect("enough");
    assert!(found.interval[0] < found.ratio && found.ratio < found.interval[1]);
    assert!((found.ratio - 0.9).abs() < 0.05, "{found:?}");
}

#[test]
fn a_challenger_whose_ranges_do_not_hold_is_not_promoted() {
    let mut narrow = tallies(40, 0.9, 0.2, 1);
    for tally in narrow.values_mut() {
        tally.within_80[1] = 200;
        tally.within_90[1] = 250;
    }
    assert_eq!(verdict(Purpose::Promotion, 0, &narrow), Verdict::GoesOn);
    // Unless those of the active weights hold even less.
    for tally in narrow.values_mut() {
        tally.within_80[0] = 100;
        tally.within_90[0] = 120;
    }
    assert_eq!(verdict(Purpose::Promotion, 0, &narrow), Verdict::Better);
}

#[test]
fn one_series_decides_nothing_and_short_spans_wait() {
    let mut one_outlier = tallies(40, 1.02, 0.01, 1);
    if let Some(first) = one_outlier.values_mut().next() {
        first.losses = [1e12, 1e-12];
    }
    assert_ne!(
        verdict(Purpose::Promotion, 0, &one_outlier),
        Verdict::Better
    );
    let mut short = tallies(40, 0.8, 0.01, 1);
    for tally in short.values_mut() {
        tally.last_at = 3_600;
    }
    assert_eq!(verdict(Purpose::Promotion, 0, &short), Verdict::GoesOn);
}

#[test]
fn what_nodes_send_is_put_together_and_nonsense_left_out() {
    let sound = tallies(1, 0.5, 0.0, 1)[&0];
    let wrong = |spoil: fn(&mut PairTally)| {
        let mut tally = sound;
        spoil(&mut tally);
        SeriesTally { series: 9, tally }
    };
    let one = SeriesTally {
        series: 1,
        tally: sound,
    };
    let merged = merge([
        one,
        one,
        wrong(|tally| tally.losses[0] = f64::NAN),
        wrong(|tally| tally.losses[1] = -1.0),
        wrong(|tally| tally.within_80[0] = 401),
        wrong(|tally| tally.first_at = i64::MAX),
    ]);
    assert_eq!(merged.len(), 1);
    assert_eq!((merged[&1].steps, merged[&1].forecasts), (800, 80));
    assert!((merged[&1].losses[0] - 160.0).abs() < 1e-9);
}

proptest! {
    /// Where nothing differs but chance, the interval holds the truth about as often as it says.
    #[test]
    fn the_interval_is_sound(seed in 0_u64..64) {
        let rule = Rule::default();
        let held = (0..50).filter(|round| {
            let found = compare(&tallies(20, 0.95, 0.5, seed * 50 + round), &rule).expect("enough");
            found.interval[0] <= 0.95 && 0.95 <= found.interval[1]
        });
        prop_assert!(held.count() >= 40, "of 50");
    }

    /// Whatever nodes send, the rule answers.
    #[test]
    fn any_sums_are_judged(
        sums in prop::collection::vec((any::<u64>(), any::<[f64; 2]>(), any::<[u64; 4]>(), any::<[i64; 2]>()), 0..20)
    ) {
        let sent = sums.into_iter().map(|(series, losses, counts, at)| SeriesTally {
            series,
            tally: PairTally {
                forecasts: counts[0],
                steps: counts[1],
                losses,
                within_80: [counts[2]; 2],
                within_90: [counts[3]; 2],
                first_at: at[0],
                last_at: at[1],
            },
        });
        let merged = merge(sent.collect::<Vec<_>>());
        let rule = Rule::default();
        let found = compare(&merged, &rule);
        judge(Purpose::Promotion, 0, found.as_ref(), &rule);
    }
}
