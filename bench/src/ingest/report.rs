//! The figures as a table, with their growth by number of twins.

use super::cell::{Cell, Figures};
use super::contender::Name;
use serde::Serialize;
use std::collections::BTreeSet;
use std::fmt::Write as _;
use twinscale::micro::Machine;

/// Format of the JSON output.
const FORMAT: &str = "twinscale-ingest/1";

/// All figures of a run.
#[derive(Clone, Debug, Serialize)]
pub struct Report {
    format: &'static str,
    machine: Machine,
    /// In the order of measuring.
    pub cells: Vec<Cell>,
}

impl Report {
    /// Joins the figures with where they were measured.
    pub fn new(machine: Machine, cells: Vec<Cell>) -> Self {
        Self {
            format: FORMAT,
            machine,
            cells,
        }
    }

    /// Clients and batches that were measured.
    pub fn combinations(&self) -> BTreeSet<(u32, u32)> {
        let cells = self.cells.iter();
        cells.map(|cell| (cell.batch, cell.clients)).collect()
    }

    /// The figures of one contender by number of twins, ascending.
    pub fn series(&self, batch: u32, clients: u32, name: Name) -> Vec<(u32, &Figures)> {
        let cells = self.cells.iter();
        let mut series: Vec<(u32, &Figures)> = cells
            .filter(|cell| cell.batch == batch && cell.clients == clients)
            .filter_map(|cell| {
                let figures = cell.contenders.iter().find(|one| one.name == name)?;
                Some((cell.twins, figures))
            })
            .collect();
        series.sort_by_key(|(twins, _)| *twins);
        series
    }

    /// The figures for people.
    pub fn text(&self) -> String {
        let mut text = format!("{}\n", self.machine);
        for (batch, clients) in self.combinations() {
            // Writing to a string cannot fail.
            let _written = writeln!(
                text,
                "\nsamples per request: {batch}, clients: {clients}\n{:17} {:>7} {:>11} {:>23} {:>8} {:>9} \
                 {:>9} {:>9} {:>11}",
                "",
                "twins",
                "samples/s",
                "slowest, fastest slice",
                "growth",
                "p50 ms",
                "p99 ms",
                "commits",
                "req/commit"
            );
            for name in Name::ALL {
                self.rows(&mut text, self.series(batch, clients, name));
            }
        }
        text
    }

    fn rows(&self, text: &mut String, series: Vec<(u32, &Figures)>) {
        let mut before: Option<(u32, f64)> = None;
        for (twins, figures) in series {
            let Figures {
                name,
                samples_per_s,
                samples_per_s_range: (slowest, fastest),
                p50_ms,
                p99_ms,
                requests,
                commits,
            } = figures;
            let growth = before.map(|before| growth(before, (twins, *samples_per_s)));
            let growth = growth.map_or_else(String::new, |growth| format!("x {growth:.2}"));
            let _written = writeln!(
                text,
                "{:17} {twins:>7} {samples_per_s:>11.0} {:>23} {growth:>8} {p50_ms:>9.3} {p99_ms:>9.3} \
                 {commits:>9} {:>11.1}",
                name.text(),
                format!("{slowest:.0}, {fastest:.0}"),
                *requests as f64 / (*commits).max(1) as f64,
            );
            before = Some((twins, *samples_per_s));
        }
    }
}

/// The factor by which a figure changes from one number of twins to another, per tenfold.
pub fn growth((twins_before, before): (u32, f64), (twins, figure): (u32, f64)) -> f64 {
    let tenfolds = (f64::from(twins) / f64::from(twins_before)).log10();
    (figure / before).powf(1.0 / tenfolds)
}

#[cfg(test)]
mod tests {
    use super::growth;

    #[test]
    fn growth_is_told_per_tenfold() {
        let close = |one: f64, other: f64| (one - other).abs() < 1e-9;
        assert!(close(growth((100, 5.0), (1_000, 10.0)), 2.0));
        assert!(close(growth((100, 8.0), (10_000, 2.0)), 0.5));
    }
}
