//! Sends what was planned, and measures.

use super::schedule::{Planned, Schedule};
use crate::clock::now;
use crate::config::Peer;
use crate::serve::{HttpConnection, Spread};
use crate::warning::warn;
use std::io;
use std::num::NonZeroU64;
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinSet;
use twinscale_environment::events::histogram::Histogram;
use twinscale_environment::model::Balancer;
use twinscale_environment::simulation::{Purpose, stream};
use twinscale_protocol::RequestClassName;

/// Most requests in flight; what comes beyond them fails at once and is counted.
pub const IN_FLIGHT_MAX: usize = 10_000;
/// How long requests in flight have after the last one was sent.
const DRAIN: Duration = Duration::from_secs(30);
/// Around which response times are, in seconds: the histogram is fine from nanoseconds to days.
const RESPONSE_SCALE_S: f64 = 0.01;
/// How late a timer may be, in nanoseconds; the kernel's own is 50,000.
const TIMER_SLACK_NS: u64 = 1;
/// The generator sends on time although the machine has other work; where it may not be favoured it is late at
/// times, which the lag shows.
const NICE: i32 = -10;

/// Where the requests of a class enter.
#[derive(Clone, Debug)]
pub struct Entry {
    /// VMs of the entry tier.
    pub peers: Vec<Peer>,
    /// How requests are spread over them.
    pub balancer: Balancer,
    /// Bytes sent.
    pub request_bytes: usize,
    /// Bytes asked for.
    pub response_bytes: usize,
}

/// How to send.
#[derive(Clone, Copy, Debug)]
pub struct RunOptions {
    /// When the first second begins.
    pub start: Instant,
    /// Requests that are meant to come before this do not count, in seconds.
    pub warm_up_s: f64,
    /// Core that the generator stays on; any when absent.
    pub core: Option<u32>,
}

/// What the requests of a class met.
#[derive(Clone, Debug)]
pub struct ClassLoad {
    /// The class.
    pub class: RequestClassName,
    /// Requests that count.
    pub sent: u64,
    /// Those that were served.
    pub served: u64,
    /// Those that were refused, failed, or were not answered in time.
    pub failed: u64,
    /// Sum of the response times of those served, in seconds.
    pub sum_s: f64,
    /// Response times of those served.
    pub responses: Histogram,
    /// Response times less what servers burnt for them: waiting, calls, and the cost of getting there.
    pub rests: Histogram,
}

/// What a load met.
#[derive(Clone, Debug)]
pub struct LoadOutcome {
    /// By class, in the order of the model.
    pub classes: Vec<ClassLoad>,
    /// How late requests were sent.
    pub lag: Histogram,
    /// Whether the generator had its core and was favoured there.
    pub is_favoured: bool,
}

/// A load that runs on a thread of its own; dropping it ends it.
#[derive(Debug)]
pub struct LoadRun {
    stop: Option<SyncSender<()>>,
    outcome: oneshot::Receiver<io::Result<LoadOutcome>>,
    thread: Option<JoinHandle<()>>,
}

impl LoadRun {
    /// Starts it; `entries` are in the order of the schedule's classes.
    ///
    /// # Errors
    /// When no thread can be started.
    pub fn start(schedule: Schedule, entries: Vec<Entry>, options: RunOptions) -> io::Result<Self> {
        let (stop, stopped) = sync_channel(1);
        let (done, outcome) = oneshot::channel();
        let thread = std::thread::Builder::new()
            .name("generator".to_owned())
            .spawn(move || {
                let is_favoured = favour(options.core);
                let found = generate(schedule, entries, options, stopped);
                let found = found.map(|outcome| LoadOutcome {
                    is_favoured,
                    ..outcome
                });
                // Nobody waits when the run was dropped.
                drop(done.send(found));
            })?;
        Ok(Self {
            stop: Some(stop),
            outcome,
            thread: Some(thread),
        })
    }

    /// Waits for its end.
    ///
    /// # Errors
    /// When the generator failed.
    pub async fn finish(mut self) -> io::Result<LoadOutcome> {
        let found = (&mut self.outcome).await;
        found.unwrap_or_else(|_| Err(io::Error::other("the load generator has ended")))
    }
}

impl Drop for LoadRun {
    fn drop(&mut self) {
        self.stop.take();
        if let Some(thread) = self.thread.take() {
            drop(thread.join());
        }
    }
}

/// Pins the calling thread and favours it; says whether all of that was allowed.
fn favour(core: Option<u32>) -> bool {
    let is_pinned = core.is_none_or(|core| {
        let mut set = rustix::thread::CpuSet::new();
        set.set(core as usize);
        rustix::thread::sched_setaffinity(None, &set).is_ok()
    });
    let is_favoured = rustix::process::nice(NICE).is_ok();
    let slack = NonZeroU64::new(TIMER_SLACK_NS);
    let is_exact = rustix::thread::set_current_timer_slack(slack).is_ok();
    is_pinned && is_favoured && is_exact
}

fn generate(
    schedule: Schedule,
    entries: Vec<Entry>,
    options: RunOptions,
    stopped: Receiver<()>,
) -> io::Result<LoadOutcome> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let (due, mut coming) = mpsc::channel(IN_FLIGHT_MAX);
    let classes = schedule.classes.clone();
    let pacer = std::thread::Builder::new()
        .name("pacer".to_owned())
        .spawn(move || pace(&schedule.requests, options, &stopped, &due))?;
    let lanes: Vec<Arc<Lane>> = classes
        .iter()
        .zip(entries)
        .map(|(class, entry)| Arc::new(Lane::new(class.clone(), entry)))
        .collect();
    let mut tally = Tally::new(classes);
    runtime.block_on(async {
        let mut flying: JoinSet<Flown> = JoinSet::new();
        loop {
            tokio::select! {
                planned = coming.recv() => match planned {
                    Some(planned) => send(planned, &lanes, options, &mut flying, &mut tally),
                    None => break,
                },
                Some(flown) = flying.join_next() => tally.landed(flown.ok(), options),
            }
        }
        let drained = async {
            while let Some(flown) = flying.join_next().await {
                tally.landed(flown.ok(), options);
            }
        };
        // Who was told to stop does not wait for answers.
        if pacer.join().unwrap_or(false) {
            drop(tokio::time::timeout(DRAIN, drained).await);
        }
    });
    Ok(tally.outcome())
}

/// Hands each request over at its time; says whether it came to the end.
fn pace(
    requests: &[Planned],
    options: RunOptions,
    stopped: &Receiver<()>,
    due: &mpsc::Sender<Planned>,
) -> bool {
    if !favour(options.core) {
        warn("the load generator is not pinned and favoured, and may be late");
    }
    for planned in requests {
        let at = options.start + Duration::from_secs_f64(planned.at_s);
        let ahead = at.saturating_duration_since(now());
        let is_over = match ahead {
            Duration::ZERO => false,
            ahead => stopped.recv_timeout(ahead) != Err(RecvTimeoutError::Timeout),
        };
        // A full channel means as many in flight as there may be: the request waits here, and its time runs.
        if is_over || due.blocking_send(*planned).is_err() {
            return false;
        }
    }
    true
}

fn send(
    planned: Planned,
    lanes: &[Arc<Lane>],
    options: RunOptions,
    flying: &mut JoinSet<Flown>,
    tally: &mut Tally,
) {
    let meant = options.start + Duration::from_secs_f64(planned.at_s);
    tally.sent(planned, meant, options);
    let Some(lane) = lanes
        .get(planned.class)
        .filter(|_| flying.len() < IN_FLIGHT_MAX)
    else {
        return;
    };
    let lane = Arc::clone(lane);
    flying.spawn(async move {
        let burnt_s = lane.visit(planned.seed).await.unwrap_or(None);
        Flown {
            planned,
            took_s: now().saturating_duration_since(meant).as_secs_f64(),
            burnt_s,
        }
    });
}

/// A request that has come back.
struct Flown {
    planned: Planned,
    took_s: f64,
    /// CPU seconds burnt for it; nothing when it was not served.
    burnt_s: Option<f64>,
}

/// Requests of one class on their way.
struct Lane {
    class: String,
    entry: Entry,
    spread: Spread,
    idle: Vec<Mutex<Vec<HttpConnection>>>,
}

impl Lane {
    fn new(class: RequestClassName, entry: Entry) -> Self {
        Self {
            class: class.to_string(),
            spread: Spread::new(entry.balancer, &entry.peers),
            idle: entry.peers.iter().map(|_| Mutex::default()).collect(),
            entry,
        }
    }

    async fn visit(&self, seed: u64) -> io::Result<Option<f64>> {
        let mut rng = stream(seed, Purpose::Balance);
        let Some(chosen) = self.spread.choose(false, &mut rng) else {
            return Ok(None);
        };
        let idle = &self.idle[chosen.peer];
        let kept = idle.lock().unwrap_or_else(PoisonError::into_inner).pop();
        let mut connection = match kept {
            Some(connection) => connection,
            None => HttpConnection::connect(&self.entry.peers[chosen.peer].address).await?,
        };
        let (request_bytes, response_bytes) = (self.entry.request_bytes, self.entry.response_bytes);
        let visited = connection.visit(&self.class, seed, request_bytes, response_bytes);
        let burnt_s = visited.await?;
        idle.lock()
            .unwrap_or_else(PoisonError::into_inner)
            .push(connection);
        Ok(burnt_s)
    }
}

struct Tally {
    classes: Vec<ClassLoad>,
    lag: Histogram,
}

impl Tally {
    fn new(classes: Vec<RequestClassName>) -> Self {
        let class = |class| ClassLoad {
            class,
            sent: 0,
            served: 0,
            failed: 0,
            sum_s: 0.0,
            responses: Histogram::new(RESPONSE_SCALE_S),
            rests: Histogram::new(RESPONSE_SCALE_S),
        };
        Self {
            classes: classes.into_iter().map(class).collect(),
            lag: Histogram::new(RESPONSE_SCALE_S),
        }
    }

    fn sent(&mut self, planned: Planned, meant: Instant, options: RunOptions) {
        if planned.at_s >= options.warm_up_s {
            self.classes[planned.class].sent += 1;
            let late = now().saturating_duration_since(meant);
            self.lag.record(late.as_secs_f64());
        }
    }

    fn landed(&mut self, flown: Option<Flown>, options: RunOptions) {
        let counted = flown.filter(|flown| flown.planned.at_s >= options.warm_up_s);
        if let Some((flown, burnt_s)) = counted.and_then(|flown| flown.burnt_s.map(|s| (flown, s)))
        {
            let class = &mut self.classes[flown.planned.class];
            class.served += 1;
            class.sum_s += flown.took_s;
            class.responses.record(flown.took_s);
            class.rests.record((flown.took_s - burnt_s).max(0.0));
        }
    }

    fn outcome(mut self) -> LoadOutcome {
        for class in &mut self.classes {
            class.failed = class.sent - class.served;
        }
        LoadOutcome {
            classes: self.classes,
            lag: self.lag,
            is_favoured: false,
        }
    }
}
