//! A hold on an actor: it takes no message until the hold is lifted or its time is over.

use std::time::Duration;
use tokio::sync::watch;
use tokio::time::{Instant, sleep_until};

/// Longest pause: behind it whoever paused an actor has forgotten it.
pub const PAUSE_MAX: Duration = Duration::from_mins(10);

/// A hold on an actor, over all its incarnations; clones share it.
#[derive(Clone, Debug, Default)]
pub(crate) struct Pause(watch::Sender<Option<Instant>>);

impl Pause {
    /// Begins a pause, or sets another end to one; returns how long it lasts.
    pub(crate) fn begin(&self, time: Duration) -> Duration {
        let time = time.min(PAUSE_MAX);
        self.0.send_replace(Some(Instant::now() + time));
        time
    }

    /// Ends it; returns whether there was one.
    pub(crate) fn end(&self) -> bool {
        let was = self.left().is_some();
        self.0.send_replace(None);
        was
    }

    /// How long it lasts still.
    pub(crate) fn left(&self) -> Option<Duration> {
        let until = (*self.0.borrow())?;
        let left = until.saturating_duration_since(Instant::now());
        (!left.is_zero()).then_some(left)
    }

    /// Waits until there is one.
    pub(crate) async fn begun(&self) {
        let mut changes = self.0.subscribe();
        loop {
            changes.borrow_and_update();
            if self.left().is_some() {
                return;
            }
            // The sender is this one's own.
            drop(changes.changed().await);
        }
    }

    /// Waits until there is none.
    pub(crate) async fn over(&self) {
        if self.0.borrow().is_none() {
            return;
        }
        let mut changes = self.0.subscribe();
        loop {
            let until = *changes.borrow_and_update();
            match until {
                Some(until) if until > Instant::now() => {
                    tokio::select! {
                        () = sleep_until(until) => {}
                        // The sender is this one's own.
                        _changed = changes.changed() => {}
                    }
                }
                _ => return,
            }
        }
    }
}
