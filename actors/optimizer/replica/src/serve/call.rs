//! Calls to another tier: a pool of connections, tries with time-outs, pauses between them.

use super::balance::Spread;
use super::http::HttpConnection;
use super::redis::RedisConnection;
use crate::config::{Objects, ServeCall, ServeStatus, Target};
use rand::Rng;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;
use tokio::sync::Semaphore;
use twinscale_environment::simulation::{Purpose, child, stream};

/// A long pause between tries is not doubled further.
const BACKOFF_DOUBLINGS_MAX: u32 = 20;
/// Idle connections that are kept to one VM where the model states no pool.
const IDLE_MAX: usize = 256;

/// How a call was answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    Served,
    /// A cache had no answer.
    Missed,
}

/// An answer to a call.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Answer {
    pub(super) verdict: Verdict,
    /// CPU seconds that servers burnt for it.
    pub(super) burnt_s: f64,
}

impl Answer {
    const fn of(verdict: Verdict) -> Self {
        Self {
            verdict,
            burnt_s: 0.0,
        }
    }
}

enum Connection {
    Http(HttpConnection),
    Redis(RedisConnection),
}

impl std::fmt::Debug for Connection {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Http(_) => "Http",
            Self::Redis(_) => "Redis",
        })
    }
}

/// A call and its connections.
#[derive(Debug)]
pub(super) struct CallState {
    pub(super) stated: ServeCall,
    spread: Spread,
    pool: Option<Semaphore>,
    /// By VM that is called.
    idle: Vec<Mutex<Vec<Connection>>>,
    tries: AtomicU64,
    timed_out: AtomicU64,
    failed: AtomicU64,
    hits: AtomicU64,
    misses: AtomicU64,
}

impl CallState {
    pub(super) fn new(stated: ServeCall) -> Self {
        Self {
            spread: Spread::new(stated.balancer, &stated.peers),
            pool: stated.pool_size.map(|size| Semaphore::new(size as usize)),
            idle: stated.peers.iter().map(|_| Mutex::default()).collect(),
            tries: AtomicU64::new(0),
            timed_out: AtomicU64::new(0),
            failed: AtomicU64::new(0),
            hits: AtomicU64::new(0),
            misses: AtomicU64::new(0),
            stated,
        }
    }

    /// Makes the call, with further tries where the first fails; `None` when all have failed.
    pub(super) async fn make(&self, class: &str, seed: u64) -> Option<Answer> {
        for attempt in 0..=self.stated.retries_max {
            if let Some(doublings) = attempt.checked_sub(1) {
                let factor = f64::from(1_u32 << doublings.min(BACKOFF_DOUBLINGS_MAX));
                let pause_s = self.stated.retry_backoff_s * factor;
                tokio::time::sleep(Duration::from_secs_f64(pause_s)).await;
            }
            self.tries.fetch_add(1, Ordering::Relaxed);
            let made = self.attempt(class, child(seed, u64::from(attempt) + 1));
            let answer = match self.stated.timeout_s {
                None => made.await,
                Some(limit_s) => {
                    let limit = Duration::from_secs_f64(limit_s);
                    let Ok(answer) = tokio::time::timeout(limit, made).await else {
                        self.timed_out.fetch_add(1, Ordering::Relaxed);
                        continue;
                    };
                    answer
                }
            };
            if answer.is_some() {
                return answer;
            }
            self.failed.fetch_add(1, Ordering::Relaxed);
        }
        None
    }

    async fn attempt(&self, class: &str, seed: u64) -> Option<Answer> {
        let permit = match &self.pool {
            Some(pool) => Some(pool.acquire().await.ok()?),
            None => None,
        };
        let writes = self.writes(class, seed);
        let mut rng = stream(seed, Purpose::Balance);
        let chosen = self.spread.choose(writes, &mut rng)?;
        let mut connection = self.connect(chosen.peer).await?;
        // A connection that failed, or that a time-out cut off, is not used again.
        let answer = self.ask(&mut connection, class, seed, writes).await?;
        let mut idle = self.idle[chosen.peer]
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        if idle.len() < IDLE_MAX {
            idle.push(connection);
        }
        drop((idle, permit));
        Some(answer)
    }

    async fn connect(&self, peer: usize) -> Option<Connection> {
        let kept = self.idle[peer]
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .pop();
        if kept.is_some() {
            return kept;
        }
        let address = &self.stated.peers[peer].address;
        match self.stated.target {
            Target::Http => HttpConnection::connect(address)
                .await
                .ok()
                .map(Connection::Http),
            Target::Cache { .. } | Target::Database { .. } => RedisConnection::connect(address)
                .await
                .ok()
                .map(Connection::Redis),
        }
    }

    fn writes(&self, class: &str, seed: u64) -> bool {
        let Target::Database { write_shares, .. } = &self.stated.target else {
            return false;
        };
        let share = write_shares.get(class).copied().unwrap_or(0.0);
        stream(seed, Purpose::Kind).random::<f64>() < share
    }

    async fn ask(
        &self,
        connection: &mut Connection,
        class: &str,
        seed: u64,
        writes: bool,
    ) -> Option<Answer> {
        let stated = &self.stated;
        let mut rng = stream(seed, Purpose::Outcome);
        match (connection, &stated.target) {
            (Connection::Http(http), Target::Http) => {
                let served = http
                    .visit(class, seed, stated.request_bytes, stated.response_bytes)
                    .await;
                served.ok()?.map(|burnt_s| Answer {
                    verdict: Verdict::Served,
                    burnt_s,
                })
            }
            (Connection::Redis(redis), Target::Cache { hit_ratio, objects }) => {
                let there = rng.random::<f64>() < *hit_ratio;
                let key = key(objects, rng.random(), there);
                let hit = redis.get(&key).await.ok()?;
                let count = if hit { &self.hits } else { &self.misses };
                count.fetch_add(1, Ordering::Relaxed);
                Some(Answer::of(if hit {
                    Verdict::Served
                } else {
                    Verdict::Missed
                }))
            }
            (Connection::Redis(redis), Target::Database { objects, .. }) => {
                let key = key(objects, rng.random(), true);
                if writes {
                    let value = vec![b'w'; objects.bytes];
                    redis.set(&key, &value).await.ok()?;
                } else {
                    redis.get(&key).await.ok()?;
                }
                Some(Answer::of(Verdict::Served))
            }
            _ => None,
        }
    }

    /// Adds what it has done to a status.
    pub(super) fn count_into(&self, status: &mut ServeStatus) {
        let count = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        let calls = status.calls.entry(self.stated.to.clone()).or_default();
        *calls += count(&self.tries);
        status.timed_out += count(&self.timed_out);
        status.failed += count(&self.failed);
        status.hits += count(&self.hits);
        status.misses += count(&self.misses);
    }
}

/// The key of an object, or one that is never there.
fn key(objects: &Objects, draw: u64, there: bool) -> String {
    let number = draw % objects.count.max(1);
    let absent = if there { "" } else { "absent:" };
    format!("{}{absent}{number}", objects.prefix)
}
