//! The catalogue keeps to Prometheus' conventions, and the reference to the catalogue.

use super::catalogue::{CATALOGUE, FORECAST_SECONDS, MetricKind, TURNS};
use super::{Instruments, reference};
use std::collections::BTreeSet;

#[test]
fn names_are_unique_and_keep_to_the_conventions() {
    let names: BTreeSet<_> = CATALOGUE.iter().map(|metric| metric.name).collect();
    assert_eq!(names.len(), CATALOGUE.len());
    for metric in CATALOGUE {
        let name = metric.name;
        assert!(
            name.starts_with("twinscale_") || name.starts_with("process_"),
            "{name}"
        );
        let is_total = name.ends_with("_total");
        assert_eq!(metric.kind == MetricKind::Counter, is_total, "{name}");
        let is_lower = |letter: char| letter.is_ascii_lowercase() || letter == '_';
        assert!(name.chars().all(is_lower), "{name}");
        assert!(metric.help.ends_with('.'), "{name}: {}", metric.help);
        let labels = metric.labels.iter().map(|(label, _values)| *label);
        for label in labels {
            assert!(
                !["customer", "vm", "series"].contains(&label),
                "{name} would grow with the customers"
            );
        }
        if let MetricKind::Histogram(buckets) = metric.kind {
            assert!(buckets.is_sorted(), "{name}");
            let units = ["_seconds", "_ratio", "_entries", "_bytes"];
            let has_unit = units.iter().any(|unit| name.ends_with(unit));
            assert!(has_unit, "{name} names no unit");
        }
    }
}

#[test]
fn the_reference_is_the_one_in_docs() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/reference/metrics.md");
    let written = std::fs::read_to_string(path).expect("the reference is there");
    assert!(
        written == reference::markdown(),
        "docs/reference/metrics.md is not what the catalogue says; write it with: cargo run -p twinscale \
         --example metrics_reference > docs/reference/metrics.md"
    );
}

#[test]
fn values_come_out_in_the_text_format() {
    let instruments = Instruments::on().expect("the catalogue's buckets are ascending");
    instruments.total(&TURNS, &["fresh"], 7);
    instruments.observe(&FORECAST_SECONDS, &["network"], 0.003);
    instruments.observe(&FORECAST_SECONDS, &["network"], 70.0);
    instruments.upkeep();
    let text = instruments.render();
    for line in [
        "# TYPE twinscale_turns_total counter",
        "twinscale_turns_total{outcome=\"fresh\"} 7",
        "# TYPE twinscale_forecast_seconds histogram",
        "twinscale_forecast_seconds_bucket{outcome=\"network\",le=\"0.005\"} 1",
        "twinscale_forecast_seconds_bucket{outcome=\"network\",le=\"120\"} 2",
        "twinscale_forecast_seconds_count{outcome=\"network\"} 2",
    ] {
        assert!(text.lines().any(|one| one == line), "{line} in\n{text}");
    }
}

#[test]
fn instruments_that_are_off_keep_nothing() {
    let instruments = Instruments::default();
    instruments.total(&TURNS, &["fresh"], 7);
    assert_eq!(instruments.render(), "");
}

#[test]
#[should_panic(expected = "one value per label")]
fn a_label_that_is_forgotten_is_a_defect() {
    let instruments = Instruments::on().expect("the catalogue's buckets are ascending");
    instruments.add(&TURNS, &[], 1);
}
