//! Weights as tables.

use crate::cli::cluster::words::{moment, or_unknown};
use crate::cli::table::Table;
use crate::weights::message::{NodeWeights, WeightsNodes};
use serde::Serialize;
use std::fmt::Write as _;
use twinscale_cluster::admin::{DecisionLine, FiguresLine, WeightsReply};
use twinscale_meta::stored::v2::SCHEMA;

/// Decisions that are shown; `--json` has all that are kept.
const DECISIONS_SHOWN: usize = 12;

/// Millionths of one.
const MILLION: f64 = 1e6;

/// The register with what every node serves.
#[derive(Debug, Serialize)]
pub(super) struct Shown<'a> {
    pub(super) register: &'a WeightsReply,
    #[serde(flatten)]
    pub(super) nodes: &'a WeightsNodes,
}

fn share(millionths: u32) -> f64 {
    f64::from(millionths) / MILLION
}

/// What was measured, in a line.
fn measured(figures: &FiguresLine) -> String {
    let [low, high] = figures.interval_millionths.map(share);
    let [wide, wider] = figures.coverage_millionths.map(|one| 100.0 * share(one));
    let [wide_active, wider_active] = figures
        .coverage_active_millionths
        .map(|one| 100.0 * share(one));
    format!(
        "{} series, {} forecasts, {} steps over {:.1} h: loss {:.3} of the active weights' ({low:.3} to {high:.3}); \
         within 80 % {wide:.1} % (active {wide_active:.1} %), within 90 % {wider:.1} % (active {wider_active:.1} %)",
        figures.series,
        figures.forecasts,
        figures.steps,
        figures.span_s as f64 / 3_600.0,
        share(figures.ratio_millionths),
    )
}

fn head(reply: &WeightsReply) -> String {
    let mut text = format!("active {}", reply.active);
    if reply.active_since_unix_ms > 0 {
        text.push_str(" since ");
        text.push_str(&moment(reply.active_since_unix_ms));
    }
    if let Some(previous) = &reply.previous {
        text.push_str("; before it ");
        text.push_str(previous);
    }
    text.push('\n');
    if let Some(trial) = &reply.trial {
        let what = match trial.mode.as_str() {
            "watch" => "which was active before, is watched beside it",
            _ => "is compared with it",
        };
        let line = writeln!(
            text,
            "trial {}: {} {what} since {}",
            trial.number,
            trial.challenger,
            moment(trial.since_unix_ms)
        );
        debug_assert!(line.is_ok(), "a String takes all text");
    }
    if reply.gate < SCHEMA {
        text.push_str(
            "the cluster's schema is 1: `twinscale schema raise` turns weights in service on\n",
        );
    }
    text
}

/// The register, for people.
pub(super) fn list_text(reply: &WeightsReply) -> String {
    let mut table = Table::new(&[
        "WEIGHTS",
        "PART",
        "BYTES",
        "NETWORKS",
        "SERIES",
        "VALIDATION",
        "PARENT",
        "SINCE",
        "BY",
    ]);
    for line in &reply.known {
        let loss = line
            .validation_loss_millionths
            .map(|loss| format!("{:.4}", share(loss)));
        table.row(vec![
            line.id.to_string(),
            line.part.clone(),
            line.bytes.to_string(),
            line.networks.to_string(),
            line.series.to_string(),
            or_unknown(loss),
            or_unknown(line.parent.as_ref()),
            moment(line.at_unix_ms),
            line.by.clone(),
        ]);
    }
    let mut text = head(reply);
    if !reply.known.is_empty() {
        text.push_str(&table.text());
    }
    let skipped = reply.decisions.len().saturating_sub(DECISIONS_SHOWN);
    for decision in reply.decisions.iter().skip(skipped) {
        text.push_str(&decided(decision));
    }
    text
}

fn decided(decision: &DecisionLine) -> String {
    let figures = decision.figures.as_ref();
    let figures = figures.map_or_else(String::new, |figures| format!("\n  {}", measured(figures)));
    format!(
        "{}  {} {} by {}{figures}\n",
        moment(decision.at_unix_ms),
        decision.what,
        decision.weights,
        decision.by,
    )
}

/// What every node serves, for people.
pub(super) fn nodes_text(reply: &WeightsReply, nodes: &WeightsNodes) -> String {
    let mut table = Table::new(&["NODE", "SERVES", "IN STEP", "HAS", "SHADOW", "NOTE"]);
    for node in &nodes.nodes {
        let is_shipped = node.serves == node.shipped;
        let shipped = if is_shipped { " (shipped)" } else { "" };
        table.row(vec![
            node.name.clone(),
            format!("{}{shipped}", node.serves),
            if node.in_step { "yes" } else { "no" }.to_owned(),
            node.local.len().to_string(),
            shadow(node),
            note(node),
        ]);
    }
    for silent in &nodes.silent {
        let mut row = vec![silent.name.clone()];
        row.extend(std::iter::repeat_n("-".to_owned(), 4));
        row.push(silent.reason.clone());
        table.row(row);
    }
    let mut text = head(reply);
    if reply.trial.is_some() {
        let line = nodes.comparison.as_ref().map_or_else(
            || "nothing was compared yet: a forecast is scored once its steps are over".to_owned(),
            measured,
        );
        text.push_str(&line);
        text.push('\n');
    }
    text.push_str(&table.text());
    text
}

fn shadow(node: &NodeWeights) -> String {
    node.shadow.as_ref().map_or_else(
        || "-".to_owned(),
        |shadow| {
            format!(
                "{} series, {} done, {} left out",
                shadow.series, shadow.done, shadow.dropped
            )
        },
    )
}

fn note(node: &NodeWeights) -> String {
    let failed = node
        .shadow
        .as_ref()
        .and_then(|shadow| shadow.failed.clone());
    if let Some(fetching) = &node.fetching {
        return format!(
            "fetches {} ({} of {} bytes)",
            fetching.weights, fetching.have, fetching.total
        );
    }
    node.trouble.clone().or(failed).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_are_told_with_their_interval() {
        let figures = FiguresLine {
            series: 40,
            forecasts: 900,
            steps: 20_000,
            span_s: 86_400,
            ratio_millionths: 900_000,
            interval_millionths: [850_000, 950_000],
            coverage_millionths: [810_000, 905_000],
            coverage_active_millionths: [790_000, 880_000],
        };
        let told = measured(&figures);
        assert!(
            told.contains("loss 0.900 of the active weights' (0.850 to 0.950)"),
            "{told}"
        );
        assert!(told.contains("over 24.0 h"), "{told}");
        assert!(
            told.contains("within 80 % 81.0 % (active 79.0 %)"),
            "{told}"
        );
    }
}
