//! Owns the terminal: draws on a thread of its own, reads keys, and leaves the terminal as it was.
//!
//! While it is open, lines for standard error are held back and written behind it, a panic's words among
//! them. Invariant: the terminal is restored by a guard on the drawing thread, so also when that panics.

use super::draw::draw;
use super::snapshot::{Audience, LiveSnapshot};
use super::state::{LiveState, QuitMeaning};
use super::update::{Effect, LiveEvent};
use crate::console::{self, HeldLines};
use crate::error::ExpectedError;
use ratatui::Terminal;
use ratatui::backend::CrosstermBackend;
use ratatui::crossterm::cursor::{Hide, Show};
use ratatui::crossterm::event::{Event, KeyEventKind, poll, read};
use ratatui::crossterm::execute;
use ratatui::crossterm::style::Colored;
use ratatui::crossterm::terminal::{
    EnterAlternateScreen, LeaveAlternateScreen, disable_raw_mode, enable_raw_mode,
};
use std::io::{IsTerminal as _, Stdout};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;
use tokio::sync::watch;

/// Time between two looks at keys and snapshots: twelve frames a second at the most.
const FRAME: Duration = Duration::from_millis(80);

/// How the view is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Viewing {
    /// It is on the terminal.
    Open,
    /// Its reader closed it.
    Quit,
    /// Its reader ended the command.
    Interrupted,
    /// The terminal failed.
    Failed(String),
}

/// A live view on the terminal of this process; dropping it restores the terminal.
#[derive(Debug)]
pub struct LiveView {
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

/// Where snapshots go.
#[derive(Clone, Debug)]
pub struct Feed(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    /// The newest of each kind of news that was not taken yet.
    news: Mutex<News>,
    viewing: watch::Sender<Viewing>,
    chosen: watch::Sender<Option<String>>,
}

#[derive(Debug, Default)]
struct News {
    newest: Option<LiveEvent>,
    is_over: bool,
}

/// Whether this process has a terminal that a view fits on.
#[must_use]
pub fn has_terminal() -> bool {
    std::io::stdin().is_terminal()
        && std::io::stdout().is_terminal()
        && std::io::stderr().is_terminal()
}

impl LiveView {
    /// Opens a view.
    ///
    /// # Errors
    /// When the terminal cannot be used.
    pub fn open(quit: QuitMeaning) -> Result<Self, ExpectedError> {
        let shared = Arc::new(Shared {
            news: Mutex::default(),
            viewing: watch::Sender::new(Viewing::Open),
            chosen: watch::Sender::new(None),
        });
        let screen = Screen::enter().map_err(|error| unusable(&error))?;
        let state = LiveState {
            colours: !Colored::ansi_color_disabled(),
            quit,
            ..LiveState::default()
        };
        let seen = Arc::clone(&shared);
        let thread = std::thread::Builder::new()
            .name("live-view".to_owned())
            .spawn(move || watch_terminal(&seen, screen, state))
            .map_err(|error| unusable(&error))?;
        Ok(Self {
            shared,
            thread: Some(thread),
        })
    }

    /// Where snapshots go.
    #[must_use]
    pub fn feed(&self) -> Feed {
        Feed(Arc::clone(&self.shared))
    }

    /// How the view is, as a channel to wait on.
    #[must_use]
    pub fn viewing(&self) -> watch::Receiver<Viewing> {
        self.shared.viewing.subscribe()
    }

    /// The customer that is looked at, as a channel to wait on.
    #[must_use]
    pub fn chosen(&self) -> watch::Receiver<Option<String>> {
        self.shared.chosen.subscribe()
    }

    /// Closes the view and restores the terminal.
    pub fn close(mut self) {
        self.end();
    }

    fn end(&mut self) {
        self.shared.news().is_over = true;
        if let Some(thread) = self.thread.take() {
            // A panic there was told already: its words were held back and are written by its guard.
            drop(thread.join());
        }
    }
}

impl Drop for LiveView {
    fn drop(&mut self) {
        self.end();
    }
}

impl Audience for Feed {
    fn is_watching(&self) -> bool {
        *self.0.viewing.borrow() == Viewing::Open
    }

    fn chosen(&self) -> Option<String> {
        self.0.chosen.borrow().clone()
    }

    fn show(&self, snapshot: LiveSnapshot) {
        self.0.news().newest = Some(LiveEvent::Snapshot(Box::new(snapshot)));
    }
}

impl Feed {
    /// Says that the source does not answer.
    pub fn lost(&self, age_s: u64, reason: String) {
        self.0.news().newest = Some(LiveEvent::Lost { age_s, reason });
    }
}

impl Shared {
    fn news(&self) -> std::sync::MutexGuard<'_, News> {
        self.news.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn unusable(error: &std::io::Error) -> ExpectedError {
    ExpectedError::Environment {
        context: format!("the terminal cannot show the live view: {error}"),
        hint: "run the command with --no-view, or `twinscale top` with --once".to_owned(),
        source: None,
    }
}

/// The terminal while the view has it; fields are dropped in this order.
struct Screen {
    terminal: Terminal<CrosstermBackend<Stdout>>,
    _restore: Restore,
    _held: HeldLines,
}

impl Screen {
    fn enter() -> std::io::Result<Self> {
        let held = console::hold();
        enable_raw_mode()?;
        let restore = Restore;
        execute!(std::io::stdout(), EnterAlternateScreen, Hide)?;
        let terminal = Terminal::new(CrosstermBackend::new(std::io::stdout()))?;
        Ok(Self {
            terminal,
            _restore: restore,
            _held: held,
        })
    }

    fn draw(&mut self, state: &LiveState) -> std::io::Result<()> {
        self.terminal.draw(|frame| draw(frame, state))?;
        Ok(())
    }
}

/// Gives the terminal back as it was.
struct Restore;

impl Drop for Restore {
    fn drop(&mut self) {
        // A terminal that is gone needs nothing.
        drop(execute!(std::io::stdout(), LeaveAlternateScreen, Show));
        drop(disable_raw_mode());
    }
}

/// Says how the view ended, also when its thread panics.
struct Ending<'a> {
    shared: &'a Shared,
    viewing: Viewing,
}

impl Drop for Ending<'_> {
    fn drop(&mut self) {
        self.shared.viewing.send_replace(self.viewing.clone());
    }
}

fn watch_terminal(shared: &Shared, mut screen: Screen, state: LiveState) {
    let mut ending = Ending {
        shared,
        viewing: Viewing::Failed("it panicked".to_owned()),
    };
    let ended = view(shared, &mut screen, state);
    // Before anybody is told, so that what they write comes behind the view.
    drop(screen);
    ending.viewing = ended.unwrap_or_else(|error| Viewing::Failed(error.to_string()));
}

/// Draws and reads keys until the reader or the source has enough.
fn view(shared: &Shared, screen: &mut Screen, mut state: LiveState) -> std::io::Result<Viewing> {
    let height = screen.terminal.size()?.height;
    state.update(LiveEvent::Resized { height });
    screen.draw(&state)?;
    loop {
        let (newest, is_over) = {
            let mut news = shared.news();
            (news.newest.take(), news.is_over)
        };
        if is_over {
            return Ok(Viewing::Quit);
        }
        let mut events: Vec<LiveEvent> = newest.into_iter().collect();
        if poll(FRAME)? {
            events.extend(read_event()?);
        }
        while poll(Duration::ZERO)? {
            events.extend(read_event()?);
        }
        let has_changed = !events.is_empty();
        for event in events {
            match state.update(event) {
                Effect::Nothing => {}
                Effect::Choose(customer) => {
                    shared.chosen.send_replace(Some(customer));
                }
                Effect::Quit => return Ok(Viewing::Quit),
                Effect::Interrupt => return Ok(Viewing::Interrupted),
            }
        }
        if has_changed {
            screen.draw(&state)?;
        }
    }
}

fn read_event() -> std::io::Result<Option<LiveEvent>> {
    Ok(match read()? {
        Event::Key(key) if key.kind != KeyEventKind::Release => Some(LiveEvent::Key(key)),
        Event::Resize(_, height) => Some(LiveEvent::Resized { height }),
        _ => None,
    })
}
