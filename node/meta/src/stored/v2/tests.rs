//! Stored bytes of schema 2 must stay as they are.

use super::samples::{commands, entry, full, refusals};
use crate::state::{MetaState, Outcome};
use crate::stored::v1::{COMMAND, OUTCOME};
use std::fmt::Write as _;
use twinscale_protocol::envelope;

const GOLDEN: &str = include_str!("../golden/v2.txt");

#[test]
fn bytes_of_schema_2_stay_as_they_are() {
    let mut written = String::new();
    let mut note = |name: &str, bytes: &[u8]| {
        let hex = bytes.iter().map(|byte| format!("{byte:02x}"));
        writeln!(written, "{name} {}", hex.collect::<String>()).expect("a string takes all");
    };
    for (name, command) in commands() {
        let sealed = envelope::seal(COMMAND, &entry(command.clone())).expect("encodes");
        assert_eq!(
            envelope::open::<crate::MetaEntry>(COMMAND, &sealed).expect("decodes"),
            entry(command)
        );
        note(name, &sealed);
    }
    for (number, refusal) in refusals().into_iter().enumerate() {
        let outcome = Outcome::Refused(refusal);
        let sealed = envelope::seal(OUTCOME, &outcome).expect("encodes");
        note(&format!("refusal_{number}"), &sealed);
    }
    let state = full();
    let sealed = state.encode().expect("fits");
    assert_eq!(
        envelope::peek_kind(&sealed).expect("a kind"),
        super::SNAPSHOT
    );
    assert_eq!(MetaState::decode(&sealed).expect("sound"), state);
    note("snapshot", &sealed);
    assert!(
        written == GOLDEN,
        "stored bytes changed; a changed type needs a new kind. Written now:\n{written}"
    );
}
