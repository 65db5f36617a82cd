//! Heavy work on a thread of its own, with a watchdog.
//!
//! A thread cannot be killed. A job that outlasts its limit loses its thread: the thread is abandoned,
//! what it answers later goes nowhere, and a new thread takes over. Past a bound the owner must end the
//! process, since abandoned threads keep their core and their memory. The in-flight mark of domain time
//! stays with the actor, so that a hung job does not freeze the clock for ever.

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
        /// Threads abandoned so far.
        abandoned: u32,
        /// The bound after which [`ComputeError::Exhausted`] follows.
        abandoned_max: u32,
    },
    /// The job panicked; its thread was replaced.
    #[error("job panicked")]
    Panicked,
    /// Too many threads were abandoned: the process should hand over and end.
    #[error("{abandoned} compute threads abandoned")]
    Exhausted {
        /// Threads abandoned so far.
        abandoned: u32,
    },
}

/// One dedicated thread, replaced when it hangs.
#[derive(Debug)]
pub struct ComputeThread {
    name: &'static str,
    jobs: mpsc::Sender<Job>,
    abandoned: u32,
    abandoned_max: u32,
}

impl ComputeThread {
    /// Starts the thread; at most `abandoned_max` replacements are made for hung jobs.
    #[must_use]
    pub fn start(name: &'static str, abandoned_max: u32) -> Self {
        Self {
            name,
            jobs: start_thread(name),
            abandoned: 0,
            abandoned_max,
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
        if self.abandoned >= self.abandoned_max {
            return Err(ComputeError::Exhausted {
                abandoned: self.abandoned,
            });
        }
        let (reply, result) = oneshot::channel();
        // Nobody listens any more once the watchdog fired: a late answer is dropped here.
        let job: Job = Box::new(move || drop(reply.send(work())));
        // A thread that is gone drops the job, and with it the reply: seen below as a panic.
        drop(self.jobs.send(job));
        match tokio::time::timeout(limit, result).await {
            Ok(Ok(value)) => Ok(value),
            Ok(Err(_dropped)) => {
                self.jobs = start_thread(self.name);
                Err(ComputeError::Panicked)
            }
            Err(_elapsed) => {
                self.abandoned += 1;
                self.jobs = start_thread(self.name);
                let (abandoned, abandoned_max) = (self.abandoned, self.abandoned_max);
                Err(ComputeError::Hung {
                    limit,
                    abandoned,
                    abandoned_max,
                })
            }
        }
    }
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
