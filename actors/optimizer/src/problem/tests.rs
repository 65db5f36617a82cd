use super::*;
use serde_json::{Value, json};

const TWO_TIERS: &str = include_str!("../../tests/data/two-tiers.json");

fn changed(pointer: &str, value: Value) -> Result<Problem, ProblemError> {
    let mut file: Value = serde_json::from_str(TWO_TIERS).expect("valid JSON");
    *file.pointer_mut(pointer).expect("the pointer exists") = value;
    Problem::from_json(&file.to_string())
}

#[test]
fn a_file_is_read_in_full() {
    let problem = Problem::from_json(TWO_TIERS).expect("a valid problem");
    assert_eq!(
        (problem.steps, problem.levels.len(), problem.tiers.len()),
        (12, 5, 2)
    );
    assert_eq!(problem.tiers[0].name, "app");
    assert_eq!(problem.tiers[0].options[2].name, "small");
    assert_eq!(problem.tiers[0].options[2].initial, 2);
    assert!((problem.tiers[0].options[2].start_price - 0.05 * 0.2).abs() < 1e-12);
    assert_eq!(problem.tiers[0].required(0, 1, 5).len(), 3);
    assert_eq!(problem.volumes.len(), 1);
    assert_eq!(
        problem.link.as_ref().map(|link| link.options.len()),
        Some(3)
    );
}

#[test]
fn every_bad_value_is_named_with_its_path() {
    let bad = [
        ("/format", json!("other"), "format"),
        ("/steps", json!(0), "steps"),
        ("/steps", json!(-3), "steps"),
        ("/step_hours", json!(0), "step_hours"),
        ("/levels", json!([0.5, 0.4, 0.9, 0.95, 0.99]), "levels[1]"),
        ("/level_min", json!(9), "level_min"),
        ("/penalty/3/1", json!(-1), "penalty[3][1]"),
        ("/penalty/3", json!([1]), "penalty[3]"),
        ("/step_weight", json!("x"), "step_weight"),
        (
            "/tiers/app/min_up_steps",
            json!(0),
            "tiers.app.min_up_steps",
        ),
        (
            "/tiers/app/capacity/small/0",
            json!(null),
            "tiers.app.capacity.small[0]",
        ),
        (
            "/tiers/app/initial",
            json!({"huge": 1}),
            "tiers.app.initial.huge",
        ),
        (
            "/tiers/web/capacity/large",
            json!([1, 2]),
            "tiers.web.capacity.large",
        ),
        (
            "/tiers/web/requirement/2/4",
            json!([1, 2]),
            "tiers.web.requirement[2][4]",
        ),
        ("/types/small/price", json!("cheap"), "types.small.price"),
        ("/storage/db/block_gib", json!(0), "storage.db.block_gib"),
        ("/link/initial_option", json!(3), "link.initial_option"),
        (
            "/link/options_mbps_price_h",
            json!([]),
            "link.options_mbps_price_h",
        ),
        ("/budget", json!(1e300), "budget"),
    ];
    for (pointer, value, path) in bad {
        let error = changed(pointer, value).expect_err(pointer);
        assert_eq!(error.path, path, "{error}");
        assert!(
            !error.remedy.is_empty() && !error.value.is_empty(),
            "{error}"
        );
    }
}

#[test]
fn missing_keys_and_broken_json_are_named() {
    let mut file: Value = serde_json::from_str(TWO_TIERS).expect("valid JSON");
    file.as_object_mut()
        .expect("an object")
        .remove("vcpu_quota");
    let error = Problem::from_json(&file.to_string()).expect_err("a key is missing");
    assert_eq!(error.to_string(), "`vcpu_quota` is missing: add this key");
    assert_eq!(Problem::from_json("{").expect_err("no JSON").path, "file");
    assert_eq!(
        Problem::from_json("[]").expect_err("no object").remedy,
        "give an object"
    );
}
