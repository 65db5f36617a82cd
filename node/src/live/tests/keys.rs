//! Keys and news change the state, and ask for what they should.

use super::example::{daemon, empty, state_of};
use crate::live::keys::{HELP, order};
use crate::live::state::{Connection, LiveState, Mode, Pane, Sort};
use crate::live::update::{Effect, LiveEvent};
use ratatui::crossterm::event::{KeyCode, KeyEvent, KeyModifiers};

fn key(code: KeyCode) -> LiveEvent {
    LiveEvent::Key(KeyEvent::new(code, KeyModifiers::NONE))
}

fn press(state: &mut LiveState, keys: &str) -> Effect {
    keys.chars().fold(Effect::Nothing, |_, letter| {
        state.update(key(KeyCode::Char(letter)))
    })
}

fn interrupt() -> LiveEvent {
    LiveEvent::Key(KeyEvent::new(KeyCode::Char('c'), KeyModifiers::CONTROL))
}

fn chosen(state: &LiveState) -> &str {
    state.chosen.as_deref().unwrap_or_default()
}

#[test]
fn a_twin_is_chosen_by_steps_pages_and_ends() {
    let mut state = state_of(daemon(), 16);
    assert_eq!((chosen(&state), state.page_rows), ("acme", 3));
    assert_eq!(press(&mut state, "j"), Effect::Choose("beta".to_owned()));
    assert_eq!(
        press(&mut state, "kk"),
        Effect::Nothing,
        "acme is the first"
    );
    assert_eq!(chosen(&state), "acme");
    state.update(key(KeyCode::PageDown));
    assert_eq!(chosen(&state), "delta");
    state.update(key(KeyCode::PageDown));
    assert_eq!(chosen(&state), "foxtrot-with-a-long-name");
    state.update(key(KeyCode::PageUp));
    assert_eq!(chosen(&state), "coyote");
    press(&mut state, "G");
    assert_eq!(chosen(&state), "foxtrot-with-a-long-name");
    state.update(key(KeyCode::Home));
    assert_eq!(chosen(&state), "acme");
    state.update(key(KeyCode::Down));
    state.update(key(KeyCode::Up));
    assert_eq!(chosen(&state), "acme");
}

#[test]
fn the_chosen_twin_stays_chosen_under_another_order() {
    let mut state = state_of(daemon(), 24);
    press(&mut state, "j");
    let mut firsts = Vec::new();
    for sort in [Sort::Cost, Sort::Rate, Sort::Vms, Sort::Trouble, Sort::Name] {
        press(&mut state, "s");
        assert_eq!((state.sort, chosen(&state)), (sort, "beta"));
        firsts.push(state.visible()[0].customer.clone());
    }
    assert_eq!(firsts, ["acme", "acme", "acme", "coyote", "acme"]);
    assert_eq!(state.visible()[1].customer, "beta");
}

#[test]
fn panes_go_round_and_the_chart_takes_tiers() {
    let mut state = state_of(daemon(), 24);
    state.update(key(KeyCode::Tab));
    assert_eq!(state.pane, Pane::Chart);
    press(&mut state, "jj");
    assert_eq!((state.tier, chosen(&state)), (2, "acme"));
    press(&mut state, "k");
    assert_eq!(state.tier, 1);
    state.update(key(KeyCode::Right));
    assert_eq!(state.pane, Pane::Node);
    state.update(key(KeyCode::Tab));
    assert_eq!(state.pane, Pane::Twins);
    state.update(key(KeyCode::Left));
    assert_eq!(state.pane, Pane::Node);
    press(&mut state, "t");
    assert_eq!(state.tier, 2);
}

#[test]
fn a_filter_is_written_kept_and_cleared() {
    let mut state = state_of(daemon(), 24);
    press(&mut state, "/");
    assert_eq!(state.mode, Mode::Filter);
    assert_eq!(press(&mut state, "O"), Effect::Choose("coyote".to_owned()));
    assert_eq!(state.visible().len(), 3, "coyote, echo, foxtrot");
    assert_eq!(
        press(&mut state, "q"),
        Effect::Nothing,
        "q is a letter here"
    );
    assert!(state.visible().is_empty());
    state.update(key(KeyCode::Backspace));
    state.update(key(KeyCode::Enter));
    assert_eq!((state.mode, state.filter.as_str()), (Mode::Watch, "O"));
    assert_eq!(state.update(key(KeyCode::Esc)), Effect::Nothing);
    assert_eq!(state.visible().len(), 6, "the first Esc clears the filter");
    assert_eq!(state.update(key(KeyCode::Esc)), Effect::Quit);
    press(&mut state, "/x");
    assert_eq!(state.update(interrupt()), Effect::Interrupt);
    state.update(key(KeyCode::Esc));
    assert_eq!((state.mode, state.filter.as_str()), (Mode::Watch, ""));
}

#[test]
fn help_and_zoom_close_before_the_view() {
    let mut state = state_of(daemon(), 24);
    press(&mut state, "?");
    assert_eq!(state.mode, Mode::Help);
    assert_eq!(press(&mut state, "q"), Effect::Nothing);
    assert_eq!(state.mode, Mode::Watch);
    state.update(key(KeyCode::Enter));
    assert!(state.zoomed);
    assert_eq!(state.update(key(KeyCode::Esc)), Effect::Nothing);
    assert!(!state.zoomed);
    assert_eq!(press(&mut state, "q"), Effect::Quit);
    press(&mut state, "?");
    assert_eq!(state.update(interrupt()), Effect::Interrupt);
}

#[test]
fn a_paused_view_keeps_what_it_shows() {
    let mut state = state_of(daemon(), 24);
    press(&mut state, "p");
    state.update(LiveEvent::Snapshot(Box::new(empty())));
    assert_eq!(state.visible().len(), 6);
    press(&mut state, "p");
    state.update(LiveEvent::Snapshot(Box::new(empty())));
    assert!(state.visible().is_empty());
}

#[test]
fn a_lost_connection_is_told_and_ends_with_the_next_answer() {
    let mut state = state_of(daemon(), 24);
    let lost = LiveEvent::Lost {
        age_s: 12,
        reason: "no answer".to_owned(),
    };
    assert_eq!(state.update(lost), Effect::Nothing);
    assert!(matches!(
        state.connection,
        Connection::Lost { age_s: 12, .. }
    ));
    assert_eq!(state.visible().len(), 6, "what was known stays");
    state.update(LiveEvent::Snapshot(Box::new(daemon())));
    assert_eq!(state.connection, Connection::Answers);
}

#[test]
fn keys_without_a_meaning_do_nothing() {
    let mut state = state_of(empty(), 24);
    let before = state.clone();
    for code in [
        KeyCode::Char('x'),
        KeyCode::F(9),
        KeyCode::Delete,
        KeyCode::Down,
    ] {
        assert_eq!(state.update(key(code)), Effect::Nothing);
    }
    assert_eq!(state, before);
}

/// Every key that the page of help names has a meaning.
#[test]
fn help_names_only_keys_that_work() {
    for (keys, _) in HELP {
        for name in keys.split(' ') {
            let (code, modifiers) = match name {
                "Ctrl-C" => (KeyCode::Char('c'), KeyModifiers::CONTROL),
                "Shift-Tab" => (KeyCode::BackTab, KeyModifiers::SHIFT),
                "Up" => (KeyCode::Up, KeyModifiers::NONE),
                "Down" => (KeyCode::Down, KeyModifiers::NONE),
                "Left" => (KeyCode::Left, KeyModifiers::NONE),
                "Right" => (KeyCode::Right, KeyModifiers::NONE),
                "PageUp" => (KeyCode::PageUp, KeyModifiers::NONE),
                "PageDown" => (KeyCode::PageDown, KeyModifiers::NONE),
                "Home" => (KeyCode::Home, KeyModifiers::NONE),
                "End" => (KeyCode::End, KeyModifiers::NONE),
                "Tab" => (KeyCode::Tab, KeyModifiers::NONE),
                "Enter" => (KeyCode::Enter, KeyModifiers::NONE),
                "Space" => (KeyCode::Char(' '), KeyModifiers::NONE),
                "Esc" => (KeyCode::Esc, KeyModifiers::NONE),
                "F1" => (KeyCode::F(1), KeyModifiers::NONE),
                letter => {
                    let mut letters = letter.chars();
                    let one = letters.next().expect("a name");
                    assert_eq!(
                        letters.next(),
                        None,
                        "`{letter}` is no key that is known here"
                    );
                    (KeyCode::Char(one), KeyModifiers::NONE)
                }
            };
            assert!(order(&KeyEvent::new(code, modifiers)).is_some(), "{name}");
        }
    }
}
