//! How a node is: what its supervisors and compute threads report, and whether it must end.
//!
//! One [`Health`] per node is handed to everything that runs in it. It counts by kind of actor and by kind
//! of thread, never by customer, so that it stays small. Invariant: a failure that is entered stays; it
//! means that the node cannot do its work any more and should hand over and end. It ends nothing itself.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::sync::watch;

/// Threads that a node may lose to hung jobs before it must end: each keeps its core and its memory.
pub const ABANDONED_THREADS_MAX: u32 = 3;

/// Failures that are kept; the first ones tell what happened.
pub const FAILURES_MAX: usize = 16;

/// Why a node cannot do its work any more.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Failure {
    /// The supervisor of an actor that the whole node needs has given up.
    GivenUp {
        /// The actor.
        actor: String,
        /// Why it ended the last time.
        reason: String,
    },
    /// Too many compute threads hang.
    ThreadsExhausted {
        /// The kind of thread that was abandoned last.
        thread: &'static str,
        /// Threads abandoned so far.
        abandoned: u32,
        /// The bound.
        abandoned_max: u32,
    },
    /// Another part of the node, such as its log, cannot go on.
    Part {
        /// The part.
        part: &'static str,
        /// Why.
        reason: String,
    },
}

impl Failure {
    /// What a program can act on.
    pub fn code(&self) -> &'static str {
        match self {
            Self::GivenUp { .. } => "actor-given-up",
            Self::ThreadsExhausted { .. } => "threads-exhausted",
            Self::Part { .. } => "part-failed",
        }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::GivenUp { actor, reason } => {
                write!(
                    f,
                    "{actor} ended too often, the last time since: {reason}; restart the node"
                )
            }
            Self::ThreadsExhausted {
                thread,
                abandoned,
                abandoned_max,
            } => write!(
                f,
                "{abandoned} of at most {abandoned_max} compute threads hang, the last one of the \
                 {thread}; restart the node to free their cores"
            ),
            Self::Part { part, reason } => write!(f, "{part} cannot go on: {reason}"),
        }
    }
}

/// Whether a child that cannot be restarted takes the node with it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum FailureScope {
    /// Only what the child did is missing, such as one customer's twin.
    #[default]
    Child,
    /// The node cannot work without it.
    Node,
}

/// To whom a supervisor reports, and under which name.
#[derive(Clone, Debug)]
pub struct Oversight {
    /// The health of its node.
    pub health: Health,
    /// The kind of actor: one of few words, since counters are kept for each.
    pub kind: &'static str,
    /// What it means when it cannot be restarted.
    pub scope: FailureScope,
}

impl Default for Oversight {
    /// Reports to nobody in particular.
    fn default() -> Self {
        Self {
            health: Health::default(),
            kind: "actor",
            scope: FailureScope::Child,
        }
    }
}

/// The health of one node; clones share it.
#[derive(Clone, Debug)]
pub struct Health {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    abandoned: AtomicU32,
    abandoned_max: u32,
    failures: watch::Sender<Vec<Failure>>,
    actors: Mutex<BTreeMap<&'static str, Arc<ActorVitals>>>,
    threads: Mutex<BTreeMap<&'static str, Arc<ThreadVitals>>>,
}

impl Default for Health {
    fn default() -> Self {
        Self::with_abandoned_max(ABANDONED_THREADS_MAX)
    }
}

impl Health {
    /// Makes the health of a node that ends after so many abandoned threads.
    #[must_use]
    pub fn with_abandoned_max(abandoned_max: u32) -> Self {
        let shared = Shared {
            abandoned: AtomicU32::new(0),
            abandoned_max,
            failures: watch::Sender::new(Vec::new()),
            actors: Mutex::default(),
            threads: Mutex::default(),
        };
        Self {
            shared: Arc::new(shared),
        }
    }

    /// Enters a failure that ends the node.
    pub fn fail(&self, failure: Failure) {
        self.shared.failures.send_if_modified(|failures| {
            let is_new = !failures.contains(&failure) && failures.len() < FAILURES_MAX;
            if is_new {
                tracing::error!(%failure, "node cannot do its work any more");
                failures.push(failure);
            }
            is_new
        });
    }

    /// Reads the failures in the order in which they were entered; none on a sound node.
    pub fn failures(&self) -> Vec<Failure> {
        self.shared.failures.borrow().clone()
    }

    /// Waits until the node must end.
    pub async fn failed(&self) -> Failure {
        let mut failures = self.shared.failures.subscribe();
        // The sender lives as long as `self`, so the wait ends with a failure or not at all.
        let found = failures.wait_for(|failures| !failures.is_empty()).await;
        let first = found.ok().and_then(|failures| failures.first().cloned());
        match first {
            Some(failure) => failure,
            None => std::future::pending().await,
        }
    }

    /// Counts the threads that hang, out of the bound.
    pub fn abandoned_threads(&self) -> (u32, u32) {
        (
            self.shared.abandoned.load(Ordering::Acquire),
            self.shared.abandoned_max,
        )
    }

    /// What was counted, by kind of actor, ascending.
    pub fn actors(&self) -> Vec<(&'static str, ActorCounts)> {
        let actors = lock(&self.shared.actors);
        actors
            .iter()
            .map(|(kind, vitals)| (*kind, vitals.counts()))
            .collect()
    }

    /// What was counted, by kind of thread, ascending.
    pub fn threads(&self) -> Vec<(&'static str, ThreadCounts)> {
        let threads = lock(&self.shared.threads);
        threads
            .iter()
            .map(|(kind, vitals)| (*kind, vitals.counts()))
            .collect()
    }

    pub(crate) fn actor(&self, kind: &'static str) -> Arc<ActorVitals> {
        Arc::clone(lock(&self.shared.actors).entry(kind).or_default())
    }

    pub(crate) fn thread(&self, kind: &'static str) -> Arc<ThreadVitals> {
        Arc::clone(lock(&self.shared.threads).entry(kind).or_default())
    }

    /// Enters an abandoned thread, and the failure when it was one too many.
    pub(crate) fn abandon(&self, thread: &'static str) -> (u32, u32) {
        let abandoned = self.shared.abandoned.fetch_add(1, Ordering::AcqRel) + 1;
        let abandoned_max = self.shared.abandoned_max;
        if abandoned >= abandoned_max {
            self.fail(Failure::ThreadsExhausted {
                thread,
                abandoned,
                abandoned_max,
            });
        }
        (abandoned, abandoned_max)
    }
}

fn lock<T>(vitals: &Mutex<T>) -> MutexGuard<'_, T> {
    vitals.lock().unwrap_or_else(PoisonError::into_inner)
}

/// What was counted about the actors of one kind.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ActorCounts {
    /// Actors that run now.
    pub running: u64,
    /// Room of their mailboxes together, in messages.
    pub capacity: u64,
    /// Messages that wait or are being handled.
    pub waiting: u64,
    /// Messages taken since the start.
    pub taken: u64,
    /// Messages that were not taken since the mailbox was full.
    pub refused: u64,
    /// Restarts.
    pub restarts: u64,
    /// Of these, after a message that took longer than its limit.
    pub hung: u64,
    /// Actors whose supervisor gave up.
    pub given_up: u64,
}

/// What was counted about the compute threads of one kind.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ThreadCounts {
    /// Jobs that came to their end.
    pub done: u64,
    /// Jobs that panicked.
    pub panicked: u64,
    /// Jobs that outlasted their limit and cost their thread.
    pub hung: u64,
}

/// The counters behind [`ActorCounts`].
#[derive(Debug, Default)]
pub(crate) struct ActorVitals {
    running: AtomicU64,
    capacity: AtomicU64,
    waiting: AtomicU64,
    taken: AtomicU64,
    refused: AtomicU64,
    restarts: AtomicU64,
    hung: AtomicU64,
    given_up: AtomicU64,
}

/// A message that waits or is being handled; dropping it takes it off the count.
#[derive(Debug)]
pub(crate) struct WaitingMark(Arc<ActorVitals>);

impl ActorVitals {
    pub(crate) fn started(&self, capacity: usize) {
        self.running.fetch_add(1, Ordering::Relaxed);
        self.capacity.fetch_add(capacity as u64, Ordering::Relaxed);
    }

    pub(crate) fn ended(&self, capacity: usize) {
        self.running.fetch_sub(1, Ordering::Relaxed);
        self.capacity.fetch_sub(capacity as u64, Ordering::Relaxed);
    }

    pub(crate) fn take(self: Arc<Self>) -> WaitingMark {
        self.taken.fetch_add(1, Ordering::Relaxed);
        self.waiting.fetch_add(1, Ordering::Relaxed);
        WaitingMark(self)
    }

    pub(crate) fn count_refused(&self) {
        self.refused.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn count_restart(&self) {
        self.restarts.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn count_hung(&self) {
        self.hung.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn count_given_up(&self) {
        self.given_up.fetch_add(1, Ordering::Relaxed);
    }

    fn counts(&self) -> ActorCounts {
        ActorCounts {
            running: self.running.load(Ordering::Relaxed),
            capacity: self.capacity.load(Ordering::Relaxed),
            waiting: self.waiting.load(Ordering::Relaxed),
            taken: self.taken.load(Ordering::Relaxed),
            refused: self.refused.load(Ordering::Relaxed),
            restarts: self.restarts.load(Ordering::Relaxed),
            hung: self.hung.load(Ordering::Relaxed),
            given_up: self.given_up.load(Ordering::Relaxed),
        }
    }
}

impl Drop for WaitingMark {
    fn drop(&mut self) {
        self.0.waiting.fetch_sub(1, Ordering::Relaxed);
    }
}

/// The counters behind [`ThreadCounts`].
#[derive(Debug, Default)]
pub(crate) struct ThreadVitals {
    done: AtomicU64,
    panicked: AtomicU64,
    hung: AtomicU64,
}

impl ThreadVitals {
    pub(crate) fn count_done(&self) {
        self.done.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn count_panicked(&self) {
        self.panicked.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn count_hung(&self) {
        self.hung.fetch_add(1, Ordering::Relaxed);
    }

    fn counts(&self) -> ThreadCounts {
        ThreadCounts {
            done: self.done.load(Ordering::Relaxed),
            panicked: self.panicked.load(Ordering::Relaxed),
            hung: self.hung.load(Ordering::Relaxed),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_failure_wakes_who_waits_stays_and_is_entered_once() {
        let health = Health::default();
        assert_eq!(health.failures(), []);
        let failure = Failure::Part {
            part: "log",
            reason: "fsync failed".to_owned(),
        };
        let (seen, ()) = tokio::join!(health.failed(), async { health.fail(failure.clone()) });
        assert_eq!(seen, failure);
        health.fail(failure.clone());
        assert_eq!(health.failures(), std::slice::from_ref(&failure));
        assert_eq!(health.failed().await, failure);
    }

    #[test]
    fn failures_are_bounded() {
        let health = Health::default();
        for number in 0..2 * FAILURES_MAX {
            health.fail(Failure::Part {
                part: "log",
                reason: number.to_string(),
            });
        }
        assert_eq!(health.failures().len(), FAILURES_MAX);
    }

    #[test]
    fn the_last_thread_that_may_hang_fails_the_node() {
        let health = Health::with_abandoned_max(2);
        assert_eq!(health.abandon("forecaster"), (1, 2));
        assert_eq!(health.failures(), []);
        assert_eq!(health.abandon("optimizer"), (2, 2));
        let failure = Failure::ThreadsExhausted {
            thread: "optimizer",
            abandoned: 2,
            abandoned_max: 2,
        };
        assert!(
            failure.to_string().contains("restart the node"),
            "{failure}"
        );
        assert_eq!(health.failures(), [failure]);
    }
}
