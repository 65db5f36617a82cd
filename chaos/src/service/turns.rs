//! Follows every twin's turns, readiness and acknowledgements from outside while actors are struck.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures::future::join_all;
use serde::Serialize;
use tokio::task::JoinHandle;
use tokio::time::Instant;
use twinscale::load::client::ApiClient;
use twinscale::service::api::TwinReply;

use super::daemon::LOOK_PAUSE;
use super::load::get_status;
use super::verdict::millis;

/// Pause between two looks at all twins: a fraction of the shortest step.
const TURNS_PAUSE: Duration = Duration::from_millis(50);

/// A turn of a twin as the API showed it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct TurnSeen {
    /// When it began, by the daemon's clock.
    pub(super) at: i64,
    /// When its end was seen.
    pub(super) seen: Instant,
    pub(super) is_stale: bool,
    pub(super) failures: Vec<String>,
}

impl TurnSeen {
    /// It had a fresh forecast, and nothing failed on its way.
    pub(super) fn is_clean(&self) -> bool {
        !self.is_stale && self.failures.is_empty()
    }
}

/// A time in which an actor was struck and not all was as before.
#[derive(Clone, Debug)]
pub(super) struct Window {
    /// The customer whose twin was struck; none where a shared actor was.
    pub(super) struck: Option<String>,
    pub(super) from: Instant,
    pub(super) until: Instant,
}

/// What became of turns.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct TurnTally {
    /// Turns seen.
    pub turns: u64,
    /// Steps without a turn.
    pub skipped: u64,
    /// Turns without a fresh forecast.
    pub stale: u64,
    /// Turns on the way of which something failed.
    pub impaired: u64,
    /// Longest time between the begins of two turns of a twin, in seconds.
    pub longest_gap_s: u64,
}

/// The turns of all twins by what befell the node meanwhile.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct TurnTallies {
    /// No actor was struck.
    pub(super) quiet: TurnTally,
    /// Another customer's twin was struck.
    pub(super) beside: TurnTally,
    /// The twin itself was struck.
    pub(super) own: TurnTally,
    /// An actor that all twins need was struck.
    pub(super) shared: TurnTally,
}

/// What is seen from outside.
#[derive(Debug, Default)]
struct Seen {
    turns: BTreeMap<String, Vec<TurnSeen>>,
    unready: u64,
    longest_gap: Duration,
}

/// Follows until it is dropped.
#[derive(Debug)]
pub(super) struct Follower {
    client: ApiClient,
    seen: Arc<Mutex<Seen>>,
    tasks: [JoinHandle<()>; 2],
}

impl Follower {
    pub(super) fn start(client: &ApiClient, customers: &[String], list: &Path) -> Self {
        let seen = Arc::new(Mutex::new(Seen {
            turns: customers
                .iter()
                .map(|customer| (customer.clone(), Vec::new()))
                .collect(),
            ..Seen::default()
        }));
        Self {
            client: client.clone(),
            tasks: [
                spawn(follow_turns(client.clone(), Arc::clone(&seen))),
                spawn(follow_list(list.to_owned(), Arc::clone(&seen))),
            ],
            seen,
        }
    }

    /// Looks at all twins now, so that what is seen later came later.
    pub(super) async fn look(&self) {
        look(&self.client, &self.seen).await;
    }

    /// How many turns of a customer have been seen.
    pub(super) fn count(&self, customer: &str) -> usize {
        lock(&self.seen).turns.get(customer).map_or(0, Vec::len)
    }

    /// When the first clean turn behind so many others was seen.
    pub(super) fn clean_since(&self, customer: &str, count: usize) -> Option<Instant> {
        let seen = lock(&self.seen);
        let later = seen.turns.get(customer)?.get(count..)?;
        later
            .iter()
            .find(|turn| turn.is_clean())
            .map(|turn| turn.seen)
    }

    /// Looks at which the node was not ready or did not answer.
    pub(super) fn unready(&self) -> u64 {
        lock(&self.seen).unready
    }

    /// Longest time without an acknowledgement, in milliseconds.
    pub(super) fn longest_ack_gap_ms(&self) -> u64 {
        millis(lock(&self.seen).longest_gap)
    }

    /// Sorts all turns by what befell the node between a twin's turn before and this one.
    pub(super) fn tally(&self, windows: &[Window], interval_s: u32) -> TurnTallies {
        let mut tallies = TurnTallies::default();
        for (customer, turns) in &lock(&self.seen).turns {
            for pair in turns.windows(2) {
                if let [before, turn] = pair {
                    tallies
                        .of(customer, (before.seen, turn.seen), windows)
                        .add(before, turn, interval_s);
                }
            }
        }
        tallies
    }
}

impl Drop for Follower {
    fn drop(&mut self) {
        for task in &self.tasks {
            task.abort();
        }
    }
}

impl TurnTallies {
    /// The tally for a turn of a customer that followed its turn before within this time.
    fn of(
        &mut self,
        customer: &str,
        (from, until): (Instant, Instant),
        windows: &[Window],
    ) -> &mut TurnTally {
        let mut met = windows
            .iter()
            .filter(|window| window.from <= until && from <= window.until)
            .map(|window| window.struck.as_deref())
            .peekable();
        if met.peek().is_none() {
            return &mut self.quiet;
        }
        let met: Vec<Option<&str>> = met.collect();
        if met.contains(&None) {
            &mut self.shared
        } else if met.contains(&Some(customer)) {
            &mut self.own
        } else {
            &mut self.beside
        }
    }
}

impl TurnTally {
    fn add(&mut self, before: &TurnSeen, turn: &TurnSeen, interval_s: u32) {
        let step = |at: i64| at.div_euclid(i64::from(interval_s.max(1)));
        let missed = step(turn.at) - step(before.at) - 1;
        self.turns += 1;
        self.skipped += u64::try_from(missed).unwrap_or(0);
        self.stale += u64::from(turn.is_stale);
        self.impaired += u64::from(!turn.is_clean());
        let gap = u64::try_from(turn.at - before.at).unwrap_or(0);
        self.longest_gap_s = self.longest_gap_s.max(gap);
    }
}

async fn look(client: &ApiClient, seen: &Mutex<Seen>) {
    let customers: Vec<String> = lock(seen).turns.keys().cloned().collect();
    let asked = customers.iter().map(|customer| async move {
        let path = format!("/v1/customers/{customer}");
        (customer, client.get::<TwinReply>(&path).await.ok())
    });
    let (ready, answers) = tokio::join!(get_status(client, "/v1/ready"), join_all(asked));
    let now = Instant::now();
    let mut seen = lock(seen);
    seen.unready += u64::from(ready != Some(200));
    for (customer, twin) in answers {
        let turn = twin.and_then(|twin| twin.last_turn);
        let (Some(turn), Some(turns)) = (turn, seen.turns.get_mut(customer)) else {
            continue;
        };
        // Two looks at once may come back in either order.
        if turns.last().is_none_or(|last| last.at < turn.at) {
            turns.push(TurnSeen {
                at: turn.at,
                seen: now,
                is_stale: turn.stale,
                failures: turn.failures,
            });
        }
    }
}

#[expect(
    clippy::infinite_loop,
    reason = "its handle is kept, and ends it when the follower is dropped"
)]
async fn follow_turns(client: ApiClient, seen: Arc<Mutex<Seen>>) {
    loop {
        look(&client, &seen).await;
        tokio::time::sleep(TURNS_PAUSE).await;
    }
}

/// Watches the list of acknowledged samples grow.
#[expect(
    clippy::infinite_loop,
    reason = "its handle is kept, and ends it when the follower is dropped"
)]
async fn follow_list(list: PathBuf, seen: Arc<Mutex<Seen>>) {
    let mut bytes = 0;
    let mut grown = Instant::now();
    loop {
        let found = std::fs::metadata(&list).map_or(0, |found| found.len());
        let gap = grown.elapsed();
        if found > bytes {
            (bytes, grown) = (found, Instant::now());
        }
        // Also of a list that does not grow any more.
        note_gap(&seen, gap);
        tokio::time::sleep(LOOK_PAUSE).await;
    }
}

fn note_gap(seen: &Mutex<Seen>, gap: Duration) {
    let mut seen = lock(seen);
    seen.longest_gap = seen.longest_gap.max(gap);
}

#[expect(
    clippy::disallowed_methods,
    reason = "the handle is kept with the follower, which ends the task"
)]
fn spawn(work: impl Future<Output = ()> + Send + 'static) -> JoinHandle<()> {
    tokio::spawn(work)
}

fn lock(seen: &Mutex<Seen>) -> MutexGuard<'_, Seen> {
    seen.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn turn(at: i64, seen: Instant, is_stale: bool) -> TurnSeen {
        TurnSeen {
            at,
            seen,
            is_stale,
            failures: Vec::new(),
        }
    }

    #[tokio::test]
    async fn turns_are_sorted_by_who_was_struck_and_skipped_steps_are_counted() {
        let begun = Instant::now();
        let after = |seconds: u64| begun + Duration::from_secs(seconds);
        let turns = [
            (8, 8, false),
            (12, 12, false),
            (20, 20, true),
            (24, 24, false),
        ];
        let turns = turns.map(|(at, seen, is_stale)| turn(at, after(seen), is_stale));
        let window = |struck: Option<&str>| Window {
            struck: struck.map(str::to_owned),
            from: after(15),
            until: after(18),
        };
        let tallied = |windows: &[Window]| {
            let mut tallies = TurnTallies::default();
            for pair in turns.windows(2) {
                let time = (pair[0].seen, pair[1].seen);
                tallies.of("acme", time, windows).add(&pair[0], &pair[1], 4);
            }
            tallies
        };
        let hit = TurnTally {
            turns: 1,
            skipped: 1,
            stale: 1,
            impaired: 1,
            longest_gap_s: 8,
        };
        assert_eq!(tallied(&[window(Some("acme"))]).own, hit);
        assert_eq!(tallied(&[window(Some("other"))]).beside, hit);
        let shared = tallied(&[window(Some("acme")), window(None)]);
        assert_eq!(shared.shared, hit);
        assert_eq!(shared.quiet.turns, 2);
        assert_eq!(tallied(&[]).quiet.turns, 3);
    }
}
