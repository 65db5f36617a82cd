//! What clients asked, what they were told, and when.
//!
//! One line of JSON for each event: an operation is invoked, and later it is `ok`, `fail` (it had and will
//! have no effect) or `unknown` (it may take effect at any later time, or never). An operation whose end is
//! missing is unknown. Invariants of a history: a process has one operation at a time, and its events do not
//! go back in time; times are microseconds of one clock, which is the runner's.

use std::collections::BTreeMap;
use std::io::{self, BufRead, Write};

use serde::{Deserialize, Serialize};

/// Longest line that is read, in bytes.
const LINE_BYTES_MAX: u64 = 1 << 20;

/// An event, as it stands on a line.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Event {
    /// When, in microseconds since the run began.
    pub at_us: u64,
    /// Which client.
    pub process: u32,
    /// What happened.
    #[serde(flatten)]
    pub what: EventKind,
}

/// What happened.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "kebab-case")]
pub enum EventKind {
    /// The client asks.
    Invoke {
        /// Of what: a twin, or a series of it.
        key: String,
        /// Which node it asked first.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        node: Option<u32>,
        /// For what.
        op: Operation,
    },
    /// It was done.
    Ok {
        /// What was answered.
        answer: Answer,
    },
    /// It was refused, and has no effect.
    Fail {
        /// Why, in the words of the refusal.
        reason: String,
    },
    /// Nobody knows: a time-out, a connection that broke.
    Unknown {
        /// Why.
        reason: String,
    },
}

/// What a client asks for. Values are the runner's; a register without one holds nothing.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(tag = "do", rename_all = "kebab-case")]
pub enum Operation {
    /// Read a register.
    Read,
    /// Write a register, whatever it holds.
    Write {
        /// What it is to hold.
        value: u64,
    },
    /// Write a register if it holds what is expected.
    CompareAndSet {
        /// What it must hold; nothing = no value yet.
        expected: Option<u64>,
        /// What it is to hold.
        value: u64,
    },
    /// Send samples of a series.
    Samples {
        /// What is sent.
        samples: Vec<Sample>,
    },
}

/// A sample of a series.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Sample {
    /// Its place in the series: a number or a time.
    pub sequence: u64,
    /// Its value.
    pub value: i64,
}

/// What a client was told.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "was", rename_all = "kebab-case")]
pub enum Answer {
    /// The register holds this.
    Read {
        /// Its value, or nothing.
        value: Option<u64>,
    },
    /// It was written, or the samples are stored.
    Done,
    /// A compare-and-set found something else, and wrote nothing.
    Conflict,
    /// A compare-and-set found this, and wrote nothing.
    Found {
        /// What the register holds.
        value: Option<u64>,
    },
}

/// An operation with its end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Operated {
    /// Which client.
    pub process: u32,
    /// When it was asked for.
    pub invoked_us: u64,
    /// Of what.
    pub key: String,
    /// For what.
    pub operation: Operation,
    /// How it ended.
    pub outcome: Outcome,
    /// The line of its invocation, from 1.
    pub line: u64,
}

/// How an operation ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Done.
    Ok {
        /// When the answer was there.
        at_us: u64,
        /// The answer.
        answer: Answer,
    },
    /// Without any effect.
    Fail,
    /// Nobody knows.
    Unknown,
}

/// All operations of a run in the order of their invocations.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct History {
    pub(super) operations: Vec<Operated>,
}

/// Why a history cannot be read or written.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum HistoryError {
    /// The file failed.
    #[error("line {line} cannot be read or written")]
    Io {
        /// Which line, from 1.
        line: u64,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// A line is no event.
    #[error("line {line} is no event")]
    Line {
        /// Which line, from 1.
        line: u64,
        /// What is wrong with it.
        #[source]
        source: serde_json::Error,
    },
    /// A file beside the history is not what it should be.
    #[error("it does not hold what it should")]
    Json(#[source] serde_json::Error),
    /// The events contradict each other.
    #[error("line {line}: process {process} {what}")]
    Order {
        /// Which line, from 1.
        line: u64,
        /// Whose event.
        process: u32,
        /// What cannot be.
        what: &'static str,
    },
}

/// Writes events as lines; each is handed to the system before the call returns.
#[derive(Debug)]
pub struct HistoryWriter<W> {
    out: W,
    lines: u64,
}

impl<W: Write> HistoryWriter<W> {
    /// Begins a history.
    pub const fn new(out: W) -> Self {
        Self { out, lines: 0 }
    }

    /// Writes an event.
    ///
    /// # Errors
    /// [`HistoryError::Io`] and [`HistoryError::Line`] with the line.
    pub fn write(&mut self, event: &Event) -> Result<(), HistoryError> {
        self.lines += 1;
        let line = self.lines;
        let mut text =
            serde_json::to_vec(event).map_err(|source| HistoryError::Line { line, source })?;
        text.push(b'\n');
        self.out
            .write_all(&text)
            .and_then(|()| self.out.flush())
            .map_err(|source| HistoryError::Io { line, source })
    }
}

impl History {
    /// Reads a history; a last line without its end, of a runner that was killed, is left out.
    ///
    /// # Errors
    /// [`HistoryError`] with the line.
    pub fn read(mut from: impl BufRead) -> Result<Self, HistoryError> {
        let mut pairing = Pairing::default();
        for line in 1.. {
            let mut text = Vec::new();
            let mut limited = io::Read::take(&mut from, LINE_BYTES_MAX);
            limited
                .read_until(b'\n', &mut text)
                .map_err(|source| HistoryError::Io { line, source })?;
            if text.last() != Some(&b'\n') {
                if u64::try_from(text.len()).is_ok_and(|length| length < LINE_BYTES_MAX) {
                    break;
                }
                let source = io::Error::new(io::ErrorKind::InvalidData, "the line is too long");
                return Err(HistoryError::Io { line, source });
            }
            let event = serde_json::from_slice(&text)
                .map_err(|source| HistoryError::Line { line, source })?;
            pairing.take(line, event)?;
        }
        Ok(Self {
            operations: pairing.operations,
        })
    }

    /// Pairs events, each counted as a line.
    ///
    /// # Errors
    /// [`HistoryError::Order`] for events that contradict each other.
    pub fn of_events(events: impl IntoIterator<Item = Event>) -> Result<Self, HistoryError> {
        let mut pairing = Pairing::default();
        for (line, event) in (1..).zip(events) {
            pairing.take(line, event)?;
        }
        Ok(Self {
            operations: pairing.operations,
        })
    }

    /// The operations in the order of their invocations.
    pub fn operations(&self) -> &[Operated] {
        &self.operations
    }

    /// The operations of each key.
    pub fn by_key(&self) -> BTreeMap<&str, Vec<&Operated>> {
        let mut keys: BTreeMap<&str, Vec<&Operated>> = BTreeMap::new();
        for one in &self.operations {
            keys.entry(&one.key).or_default().push(one);
        }
        keys
    }
}

#[derive(Debug, Default)]
struct Pairing {
    operations: Vec<Operated>,
    /// Place of the operation that a process has open.
    open: BTreeMap<u32, usize>,
    last_us: BTreeMap<u32, u64>,
}

impl Pairing {
    fn take(&mut self, line: u64, event: Event) -> Result<(), HistoryError> {
        let Event {
            at_us,
            process,
            what,
        } = event;
        let wrong = |what| HistoryError::Order {
            line,
            process,
            what,
        };
        let last = self.last_us.insert(process, at_us);
        if last.is_some_and(|last| last > at_us) {
            return Err(wrong("goes back in time"));
        }
        let open = self.open.remove(&process);
        let outcome = match what {
            EventKind::Invoke { key, op, .. } => {
                if open.is_some() {
                    return Err(wrong("asks before its last operation has ended"));
                }
                self.open.insert(process, self.operations.len());
                self.operations.push(Operated {
                    process,
                    invoked_us: at_us,
                    key,
                    operation: op,
                    outcome: Outcome::Unknown,
                    line,
                });
                return Ok(());
            }
            EventKind::Ok { answer } => Outcome::Ok { at_us, answer },
            EventKind::Fail { .. } => Outcome::Fail,
            EventKind::Unknown { .. } => Outcome::Unknown,
        };
        let Some(operated) = open.and_then(|place| self.operations.get_mut(place)) else {
            return Err(wrong("ends an operation that it has not begun"));
        };
        if let Outcome::Ok { answer, .. } = &outcome
            && !operated.operation.takes(answer)
        {
            return Err(wrong("has an answer that does not fit what it asked"));
        }
        operated.outcome = outcome;
        Ok(())
    }
}

impl Operation {
    fn takes(&self, answer: &Answer) -> bool {
        match self {
            Self::Read => matches!(answer, Answer::Read { .. }),
            Self::Write { .. } | Self::Samples { .. } => *answer == Answer::Done,
            Self::CompareAndSet { .. } => !matches!(answer, Answer::Read { .. }),
        }
    }
}

#[cfg(test)]
mod tests;
