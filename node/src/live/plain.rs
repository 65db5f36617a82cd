//! A snapshot as text: a table, a line, or a JSON document.

use super::draw::{amount, duration, range, twin_word, weights_words};
use super::snapshot::{Head, LiveSnapshot, SCHEMA, SCHEMA_VERSION};
use crate::report::format::{grouped, moment, quantity};
use crate::service::api::CustomerItem;
use serde::Serialize;
use std::fmt::Write as _;
use twinscale_protocol::DomainTime;

const COLUMNS: usize = 10;

/// One row of cells.
type Row = [String; COLUMNS];

#[derive(Serialize)]
struct Document<'a> {
    schema: &'static str,
    version: u32,
    #[serde(flatten)]
    snapshot: &'a LiveSnapshot,
}

/// Writes a snapshot as a JSON document with an end of line.
///
/// # Errors
/// When a value has no place in JSON.
pub fn json(snapshot: &LiveSnapshot) -> serde_json::Result<String> {
    let document = Document {
        schema: SCHEMA,
        version: SCHEMA_VERSION,
        snapshot,
    };
    let mut text = serde_json::to_string_pretty(&document)?;
    text.push('\n');
    Ok(text)
}

/// Writes a snapshot as one line.
pub fn line(snapshot: &LiveSnapshot) -> String {
    let LiveSnapshot {
        head,
        twins,
        twins_total,
        money,
        ..
    } = snapshot;
    let serving: u64 = twins.iter().map(|twin| twin.serving).sum();
    let starting: u64 = twins.iter().map(|twin| twin.starting).sum();
    let restarts: u64 = snapshot.actors.iter().map(|actor| actor.restarts).sum();
    let not_fresh = twins.iter().filter(|twin| twin.fresh == Some(false));
    format!(
        "{} {} {}, {twins_total} twins ({} stale), {serving} VMs serve, {starting} start, {}/h, {} so far, \
         {restarts} restarts, log {} entries{}",
        moment(DomainTime(head.at), "%Y-%m-%dT%H:%M:%SZ"),
        head.title,
        state(head),
        not_fresh.count(),
        amount(money.rate_usd_hour),
        amount(money.cost_usd),
        grouped(head.log_entries as f64),
        weights(snapshot).map_or_else(String::new, |weights| format!(", {weights}")),
    )
}

/// Writes a snapshot as a table, plain text without colour.
pub fn table(snapshot: &LiveSnapshot) -> String {
    let mut text = head_text(&snapshot.head);
    if let Some(weights) = weights(snapshot) {
        push(&mut text, format_args!("{weights}\n"));
    }
    text.push('\n');
    let heads = [
        "customer",
        "state",
        "demand",
        "next 10..50..90 %",
        "supply",
        "VMs",
        "$/h",
        "so far",
        "restarts",
        "mailbox",
    ];
    let mut rows = vec![heads.map(str::to_owned)];
    rows.extend(snapshot.twins.iter().map(row));
    let mut widths = [0_usize; COLUMNS];
    for cells in &rows {
        for (width, cell) in widths.iter_mut().zip(cells) {
            *width = (*width).max(cell.chars().count());
        }
    }
    for cells in &rows {
        push_row(&mut text, cells, &widths);
    }
    let shown = snapshot.twins.len() as u64;
    if snapshot.twins_total > shown {
        push(
            &mut text,
            format_args!("{shown} of {} twins\n", snapshot.twins_total),
        );
    }
    text.push('\n');
    push(
        &mut text,
        format_args!(
            "{}/h, {} so far\n",
            amount(snapshot.money.rate_usd_hour),
            amount(snapshot.money.cost_usd)
        ),
    );
    for actor in &snapshot.actors {
        push(
            &mut text,
            format_args!(
                "{}: {}, mailbox {}/{}, {} restarts, {} threads abandoned\n",
                actor.name,
                actor.state,
                actor.mailbox,
                actor.mailbox_max,
                actor.restarts,
                actor.abandoned_threads
            ),
        );
    }
    text
}

/// What forecasts are made with, where that is told.
fn weights(snapshot: &LiveSnapshot) -> Option<String> {
    let words = weights_words(snapshot.weights.as_ref()?).into_iter();
    Some(words.map(|word| word.text).collect())
}

fn state(head: &Head) -> String {
    let codes: Vec<&str> = head
        .reasons
        .iter()
        .map(|reason| reason.code.as_str())
        .collect();
    let word = if head.ready { "ready" } else { "not ready" };
    if codes.is_empty() {
        word.to_owned()
    } else {
        format!("{word} ({})", codes.join(", "))
    }
}

fn head_text(head: &Head) -> String {
    let mut text = String::new();
    push(
        &mut text,
        format_args!(
            "{} {} at {}: {}, up {}, log {} entries in {} syncs, {} of {} threads abandoned\n",
            head.title,
            head.version,
            head.address.as_deref().unwrap_or("no address"),
            state(head),
            duration(u64::try_from(head.uptime_s).unwrap_or_default()),
            grouped(head.log_entries as f64),
            grouped(head.log_syncs as f64),
            head.abandoned_threads,
            head.abandoned_threads_max,
        ),
    );
    for reason in &head.reasons {
        push(
            &mut text,
            format_args!("{}: {}\n", reason.code, reason.message),
        );
    }
    text
}

fn row(twin: &CustomerItem) -> Row {
    let tier = twin.tiers.first();
    let value = |value: Option<f64>| value.map_or_else(|| "-".to_owned(), quantity);
    [
        twin.customer.clone(),
        twin_word(twin).to_owned(),
        value(tier.and_then(|tier| tier.demand)),
        range(tier.and_then(|tier| tier.forecast.as_ref())),
        value(tier.and_then(|tier| tier.supply)),
        format!("{}+{}", twin.serving, twin.starting),
        amount(twin.rate_usd_hour),
        twin.cost_usd.map_or_else(|| "-".to_owned(), amount),
        twin.restarts.to_string(),
        format!("{}/{}", twin.mailbox, twin.mailbox_max),
    ]
}

/// Names and words to the left, numbers to the right.
fn push_row(text: &mut String, cells: &Row, widths: &[usize; COLUMNS]) {
    let cells = cells.iter().zip(widths).enumerate();
    let cells: Vec<String> = cells
        .map(|(column, (cell, width))| {
            if column < 2 {
                format!("{cell:<width$}")
            } else {
                format!("{cell:>width$}")
            }
        })
        .collect();
    push(text, format_args!("{}\n", cells.join("  ").trim_end()));
}

fn push(text: &mut String, words: std::fmt::Arguments<'_>) {
    let written = text.write_fmt(words);
    debug_assert!(written.is_ok(), "a String takes all text");
}
