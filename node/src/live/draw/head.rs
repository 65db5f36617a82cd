//! The lines above: the node as a whole, what is wrong with it, and what it forecasts with.

use super::look::Look;
use super::weights;
use super::words::duration;
use crate::live::snapshot::{Head, ReplayHead};
use crate::live::state::{Connection, LiveState};
use crate::report::format::{grouped, moment};
use ratatui::Frame;
use ratatui::layout::Rect;
use ratatui::style::{Modifier, Style};
use ratatui::text::{Line, Span};
use ratatui::widgets::Paragraph;
use twinscale_protocol::DomainTime;

/// Cells of the bar of a replay.
const BAR: u16 = 20;

pub(super) fn draw(frame: &mut Frame<'_>, area: Rect, state: &LiveState, look: Look) {
    let lines = match &state.snapshot {
        Some(snapshot) => {
            let mut lines = vec![
                first_line(&snapshot.head, state, look),
                second_line(&snapshot.head, state, look),
            ];
            let weights = snapshot.weights.as_ref();
            lines.extend(weights.map(|weights| weights::line(weights, look)));
            lines
        }
        None => vec![
            Line::from(Span::styled(" Twinscale", bold())),
            trouble(state, look).unwrap_or_default(),
        ],
    };
    frame.render_widget(Paragraph::new(lines), area);
}

fn bold() -> Style {
    Style::new().add_modifier(Modifier::BOLD)
}

fn first_line(head: &Head, state: &LiveState, look: Look) -> Line<'static> {
    let is_read_only = head.reasons.iter().any(|reason| reason.code == "read-only");
    let (word, style) = match (head.ready, is_read_only) {
        (true, _) if head.reasons.is_empty() => ("ready", look.good()),
        (true, _) => ("ready, impaired", look.warn()),
        (false, true) => ("READ-ONLY", look.bad()),
        (false, false) => ("NOT READY", look.bad()),
    };
    let mut spans = vec![
        Span::styled(format!(" {}", head.title), bold()),
        Span::raw(" "),
        Span::styled(format!("[{word}]"), style),
    ];
    if state.paused {
        spans.push(Span::styled(" [PAUSED]", look.warn()));
    }
    if state.connection == Connection::Ended {
        spans.push(Span::styled(" [DONE]", look.good()));
    }
    if let Some(address) = &head.address {
        spans.push(Span::raw(format!("  {address}")));
    }
    let uptime = duration(u64::try_from(head.uptime_s).unwrap_or_default());
    spans.push(Span::raw(format!("  up {uptime}")));
    if head.replay.is_some() {
        spans.push(Span::raw(format!("  {}", log_words(head))));
    }
    Line::from(spans)
}

fn log_words(head: &Head) -> String {
    format!(
        "log {} entries, {} syncs",
        grouped(head.log_entries as f64),
        grouped(head.log_syncs as f64)
    )
}

fn second_line(head: &Head, state: &LiveState, look: Look) -> Line<'static> {
    if let Some(trouble) = trouble(state, look) {
        return trouble;
    }
    if let Some(reason) = head.reasons.first() {
        let style = if reason.serves {
            look.warn()
        } else {
            look.bad()
        };
        return Line::from(Span::styled(
            format!(" {}: {}", reason.code, reason.message),
            style,
        ));
    }
    match &head.replay {
        Some(replay) => replay_line(replay, look),
        None => Line::from(format!(
            " {} UTC  {}  version {}",
            moment(DomainTime(head.at), "%Y-%m-%d %H:%M:%S"),
            log_words(head),
            head.version
        )),
    }
}

fn trouble(state: &LiveState, look: Look) -> Option<Line<'static>> {
    let Connection::Lost { age_s, reason } = &state.connection else {
        return None;
    };
    let text = format!(
        " NO ANSWER for {}, asking again: {reason}",
        duration(*age_s)
    );
    Some(Line::from(Span::styled(text, look.bad())))
}

fn replay_line(replay: &ReplayHead, look: Look) -> Line<'static> {
    let steps = replay.steps.max(1);
    let filled = replay.step.min(steps) * u64::from(BAR) / steps;
    let filled = usize::try_from(filled).unwrap_or_default();
    let bar = "#".repeat(filled);
    let rest = "-".repeat(usize::from(BAR).saturating_sub(filled));
    let percent = replay.step.min(steps) * 100 / steps;
    let left = replay
        .left_s
        .map(|left| format!("  {} left", duration(left)));
    Line::from(vec![
        Span::raw(" ["),
        Span::styled(bar, look.forecast()),
        Span::styled(rest, Look::dim()),
        Span::raw(format!(
            "] {percent} %  {} of {} steps  {} a second{}",
            grouped(replay.step as f64),
            grouped(replay.steps as f64),
            duration(whole(replay.speed)),
            left.unwrap_or_default()
        )),
    ])
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "clamped to the range first"
)]
fn whole(value: f64) -> u64 {
    value.clamp(0.0, 1e15) as u64
}
