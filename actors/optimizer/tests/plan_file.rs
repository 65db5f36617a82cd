//! Problem files in, plan files out.

use serde_json::Value;
use std::time::Duration;
use twinscale_optimizer::{
    PlanError, PlanLimit, PlanOptions, PlanStart, Problem, plan_file, plan_file_from,
};

const ONE_TYPE: &str = include_str!("data/one-type.json");
const TWO_TIERS: &str = include_str!("data/two-tiers.json");
const NO_WAY: &str = include_str!("data/no-way.json");

fn options(evaluations: u64, threads: usize) -> PlanOptions {
    PlanOptions {
        limit: PlanLimit::Evaluations(evaluations),
        threads,
        seed: 1,
    }
}

#[test]
fn a_plan_file_is_the_same_on_any_threads_and_says_how_it_was_found() {
    let one = plan_file(TWO_TIERS, &options(20_000, 1))
        .expect("a plan")
        .to_json();
    let two = plan_file(TWO_TIERS, &options(20_000, 2))
        .expect("a plan")
        .to_json();
    assert_eq!(one.to_string(), two.to_string());
    assert_eq!(one["method"], "genetic");
    assert_eq!(one["evaluations"], 20_000);
    assert_eq!(one["deadline_hit"], false);
    assert!(one["search_cost"].as_f64() <= one["seed_cost"].as_f64());
    assert_eq!(
        one["vms"]["app"].as_object().map(|types| !types.is_empty()),
        Some(true)
    );
    assert_eq!(one["link_option"].as_array().map(Vec::len), Some(12));
    assert!(one["check"]["requests"].as_u64() > Some(1_000));
    let seconds = |value: &Value| value.as_f64().expect("a number of seconds");
    let (formula, check) = (seconds(&one["response"]), &one["response_check"]);
    let both = 0.5 * (seconds(&check["median_s"]) + seconds(&check["covered_s"]));
    assert!((formula - both).abs() < 1e-12);
    let apart = (formula - seconds(&check["simulated_s"])).abs();
    assert!(
        apart <= seconds(&check["simulated_half_width_s"]),
        "{check}"
    );
    assert_eq!(one["no_response"], Value::Null);
}

#[test]
fn one_type_is_proven_and_the_search_finds_nothing_cheaper() {
    let exact = plan_file(ONE_TYPE, &options(1_000, 1)).expect("a plan");
    assert!(exact.exact && exact.outcome.evaluations == 0);
    let problem = Problem::from_json(ONE_TYPE).expect("a problem");
    let settings = twinscale_optimizer::search::SearchSettings {
        seed: 1,
        evaluations: 50_000,
        threads: 1,
    };
    let found = twinscale_optimizer::search::search(&problem, &settings, None, &mut |_, _| true);
    assert!(found.evaluation.feasible());
    assert!((found.evaluation.cost - exact.outcome.evaluation.cost).abs() < 1e-9);
}

#[test]
fn the_requirement_table_is_the_queueing_model_s() {
    use twinscale_optimizer::queueing::servers_for;
    for text in [ONE_TYPE, TWO_TIERS, NO_WAY] {
        let problem = Problem::from_json(text).expect("a problem");
        let levels = problem.levels.len();
        for tier in &problem.tiers {
            let service = tier.service.expect("has a service time");
            for step in 0..problem.steps {
                for level in 0..levels {
                    let demand = problem.demand_rps[step * levels + level] * service.visits;
                    let rounded = (demand * 1000.0).round() / 1000.0;
                    let cores = servers_for(&service, rounded).map(f64::from);
                    assert_eq!(cores, Some(tier.required(step, level, levels)[0]));
                }
            }
        }
    }
}

#[test]
fn an_impossible_file_and_a_broken_one_are_errors() {
    let error = plan_file(NO_WAY, &options(2_000, 1)).expect_err("the budget is too small");
    assert!(matches!(error, PlanError::Unsatisfiable { .. }), "{error}");
    assert!(error.to_string().contains("budget"), "{error}");
    let mut broken: Value = serde_json::from_str(TWO_TIERS).expect("JSON");
    broken["tiers"]["app"]["delay_steps"] = Value::from(-1);
    let error = plan_file(&broken.to_string(), &options(1, 1)).expect_err("a negative delay");
    assert!(
        error
            .to_string()
            .starts_with("`tiers.app.delay_steps` is -1"),
        "{error}"
    );
}

#[test]
fn a_deadline_in_the_past_still_gives_the_seed() {
    let deadline = PlanOptions {
        limit: PlanLimit::Deadline(Duration::ZERO),
        threads: 1,
        seed: 1,
    };
    let planned = plan_file(TWO_TIERS, &deadline).expect("the seed is feasible");
    assert!(planned.outcome.truncated);
    assert_eq!(planned.to_json()["deadline_hit"], true);
}

#[test]
fn the_plan_file_is_the_same_on_any_number_of_threads() {
    let one = plan_file(TWO_TIERS, &options(400_000, 1)).expect("feasible");
    let written = one.to_json().to_string();
    for threads in [2, 3] {
        let other = plan_file(TWO_TIERS, &options(400_000, threads)).expect("feasible");
        assert_eq!(other.to_json().to_string(), written, "{threads} threads");
        assert_eq!(other.state(), one.state());
    }
}

#[test]
fn a_run_goes_on_from_the_state_of_another_and_is_never_worse() {
    let first = plan_file(TWO_TIERS, &options(20_000, 1)).expect("feasible");
    let state = first.state().to_string();
    let start = PlanStart {
        warm: None,
        state: Some(&state),
    };
    let again =
        |threads| plan_file_from(TWO_TIERS, &options(20_000, threads), &start).expect("feasible");
    let second = again(1);
    assert!(second.outcome.evaluation.cost <= first.outcome.evaluation.cost);
    assert_eq!(second.rounds, 1);
    assert_eq!(second.to_json(), again(2).to_json());
    let broken = state.replace("alloc-state/1", "alloc-state/9");
    let start = PlanStart {
        warm: None,
        state: Some(&broken),
    };
    let error = plan_file_from(TWO_TIERS, &options(1, 1), &start).expect_err("another format");
    assert!(error.to_string().starts_with("`state.format`"), "{error}");
}

#[test]
fn a_warm_plan_is_a_seed_and_one_of_another_shape_is_refused() {
    let first = plan_file(TWO_TIERS, &options(200_000, 1)).expect("feasible");
    let plan = first.to_json().to_string();
    let start = PlanStart {
        warm: Some(&plan),
        state: None,
    };
    let warm = plan_file_from(TWO_TIERS, &options(0, 1), &start).expect("feasible");
    assert!(warm.outcome.evaluation.cost <= first.outcome.evaluation.cost);
    assert_eq!(warm.to_json()["seed_by"], "warm start");
    let mut short: Value = serde_json::from_str(&plan).expect("JSON");
    short["link_option"] = Value::from(vec![0, 0]);
    let short = short.to_string();
    let start = PlanStart {
        warm: Some(&short),
        state: None,
    };
    let error = plan_file_from(TWO_TIERS, &options(0, 1), &start).expect_err("another shape");
    assert!(error.to_string().contains("plan of"), "{error}");
}

#[test]
fn a_plan_carries_a_bound_below_its_cost() {
    for text in [ONE_TYPE, TWO_TIERS] {
        let planned = plan_file(text, &options(200_000, 1)).expect("feasible");
        let (bound, cost) = (&planned.solved.bound, planned.outcome.evaluation.cost);
        assert!(
            bound.cost <= cost && bound.gap(cost) < 0.03,
            "{bound:?} against {cost}"
        );
        assert_eq!(planned.to_json()["bound"]["cost"], bound.cost);
    }
}
