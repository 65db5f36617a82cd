//! What holds for every series.

use proptest::prelude::*;
use twinscale_patterns::{
    Candidate, ChangeDetector, Grid, GridError, KnownEvent, Report, SAMPLES_MAX, borrowed_profile,
    changes, find, sentences, siblings, svg,
};
use twinscale_protocol::EventKind;

const WEEK_S: i64 = 604_800;

fn values() -> impl Strategy<Value = Vec<Option<f64>>> {
    let value = prop_oneof![
        3 => (0.0..100.0_f64).prop_map(Some),
        2 => Just(Some(0.0)),
        1 => Just(None),
        1 => prop_oneof![Just(1e300), Just(1e-300), Just(5e-324), Just(1e9)].prop_map(Some),
    ];
    let mixed = prop::collection::vec(value, 1..600);
    let shaped = (2_usize..900, 0.0..3.0_f64, any::<u64>()).prop_map(|(count, depth, seed)| {
        (0..count)
            .map(|at| {
                let mixed = (at as u64 ^ seed).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 40;
                let noise = mixed as f64 / f64::from(1 << 24);
                let wave = (at as f64 / 24.0 * std::f64::consts::TAU).sin();
                Some(10.0 + depth * wave + noise)
            })
            .collect()
    });
    prop_oneof![mixed, shaped]
}

fn kinds(report: &Report) -> Vec<&'static str> {
    report
        .patterns
        .iter()
        .map(|pattern| pattern.detail.kind())
        .collect()
}

fn assert_sound(report: &Report) {
    for pattern in &report.patterns {
        assert!((0.0..=1.0).contains(&pattern.strength), "{pattern:?}");
    }
    let text = serde_json::to_string(report).expect("json");
    // Not-a-number and infinity become null in JSON, and would not be read again.
    let again: Report = serde_json::from_str(&text).expect("the same form");
    assert_eq!(&again, report);
    let json: serde_json::Value = serde_json::from_str(&text).expect("json");
    for (at, kind) in kinds(report).into_iter().enumerate() {
        assert_eq!(json["patterns"][at]["kind"], kind);
    }
    for sentence in sentences(report) {
        assert!(
            sentence.ends_with('.') && !sentence.contains("NaN"),
            "{sentence}"
        );
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(160))]

    #[test]
    fn any_series_is_explained(
        values in values(),
        interval_s in prop_oneof![1_u32..86_401, Just(300), Just(3_600), Just(86_400)],
        start_s in -1_000_000_000_i64..4_000_000_000,
    ) {
        match Grid::new(start_s, interval_s, &values) {
            Err(error) => prop_assert!(matches!(error, GridError::Empty { .. }), "{error}"),
            Ok(grid) => {
                let event = KnownEvent {
                    kind: EventKind::Holiday,
                    start_s: start_s + 86_400,
                    end_s: start_s + 2 * 86_400,
                };
                let grid = grid.with_events([event]);
                let report = find(&grid);
                assert_sound(&report);
                let own = Candidate::of("own", &grid);
                let near = siblings(&own.fingerprint, std::slice::from_ref(&own), 3);
                if let Some(profile) = borrowed_profile(&near)
                    && let Some(fitted) = profile.fitted_to(&grid)
                {
                    let quantiles = fitted.quantiles(start_s).unwrap_or_default();
                    prop_assert!(quantiles.iter().all(|value| value.is_finite() && *value >= 0.0));
                    prop_assert!(quantiles.is_sorted());
                }
                let picture = svg("a < b", &grid, &report);
                prop_assert!(!picture.contains("NaN") && !picture.contains("inf"));
            }
        }
    }

    #[test]
    fn any_sample_may_come(
        samples in prop::collection::vec((any::<i64>(), prop::option::of(any::<f64>())), 1..60),
        values in values(),
        interval_s in prop_oneof![1_u32..86_401, Just(3_600)],
    ) {
        let mut detector = ChangeDetector::new(interval_s).expect("in range");
        for (at_s, value) in samples {
            let change = detector.push(at_s, value);
            prop_assert!(change.is_none_or(|change| (0.0..=1.0).contains(&change.confidence)));
        }
        if let Ok(grid) = Grid::new(0, interval_s, &values) {
            for change in changes(&grid) {
                prop_assert!(change.at_s <= change.confirmed_s && change.before.is_finite());
                prop_assert!((0.0..=1.0).contains(&change.confidence) && change.after.is_finite());
            }
        }
    }

    #[test]
    fn the_unit_changes_nothing(values in values(), factor in prop_oneof![Just(1e3), Just(1e-3)]) {
        let is_plain = |value: &Option<f64>| value.is_none_or(|value| value == 0.0 || (1e-3..1e12).contains(&value));
        prop_assume!(values.iter().all(is_plain));
        let scaled: Vec<Option<f64>> = values.iter().map(|value| value.map(|v| v * factor)).collect();
        if let (Ok(grid), Ok(other)) = (Grid::new(0, 3_600, &values), Grid::new(0, 3_600, &scaled)) {
            let (report, other) = (find(&grid), find(&other));
            prop_assert_eq!(kinds(&report), kinds(&other));
            for (one, two) in report.patterns.iter().zip(&other.patterns) {
                prop_assert!((one.strength - two.strength).abs() < 1e-6, "{one:?} {two:?}");
            }
        }
    }

    #[test]
    fn whole_weeks_later_cycles_are_the_same(values in values(), weeks in 1_i64..200) {
        if let (Ok(grid), Ok(later)) = (
            Grid::new(0, 3_600, &values),
            Grid::new(weeks * WEEK_S, 3_600, &values),
        ) {
            let (report, later) = (find(&grid), find(&later));
            for kind in ["daily", "weekly", "weekend_dip", "batch_job"] {
                let strengths = |report: &Report| -> Vec<f64> {
                    report.of_kind(kind).map(|pattern| pattern.strength).collect()
                };
                prop_assert_eq!(strengths(&report), strengths(&later));
            }
        }
    }
}

#[test]
fn what_is_no_series_is_refused_by_name() {
    let check = |values: &[Option<f64>], interval_s: u32, start_s: i64, part: &str| {
        let error = Grid::new(start_s, interval_s, values)
            .expect_err(part)
            .to_string();
        assert!(error.contains(part), "{error}");
    };
    check(
        &[Some(1.0), Some(f64::NAN)],
        60,
        0,
        "value NaN at position 1",
    );
    check(&[Some(f64::INFINITY)], 60, 0, "value inf at position 0");
    check(&[Some(-1.0)], 60, 0, "value -1 at position 0");
    check(&[None, None], 60, 0, "2 samples holds no observation");
    check(&[], 60, 0, "0 samples holds no observation");
    check(&[Some(1.0)], 0, 0, "interval of 0 s");
    check(&[Some(1.0)], 86_401, 0, "interval of 86401 s");
    check(&[Some(1.0)], 60, i64::MAX, "leaves the years");
}

#[test]
fn one_sample_and_one_value_are_told() {
    let one = find(&Grid::new(0, 60, &[Some(4.0)]).expect("a series"));
    assert!(one.patterns.is_empty());
    assert!(
        one.not_told
            .iter()
            .any(|missing| missing.reason.contains("one sample"))
    );
    let same = find(&Grid::new(0, 3_600, &[Some(4.0); 300]).expect("a series"));
    assert_eq!(kinds(&same), ["constant"]);
    let zeros = find(&Grid::new(0, 3_600, &[Some(0.0); 300]).expect("a series"));
    assert_eq!(kinds(&zeros), ["constant", "idle"]);
    assert_eq!(sentences(&zeros)[0], "Always 0.");
}

#[test]
fn the_longest_series_are_bounded() {
    for (interval_s, days) in [(1, 12), (60, 728), (86_400, 1 << 20)] {
        let values: Vec<Option<f64>> = (0..SAMPLES_MAX)
            .map(|at| Some(f64::from(u8::from(at % 3_600 < 60)) + (at % 7) as f64))
            .collect();
        let grid = Grid::new(0, interval_s, &values).expect("as long as it may be");
        let report = find(&grid);
        assert_eq!((report.span.end_s - report.span.start_s) / 86_400, days);
        assert_sound(&report);
        let more = [values, vec![Some(1.0)]].concat();
        let error = Grid::new(0, interval_s, &more)
            .expect_err("one more")
            .to_string();
        assert!(error.contains("1048577 samples is too long"), "{error}");
    }
}

#[test]
fn the_json_form_keeps_its_names() {
    // A working week of four weeks, in whole numbers: each figure below follows from it.
    let values: Vec<Option<f64>> = (0..28 * 24)
        .map(|hour| {
            let works = hour / 24 % 7 < 5 && (8..18).contains(&(hour % 24));
            Some(if works { 90.0 } else { 30.0 })
        })
        .collect();
    let report = find(&Grid::new(1_704_067_200, 3_600, &values).expect("a series"));
    let json = serde_json::to_value(&report).expect("json");
    assert_eq!(json["format"], "twinscale-patterns/1");
    assert_eq!(json["span"]["interval_s"], 3_600);
    let hours = json["patterns"]
        .as_array()
        .expect("a list")
        .iter()
        .find(|pattern| pattern["kind"] == "business_hours")
        .expect("business hours");
    let expected = serde_json::json!({
        "kind": "business_hours",
        "weekdays": [0, 1, 2, 3, 4],
        "from_hour": 8,
        "to_hour": 18,
        "clock": {"rule": "fixed", "offset_hours": 0, "is_rule_seen": false},
    });
    for (name, value) in expected.as_object().expect("an object") {
        assert_eq!(&hours[name], value, "{name}");
    }
    assert_eq!(hours["evidence"]["seen_in"], 4);
    assert_eq!(hours["evidence"]["cycles"], 4);
    assert!((hours["ratio"].as_f64().expect("a number") - 3.0).abs() < 1e-9);
    let text = sentences(&report).join("\n");
    assert!(
        text.contains("Weekdays 08:00 to 18:00 (UTC): demand is 3 times that of the rest, seen in 4 of 4 weeks."),
        "{text}"
    );
}

#[test]
fn the_picture_is_whole_and_knows_the_dark() {
    let values: Vec<Option<f64>> = (0..60 * 24)
        .map(|hour| Some(f64::from(hour % 24) + if hour > 900 { 40.0 } else { 10.0 }))
        .collect();
    let grid = Grid::new(1_704_067_200, 3_600, &values).expect("a series");
    let report = find(&grid);
    let picture = svg("a & b", &grid, &report);
    assert!(picture.contains("prefers-color-scheme:dark") && picture.contains("a &amp; b"));
    // A cell and its shade for each hour of the week, and a line for each part.
    assert_eq!(picture.matches("<rect class=\"none\"").count(), 168);
    assert_eq!(picture.matches("<rect class=\"heat\"").count(), 168);
    assert_eq!(picture.matches("<path class=\"line").count(), 4);
    assert_eq!(
        picture.matches("<path class=\"step\"").count(),
        report.of_kind("step").count()
    );
    assert_eq!(report.of_kind("step").count(), 1);
    assert_eq!(
        picture.matches("<text").count(),
        picture.matches("</text>").count()
    );
    let words = |text: &str| {
        text.split_whitespace()
            .map(str::to_owned)
            .collect::<Vec<_>>()
    };
    let shown = words(&picture.replace("</text>", " ").replace('>', "> "));
    for sentence in sentences(&report) {
        for word in words(&sentence) {
            assert!(shown.contains(&word), "{word} of {sentence}");
        }
    }
}
