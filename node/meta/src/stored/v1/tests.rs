//! Stored bytes of version 1 must stay as they are: each sample is written and read as it was once.

use super::samples::{START, commands, full_record, operator};
use super::*;
use crate::state::{Applied, Outcome, Refusal};
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::collections::BTreeMap;
use std::fmt::Write;
use twinscale_protocol::NodeNumber;
use twinscale_protocol::envelope;

const GOLDEN: &str = include_str!("../golden/v1.txt");

/// Checks that a sample is written and read as it was once.
struct Golden {
    known: BTreeMap<&'static str, &'static str>,
    wrong: String,
}

impl Golden {
    fn check<T>(&mut self, name: &'static str, kind: EnvelopeKind, value: &T)
    where
        T: Serialize + DeserializeOwned + PartialEq + std::fmt::Debug,
    {
        let bytes = envelope::seal(kind, value).expect("encodes");
        let mut hex = String::new();
        for byte in &bytes {
            write!(hex, "{byte:02x}").expect("a string takes all");
        }
        if self.known.remove(name) != Some(hex.as_str()) {
            writeln!(self.wrong, "{name} {hex}").expect("a string takes all");
        }
        assert_eq!(&envelope::open::<T>(kind, &bytes).expect("decodes"), value);
    }
}

#[test]
fn version_1_bytes_stay_as_they_are() {
    let mut golden = Golden {
        known: GOLDEN
            .lines()
            .filter_map(|line| line.split_once(' '))
            .collect(),
        wrong: String::new(),
    };
    for (name, command) in commands() {
        golden.check(name, COMMAND, &operator(command));
    }
    let command = MetaCommand::RaiseSchema { to: 2 };
    for (name, by) in [
        ("by_node", By::Node(NodeNumber(3))),
        ("by_planner", By::Planner),
    ] {
        let entry = MetaEntry {
            schema: SCHEMA,
            by,
            at: START,
            command: command.clone(),
        };
        golden.check(name, COMMAND, &entry);
    }
    let outcomes = [
        (
            "outcome_joined",
            Outcome::Applied(Applied::Joined(NodeNumber(3))),
        ),
        ("outcome_move", Outcome::Applied(Applied::MoveStarted(9))),
        ("outcome_same", Outcome::Unchanged(Applied::Done)),
        ("outcome_refused", Outcome::Refused(Refusal::TooManyMoves)),
    ];
    for (name, outcome) in outcomes {
        golden.check(name, OUTCOME, &outcome);
    }
    golden.check("empty_snapshot", SNAPSHOT, &MetaRecord::default());
    golden.check("snapshot", SNAPSHOT, &full_record());
    assert!(
        golden.wrong.is_empty() && golden.known.is_empty(),
        "stored bytes changed; a changed type needs a new version. Written now:\n{}Not written: {:?}",
        golden.wrong,
        golden.known.keys()
    );
}
