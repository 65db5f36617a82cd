//! The page of help: every key.

use super::look::Look;
use crate::live::keys::HELP;
use crate::live::state::{LiveState, QuitMeaning};
use ratatui::Frame;
use ratatui::layout::{Constraint, Flex, Layout, Rect};
use ratatui::text::{Line, Span};
use ratatui::widgets::{Clear, Paragraph};

const WIDTH: u16 = 72;

pub(super) fn draw(frame: &mut Frame<'_>, area: Rect, state: &LiveState, look: Look) {
    let mut lines: Vec<Line<'static>> = HELP
        .iter()
        .map(|(keys, meaning)| {
            Line::from(vec![
                Span::styled(format!(" {keys:<18}"), Look::demand()),
                Span::raw(meaning_of(meaning, state.quit)),
            ])
        })
        .collect();
    lines.push(Line::default());
    lines.push(Line::from(
        " Chart: demand, 10 to 90 % of the forecast, supply; x = demand above supply.",
    ));
    lines.push(Line::from(
        " box: messages that wait, res: restarts, abn: abandoned threads.",
    ));
    let height = u16::try_from(lines.len()).unwrap_or(u16::MAX);
    let [middle] = Layout::vertical([Constraint::Length(height.saturating_add(2))])
        .flex(Flex::Center)
        .areas(area);
    let [middle] = Layout::horizontal([Constraint::Length(WIDTH.saturating_add(6))])
        .flex(Flex::Center)
        .areas(middle);
    frame.render_widget(Clear, middle);
    let block = look.frame(" Keys ".to_owned(), true);
    frame.render_widget(Paragraph::new(lines).block(block), middle);
}

fn meaning_of(meaning: &'static str, quit: QuitMeaning) -> &'static str {
    match (meaning, quit) {
        ("quit", QuitMeaning::View) => "close the view; the replay goes on",
        _ => meaning,
    }
}
