use super::{
    Answer, Event, EventKind, History, HistoryError, HistoryWriter, Operation, Outcome, Sample,
};

fn event(at_us: u64, process: u32, what: EventKind) -> Event {
    Event {
        at_us,
        process,
        what,
    }
}

fn invoke(at_us: u64, process: u32, op: Operation) -> Event {
    let key = "acme".to_owned();
    event(
        at_us,
        process,
        EventKind::Invoke {
            key,
            node: Some(2),
            op,
        },
    )
}

fn ended(at_us: u64, process: u32, answer: Answer) -> Event {
    event(at_us, process, EventKind::Ok { answer })
}

fn example() -> Vec<Event> {
    let compare = Operation::CompareAndSet {
        expected: None,
        value: 7,
    };
    let samples = Operation::Samples {
        samples: vec![Sample {
            sequence: 1,
            value: -3,
        }],
    };
    vec![
        invoke(1, 0, Operation::Write { value: 5 }),
        invoke(2, 1, compare),
        ended(3, 0, Answer::Done),
        event(
            4,
            1,
            EventKind::Unknown {
                reason: "timed out".to_owned(),
            },
        ),
        invoke(5, 1, samples),
        event(
            6,
            1,
            EventKind::Fail {
                reason: "overloaded".to_owned(),
            },
        ),
        invoke(7, 0, Operation::Read),
        ended(8, 0, Answer::Read { value: Some(5) }),
        invoke(9, 0, Operation::Read),
    ]
}

fn written(events: &[Event]) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut writer = HistoryWriter::new(&mut bytes);
    for event in events {
        writer.write(event).expect("memory takes it");
    }
    bytes
}

#[test]
fn what_is_written_is_read_again() {
    let bytes = written(&example());
    let history = History::read(bytes.as_slice()).expect("a history");
    assert_eq!(
        history,
        History::of_events(example()).expect("the same history")
    );
    let outcomes: Vec<_> = history
        .operations()
        .iter()
        .map(|one| one.outcome.clone())
        .collect();
    assert_eq!(
        outcomes,
        [
            Outcome::Ok {
                at_us: 3,
                answer: Answer::Done
            },
            Outcome::Unknown,
            Outcome::Fail,
            Outcome::Ok {
                at_us: 8,
                answer: Answer::Read { value: Some(5) }
            },
            // Never ended: the runner was killed.
            Outcome::Unknown,
        ]
    );
}

#[test]
fn the_form_of_a_line_stays() {
    let bytes = written(&example());
    let text = String::from_utf8(bytes).expect("text");
    let lines: Vec<&str> = text.lines().collect();
    assert_eq!(
        lines[1],
        r#"{"at_us":2,"process":1,"event":"invoke","key":"acme","node":2,"op":{"do":"compare-and-set","expected":null,"value":7}}"#
    );
    assert_eq!(
        lines[7],
        r#"{"at_us":8,"process":0,"event":"ok","answer":{"was":"read","value":5}}"#
    );
}

#[test]
fn a_torn_last_line_is_left_out_and_a_broken_one_is_named() {
    let mut bytes = written(&example());
    bytes.truncate(bytes.len() - 3);
    let history = History::read(bytes.as_slice()).expect("a history");
    assert_eq!(history.operations().len(), 4);
    let broken = b"{\"at_us\":1}\n";
    let error = History::read(broken.as_slice()).expect_err("no event");
    assert!(
        matches!(error, HistoryError::Line { line: 1, .. }),
        "{error}"
    );
}

#[test]
fn a_line_without_an_end_is_not_read_into_memory() {
    let long = vec![b'x'; 3 << 20];
    let error = History::read(long.as_slice()).expect_err("too long");
    assert!(matches!(error, HistoryError::Io { line: 1, .. }), "{error}");
}

#[test]
fn events_that_contradict_each_other_are_refused() {
    let twice = [invoke(1, 0, Operation::Read), invoke(2, 0, Operation::Read)];
    let unasked = [ended(1, 0, Answer::Done)];
    let back = [
        invoke(2, 0, Operation::Write { value: 1 }),
        ended(1, 0, Answer::Done),
    ];
    let other = [invoke(1, 0, Operation::Read), ended(2, 0, Answer::Done)];
    for (events, word) in [
        (&twice[..], "before its last operation"),
        (&unasked, "not begun"),
        (&back, "back in time"),
        (&other, "does not fit"),
    ] {
        let error = History::of_events(events.iter().cloned()).expect_err(word);
        assert!(error.to_string().contains(word), "{error}");
    }
}
