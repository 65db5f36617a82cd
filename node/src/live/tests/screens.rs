//! Screens, as text files that a person can read; a changed screen is written beside the old one.

use super::example::{daemon, empty, read_only, replay, state_of};
use crate::live::draw::draw;
use crate::live::state::{LiveState, Mode, Pane, QuitMeaning};
use crate::live::update::LiveEvent;
use ratatui::Terminal;
use ratatui::backend::TestBackend;
use ratatui::buffer::Buffer;
use ratatui::style::{Color, Modifier};
use std::fmt::Write as _;
use std::path::Path;

fn drawn(state: &LiveState, width: u16, height: u16) -> Buffer {
    let mut terminal = Terminal::new(TestBackend::new(width, height)).expect("a terminal");
    terminal.draw(|frame| draw(frame, state)).expect("it draws");
    terminal.backend().buffer().clone()
}

fn text(buffer: &Buffer) -> String {
    let mut text = String::new();
    for y in 0..buffer.area.height {
        let cells = (0..buffer.area.width).filter_map(|x| buffer.cell((x, y)));
        let line: String = cells.map(ratatui::buffer::Cell::symbol).collect();
        writeln!(text, "{}", line.trim_end()).expect("text grows");
    }
    text
}

/// Screens that are compared with their files; all are looked at before the test fails.
#[derive(Default)]
struct Screens {
    changed: Vec<String>,
}

impl Screens {
    fn look(&mut self, name: &str, state: &LiveState, (width, height): (u16, u16)) {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/live/snapshots");
        let path = folder.join(format!("{name}-{width}x{height}.txt"));
        let kept = std::fs::read_to_string(&path).unwrap_or_default();
        let found = text(&drawn(state, width, height));
        let beside = path.with_extension("new");
        if kept == found {
            drop(std::fs::remove_file(beside));
        } else {
            std::fs::write(&beside, &found).expect("the folder takes a file");
            self.changed.push(format!("{}:\n{found}", beside.display()));
        }
    }
}

impl Drop for Screens {
    fn drop(&mut self) {
        assert!(
            std::thread::panicking() || self.changed.is_empty(),
            "screens changed; look at them, then move each .new to .txt:\n{}",
            self.changed.join("\n")
        );
    }
}

const SMALL: (u16, u16) = (80, 24);

const LARGE: (u16, u16) = (140, 40);

#[test]
fn a_daemon_is_drawn_on_small_and_large_terminals() {
    let mut screens = Screens::default();
    screens.look("top", &state_of(daemon(), 24), SMALL);
    screens.look("top", &state_of(daemon(), 40), LARGE);
}

#[test]
fn a_replay_is_drawn_on_small_and_large_terminals() {
    let mut screens = Screens::default();
    screens.look("demo", &state_of(replay(), 24), SMALL);
    screens.look("demo", &state_of(replay(), 40), LARGE);
}

#[test]
fn help_lists_the_keys() {
    let mut screens = Screens::default();
    let mut state = state_of(replay(), 24);
    state.mode = Mode::Help;
    state.quit = QuitMeaning::View;
    screens.look("help", &state, SMALL);
    screens.look("help", &state, LARGE);
}

#[test]
fn a_pane_takes_the_whole_screen() {
    let mut screens = Screens::default();
    let mut state = state_of(daemon(), 24);
    state.zoomed = true;
    state.pane = Pane::Chart;
    screens.look("chart", &state, SMALL);
}

#[test]
fn no_customers_no_answer_and_a_full_disk_are_said() {
    let mut screens = Screens::default();
    screens.look("empty", &state_of(empty(), 24), SMALL);
    screens.look("read-only", &state_of(read_only(), 24), SMALL);
    let lost = || LiveEvent::Lost {
        age_s: 75,
        reason: "no answer from http://127.0.0.1:7878".to_owned(),
    };
    let mut state = state_of(daemon(), 24);
    state.update(lost());
    state.paused = true;
    screens.look("lost", &state, SMALL);
    let mut state = LiveState::default();
    screens.look("waiting", &state, SMALL);
    state.update(lost());
    screens.look("never", &state, SMALL);
}

#[test]
fn a_filter_is_shown_while_it_is_written() {
    let mut screens = Screens::default();
    let mut state = state_of(daemon(), 24);
    state.mode = Mode::Filter;
    state.filter = "zz".to_owned();
    screens.look("filter", &state, SMALL);
}

#[test]
fn a_terminal_that_is_too_small_is_told_so() {
    let mut screens = Screens::default();
    let state = state_of(daemon(), 24);
    screens.look("narrow", &state, (60, 20));
    for (width, height) in [(79, 24), (80, 23), (1, 1), (200, 3)] {
        let found = text(&drawn(&state, width, height));
        assert!(!found.contains("Twins"), "{width}x{height}: {found}");
    }
}

/// Draws at every size without a panic.
#[test]
fn every_size_can_be_drawn() {
    for snapshot in [daemon(), replay(), empty(), read_only()] {
        let mut state = state_of(snapshot, 24);
        for pane in [Pane::Twins, Pane::Chart, Pane::Node] {
            state.pane = pane;
            state.zoomed = !state.zoomed;
            for (width, height) in [(1, 1), (80, 24), (81, 25), (109, 24), (110, 60), (400, 100)] {
                drawn(&state, width, height);
            }
        }
    }
}

#[test]
fn without_colours_the_signs_are_the_same() {
    let coloured = state_of(daemon(), 24);
    let mut plain = coloured.clone();
    plain.colours = false;
    let (coloured, plain) = (drawn(&coloured, 80, 24), drawn(&plain, 80, 24));
    assert_eq!(text(&coloured), text(&plain));
    let has_colour = |buffer: &Buffer| buffer.content.iter().any(|cell| cell.fg != Color::Reset);
    assert!(has_colour(&coloured));
    assert!(!has_colour(&plain));
    let has_back = |buffer: &Buffer| buffer.content.iter().any(|cell| cell.bg != Color::Reset);
    assert!(
        !has_back(&coloured),
        "the terminal keeps its own background"
    );
    let chosen = plain
        .content
        .iter()
        .filter(|cell| cell.modifier.contains(Modifier::REVERSED));
    assert_eq!(chosen.count(), 78, "one row is chosen, within the frame");
}
