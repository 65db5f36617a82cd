use super::moves;
use super::screen;
use super::state::{Edit, State};
use super::*;
use proptest::prelude::*;
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;

const TWO_TIERS: &str = include_str!("../../tests/data/two-tiers.json");

fn two_tiers() -> Problem {
    Problem::from_json(TWO_TIERS).expect("a valid problem")
}

fn random_edit(state: &State<'_>, rng: &mut ChaCha8Rng) -> Edit {
    let tier = rng.random_range(0..state.tiers.len());
    let from = rng.random_range(0..state.model.steps);
    Edit {
        tier,
        option: rng.random_range(0..state.model.tiers[tier].options),
        from,
        to: rng.random_range(from + 1..=state.model.steps),
        delta: rng.random_range(-2..=2),
    }
}

/// What the judge says of the counts of a state; volumes and link as they are at first.
fn judged(problem: &Problem, state: &State<'_>) -> Evaluation {
    let mut plan = Plan::unchanged(problem);
    State::write(&state.snapshot(), problem.steps, &mut plan);
    evaluate(problem, &plan)
}

proptest! {
    #[test]
    fn running_sums_agree_with_the_judge_after_any_edits(
        seed in any::<u64>(),
        delay in 0_usize..4,
        min_up in 1_usize..6,
        edits in 0_usize..60,
    ) {
        let mut problem = two_tiers();
        // Without volumes and link the covered level depends on VMs alone.
        problem.volumes.clear();
        problem.link = None;
        for tier in &mut problem.tiers {
            (tier.delay_steps, tier.min_up_steps) = (delay, min_up.max(delay));
        }
        let model = model::Model::new(&problem);
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        let levels: Vec<usize> = (0..problem.steps).map(|_| rng.random_range(0..5)).collect();
        let mut state = State::unchanged(&model, &levels, &vec![0.0; problem.steps]);
        for _ in 0..edits {
            let edit = random_edit(&state, &mut rng);
            state.apply(edit);
        }
        let found = judged(&problem, &state);
        prop_assert!((state.spend_nanos() / 1e9 - found.spend).abs() < 1e-6);
        // With each level lowered to what is covered, both must agree on feasibility.
        let covered: Vec<Option<usize>> = found.levels.clone();
        for (step, level) in covered.iter().enumerate() {
            state.set_level(step, level.unwrap_or(0));
        }
        let feasible = found.feasible();
        prop_assert_eq!(state.feasible(), feasible, "{:?}", found.violations);
        if feasible {
            prop_assert!((state.energy() / 1e9 - found.cost).abs() < 1e-6);
        }
    }

    #[test]
    fn the_opposite_edits_restore_every_bit(seed in any::<u64>(), edits in 1_usize..40) {
        let problem = two_tiers();
        let model = model::Model::new(&problem);
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        let levels = vec![4; problem.steps];
        let mut state = State::unchanged(&model, &levels, &vec![0.0; problem.steps]);
        let (energy, start) = (state.energy(), state.snapshot());
        let mut applied = Vec::new();
        for _ in 0..edits {
            let edit = random_edit(&state, &mut rng);
            if state.apply(edit) {
                applied.push(edit);
            }
        }
        for edit in applied.iter().rev() {
            prop_assert!(state.apply(edit.inverse()));
        }
        prop_assert_eq!(state.energy().to_bits(), energy.to_bits());
        prop_assert_eq!(state.snapshot(), start);
    }

    #[test]
    fn the_screen_never_rejects_what_the_full_price_accepts(seed in any::<u64>(), warm in 0_usize..30) {
        let problem = two_tiers();
        let model = model::Model::new(&problem);
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        let levels = vec![3; problem.steps];
        let mut state = State::unchanged(&model, &levels, &vec![0.0; problem.steps]);
        for _ in 0..warm {
            let edit = random_edit(&state, &mut rng);
            state.apply(edit);
        }
        for _ in 0..40 {
            let tier = rng.random_range(0..state.tiers.len());
            let drawn = moves::draw(&state, tier, &mut rng);
            let limit = rng.random::<f64>() * 3.0 * model.unit_price;
            let before = state.energy();
            let mut applied = Vec::new();
            let whole = drawn.edits().iter().all(|edit| {
                let done = state.apply(*edit);
                applied.extend(done.then_some(*edit));
                done
            });
            let rise = state.energy() - before;
            for edit in applied.iter().rev() {
                state.apply(edit.inverse());
            }
            if whole && rise <= limit {
                prop_assert!(!screen::hopeless(&state, &drawn, limit), "{drawn:?} rises by {rise}");
            }
        }
    }
}

#[test]
fn evaluations_are_used_exactly_and_the_search_is_no_worse_than_its_seed() {
    let problem = two_tiers();
    for evaluations in [0, 1, 7, 1000, 20_011] {
        let settings = SearchSettings {
            seed: 3,
            evaluations,
            threads: 1,
        };
        let found = search(&problem, &settings, None, &mut |_, _| true);
        assert_eq!(found.evaluations, evaluations);
        assert!(found.evaluation.feasible());
        assert!(found.evaluation.cost <= found.seed_evaluation.cost + 1e-9);
        assert!(!found.truncated);
    }
}

#[test]
fn threads_change_nothing_and_seeds_do() {
    let problem = two_tiers();
    let with = |threads, seed| {
        let settings = SearchSettings {
            seed,
            evaluations: 3_000,
            threads,
        };
        search(&problem, &settings, None, &mut |_, _| true)
    };
    assert_eq!(with(1, 1), with(2, 1));
    assert_eq!(with(1, 1), with(16, 1));
    assert_eq!(with(1, 2), with(3, 2));
}

#[test]
fn a_deadline_truncates_at_a_generation_and_says_so() {
    let problem = two_tiers();
    let settings = SearchSettings {
        seed: 1,
        evaluations: 10_000,
        threads: 1,
    };
    let mut asked = 0;
    let cut = search(&problem, &settings, None, &mut |_, _| {
        asked += 1;
        asked <= 3
    });
    assert!(cut.truncated && cut.evaluations < 10_000 && cut.evaluation.feasible());
    let again = search(&problem, &settings, None, &mut |_, budget| {
        budget > 0 && {
            asked += 1;
            asked <= 7
        }
    });
    assert_eq!(cut.plan, again.plan, "the same cut gives the same plan");
}

#[test]
fn a_good_last_plan_is_not_lost() {
    let problem = two_tiers();
    let long = SearchSettings {
        seed: 1,
        evaluations: 60_000,
        threads: 1,
    };
    let best = search(&problem, &long, None, &mut |_, _| true);
    let short = SearchSettings {
        seed: 9,
        evaluations: 50,
        threads: 1,
    };
    let warm = search(&problem, &short, Some(&best.plan), &mut |_, _| true);
    assert!(warm.evaluation.cost <= best.evaluation.cost + 0.05 * best.evaluation.cost);
}
