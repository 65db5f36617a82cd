//! Money, and the actors behind it.

use super::look::Look;
use super::words::amount;
use crate::live::snapshot::{ActorRow, LiveSnapshot, Money};
use crate::live::state::{LiveState, Pane};
use crate::service::api::CustomerItem;
use ratatui::Frame;
use ratatui::layout::Rect;
use ratatui::style::Style;
use ratatui::text::{Line, Span};
use ratatui::widgets::Paragraph;

/// Letters of a customer's name that fit.
const NAME: usize = 6;

pub(super) fn draw(frame: &mut Frame<'_>, area: Rect, state: &LiveState, look: Look) {
    let Some(snapshot) = &state.snapshot else {
        return;
    };
    let block = look.frame(" Money and actors ".to_owned(), state.pane == Pane::Node);
    let inner = block.inner(area);
    let mut lines = vec![money_line(&snapshot.money)];
    lines.extend(state.chosen_twin().map(|twin| twin_line(twin, look)));
    let actors = actor_lines(snapshot, look);
    if usize::from(inner.height) > lines.len() + actors.len() {
        lines.push(Line::default());
    }
    lines.extend(actors);
    frame.render_widget(Paragraph::new(lines).block(block), area);
}

fn money_line(money: &Money) -> Line<'static> {
    Line::from(vec![
        Span::raw("so far "),
        Span::styled(amount(money.cost_usd), Look::demand()),
        Span::raw(", now "),
        Span::styled(amount(money.rate_usd_hour), Look::demand()),
        Span::raw("/h"),
    ])
}

/// What the table of twins has no room for on a narrow terminal.
fn twin_line(twin: &CustomerItem, look: Look) -> Line<'static> {
    let name: String = twin.customer.chars().take(NAME).collect();
    let style = if twin.restarts > 0 {
        look.warn()
    } else {
        Style::new()
    };
    Line::from(vec![
        Span::raw(format!("{name}: ")),
        Span::styled(format!("{} restarts", twin.restarts), style),
        Span::raw(format!(", mailbox {}/{}", twin.mailbox, twin.mailbox_max)),
    ])
}

fn actor_lines(snapshot: &LiveSnapshot, look: Look) -> Vec<Line<'static>> {
    let head = format!(
        "{:<12}{:<10}{:>4}{:>4}{:>4}",
        "actor", "state", "box", "res", "abn"
    );
    let mut lines = vec![Line::from(Span::styled(head, Look::dim()))];
    lines.extend(snapshot.actors.iter().map(|actor| actor_line(actor, look)));
    let (abandoned, most) = (
        snapshot.head.abandoned_threads,
        snapshot.head.abandoned_threads_max,
    );
    let style = if abandoned > 0 {
        look.warn()
    } else {
        Look::dim()
    };
    lines.push(Line::from(Span::styled(
        format!("threads abandoned: {abandoned} of {most}"),
        style,
    )));
    lines
}

fn actor_line(actor: &ActorRow, look: Look) -> Line<'static> {
    let style = match actor.state.as_str() {
        "running" => look.good(),
        "restarting" => look.warn(),
        _ => look.bad(),
    };
    let restarts = if actor.restarts > 0 {
        look.warn()
    } else {
        Style::new()
    };
    Line::from(vec![
        Span::raw(format!("{:<12}", actor.name)),
        Span::styled(format!("{:<10}", actor.state), style),
        Span::raw(format!("{:>4}", actor.mailbox)),
        Span::styled(format!("{:>4}", actor.restarts), restarts),
        Span::raw(format!("{:>4}", actor.abandoned_threads)),
    ])
}
