//! The table that ends a run on the terminal.

use super::format::{dollars, grouped, over, percent};
use super::input::{Contest, ReportInput, Score};

const COLUMNS: usize = 10;

/// One row of cells.
type Row = [String; COLUMNS];

/// Writes the table: one row per customer and the totals, plain text without colour.
///
/// Demand is in VM-hours of each tier's cheapest type; shares of the reactive rival stand beside its cost.
pub fn report_table(input: &ReportInput) -> String {
    let heads: [Row; 2] = [
        [
            "",
            "demand",
            "Twinscale",
            "over",
            "unserved",
            "time",
            "reactive",
            "reactive",
            "static",
            "perfect",
        ]
        .map(str::to_owned),
        [
            "customer",
            "VM-hours",
            "cost",
            "foresight",
            "share",
            "short",
            "cost",
            "unserved",
            "peak cost",
            "foresight",
        ]
        .map(str::to_owned),
    ];
    let mut rows: Vec<Row> = input
        .customers
        .iter()
        .map(|customer| row(customer.customer.as_str(), &customer.scores()))
        .collect();
    rows.push(row("total", &input.scores()));
    let mut widths = [0_usize; COLUMNS];
    for cells in heads.iter().chain(&rows) {
        for (width, cell) in widths.iter_mut().zip(cells) {
            *width = (*width).max(cell.chars().count());
        }
    }
    let line = "-".repeat(widths.iter().sum::<usize>() + 2 * (COLUMNS - 1));
    let mut text = String::new();
    for head in &heads {
        push_row(&mut text, head, &widths);
    }
    push_line(&mut text, &line);
    let last = rows.len() - 1;
    for (index, cells) in rows.iter().enumerate() {
        if index == last {
            push_line(&mut text, &line);
        }
        push_row(&mut text, cells, &widths);
    }
    text
}

fn row(name: &str, scores: &Contest<Score>) -> Row {
    let Contest {
        twinscale,
        reactive,
        static_peak,
        foresight,
    } = scores;
    [
        name.to_owned(),
        grouped(twinscale.demand_vm_hours),
        dollars(twinscale.cost),
        over(twinscale, foresight),
        percent(twinscale.unserved_share()),
        percent(twinscale.under_share()),
        dollars(reactive.cost),
        percent(reactive.unserved_share()),
        dollars(static_peak.cost),
        dollars(foresight.cost),
    ]
}

fn push_row(text: &mut String, cells: &Row, widths: &[usize; COLUMNS]) {
    let padded: Vec<String> = cells
        .iter()
        .zip(widths)
        .enumerate()
        .map(|(index, (cell, width))| match index {
            0 => format!("{cell:<width$}"),
            _ => format!("{cell:>width$}"),
        })
        .collect();
    push_line(text, padded.join("  ").trim_end());
}

fn push_line(text: &mut String, line: &str) {
    text.push_str(line);
    text.push('\n');
}
