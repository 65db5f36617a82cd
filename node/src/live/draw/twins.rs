//! The table of twins.

use super::look::Look;
use super::words::{amount, range, short_range, twin_word, value};
use crate::live::state::{LiveState, Pane};
use crate::report::format::grouped;
use crate::service::api::{CustomerItem, TierView};
use ratatui::Frame;
use ratatui::layout::{Alignment, Constraint, Rect};
use ratatui::style::Style;
use ratatui::text::{Line, Text};
use ratatui::widgets::{Cell, Row, Table};

/// A terminal of at least this width shows every column.
const WIDE: u16 = 116;

pub(super) fn draw(frame: &mut Frame<'_>, area: Rect, state: &LiveState, look: Look) {
    let visible = state.visible();
    let chosen = state.chosen_index();
    let room = usize::from(area.height.saturating_sub(3)).max(1);
    // The chosen row stays in the middle where the list is longer than the pane.
    let first = chosen
        .saturating_sub(room / 2)
        .min(visible.len().saturating_sub(room));
    let wide = area.width >= WIDE;
    let rows = visible.iter().enumerate().skip(first).take(room);
    let rows = rows.map(|(index, twin)| {
        let row = row(twin, state.tier, wide, (index == chosen, look));
        row.style(if index == chosen {
            Look::chosen()
        } else {
            Style::new()
        })
    });
    let block = look.frame(title(state, visible.len()), state.pane == Pane::Twins);
    if visible.is_empty() {
        let text = if state.filter.is_empty() {
            "No customers yet: samples or a stack make one."
        } else {
            "No customer has this in its name; Esc clears the filter."
        };
        let text = ratatui::widgets::Paragraph::new(text).block(block);
        frame.render_widget(text, area);
        return;
    }
    let table = Table::new(rows, widths(wide))
        .header(head(wide).style(Look::dim()))
        .column_spacing(1)
        .block(block);
    frame.render_widget(table, area);
}

fn title(state: &LiveState, visible: usize) -> String {
    let total = state
        .snapshot
        .as_ref()
        .map_or(0, |snapshot| snapshot.twins_total);
    let mut title = format!(" Twins: {}", grouped(total as f64));
    if visible as u64 != total {
        title = format!("{title}, {} shown", grouped(visible as f64));
    }
    if !state.filter.is_empty() {
        title = format!("{title}, filter `{}`", state.filter);
    }
    format!("{title} (by {}) ", state.sort.word())
}

fn widths(wide: bool) -> Vec<Constraint> {
    let mut widths = vec![
        Constraint::Length(1),
        Constraint::Fill(1),
        Constraint::Length(7),
        Constraint::Length(if wide { 8 } else { 7 }),
        Constraint::Length(if wide { 26 } else { 19 }),
        Constraint::Length(if wide { 8 } else { 7 }),
        Constraint::Length(7),
        Constraint::Length(8),
    ];
    if wide {
        widths.extend([8, 8, 7].map(Constraint::Length));
    }
    widths
}

fn head(wide: bool) -> Row<'static> {
    let mut cells = vec![
        left(""),
        left("customer"),
        left("state"),
        right("demand"),
        right("next 10..50..90 %"),
        right("VMs"),
        right("$/h"),
        right("so far"),
    ];
    if wide {
        cells.extend([right("supply"), right("restarts"), right("mailbox")]);
    }
    Row::new(cells)
}

fn row(
    twin: &CustomerItem,
    tier: usize,
    wide: bool,
    (is_chosen, look): (bool, Look),
) -> Row<'static> {
    let tier = tier_of(twin, tier);
    let forecast = tier.and_then(|tier| tier.forecast.as_ref());
    let word = twin_word(twin);
    let style = match word {
        "fresh" => look.good(),
        "new" | "no plan" => Style::new(),
        "apart" => look.bad(),
        _ => look.warn(),
    };
    let vms = if twin.starting > 0 {
        format!("{}+{}", twin.serving, twin.starting)
    } else {
        twin.serving.to_string()
    };
    let mut cells = vec![
        left(if is_chosen { ">" } else { "" }),
        left(&twin.customer),
        Cell::from(word).style(if is_chosen { Style::new() } else { style }),
        right(&value(tier.and_then(|tier| tier.demand))),
        right(&if wide {
            range(forecast)
        } else {
            short_range(forecast)
        }),
        right(&vms),
        right(&amount(twin.rate_usd_hour)),
        right(&twin.cost_usd.map_or_else(|| "-".to_owned(), amount)),
    ];
    if wide {
        cells.extend([
            right(&value(tier.and_then(|tier| tier.supply))),
            right(&twin.restarts.to_string()),
            right(&format!("{}/{}", twin.mailbox, twin.mailbox_max)),
        ]);
    }
    Row::new(cells)
}

/// The tier that is looked at; the count goes round.
pub(super) fn tier_of(twin: &CustomerItem, tier: usize) -> Option<&TierView> {
    twin.tiers.get(tier.checked_rem(twin.tiers.len())?)
}

fn left(text: &str) -> Cell<'static> {
    Cell::from(text.to_owned())
}

fn right(text: &str) -> Cell<'static> {
    Cell::from(Text::from(Line::from(text.to_owned())).alignment(Alignment::Right))
}
