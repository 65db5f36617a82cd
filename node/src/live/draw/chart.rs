//! The chart of the chosen twin: a column per step, what is over on the left, what is expected on the right.
//!
//! Demand is a line of Braille dots, the forecast's range is shaded, supply is a line of bars: each has a
//! sign of its own, so that the chart can be read without colours.

use super::look::Look;
use super::twins::tier_of;
use crate::live::state::{LiveState, Pane};
use crate::report::format::{moment, quantity};
use crate::service::api::{CustomerItem, StepView, TierStepsView, TierView};
use ratatui::Frame;
use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::text::{Line, Span};
use ratatui::widgets::{Paragraph, Wrap};
use twinscale_protocol::DomainTime;

/// Columns of the axis on the left.
const AXIS: u16 = 8;

/// Share of the columns that what is expected may take: 1/4.
const AHEAD_PART: usize = 4;

pub(super) fn draw(frame: &mut Frame<'_>, area: Rect, state: &LiveState, look: Look) {
    let has_keys = state.pane == Pane::Chart;
    let Some(twin) = state.chosen_twin() else {
        frame.render_widget(look.frame(" Demand ".to_owned(), has_keys), area);
        return;
    };
    let tier = tier_of(twin, state.tier);
    let mut block = look.frame(title(twin, tier), has_keys);
    if area.height > 6 {
        block = block.title_bottom(legend(look));
    }
    let inner = block.inner(area);
    frame.render_widget(block, area);
    let steps = tier.and_then(|tier| steps_of(state, twin, tier));
    let Some(steps) = steps else {
        let text = match twin.state.as_str() {
            "unconfigured" => "Samples are stored; give it a policy for forecasts and plans.",
            _ => "Its steps are being read.",
        };
        frame.render_widget(Paragraph::new(text).wrap(Wrap { trim: true }), inner);
        return;
    };
    let plot = Rect {
        x: inner.x.saturating_add(AXIS),
        width: inner.width.saturating_sub(AXIS),
        height: inner.height.saturating_sub(1),
        ..inner
    };
    let columns = Columns::of(steps, usize::from(plot.width));
    if columns.steps.is_empty() {
        frame.render_widget(Paragraph::new("No samples yet."), inner);
        return;
    }
    let scale = Scale {
        most: columns.most(),
        plot,
    };
    let buffer = frame.buffer_mut();
    draw_axis(buffer, inner, &scale);
    draw_times(buffer, plot, &columns);
    columns.draw(buffer, &scale, look);
}

fn steps_of<'a>(
    state: &'a LiveState,
    twin: &CustomerItem,
    tier: &TierView,
) -> Option<&'a TierStepsView> {
    let chosen = state.snapshot.as_ref()?.chosen.as_ref()?;
    let tiers = (chosen.customer == twin.customer).then_some(&chosen.tiers)?;
    tiers.iter().find(|steps| steps.tier == tier.tier)
}

fn title(twin: &CustomerItem, tier: Option<&TierView>) -> String {
    let Some(tier) = tier else {
        return format!(" {} ", twin.customer);
    };
    let count = twin.tiers.len();
    let of = if count > 1 {
        let at = twin.tiers.iter().position(|one| one.tier == tier.tier);
        format!(", tier {} of {count}", at.unwrap_or(0) + 1)
    } else {
        String::new()
    };
    format!(
        " {}: {}/{}{of}, steps of {} ",
        twin.customer,
        tier.vm_type,
        tier.metric,
        super::duration(u64::from(tier.interval_s))
    )
}

fn legend(look: Look) -> Line<'static> {
    Line::from(vec![
        Span::styled(" ⠒⠒ ", Look::demand()),
        Span::raw("demand"),
        Span::styled(" ░░ ", look.forecast()),
        Span::raw("forecast"),
        Span::styled(" ── ", look.supply()),
        Span::raw("supply"),
        Span::styled(" x ", look.bad()),
        Span::raw("short "),
    ])
}

/// The steps that fit, one per column.
struct Columns<'a> {
    steps: Vec<&'a StepView>,
    /// How many of them are over.
    over: usize,
    /// Empty columns on the left.
    skipped: usize,
}

/// From values to rows.
struct Scale {
    most: f64,
    plot: Rect,
}

impl<'a> Columns<'a> {
    fn of(tier: &'a TierStepsView, width: usize) -> Self {
        let ahead = tier.ahead.len().min(width / AHEAD_PART);
        // A column parts what is over from what is expected.
        let room = width.saturating_sub(ahead + 1);
        let known = tier.past.iter().position(|step| step.demand.is_some());
        let past = tier.past.get(known.unwrap_or(tier.past.len())..);
        let past = past.unwrap_or_default();
        let past = past
            .get(past.len().saturating_sub(room)..)
            .unwrap_or_default();
        Self {
            over: past.len(),
            skipped: room.saturating_sub(past.len()),
            steps: past.iter().chain(tier.ahead.iter().take(ahead)).collect(),
        }
    }

    fn most(&self) -> f64 {
        let values = self.steps.iter().flat_map(|step| {
            [
                step.demand,
                step.supply,
                step.forecast.as_ref().map(|range| range.q90),
            ]
        });
        let most = values.flatten().fold(0.0, f64::max);
        if most > 0.0 { most * 1.05 } else { 1.0 }
    }

    fn draw(&self, buffer: &mut Buffer, scale: &Scale, look: Look) {
        let mut before: Option<u16> = None;
        for (index, step) in self.steps.iter().enumerate() {
            let x = self.column(index);
            draw_range(buffer, scale, x, step, (look, index >= self.over));
            draw_supply(buffer, scale, x, step, look);
            before = draw_demand(buffer, scale, (x, before), step, look);
        }
        let now = self.skipped + self.over;
        for y in 0..scale.plot.height {
            put(buffer, scale.plot, (now, y), "│", Look::dim());
        }
    }

    fn column(&self, index: usize) -> usize {
        // Behind the column that parts them.
        self.skipped + index + usize::from(index >= self.over)
    }
}

impl Scale {
    /// The row and the part of it, of `parts` from below, in which a value lies; rows count from above.
    fn place(&self, value: f64, parts: u16) -> (u16, u16) {
        let fine = f64::from(self.plot.height) * f64::from(parts);
        let at = (value / self.most * fine).clamp(0.0, (fine - 1.0).max(0.0));
        let at = floor(at);
        let from_below = at / parts.max(1);
        let row = self
            .plot
            .height
            .saturating_sub(1)
            .saturating_sub(from_below);
        (row, at % parts.max(1))
    }
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "clamped to the rows of a terminal first"
)]
fn floor(value: f64) -> u16 {
    value.clamp(0.0, f64::from(u16::MAX)) as u16
}

fn draw_range(
    buffer: &mut Buffer,
    scale: &Scale,
    x: usize,
    step: &StepView,
    (look, is_ahead): (Look, bool),
) {
    let Some(range) = &step.forecast else {
        return;
    };
    let (low, _) = scale.place(range.q10, 1);
    let (high, _) = scale.place(range.q90, 1);
    for y in high..=low {
        put(buffer, scale.plot, (x, y), "░", look.forecast());
    }
    if is_ahead {
        let (median, _) = scale.place(range.q50, 1);
        put(buffer, scale.plot, (x, median), "▒", look.forecast());
    }
}

fn draw_supply(buffer: &mut Buffer, scale: &Scale, x: usize, step: &StepView, look: Look) {
    let Some(supply) = step.supply else {
        return;
    };
    let (row, part) = scale.place(supply, 3);
    let sign = ["▁", "─", "▔"].get(usize::from(part)).copied();
    put(
        buffer,
        scale.plot,
        (x, row),
        sign.unwrap_or("─"),
        look.supply(),
    );
}

/// Draws the demand of a step and the way to it from the row before; returns its row.
fn draw_demand(
    buffer: &mut Buffer,
    scale: &Scale,
    (x, before): (usize, Option<u16>),
    step: &StepView,
    look: Look,
) -> Option<u16> {
    let demand = step.demand?;
    let (row, part) = scale.place(demand, 4);
    if let Some(before) = before {
        for y in before.min(row) + 1..before.max(row) {
            put(buffer, scale.plot, (x, y), "⡇", Look::demand());
        }
    }
    if step.supply.is_some_and(|supply| supply < demand) {
        put(buffer, scale.plot, (x, row), "x", look.bad());
    } else {
        let sign = ["⣀", "⠤", "⠒", "⠉"].get(usize::from(part)).copied();
        let sign = sign.unwrap_or("⠒");
        put(buffer, scale.plot, (x, row), sign, Look::demand());
    }
    Some(row)
}

fn draw_axis(buffer: &mut Buffer, inner: Rect, scale: &Scale) {
    let rows = scale.plot.height.max(1);
    let labels = [(0, 1.0), (rows / 2, 0.5), (rows.saturating_sub(1), 0.0)];
    for (row, share) in labels {
        let label = quantity(scale.most * share);
        let label: String = label.chars().take(usize::from(AXIS) - 1).collect();
        let text = format!("{label:>7} ");
        buffer.set_string(inner.x, inner.y.saturating_add(row), text, Look::dim());
    }
}

fn draw_times(buffer: &mut Buffer, plot: Rect, columns: &Columns<'_>) {
    let y = plot.y.saturating_add(plot.height);
    let text = |at: i64| moment(DomainTime(at), "%m-%d %H:%M");
    let mut write = |column: usize, text: &str| {
        let wanted = u16::try_from(column).unwrap_or(u16::MAX);
        let length = u16::try_from(text.len()).unwrap_or(u16::MAX);
        let last = plot.width.saturating_sub(length);
        let x = plot.x.saturating_add(wanted.min(last));
        buffer.set_string(x, y, text, Look::dim());
    };
    let now = columns.steps.get(columns.over).or(columns.steps.last());
    let now_text = now.map(|step| text(step.at)).unwrap_or_default();
    let now_column = (columns.skipped + columns.over).saturating_sub(now_text.len() / 2);
    if now_column > columns.skipped + now_text.len() {
        let first = columns.steps.first().map(|step| text(step.at));
        write(columns.skipped, &first.unwrap_or_default());
    }
    write(now_column, &now_text);
}

fn put(
    buffer: &mut Buffer,
    plot: Rect,
    (x, y): (usize, u16),
    sign: &str,
    style: ratatui::style::Style,
) {
    let Ok(x) = u16::try_from(x) else {
        return;
    };
    if x < plot.width && y < plot.height {
        buffer.set_string(
            plot.x.saturating_add(x),
            plot.y.saturating_add(y),
            sign,
            style,
        );
    }
}
