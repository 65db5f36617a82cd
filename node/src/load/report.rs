//! What a load came to.

use super::verify::Verified;
use hdrhistogram::Histogram;
use serde::{Deserialize, Serialize};
use std::fmt::Write as _;

/// What a load came to.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct LoadReport {
    /// Customers of the load.
    pub customers: u64,
    /// Series of the load.
    pub series: u64,
    /// Samples a second that were due.
    pub rate: u32,
    /// How long it took, in seconds.
    pub took_s: f64,
    /// Requests that were answered 200.
    pub requests: u64,
    /// Samples that were acknowledged.
    pub acknowledged: u64,
    /// Lines that were refused.
    pub refused: u64,
    /// Why the first of them was.
    pub refusal: Option<String>,
    /// Samples that were there already: sent again after an answer was lost.
    pub duplicates: u64,
    /// Samples that replaced another value.
    pub corrected: u64,
    /// Samples of answers that did not name all refused lines: not on the list.
    pub unlisted: u64,
    /// Answers 429.
    pub overloaded: u64,
    /// Requests without an answer, or with one of the 5xx.
    pub failed_requests: u64,
    /// Samples that were given up.
    pub unanswered: u64,
    /// Time from the moment a batch was due until it was acknowledged, in milliseconds.
    pub latency_ms: Latencies,
    /// The node's memory over time.
    pub memory: Vec<MemoryPoint>,
    /// What reading back found.
    pub verified: Option<Verified>,
}

/// Percentiles, in milliseconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Latencies {
    /// Half of the batches were faster.
    pub p50: f64,
    /// Nine of ten.
    pub p90: f64,
    /// 99 of a hundred.
    pub p99: f64,
    /// The slowest.
    pub max: f64,
}

/// The node at a moment of the load.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct MemoryPoint {
    /// Seconds since the start of the load.
    pub at_s: u64,
    /// Memory that the node holds, in bytes.
    pub resident_bytes: u64,
    /// Turns that it has done.
    pub turns_done: u64,
}

impl LoadReport {
    /// Takes the percentiles of latencies in microseconds.
    pub(crate) fn set_latencies(&mut self, latencies: &Histogram<u64>) {
        let at = |quantile| latencies.value_at_quantile(quantile) as f64 / 1_000.0;
        self.latency_ms = Latencies {
            p50: at(0.5),
            p90: at(0.9),
            p99: at(0.99),
            max: latencies.max() as f64 / 1_000.0,
        };
    }

    /// For people.
    pub fn table(&self) -> String {
        let mut text = String::new();
        let mut line = |name: &str, value: String| {
            // Writing to a string cannot fail.
            let _written = writeln!(text, "{name:<28} {value}");
        };
        line(
            "customers, series",
            format!("{}, {}", self.customers, self.series),
        );
        line("due", format!("{} samples/s", self.rate));
        line(
            "acknowledged",
            format!("{} samples in {:.1} s", self.acknowledged, self.took_s),
        );
        let Latencies { p50, p90, p99, max } = self.latency_ms;
        line(
            "latency from due (ms)",
            format!("p50 {p50:.1}, p90 {p90:.1}, p99 {p99:.1}, max {max:.1}"),
        );
        line("refused lines", self.refused.to_string());
        if let Some(refusal) = &self.refusal {
            line("  first", refusal.clone());
        }
        line("told to come back (429)", self.overloaded.to_string());
        line("requests without answer", self.failed_requests.to_string());
        line(
            "samples given up",
            (self.unanswered + self.unlisted).to_string(),
        );
        if let (Some(first), Some(last)) = (self.memory.first(), self.memory.last()) {
            let mib = |point: &MemoryPoint| point.resident_bytes >> 20;
            let most = self.memory.iter().map(mib).max().unwrap_or_default();
            line(
                "node's memory (MiB)",
                format!("first {}, last {}, most {most}", mib(first), mib(last)),
            );
            line("turns done", last.turns_done.to_string());
        }
        if let Some(verified) = &self.verified {
            line("read back", verdict(verified));
            for example in &verified.examples {
                line("  ", example.clone());
            }
        }
        text
    }
}

fn verdict(verified: &Verified) -> String {
    let Verified {
        acknowledged,
        stored,
        lost,
        altered,
        doubled,
        unacknowledged,
        ..
    } = verified;
    let word = if verified.is_sound() { "=" } else { "IS NOT" };
    format!(
        "acknowledged {acknowledged} {word} stored {stored}; lost {lost}, altered {altered}, doubled \
         {doubled}, stored without acknowledgement {unacknowledged}"
    )
}
