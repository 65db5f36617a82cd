//! The shipped traces, hourly.

use flate2::read::GzDecoder;
use std::fs::{self, File};
use std::path::Path;
use twinscale_patterns::Grid;

pub(crate) struct Trace {
    /// Customer, VM type and metric.
    pub(crate) name: String,
    rows: Vec<(i64, f64)>,
}

impl Trace {
    /// The hours from the first to the last row.
    pub(crate) fn values(&self) -> (i64, Vec<Option<f64>>) {
        let first = self.rows[0].0;
        let last = self.rows[self.rows.len() - 1].0;
        let steps = usize::try_from((last - first) / 3_600).expect("ascending") + 1;
        let mut values = vec![None; steps];
        for (at_s, value) in &self.rows {
            values[usize::try_from((at_s - first) / 3_600).expect("ascending")] = Some(*value);
        }
        (first, values)
    }

    pub(crate) fn grid(&self) -> Grid {
        let (start_s, values) = self.values();
        Grid::new(start_s, 3_600, &values).expect("a series")
    }
}

/// All traces of `samples/traces`, by name.
pub(crate) fn traces() -> Vec<Trace> {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../samples/traces");
    let mut traces: Vec<Trace> = Vec::new();
    for entry in fs::read_dir(dir).expect("the samples") {
        let path = entry.expect("an entry").path();
        if !path.to_string_lossy().ends_with(".csv.gz") {
            continue;
        }
        let file = GzDecoder::new(File::open(path).expect("a trace"));
        for record in csv::Reader::from_reader(file).records() {
            let record = record.expect("a row");
            let name = format!("{}/{}/{}", &record[0], &record[1], &record[2]);
            let row = (
                record[3].parse().expect("time"),
                record[4].parse().expect("value"),
            );
            match traces.iter_mut().find(|trace| trace.name == name) {
                Some(trace) => trace.rows.push(row),
                None => traces.push(Trace {
                    name,
                    rows: vec![row],
                }),
            }
        }
    }
    traces.sort_by(|left, right| left.name.cmp(&right.name));
    assert!(traces.len() > 20, "{} traces", traces.len());
    traces
}
