//! What came of the slices, as a table and as JSON.

use super::idle::Idle;
use super::slice::{Measure, Slice};
use ::twinscale::micro::Machine;
use hdrhistogram::Histogram;
use serde::{Serialize, Serializer};
use std::fmt::Write as _;

/// The whole report.
#[derive(Debug, Serialize)]
pub struct ClusterReport {
    /// Names this format.
    pub schema: &'static str,
    /// Where it was measured.
    pub machine: Machine,
    /// Clients that wrote at once.
    pub clients: u32,
    /// Samples of a request.
    pub batch: u32,
    /// One row for each measure and contender.
    pub rows: Vec<Row>,
    /// Twinscale when nobody asks anything.
    pub idle: Vec<Idle>,
    /// Who did not take part.
    pub left_out: Vec<LeftOut>,
}

/// Who did not take part.
#[derive(Debug, Serialize)]
pub struct LeftOut {
    /// Who.
    pub contender: &'static str,
    /// Why.
    pub because: String,
}

/// What one contender did.
#[derive(Debug, Serialize)]
pub struct Row {
    /// What was measured.
    pub measure: Measure,
    /// Who.
    pub contender: &'static str,
    /// What its acknowledgement means.
    pub promise: &'static str,
    /// Units a second, of each slice.
    pub rates: Vec<f64>,
    /// Latencies of all requests, in microseconds.
    #[serde(serialize_with = "quantiles", rename = "latency_us")]
    pub latencies: Histogram<u64>,
}

#[derive(Serialize)]
struct Quantiles {
    p50: u64,
    p99: u64,
    max: u64,
}

fn quantiles<S: Serializer>(latencies: &Histogram<u64>, to: S) -> Result<S::Ok, S::Error> {
    Quantiles {
        p50: latencies.value_at_quantile(0.5),
        p99: latencies.value_at_quantile(0.99),
        max: latencies.max(),
    }
    .serialize(to)
}

/// Adds a slice to its row.
pub fn add(
    rows: &mut Vec<Row>,
    (contender, promise, measure): (&'static str, &'static str, Measure),
    slice: Slice,
) {
    let rate = slice.units as f64 / slice.took.as_secs_f64().max(1e-9);
    let known = rows
        .iter_mut()
        .find(|row| row.contender == contender && row.measure == measure);
    match known {
        Some(row) => {
            row.rates.push(rate);
            // Both have the same bounds.
            row.latencies += slice.latencies;
        }
        None => rows.push(Row {
            measure,
            contender,
            promise,
            rates: vec![rate],
            latencies: slice.latencies,
        }),
    }
}

impl Row {
    fn mean(&self) -> f64 {
        self.rates.iter().sum::<f64>() / self.rates.len().max(1) as f64
    }
}

impl ClusterReport {
    /// For people.
    pub fn table(&self) -> String {
        let mut text = format!(
            "{}\n{} clients, {} samples a request; a call is one at a time\n{:<16}{:<11}{:>11}{:>11}{:>11}{:>9}{:>9}  acknowledged means\n",
            self.machine,
            self.clients,
            self.batch,
            "",
            "",
            "mean",
            "least",
            "most",
            "p50 ms",
            "p99 ms"
        );
        for measure in Measure::ALL {
            for row in self.rows.iter().filter(|row| row.measure == measure) {
                let ms = |quantile| row.latencies.value_at_quantile(quantile) as f64 / 1_000.0;
                let least = row.rates.iter().copied().fold(f64::INFINITY, f64::min);
                let most = row.rates.iter().copied().fold(0.0, f64::max);
                // Writing to a string cannot fail.
                let _written = writeln!(
                    text,
                    "{:<16}{:<11}{:>11.1}{least:>11.1}{most:>11.1}{:>9.2}{:>9.2}  {}",
                    measure.name(),
                    row.contender,
                    row.mean(),
                    ms(0.5),
                    ms(0.99),
                    row.promise
                );
            }
        }
        for Idle {
            shards,
            cpu_percent,
            memory_mib,
        } in &self.idle
        {
            let _written = writeln!(
                text,
                "idle, {shards} shards: {cpu_percent:.1} % of a processor and {memory_mib:.0} MiB for each node"
            );
        }
        for LeftOut { contender, because } in &self.left_out {
            let _written = writeln!(text, "left out: {contender}: {because}");
        }
        text
    }
}
