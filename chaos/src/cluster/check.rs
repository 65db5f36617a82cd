//! All checks of a run's history at once, from files.

use std::fs::File;
use std::io::BufReader;
use std::path::{Path, PathBuf};

use serde::Serialize;
use serde::de::DeserializeOwned;

use super::faults::FaultRecord;
use super::history::{History, HistoryError};
use super::recovery::{Recovery, recoveries};
use super::register::{Effort, RegisterVerdict, check_registers};
use super::telemetry::{Stored, TelemetryVerdict, check_telemetry};
use crate::error::ChaosError;

/// Steps that a search of one key may take: some minutes at the most.
const STEPS_MAX: u64 = 200_000_000;

/// Where a run left its files.
#[derive(Clone, Debug)]
pub struct HistoryFiles {
    /// The history: a line of JSON for each event.
    pub history: PathBuf,
    /// What is stored at the end, as JSON; without it telemetry is not checked.
    pub stored: Option<PathBuf>,
    /// The faults, as a list in JSON; without it recoveries are not measured.
    pub faults: Option<PathBuf>,
}

/// What the checks of a history found.
#[derive(Clone, Debug, Serialize)]
pub struct HistoryVerdict {
    /// Compare-and-set registers.
    pub registers: RegisterVerdict,
    /// Samples.
    pub telemetry: Option<TelemetryVerdict>,
    /// How soon the cluster answered again, by kind of fault.
    pub recovery: std::collections::BTreeMap<&'static str, Recovery>,
    /// Whether every check passed, each one decided.
    pub passed: bool,
}

/// Checks a history; `is_over` says when the search is to give up.
///
/// # Errors
/// [`ChaosError`] for a file that cannot be read or does not hold what it should.
pub fn check_history(
    files: &HistoryFiles,
    is_over: &dyn Fn() -> bool,
) -> Result<HistoryVerdict, ChaosError> {
    let path = &files.history;
    let history =
        History::read(BufReader::new(open(path)?)).map_err(|source| ChaosError::History {
            path: path.clone(),
            source,
        })?;
    let stored: Option<Stored> = files.stored.as_deref().map(read).transpose()?;
    let faults: Option<Vec<FaultRecord>> = files.faults.as_deref().map(read).transpose()?;
    let registers = check_registers(
        &history,
        &Effort {
            steps_max: STEPS_MAX,
            is_over,
        },
    );
    let telemetry = stored.map(|stored| check_telemetry(&history, &stored));
    let is_complete = telemetry.as_ref().is_none_or(TelemetryVerdict::passed);
    Ok(HistoryVerdict {
        passed: registers.passed() && is_complete,
        recovery: recoveries(&history, &faults.unwrap_or_default(), &|_, _| true),
        registers,
        telemetry,
    })
}

impl std::fmt::Display for HistoryVerdict {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let RegisterVerdict {
            keys,
            operations,
            unknown,
            linearizable,
            undecided,
            violated,
            violations,
            ..
        } = &self.registers;
        writeln!(
            f,
            "registers: {operations} operations ({unknown} unknown) on {keys} keys: {linearizable} \
             linearizable, {violated} not, {} undecided",
            undecided.len()
        )?;
        for one in violations {
            writeln!(
                f,
                "  {}: {} where it could hold {:?}",
                one.key, one.operation, one.states
            )?;
        }
        if let Some(found) = &self.telemetry {
            writeln!(
                f,
                "samples: {} acknowledged; lost {}, doubled {}, altered {}, refused and there {}, never \
                 sent {}",
                found.acknowledged,
                found.lost.count,
                found.doubled.count,
                found.altered.count,
                found.refused_stored.count,
                found.foreign.count
            )?;
        }
        for (kind, found) in &self.recovery {
            writeln!(
                f,
                "{kind}: {} faults; answered again after p50 {} ms, p99 {} ms, max {} ms; {} unanswered",
                found.faults,
                found.p50_us / 1_000,
                found.p99_us / 1_000,
                found.max_us / 1_000,
                found.unanswered
            )?;
        }
        f.write_str(if self.passed { "passed" } else { "FAILED" })
    }
}

fn open(path: &Path) -> Result<File, ChaosError> {
    File::open(path).map_err(|error| ChaosError::io("open", path, error))
}

fn read<T: DeserializeOwned>(path: &Path) -> Result<T, ChaosError> {
    let wrong = |source| ChaosError::History {
        path: path.to_owned(),
        source: HistoryError::Json(source),
    };
    serde_json::from_reader(BufReader::new(open(path)?)).map_err(wrong)
}
