use super::*;
use crate::search::{SearchSettings, search};
use rand::SeedableRng;

const TWO_TIERS: &str = include_str!("../../tests/data/two-tiers.json");

fn seed(problem: &Problem) -> Plan {
    let settings = SearchSettings {
        seed: 1,
        evaluations: 0,
        threads: 1,
    };
    search(problem, &settings, None, &mut |_, _| true).plan
}

fn polished(problem: &Problem, windows: u64) -> (Plan, f64) {
    let mut polisher = Polisher::new(problem, seed(problem));
    let mut rng = ChaCha8Rng::seed_from_u64(1);
    let weights = vec![1.0; problem.tiers.len()];
    for _ in 0..windows {
        let before = polisher.evaluation.cost;
        let better = polisher.round(&weights, &crate::bound::effort(200, 100_000), &mut rng);
        assert!(polisher.evaluation.feasible());
        assert!(if better {
            polisher.evaluation.cost < before
        } else {
            polisher.evaluation.cost <= before
        });
    }
    (polisher.plan, polisher.evaluation.cost)
}

#[test]
fn windows_make_a_plan_cheaper_and_never_break_it() {
    let problem = Problem::from_json(TWO_TIERS).expect("a problem");
    let (_, start) = polished(&problem, 0);
    let (_, cost) = polished(&problem, 25);
    assert!(cost < start, "{cost} against {start}");
}

#[test]
fn the_same_windows_give_the_same_plan() {
    let problem = Problem::from_json(TWO_TIERS).expect("a problem");
    assert_eq!(polished(&problem, 12), polished(&problem, 12));
}
