//! Figures by number of twins, with their growth.

use crate::micro::Machine;
use serde::{Deserialize, Serialize};

/// Format of the JSON output.
const FORMAT: &str = "twinscale-growth/1";

/// Resident memory at moments of a run, in MiB.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct MemoryMib {
    /// With the network loaded, before the twins.
    pub process: f64,
    /// With all twins configured, given their history, and at rest.
    pub idle: f64,
    /// After three turns of each, with forecast, plan and running VMs.
    pub active: f64,
    /// After the twins' actors have ended; their states are still held.
    pub stopped: f64,
    /// After log, store and states are closed.
    pub closed: f64,
}

/// What was measured with one number of twins.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct GrowthRow {
    /// Twins.
    pub twins: u32,
    /// Memory.
    pub memory_mib: MemoryMib,
    /// Twins configured, given two days of two series, and started, per second.
    pub activations_per_s: f64,
    /// First turns per second, which learn from the whole history.
    pub first_turns_per_s: f64,
    /// Later turns per second.
    pub turns_per_s: f64,
    /// Series forecast per second through the forecaster's actor.
    pub forecasts_per_s: f64,
    /// Rows of the network alone per second, on one thread.
    pub network_forecasts_per_s: f64,
    /// Arithmetic of the network in those forecasts, in 10^9 operations per second.
    pub forecasts_gflops: f64,
    /// Matrix product peak of one thread.
    pub peak_gflops: f64,
    /// Plans per second through the optimizer's actor.
    pub plans_per_s: f64,
}

/// Rows in ascending order of twins.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct GrowthReport {
    format: String,
    machine: serde_json::Value,
    /// One per number of twins.
    pub rows: Vec<GrowthRow>,
}

/// One line of the table: its name, its unit and what it shows of a row.
type Line = (&'static str, &'static str, fn(&GrowthRow) -> f64);

const LINES: [Line; 14] = [
    ("memory before the twins", "MiB", |row| {
        row.memory_mib.process
    }),
    ("memory, twins idle", "MiB", |row| row.memory_mib.idle),
    ("memory, twins active", "MiB", |row| row.memory_mib.active),
    ("memory, twins stopped", "MiB", |row| row.memory_mib.stopped),
    ("memory, all closed", "MiB", |row| row.memory_mib.closed),
    ("of it per idle twin", "KiB", |row| {
        row.per_twin_kib(|memory| memory.idle)
    }),
    ("of it per active twin", "KiB", |row| {
        row.per_twin_kib(|memory| memory.active)
    }),
    ("activations", "twins/s", |row| row.activations_per_s),
    ("first turns", "turns/s", |row| row.first_turns_per_s),
    ("turns", "turns/s", |row| row.turns_per_s),
    ("forecasts", "series/s", |row| row.forecasts_per_s),
    ("network alone", "series/s", |row| {
        row.network_forecasts_per_s
    }),
    ("share of the matrix peak", "%", |row| {
        100.0 * row.forecasts_gflops / row.peak_gflops
    }),
    ("plans", "plans/s", |row| row.plans_per_s),
];

impl GrowthRow {
    /// Memory beyond that before the twins, by twin.
    fn per_twin_kib(&self, at: fn(&MemoryMib) -> f64) -> f64 {
        let more = at(&self.memory_mib) - self.memory_mib.process;
        more * 1_024.0 / f64::from(self.twins.max(1))
    }
}

impl GrowthReport {
    /// Joins rows with where they were measured.
    ///
    /// # Errors
    /// Never: a machine is plain data.
    pub fn new(machine: &Machine, mut rows: Vec<GrowthRow>) -> Result<Self, serde_json::Error> {
        rows.sort_by_key(|row| row.twins);
        Ok(Self {
            format: FORMAT.to_owned(),
            machine: serde_json::to_value(machine)?,
            rows,
        })
    }

    /// The figures as a table, each with its growth per tenfold of twins, and the slopes of memory.
    #[must_use]
    pub fn table(&self) -> String {
        let counts = self.rows.iter().enumerate().map(|(number, row)| {
            let growth = if number > 0 { "growth" } else { "" };
            cell(f64::from(row.twins), 0, growth, number > 0)
        });
        let head = format!("{:26} {:8}{}", "twins", "", counts.collect::<String>());
        let lines = LINES.iter().map(|line| self.line(line));
        let slopes = self.slopes();
        let texts = std::iter::once(head).chain(lines).chain(slopes);
        texts.map(|text| text + "\n").collect()
    }

    fn line(&self, (name, unit, figure): &Line) -> String {
        let mut before: Option<(u32, f64)> = None;
        let cells = self.rows.iter().map(|row| {
            let now = (row.twins, figure(row));
            let grown = before.replace(now).map(|before| growth(before, now));
            let text = grown.map(|grown| format!("x {grown:.2}"));
            cell(
                now.1,
                1,
                text.as_deref().unwrap_or_default(),
                grown.is_some(),
            )
        });
        format!("{name:26} {unit:8}{}", cells.collect::<String>())
    }

    fn slopes(&self) -> Vec<String> {
        let (Some(first), Some(last)) = (self.rows.first(), self.rows.last()) else {
            return Vec::new();
        };
        let twins = f64::from(last.twins.saturating_sub(first.twins));
        if twins < 1.0 {
            return Vec::new();
        }
        let slope = |at: fn(&MemoryMib) -> f64| {
            (at(&last.memory_mib) - at(&first.memory_mib)) * 1_024.0 / twins
        };
        let text = |what: &str, kib: f64| {
            format!(
                "slope from {} to {} twins: {kib:.1} KiB per {what} twin",
                first.twins, last.twins
            )
        };
        vec![
            text("idle", slope(|memory| memory.idle)),
            text("active", slope(|memory| memory.active)),
        ]
    }
}

/// A figure, and what stands beside it where something does.
fn cell(figure: f64, decimals: usize, beside: &str, has_beside: bool) -> String {
    let beside_width = if has_beside { 9 } else { 0 };
    format!("{figure:>11.decimals$}{beside:>beside_width$}")
}

/// The factor by which a figure changes from one number of twins to another, per tenfold.
fn growth((twins_before, before): (u32, f64), (twins, figure): (u32, f64)) -> f64 {
    let tenfolds = (f64::from(twins) / f64::from(twins_before)).log10();
    (figure / before).powf(1.0 / tenfolds)
}
