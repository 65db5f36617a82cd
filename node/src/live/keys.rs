//! The keys: one list for what they do and for the page of help.

use ratatui::crossterm::event::{KeyCode, KeyEvent, KeyModifiers};

/// What a key asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Order {
    /// The twin above, or the tier before.
    Up,
    /// The twin below, or the tier behind.
    Down,
    /// A page of twins up.
    PageUp,
    /// A page of twins down.
    PageDown,
    /// The first twin.
    First,
    /// The last twin.
    Last,
    /// The pane behind.
    NextPane,
    /// The pane before.
    PreviousPane,
    /// One pane on the whole screen, and back.
    Zoom,
    /// The tier behind, of every twin.
    Tier,
    /// Another order of the twins.
    Sort,
    /// Write a filter.
    Filter,
    /// Hold the view still, and go on.
    Pause,
    /// List the keys.
    Help,
    /// Close what is open, or else quit.
    Back,
    /// Quit.
    Quit,
    /// End the command.
    Interrupt,
}

/// The keys as the page of help lists them.
pub const HELP: [(&str, &str); 13] = [
    ("Up Down k j", "choose a twin; in the chart, a tier"),
    ("PageUp PageDown", "a page of twins"),
    ("Home End g G", "the first or the last twin"),
    ("Tab Right l", "the next pane"),
    ("Shift-Tab Left h", "the pane before"),
    ("Enter z", "this pane on the whole screen, and back"),
    ("t", "the next tier of every twin"),
    ("s", "sort: name, cost, $/h, VMs, trouble"),
    ("/", "filter by name; Enter keeps it, Esc clears it"),
    ("p Space", "hold the view still, and go on"),
    ("? F1", "this page"),
    ("q Esc", "quit"),
    ("Ctrl-C", "end the command"),
];

/// What a key asks for while no text is written.
#[must_use]
pub fn order(key: &KeyEvent) -> Option<Order> {
    if key.modifiers.contains(KeyModifiers::CONTROL) {
        return matches!(key.code, KeyCode::Char('c')).then_some(Order::Interrupt);
    }
    let order = match key.code {
        KeyCode::Up | KeyCode::Char('k') => Order::Up,
        KeyCode::Down | KeyCode::Char('j') => Order::Down,
        KeyCode::PageUp => Order::PageUp,
        KeyCode::PageDown => Order::PageDown,
        KeyCode::Home | KeyCode::Char('g') => Order::First,
        KeyCode::End | KeyCode::Char('G') => Order::Last,
        KeyCode::Tab | KeyCode::Right | KeyCode::Char('l') => Order::NextPane,
        KeyCode::BackTab | KeyCode::Left | KeyCode::Char('h') => Order::PreviousPane,
        KeyCode::Enter | KeyCode::Char('z') => Order::Zoom,
        KeyCode::Char('t') => Order::Tier,
        KeyCode::Char('s') => Order::Sort,
        KeyCode::Char('/') => Order::Filter,
        KeyCode::Char('p' | ' ') => Order::Pause,
        KeyCode::Char('?') | KeyCode::F(1) => Order::Help,
        KeyCode::Esc => Order::Back,
        KeyCode::Char('q') => Order::Quit,
        _ => return None,
    };
    Some(order)
}
