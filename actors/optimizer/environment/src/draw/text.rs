//! A stack as text for a terminal.

use crate::draw::format::{number, percent, seconds};
use crate::draw::layout::{Layout, entries};
use crate::flow::{Flow, FlowError, Role, TierFlow, flow};
use crate::model::{Call, CallOrder, StackModel, Tier, TierKind};
use std::collections::BTreeSet;
use std::fmt::Write as _;
use twinscale_protocol::{RequestClassName, TierName};

/// Hours of a month, for a price that people compare.
const MONTH_HOURS: f64 = 730.0;

/// Draws a stack for a terminal: classes, the tree of calls, tables of tiers, links and volumes.
///
/// # Errors
/// [`FlowError`] for a model that was not checked.
pub fn stack_text(model: &StackModel) -> Result<String, FlowError> {
    let flow = flow(model)?;
    let mut page = String::new();
    head(&mut page, model, &flow);
    page.push('\n');
    let mut shown = BTreeSet::new();
    for tier in entries(model) {
        tree(&mut page, model, &flow, &tier, &mut shown);
    }
    page.push('\n');
    table(&mut page, &tier_rows(model, &flow)?);
    if !model.links.is_empty() {
        page.push('\n');
        table(&mut page, &link_rows(model, &flow));
    }
    if !model.volumes.is_empty() {
        page.push('\n');
        table(&mut page, &volume_rows(model, &flow));
    }
    Ok(page)
}

fn head(page: &mut String, model: &StackModel, flow: &Flow) {
    put(
        page,
        format_args!(
            "{}: {} requests/s, {} VMs, {}\n\n",
            model.customer,
            number(flow.rate_per_s()),
            model
                .tiers
                .values()
                .flat_map(|tier| &tier.vms)
                .map(|vms| u64::from(vms.count))
                .sum::<u64>(),
            price(model),
        ),
    );
    let mut rows = vec![row(&[
        "CLASS",
        "REQUESTS/S",
        "ENTERS",
        "P50",
        "P95",
        "P99",
        "ANSWERED",
    ])];
    for (name, class) in &model.classes {
        let target =
            |limit: Option<f64>| limit.map_or("-".to_owned(), |s| format!("≤ {}", seconds(s)));
        let rate = flow.rates_per_s.get(name).copied().unwrap_or_default();
        rows.push(vec![
            name.to_string(),
            number(rate),
            class.entry.to_string(),
            target(class.sla.p50_s),
            target(class.sla.p95_s),
            target(class.sla.p99_s),
            class
                .sla
                .availability
                .map_or("-".to_owned(), |share| format!("≥ {} %", share * 100.0)),
        ]);
    }
    table(page, &rows);
}

fn price(model: &StackModel) -> String {
    let mut per_hour = 0.0;
    let mut assumed = false;
    for (name, tier) in &model.tiers {
        let mut count = 0.0;
        for vms in &tier.vms {
            let Some(vm_type) = model.vm_types.get(&vms.vm_type) else {
                continue;
            };
            count += f64::from(vms.count);
            per_hour += f64::from(vms.count) * vm_type.price_per_hour_usd;
            assumed |= vm_type.price_assumed;
        }
        for volume in model.volumes.values().filter(|v| v.tier == *name) {
            per_hour += count * volume.price_per_hour_usd;
            assumed |= volume.price_assumed;
        }
    }
    for link in model.links.values() {
        per_hour += link.price_per_hour_usd.unwrap_or_default();
        assumed |= link.price_assumed;
    }
    let note = if assumed { ", some prices assumed" } else { "" };
    format!(
        "${per_hour:.2} an hour (${:.0} a month{note})",
        per_hour * MONTH_HOURS
    )
}

/// A tier still to be drawn, and the lines that lead to it.
struct Branch<'a> {
    tier: TierName,
    calls: Vec<(usize, &'a Call)>,
    stem: String,
    is_last: bool,
    is_root: bool,
}

/// Draws a tier and what it calls. What is called from two places is drawn in full once.
fn tree(
    page: &mut String,
    model: &StackModel,
    flow: &Flow,
    root: &TierName,
    shown: &mut BTreeSet<TierName>,
) {
    let mut open = vec![Branch {
        tier: root.clone(),
        calls: Vec::new(),
        stem: String::new(),
        is_last: true,
        is_root: true,
    }];
    while let Some(branch) = open.pop() {
        let (here, below) = match (branch.is_root, branch.is_last) {
            (true, _) => ("", ""),
            (false, true) => ("└─ ", "   "),
            (false, false) => ("├─ ", "│  "),
        };
        let is_new = shown.insert(branch.tier.clone());
        let calls: Vec<String> = branch
            .calls
            .iter()
            .map(|(index, call)| call_text(flow, *index, call))
            .collect();
        let label = tier_label(model, flow, &branch.tier, is_new);
        let calls = if calls.is_empty() {
            String::new()
        } else {
            format!("  ← {}", calls.join("; "))
        };
        put(page, format_args!("{}{here}{label}{calls}\n", branch.stem));
        if !is_new {
            continue;
        }
        let stem = format!("{}{below}", branch.stem);
        let mut children = children(model, &branch.tier, &stem);
        if let Some(last) = children.last_mut() {
            last.is_last = true;
        }
        children.reverse();
        open.extend(children);
    }
}

fn children<'a>(model: &'a StackModel, tier: &TierName, stem: &str) -> Vec<Branch<'a>> {
    let mut children: Vec<Branch<'a>> = Vec::new();
    for (index, call) in model.calls.iter().enumerate() {
        if call.from != *tier {
            continue;
        }
        match children.iter_mut().find(|child| child.tier == call.to) {
            Some(child) => child.calls.push((index, call)),
            None => children.push(Branch {
                tier: call.to.clone(),
                calls: vec![(index, call)],
                stem: stem.to_owned(),
                is_last: false,
                is_root: false,
            }),
        }
    }
    children
}

fn call_text(flow: &Flow, index: usize, call: &Call) -> String {
    let per_s = flow.calls.get(index).map_or(0.0, |flow| flow.per_s);
    let mut text = format!("{}/s", number(per_s));
    if !call.classes.is_empty() {
        let names: Vec<&str> = call.classes.iter().map(RequestClassName::as_str).collect();
        put(&mut text, format_args!(" {}", names.join(", ")));
    }
    if let Some(cache) = &call.on_miss_of {
        put(&mut text, format_args!(" missed by {cache}"));
    }
    if call.order == CallOrder::Parallel {
        text.push_str(" in parallel");
    }
    text
}

fn tier_label(model: &StackModel, flow: &Flow, name: &TierName, is_new: bool) -> String {
    let (Some(tier), Some(used)) = (model.tiers.get(name), flow.tiers.get(name)) else {
        return name.to_string();
    };
    if !is_new {
        return format!("{name} (above)");
    }
    format!("{name} {} {}", vms_text(tier), bar(used.utilisation_max))
}

/// Writes the VMs of a tier, such as `4 x c7g.large`.
pub(crate) fn vms_text(tier: &Tier) -> String {
    let parts: Vec<String> = tier
        .vms
        .iter()
        .map(|vms| format!("{} x {}", vms.count, vms.vm_type))
        .collect();
    parts.join(" + ")
}

fn bar(utilisation: f64) -> String {
    const CELLS: usize = 10;
    let filled = (1..=CELLS)
        .filter(|cell| utilisation * CELLS as f64 >= *cell as f64 - 0.5)
        .count();
    let mut text: String = "█".repeat(filled);
    text.push_str(&"░".repeat(CELLS - filled));
    let mark = if utilisation >= 1.0 { " !" } else { "" };
    format!("{text} {}{mark}", percent(utilisation))
}

/// Says what a tier is.
pub(crate) fn kind_text(kind: TierKind) -> &'static str {
    match kind {
        TierKind::Service => "service",
        TierKind::Cache => "cache",
        TierKind::Database => "database",
        TierKind::Queue => "queue",
    }
}

fn tier_rows(model: &StackModel, flow: &Flow) -> Result<Vec<Vec<String>>, FlowError> {
    let mut rows = vec![row(&[
        "TIER",
        "KIND",
        "VMS",
        "ARRIVALS/S",
        "CORES BUSY",
        "UTILISATION",
        "VMS NEEDED",
        "NETWORK",
        "NOTE",
    ])];
    for name in Layout::of(model)?.layers.into_iter().flatten() {
        let (Some(tier), Some(used)) = (model.tiers.get(&name), flow.tiers.get(&name)) else {
            continue;
        };
        rows.push(vec![
            name.to_string(),
            kind_text(tier.kind).to_owned(),
            vms_text(tier),
            number(used.arrivals_per_s.values().sum()),
            format!("{} of {}", number(used.offered_cores), number(used.cores)),
            percent(used.utilisation_max),
            used.vms_needed
                .map_or("-".to_owned(), |count| count.to_string()),
            used.network_utilisation.map_or("-".to_owned(), percent),
            note(flow, &name, used),
        ]);
    }
    Ok(rows)
}

fn note(flow: &Flow, name: &TierName, used: &TierFlow) -> String {
    if let Some(hit) = flow.hit_ratios.get(name) {
        return format!("hits {}", percent(*hit));
    }
    let of = |role: Role| {
        used.groups
            .iter()
            .filter(|group| group.role == role)
            .map(|group| group.utilisation)
            .reduce(f64::max)
    };
    match (of(Role::Primary), of(Role::Replica)) {
        (Some(primary), Some(replica)) => {
            format!(
                "primary {}, replicas {}",
                percent(primary),
                percent(replica)
            )
        }
        _ => String::new(),
    }
}

fn link_rows(model: &StackModel, flow: &Flow) -> Vec<Vec<String>> {
    let mut rows = vec![row(&[
        "LINK",
        "BETWEEN",
        "LATENCY",
        "MBPS THERE",
        "MBPS BACK",
        "USED",
    ])];
    for (name, link) in &model.links {
        let used = flow.links.get(name).copied().unwrap_or_default();
        rows.push(vec![
            name.to_string(),
            format!("{} and {}", link.from, link.to),
            seconds(link.latency_s),
            number(used.forward_mbps),
            number(used.backward_mbps),
            used.utilisation.map_or("-".to_owned(), percent),
        ]);
    }
    rows
}

fn volume_rows(model: &StackModel, flow: &Flow) -> Vec<Vec<String>> {
    let mut rows = vec![row(&[
        "VOLUME",
        "TIER",
        "DATA GIB",
        "FULL",
        "FULL IN",
        "IOPS",
        "IOPS USED",
        "MB/S",
    ])];
    for (name, volume) in &model.volumes {
        let used = flow.volumes.get(name).copied().unwrap_or_default();
        rows.push(vec![
            name.to_string(),
            volume.tier.to_string(),
            format!(
                "{} of {}",
                number(used.data_gib),
                number(volume.capacity_gib)
            ),
            percent(used.fill),
            used.full_in_days
                .map_or("-".to_owned(), |days| format!("{} days", number(days))),
            number(used.iops),
            used.iops_utilisation.map_or("-".to_owned(), percent),
            number(used.throughput_mb_per_s),
        ]);
    }
    rows
}

fn row(cells: &[&str]) -> Vec<String> {
    cells.iter().map(|cell| (*cell).to_owned()).collect()
}

/// Writes rows in columns that are as wide as their widest cell.
fn table(page: &mut String, rows: &[Vec<String>]) {
    let columns = rows.iter().map(Vec::len).max().unwrap_or_default();
    let widths: Vec<usize> = (0..columns)
        .map(|column| {
            let cells = rows.iter().filter_map(|row| row.get(column));
            cells
                .map(|cell| cell.chars().count())
                .max()
                .unwrap_or_default()
        })
        .collect();
    for row in rows {
        let mut line = String::new();
        for (cell, width) in row.iter().zip(&widths) {
            put(&mut line, format_args!("{cell:<width$}  "));
        }
        page.push_str(line.trim_end());
        page.push('\n');
    }
}

fn put(page: &mut String, text: std::fmt::Arguments<'_>) {
    let written = page.write_fmt(text);
    debug_assert!(written.is_ok(), "a String takes all text");
}
