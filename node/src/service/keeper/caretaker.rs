//! The task that puts idle twins to rest, wakes those that are due, and has the states of those that nobody
//! uses put away.

use super::driver::Rest;
use super::{Shared, lock};
use crate::service::limits::LOOK_AGAIN;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;
use tokio::time::Instant;
use twinscale_protocol::{CustomerId, Seconds};

/// Twins that are woken before those that wish to rest are heard.
const WAKES_AT_ONCE: usize = 64;

/// Shortest pause between two looks at who is due, where nothing else happens.
const LOOK_MIN: Duration = Duration::from_millis(200);

/// Seconds after which a twin that could not be started is tried again.
const TRY_AGAIN: Seconds = Seconds(10);

/// What a driver asks for that has nothing to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Wish {
    pub(super) customer: CustomerId,
    pub(super) rest: Rest,
}

#[expect(
    clippy::disallowed_methods,
    reason = "the handle is kept with the keeper and joined when it stops"
)]
pub(super) fn start(
    shared: Arc<Shared>,
    wishes: mpsc::Receiver<Wish>,
    stop: watch::Receiver<bool>,
) -> JoinHandle<()> {
    tokio::spawn(attend(shared, wishes, stop))
}

/// Attends until the keeper stops; what is begun by then is ended in order.
async fn attend(
    shared: Arc<Shared>,
    mut wishes: mpsc::Receiver<Wish>,
    mut stop: watch::Receiver<bool>,
) {
    let shared = &shared;
    let mut put_away_at = Instant::now() + shared.passivate_after;
    loop {
        wake_due(shared).await;
        if Instant::now() >= put_away_at {
            put_away(shared).await;
            put_away_at = Instant::now() + shared.passivate_after;
        }
        let until_put_away = put_away_at.saturating_duration_since(Instant::now());
        let wish = tokio::select! {
            _stopped = stop.wait_for(|stop| *stop) => return,
            wish = wishes.recv() => wish,
            () = tokio::time::sleep(pause(shared).min(until_put_away)) => None,
            () = shared.rests.notified() => None,
        };
        if let Some(wish) = wish {
            shared.put_to_rest(wish).await;
        }
    }
}

async fn wake_due(shared: &Arc<Shared>) {
    let now = shared.wall.now();
    let due = lock(&shared.roster).due(now, WAKES_AT_ONCE);
    for customer in due {
        if *shared.stop.borrow() {
            return;
        }
        if let Err(error) = shared.wake(&customer).await {
            tracing::error!(%customer, %error, "twin cannot be started: it is tried again");
            lock(&shared.roster).postpone(&customer, now.plus(TRY_AGAIN));
        }
    }
}

/// Until the next twin is due; the clock may be set meanwhile, so never for long.
fn pause(shared: &Shared) -> Duration {
    let now = shared.wall.now();
    let next = lock(&shared.roster).next_due();
    let seconds = next.map(|next| u64::try_from(next.seconds_since(now)).unwrap_or_default());
    let pause = seconds.map_or(LOOK_AGAIN, Duration::from_secs);
    pause.clamp(LOOK_MIN, LOOK_AGAIN)
}

async fn put_away(shared: &Arc<Shared>) {
    let node = Arc::clone(&shared.node);
    let swept = tokio::task::spawn_blocking(move || node.twins().put_away_idle()).await;
    match swept {
        Ok(count) => tracing::debug!(count, "states of idle twins were put away"),
        Err(error) => tracing::error!(%error, "putting states away failed"),
    }
}
