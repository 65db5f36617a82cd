//! A worker as a child process, and the acknowledgements that arrive from it.

use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStderr, ChildStdout, Command, Stdio};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use twinscale_log::{MonotonicClock, SystemMonotonicClock};

use crate::error::ChaosError;
use crate::worker::READY;
use crate::workload::WorkloadKind;

/// How long a worker may stay silent before the scenario gives up.
const SILENCE_MAX: Duration = Duration::from_mins(1);

/// How many bytes of a worker's last words are kept.
const LAST_WORDS_BYTES_MAX: u64 = 4_096;

/// How a worker is started.
#[derive(Clone, Debug)]
pub(crate) struct WorkerCommand {
    pub(crate) program: PathBuf,
    pub(crate) kind: WorkloadKind,
    pub(crate) seed: u64,
}

enum News {
    Ready,
    Acknowledged(u64),
}

/// A running worker; it is killed when this is dropped.
pub(crate) struct WorkerProcess {
    child: Child,
    news: Receiver<News>,
    reader: Option<JoinHandle<()>>,
    last_words: Option<JoinHandle<String>>,
    /// Everything acknowledged so far, in the order of arrival.
    pub(crate) acknowledged: Vec<u64>,
    is_ready: bool,
}

impl WorkerProcess {
    pub(crate) fn start(
        command: &WorkerCommand,
        directory: &Path,
        first_sequence: u64,
    ) -> Result<Self, ChaosError> {
        let start_error = |error| ChaosError::io("start worker", &command.program, error);
        let mut child = Command::new(&command.program)
            .arg("ingest-worker")
            .arg("--directory")
            .arg(directory)
            .args(["--workload", command.kind.name()])
            .args(["--seed", &command.seed.to_string()])
            .args(["--first-sequence", &first_sequence.to_string()])
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .map_err(start_error)?;
        let (sender, news) = mpsc::channel();
        let reader = child
            .stdout
            .take()
            .map(|pipe| thread::spawn(move || read_news(pipe, &sender)));
        let last_words = child
            .stderr
            .take()
            .map(|pipe| thread::spawn(move || read_last_words(pipe)));
        Ok(Self {
            child,
            news,
            reader,
            last_words,
            acknowledged: Vec::new(),
            is_ready: false,
        })
    }

    /// Waits until so many sequences are acknowledged; `false` when the worker ended before.
    pub(crate) fn wait_for(&mut self, count: usize) -> bool {
        while self.acknowledged.len() < count || !self.is_ready {
            match self.news.recv_timeout(SILENCE_MAX) {
                Ok(news) => self.note(news),
                Err(_) => return false,
            }
        }
        true
    }

    /// Lets the worker go on for a while and takes what arrives.
    pub(crate) fn linger(&mut self, duration: Duration) {
        let clock = SystemMonotonicClock::start();
        loop {
            let left = duration.saturating_sub(clock.elapsed());
            match self.news.recv_timeout(left) {
                Ok(news) => self.note(news),
                Err(RecvTimeoutError::Timeout | RecvTimeoutError::Disconnected) => return,
            }
        }
    }

    /// Kills the worker with SIGKILL and returns everything that it had acknowledged.
    pub(crate) fn kill(mut self) -> (Vec<u64>, String) {
        self.end();
        let last_words = self
            .last_words
            .take()
            .and_then(|thread| thread.join().ok())
            .unwrap_or_default();
        (std::mem::take(&mut self.acknowledged), last_words)
    }

    fn note(&mut self, news: News) {
        match news {
            News::Ready => self.is_ready = true,
            News::Acknowledged(sequence) => self.acknowledged.push(sequence),
        }
    }

    fn end(&mut self) {
        // Both fail only when the worker has ended already.
        drop(self.child.kill());
        drop(self.child.wait());
        if let Some(reader) = self.reader.take() {
            drop(reader.join());
        }
        while let Ok(news) = self.news.try_recv() {
            self.note(news);
        }
    }
}

impl Drop for WorkerProcess {
    fn drop(&mut self) {
        self.end();
    }
}

fn read_news(mut pipe: ChildStdout, sender: &mpsc::Sender<News>) {
    let mut ready = [0];
    if pipe.read_exact(&mut ready).is_err() || ready != [READY] {
        return;
    }
    let mut sent = sender.send(News::Ready);
    let mut bytes = [0; 8];
    // A torn number at the end is no acknowledgement.
    while sent.is_ok() && pipe.read_exact(&mut bytes).is_ok() {
        sent = sender.send(News::Acknowledged(u64::from_le_bytes(bytes)));
    }
}

fn read_last_words(pipe: ChildStderr) -> String {
    let mut text = Vec::new();
    // A child that is killed has said what it has said.
    drop(pipe.take(LAST_WORDS_BYTES_MAX).read_to_end(&mut text));
    String::from_utf8_lossy(&text).trim().to_owned()
}
