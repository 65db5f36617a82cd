//! Heavy work on a thread of its own, with a watchdog.
//!
//! A thread cannot be killed. A job that outlasts its limit loses its thread: the thread is abandoned,
//! what it answers later goes nowhere, and a new thread takes over. Past a bound that all threads of a
//! node share, its [`Health`] fails, since abandoned threads keep their core and their memory. The in-flight mark of domain time
//! stays with the actor, so that a hung job does not freeze the clock for ever.

use crate::health::{Health, ThreadVitals};
use std::sync::Arc;
use std::sync::mpsc;
use std::thread;
use std::time::Duration;
use tokio::sync::oneshot;

type Job = Box<dyn FnOnce() + Send>;

/// Why there is no result.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum ComputeError {
    /// The job outlasted its limit; its thread was replaced.
    #[error("job hung for {limit:?}, thread {abandoned} of {abandoned_max} abandoned")]
    Hung {
        /// The limit it was given.
        limit: Duration,
        /// Threads of the node abandoned so far.
        abandoned: u32,
        /// The bound after which [`ComputeError::Exhausted`] follows.
        abandoned_max: u32,
    },
    /// The job panicked; its thread was replaced.
    #[error("job panicked")]
    Panicked,
    /// Too many threads were abandoned: the process must hand over and end.
    #[error("{abandoned} compute threads of this node hang: restart it to free their cores")]
    Exhausted {
        /// Threads of the node abandoned so far.
        abandoned: u32,
    },
}

/// One dedicated thread, replaced when it hangs.
#[derive(Debug)]
pub struct ComputeThread {
    name: &'static str,
    jobs: mpsc::Sender<Job>,
    health: Health,
    vitals: Arc<ThreadVitals>,
}

impl ComputeThread {
    /// Starts the thread; the health of the node counts the threads that are abandoned, and bounds them.
    #[must_use]
    pub fn start(name: &'static str, health: &Health) -> Self {
        Self {
            name,
            jobs: start_thread(name),
            vitals: health.thread(name),
            health: health.clone(),
        }
    }

    /// Runs `work` and waits for its result for at most `limit` of system time.
    ///
    /// # Errors
    /// See [`ComputeError`]; after each but `Exhausted` the next call runs on a fresh thread.
    pub async fn run<R, W>(&mut self, work: W, limit: Duration) -> Result<R, ComputeError>
    where
        R: Send + 'static,
        W: FnOnce() -> R + Send + 'static,
    {
        let (abandoned, abandoned_max) = self.health.abandoned_threads();
        if abandoned >= abandoned_max {
            return Err(ComputeError::Exhausted { abandoned });
        }
        let (reply, result) = oneshot::channel();
        // Nobody listens any more once the watchdog fired: a late answer is dropped here.
        let job: Job = Box::new(move || drop(reply.send(work())));
        // A thread that is gone drops the job, and with it the reply: seen below as a panic.
        drop(self.jobs.send(job));
        match tokio::time::timeout(limit, result).await {
            Ok(Ok(value)) => {
                self.vitals.count_done();
                Ok(value)
            }
            Ok(Err(_dropped)) => {
                self.vitals.count_panicked();
                self.jobs = start_thread(self.name);
                Err(ComputeError::Panicked)
            }
            Err(_elapsed) => {
                self.vitals.count_hung();
                let (abandoned, abandoned_max) = self.health.abandon(self.name);
                self.jobs = start_thread(self.name);
                Err(ComputeError::Hung {
                    limit,
                    abandoned,
                    abandoned_max,
                })
            }
        }
    }
}

/// Blocks the thread that calls it: the fault of tests and chaos runs that a watchdog must notice.
#[expect(
    clippy::disallowed_methods,
    reason = "runs on a compute thread, and blocking is its purpose"
)]
pub fn hang_thread(duration: Duration) {
    thread::sleep(duration);
}

fn start_thread(name: &'static str) -> mpsc::Sender<Job> {
    let (jobs, inbox) = mpsc::channel::<Job>();
    // The thread ends by itself once its sender is gone and its last job is done. Without a thread the
    // inbox is dropped, and each job is answered as one that panicked.
    let spawned = thread::Builder::new()
        .name(name.to_owned())
        .spawn(move || inbox.into_iter().for_each(|job| job()));
    if let Err(error) = spawned {
        tracing::error!(name, %error, "no compute thread could be started");
    }
    jobs
}
