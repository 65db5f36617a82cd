//! Reads a suite's manifest and traces, refusing what cannot be used with file, line and column.

use super::suite::{Suite, SuiteTrace};
use flate2::read::MultiGzDecoder;
use serde::Deserialize;
use std::collections::BTreeMap;
use std::fs::File;
use std::io::{BufReader, Read};
use std::path::{Path, PathBuf};

/// Largest manifest in bytes.
const MANIFEST_BYTES_MAX: u64 = 16 << 20;
/// Longest trace in steps: almost two years of minutes.
const STEPS_MAX: usize = 1_000_000;
/// Most traces of a suite.
const TRACES_MAX: usize = 10_000;
/// Largest load in VMs: what a decision may ask for.
const LOAD_MAX: f64 = 1e6;
/// Largest packed line that is looked at, in bytes, as part of the whole file's bound.
const ROW_BYTES_MAX: u64 = 256;
/// Longest value that a message repeats, in characters.
const SHOWN_MAX: usize = 60;

/// Why suites cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum SuiteError {
    /// A file cannot be read.
    #[error("cannot read {}", path.display())]
    File {
        /// Which file.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: std::io::Error,
    },
    /// The manifest is no manifest.
    #[error("{}, line {line}, column {column}: not a manifest of suites", path.display())]
    Manifest {
        /// Which file.
        path: PathBuf,
        /// Line, counted from 1.
        line: usize,
        /// Column, counted from 1.
        column: usize,
        /// What is wrong.
        #[source]
        source: serde_json::Error,
    },
    /// A value of the manifest cannot be used.
    #[error("{}, {key}: {value} {rule}", path.display())]
    Value {
        /// Which file.
        path: PathBuf,
        /// The key's path.
        key: String,
        /// The value.
        value: String,
        /// The rule it breaks, and the remedy.
        rule: String,
    },
    /// A row cannot be used.
    #[error("{}, line {line}, column {column}: `{value}` {rule}", path.display())]
    Row {
        /// Which file.
        path: PathBuf,
        /// Line, counted from 1; the heading is line 1.
        line: u64,
        /// The column's name.
        column: &'static str,
        /// The value, cut to a readable length.
        value: String,
        /// The rule it breaks, and the remedy.
        rule: String,
    },
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

#[derive(Deserialize)]
struct SeriesEntry {
    suite: String,
    split: String,
    series: String,
    #[serde(default)]
    dataset: String,
    start: i64,
    n: usize,
    score_start: i64,
    score_end: i64,
}

/// Reads the suites of a split, or those of them that are named.
///
/// # Errors
/// [`SuiteError`] for the first thing that cannot be used.
pub fn read_suites(
    directory: &Path,
    split: &str,
    only: &[String],
) -> Result<Vec<Suite>, SuiteError> {
    let path = directory.join("manifest.json");
    let manifest = read_manifest(&path)?;
    let mut suites = Vec::new();
    for name in only {
        if !manifest.suites.contains_key(name) {
            let known: Vec<&str> = manifest.suites.keys().map(String::as_str).collect();
            let rule = format!("is no suite: name one of {}", known.join(", "));
            return Err(value(&path, "suites", name, rule));
        }
    }
    for (name, entry) in &manifest.suites {
        if !only.is_empty() && !only.contains(name) {
            continue;
        }
        let mut suite = checked_suite(&path, name, *entry)?;
        let entries = manifest.series.iter().enumerate();
        for (at, series) in entries.filter(|(_, one)| one.suite == *name && one.split == split) {
            let trace = checked_trace(&path, at, series, entry.dt)?;
            if suite.traces.iter().any(|other| other.name == trace.name) {
                let key = format!("series[{at}].series");
                return Err(value(
                    &path,
                    &key,
                    &trace.name,
                    "stands there twice".to_owned(),
                ));
            }
            suite.traces.push(trace);
        }
        if suite.traces.is_empty() {
            continue;
        }
        read_traces(
            &directory.join(split).join(format!("{name}.csv.gz")),
            &mut suite,
        )?;
        suites.push(suite);
    }
    if suites.is_empty() {
        let rule = "has no series: name a split that the manifest knows".to_owned();
        return Err(value(&path, "series[].split", split, rule));
    }
    Ok(suites)
}

fn read_manifest(path: &Path) -> Result<Manifest, SuiteError> {
    let file = |source| SuiteError::File {
        path: path.to_owned(),
        source,
    };
    let mut text = String::new();
    File::open(path)
        .and_then(|opened| opened.take(MANIFEST_BYTES_MAX).read_to_string(&mut text))
        .map_err(file)?;
    serde_json::from_str(&text).map_err(|source| SuiteError::Manifest {
        path: path.to_owned(),
        line: source.line(),
        column: source.column(),
        source,
    })
}

fn value(path: &Path, key: &str, found: impl ToString, rule: String) -> SuiteError {
    SuiteError::Value {
        path: path.to_owned(),
        key: key.to_owned(),
        value: shown(&found.to_string()),
        rule,
    }
}

fn shown(text: &str) -> String {
    text.chars().take(SHOWN_MAX).collect()
}

fn checked_suite(path: &Path, name: &str, entry: SuiteEntry) -> Result<Suite, SuiteError> {
    let at = |key: &str| format!("suites.{name}.{key}");
    if entry.dt == 0 || entry.dt > 86_400 {
        let rule = "is no step: give 1 to 86400 seconds".to_owned();
        return Err(value(path, &at("dt"), entry.dt, rule));
    }
    for (key, seconds) in [
        ("decision_s", entry.decision_s),
        ("startup_s", entry.startup_s),
    ] {
        if seconds % entry.dt != 0 || (key == "decision_s" && seconds == 0) {
            let rule = format!("is not a multiple of dt, which is {}", entry.dt);
            return Err(value(path, &at(key), seconds, rule));
        }
    }
    Ok(Suite {
        name: name.to_owned(),
        interval_s: entry.dt,
        start_up_s: entry.startup_s,
        decision_s: entry.decision_s,
        minimum_bill_s: entry.min_bill_s,
        traces: Vec::new(),
    })
}

fn checked_trace(
    path: &Path,
    at: usize,
    entry: &SeriesEntry,
    interval_s: u32,
) -> Result<SuiteTrace, SuiteError> {
    let key = |name: &str| format!("series[{at}].{name}");
    if at >= TRACES_MAX {
        let rule = format!("are too many: give at most {TRACES_MAX}");
        return Err(value(path, "series", at + 1, rule));
    }
    if entry.n == 0 || entry.n > STEPS_MAX {
        let rule = format!("is no length: give 1 to {STEPS_MAX} steps");
        return Err(value(path, &key("n"), entry.n, rule));
    }
    let interval = i64::from(interval_s);
    let step = |name: &str, time_s: i64| {
        let since = time_s.checked_sub(entry.start);
        since
            .filter(|since| since % interval == 0)
            .and_then(|since| usize::try_from(since / interval).ok())
            .filter(|step| (1..=entry.n).contains(step))
            .ok_or_else(|| {
                let rule = format!(
                    "is not on a step of the series, which begins at {} and has {} steps of {interval} s",
                    entry.start, entry.n
                );
                value(path, &key(name), time_s, rule)
            })
    };
    let scored_from = step("score_start", entry.score_start)?;
    let end = step("score_end", entry.score_end)?;
    if scored_from >= end {
        let rule = format!("is not before score_end, which is {}", entry.score_end);
        return Err(value(path, &key("score_start"), entry.score_start, rule));
    }
    Ok(SuiteTrace {
        name: entry.series.clone(),
        dataset: entry.dataset.clone(),
        start_s: entry.start,
        scored_from,
        load: vec![None; end],
    })
}

/// Fills the traces of a suite from its file.
fn read_traces(path: &Path, suite: &mut Suite) -> Result<(), SuiteError> {
    let file = |source| SuiteError::File {
        path: path.to_owned(),
        source,
    };
    let packed = BufReader::new(File::open(path).map_err(file)?);
    // A row has three short columns; rows that are no sample of the manifest are refused, so this bound
    // is met by broken files alone.
    let rows: usize = suite.traces.iter().map(|trace| trace.load.len()).sum();
    let bytes_max = (rows as u64 + 1).saturating_mul(ROW_BYTES_MAX);
    let reader = MultiGzDecoder::new(packed).take(bytes_max);
    let mut reader = csv::ReaderBuilder::new().flexible(true).from_reader(reader);
    let headers = reader.headers().map_err(|error| file(io(error)))?.clone();
    let mut columns = [0; 3];
    for (column, name) in columns.iter_mut().zip(COLUMNS) {
        let found = headers.iter().position(|header| header == name);
        *column = found.ok_or_else(|| SuiteError::Row {
            path: path.to_owned(),
            line: 1,
            column: name,
            value: shown(&headers.iter().collect::<Vec<_>>().join(",")),
            rule: format!("has no such column: the heading is {}", COLUMNS.join(",")),
        })?;
    }
    let numbers: BTreeMap<String, usize> = (0..)
        .zip(&suite.traces)
        .map(|(number, trace)| (trace.name.clone(), number))
        .collect();
    let mut record = csv::StringRecord::new();
    while reader
        .read_record(&mut record)
        .map_err(|error| file(io(error)))?
    {
        let row = Row {
            path,
            line: record.position().map_or(0, csv::Position::line),
            fields: columns.map(|column| record.get(column).unwrap_or_default()),
        };
        row.fill(suite, &numbers)?;
    }
    for trace in &suite.traces {
        if trace.load[..trace.scored_from].iter().all(Option::is_none) {
            let rule = "has no sample before its window: nothing is known to start from".to_owned();
            return Err(value(path, "series", &trace.name, rule));
        }
    }
    Ok(())
}

const COLUMNS: [&str; 3] = ["series", "timestamp", "load"];

fn io(error: csv::Error) -> std::io::Error {
    std::io::Error::new(std::io::ErrorKind::InvalidData, error)
}

/// A row of a file.
struct Row<'a> {
    path: &'a Path,
    line: u64,
    fields: [&'a str; 3],
}

impl Row<'_> {
    fn refuse(&self, column: usize, rule: impl Into<String>) -> SuiteError {
        SuiteError::Row {
            path: self.path.to_owned(),
            line: self.line,
            column: COLUMNS[column],
            value: shown(self.fields[column]),
            rule: rule.into(),
        }
    }

    fn fill(&self, suite: &mut Suite, numbers: &BTreeMap<String, usize>) -> Result<(), SuiteError> {
        let [series, timestamp, load] = self.fields;
        let interval = i64::from(suite.interval_s);
        let Some(trace) = numbers
            .get(series)
            .and_then(|number| suite.traces.get_mut(*number))
        else {
            return Err(self.refuse(0, "is no series of this suite and split in the manifest"));
        };
        let Ok(time_s) = timestamp.parse::<i64>() else {
            return Err(self.refuse(1, "is no whole number of epoch seconds"));
        };
        let since = time_s.saturating_sub(trace.start_s);
        if since % interval != 0 {
            let rule = format!(
                "is not on the grid of {interval} s that begins at {}",
                trace.start_s
            );
            return Err(self.refuse(1, rule));
        }
        let step = usize::try_from(since / interval).ok();
        let Some(slot) = step.and_then(|step| trace.load.get_mut(step)) else {
            let rule = format!(
                "lies outside the series, which has {} steps from {} on",
                trace.load.len(),
                trace.start_s
            );
            return Err(self.refuse(1, rule));
        };
        if slot.is_some() {
            return Err(self.refuse(1, "stands there twice for this series"));
        }
        match load.parse::<f64>() {
            Ok(value) if (0.0..=LOAD_MAX).contains(&value) => *slot = Some(value),
            _ => {
                return Err(self.refuse(2, "is no load: give a number from 0 to 1000000 VMs"));
            }
        }
        Ok(())
    }
}
