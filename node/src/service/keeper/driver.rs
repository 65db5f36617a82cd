//! The task that drives one twin while its actor runs.

use super::{KeptTwin, LastTurn, Shared, lock};
use crate::observe::accuracy;
use crate::observe::catalogue::{FORECAST_ERROR, FORECAST_SCORED, FORECAST_WITHIN, TURN_SECONDS};
use crate::service::limits::{LOOK_AGAIN, TURN_LIMIT};
use crate::service::schedule;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::Instant;
use tracing::Instrument as _;
use twinscale_protocol::twin::TickRequest;
use twinscale_protocol::{CustomerId, DomainTime, Seconds};
use twinscale_supervision::ChildState;
use twinscale_twin::{TwinMessage, TwinState, cycle};

/// Seconds that must be left until a twin is due, or it is not worth putting away.
const REST_MIN_S: i64 = 2;

/// Pause before a twin that may not rest yet is looked at again.
const IDLE_LOOK: Duration = Duration::from_secs(1);

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
pub(super) fn start(
    shared: Arc<Shared>,
    kept: Arc<KeptTwin>,
    mut stop: watch::Receiver<bool>,
) -> JoinHandle<()> {
    tokio::spawn(async move {
        let customer = kept.twin.customer.clone();
        let serial = kept.serial;
        let rest = tokio::select! {
            _stopped = stop.wait_for(|stop| *stop) => None,
            (due, asked) = drive(&shared, &kept) => Some(Rest { serial, due, asked }),
        };
        // The twin can be put away only when nobody holds it.
        drop(kept);
        if let Some(rest) = rest {
            shared.wish_to_rest(customer, rest);
        }
    })
}

/// A twin that has nothing to do for a while.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Rest {
    /// Which incarnation of its driver and actor this is.
    pub(super) serial: u64,
    /// When it must look again.
    pub(super) due: DomainTime,
    /// What it was asked for until then: more means that it is wanted after all.
    pub(super) asked: u64,
}

/// Drives a twin until it has nothing to do for a while; returns when it is due and how often it was asked
/// for something. It may be dropped at any await: whatever matters is committed.
async fn drive(shared: &Shared, kept: &KeptTwin) -> (DomainTime, u64) {
    let customer = &kept.twin.customer;
    let mut turned_at = kept.last_turn().map(|turn| turn.at);
    let mut is_changed = false;
    loop {
        let asked = kept.asked();
        let now = shared.wall.now();
        advance(kept, now).await;
        let look = shared.node.twins().read(customer, |state| look(state, now));
        let pause = match look.flatten() {
            Some(look) if is_changed || is_due(customer, look, now, turned_at) => {
                is_changed = false;
                turned_at = Some(now);
                turn(shared, kept, look).await;
                kept.touch();
                Duration::ZERO
            }
            Some(look) => {
                let due = next_look(customer, look, now);
                let idle_left = shared.passivate_after.saturating_sub(kept.idle_for());
                if idle_left.is_zero() && !is_changed && may_rest(kept, due, now) {
                    return (due, asked);
                }
                pause(due, now).min(idle_left.max(IDLE_LOOK))
            }
            None => LOOK_AGAIN,
        };
        tokio::select! {
            () = tokio::time::sleep(pause) => {}
            () = kept.changed() => is_changed = true,
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

fn next_look(customer: &CustomerId, look: Look, now: DomainTime) -> DomainTime {
    let next = schedule::next_due(customer, look.interval, now);
    look.wake_up.map_or(next, |wake_up| wake_up.min(next))
}

fn pause(due: DomainTime, now: DomainTime) -> Duration {
    let seconds = u64::try_from(due.seconds_since(now)).unwrap_or_default();
    Duration::from_secs(seconds.max(1)).min(LOOK_AGAIN)
}

/// Whether nothing would be lost with its actor: it is well, does nothing, and nobody has told it to pause.
fn may_rest(kept: &KeptTwin, due: DomainTime, now: DomainTime) -> bool {
    let actor = &kept.twin.actor;
    let mailbox = actor.address().current();
    due.seconds_since(now) > REST_MIN_S
        && actor.report().borrow().state == ChildState::Running
        && actor.paused_for().is_none()
        && mailbox.is_some_and(|mailbox| mailbox.depth() == 0)
        && kept.twin.clock.in_flight() == 0
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
