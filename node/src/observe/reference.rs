//! The reference of metrics, made of the catalogue.

use super::catalogue::{CATALOGUE, Metric, MetricKind};
use std::fmt::Write as _;

const HEAD: &str = "\
# Metrics

`GET /metrics` on the daemon's address, in Prometheus' text format. No label has a customer's name in it: \
the number of time series depends on this list and not on the number of customers; \
`GET /v1/customers/{customer}` tells of one. Durations are in seconds, sizes in bytes; counters start at 0 \
with the process.

Rates that are worth a panel:

- coverage of the 90 % quantile: `sum(rate(twinscale_forecast_steps_within_total{level=\"0.9\"}[1d])) / \
sum(rate(twinscale_forecast_steps_scored_total[1d]))` should be 0.9;
- median relative error: `histogram_quantile(0.5, rate(twinscale_forecast_error_ratio_bucket[1d]))`;
- load that is shed: `rate(twinscale_ingest_overloaded_total[5m])`, \
`rate(twinscale_mailbox_refused_total[5m])`, `rate(twinscale_commands_overloaded_total[5m])`;
- a provider in trouble: `rate(twinscale_provider_call_seconds_count{outcome!=\"done\"}[5m])`.

| metric | kind | labels | what it says |
|---|---|---|---|
";

/// Writes the reference page.
pub fn markdown() -> String {
    let mut text = HEAD.to_owned();
    for metric in CATALOGUE {
        // Writing to a string cannot fail.
        let _written = writeln!(
            text,
            "| `{}` | {} | {} | {} |",
            metric.name,
            kind(metric),
            labels(metric),
            metric.help
        );
    }
    text
}

fn kind(metric: &Metric) -> &'static str {
    match metric.kind {
        MetricKind::Counter => "counter",
        MetricKind::Gauge => "gauge",
        MetricKind::Histogram(_) => "histogram",
    }
}

fn labels(metric: &Metric) -> String {
    let labels: Vec<String> = metric
        .labels
        .iter()
        .map(|(label, values)| format!("`{label}`: {values}"))
        .collect();
    labels.join("; ")
}
