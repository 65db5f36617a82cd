//! Progress on standard error: a line on a terminal, nothing elsewhere.

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use std::time::Duration;

/// How often the line is drawn again while nothing is reported.
const REDRAW: Duration = Duration::from_millis(200);

/// A progress line with the time that is left.
#[derive(Debug)]
pub struct Progress {
    bar: ProgressBar,
}

impl Progress {
    /// Starts a line for `total` units; `quiet` hides it, and so does anything but a terminal.
    #[must_use]
    pub fn start(label: &str, total: u64, quiet: bool) -> Self {
        let target = if quiet {
            ProgressDrawTarget::hidden()
        } else {
            ProgressDrawTarget::stderr()
        };
        let bar = ProgressBar::with_draw_target(Some(total), target);
        let template = "{prefix:>12} [{bar:32}] {percent:>3}% {msg} {eta} left";
        if let Ok(style) = ProgressStyle::with_template(template) {
            bar.set_style(style.progress_chars("=> "));
        }
        bar.set_prefix(label.to_owned());
        bar.enable_steady_tick(REDRAW);
        Self { bar }
    }

    /// Says how far it is.
    pub fn at(&self, done: u64) {
        self.bar.set_position(done);
    }

    /// Says how far it is out of a total that was not known before.
    pub fn of(&self, done: u64, total: u64) {
        self.bar.set_length(total);
        self.bar.set_position(done);
    }

    /// Says what happens at the moment.
    pub fn note(&self, text: impl Into<String>) {
        self.bar.set_message(text.into());
    }

    /// Shows the line from now on, where it was hidden.
    pub fn show(&self) {
        self.bar.set_draw_target(ProgressDrawTarget::stderr());
    }

    /// Prints a line above the progress.
    pub fn line(&self, text: &str) {
        if !self.bar.is_hidden() {
            self.bar.suspend(|| crate::console::say(text));
        }
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        self.bar.finish_and_clear();
    }
}
