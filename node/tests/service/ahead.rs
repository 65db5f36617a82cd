//! A what-if beyond the horizon of its customer, up to the longest that is forecast.

use super::{Daemon, now};

const HOUR_S: u64 = 3_600;

/// The customer's own horizon is a day of hours.
pub(crate) fn what_if_looks_as_far_ahead_as_it_must(daemon: &Daemon) {
    let begin = now() / HOUR_S * HOUR_S;
    let asked = |start: u64, end: u64, more: &str| {
        let (start, end) = (begin + start * HOUR_S, begin + end * HOUR_S);
        let event =
            format!(r#"{{"kind": "campaign", "start": {start}, "end": {end}, "factor": 3}}"#);
        let body = format!(r#"{{"events": [{event}]{more}}}"#);
        let path = "/v1/customers/acme/what-if";
        daemon.send("POST", path, "", body.as_bytes())
    };
    let answer = |(status, told): (u16, String)| -> serde_json::Value {
        assert_eq!(status, 200, "{told}");
        serde_json::from_str(&told).expect("JSON")
    };
    let total = |answer: &serde_json::Value, side: &str| {
        answer[side]["total_usd"].as_f64().expect("a plan")
    };
    let near = answer(asked(2, 4, ""));
    assert_eq!(near["steps"], 24);
    let far = answer(asked(100, 104, ""));
    // The hour may end while the test runs.
    let issued_at = far["issued_at"].as_u64().expect("a time");
    let start = usize::try_from((begin + 100 * HOUR_S - issued_at) / HOUR_S).expect("small");
    assert_eq!(far["steps"], start + 4);
    let series = &far["series"][0];
    let ratio = |step: usize, level: usize| {
        let of = |side: &str| series[side][step][level].as_f64().expect("a quantile");
        of("quantiles_then") / of("quantiles")
    };
    for (step, expected) in [(0, 1.0), (start - 1, 1.0), (start, 3.0), (start + 3, 3.0)] {
        for level in [1, 3, 5] {
            let found = ratio(step, level);
            assert!((found - expected).abs() < 1e-3, "{step}: {found}");
        }
    }
    // The plans cover all of it: the one without costs more than that of a day, the one with more than both.
    assert!(total(&near, "plan") < total(&far, "plan"), "{far}");
    assert!(total(&far, "plan") < total(&far, "plan_then"), "{far}");

    let week = answer(asked(100, 104, r#", "steps": 168"#));
    assert_eq!(week["steps"], 168);
    let steps = week["series"][0]["quantiles_then"].as_array();
    assert_eq!(steps.map(Vec::len), Some(168));
    assert_eq!(answer(asked(2, 4, r#", "steps": 6"#))["steps"], 6);
    let refused = [
        ((100, 104, r#", "steps": 48"#), "more steps, up to 168"),
        ((170, 172, ""), "nothing is forecast beyond 168 steps"),
        ((2, 4, r#", "steps": 169"#), "169 steps ahead"),
        ((2, 4, r#", "steps": 0"#), "0 steps ahead"),
    ];
    for ((start, end, more), named) in refused {
        let (status, told) = asked(start, end, more);
        assert_eq!(status, 400, "{told}");
        assert!(told.contains(named), "{told}");
    }
}
