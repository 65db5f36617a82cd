//! Starts twins and drives each by the system's clock.
//!
//! Every configured twin has an actor and a driver: a task that sleeps until the twin's next turn or
//! wake-up, moves its domain time to the present, and asks for the turn. Invariants: a twin is started
//! once, under one authority; turns at once are bounded; what a turn needs to go on after a restart is committed, so a driver
//! starts from the twin's state alone and makes up for missed turns by one.

use super::limits::{LOOK_AGAIN, TURN_LIMIT};
use super::schedule;
use super::wall_clock::WallClock;
use crate::assembly::{Node, NodeTwin};
use crate::observe::accuracy;
use crate::observe::catalogue::{FORECAST_ERROR, FORECAST_SCORED, FORECAST_WITHIN, TURN_SECONDS};
use futures::future::join_all;
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::sync::{Notify, Semaphore, watch};
use tokio::task::JoinHandle;
use tokio::time::Instant;
use tracing::Instrument as _;
use twinscale_protocol::twin::TickRequest;
use twinscale_protocol::{CustomerId, DomainTime, Generation, Seconds};
use twinscale_supervision::{ChildState, Supervised};
use twinscale_twin::{TurnSummary, TwinMessage, TwinState, cycle};

/// Starts and drives the twins of a node.
#[derive(Debug)]
pub struct Keeper {
    shared: Arc<Shared>,
    /// One start at a time, so that no twin is started twice.
    starting: tokio::sync::Mutex<()>,
    stop: watch::Sender<bool>,
}

#[derive(Debug)]
struct Shared {
    node: Arc<Node>,
    wall: Arc<dyn WallClock>,
    turns: Semaphore,
    turns_at_once: usize,
    twins: Mutex<BTreeMap<CustomerId, Arc<KeptTwin>>>,
    counters: TurnCounters,
}

#[derive(Debug, Default)]
struct TurnCounters {
    done: AtomicU64,
    failed: AtomicU64,
    stale: AtomicU64,
    /// Turns that began later than a whole interval after they were due.
    late: AtomicU64,
}

/// A twin that is driven.
#[derive(Debug)]
pub struct KeptTwin {
    twin: NodeTwin,
    /// Under which it acts; a later one needs another actor.
    generation: Generation,
    /// Told when policy or stack changed.
    changed: Notify,
    last_turn: Mutex<Option<LastTurn>>,
    driver: Mutex<Option<JoinHandle<()>>>,
}

/// What the newest turn of a twin came to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LastTurn {
    /// When it was due, in domain time.
    pub at: DomainTime,
    /// How long it took, in system time.
    pub took: Duration,
    /// What came of it, or why nothing did.
    pub outcome: Result<TurnSummary, String>,
}

/// Counts over all twins.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct KeeperReport {
    /// Twins whose actor runs.
    pub running: usize,
    /// Twins whose actor comes back after its back-off.
    pub restarting: usize,
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
}

impl Keeper {
    /// Makes a keeper that drives no twin yet.
    pub fn new(node: Arc<Node>, wall: Arc<dyn WallClock>, turns_at_once: usize) -> Self {
        Self {
            shared: Arc::new(Shared {
                node,
                wall,
                turns: Semaphore::new(turns_at_once),
                turns_at_once,
                twins: Mutex::default(),
                counters: TurnCounters::default(),
            }),
            starting: tokio::sync::Mutex::default(),
            stop: watch::Sender::new(false),
        }
    }

    /// Starts every configured twin of the host.
    ///
    /// # Errors
    /// When a supervisor cannot be started.
    pub async fn start_all(&self) -> anyhow::Result<usize> {
        let mut started = 0;
        for customer in self.shared.node.twins().customers() {
            let is_configured = |state: &TwinState| state.config().is_some();
            if self.shared.node.twins().read(&customer, is_configured) == Some(true) {
                self.ensure(&customer).await?;
                started += 1;
            }
        }
        Ok(started)
    }

    /// Sees to it that a configured twin is driven, and tells its driver that its configuration changed.
    /// A twin that another node drives is left to it.
    ///
    /// # Errors
    /// When its supervisor cannot be started.
    pub async fn ensure(&self, customer: &CustomerId) -> anyhow::Result<()> {
        let _starting = self.starting.lock().await;
        let Some(authority) = self.shared.node.authorities().of(customer) else {
            return Ok(());
        };
        if let Some(kept) = self.find(customer) {
            if kept.generation == authority.generation {
                kept.changed.notify_one();
                return Ok(());
            }
            self.take_out(|one, _| one == customer).await;
        }
        if *self.stop.borrow() {
            return Ok(());
        }
        let now = self.shared.wall.now();
        let generation = authority.generation;
        let started = self.shared.node.start_twin_under(customer, now, authority);
        let kept = Arc::new(KeptTwin {
            twin: started.await?,
            generation,
            changed: Notify::new(),
            last_turn: Mutex::default(),
            driver: Mutex::default(),
        });
        let driver = start_driver(
            Arc::clone(&self.shared),
            Arc::clone(&kept),
            self.stop.subscribe(),
        );
        *lock(&kept.driver) = Some(driver);
        lock(&self.shared.twins).insert(customer.clone(), kept);
        Ok(())
    }

    /// Finds a twin that is driven.
    pub fn find(&self, customer: &CustomerId) -> Option<Arc<KeptTwin>> {
        lock(&self.shared.twins).get(customer).cloned()
    }

    /// Counts over all twins.
    pub fn report(&self) -> KeeperReport {
        let counters = &self.shared.counters;
        let mut report = KeeperReport {
            turns_done: counters.done.load(Ordering::Relaxed),
            turns_failed: counters.failed.load(Ordering::Relaxed),
            turns_stale: counters.stale.load(Ordering::Relaxed),
            turns_late: counters.late.load(Ordering::Relaxed),
            turns_running: self
                .shared
                .turns_at_once
                .saturating_sub(self.shared.turns.available_permits()),
            ..KeeperReport::default()
        };
        for kept in lock(&self.shared.twins).values() {
            let child = kept.twin.actor.report().borrow().clone();
            report.restarts = report.restarts.saturating_add(child.restarts);
            match child.state {
                ChildState::Running => report.running += 1,
                ChildState::Restarting { .. } => report.restarting += 1,
                ChildState::GivenUp { .. } => report.given_up += 1,
            }
        }
        report
    }

    /// Ends drivers, then twins. A turn under way is given up: what it committed is taken up at the next
    /// start.
    pub async fn stop(&self) {
        self.stop.send_replace(true);
        // Behind whoever is just starting one; `ensure` starts none from now on.
        let _starting = self.starting.lock().await;
        self.take_out(|_, _| true).await;
    }

    /// Ends the twins that this node drives no more, as [`Keeper::stop`] does; returns how many.
    pub async fn release(&self, is_over: impl Fn(&CustomerId, Generation) -> bool + Send) -> usize {
        let _starting = self.starting.lock().await;
        self.take_out(is_over).await
    }

    /// Ends twins; whoever calls it lets none start meanwhile.
    async fn take_out(&self, is_over: impl Fn(&CustomerId, Generation) -> bool + Send) -> usize {
        let mut over = Vec::new();
        lock(&self.shared.twins).retain(|customer, kept| {
            let stays = !is_over(customer, kept.generation);
            if !stays {
                over.push(Arc::clone(kept));
            }
            stays
        });
        let count = over.len();
        let drivers: Vec<JoinHandle<()>> = over
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
        let stops = over.into_iter().filter_map(|kept| {
            // A request that still looks at it keeps it until it is answered.
            let kept = Arc::into_inner(kept)?;
            Some(kept.twin.actor.stop())
        });
        join_all(stops).await;
        count
    }
}

impl KeptTwin {
    /// What its newest turn came to.
    pub fn last_turn(&self) -> Option<LastTurn> {
        lock(&self.last_turn).clone()
    }

    /// Its actor.
    pub fn actor(&self) -> &Supervised<TwinMessage> {
        &self.twin.actor
    }

    /// How its actor is, and how often it was restarted.
    pub fn child(&self) -> (ChildState, u64) {
        let report = self.twin.actor.report().borrow().clone();
        (report.state, report.restarts)
    }

    /// Its actor with its domain time.
    pub fn twin(&self) -> &NodeTwin {
        &self.twin
    }
}

/// What a driver reads off a twin's state.
#[derive(Clone, Copy, Debug)]
struct Look {
    interval: Seconds,
    /// End of the newest interval that a forecast was made for, fresh or not.
    issued_at: Option<DomainTime>,
    wake_up: Option<DomainTime>,
}

#[expect(
    clippy::disallowed_methods,
    reason = "the handle is kept with the twin and joined when the keeper stops"
)]
fn start_driver(
    shared: Arc<Shared>,
    kept: Arc<KeptTwin>,
    mut stop: watch::Receiver<bool>,
) -> JoinHandle<()> {
    tokio::spawn(async move {
        tokio::select! {
            _stopped = stop.wait_for(|stop| *stop) => {}
            () = drive(&shared, &kept) => {}
        }
    })
}

/// Drives a twin for ever. It may be dropped at any await: whatever matters is committed.
async fn drive(shared: &Shared, kept: &KeptTwin) {
    let customer = &kept.twin.customer;
    let mut turned_at: Option<DomainTime> = None;
    let mut is_changed = false;
    loop {
        let now = shared.wall.now();
        advance(kept, now).await;
        let look = shared.node.twins().read(customer, |state| look(state, now));
        let pause = match look.flatten() {
            Some(look) if is_changed || is_due(customer, look, now, turned_at) => {
                is_changed = false;
                turned_at = Some(now);
                turn(shared, kept, look).await;
                Duration::ZERO
            }
            Some(look) => pause(customer, look, now),
            None => LOOK_AGAIN,
        };
        tokio::select! {
            () = tokio::time::sleep(pause) => {}
            () = kept.changed.notified() => is_changed = true,
        }
    }
}

fn look(state: &TwinState, now: DomainTime) -> Option<Look> {
    Some(Look {
        interval: state.config()?.interval,
        issued_at: state.forecast().map(|record| record.issued_at),
        wake_up: cycle::next_wake_up(state, now),
    })
}

fn is_due(
    customer: &CustomerId,
    look: Look,
    now: DomainTime,
    turned_at: Option<DomainTime>,
) -> bool {
    let newest = schedule::newest_due(customer, look.interval, now);
    // A turn that lies ahead was taken before the clock went back: the twin refuses another one until the
    // clock has caught up, and says so once an interval.
    let was_turned = turned_at.is_some_and(|at| at >= newest && at <= now);
    // By a turn before the last restart.
    let was_forecast = look
        .issued_at
        .is_some_and(|at| at >= newest.floor_to(look.interval) && at <= now);
    !was_turned && !was_forecast
}

fn pause(customer: &CustomerId, look: Look, now: DomainTime) -> Duration {
    let next = schedule::next_due(customer, look.interval, now);
    let next = look.wake_up.map_or(next, |wake_up| wake_up.min(next));
    let seconds = u64::try_from(next.seconds_since(now)).unwrap_or_default();
    Duration::from_secs(seconds.max(1)).min(LOOK_AGAIN)
}

/// Moves a twin's domain time to the present, which fires its wake-ups.
async fn advance(kept: &KeptTwin, now: DomainTime) {
    let moved = tokio::time::timeout(TURN_LIMIT, kept.twin.clock.advance_to(now)).await;
    if moved.is_err() {
        let customer = &kept.twin.customer;
        tracing::error!(%customer, "work of a twin did not end within {TURN_LIMIT:?}");
    }
}

async fn turn(shared: &Shared, kept: &KeptTwin, look: Look) {
    let Ok(_permit) = shared.turns.acquire().await else {
        return;
    };
    let now = shared.wall.now();
    advance(kept, now).await;
    let due = schedule::newest_due(&kept.twin.customer, look.interval, now);
    let counters = &shared.counters;
    if now.seconds_since(due) >= i64::from(look.interval.0) {
        counters.late.fetch_add(1, Ordering::Relaxed);
    }
    let begun = Instant::now();
    let instruments = shared.node.instruments();
    if instruments.is_on() {
        score(shared, &kept.twin.customer, now);
    }
    let span = tracing::info_span!("turn", customer = %kept.twin.customer, %now);
    let asked = kept.twin.actor.address().ask(TURN_LIMIT, |reply_to| {
        TwinMessage::Tick(TickRequest { now }, reply_to)
    });
    let outcome = match asked.instrument(span).await {
        Ok(Ok(summary)) => {
            counters.done.fetch_add(1, Ordering::Relaxed);
            if summary.stale {
                counters.stale.fetch_add(1, Ordering::Relaxed);
            }
            Ok(summary)
        }
        Ok(Err(error)) => Err(error.to_string()),
        Err(error) => Err(error.to_string()),
    };
    if let Err(error) = &outcome {
        counters.failed.fetch_add(1, Ordering::Relaxed);
        tracing::warn!(customer = %kept.twin.customer, error, "turn failed");
    }
    instruments.time(&TURN_SECONDS, &[], begun.elapsed());
    *lock(&kept.last_turn) = Some(LastTurn {
        at: now,
        took: begun.elapsed(),
        outcome,
    });
}

/// Tells how the forecast did that this turn will replace.
fn score(shared: &Shared, customer: &CustomerId, now: DomainTime) {
    let instruments = shared.node.instruments();
    let scored = shared
        .node
        .twins()
        .read(customer, |state| accuracy::score(state, now));
    let names = accuracy::level_names();
    for step in scored.unwrap_or_default() {
        instruments.add(&FORECAST_SCORED, &[], 1);
        instruments.observe(&FORECAST_ERROR, &[], step.error);
        for (name, within) in names.iter().zip(step.within) {
            instruments.add(&FORECAST_WITHIN, &[name], u64::from(within));
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn due(now: i64, issued_at: Option<i64>, turned_at: Option<i64>) -> bool {
        let look = Look {
            interval: Seconds(60),
            issued_at: issued_at.map(DomainTime),
            wake_up: None,
        };
        let customer = CustomerId::new("acme").expect("an id");
        is_due(&customer, look, DomainTime(now), turned_at.map(DomainTime))
    }

    #[test]
    fn a_turn_is_due_once_an_interval() {
        assert!(due(7_259, None, None), "it never had one");
        assert!(due(7_259, Some(7_140), Some(7_190)));
        assert!(!due(7_259, Some(7_200), Some(7_230)));
        assert!(!due(7_259, Some(7_200), None), "taken before a restart");
        assert!(
            !due(7_259, None, Some(7_230)),
            "a failed one is not repeated"
        );
    }

    #[test]
    fn a_clock_that_went_back_is_told_once_an_interval() {
        assert!(due(7_259, Some(10_800), Some(10_830)), "an hour back");
        assert!(
            !due(7_259, Some(10_800), Some(7_230)),
            "told in this interval"
        );
        assert!(
            due(7_319, Some(10_800), Some(7_230)),
            "told again in the next"
        );
    }
}
