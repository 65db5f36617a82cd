//! Input that cannot be planned, or hardly: a clear error or a best effort, in bounded time.

use serde_json::{Value, json};
use std::time::Duration;
use twinscale_optimizer::bound::BoundMethod;
use twinscale_optimizer::{PlanError, PlanLimit, PlanOptions, PlannedFile, plan_file};

const TWO_TIERS: &str = include_str!("data/two-tiers.json");

fn file() -> Value {
    serde_json::from_str(TWO_TIERS).expect("JSON")
}

fn plan(text: &str) -> Result<PlannedFile, PlanError> {
    let options = PlanOptions {
        limit: PlanLimit::Evaluations(2_000),
        threads: 1,
        seed: 1,
    };
    plan_file(text, &options)
}

#[track_caller]
fn refused(text: &str, parts: &[&str]) {
    let error = plan(text).expect_err("cannot be planned").to_string();
    for part in parts {
        assert!(error.contains(part), "{part:?} is not in {error:?}");
    }
}

#[test]
fn demand_that_is_no_number_is_an_error_with_its_place() {
    let mut broken = file();
    broken["tiers"]["app"]["requirement"][3][1][0] = Value::Null;
    refused(
        &broken.to_string(),
        &["tiers.app.requirement[3][1][0]", "number"],
    );
    let broken = TWO_TIERS.replacen("\"penalty\":[[", "\"penalty\":[[NaN,", 1);
    assert_ne!(broken, TWO_TIERS);
    refused(&broken, &["JSON"]);
    let mut broken = file();
    broken["demand_quantiles_rps"][0][0] = json!(-5);
    refused(&broken.to_string(), &["demand_quantiles_rps[0][0]", "-5"]);
}

#[test]
fn an_empty_catalogue_is_an_error() {
    let mut broken = file();
    broken["types"] = json!({});
    refused(&broken.to_string(), &["types"]);
    let mut broken = file();
    broken["tiers"] = json!({});
    refused(&broken.to_string(), &["tiers", "at least one tier"]);
    let mut broken = file();
    broken["tiers"]["app"]["capacity"] = json!({});
    broken["tiers"]["app"]["initial"] = json!({});
    refused(
        &broken.to_string(),
        &["tiers.app.capacity", "at least one VM type"],
    );
}

#[test]
fn a_quota_below_the_least_need_is_named_with_its_step_and_shortfall() {
    let mut broken = file();
    broken["vcpu_quota"] = json!(1);
    refused(
        &broken.to_string(),
        &["virtual CPU quota", "at step", "limit is 1", "short"],
    );
}

#[test]
fn what_only_the_interplay_of_limits_forbids_is_proven() {
    let mut broken = file();
    // Enough starts for each step alone, none of them allowed to stop what it replaces.
    for tier in ["app", "web"] {
        if broken["tiers"].get(tier).is_some() {
            broken["tiers"][tier]["max_stop_per_step"] = json!(0);
        }
    }
    match plan(&broken.to_string()) {
        Ok(planned) => assert!(planned.outcome.evaluation.feasible()),
        Err(error) => assert!(matches!(error, PlanError::Unsatisfiable { .. }), "{error}"),
    }
}

#[test]
fn types_that_cost_nothing_are_planned() {
    let mut free = file();
    for (_, described) in free["types"].as_object_mut().expect("types") {
        described["price"] = json!(0);
    }
    let planned = plan(&free.to_string()).expect("a price of zero is a price");
    assert!(planned.outcome.evaluation.feasible());
    let parts = planned.outcome.evaluation.parts;
    assert!(parts.vm.abs() < 1e-12 && parts.start.abs() < 1e-12);
    assert!(planned.solved.bound.cost <= planned.outcome.evaluation.cost);
}

/// The file over many more steps.
fn long(steps: usize) -> String {
    let mut long = file();
    let known = usize::try_from(long["steps"].as_u64().expect("steps")).expect("few");
    let repeat = |rows: &mut Value, scale: f64| {
        let items = rows.as_array().expect("rows").clone();
        let item = |step: usize| match items[step % known].as_f64() {
            Some(number) => json!(number * scale),
            None => items[step % known].clone(),
        };
        *rows = (0..steps).map(item).collect();
    };
    let factor = known as f64 / steps as f64;
    long["steps"] = json!(steps);
    for (key, scale) in [
        ("penalty", 1.0),
        ("demand_quantiles_rps", 1.0),
        ("step_weight", factor),
    ] {
        repeat(&mut long[key], scale);
    }
    for (_, tier) in long["tiers"].as_object_mut().expect("tiers") {
        repeat(&mut tier["requirement"], 1.0);
    }
    for (_, volume) in long["storage"].as_object_mut().expect("volumes") {
        repeat(&mut volume["required_gib"], 1.0);
        repeat(&mut volume["required_iops"], 1.0);
    }
    repeat(&mut long["link"]["required_mbps"], 1.0);
    long["budget"] = json!(1e9);
    long.to_string()
}

#[test]
fn ten_thousand_steps_are_planned_in_bounded_time_with_a_weaker_bound() {
    let options = PlanOptions {
        limit: PlanLimit::Deadline(Duration::from_secs(2)),
        threads: 1,
        seed: 1,
    };
    let planned = plan_file(&long(10_000), &options).expect("feasible");
    assert!(planned.outcome.evaluation.feasible());
    let bound = &planned.solved.bound;
    assert!(bound.cost > 0.0 && bound.cost <= planned.outcome.evaluation.cost);
    let weaker = [
        BoundMethod::Steps,
        BoundMethod::Windows,
        BoundMethod::Relaxation,
    ];
    assert!(
        bound.method.is_some_and(|method| weaker.contains(&method)),
        "{bound:?}"
    );
    assert!(
        planned.elapsed < Duration::from_mins(1),
        "{:?}",
        planned.elapsed
    );
    let mut longer = file();
    longer["steps"] = json!(10_001);
    refused(&longer.to_string(), &["steps", "10000"]);
}
