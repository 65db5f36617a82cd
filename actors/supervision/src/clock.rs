//! Domain time, apart from system time.
//!
//! Samples, ticks and bills live in domain time; it advances only when nothing is in flight, so months
//! replay in seconds with the code that runs live. Time-outs and back-off stay on tokio's clock and are
//! never accelerated.
//!
//! Invariants: the time never goes back; timers fire in the order of their times, and everything that
//! one timer sets off is done before the next fires.

use std::collections::BTreeMap;
use std::future::Future;
use std::pin::Pin;
use std::sync::atomic::{AtomicI64, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use tokio::sync::{Notify, oneshot};
use twinscale_protocol::DomainTime;

/// A virtual clock that waits for the work it has set off.
#[derive(Clone, Debug)]
pub struct DomainClock {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    now: AtomicI64,
    in_flight: AtomicUsize,
    idle: Notify,
    timers: Mutex<BTreeMap<TimerKey, oneshot::Sender<InFlight>>>,
    timers_made: AtomicU64,
}

type TimerKey = (DomainTime, u64);

/// Something that was set off and is not done; time stands still while one exists.
#[derive(Debug)]
pub struct InFlight {
    shared: Arc<Shared>,
}

/// A wait for a moment of domain time; dropping it cancels the timer.
///
/// It resolves to an in-flight mark, so that the time stands still until the woken work has marked
/// its own.
#[derive(Debug)]
pub struct WakeUp {
    fired: oneshot::Receiver<InFlight>,
    key: TimerKey,
    shared: Arc<Shared>,
}

impl DomainClock {
    /// Starts a clock that moves only by [`DomainClock::advance_to`].
    #[must_use]
    pub fn starting_at(now: DomainTime) -> Self {
        let shared = Shared {
            now: AtomicI64::new(now.0),
            in_flight: AtomicUsize::new(0),
            idle: Notify::new(),
            timers: Mutex::new(BTreeMap::new()),
            timers_made: AtomicU64::new(0),
        };
        Self {
            shared: Arc::new(shared),
        }
    }

    /// Reads the domain time.
    pub fn now(&self) -> DomainTime {
        DomainTime(self.shared.now.load(Ordering::Acquire))
    }

    /// Marks work as begun; dropping the mark ends it, also when the work panics.
    #[must_use]
    pub fn begin(&self) -> InFlight {
        begin(&self.shared)
    }

    /// Reads how much is in flight, for reports and error messages.
    pub fn in_flight(&self) -> usize {
        self.shared.in_flight.load(Ordering::Acquire)
    }

    /// Sets a timer; one that is already due fires at the next advance, or at once.
    #[must_use]
    pub fn wake_at(&self, at: DomainTime) -> WakeUp {
        let (fire, fired) = oneshot::channel();
        let number = self.shared.timers_made.fetch_add(1, Ordering::Relaxed);
        let key = (at, number);
        if at <= self.now() {
            // The receiver was just made, so the mark arrives.
            drop(fire.send(self.begin()));
        } else {
            lock(&self.shared).insert(key, fire);
        }
        WakeUp {
            fired,
            key,
            shared: Arc::clone(&self.shared),
        }
    }

    /// Waits until nothing is in flight.
    pub async fn idle(&self) {
        loop {
            let idle = self.shared.idle.notified();
            tokio::pin!(idle);
            // Registered before the check, so that a wake-up between the two is not lost.
            idle.as_mut().enable();
            if self.in_flight() == 0 {
                return;
            }
            idle.await;
        }
    }

    /// Moves the time to `target`, firing the timers on the way; each waits until nothing is in flight.
    pub async fn advance_to(&self, target: DomainTime) {
        loop {
            self.idle().await;
            let Some(at) = self.next_timer().filter(|at| *at <= target) else {
                break;
            };
            self.shared.now.fetch_max(at.0, Ordering::AcqRel);
            for fire in self.take_due(at) {
                drop(fire.send(self.begin()));
            }
        }
        self.shared.now.fetch_max(target.0, Ordering::AcqRel);
    }

    fn next_timer(&self) -> Option<DomainTime> {
        lock(&self.shared).keys().next().map(|(at, _)| *at)
    }

    fn take_due(&self, at: DomainTime) -> Vec<oneshot::Sender<InFlight>> {
        let mut timers = lock(&self.shared);
        let later = timers.split_off(&(DomainTime(at.0.saturating_add(1)), 0));
        let due = std::mem::replace(&mut *timers, later);
        due.into_values().collect()
    }
}

fn lock(
    shared: &Shared,
) -> std::sync::MutexGuard<'_, BTreeMap<TimerKey, oneshot::Sender<InFlight>>> {
    shared.timers.lock().unwrap_or_else(PoisonError::into_inner)
}

fn begin(shared: &Arc<Shared>) -> InFlight {
    shared.in_flight.fetch_add(1, Ordering::AcqRel);
    InFlight {
        shared: Arc::clone(shared),
    }
}

impl Drop for InFlight {
    fn drop(&mut self) {
        if self.shared.in_flight.fetch_sub(1, Ordering::AcqRel) == 1 {
            self.shared.idle.notify_waiters();
        }
    }
}

impl Future for WakeUp {
    type Output = InFlight;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<InFlight> {
        match Pin::new(&mut self.fired).poll(context) {
            Poll::Ready(Ok(mark)) => Poll::Ready(mark),
            // The sender lives in the clock that `self` keeps alive, until it fires.
            Poll::Ready(Err(_)) => Poll::Ready(begin(&self.shared)),
            Poll::Pending => Poll::Pending,
        }
    }
}

impl Drop for WakeUp {
    fn drop(&mut self) {
        lock(&self.shared).remove(&self.key);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Mutex as StdMutex;

    /// Work that yields often: the clock must not run away under it.
    async fn yield_often() {
        for _ in 0..50 {
            tokio::task::yield_now().await;
        }
    }

    #[tokio::test]
    async fn timers_fire_in_order_and_each_waits_for_the_work_of_the_one_before() {
        let clock = DomainClock::starting_at(DomainTime(0));
        let seen = Arc::new(StdMutex::new(Vec::new()));
        let mut tasks = tokio::task::JoinSet::new();
        for at in [30, 10, 20, 10] {
            let (timer, seen, clock) = (
                clock.wake_at(DomainTime(at)),
                Arc::clone(&seen),
                clock.clone(),
            );
            tasks.spawn(async move {
                let mark = timer.await;
                yield_often().await;
                seen.lock().expect("not poisoned").push((at, clock.now().0));
                drop(mark);
            });
        }
        clock.advance_to(DomainTime(100)).await;
        assert_eq!(clock.now(), DomainTime(100));
        let seen = seen.lock().expect("not poisoned").clone();
        assert_eq!(seen, [(10, 10), (10, 10), (20, 20), (30, 30)]);
    }

    #[tokio::test]
    async fn a_dropped_timer_does_not_hold_the_clock() {
        let clock = DomainClock::starting_at(DomainTime(0));
        drop(clock.wake_at(DomainTime(5)));
        clock.advance_to(DomainTime(10)).await;
        assert_eq!(clock.in_flight(), 0);
        let due = clock.wake_at(DomainTime(3)).await;
        assert_eq!(clock.in_flight(), 1);
        drop(due);
        clock.idle().await;
    }

    #[tokio::test]
    async fn time_never_goes_back() {
        let clock = DomainClock::starting_at(DomainTime(50));
        clock.advance_to(DomainTime(10)).await;
        assert_eq!(clock.now(), DomainTime(50));
    }
}
