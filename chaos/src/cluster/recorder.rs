//! How clients write a history together.
//!
//! An operation is on its line before its request can be sent, and its end after its answer has come: what is
//! between the two times holds the effect. Whoever gives an operation up, by an error, a panic or a cancelled
//! future, has left its outcome unknown, and so it is written.

use std::fmt;
use std::io::Write;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::faults::RunClock;
use super::history::{Answer, Event, EventKind, HistoryError, HistoryWriter, Operation};

/// Takes the events of all clients; clones share it.
#[derive(Clone)]
pub struct Recorder {
    shared: Arc<Mutex<Shared>>,
}

struct Shared {
    writer: HistoryWriter<Box<dyn Write + Send>>,
    clock: RunClock,
    /// The first thing that went wrong: a history with a gap proves nothing.
    failed: Option<HistoryError>,
}

/// An operation that was asked for and has not ended; dropping it ends it as unknown.
#[derive(Debug)]
#[must_use = "dropping it writes that its outcome is unknown"]
pub struct Pending {
    recorder: Recorder,
    process: u32,
    has_ended: bool,
}

impl Recorder {
    /// Begins a history.
    pub fn new(out: Box<dyn Write + Send>, clock: RunClock) -> Self {
        let shared = Shared {
            writer: HistoryWriter::new(out),
            clock,
            failed: None,
        };
        Self {
            shared: Arc::new(Mutex::new(shared)),
        }
    }

    /// Notes what a client asks for, before it asks. A client has one operation at a time.
    ///
    /// # Errors
    /// [`HistoryError`] when it could not be written; then the request must not be sent.
    pub fn invoke(
        &self,
        process: u32,
        key: &str,
        (node, op): (Option<u32>, Operation),
    ) -> Result<Pending, HistoryError> {
        let key = key.to_owned();
        self.shared()
            .write(process, EventKind::Invoke { key, node, op })?;
        Ok(Pending {
            recorder: self.clone(),
            process,
            has_ended: false,
        })
    }

    /// Says whether every event so far was written.
    ///
    /// # Errors
    /// The first [`HistoryError`], once.
    pub fn check(&self) -> Result<(), HistoryError> {
        self.shared().failed.take().map_or(Ok(()), Err)
    }

    fn shared(&self) -> MutexGuard<'_, Shared> {
        // A panic of another client leaves at worst a line without an end, which readers refuse.
        self.shared.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Shared {
    fn write(&mut self, process: u32, what: EventKind) -> Result<(), HistoryError> {
        let event = Event {
            at_us: (self.clock)(),
            process,
            what,
        };
        self.writer.write(&event)
    }
}

impl Pending {
    /// It was done, with this answer.
    pub fn ok(self, answer: Answer) {
        self.end(EventKind::Ok { answer });
    }

    /// It was refused, and has and will have no effect.
    pub fn fail(self, reason: impl Into<String>) {
        let reason = reason.into();
        self.end(EventKind::Fail { reason });
    }

    /// Nobody knows.
    pub fn unknown(self, reason: impl Into<String>) {
        let reason = reason.into();
        self.end(EventKind::Unknown { reason });
    }

    fn end(mut self, what: EventKind) {
        self.note(what);
    }

    fn note(&mut self, what: EventKind) {
        self.has_ended = true;
        let mut shared = self.recorder.shared();
        if let Err(error) = shared.write(self.process, what) {
            shared.failed.get_or_insert(error);
        }
    }
}

impl Drop for Pending {
    fn drop(&mut self) {
        if !self.has_ended {
            let reason = "the client gave it up".to_owned();
            self.note(EventKind::Unknown { reason });
        }
    }
}

impl fmt::Debug for Recorder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Recorder").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::super::history::{Answer, History, HistoryError, Operation, Outcome};
    use super::Recorder;
    use std::fs::File;
    use std::io::{self, BufReader, Write};
    use std::sync::atomic::{AtomicU64, Ordering};

    fn recorder(out: Box<dyn Write + Send>) -> Recorder {
        let now = AtomicU64::new(0);
        Recorder::new(out, Box::new(move || now.fetch_add(1, Ordering::Relaxed)))
    }

    #[test]
    fn clients_write_one_history_and_what_is_given_up_is_unknown() {
        let file = tempfile::NamedTempFile::new().expect("a file");
        let recorder = recorder(Box::new(file.reopen().expect("a file")));
        let invoke = |process| {
            let asked = (Some(1), Operation::Read);
            recorder.invoke(process, "acme", asked).expect("room")
        };
        let client = |process| {
            (0..50).for_each(|_| invoke(process).ok(Answer::Read { value: None }));
            invoke(process).fail("no leader");
            invoke(process).unknown("timed out");
            drop(invoke(process));
        };
        std::thread::scope(|scope| {
            for process in 0..4 {
                scope.spawn(move || client(process));
            }
        });
        recorder.check().expect("all was written");
        let file = File::open(file.path()).expect("a file");
        let history = History::read(BufReader::new(file)).expect("a history");
        let count = |wanted: fn(&Outcome) -> bool| {
            let outcomes = history.operations().iter().map(|one| &one.outcome);
            outcomes.filter(|outcome| wanted(outcome)).count()
        };
        assert_eq!(count(|outcome| matches!(outcome, Outcome::Ok { .. })), 200);
        assert_eq!(count(|outcome| *outcome == Outcome::Fail), 4);
        assert_eq!(count(|outcome| *outcome == Outcome::Unknown), 8);
    }

    /// Takes one line, and then nothing.
    struct OneLine(bool);

    impl Write for OneLine {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            if self.0 {
                return Err(io::ErrorKind::StorageFull.into());
            }
            self.0 = true;
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn an_end_that_could_not_be_written_is_told() {
        let recorder = recorder(Box::new(OneLine(false)));
        let asked = (None, Operation::Read);
        let pending = recorder.invoke(0, "acme", asked.clone()).expect("room");
        pending.ok(Answer::Read { value: None });
        assert!(matches!(
            recorder.check(),
            Err(HistoryError::Io { line: 2, .. })
        ));
        recorder.check().expect("told once");
        recorder.invoke(0, "acme", asked).expect_err("no room");
    }
}
