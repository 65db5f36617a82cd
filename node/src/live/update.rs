//! How the live view changes: by keys, by snapshots, by what happens to their source. Pure.

use super::keys::{Order, order};
use super::snapshot::LiveSnapshot;
use super::state::{Connection, LiveState, Mode, Pane};
use ratatui::crossterm::event::{KeyCode, KeyEvent, KeyModifiers};

/// Longest filter, in characters: as long as a customer's name may be.
const FILTER_MAX: usize = 128;

/// What happens to the view.
#[derive(Clone, Debug, PartialEq)]
pub enum LiveEvent {
    /// A key.
    Key(KeyEvent),
    /// The terminal has another size.
    Resized {
        /// Its height, in rows.
        height: u16,
    },
    /// There is something newer to show.
    Snapshot(Box<LiveSnapshot>),
    /// The source does not answer.
    Lost {
        /// Seconds since its last answer.
        age_s: u64,
        /// Why.
        reason: String,
    },
    /// The source has ended.
    Ended,
}

/// What the view asks of who holds it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Effect {
    /// Nothing.
    Nothing,
    /// Steps of another twin.
    Choose(String),
    /// Close the view.
    Quit,
    /// End the command.
    Interrupt,
}

impl LiveState {
    /// Takes an event.
    pub fn update(&mut self, event: LiveEvent) -> Effect {
        match event {
            LiveEvent::Key(key) => self.on_key(&key),
            LiveEvent::Resized { height } => {
                self.page_rows = usize::from(height / 2).saturating_sub(5).max(1);
                Effect::Nothing
            }
            LiveEvent::Snapshot(snapshot) => {
                self.connection = Connection::Answers;
                if !self.paused || self.snapshot.is_none() {
                    self.snapshot = Some(*snapshot);
                }
                self.choose_shown()
            }
            LiveEvent::Lost { age_s, reason } => {
                self.connection = Connection::Lost { age_s, reason };
                Effect::Nothing
            }
            LiveEvent::Ended => {
                self.connection = Connection::Ended;
                Effect::Nothing
            }
        }
    }

    fn on_key(&mut self, key: &KeyEvent) -> Effect {
        let is_text = !key.modifiers.contains(KeyModifiers::CONTROL);
        if self.mode == Mode::Filter && is_text {
            return self.on_filter_key(key.code);
        }
        let Some(order) = order(key) else {
            return Effect::Nothing;
        };
        if self.mode == Mode::Help && order != Order::Interrupt {
            self.mode = Mode::Watch;
            return Effect::Nothing;
        }
        self.on_order(order)
    }

    fn on_order(&mut self, order: Order) -> Effect {
        match order {
            Order::Interrupt => return Effect::Interrupt,
            Order::Quit => return Effect::Quit,
            Order::Back => return self.back(),
            Order::Up if self.pane == Pane::Chart => self.tier = self.tier.saturating_sub(1),
            Order::Down if self.pane == Pane::Chart => self.tier = self.tier.saturating_add(1),
            Order::Up => return self.move_by(|at, _| at.saturating_sub(1)),
            Order::Down => return self.move_by(|at, _| at.saturating_add(1)),
            Order::PageUp => return self.move_by(usize::saturating_sub),
            Order::PageDown => return self.move_by(usize::saturating_add),
            Order::First => return self.move_by(|_, _| 0),
            Order::Last => return self.move_by(|_, _| usize::MAX),
            Order::NextPane => self.pane = self.pane.next(),
            Order::PreviousPane => self.pane = self.pane.previous(),
            Order::Zoom => self.zoomed = !self.zoomed,
            Order::Tier => self.tier = self.tier.saturating_add(1),
            Order::Sort => self.sort = self.sort.next(),
            Order::Filter => self.mode = Mode::Filter,
            Order::Pause => self.paused = !self.paused,
            Order::Help => self.mode = Mode::Help,
        }
        Effect::Nothing
    }

    /// Closes the innermost thing that is open.
    fn back(&mut self) -> Effect {
        if self.zoomed {
            self.zoomed = false;
        } else if self.filter.is_empty() {
            return Effect::Quit;
        } else {
            self.filter.clear();
        }
        Effect::Nothing
    }

    fn on_filter_key(&mut self, code: KeyCode) -> Effect {
        match code {
            KeyCode::Enter => self.mode = Mode::Watch,
            KeyCode::Esc => {
                self.mode = Mode::Watch;
                self.filter.clear();
            }
            KeyCode::Backspace => {
                self.filter.pop();
            }
            KeyCode::Char(letter) if self.filter.chars().count() < FILTER_MAX => {
                self.filter.push(letter);
            }
            _ => return Effect::Nothing,
        }
        self.choose_shown()
    }

    /// Chooses another of the visible twins, by its place and the rows of a page.
    fn move_by(&mut self, place: impl FnOnce(usize, usize) -> usize) -> Effect {
        let visible = self.visible();
        let Some(last) = visible.len().checked_sub(1) else {
            return Effect::Nothing;
        };
        let wanted = place(self.chosen_index(), self.page_rows.max(1)).min(last);
        let name = visible.get(wanted).map(|twin| twin.customer.clone());
        self.choose(name)
    }

    /// Chooses what is shown as chosen, where that is another than was chosen.
    fn choose_shown(&mut self) -> Effect {
        let name = self.chosen_twin().map(|twin| twin.customer.clone());
        self.choose(name)
    }

    fn choose(&mut self, name: Option<String>) -> Effect {
        match name {
            Some(name) if self.chosen.as_ref() != Some(&name) => {
                self.chosen = Some(name.clone());
                Effect::Choose(name)
            }
            _ => Effect::Nothing,
        }
    }
}
