use super::*;

const TWO_TIERS: &str = include_str!("../../tests/data/two-tiers.json");

fn options(evaluations: u64, threads: usize) -> PlanOptions {
    PlanOptions {
        limit: PlanLimit::Evaluations(evaluations),
        threads,
        seed: 1,
    }
}

#[test]
fn hypervolume_counts_the_dominated_box() {
    let points = vec![(2.0, 0.5), (1.0, 1.0), (3.0, 0.6)];
    let found = hypervolume(points, (0.0, 0.0), (4.0, 2.0));
    // (4-2)*(2-0.5) and, below it, (2-1)*(2-1); the third is dominated.
    assert!((found - 4.0 / 8.0).abs() < 1e-12, "{found}");
    assert!(hypervolume(vec![(5.0, 0.1)], (0.0, 0.0), (4.0, 2.0)).abs() < 1e-12);
}

#[test]
fn no_plan_of_a_front_dominates_another_and_all_are_allowed() {
    let problem = Problem::from_json(TWO_TIERS).expect("a problem");
    let front = front(&problem, &options(200_000, 1)).expect("feasible");
    assert!(front.points.len() > 4, "{}", front.points.len());
    for pair in front.points.windows(2) {
        assert!(pair[0].risk < pair[1].risk && pair[0].spend > pair[1].spend);
    }
    let mut free = problem.clone();
    free.risk_budget = 1.0;
    for point in &front.points {
        let judged = crate::evaluate::evaluate(&free, &point.plan);
        assert!(judged.feasible(), "{:?}", judged.violations);
        assert!((judged.spend - point.spend).abs() < 1e-9);
        assert!((judged.risk - point.risk).abs() < 1e-12);
    }
}

#[test]
fn a_front_is_the_same_on_any_number_of_threads() {
    let problem = Problem::from_json(TWO_TIERS).expect("a problem");
    let one = front(&problem, &options(60_000, 1)).expect("feasible");
    for threads in [2, 3] {
        assert_eq!(
            front(&problem, &options(60_000, threads)).expect("feasible"),
            one
        );
    }
}
