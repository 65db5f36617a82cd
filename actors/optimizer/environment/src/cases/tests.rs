//! Files: what is read, what is refused, what comes out.

use super::{CaseOptions, CasesOutput, Params, kind, run};
use serde_json::{Value, json};

fn options() -> CaseOptions {
    CaseOptions {
        customers: 4_000,
        seed: 1,
        threads: 2,
        stop: None,
    }
}

fn run_cases(cases: &str) -> CasesOutput {
    let text = format!("{{\"format\": \"queue-ref/1\", \"cases\": [{cases}]}}");
    run(&text, &options(), &|_| true).unwrap()
}

fn case(kind: &str, params: &str) -> String {
    format!("{{\"id\": \"x\", \"kind\": \"{kind}\", \"params\": {{{params}}}}}")
}

#[track_caller]
fn check(kind: &str, params: &str, figure: &str, expected: f64) {
    let output = run_cases(&case(kind, params));
    let case = &output.cases[0];
    assert_eq!(case.error, None);
    let value = |value: &Value| match value {
        Value::Array(list) => list[0].as_f64(),
        other => other.as_f64(),
    };
    let analytic = value(&case.analytic[figure]).unwrap();
    assert!((analytic - expected).abs() <= 1e-9 * expected, "{analytic}");
    let found = value(&case.des[figure]).unwrap();
    // Four thousand customers: only that it is the same model.
    assert!((found - expected).abs() < 0.5 * expected, "{found}");
    assert!(case.des_half_width_99.contains_key(figure));
}

/// Kind, parameters, figure and its value.
const KINDS: &[(&str, &str, &str, f64)] = &[
    (
        "M/M/c FCFS",
        r#""c": 1, "lam": 0.5, "mu": 1.0"#,
        "mean_response",
        2.0,
    ),
    (
        "M/M/c/K FCFS (K = max in system)",
        r#""c": 1, "K": 3, "lam": 1, "mu": 1.0"#,
        "blocking",
        0.25,
    ),
    (
        "M/D/1 FCFS",
        r#""lam": 0.5, "service": "deterministic", "mean": 1"#,
        "mean_response",
        1.5,
    ),
    (
        "M/E2/1 FCFS",
        r#""lam": 0.5, "mean": 1"#,
        "mean_response",
        1.75,
    ),
    (
        "M/G/1 FCFS",
        r#""lam": 0.5, "service": "erlang k=2 mean 1""#,
        "mean_response",
        1.75,
    ),
    (
        "M/G/1 FCFS",
        r#""lam": 0.5, "service": "gamma", "mean": 1, "scv": 0.5"#,
        "mean_response",
        1.75,
    ),
    (
        "M/G/1-PS",
        r#""lam": 0.5, "service": "lognormal", "mean": 1, "scv": 2"#,
        "mean_response",
        2.0,
    ),
    (
        "M/M/1 HOL",
        r#""lam": [0.2, 0.3], "mu": 1"#,
        "mean_wait_class1",
        0.5 / 0.8,
    ),
    (
        "M/M/1 preemptive resume priority",
        r#""lam": [0.2, 0.3], "mu": 1"#,
        "mean_response_class1",
        1.25,
    ),
    (
        "open Jackson tandem",
        r#""lam": 1, "mu": [2, 4]"#,
        "mean_response",
        1.0 + 1.0 / 3.0,
    ),
    (
        "open Jackson with feedback",
        r#""lam": 1, "mu": [4], "feedback": 0.5"#,
        "mean_response",
        1.0,
    ),
    (
        "Jackson",
        r#""lam": [1, 0], "mu": [4, 4], "routing": [[0, 0.5], [0.5, 0]]"#,
        "utilisation",
        1.0 / 3.0,
    ),
    (
        "closed, FCFS",
        r#""demands": [1], "think": 1, "N": 2"#,
        "throughput",
        0.8,
    ),
    (
        "machine repair",
        r#""N": 2, "lam": 1, "mu": 1, "c": 1"#,
        "throughput",
        0.8,
    ),
    (
        "fork-join",
        r#""n": 2, "lam": 0.5, "mu": 1"#,
        "mean_response",
        11.5 / 8.0 / 0.5,
    ),
    (
        "load balancer",
        r#""servers": 4, "lam": 2, "mu": 1, "policy": "random""#,
        "mean_response",
        2.0,
    ),
    (
        "load balancer",
        r#""servers": 4, "lam": 2, "mu": 1, "policy": "JSQ""#,
        "utilisation",
        0.5,
    ),
    (
        "open",
        r#""lam": 10, "web": {"c": 1, "exp": 0.05}, "cache": {"c": 1, "exp": 0.02}, "miss": 0.5, "db": {"c": 1, "exp": 0.1}"#,
        "mean_response",
        0.1 + 0.025 + 0.5 * 0.2,
    ),
    (
        "E2/LN/1 FCFS",
        r#""arrival": "erlang k=2 mean 2", "service": "lognormal", "mean": 1, "scv": 1"#,
        "utilisation",
        0.5,
    ),
    (
        "D/M/1",
        r#""lam": 0.5, "mu": 1"#,
        "prob_wait",
        0.203_187_869_979_98,
    ),
];

#[test]
fn every_kind_is_solved_and_simulated() {
    for (kind, params, figure, expected) in KINDS {
        check(kind, params, figure, *expected);
    }
}

#[track_caller]
fn check_refused(kind: &str, params: &str, expected: &str) {
    let both = format!(
        "{}, {}",
        case(kind, params),
        case("M/M/c", r#""c": 1, "lam": 0.5, "mu": 1"#)
    );
    let output = run_cases(&both);
    let error = output.cases[0].error.as_deref().unwrap();
    assert!(error.starts_with("case x: "), "{error}");
    assert!(error.contains(expected), "{error}");
    assert_eq!(output.cases[1].error, None);
}

#[test]
fn senseless_cases_name_value_and_remedy() {
    check_refused("M/M/c", r#""c": 2, "lam": 2, "mu": 1"#, "utilisation of 1");
    check_refused(
        "M/M/c",
        r#""c": 0, "lam": 1, "mu": 1"#,
        "c is 0; give a whole number",
    );
    check_refused(
        "M/M/c",
        r#""c": 1, "lam": NaN, "mu": 1"#,
        "lam is \"NaN\"; give a finite number",
    );
    check_refused(
        "M/M/c",
        r#""c": 1, "lam": 0, "mu": 1"#,
        "lam is 0; give a positive number",
    );
    check_refused(
        "M/M/c",
        r#""c": 1, "lam": 1"#,
        "mu or mean or service is missing",
    );
    check_refused(
        "M/M/c/K",
        r#""c": 4, "K": 3, "lam": 1, "mu": 1"#,
        "K is 3 with c = 4",
    );
    check_refused(
        "M/M/c/K",
        r#""c": 1, "K": 1e9, "lam": 1, "mu": 1"#,
        "K is 1000000000.0",
    );
    check_refused(
        "M/G/1",
        r#""lam": 1, "service": "pareto", "mean": 1"#,
        "pareto",
    );
    check_refused("quantum", "", "is not known");
    check_refused("closed", r#""demands": [-1], "N": 3"#, "demands is -1");
    check_refused(
        "fork-join",
        r#""n": 3, "lam": 2, "mu": 1"#,
        "utilisation of 2",
    );
    check_refused(
        "load balancer",
        r#""servers": 2, "lam": 1, "mu": 1, "policy": "best""#,
        "policy is",
    );
}

/// Paths to the values that are no objects.
fn leaves(value: &Value, path: &str, paths: &mut Vec<String>) {
    match value {
        Value::Object(map) => {
            for (key, inner) in map {
                leaves(inner, &format!("{path}/{key}"), paths);
            }
        }
        Value::Array(list) => {
            paths.push(path.to_owned());
            for (index, inner) in list.iter().enumerate() {
                leaves(inner, &format!("{path}/{index}"), paths);
            }
        }
        _ => paths.push(path.to_owned()),
    }
}

#[test]
fn no_single_value_brings_the_reader_or_the_formulas_down() {
    let values = json!([
        0,
        -1,
        1.5,
        1e30,
        9e29,
        1e-30,
        2e-30,
        1e308,
        100,
        null,
        true,
        "NaN",
        [],
        [1, 2],
        {}
    ]);
    let (mut solved, mut refused) = (0, 0);
    for (kind, params, _, _) in KINDS {
        let sound: Value = serde_json::from_str(&format!("{{{params}}}")).unwrap();
        let mut paths = Vec::new();
        leaves(&sound, "", &mut paths);
        for path in paths {
            for value in values.as_array().unwrap() {
                let mut changed = sound.clone();
                *changed.pointer_mut(&path).unwrap() = value.clone();
                let map = changed.as_object().unwrap();
                let mut answers = super::Answers::default();
                let result = kind::problem(&kind.to_lowercase(), "", Params::new(map))
                    .and_then(|problem| problem.solve(&mut answers));
                match result {
                    Ok(()) => solved += 1,
                    Err(_) => refused += 1,
                }
            }
        }
    }
    assert!(solved > 100 && refused > 300, "{solved} {refused}");
}

#[test]
fn a_file_of_another_format_is_refused() {
    for text in [
        "",
        "[]",
        "{}",
        r#"{"format": "queue-ref/2", "cases": []}"#,
        r#"{"format": "queue-ref/1"}"#,
    ] {
        assert!(run(text, &options(), &|_| true).is_err(), "{text}");
    }
}

#[test]
fn output_is_the_same_on_any_number_of_threads() {
    let cases = case("open Jackson tandem", r#""lam": 1, "mu": [2, 4]"#);
    let text = format!("{{\"format\": \"queue-ref/1\", \"cases\": [{cases}]}}");
    let with = |threads| {
        let options = CaseOptions {
            threads,
            ..options()
        };
        serde_json::to_string(&run(&text, &options, &|_| true).unwrap()).unwrap()
    };
    assert_eq!(with(1), with(4));
}

#[test]
fn large_parameters_stay_within_bounds() {
    let output = run_cases(
        &[
            case("M/M/c", r#""c": 1000000, "lam": 900000, "mu": 1"#),
            case(
                "M/M/c/K",
                r#""c": 1000, "K": 1000000, "lam": 2000, "mu": 1"#,
            ),
            case(
                "closed",
                r#""demands": [0.1, 0.2], "think": 5, "N": 100000"#,
            ),
        ]
        .join(","),
    );
    for case in &output.cases {
        assert_eq!(case.error, None);
    }
}
