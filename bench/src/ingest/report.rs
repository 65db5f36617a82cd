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
    /// Begins without figures, with where they are measured.
    pub fn new(machine: Machine) -> Self {
        Self {
            format: FORMAT,
            machine,
            cells: Vec::new(),
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
                "\nsamples per request: {batch}, clients: {clients}\n{:17} {:>7} {:>11} {:>18} {:>8} \
                 {:>8} {:>9} {:>9} {:>8} {:>10}",
                "",
                "twins",
                "samples/s",
                "slowest, fastest",
                "growth",
                "x SQLite",
                "p50 ms",
                "p99 ms",
                "commits",
                "req/commit"
            );
            for name in Name::ALL {
                self.rows(&mut text, (batch, clients), name);
            }
        }
        text
    }

    fn rows(&self, text: &mut String, (batch, clients): (u32, u32), name: Name) {
        let mut before: Option<(u32, f64)> = None;
        let rivals = self.series(batch, clients, Name::SqliteGrouped);
        for (twins, figures) in self.series(batch, clients, name) {
            let now = (twins, figures.samples_per_s);
            let growth = before.replace(now).map(|before| growth(before, now));
            let growth = growth.map(|growth| format!("x {growth:.2}"));
            let rival = rivals.iter().find(|(count, _)| *count == twins);
            let ratio = rival.and_then(|(_, rival)| median_ratio(&figures.slices, &rival.slices));
            let ratio = ratio.map(|ratio| format!("{ratio:.2}"));
            let slices = figures.slices.iter().copied();
            let range = (
                slices.clone().fold(f64::INFINITY, f64::min),
                slices.fold(0.0, f64::max),
            );
            let _written = writeln!(
                text,
                "{:17} {twins:>7} {:>11.0} {:>18} {:>8} {:>8} {:>9.3} {:>9.3} {:>8} {:>10.1}",
                name.text(),
                figures.samples_per_s,
                format!("{:.0}, {:.0}", range.0, range.1),
                growth.unwrap_or_default(),
                ratio.unwrap_or_default(),
                figures.p50_ms,
                figures.p99_ms,
                figures.commits,
                figures.requests as f64 / figures.commits.max(1) as f64,
            );
        }
    }
}

/// The median over the rounds of one rate as a multiple of another: a disk whose speed changes from second to
/// second moves both slices of a round.
fn median_ratio(rates: &[f64], others: &[f64]) -> Option<f64> {
    let pairs = rates.iter().zip(others);
    let mut ratios: Vec<f64> = pairs.map(|(rate, other)| rate / other.max(1e-9)).collect();
    ratios.sort_by(f64::total_cmp);
    let (low, high) = (
        ratios.get(ratios.len().checked_sub(1)? / 2)?,
        ratios.get(ratios.len() / 2)?,
    );
    Some(f64::midpoint(*low, *high))
}

/// The factor by which a figure changes from one number of twins to another, per tenfold.
pub fn growth((twins_before, before): (u32, f64), (twins, figure): (u32, f64)) -> f64 {
    let tenfolds = (f64::from(twins) / f64::from(twins_before)).log10();
    (figure / before).powf(1.0 / tenfolds)
}

#[cfg(test)]
mod tests {
    use super::{growth, median_ratio};

    #[test]
    fn growth_is_told_per_tenfold() {
        let close = |one: f64, other: f64| (one - other).abs() < 1e-9;
        assert!(close(growth((100, 5.0), (1_000, 10.0)), 2.0));
        assert!(close(growth((100, 8.0), (10_000, 2.0)), 0.5));
    }

    #[test]
    fn a_ratio_is_the_median_of_its_rounds() {
        let close =
            |one: Option<f64>, other: f64| one.is_some_and(|one| (one - other).abs() < 1e-9);
        assert!(close(
            median_ratio(&[2.0, 90.0, 3.0], &[1.0, 1.0, 1.0]),
            3.0
        ));
        assert!(close(median_ratio(&[2.0, 4.0], &[1.0, 1.0]), 3.0));
        assert_eq!(median_ratio(&[], &[]), None);
    }
}
