//! Writes decisions as the scorer reads them.

use crate::guard::Ladder;
use crate::trace::Trace;
use std::io::Write;

/// Heading of a file of decisions.
pub const HEADING: &str = "suite,series,knob,timestamp,desired";

/// Writes the first decision at each price, and each change. Shape of `desired`: `[trace][operator][step]`.
///
/// # Errors
/// When the bytes cannot be written.
pub fn write_decisions(
    out: &mut dyn Write,
    traces: &[Trace],
    ladder: &Ladder,
    desired: &[Vec<Vec<u32>>],
) -> std::io::Result<u64> {
    let mut rows = 0;
    writeln!(out, "{HEADING}")?;
    for (trace, by_price) in traces.iter().zip(desired) {
        let demand = trace.demand();
        for (price, desired) in ladder.prices().iter().zip(by_price) {
            let mut last = None;
            for (step, vms) in desired.iter().enumerate() {
                if last.replace(*vms) == Some(*vms) {
                    continue;
                }
                let (suite, name, time_s) = (&demand.suite, &demand.name, demand.time_s(step));
                writeln!(out, "{suite},{name},{price},{time_s},{vms}")?;
                rows += 1;
            }
        }
    }
    Ok(rows)
}
