//! Writes decisions as CSV: the first of each price, and each change.

use super::run::TraceDecisions;
use super::suite::Suite;
use flate2::Compression;
use flate2::write::GzEncoder;
use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::Path;

/// Writes `suite,series,knob,timestamp,desired`; packed when the name ends in `.gz`.
///
/// # Errors
/// When the file cannot be written.
pub fn write_decisions(
    path: &Path,
    suites: &[(Suite, Vec<TraceDecisions>)],
    knobs: &[f64],
) -> std::io::Result<u64> {
    let file = BufWriter::new(File::create(path)?);
    if path.extension().is_some_and(|ending| ending == "gz") {
        let mut packed = GzEncoder::new(file, Compression::default());
        let rows = write_rows(&mut packed, suites, knobs)?;
        packed.finish()?.flush()?;
        return Ok(rows);
    }
    let mut file = file;
    let rows = write_rows(&mut file, suites, knobs)?;
    file.flush()?;
    Ok(rows)
}

fn write_rows(
    out: &mut impl Write,
    suites: &[(Suite, Vec<TraceDecisions>)],
    knobs: &[f64],
) -> std::io::Result<u64> {
    let mut rows = 0;
    writeln!(out, "suite,series,knob,timestamp,desired")?;
    for (suite, decided) in suites {
        for (trace, decisions) in suite.traces.iter().zip(decided) {
            for (number, knob) in knobs.iter().enumerate() {
                for (at, desired) in changes(decisions, number) {
                    let step = trace.scored_from + at * suite.decision_steps();
                    let time_s = suite.time_s(trace, step);
                    let (name, series) = (&suite.name, &trace.name);
                    writeln!(out, "{name},{series},{knob},{time_s},{desired}")?;
                    rows += 1;
                }
            }
        }
    }
    Ok(rows)
}

/// The first decision at a price and those that differ from the one before, with their numbers.
fn changes(decisions: &TraceDecisions, knob: usize) -> impl Iterator<Item = (usize, u32)> {
    let mut last = None;
    let desired = decisions.desired.iter().enumerate();
    let of_knob = desired.filter_map(move |(at, desired)| Some((at, *desired.get(knob)?)));
    of_knob.filter(move |(_, desired)| last.replace(*desired) != Some(*desired))
}
