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

fn objectives(point: &FrontPoint) -> [f64; 3] {
    let response = point.response.map_or(0.0, |response| response.mean_s);
    [point.spend, point.risk, response]
}

#[test]
fn no_plan_of_a_front_dominates_another_and_all_are_allowed() {
    let problem = Problem::from_json(TWO_TIERS).expect("a problem");
    let front = front(&problem, &options(200_000, 1)).expect("feasible");
    assert!(front.points.len() > 20, "{}", front.points.len());
    assert_eq!(front.no_response, None);
    let mut free = problem.clone();
    free.risk_budget = 1.0;
    let responses = Responses::new(&free).expect("has queues");
    for (place, point) in front.points.iter().enumerate() {
        for (other, right) in front.points.iter().enumerate() {
            let pairs = objectives(point).into_iter().zip(objectives(right));
            let dominates = place != other && pairs.into_iter().all(|(left, right)| left <= right);
            assert!(!dominates, "{point} dominates {right}");
        }
        let judged = crate::evaluate::evaluate(&free, &point.plan);
        assert!(judged.feasible(), "{:?}", judged.violations);
        assert!((judged.spend - point.spend).abs() < 1e-9);
        assert!((judged.risk - point.risk).abs() < 1e-12);
        let levels: Vec<usize> = judged.levels.into_iter().flatten().collect();
        assert_eq!(Some(responses.of(&point.plan, &levels)), point.response);
    }
}

#[test]
fn quicker_plans_cost_more_and_simulation_agrees_with_the_formula() {
    let problem = Problem::from_json(TWO_TIERS).expect("a problem");
    let front = front(&problem, &options(200_000, 1)).expect("feasible");
    let mean = |point: &FrontPoint| point.response.expect("has queues").mean_s;
    let quick = front.points.iter().map(mean).fold(f64::INFINITY, f64::min);
    let slow = front.points.iter().map(mean).fold(0.0, f64::max);
    assert!(quick < 0.8 * slow, "{quick} to {slow}");
    let held = front.points.iter().filter(|point| {
        let checked = point.checked.expect("small queues");
        let apart = (checked.mean_s - mean(point)).abs();
        assert!(apart <= 2.0 * checked.half_width_s, "{point}");
        assert!(checked.half_width_s <= 0.06 * checked.mean_s, "{point}");
        checked.holds(&point.response.expect("has queues"))
    });
    let (held, all) = (held.count(), front.points.len());
    assert!(held * 20 >= all * 19, "{held} of {all}");
}

#[test]
fn three_objectives_lose_little_of_spend_against_risk() {
    let problem = Problem::from_json(TWO_TIERS).expect("a problem");
    let mut without = problem.clone();
    without.tiers[0].service = None;
    let size = |problem: &Problem| {
        let front = front(problem, &options(400_000, 1)).expect("feasible");
        (front.hypervolume((5.0, 0.0), (15.0, 0.5)), front)
    };
    let (three, _) = size(&problem);
    let (two, front) = size(&without);
    assert!(two > 0.1, "{two}");
    assert!(three >= 0.99 * two, "{three} against {two}");
    let why = front.no_response.as_ref().expect("a tier without a queue");
    assert!(why.to_string().contains("service_time_s"), "{why}");
    let written = front.to_json(&without);
    assert_eq!(written["objectives"], json!(["spend", "risk"]));
    assert_eq!(written["points"][0]["response"], Value::Null);
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
