//! Colours: of the palette of Okabe and Ito, which colour-blind readers can tell apart.
//!
//! Each meaning has a word or a sign of its own as well, so that all of it can be read without colours.

use crate::live::state::LiveState;
use ratatui::style::{Color, Modifier, Style};
use ratatui::widgets::{Block, BorderType};

/// Which colours may be used.
#[derive(Clone, Copy, Debug)]
pub(super) struct Look {
    colours: bool,
}

impl Look {
    pub(super) fn of(state: &LiveState) -> Self {
        Self {
            colours: state.colours,
        }
    }

    fn colour(self, colour: u8) -> Style {
        if self.colours {
            Style::new().fg(Color::Indexed(colour))
        } else {
            Style::new()
        }
    }

    /// What is as it should be: bluish green.
    pub(super) fn good(self) -> Style {
        self.colour(36)
    }

    /// What deserves a look: orange.
    pub(super) fn warn(self) -> Style {
        self.colour(214).add_modifier(Modifier::BOLD)
    }

    /// What is wrong: vermilion.
    pub(super) fn bad(self) -> Style {
        self.colour(166).add_modifier(Modifier::BOLD)
    }

    /// Demand that was observed: the text's own colour.
    pub(super) fn demand() -> Style {
        Style::new().fg(Color::Reset).add_modifier(Modifier::BOLD)
    }

    /// The range of a forecast: sky blue.
    pub(super) fn forecast(self) -> Style {
        self.colour(74)
    }

    /// What serves: bluish green.
    pub(super) fn supply(self) -> Style {
        self.colour(36)
    }

    /// What is less important.
    pub(super) fn dim() -> Style {
        Style::new().add_modifier(Modifier::DIM)
    }

    /// What is chosen.
    pub(super) fn chosen() -> Style {
        Style::new().add_modifier(Modifier::REVERSED)
    }

    /// The frame of a pane; the one that keys go to has thick lines.
    pub(super) fn frame(self, title: String, has_keys: bool) -> Block<'static> {
        let block = Block::bordered().title(title);
        if has_keys {
            block
                .border_type(BorderType::Thick)
                .title_style(self.colour(74).add_modifier(Modifier::BOLD))
        } else {
            block.border_style(Self::dim())
        }
    }
}
