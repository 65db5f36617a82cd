//! Throughput and latency by number of twins, as SVG that follows the reader's light or dark theme.

use super::cell::Figures;
use super::contender::Name;
use super::report::Report;
use std::fmt::Write as _;

const PANEL_WIDTH: f64 = 300.0;
const PANEL_HEIGHT: f64 = 170.0;
const GAP_X: f64 = 30.0;
const GAP_Y: f64 = 62.0;
const LEFT: f64 = 66.0;
const TOP: f64 = 78.0;

const STYLE: &str = "\
text{font:12px system-ui,-apple-system,'Segoe UI',Roboto,Helvetica,Arial,sans-serif;fill:#1b1f24}\
.head{font-size:16px;font-weight:650}.soft{fill:#5b6470;font-size:11px}.back{fill:#fcfbf9}\
.grid{stroke:#e4e1da}.line{fill:none;stroke-width:2}\
.c0{stroke:#0b7a6f}.c1{stroke:#3b4f9c}.c2{stroke:#d9822b}.c3{stroke:#b4543a;stroke-dasharray:5 3}\
.c4{stroke:#8b8f98;stroke-dasharray:2 3}.dot{stroke-width:5;stroke-linecap:round}\
@media(prefers-color-scheme:dark){text{fill:#e8ebef}.soft{fill:#98a2af}.back{fill:#11151a}\
.grid{stroke:#2a313b}.c0{stroke:#38c7b4}.c1{stroke:#8fa3ff}.c2{stroke:#f0a04b}.c3{stroke:#ff8d6b}\
.c4{stroke:#98a2af}}";

/// One panel: a figure of one combination.
struct Panel {
    title: String,
    unit: &'static str,
    lines: Vec<(usize, Vec<(u32, f64)>)>,
}

/// Draws the most clients of each batch: throughput above, 99th percentile of the latency below.
pub fn svg(report: &Report) -> String {
    let combinations = report.combinations();
    let batches: std::collections::BTreeSet<u32> =
        combinations.iter().map(|(batch, _)| *batch).collect();
    let clients = combinations
        .iter()
        .map(|(_, clients)| *clients)
        .max()
        .unwrap_or(1);
    let columns = batches.len().max(1) as f64;
    let width = LEFT + columns * (PANEL_WIDTH + GAP_X + LEFT) - LEFT;
    let height = TOP + 2.0 * (PANEL_HEIGHT + GAP_Y);
    let mut page = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {width:.0} {height:.0}\"><style>{STYLE}\
         </style><rect class=\"back\" width=\"100%\" height=\"100%\" rx=\"10\"/>\
         <text class=\"head\" x=\"16\" y=\"28\">Samples to durable acknowledgement, {clients} clients</text>"
    );
    legend(&mut page);
    for (column, batch) in batches.into_iter().enumerate() {
        let x = LEFT + column as f64 * (PANEL_WIDTH + GAP_X + LEFT);
        let samples = if batch == 1 { "sample" } else { "samples" };
        let title = format!("{batch} {samples} per request");
        let panels = [
            (
                "samples/s",
                (|one| one.samples_per_s) as fn(&Figures) -> f64,
            ),
            ("99 % within, ms", |one| one.p99_ms),
        ];
        for (row, (unit, figure)) in panels.into_iter().enumerate() {
            let lines = Name::ALL.into_iter().enumerate().map(|(number, name)| {
                let series = report.series(batch, clients, name).into_iter();
                (
                    number,
                    series.map(|(twins, one)| (twins, figure(one))).collect(),
                )
            });
            let panel = Panel {
                title: title.clone(),
                unit,
                lines: lines.collect(),
            };
            panel.draw(&mut page, (x, TOP + row as f64 * (PANEL_HEIGHT + GAP_Y)));
        }
    }
    page.push_str("</svg>\n");
    page
}

fn legend(page: &mut String) {
    let mut x = 16.0;
    for (number, name) in Name::ALL.into_iter().enumerate() {
        // Writing to a string cannot fail.
        let _written = write!(
            page,
            "<path class=\"line c{number}\" d=\"M{x:.0} 47h20\"/><text class=\"soft\" x=\"{:.0}\" \
             y=\"51\">{}</text>",
            x + 25.0,
            name.text()
        );
        x += 45.0 + 6.6 * name.text().len() as f64;
    }
}

impl Panel {
    fn draw(&self, page: &mut String, (left, top): (f64, f64)) {
        let points = self.lines.iter().flat_map(|(_, points)| points);
        let values: Vec<f64> = points.clone().map(|(_, value)| *value).collect();
        let twins: std::collections::BTreeSet<u32> = points.map(|(twins, _)| *twins).collect();
        let (Some(first), Some(last)) = (twins.first(), twins.last()) else {
            return;
        };
        let lowest = values
            .iter()
            .copied()
            .fold(f64::INFINITY, f64::min)
            .max(1e-6);
        let highest = values.iter().copied().fold(lowest, f64::max);
        let (low, high) = (
            lowest.log10().floor(),
            (highest.log10().ceil()).max(lowest.log10().floor() + 1.0),
        );
        let span = (f64::from(*last) / f64::from(*first)).log10().max(1e-9);
        let x = |twins: u32| {
            let share = (f64::from(twins) / f64::from(*first)).log10() / span;
            left + 8.0 + share * (PANEL_WIDTH - 16.0)
        };
        let y = |value: f64| {
            top + PANEL_HEIGHT * (1.0 - (value.max(1e-6).log10() - low) / (high - low))
        };
        let _written = write!(
            page,
            "<text x=\"{left:.0}\" y=\"{:.0}\">{}, {}</text>",
            top - 8.0,
            self.title,
            self.unit
        );
        let mut decade = low;
        while decade <= high + 0.5 {
            let at = y(10_f64.powf(decade));
            let _written = write!(
                page,
                "<path class=\"grid\" d=\"M{left:.1} {at:.1}h{PANEL_WIDTH:.0}\"/><text class=\"soft\" \
                 text-anchor=\"end\" x=\"{:.0}\" y=\"{:.0}\">{}</text>",
                left - 6.0,
                at + 4.0,
                label(decade)
            );
            decade += 1.0;
        }
        for count in &twins {
            let _written = write!(
                page,
                "<text class=\"soft\" text-anchor=\"middle\" x=\"{:.0}\" y=\"{:.0}\">{count}</text>",
                x(*count),
                top + PANEL_HEIGHT + 16.0
            );
        }
        let _written = write!(
            page,
            "<text class=\"soft\" text-anchor=\"middle\" x=\"{:.0}\" y=\"{:.0}\">twins</text>",
            left + PANEL_WIDTH / 2.0,
            top + PANEL_HEIGHT + 32.0
        );
        for (number, points) in &self.lines {
            line(
                page,
                *number,
                points.iter().map(|(twins, value)| (x(*twins), y(*value))),
            );
        }
    }
}

fn line(page: &mut String, number: usize, points: impl Iterator<Item = (f64, f64)>) {
    let mut path = String::new();
    let mut dots = String::new();
    for (x, y) in points {
        let command = if path.is_empty() { 'M' } else { 'L' };
        let _written = write!(path, "{command}{x:.1} {y:.1}");
        let _written = write!(dots, "M{x:.1} {y:.1}h0");
    }
    let _written = write!(
        page,
        "<path class=\"line c{number}\" d=\"{path}\"/><path class=\"line dot c{number}\" \
         style=\"stroke-dasharray:none;stroke-width:5\" d=\"{dots}\"/>"
    );
}

fn label(decade: f64) -> String {
    let value = 10_f64.powf(decade);
    if value >= 1e6 {
        format!("{:.0} M", value / 1e6)
    } else if value >= 1e3 {
        format!("{:.0} k", value / 1e3)
    } else {
        format!("{value}")
    }
}
