//! The table that ends a run on the terminal.

use super::contest::{Contender, Contest, Score};
use super::format::{dollars, grouped, over, percent};
use super::input::ReportInput;
use super::tally::Blame;

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
    push_contenders(&mut text, &input.scores());
    push_causes(&mut text, input);
    text
}

/// All contenders in total: the columns above have room for some of them only.
fn push_contenders(text: &mut String, scores: &Contest<Score>) {
    push_line(
        text,
        "\nin total                          cost  over foresight  unserved  time short",
    );
    for contender in Contender::ALL {
        let score = scores.get(contender);
        push_line(
            text,
            &format!(
                "{:<26}  {:>11}  {:>14}  {:>8}  {:>10}",
                contender.name(),
                dollars(score.cost),
                over(score, &scores.foresight),
                percent(score.unserved_share()),
                percent(score.under_share())
            ),
        );
    }
}

/// What is to blame for what Twinscale left unserved.
fn push_causes(text: &mut String, input: &ReportInput) {
    let Blame { causes, steps, .. } = input.blame();
    let total = causes.total();
    push_line(
        text,
        "\nunserved because of         VM-hours   share  steps  by the policy's price",
    );
    for (cause, part) in causes.iter() {
        let share = part.vm_seconds.units() / total.vm_seconds.units().max(1e-9);
        push_line(
            text,
            &format!(
                "{:<26}  {:>8}  {:>6}  {:>5}  {:>21}",
                cause.name(),
                grouped(part.vm_seconds.units() / 3_600.0),
                percent(share),
                steps.get(cause),
                dollars(part.money)
            ),
        );
    }
}

fn row(name: &str, scores: &Contest<Score>) -> Row {
    let Contest {
        twinscale,
        reactive,
        static_peak,
        foresight,
        ..
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
