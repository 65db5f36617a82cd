//! A stack as Graphviz dot and as Mermaid.

use crate::draw::format::{number, percent};
use crate::draw::layout::{entries, pairs};
use crate::draw::text::{kind_text, vms_text};
use crate::flow::{Flow, FlowError, flow};
use crate::model::{StackModel, TierKind};
use std::collections::BTreeMap;
use std::fmt::Write as _;
use twinscale_protocol::TierName;

/// Draws a stack as a Graphviz graph.
///
/// # Errors
/// [`FlowError`] for a model that was not checked.
pub fn stack_dot(model: &StackModel) -> Result<String, FlowError> {
    let flow = flow(model)?;
    let mut page = format!(
        "digraph \"{}\" {{\n  rankdir = TB;\n  node [shape = box, style = rounded, fontname = \"Helvetica\"];\n  edge [fontname = \"Helvetica\", fontsize = 10];\n  \"clients\" [shape = plaintext];\n",
        model.customer
    );
    for (name, tier) in &model.tiers {
        let shape = match tier.kind {
            TierKind::Service => "box",
            TierKind::Cache => "component",
            TierKind::Database => "cylinder",
            TierKind::Queue => "cds",
        };
        let lines = label(model, &flow, name);
        let color = if is_overloaded(&flow, name) {
            ", color = red"
        } else {
            ""
        };
        // Names cannot hold quotes or backslashes.
        put(
            &mut page,
            format_args!(
                "  \"{name}\" [shape = {shape}, label = \"{}\"{color}];\n",
                lines.join("\\n")
            ),
        );
    }
    for (from, to, per_s) in edges(model, &flow) {
        put(
            &mut page,
            format_args!(
                "  \"{from}\" -> \"{to}\" [label = \"{}/s\"];\n",
                number(per_s)
            ),
        );
    }
    page.push_str("}\n");
    Ok(page)
}

/// Draws a stack as a Mermaid flow chart.
///
/// # Errors
/// [`FlowError`] for a model that was not checked.
pub fn stack_mermaid(model: &StackModel) -> Result<String, FlowError> {
    let flow = flow(model)?;
    let mut page = "flowchart TD\n  clients([clients])\n".to_owned();
    // Mermaid reads some names as its own words, so that tiers are numbered.
    let ids: BTreeMap<&TierName, String> = model
        .tiers
        .keys()
        .enumerate()
        .map(|(index, name)| (name, format!("t{index}")))
        .collect();
    for (name, tier) in &model.tiers {
        let (open, close) = match tier.kind {
            TierKind::Service => ("[", "]"),
            TierKind::Cache => ("{{", "}}"),
            TierKind::Database => ("[(", ")]"),
            TierKind::Queue => (">", "]"),
        };
        let lines = label(model, &flow, name).join("<br/>");
        let id = ids.get(name).map_or("", String::as_str);
        put(&mut page, format_args!("  {id}{open}\"{lines}\"{close}\n"));
        if is_overloaded(&flow, name) {
            put(&mut page, format_args!("  style {id} stroke:#d1242f\n"));
        }
    }
    for (from, to, per_s) in edges(model, &flow) {
        let id = |name: &str| {
            let found = ids.iter().find(|(tier, _)| tier.as_str() == name);
            found.map_or("clients", |(_, id)| id.as_str()).to_owned()
        };
        put(
            &mut page,
            format_args!("  {} -->|\"{}/s\"| {}\n", id(&from), number(per_s), id(&to)),
        );
    }
    Ok(page)
}

fn is_overloaded(flow: &Flow, name: &TierName) -> bool {
    flow.tiers
        .get(name)
        .is_some_and(|used| used.utilisation_max >= 1.0)
}

fn label(model: &StackModel, flow: &Flow, name: &TierName) -> Vec<String> {
    let mut lines = vec![name.to_string()];
    if let (Some(tier), Some(used)) = (model.tiers.get(name), flow.tiers.get(name)) {
        lines.push(format!("{}, {}", kind_text(tier.kind), vms_text(tier)));
        let mut last = format!("{} busy", percent(used.utilisation_max));
        if let Some(hit) = flow.hit_ratios.get(name) {
            put(&mut last, format_args!(", hits {}", percent(*hit)));
        }
        lines.push(last);
    }
    lines
}

/// Calls between pairs, and requests from clients, each with what goes there per second.
fn edges(model: &StackModel, flow: &Flow) -> Vec<(String, String, f64)> {
    let mut edges = Vec::new();
    for entry in entries(model) {
        let classes = model
            .classes
            .iter()
            .filter(|(_, class)| class.entry == entry);
        let rates = classes.filter_map(|(name, _)| flow.rates_per_s.get(name));
        edges.push(("clients".to_owned(), entry.to_string(), rates.sum()));
    }
    for (from, to) in pairs(model) {
        let calls = model.calls.iter().zip(&flow.calls);
        let per_s = calls
            .filter(|(call, _)| call.from == from && call.to == to)
            .map(|(_, flow)| flow.per_s)
            .sum();
        edges.push((from.to_string(), to.to_string(), per_s));
    }
    edges
}

fn put(page: &mut String, text: std::fmt::Arguments<'_>) {
    let written = page.write_fmt(text);
    debug_assert!(written.is_ok(), "a String takes all text");
}
