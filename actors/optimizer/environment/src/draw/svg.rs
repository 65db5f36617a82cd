//! A stack as one SVG picture that follows the reader's light or dark preference.

use crate::draw::format::{number, percent, seconds};
use crate::draw::layout::{Layout, entries, pairs};
use crate::draw::text::{kind_text, vms_text};
use crate::flow::{Flow, FlowError, flow};
use crate::model::{StackModel, TierKind};
use std::collections::BTreeMap;
use std::fmt::Write as _;
use twinscale_protocol::TierName;

const BOX_WIDTH: f64 = 216.0;
const BOX_HEIGHT: f64 = 92.0;
const GAP_X: f64 = 44.0;
const GAP_Y: f64 = 74.0;
const MARGIN: f64 = 28.0;
const HEAD: f64 = 66.0;
/// Height of a label.
const LABEL_STEP: f64 = 13.0;
/// Characters of a line that fit into a box.
const LINE_CHARS: usize = 32;

const STYLE: &str = ":root{color-scheme:light dark}\
.back{fill:#fcfbf9}.box{fill:#fff;stroke:#8b949e;stroke-width:1.2}.name{fill:#1b1f24;font-weight:600;font-size:15px}\
.text{fill:#57606a;font-size:12px}.edge{fill:none;stroke:#8b949e;stroke-width:1.4}.tip{fill:#8b949e}\
.rate{fill:#57606a;font-size:11px;paint-order:stroke;stroke:#fcfbf9;stroke-width:4px}\
.track{fill:#eaeef2}.calm{fill:#2da44e}.busy{fill:#bf8700}.full{fill:#cf222e}.over{stroke:#cf222e;stroke-width:2}\
@media (prefers-color-scheme:dark){.back{fill:#0d1117}.box{fill:#161b22;stroke:#6e7681}.name{fill:#e6edf3}\
.text{fill:#9198a1}.edge{stroke:#6e7681}.tip{fill:#6e7681}.rate{fill:#9198a1;stroke:#0d1117}.track{fill:#21262d}\
.calm{fill:#3fb950}.busy{fill:#d29922}.full{fill:#f85149}.over{stroke:#f85149}}";

/// Where the boxes are.
struct Places {
    corners: BTreeMap<TierName, (f64, f64)>,
    layers: BTreeMap<TierName, usize>,
    width: f64,
    height: f64,
}

/// Draws a stack in layers: who calls stands above who is called, bars say how busy each tier is.
///
/// # Errors
/// [`FlowError`] for a model that was not checked.
pub fn stack_svg(model: &StackModel) -> Result<String, FlowError> {
    let flow = flow(model)?;
    let places = places(&Layout::of(model)?);
    let mut page = String::new();
    put(
        &mut page,
        format_args!(
            "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {w:.0} {h:.0}\" width=\"{w:.0}\" height=\"{h:.0}\" font-family=\"system-ui,-apple-system,'Segoe UI',Roboto,Helvetica,Arial,sans-serif\" role=\"img\"><title>Stack of {name}</title><style>{STYLE}</style>",
            w = places.width,
            h = places.height,
            name = model.customer,
        ),
    );
    page.push_str("<rect class=\"back\" width=\"100%\" height=\"100%\" rx=\"10\"/>");
    put(
        &mut page,
        format_args!(
            "<text class=\"name\" x=\"{MARGIN}\" y=\"34\">{}</text><text class=\"text\" x=\"{MARGIN}\" y=\"53\">{} requests/s; bars: share of the busiest VMs' cores</text>",
            model.customer,
            number(flow.rate_per_s())
        ),
    );
    draw_edges(&mut page, model, &flow, &places);
    for (name, corner) in &places.corners {
        draw_tier(&mut page, model, &flow, name, *corner);
    }
    page.push_str("</svg>\n");
    Ok(page)
}

impl Places {
    /// Where along its box a call leaves or comes, 0 to 1: in the order of the boxes at the other ends.
    fn turn(
        &self,
        pairs: &[(TierName, TierName)],
        pair: (&TierName, &TierName),
        leaves: bool,
    ) -> f64 {
        let end = |(from, to): &(TierName, TierName)| {
            if leaves {
                (from.clone(), to.clone())
            } else {
                (to.clone(), from.clone())
            }
        };
        let (here, there) = end(&(pair.0.clone(), pair.1.clone()));
        let x_of = |tier: &TierName| self.corners.get(tier).map_or(0.0, |(x, _)| *x);
        let mut others: Vec<TierName> = pairs
            .iter()
            .map(end)
            .filter(|(end, _)| *end == here)
            .map(|(_, other)| other)
            .collect();
        others.sort_by(|left, right| x_of(left).total_cmp(&x_of(right)));
        let at = others.iter().position(|other| *other == there);
        (at.unwrap_or_default() as f64 + 1.0) / (others.len() as f64 + 1.0)
    }
}

fn places(layout: &Layout) -> Places {
    let widest = layout.layers.iter().map(Vec::len).max().unwrap_or(1).max(1) as f64;
    let inner = widest * BOX_WIDTH + (widest - 1.0) * GAP_X;
    let mut corners = BTreeMap::new();
    let mut layers = BTreeMap::new();
    let mut y = HEAD + GAP_Y * 0.6;
    for (depth, layer) in layout.layers.iter().enumerate() {
        let count = layer.len() as f64;
        let used = count * BOX_WIDTH + (count - 1.0) * GAP_X;
        let mut x = MARGIN + (inner - used) / 2.0;
        for tier in layer {
            corners.insert(tier.clone(), (x, y));
            layers.insert(tier.clone(), depth);
            x += BOX_WIDTH + GAP_X;
        }
        y += BOX_HEIGHT + GAP_Y;
    }
    Places {
        corners,
        layers,
        // Calls that pass a layer go round it on the right.
        width: inner + 2.0 * MARGIN + GAP_X,
        height: y - GAP_Y + MARGIN,
    }
}

fn draw_edges(page: &mut String, model: &StackModel, flow: &Flow, places: &Places) {
    for entry in entries(model) {
        let Some((x, y)) = places.corners.get(&entry).copied() else {
            continue;
        };
        let classes = model
            .classes
            .iter()
            .filter(|(_, class)| class.entry == entry);
        let per_s: f64 = classes
            .filter_map(|(name, _)| flow.rates_per_s.get(name))
            .sum();
        let middle = x + BOX_WIDTH / 2.0;
        let label = format!("clients {}/s", number(per_s));
        arrow(
            page,
            &format!("M{middle:.1} {:.1}V{:.1}", y - 40.0, y - 7.0),
            (middle, y),
            &label,
            (middle + 6.0, y - 26.0),
        );
    }
    let pairs = pairs(model);
    for (from, to) in &pairs {
        let (Some((x1, y1)), Some((x2, y2))) = (places.corners.get(from), places.corners.get(to))
        else {
            continue;
        };
        let start = x1 + BOX_WIDTH * places.turn(&pairs, (from, to), true);
        let turn = places.turn(&pairs, (from, to), false);
        let end = x2 + BOX_WIDTH * turn;
        // Beside the tip, in steps, so that the labels of one box do not lie on each other.
        let at = (end + 8.0, y2 - 17.0 - LABEL_STEP * (turn * 3.0).floor());
        let (start, end) = ((start, y1 + BOX_HEIGHT), (end, *y2));
        let calls = model.calls.iter().zip(&flow.calls);
        let calls: Vec<_> = calls
            .filter(|(call, _)| call.from == *from && call.to == *to)
            .collect();
        let per_s: f64 = calls.iter().map(|(_, flow)| flow.per_s).sum();
        let mut label = format!("{}/s", number(per_s));
        if calls.iter().any(|(call, _)| call.on_miss_of.is_some()) {
            label.push_str(" (misses)");
        }
        if let Some(link) = link_text(model, flow, from, to) {
            put(&mut label, format_args!(", {link}"));
        }
        let passes = places.layers.get(to).zip(places.layers.get(from));
        let is_long = passes.is_some_and(|(to, from)| to - from > 1);
        let aside = is_long.then_some(places.width - MARGIN / 2.0);
        arrow(page, &curve(start, end, aside), end, &label, at);
    }
}

fn link_text(model: &StackModel, flow: &Flow, from: &TierName, to: &TierName) -> Option<String> {
    let (name, link) = model.links.iter().find(|(_, link)| {
        let ends = [link.from.as_str(), link.to.as_str()];
        ends == [from.as_str(), to.as_str()] || ends == [to.as_str(), from.as_str()]
    })?;
    let used = flow.links.get(name)?.utilisation;
    let used = used.map_or(String::new(), |used| format!(" {}", percent(used)));
    Some(format!("link {}{used}", seconds(link.latency_s)))
}

/// The way of a call from box to box; `aside` is where one that passes a layer goes down.
fn curve(start: (f64, f64), end: (f64, f64), aside: Option<f64>) -> String {
    let tip = end.1 - 7.0;
    let ((x1, y1), x2) = (start, end.0);
    match aside {
        None => {
            let bend = (tip - y1) / 2.0;
            format!(
                "M{x1:.1} {y1:.1}C{x1:.1} {:.1} {x2:.1} {:.1} {x2:.1} {tip:.1}",
                y1 + bend,
                tip - bend,
            )
        }
        Some(x) => format!(
            "M{x1:.1} {y1:.1}C{x1:.1} {:.1} {x:.1} {:.1} {x:.1} {:.1}V{:.1}C{x:.1} {:.1} {x2:.1} {:.1} {x2:.1} {tip:.1}",
            y1 + 34.0,
            y1 + 8.0,
            y1 + 50.0,
            tip - 50.0,
            tip - 8.0,
            tip - 34.0,
        ),
    }
}

fn arrow(page: &mut String, way: &str, tip: (f64, f64), label: &str, at: (f64, f64)) {
    let (x, y) = tip;
    put(
        page,
        format_args!(
            "<path class=\"edge\" d=\"{way}\"/><path class=\"tip\" d=\"M{:.1} {:.1}h9l-4.5 8z\"/><text class=\"rate\" x=\"{:.1}\" y=\"{:.1}\">{label}</text>",
            x - 4.5,
            y - 8.0,
            at.0,
            at.1
        ),
    );
}

fn draw_tier(
    page: &mut String,
    model: &StackModel,
    flow: &Flow,
    name: &TierName,
    corner: (f64, f64),
) {
    let (Some(tier), Some(used)) = (model.tiers.get(name), flow.tiers.get(name)) else {
        return;
    };
    let (x, y) = corner;
    let busy = used.utilisation_max;
    let over = if busy >= 1.0 { " over" } else { "" };
    let round = match tier.kind {
        TierKind::Service => 8,
        TierKind::Cache => 2,
        TierKind::Database => 22,
        TierKind::Queue => 40,
    };
    put(
        page,
        format_args!(
            "<g transform=\"translate({x:.1} {y:.1})\"><rect class=\"box{over}\" width=\"{BOX_WIDTH}\" height=\"{BOX_HEIGHT}\" rx=\"{round}\"/><text class=\"name\" x=\"16\" y=\"24\">{}</text><text class=\"text\" x=\"16\" y=\"42\">{}</text><text class=\"text\" x=\"16\" y=\"59\">{}</text>",
            cut(name.as_str(), LINE_CHARS - 8),
            cut(
                &format!("{} · {}", kind_text(tier.kind), vms_text(tier)),
                LINE_CHARS
            ),
            cut(&details(model, flow, name), LINE_CHARS),
        ),
    );
    let track = BOX_WIDTH - 82.0;
    let filled = track * busy.clamp(0.0, 1.0);
    let class = if busy >= 1.0 {
        "full"
    } else if busy >= 0.7 {
        "busy"
    } else {
        "calm"
    };
    put(
        page,
        format_args!(
            "<rect class=\"track\" x=\"16\" y=\"70\" width=\"{track:.1}\" height=\"8\" rx=\"4\"/><rect class=\"{class}\" x=\"16\" y=\"70\" width=\"{filled:.1}\" height=\"8\" rx=\"4\"/><text class=\"text\" x=\"{:.1}\" y=\"78\" text-anchor=\"end\">{}</text></g>",
            BOX_WIDTH - 16.0,
            percent(busy)
        ),
    );
}

/// What is worth saying of a tier besides its VMs.
fn details(model: &StackModel, flow: &Flow, name: &TierName) -> String {
    let mut parts = Vec::new();
    if let Some(hit) = flow.hit_ratios.get(name) {
        parts.push(format!("hits {}", percent(*hit)));
    }
    for (volume, _) in model.volumes.iter().filter(|(_, v)| v.tier == *name) {
        let Some(used) = flow.volumes.get(volume) else {
            continue;
        };
        parts.push(format!("{volume} {} full", percent(used.fill)));
        if let Some(iops) = used.iops_utilisation {
            parts.push(format!("IOPS {}", percent(iops)));
        }
    }
    if parts.is_empty() {
        let arrivals = flow
            .tiers
            .get(name)
            .map(|used| used.arrivals_per_s.values().sum());
        parts.push(format!(
            "{} requests/s",
            number(arrivals.unwrap_or_default())
        ));
    }
    parts.join(", ")
}

fn cut(text: &str, chars: usize) -> String {
    if text.chars().count() <= chars {
        return text.to_owned();
    }
    let mut start: String = text.chars().take(chars.saturating_sub(1)).collect();
    start.push('…');
    start
}

fn put(page: &mut String, text: std::fmt::Arguments<'_>) {
    let written = page.write_fmt(text);
    debug_assert!(written.is_ok(), "a String takes all text");
}
