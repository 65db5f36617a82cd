//! What the next schema stores: golden bytes, both layouts, bounds.

use std::fmt::Write as _;
use twinscale_protocol::envelope;
use twinscale_protocol::{CustomerId, DomainTime};
use twinscale_twin::limits::{NOTE_AUTHOR_BYTES_MAX, NOTE_BYTES_MAX, NOTES_MAX};
use twinscale_twin::state::PartKey;
use twinscale_twin::stored::v1::{self, COMMAND};
use twinscale_twin::stored::v3::{META, Meta, NOTES, Note, NotesRecord};
use twinscale_twin::{ApplyResult, TwinCommand, TwinState};

const GOLDEN: &str = include_str!("../src/stored/golden/v3.txt");

fn empty() -> TwinState {
    TwinState::new(CustomerId::new("acme").expect("an id"))
}

fn note(number: i64) -> Note {
    Note {
        at: DomainTime(number),
        author: "ada".to_owned(),
        text: format!("note {number}"),
    }
}

fn annotate(state: &mut TwinState, note: Note) -> ApplyResult {
    state.apply(TwinCommand::Annotate(note))
}

#[test]
fn stored_bytes_stay_as_they_are() {
    let note = Note {
        at: DomainTime(1_700_006_400),
        author: "ada".to_owned(),
        text: "moves to another region in May".to_owned(),
    };
    let kept = vec![note.clone()];
    let meta = Meta {
        notes_taken: 7,
        head: v1::Meta::default(),
    };
    let command = TwinCommand::Annotate(note);
    assert_eq!(command.schema(), 3);
    let sealed = [
        ("annotate", envelope::seal(COMMAND, &command)),
        ("notes", envelope::seal(NOTES, &NotesRecord { kept })),
        ("meta", envelope::seal(META, &meta)),
    ];
    let mut written = String::new();
    for (name, bytes) in sealed {
        written.push_str(name);
        written.push(' ');
        for byte in bytes.expect("small") {
            write!(written, "{byte:02x}").expect("a string takes it");
        }
        written.push('\n');
    }
    assert_eq!(written, GOLDEN, "written now:\n{written}");
}

#[test]
fn notes_are_kept_in_order_once_and_bounded() {
    let mut state = empty();
    for number in 0..100 {
        for _ in 0..2 {
            let notes_taken = u64::try_from(number + 1).expect("small");
            let taken = annotate(&mut state, note(number));
            assert_eq!(taken, ApplyResult::Annotated { notes_taken });
        }
    }
    assert_eq!(state.notes().len(), NOTES_MAX);
    assert_eq!(state.notes().first(), Some(&note(36)));
    assert_eq!(state.notes().last(), Some(&note(99)));
    let text = |text: String| Note { text, ..note(1) };
    let author = "x".repeat(NOTE_AUTHOR_BYTES_MAX + 1);
    for wrong in [
        text(String::new()),
        text("x".repeat(NOTE_BYTES_MAX + 1)),
        Note { author, ..note(1) },
    ] {
        let refused = annotate(&mut state, wrong);
        assert!(matches!(refused, ApplyResult::Refused(_)), "{refused:?}");
    }
    assert_eq!(state.notes_taken(), 100);
}

#[test]
fn the_layout_follows_from_the_first_note_and_both_are_read() {
    let mut state = empty();
    state.set_quarantine("to have something in the head");
    state.apply(TwinCommand::LiftQuarantine);
    for (has_note, head) in [(false, v1::META), (true, META)] {
        if has_note {
            annotate(&mut state, note(1));
        }
        let parts = state.encode_all().expect("small");
        let kind = |wanted| {
            let part = parts.iter().find(|(part, _)| *part == wanted);
            part.map(|(_, bytes)| envelope::peek_kind(bytes).expect("sealed"))
        };
        assert_eq!(kind(PartKey::Meta), Some(head));
        assert_eq!(kind(PartKey::Notes), has_note.then_some(NOTES));
        let restored = TwinState::restore(state.customer().clone(), parts.clone());
        let restored = restored.expect("both layouts are read");
        assert_eq!(restored.encode_all().expect("small"), parts);
        assert_eq!(restored.notes(), state.notes());
        assert_eq!(restored.notes_taken(), state.notes_taken());
    }
}
