use super::{Dependence, DependenceError, PastRanks, RANKS_MAX, RankPaths, TooManyRanks};
use proptest::prelude::{prop_assert, proptest};

/// Ranks of many origins under a known dependence, as the past would hold them.
fn past(dependence: &Dependence, origins: usize, steps: usize) -> Vec<f64> {
    let drawn = RankPaths::draw(dependence, origins, steps, 7).expect("few ranks");
    let series = dependence.series();
    (0..origins)
        .flat_map(|path| (0..series).map(move |series| (path, series)))
        .flat_map(|(path, series)| drawn.ranks(path, series).to_vec())
        .collect()
}

fn learned(ranks: &[f64], series: usize, steps: usize) -> Dependence {
    Dependence::learn(&PastRanks {
        series,
        steps,
        ranks,
    })
    .expect("a shape that fits")
}

#[test]
fn each_margin_has_one_path_in_each_stratum() {
    let dependence = Dependence::in_step(2).expect("two series");
    let paths = RankPaths::draw(&dependence, 50, 6, 1).expect("few ranks");
    for series in 0..2 {
        for step in 0..6 {
            let mut strata: Vec<usize> = (0..50)
                .map(|path| {
                    let rank = paths.ranks(path, series)[step];
                    (0..50)
                        .find(|stratum| rank < (*stratum as f64 + 1.0) / 50.0)
                        .expect("a rank below 1")
                })
                .collect();
            strata.sort_unstable();
            assert_eq!(strata, (0..50).collect::<Vec<_>>());
        }
    }
}

#[test]
fn what_is_in_step_keeps_its_order_over_steps_and_series() {
    let dependence = Dependence::in_step(2).expect("two series");
    let paths = RankPaths::draw(&dependence, 40, 5, 3).expect("few ranks");
    for left in 0..40 {
        for right in 0..40 {
            let above = |series: usize, step: usize| {
                paths.ranks(left, series)[step] > paths.ranks(right, series)[step]
            };
            assert!((0..2).all(|series| (0..5).all(|step| above(series, step) == above(0, 0))));
        }
    }
}

#[test]
fn a_known_dependence_is_learned_from_what_it_drew() {
    let truth = Dependence {
        staying: 0.3,
        fading: 0.5,
        fading_by: 0.8,
        between: vec![
            vec![1.0, 0.6, 0.0],
            vec![0.6, 1.0, -0.4],
            vec![0.0, -0.4, 1.0],
        ],
    };
    let ranks = past(&truth, 2_000, 24);
    let found = learned(&ranks, 3, 24);
    for lag in [1, 2, 5, 12, 23] {
        let (found, truth) = (found.at_lag(lag), truth.at_lag(lag));
        assert!((found - truth).abs() < 0.06, "lag {lag}: {found}, {truth}");
    }
    for (left, right) in [(0, 1), (0, 2), (1, 2)] {
        let (found, truth) = (found.between(left, right), truth.between(left, right));
        assert!(
            (found - truth).abs() < 0.06,
            "{left} {right}: {found}, {truth}"
        );
    }
}

#[test]
fn missing_ranks_are_left_out_and_few_say_little() {
    let truth = Dependence::in_step(2).expect("two series");
    let mut ranks = past(&truth, 400, 8);
    for rank in ranks.iter_mut().step_by(3) {
        *rank = f64::NAN;
    }
    assert!(learned(&ranks, 2, 8).between(0, 1) > 0.9);
    let few = learned(&past(&truth, 1, 8), 2, 8);
    assert!(
        few.between(0, 1) < 0.5,
        "one origin gave {}",
        few.between(0, 1)
    );
    let missing = learned(&[f64::NAN; 32], 2, 8);
    assert_eq!(missing, Dependence::none(2).expect("two series"));
}

#[test]
fn the_same_seed_draws_the_same_paths_and_another_does_not() {
    let dependence = learned(&past(&Dependence::none(1).expect("one"), 50, 4), 1, 4);
    let draw = |seed| RankPaths::draw(&dependence, 10, 4, seed).expect("few ranks");
    assert_eq!(draw(5), draw(5));
    assert_ne!(draw(5), draw(6));
}

#[test]
fn impossible_shapes_are_refused_by_value() {
    assert_eq!(Dependence::none(0), Err(DependenceError::Series(0)));
    assert_eq!(
        Dependence::in_step(10_000),
        Err(DependenceError::Series(10_000))
    );
    let shape = PastRanks {
        series: 2,
        steps: 3,
        ranks: &[0.5; 7],
    };
    let refused = Dependence::learn(&shape).expect_err("seven is no multiple of six");
    assert!(refused.to_string().starts_with("7 ranks"), "{refused}");
    let dependence = Dependence::none(1).expect("one series");
    let refused = RankPaths::draw(&dependence, RANKS_MAX, 2, 1).expect_err("too many");
    assert_eq!(
        refused,
        TooManyRanks {
            paths: RANKS_MAX,
            series: 1,
            steps: 2
        }
    );
    let empty = RankPaths::draw(&dependence, 0, 2, 1).expect("no paths are few");
    assert_eq!(empty.paths(), 0);
}

proptest! {
    /// Whatever correlations were estimated, paths can be drawn, and ranks stay inside.
    #[test]
    fn any_estimate_can_be_drawn_from(
        entries in proptest::collection::vec(-1.0_f64..1.0, 6),
        staying in 0.0_f64..1.0,
        fading_by in 0.0_f64..1.0,
    ) {
        let mut between = super::dependence::identity(4);
        let mut entries = entries.into_iter();
        for (left, right) in [(0, 1), (0, 2), (0, 3), (1, 2), (1, 3), (2, 3)] {
            let entry = entries.next().expect("six entries");
            between[left][right] = entry;
            between[right][left] = entry;
        }
        let dependence = Dependence { staying, fading: 1.0 - staying, fading_by, between };
        let paths = RankPaths::draw(&dependence, 7, 5, 2).expect("few ranks");
        for path in 0..7 {
            for series in 0..4 {
                prop_assert!(paths.ranks(path, series).iter().all(|rank| *rank > 0.0 && *rank < 1.0));
            }
        }
    }
}
