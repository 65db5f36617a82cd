//! Reads files of decisions and joins them with the demand.

use super::{BYTES_MAX, COUNTS_MAX, ROWS_MAX, ReadError, entry, step_of};
use crate::guard::Ladder;
use crate::trace::{Demand, Trace};
use serde::Deserialize;
use std::collections::{BTreeMap, BTreeSet};
use std::io::Read;

#[derive(Deserialize)]
struct DecisionRow {
    suite: String,
    series: String,
    knob: f64,
    timestamp: i64,
    desired: u32,
}

/// Reads the rows `suite,series,knob,timestamp,desired` of files of decisions, one row per step or per
/// change, and joins them with the demand.
///
/// # Errors
/// [`ReadError`] when a row names no step of a trace, or a trace lacks a price.
pub fn read_decisions(
    demands: Vec<Demand>,
    files: &mut [Box<dyn Read>],
) -> Result<(Ladder, Vec<Trace>), ReadError> {
    const WHAT: &str = "the decisions";
    let numbers: BTreeMap<(String, String), usize> = demands
        .iter()
        .enumerate()
        .map(|(number, demand)| ((demand.suite.clone(), demand.name.clone()), number))
        .collect();
    // Changes by trace and price, as bits of a positive number, which order as the numbers do.
    let mut changes: BTreeMap<(usize, u64), Vec<(usize, u32)>> = BTreeMap::new();
    let mut rows = 0_u64;
    for file in files {
        let mut reader = csv::Reader::from_reader(file.take(BYTES_MAX));
        for (line, row) in (2..).zip(reader.deserialize::<DecisionRow>()) {
            let row = row.map_err(|source| ReadError::Rows { what: WHAT, source })?;
            rows += 1;
            let refuse = |rule: String| ReadError::Row {
                what: WHAT,
                line,
                rule,
            };
            if rows > ROWS_MAX {
                return Err(refuse(format!(
                    "is one row too many: give at most {ROWS_MAX}"
                )));
            }
            if !row.knob.is_finite() || row.knob <= 0.0 {
                return Err(refuse(format!("price {} is no positive number", row.knob)));
            }
            let key = (row.suite, row.series);
            let Some(number) = numbers.get(&key).copied() else {
                return Err(refuse(format!("{}/{} is no trace", key.0, key.1)));
            };
            let demand = &demands[number];
            let step = step_of(row.timestamp, demand.start_s, demand.step_s)
                .filter(|step| *step < demand.steps());
            let Some(step) = step else {
                let rule = format!("time {} is on no step of the window", row.timestamp);
                return Err(refuse(rule));
            };
            let of_price = changes.entry((number, row.knob.to_bits())).or_default();
            of_price.push((step, row.desired));
        }
    }
    let prices: BTreeSet<u64> = changes.keys().map(|(_, bits)| *bits).collect();
    let ladder = Ladder::new(prices.iter().copied().map(f64::from_bits).collect())?;
    let total: usize = demands.iter().map(Demand::steps).sum();
    if total.saturating_mul(ladder.len()) > COUNTS_MAX {
        let rule = format!(
            "are too many steps: at {} prices give at most {COUNTS_MAX} counts",
            ladder.len()
        );
        return Err(entry("series".to_owned(), total, &rule));
    }
    let joined = demands.into_iter().enumerate().map(|(number, demand)| {
        let counts = filled(&demand, number, &prices, &mut changes)?;
        Ok(Trace::new(demand, &ladder, counts)?)
    });
    let traces = joined.collect::<Result<Vec<_>, ReadError>>()?;
    Ok((ladder, traces))
}

/// The counts of a trace, each in force until the next. Shape `[step][price]`, flat.
fn filled(
    demand: &Demand,
    number: usize,
    prices: &BTreeSet<u64>,
    changes: &mut BTreeMap<(usize, u64), Vec<(usize, u32)>>,
) -> Result<Vec<u32>, ReadError> {
    let mut counts = vec![0; demand.steps() * prices.len()];
    for (setting, bits) in prices.iter().enumerate() {
        let Some(mut of_price) = changes.remove(&(number, *bits)) else {
            let rule = "has no decision in this trace: every price must be asked on every trace";
            let price = f64::from_bits(*bits);
            return Err(demand.refuse("price", price, rule.to_owned()).into());
        };
        of_price.sort_unstable();
        let mut next = of_price.into_iter().peekable();
        let mut in_force = demand.initial;
        for (step, row) in counts.chunks_exact_mut(prices.len()).enumerate() {
            while let Some((_, vms)) = next.next_if(|(at, _)| *at <= step) {
                in_force = vms;
            }
            row[setting] = in_force;
        }
    }
    Ok(counts)
}
