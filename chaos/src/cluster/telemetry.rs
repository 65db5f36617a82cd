//! Is what was acknowledged there, once and unaltered, and nothing else?
//!
//! A sample whose outcome is unknown may be there or not; one that was refused, or that nobody sent, must not.
//! Whatever is there is there once. A sample that was sent again counts as acknowledged when any of its
//! sendings was, and as refused when all of them were.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::history::{History, Operation, Outcome, Sample};

/// How many broken samples of each kind a verdict names.
const NAMED_MAX: usize = 20;

/// What is there at the end, as the cluster tells it: each sample as often as it is there.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Stored {
    /// The samples of each series, by the key of the history.
    pub series: BTreeMap<String, Vec<Sample>>,
}

/// What the comparison found. Violations are counted, and the first of each kind named.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct TelemetryVerdict {
    /// Samples that were acknowledged.
    pub acknowledged: u64,
    /// Samples of unknown outcome that are there.
    pub unknown_stored: u64,
    /// Samples of unknown outcome that are not.
    pub unknown_missing: u64,
    /// Acknowledged samples that are not there.
    pub lost: Broken,
    /// Samples that are there more than once.
    pub doubled: Broken,
    /// Samples that are there with another value than any that was sent.
    pub altered: Broken,
    /// Samples that were refused and are there.
    pub refused_stored: Broken,
    /// Samples that are there and were never sent.
    pub foreign: Broken,
}

/// Samples that break a rule.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Broken {
    /// How many.
    pub count: u64,
    /// The first ones, as `series/sequence`.
    pub first: Vec<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Fate {
    Refused,
    Unknown,
    Acknowledged,
}

#[derive(Debug)]
struct Sent {
    /// The best that was told of any sending.
    fate: Fate,
    values: Vec<i64>,
}

/// Compares what clients were told with what is there.
pub fn check_telemetry(history: &History, stored: &Stored) -> TelemetryVerdict {
    let sent = sent(history);
    let mut verdict = TelemetryVerdict::default();
    let mut copies: BTreeMap<(&str, u64), u64> = BTreeMap::new();
    for (series, samples) in &stored.series {
        for sample in samples {
            let place = (series.as_str(), sample.sequence);
            *copies.entry(place).or_default() += 1;
            let Some(found) = sent.get(&place) else {
                verdict.foreign.note(place);
                continue;
            };
            if !found.values.contains(&sample.value) {
                verdict.altered.note(place);
            }
        }
    }
    for (place, count) in &copies {
        if *count > 1 {
            verdict.doubled.note(*place);
        }
    }
    for (place, found) in &sent {
        let is_stored = copies.contains_key(place);
        match (found.fate, is_stored) {
            (Fate::Acknowledged, is_stored) => {
                verdict.acknowledged += 1;
                if !is_stored {
                    verdict.lost.note(*place);
                }
            }
            (Fate::Unknown, true) => verdict.unknown_stored += 1,
            (Fate::Unknown, false) => verdict.unknown_missing += 1,
            (Fate::Refused, true) => verdict.refused_stored.note(*place),
            (Fate::Refused, false) => {}
        }
    }
    verdict
}

fn sent(history: &History) -> BTreeMap<(&str, u64), Sent> {
    let mut sent: BTreeMap<(&str, u64), Sent> = BTreeMap::new();
    for one in history.operations() {
        let Operation::Samples { samples } = &one.operation else {
            continue;
        };
        let fate = match one.outcome {
            Outcome::Ok { .. } => Fate::Acknowledged,
            Outcome::Unknown => Fate::Unknown,
            Outcome::Fail => Fate::Refused,
        };
        for sample in samples {
            let place = (one.key.as_str(), sample.sequence);
            let entry = sent.entry(place).or_insert_with(|| Sent {
                fate,
                values: Vec::new(),
            });
            entry.fate = entry.fate.max(fate);
            if !entry.values.contains(&sample.value) {
                entry.values.push(sample.value);
            }
        }
    }
    sent
}

impl Broken {
    fn note(&mut self, (series, sequence): (&str, u64)) {
        self.count += 1;
        if self.first.len() < NAMED_MAX {
            self.first.push(format!("{series}/{sequence}"));
        }
    }
}

impl TelemetryVerdict {
    /// Whether nothing was lost, doubled, altered or made up.
    pub const fn passed(&self) -> bool {
        self.lost.count == 0
            && self.doubled.count == 0
            && self.altered.count == 0
            && self.refused_stored.count == 0
            && self.foreign.count == 0
    }
}

#[cfg(test)]
mod tests {
    use super::super::history::{Answer, Event, EventKind, History, Operation, Sample};
    use super::{Stored, TelemetryVerdict, check_telemetry};

    /// How each of the sequences 1, 2, 3 of the series `acme` was answered.
    fn history(answers: [EventKind; 3]) -> History {
        let mut events = Vec::new();
        for (sequence, what) in (1..).zip(answers) {
            let op = Operation::Samples {
                samples: vec![sample(sequence)],
            };
            let invoke = EventKind::Invoke {
                key: "acme".to_owned(),
                node: None,
                op,
            };
            for (at_us, what) in [(sequence * 10, invoke), (sequence * 10 + 5, what)] {
                events.push(Event {
                    at_us,
                    process: 0,
                    what,
                });
            }
        }
        History::of_events(events).expect("a history")
    }

    fn mixed() -> History {
        let reason = || "reason".to_owned();
        history([
            EventKind::Ok {
                answer: Answer::Done,
            },
            EventKind::Unknown { reason: reason() },
            EventKind::Fail { reason: reason() },
        ])
    }

    fn sample(sequence: u64) -> Sample {
        Sample {
            sequence,
            value: 100,
        }
    }

    fn found(sequences: &[u64]) -> TelemetryVerdict {
        let samples = sequences.iter().map(|sequence| sample(*sequence)).collect();
        let stored = Stored {
            series: [("acme".to_owned(), samples)].into(),
        };
        check_telemetry(&mixed(), &stored)
    }

    #[test]
    fn unknown_samples_may_be_there_or_not() {
        let with = found(&[1, 2]);
        assert!(with.passed(), "{with:?}");
        assert_eq!((with.acknowledged, with.unknown_stored), (1, 1));
        let without = found(&[1]);
        assert!(without.passed(), "{without:?}");
        assert_eq!(without.unknown_missing, 1);
    }

    #[test]
    fn loss_doubling_and_what_was_never_sent_are_caught() {
        for (sequences, of) in [
            (&[2][..], "lost"),
            (&[1, 2, 2], "doubled"),
            (&[1, 1], "doubled"),
            (&[1, 3], "refused"),
            (&[1, 4], "foreign"),
        ] {
            let verdict = found(sequences);
            let TelemetryVerdict {
                lost,
                doubled,
                refused_stored,
                foreign,
                ..
            } = &verdict;
            let counts = [
                ("lost", lost),
                ("doubled", doubled),
                ("refused", refused_stored),
                ("foreign", foreign),
            ];
            for (name, broken) in counts {
                assert_eq!(broken.count, u64::from(name == of), "{of}: {verdict:?}");
            }
            assert!(!verdict.passed());
        }
    }

    #[test]
    fn a_value_that_changed_is_caught() {
        let mut stored = Stored::default();
        let changed = Sample {
            sequence: 1,
            value: 101,
        };
        stored.series.insert("acme".to_owned(), vec![changed]);
        let verdict = check_telemetry(&mixed(), &stored);
        assert_eq!(verdict.altered.first, ["acme/1"]);
        assert!(!verdict.passed());
    }

    #[test]
    fn a_sample_that_was_sent_again_is_acknowledged_by_either() {
        let again = |first, second| {
            let mut history = history([
                first,
                second,
                EventKind::Fail {
                    reason: String::new(),
                },
            ]);
            for one in &mut history.operations {
                one.operation = Operation::Samples {
                    samples: vec![sample(1)],
                };
            }
            check_telemetry(&history, &Stored::default())
        };
        let done = || EventKind::Ok {
            answer: Answer::Done,
        };
        let unknown = || EventKind::Unknown {
            reason: String::new(),
        };
        assert_eq!(again(done(), unknown()).lost.first, ["acme/1"]);
        assert_eq!(again(unknown(), done()).lost.count, 1);
        let verdict = again(unknown(), unknown());
        assert!(
            verdict.passed() && verdict.unknown_missing == 1,
            "{verdict:?}"
        );
    }
}
