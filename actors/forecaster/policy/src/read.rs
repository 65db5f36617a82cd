//! Reads traces and decisions from bytes that the caller has opened and unpacked.

mod decisions;

pub use decisions::read_decisions;

use crate::guard::GuardError;
use crate::trace::{Demand, STEPS_MAX, TraceError, VMS_MAX};
use serde::Deserialize;
use std::collections::{BTreeMap, BTreeSet};
use std::io::Read;

/// Largest manifest in bytes.
pub const MANIFEST_BYTES_MAX: usize = 16 << 20;
/// Most rows of all files of decisions: under a gigabyte.
pub const ROWS_MAX: u64 = 50_000_000;
/// Most steps of all traces of a suite, their histories included: under two gigabytes.
pub const SAMPLES_MAX: usize = 100_000_000;
/// Most counts that are held, steps of all traces times prices: a gigabyte.
pub const COUNTS_MAX: usize = 250_000_000;
/// Most bytes of a file, unpacked.
pub const BYTES_MAX: u64 = 16 << 30;
/// Most traces.
pub const TRACES_MAX: usize = 10_000;
/// Slack of rounding a load up: loads are decimal numbers.
const LOAD_SLACK: f64 = 1e-9;

/// Why bytes cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// The manifest is none.
    #[error("the manifest, line {}, column {}, is no manifest of suites", source.line(), source.column())]
    Manifest {
        /// What is wrong.
        #[source]
        source: serde_json::Error,
    },
    /// Something of the manifest breaks a rule.
    #[error("the manifest, {key}: {value} {rule}")]
    Entry {
        /// The key's path.
        key: String,
        /// The value.
        value: String,
        /// The rule, and the remedy.
        rule: String,
    },
    /// A row breaks a rule.
    #[error("{what}, line {line}: {rule}")]
    Row {
        /// Which file.
        what: &'static str,
        /// Line, counted from 1.
        line: u64,
        /// The rule, and the remedy.
        rule: String,
    },
    /// The rows are no rows.
    #[error("{what} cannot be read as comma-separated rows")]
    Rows {
        /// Which file.
        what: &'static str,
        /// What is wrong.
        #[source]
        source: csv::Error,
    },
    /// A trace cannot be used.
    #[error(transparent)]
    Trace(#[from] TraceError),
    /// The prices make no ladder.
    #[error("the decisions' prices: {0}")]
    Ladder(#[from] GuardError),
}

#[derive(Deserialize)]
struct Manifest {
    suites: BTreeMap<String, SuiteEntry>,
    series: Vec<SeriesEntry>,
}

#[derive(Clone, Copy, Deserialize)]
struct SuiteEntry {
    dt: u32,
    startup_s: u32,
    decision_s: u32,
    min_bill_s: u32,
}

#[derive(Clone, Deserialize)]
struct SeriesEntry {
    suite: String,
    split: String,
    series: String,
    #[serde(default)]
    dataset: String,
    start: i64,
    n: usize,
    score_start: i64,
}

#[derive(Deserialize)]
struct LoadRow {
    series: String,
    timestamp: i64,
    load: f64,
}

/// A manifest of suites.
pub struct Suites {
    manifest: Manifest,
}

impl std::fmt::Debug for Suites {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_list().entries(self.names()).finish()
    }
}

fn entry(key: String, value: impl ToString, rule: &str) -> ReadError {
    ReadError::Entry {
        key,
        value: value.to_string(),
        rule: rule.to_owned(),
    }
}

impl Suites {
    /// Reads `manifest.json`.
    ///
    /// # Errors
    /// [`ReadError`] when it is no manifest, or a step or length cannot be used.
    pub fn read(text: &str) -> Result<Self, ReadError> {
        if text.len() > MANIFEST_BYTES_MAX {
            let rule = format!("bytes are too many: give at most {MANIFEST_BYTES_MAX}");
            return Err(entry("length".to_owned(), text.len(), &rule));
        }
        let manifest: Manifest =
            serde_json::from_str(text).map_err(|source| ReadError::Manifest { source })?;
        for (name, suite) in &manifest.suites {
            for (key, seconds) in [
                ("startup_s", suite.startup_s),
                ("decision_s", suite.decision_s),
            ] {
                if suite.dt == 0 || seconds % suite.dt != 0 {
                    let rule = format!("is not a multiple of dt, which is {}", suite.dt);
                    return Err(entry(format!("suites.{name}.{key}"), seconds, &rule));
                }
            }
        }
        if manifest.series.len() > TRACES_MAX {
            let rule = format!("are too many: give at most {TRACES_MAX}");
            return Err(entry("series".to_owned(), manifest.series.len(), &rule));
        }
        Ok(Self { manifest })
    }

    /// Names of the suites.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.manifest.suites.keys().map(String::as_str)
    }

    /// Whose trace it is: the dataset when it is in more than one suite, else the series without its cut
    /// (`NAME@w2` is `NAME`, cut earlier).
    fn customer(&self, series: &SeriesEntry) -> String {
        let of_dataset = self.manifest.series.iter();
        let suites: BTreeSet<&str> = of_dataset
            .filter(|other| !series.dataset.is_empty() && other.dataset == series.dataset)
            .map(|other| other.suite.as_str())
            .collect();
        if suites.len() > 1 {
            return series.dataset.clone();
        }
        let name = series.series.split('@').next().unwrap_or_default();
        name.to_owned()
    }

    /// Reads the demand of a suite's traces from its rows `series,timestamp,load`.
    ///
    /// # Errors
    /// [`ReadError`] for the first thing that cannot be used.
    pub fn demands(
        &self,
        suite: &str,
        split: &str,
        rows: impl Read,
    ) -> Result<Vec<Demand>, ReadError> {
        let Some(of_suite) = self.manifest.suites.get(suite).copied() else {
            return Err(entry("suites".to_owned(), suite, "is no suite of it"));
        };
        let series = self.manifest.series.iter();
        let series: Vec<&SeriesEntry> = series
            .filter(|series| series.suite == suite && series.split == split)
            .collect();
        let loads = read_loads(&series, of_suite.dt, rows)?;
        let traces = series.into_iter().zip(loads);
        traces
            .map(|(series, loads)| self.demand(of_suite, series, &loads))
            .collect()
    }

    fn demand(
        &self,
        suite: SuiteEntry,
        series: &SeriesEntry,
        loads: &[Option<f64>],
    ) -> Result<Demand, ReadError> {
        let from = step_of(series.score_start, series.start, suite.dt)
            .filter(|from| (1..loads.len()).contains(from));
        let from = from.ok_or_else(|| {
            let key = format!("series `{}`, score_start", series.series);
            entry(
                key,
                series.score_start,
                "is on no step of the series after its first",
            )
        })?;
        let mut last = None;
        let mut vms = Vec::with_capacity(loads.len());
        for load in loads {
            last = load.or(last);
            vms.push(vms_of(last.unwrap_or(1.0)));
        }
        let history = vms.get(..from).unwrap_or_default();
        let total: u64 = history.iter().map(|vms| u64::from(*vms)).sum();
        let demand = Demand {
            suite: series.suite.clone(),
            name: series.series.clone(),
            customer: self.customer(series),
            step_s: suite.dt,
            start_up_steps: (suite.startup_s / suite.dt) as usize,
            decision_steps: (suite.decision_s / suite.dt) as usize,
            minimum_bill_s: suite.min_bill_s,
            start_s: series.score_start,
            initial: history.last().copied().unwrap_or(1),
            mean_vms: total as f64 / (history.len().max(1) as f64),
            is_observed: loads.iter().skip(from).map(Option::is_some).collect(),
            vms: vms.split_off(from),
        };
        demand.check()?;
        Ok(demand)
    }
}

fn step_of(time_s: i64, start_s: i64, step_s: u32) -> Option<usize> {
    let since = time_s.checked_sub(start_s)?;
    let step_s = i64::from(step_s);
    (since % step_s == 0)
        .then(|| usize::try_from(since / step_s).ok())
        .flatten()
}

/// VMs needed for a load, at least one.
fn vms_of(load: f64) -> u32 {
    let whole = (load - LOAD_SLACK).ceil().clamp(1.0, f64::from(VMS_MAX));
    // Whole and between 1 and a million.
    format!("{whole:.0}").parse().unwrap_or(VMS_MAX)
}

fn read_loads(
    series: &[&SeriesEntry],
    step_s: u32,
    rows: impl Read,
) -> Result<Vec<Vec<Option<f64>>>, ReadError> {
    const WHAT: &str = "the traces";
    for one in series {
        if one.n == 0 || one.n > STEPS_MAX {
            let rule = format!("is no length: give 1 to {STEPS_MAX} steps");
            return Err(entry(format!("series `{}`, n", one.series), one.n, &rule));
        }
    }
    let total: usize = series.iter().map(|one| one.n).sum();
    if total > SAMPLES_MAX {
        let rule = format!("are too many steps in a suite: give at most {SAMPLES_MAX}");
        return Err(entry("series[].n".to_owned(), total, &rule));
    }
    let numbers: BTreeMap<&str, usize> = (0..)
        .zip(series)
        .map(|(number, one)| (one.series.as_str(), number))
        .collect();
    let mut loads: Vec<Vec<Option<f64>>> = series.iter().map(|one| vec![None; one.n]).collect();
    let mut reader = csv::Reader::from_reader(rows.take(BYTES_MAX));
    for (line, row) in (2..).zip(reader.deserialize::<LoadRow>()) {
        let row = row.map_err(|source| ReadError::Rows { what: WHAT, source })?;
        let refuse = |rule: String| ReadError::Row {
            what: WHAT,
            line,
            rule,
        };
        let Some(number) = numbers.get(row.series.as_str()).copied() else {
            let rule = format!("`{}` is no series of this suite and split", row.series);
            return Err(refuse(rule));
        };
        if !(0.0..=f64::from(VMS_MAX)).contains(&row.load) {
            let rule = format!("load {} is not between 0 and {VMS_MAX}", row.load);
            return Err(refuse(rule));
        }
        let step = step_of(row.timestamp, series[number].start, step_s);
        let slot = step.and_then(|step| loads[number].get_mut(step));
        match slot {
            Some(slot @ None) => *slot = Some(row.load),
            Some(Some(_)) => {
                return Err(refuse(format!("time {} stands there twice", row.timestamp)));
            }
            None => {
                return Err(refuse(format!(
                    "time {} is on no step of the series",
                    row.timestamp
                )));
            }
        }
    }
    Ok(loads)
}
