//! Starts twins and drives each by the system's clock.
//!
//! A configured twin that has something to do is *awake*: it has an actor and a driver, a task that sleeps
//! until the twin's next turn or wake-up, moves its domain time to the present, and asks for the turn. One
//! that had no turn and was asked for nothing for a while is put to *rest*: actor and driver end, and a
//! caretaker starts them again when the twin is due or wanted. Invariants: a twin is started once, under one
//! authority; turns at once are bounded; what a turn needs to go on after a restart is committed, so a
//! driver starts from the twin's state alone and makes up for missed turns by one; when a twin is due
//! follows from its committed state, so that whoever drives it next knows it as well.

mod caretaker;
mod driver;
mod kept;

pub use kept::{Glance, KeptTwin, LastTurn};

use super::schedule;
use super::wall_clock::WallClock;
use crate::assembly::Node;
use caretaker::Wish;
use driver::Rest;
use futures::future::join_all;
use kept::{Entry, Resting, Roster};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::sync::{Notify, Semaphore, mpsc, watch};
use tokio::task::JoinHandle;
use twinscale_protocol::{CustomerId, Generation};
use twinscale_supervision::ChildState;
use twinscale_twin::Authority;

/// Twins that wait to be put to rest; one that finds no room asks again.
const WISHES_MAX: usize = 1_024;

/// Starts and drives the twins of a node.
#[derive(Debug)]
pub struct Keeper {
    shared: Arc<Shared>,
    stop: watch::Sender<bool>,
    caretaker: Mutex<Option<JoinHandle<()>>>,
}

#[derive(Debug)]
struct Shared {
    node: Arc<Node>,
    wall: Arc<dyn WallClock>,
    turns: Semaphore,
    turns_at_once: usize,
    /// Time without a turn and a request after which a twin is put to rest.
    passivate_after: Duration,
    /// One start or end at a time, so that no twin is started twice.
    starting: tokio::sync::Mutex<()>,
    roster: Mutex<Roster>,
    /// Twins that were started, since the node was.
    started: AtomicU64,
    wishes: mpsc::Sender<Wish>,
    /// Told when a twin rests that did not before.
    rests: Notify,
    counters: TurnCounters,
    stop: watch::Receiver<bool>,
}

#[derive(Debug, Default)]
struct TurnCounters {
    done: AtomicU64,
    failed: AtomicU64,
    stale: AtomicU64,
    /// Turns that began later than a whole interval after they were due.
    late: AtomicU64,
    /// Twins that were put to rest.
    rested: AtomicU64,
    /// Twins at rest that were woken.
    woken: AtomicU64,
}

/// Counts over all twins.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct KeeperReport {
    /// Twins whose actor runs.
    pub running: usize,
    /// Twins whose actor comes back after its back-off.
    pub restarting: usize,
    /// Twins at rest: their actor comes when a turn is due.
    pub resting: usize,
    /// Twins whose supervisor gave up.
    pub given_up: usize,
    /// Restarts of all twins' actors.
    pub restarts: u64,
    /// Turns that ended.
    pub turns_done: u64,
    /// Turns that got no answer or an error.
    pub turns_failed: u64,
    /// Turns without a fresh forecast.
    pub turns_stale: u64,
    /// Turns that began a whole interval late or more.
    pub turns_late: u64,
    /// Turns that run now.
    pub turns_running: usize,
    /// Twins that were put to rest, since the start.
    pub rested: u64,
    /// Twins at rest that were woken, since the start.
    pub woken: u64,
}

impl Keeper {
    /// Makes a keeper that drives no twin yet; call it inside a tokio runtime.
    pub fn new(
        node: Arc<Node>,
        wall: Arc<dyn WallClock>,
        turns_at_once: usize,
        passivate_after: Duration,
    ) -> Self {
        let (stop, stopped) = watch::channel(false);
        let (wish, wishes) = mpsc::channel(WISHES_MAX);
        let shared = Arc::new(Shared {
            node,
            wall,
            turns: Semaphore::new(turns_at_once),
            turns_at_once,
            passivate_after,
            starting: tokio::sync::Mutex::default(),
            roster: Mutex::default(),
            started: AtomicU64::new(0),
            wishes: wish,
            rests: Notify::new(),
            counters: TurnCounters::default(),
            stop: stopped.clone(),
        });
        let caretaker = caretaker::start(Arc::clone(&shared), wishes, stopped);
        Self {
            shared,
            stop,
            caretaker: Mutex::new(Some(caretaker)),
        }
    }

    /// Drives every configured twin of the host; returns how many.
    ///
    /// # Errors
    /// When a supervisor cannot be started.
    pub async fn start_all(&self) -> anyhow::Result<usize> {
        let mut kept = 0;
        for customer in self.shared.node.twins().customers() {
            kept += usize::from(self.keep(&customer).await?);
        }
        Ok(kept)
    }

    /// Sees to it that a configured twin has its turns: it is started where one is due and rests otherwise.
    /// Cheap for one that is driven already; returns whether it is. A twin that another node drives is left
    /// to it.
    ///
    /// # Errors
    /// When its supervisor cannot be started.
    pub async fn keep(&self, customer: &CustomerId) -> anyhow::Result<bool> {
        self.shared.keep(customer).await
    }

    /// Sees to it that a configured twin is awake, and tells its driver that its configuration changed. A
    /// twin that another node drives is left to it.
    ///
    /// # Errors
    /// When its supervisor cannot be started.
    pub async fn ensure(&self, customer: &CustomerId) -> anyhow::Result<()> {
        let _starting = self.shared.starting.lock().await;
        let before = self.glance(customer);
        if let Some(kept) = self.shared.awake(customer).await?
            && before.is_some()
        {
            kept.tell_of_change();
        }
        Ok(())
    }

    /// Finds a twin that is driven, waking it where it rests: for those who need its actor.
    ///
    /// # Errors
    /// When its supervisor cannot be started.
    pub async fn wake(&self, customer: &CustomerId) -> anyhow::Result<Option<Arc<KeptTwin>>> {
        let _starting = self.shared.starting.lock().await;
        if self.glance(customer).is_none() {
            return Ok(None);
        }
        let kept = self.shared.awake(customer).await?;
        if let Some(kept) = &kept {
            kept.ask();
        }
        Ok(kept)
    }

    /// Finds a twin that is driven and awake.
    pub fn find(&self, customer: &CustomerId) -> Option<Arc<KeptTwin>> {
        match lock(&self.shared.roster).get(customer)? {
            Entry::Awake(kept) => Some(Arc::clone(kept)),
            Entry::Resting(_) => None,
        }
    }

    /// Whether a twin is driven here, awake or at rest.
    pub fn keeps(&self, customer: &CustomerId) -> bool {
        lock(&self.shared.roster).get(customer).is_some()
    }

    /// How a twin is that is driven here, without waking it.
    pub fn glance(&self, customer: &CustomerId) -> Option<Glance> {
        lock(&self.shared.roster).get(customer).map(Entry::glance)
    }

    /// Counts over all twins.
    pub fn report(&self) -> KeeperReport {
        let counters = &self.shared.counters;
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        let mut report = KeeperReport {
            turns_done: read(&counters.done),
            turns_failed: read(&counters.failed),
            turns_stale: read(&counters.stale),
            turns_late: read(&counters.late),
            rested: read(&counters.rested),
            woken: read(&counters.woken),
            turns_running: self
                .shared
                .turns_at_once
                .saturating_sub(self.shared.turns.available_permits()),
            ..KeeperReport::default()
        };
        for entry in lock(&self.shared.roster).entries() {
            match entry {
                Entry::Awake(kept) => {
                    let (state, restarts) = kept.child();
                    report.restarts = report.restarts.saturating_add(restarts);
                    match state {
                        ChildState::Running => report.running += 1,
                        ChildState::Restarting { .. } => report.restarting += 1,
                        ChildState::GivenUp { .. } => report.given_up += 1,
                    }
                }
                Entry::Resting(resting) => {
                    report.resting += 1;
                    report.restarts = report.restarts.saturating_add(resting.restarts);
                }
            }
        }
        report
    }

    /// Ends drivers, then twins. A turn under way is given up: what it committed is taken up at the next
    /// start.
    pub async fn stop(&self) {
        self.stop.send_replace(true);
        let caretaker = lock(&self.caretaker).take();
        if let Some(caretaker) = caretaker
            && let Err(error) = caretaker.await
        {
            tracing::error!(%error, "the caretaker of the twins panicked");
        }
        // Behind whoever is just starting one; none is started from now on.
        let _starting = self.shared.starting.lock().await;
        self.shared.take_out(|_, _| true).await;
    }

    /// Ends the twins that this node drives no more, as [`Keeper::stop`] does; returns how many.
    pub async fn release(&self, is_over: impl Fn(&CustomerId, Generation) -> bool + Send) -> usize {
        let _starting = self.shared.starting.lock().await;
        self.shared.take_out(is_over).await
    }
}

impl Shared {
    async fn keep(self: &Arc<Self>, customer: &CustomerId) -> anyhow::Result<bool> {
        let Some(authority) = self.node.authorities().of(customer) else {
            return Ok(false);
        };
        let twins = self.node.twins();
        let Some(config_version) = twins.config_version(customer).filter(|one| *one > 0) else {
            return Ok(false);
        };
        if self.is_kept(customer, authority.generation, config_version) {
            return Ok(true);
        }
        let _starting = self.starting.lock().await;
        let Some(outline) = twins.outline(customer) else {
            return Ok(false);
        };
        // Once more, now that nobody else starts or ends one.
        let version = outline.config_version;
        if *self.stop.borrow() || self.is_kept(customer, authority.generation, version) {
            return Ok(true);
        }
        let before = lock(&self.roster).get(customer).map(Entry::generation);
        let is_changed = before == Some(authority.generation);
        self.take_out_one(customer).await;
        let now = self.wall.now();
        let due = if is_changed {
            now
        } else {
            schedule::due(customer, &outline, now).unwrap_or(now)
        };
        let resting = Resting {
            generation: authority.generation,
            due,
            config_version: outline.config_version,
            last_turn: None,
            restarts: 0,
        };
        let entry = Entry::Resting(Box::new(resting));
        lock(&self.roster).put(customer.clone(), entry);
        if due > now {
            self.rests.notify_one();
            return Ok(true);
        }
        let kept = self.awake(customer).await?;
        if let Some(kept) = kept.filter(|_| is_changed) {
            kept.tell_of_change();
        }
        Ok(true)
    }

    /// Whether a twin is driven as it must be: a configuration that was changed elsewhere makes it due.
    fn is_kept(&self, customer: &CustomerId, generation: Generation, config_version: u64) -> bool {
        match lock(&self.roster).get(customer) {
            Some(Entry::Awake(kept)) => kept.generation == generation,
            Some(Entry::Resting(resting)) => {
                resting.generation == generation && resting.config_version == config_version
            }
            None => false,
        }
    }

    /// Wakes a twin that is due; one that this node drives no more is forgotten.
    async fn wake(self: &Arc<Self>, customer: &CustomerId) -> anyhow::Result<()> {
        let _starting = self.starting.lock().await;
        if self.awake(customer).await?.is_none() && !*self.stop.borrow() {
            self.take_out_one(customer).await;
        }
        Ok(())
    }

    /// Sees to it that a twin has an actor, under whoever starts and ends them; `None` for one that another
    /// node drives, and at the end.
    async fn awake(
        self: &Arc<Self>,
        customer: &CustomerId,
    ) -> anyhow::Result<Option<Arc<KeptTwin>>> {
        let Some(authority) = self.node.authorities().of(customer) else {
            return Ok(None);
        };
        let entry = lock(&self.roster).get(customer).cloned();
        let resting = match entry {
            Some(Entry::Awake(kept)) if kept.generation == authority.generation => {
                return Ok(Some(kept));
            }
            Some(Entry::Resting(resting)) if resting.generation == authority.generation => {
                Some(resting)
            }
            Some(other) => {
                drop(other);
                self.take_out_one(customer).await;
                None
            }
            None => None,
        };
        if *self.stop.borrow() {
            return Ok(None);
        }
        self.start(customer, authority, resting.map(|one| *one))
            .await
            .map(Some)
    }

    async fn start(
        self: &Arc<Self>,
        customer: &CustomerId,
        authority: Authority,
        resting: Option<Resting>,
    ) -> anyhow::Result<Arc<KeptTwin>> {
        let now = self.wall.now();
        let interval = self
            .node
            .twins()
            .outline(customer)
            .and_then(|one| one.interval);
        let due = resting.as_ref().map(|resting| resting.due);
        let begin = schedule::begin_at(due, interval, now);
        let generation = authority.generation;
        let twin = self
            .node
            .start_twin_under(customer, begin, authority)
            .await?;
        if resting.is_some() {
            self.counters.woken.fetch_add(1, Ordering::Relaxed);
        }
        let serial = self.started.fetch_add(1, Ordering::Relaxed);
        let kept = KeptTwin::new((twin, serial), generation, resting);
        self.start_driver(&kept);
        lock(&self.roster).put(customer.clone(), Entry::Awake(Arc::clone(&kept)));
        Ok(kept)
    }

    fn start_driver(self: &Arc<Self>, kept: &Arc<KeptTwin>) {
        let driver = driver::start(Arc::clone(self), Arc::clone(kept), self.stop.clone());
        *lock(&kept.driver) = Some(driver);
    }

    /// Takes the wish of a driver that ends with it.
    fn wish_to_rest(self: &Arc<Self>, customer: CustomerId, rest: Rest) {
        let wish = Wish {
            customer: customer.clone(),
            rest,
        };
        if self.wishes.try_send(wish).is_err()
            && let Some(Entry::Awake(kept)) = lock(&self.roster).get(&customer)
            && kept.serial == rest.serial
        {
            // No room: it goes on, and asks again when it was idle for as long once more.
            kept.touch();
            self.start_driver(kept);
        }
    }

    /// Puts a twin to rest that nobody wants anything of: its actor ends in order.
    async fn put_to_rest(self: &Arc<Self>, Wish { customer, rest }: Wish) {
        let _starting = self.starting.lock().await;
        let config_version = self.node.twins().config_version(&customer);
        let ended = {
            let mut roster = lock(&self.roster);
            let Some(Entry::Awake(kept)) = roster.get(&customer) else {
                return;
            };
            if kept.serial != rest.serial {
                return;
            }
            // The roster holds it, and nobody else: its driver has ended, and no request looks at it.
            if Arc::strong_count(kept) > 1 || kept.asked() != rest.asked || *self.stop.borrow() {
                kept.touch();
                self.start_driver(kept);
                return;
            }
            let resting = Resting {
                generation: kept.generation,
                due: rest.due,
                config_version: config_version.unwrap_or_default(),
                last_turn: kept.last_turn(),
                restarts: kept.child().1,
            };
            let before = roster.remove(&customer);
            roster.put(customer, Entry::Resting(Box::new(resting)));
            before
        };
        self.counters.rested.fetch_add(1, Ordering::Relaxed);
        end(ended.into_iter().collect()).await;
    }

    /// Ends one twin, as `take_out`.
    async fn take_out_one(&self, customer: &CustomerId) {
        let over = lock(&self.roster).remove(customer);
        end(over.into_iter().collect()).await;
    }

    /// Ends twins; whoever calls it lets none start meanwhile.
    async fn take_out(&self, is_over: impl Fn(&CustomerId, Generation) -> bool + Send) -> usize {
        let over = lock(&self.roster).take(is_over);
        let count = over.len();
        end(over).await;
        count
    }
}

/// Ends the drivers of twins, then their actors.
async fn end(over: Vec<Entry>) {
    let awake = over.into_iter().filter_map(|entry| match entry {
        Entry::Awake(kept) => Some(kept),
        Entry::Resting(_) => None,
    });
    let awake: Vec<Arc<KeptTwin>> = awake.collect();
    let drivers: Vec<JoinHandle<()>> = awake
        .iter()
        .filter_map(|kept| lock(&kept.driver).take())
        .inspect(JoinHandle::abort)
        .collect();
    for ended in join_all(drivers).await {
        if let Err(error) = ended
            && error.is_panic()
        {
            tracing::error!(%error, "a driver of a twin panicked");
        }
    }
    let stops = awake.into_iter().filter_map(|kept| {
        // A request that still looks at it keeps it until it is answered.
        let kept = Arc::into_inner(kept)?;
        Some(kept.twin.actor.stop())
    });
    join_all(stops).await;
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
