//! Threads that burn demands.

use crate::burn::burn;
use crate::warning::warn;
use std::io;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use tokio::sync::oneshot;

/// Most workers of one server: each is a thread.
pub const WORKERS_MAX: u32 = 256;
/// How much less than the input and output the workers are favoured: as little as there is, so that a request is
/// read and a call is sent at once and not after a time slice. Among themselves they share the core evenly.
const NICE: i32 = 19;
/// They only run a loop.
const STACK_BYTES: usize = 64 * 1024;

struct Job {
    cpu_s: f64,
    done: oneshot::Sender<f64>,
}

/// A fixed number of threads.
#[derive(Clone, Debug)]
pub(super) struct Workers {
    jobs: SyncSender<Job>,
}

impl std::fmt::Debug for Job {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Job({} s)", self.cpu_s)
    }
}

impl Workers {
    /// Starts the threads; they end when the last clone is dropped.
    pub(super) fn start(count: u32) -> io::Result<Self> {
        let (jobs, queue) = sync_channel(count as usize);
        let queue = Arc::new(Mutex::new(queue));
        for number in 0..count {
            let queue = Arc::clone(&queue);
            std::thread::Builder::new()
                .name(format!("worker-{number}"))
                .stack_size(STACK_BYTES)
                .spawn(move || work(&queue))?;
        }
        Ok(Self { jobs })
    }

    /// Burns a demand on one of them; the caller holds one of as many permits as there are threads, so that one is
    /// free and the queue has room.
    pub(super) async fn burn(&self, cpu_s: f64) -> f64 {
        let (done, burnt) = oneshot::channel();
        if self.jobs.try_send(Job { cpu_s, done }).is_err() {
            return 0.0;
        }
        burnt.await.unwrap_or(0.0)
    }
}

fn work(queue: &Mutex<Receiver<Job>>) {
    if rustix::process::nice(NICE).is_err() {
        warn("a worker is as favoured as input and output, which will be late at times");
    }
    loop {
        let job = queue.lock().unwrap_or_else(PoisonError::into_inner).recv();
        let Ok(job) = job else {
            return;
        };
        let _is_waited_for = job.done.send(burn(job.cpu_s));
    }
}
