//! Draws a state onto a terminal of any size: a pure function of both.

mod chart;
mod head;
mod help;
mod look;
mod node;
mod twins;
mod weights;
mod words;

use super::state::{Connection, HEIGHT_MIN, LiveState, Mode, Pane, WIDTH_MIN};
use look::Look;
use ratatui::Frame;
use ratatui::layout::{Constraint, Layout, Rect};
use ratatui::text::Line;
use ratatui::widgets::{Block, Paragraph, Wrap};

pub(super) use weights::weights_words;
pub(super) use words::{amount, duration, range, twin_word};

/// Draws a state.
pub fn draw(frame: &mut Frame<'_>, state: &LiveState) {
    let look = Look::of(state);
    let area = frame.area();
    if area.width < WIDTH_MIN || area.height < HEIGHT_MIN {
        draw_narrow(frame, area);
        return;
    }
    let tells_weights = state
        .snapshot
        .as_ref()
        .is_some_and(|one| one.weights.is_some());
    let rows = [
        Constraint::Length(if tells_weights { 3 } else { 2 }),
        Constraint::Fill(1),
        Constraint::Length(1),
    ];
    let [head, body, foot] = Layout::vertical(rows).areas(area);
    head::draw(frame, head, state, look);
    if state.snapshot.is_some() {
        draw_body(frame, body, state, look);
    } else {
        draw_waiting(frame, body, state);
    }
    frame.render_widget(Paragraph::new(foot_line(state)).style(Look::dim()), foot);
    if state.mode == Mode::Help {
        help::draw(frame, area, state, look);
    }
}

fn draw_body(frame: &mut Frame<'_>, body: Rect, state: &LiveState, look: Look) {
    if state.zoomed {
        match state.pane {
            Pane::Twins => twins::draw(frame, body, state, look),
            Pane::Chart => chart::draw(frame, body, state, look),
            Pane::Node => node::draw(frame, body, state, look),
        }
        return;
    }
    // Borders and a head around the rows, and never less than half for what is below.
    let rows = u16::try_from(state.visible().len()).unwrap_or(u16::MAX);
    let wanted = rows.saturating_add(3).clamp(6, body.height / 2);
    let split = [Constraint::Length(wanted), Constraint::Fill(1)];
    let [above, below] = Layout::vertical(split).areas(body);
    let side = if body.width < 110 { 36 } else { 46 };
    let split = [Constraint::Fill(1), Constraint::Length(side)];
    let [left, right] = Layout::horizontal(split).areas(below);
    twins::draw(frame, above, state, look);
    chart::draw(frame, left, state, look);
    node::draw(frame, right, state, look);
}

fn draw_narrow(frame: &mut Frame<'_>, area: Rect) {
    let text = format!(
        "The live view needs {WIDTH_MIN} columns and {HEIGHT_MIN} rows; this terminal has {} and {}. Make \
         it larger, or press q.",
        area.width, area.height
    );
    frame.render_widget(Paragraph::new(text).wrap(Wrap { trim: true }), area);
}

fn draw_waiting(frame: &mut Frame<'_>, area: Rect, state: &LiveState) {
    let text = match &state.connection {
        Connection::Lost { reason, .. } => format!("Nothing to show yet: {reason}"),
        _ => "Waiting for the first answer.".to_owned(),
    };
    let block = Block::bordered().title(" Twins ");
    let text = Paragraph::new(text).wrap(Wrap { trim: true }).block(block);
    frame.render_widget(text, area);
}

fn foot_line(state: &LiveState) -> Line<'static> {
    if state.mode == Mode::Filter {
        return Line::from(format!(
            " filter: {}_   (Enter keeps it, Esc clears it)",
            state.filter
        ));
    }
    let pause = if state.paused { "p go on" } else { "p pause" };
    Line::from(format!(
        " ? keys  q quit  j/k twin  Tab pane  z zoom  t tier  s sort  / filter  {pause}"
    ))
}
