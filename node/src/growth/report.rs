//! Figures by number of twins, with their growth.

use crate::micro::Machine;
use serde::{Deserialize, Serialize};
use std::time::Duration;

/// Format of the JSON output.
const FORMAT: &str = "twinscale-growth/2";

/// Resident memory at moments of a run, in MiB.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct MemoryMib {
    /// With the network loaded, before the twins.
    pub process: f64,
    /// With all twins configured, given their history, and put away.
    pub passive: f64,
    /// With the actors of those that get turns, and their states in memory.
    pub idle: f64,
    /// After three turns of each of these, with forecast, plan and running VMs.
    pub active: f64,
    /// After their actors have ended and their states are put away again.
    pub rested: f64,
    /// After log, store and states are closed.
    pub closed: f64,
    /// After a start with all twins.
    pub started: f64,
}

/// How long something took, in milliseconds.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[expect(
    clippy::struct_field_names,
    reason = "a name ends with its unit, and the JSON has the names"
)]
pub struct Latency {
    /// Half of them.
    pub p50_ms: f64,
    /// All but a hundredth.
    pub p99_ms: f64,
    /// The longest.
    pub max_ms: f64,
}

impl Latency {
    /// Of times; zeros without any.
    pub(super) fn of(mut took: Vec<Duration>) -> Self {
        took.sort_unstable();
        let at = |share: usize| {
            let place = took.len().saturating_sub(1) * share / 100;
            took.get(place).map_or(0.0, |one| one.as_secs_f64() * 1e3)
        };
        Self {
            p50_ms: at(50),
            p99_ms: at(99),
            max_ms: at(100),
        }
    }
}

/// What was measured with one number of twins.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct GrowthRow {
    /// Twins.
    pub twins: u32,
    /// Twins among them that had turns.
    pub active: u32,
    /// Load average of the machine before and after: above its processors, others worked as well.
    pub load_average: [f64; 2],
    /// Memory.
    pub memory_mib: MemoryMib,
    /// Twins configured and given two days of two series, per second.
    pub histories_per_s: f64,
    /// Actors of twins at rest started, per second.
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
    /// From a question to a twin at rest until the answer of its actor.
    pub cold_report: Latency,
    /// From a sample for a twin at rest until it is durable and applied.
    pub cold_sample: Latency,
    /// What a snapshot holds of a twin without turns, and of one with three, in KiB.
    pub snapshot_kib: [f64; 2],
    /// The store on disk.
    pub store_mib: f64,
    /// The log on disk, which is not purged on a node alone.
    pub log_mib: f64,
    /// Time of a start with all twins, each of which is read and checked.
    pub start_s: f64,
}

impl GrowthRow {
    /// Memory of a twin that is put away, in KiB.
    #[must_use]
    pub fn passive_kib(&self) -> f64 {
        let memory = &self.memory_mib;
        (memory.passive - memory.process) * 1_024.0 / f64::from(self.twins)
    }

    /// Memory that a twin takes whose actor runs and which had no turn yet, beside that of one that is put
    /// away, in KiB.
    #[must_use]
    pub fn idle_kib(&self) -> f64 {
        let memory = &self.memory_mib;
        self.passive_kib() + (memory.idle - memory.passive) * 1_024.0 / f64::from(self.active)
    }

    /// The same of a twin with forecast, plan and VMs.
    #[must_use]
    pub fn active_kib(&self) -> f64 {
        let memory = &self.memory_mib;
        self.passive_kib() + (memory.active - memory.passive) * 1_024.0 / f64::from(self.active)
    }
}

/// Twins of a size in KiB that fit into a GiB; none where the size is not above zero.
fn per_gib(kib: f64) -> f64 {
    if kib > 0.0 { 1_048_576.0 / kib } else { 0.0 }
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

const LINES: [Line; 32] = [
    ("twins with turns", "", |row| f64::from(row.active)),
    ("load average before", "", |row| row.load_average[0]),
    ("load average after", "", |row| row.load_average[1]),
    ("memory before the twins", "MiB", |row| {
        row.memory_mib.process
    }),
    ("memory, all put away", "MiB", |row| row.memory_mib.passive),
    ("memory, some with actors", "MiB", |row| row.memory_mib.idle),
    ("memory, these with turns", "MiB", |row| {
        row.memory_mib.active
    }),
    ("memory, these at rest", "MiB", |row| row.memory_mib.rested),
    ("memory, all closed", "MiB", |row| row.memory_mib.closed),
    ("memory after a start", "MiB", |row| row.memory_mib.started),
    ("a twin put away", "KiB", GrowthRow::passive_kib),
    ("a twin idle, with actor", "KiB", GrowthRow::idle_kib),
    ("a twin active", "KiB", GrowthRow::active_kib),
    ("twins put away per GiB", "", |row| {
        per_gib(row.passive_kib())
    }),
    ("twins active per GiB", "", |row| per_gib(row.active_kib())),
    ("histories", "twins/s", |row| row.histories_per_s),
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
    ("cold report, p50", "ms", |row| row.cold_report.p50_ms),
    ("cold report, p99", "ms", |row| row.cold_report.p99_ms),
    ("cold sample, p50", "ms", |row| row.cold_sample.p50_ms),
    ("cold sample, p99", "ms", |row| row.cold_sample.p99_ms),
    ("snapshot, without turns", "KiB", |row| row.snapshot_kib[0]),
    ("snapshot, with turns", "KiB", |row| row.snapshot_kib[1]),
    ("store", "MiB", |row| row.store_mib),
    ("log", "MiB", |row| row.log_mib),
    ("start", "s", |row| row.start_s),
];

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
            // Only what has a unit grows, and only from something.
            let shown = grown.filter(|grown| grown.is_finite() && !unit.is_empty());
            let text = shown.map(|grown| format!("x {grown:.2}"));
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
        vec![text("put-away", slope(|memory| memory.passive))]
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
