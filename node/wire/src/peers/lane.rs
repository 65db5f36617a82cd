//! One connection to a peer, made again whenever it ends, the peer moves or the certificates change.
//!
//! When the peer moves or the certificates change, the new connection is made first; the calls under way
//! end on the former one.

use super::PeerState;
use super::connect::{Connected, Connection, DialError, Dialing, Driver, dial};
use crate::credentials::{Credentials, Loaded};
use crate::error::CallError;
use crate::metrics::WireMetrics;
use crate::settings::WireSettings;
use crate::task::Task;
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::Instant;
use twinscale_protocol::NodeId;

#[derive(Debug)]
pub(super) struct Lane {
    state: watch::Receiver<LaneState>,
    _task: Task,
}

/// What a lane is made of.
#[derive(Debug)]
pub(super) struct LaneParts {
    pub(super) peer: NodeId,
    pub(super) address: watch::Receiver<String>,
    pub(super) credentials: Credentials,
    pub(super) settings: WireSettings,
    pub(super) metrics: WireMetrics,
    pub(super) salt: u64,
}

#[derive(Clone, Debug)]
enum LaneState {
    Connecting,
    Up(Connection),
    Down(DialError),
}

impl Lane {
    pub(super) fn start(parts: LaneParts) -> Self {
        let (publish, state) = watch::channel(LaneState::Connecting);
        let keeper = Keeper::new(parts, publish);
        Self {
            state,
            _task: Task::start(keeper.run()),
        }
    }

    /// Returns the connection, waiting for the attempt under way; fails at once when the last one failed.
    pub(super) async fn up(&self, peer: &NodeId) -> Result<Connection, CallError> {
        let mut state = self.state.clone();
        let decided = state
            .wait_for(|state| !matches!(state, LaneState::Connecting))
            .await;
        match decided.as_deref() {
            Ok(LaneState::Up(connection)) => Ok(connection.clone()),
            Ok(LaneState::Down(DialError::Refused(refusal))) => Err(CallError::Refused {
                peer: peer.clone(),
                refusal: refusal.clone(),
            }),
            Ok(LaneState::Down(DialError::Failed(cause))) => Err(CallError::Unreachable {
                peer: peer.clone(),
                cause: cause.clone(),
            }),
            Ok(LaneState::Connecting) | Err(_) => {
                Err(CallError::UnknownPeer { peer: peer.clone() })
            }
        }
    }

    /// Waits until a connection that has ended is no longer offered.
    pub(super) async fn replaced(&self, ended: &Connection) {
        let mut state = self.state.clone();
        let is_other = |state: &LaneState| match state {
            LaneState::Up(connection) => connection.number != ended.number,
            LaneState::Connecting | LaneState::Down(_) => true,
        };
        // An error means that the peer is no member any more, which the next step finds out.
        drop(state.wait_for(is_other).await);
    }

    pub(super) fn state(&self) -> PeerState {
        match &*self.state.borrow() {
            LaneState::Connecting => PeerState::Connecting,
            LaneState::Up(connection) => PeerState::Connected {
                version: connection.version.to_string(),
            },
            LaneState::Down(error) => PeerState::Unreachable {
                cause: error.to_string(),
            },
        }
    }
}

/// Keeps a lane up.
struct Keeper {
    parts: LaneParts,
    certificates: watch::Receiver<Arc<Loaded>>,
    publish: watch::Sender<LaneState>,
    /// All connections that live, those included that only end their calls.
    drivers: JoinSet<u64>,
    current: Option<u64>,
    made: u64,
    pause: Duration,
    jitter: ChaCha8Rng,
    /// The failure that was told last, until a connection is made.
    told: Option<String>,
}

enum News {
    /// The current connection ended.
    Lost,
    /// The peer moved, or the certificates are new.
    Changed,
    /// It is time for the next attempt.
    Due,
    /// The lane is no longer wanted.
    Over,
}

impl Keeper {
    fn new(parts: LaneParts, publish: watch::Sender<LaneState>) -> Self {
        // Each peer and lane has its own jitter, so that those of a node that returns do not meet.
        let name = u64::from(crc32fast::hash(parts.peer.as_str().as_bytes()));
        let seed = parts.settings.jitter_seed ^ (name << 8) ^ parts.salt;
        Self {
            certificates: parts.credentials.changes(),
            pause: parts.settings.backoff_first,
            jitter: ChaCha8Rng::seed_from_u64(seed),
            publish,
            drivers: JoinSet::new(),
            current: None,
            told: None,
            made: 0,
            parts,
        }
    }

    async fn run(mut self) {
        loop {
            let dialed = self.dial().await;
            let next = match dialed {
                Ok(connected) => {
                    let since = Instant::now();
                    self.take(connected);
                    let news = self.wait(None).await;
                    if since.elapsed() >= self.parts.settings.backoff_max {
                        self.pause = self.parts.settings.backoff_first;
                    }
                    if matches!(news, News::Lost) {
                        // A peer that takes connections and drops them is not asked without pause.
                        let pause = self.next_pause();
                        self.wait(Some(pause)).await
                    } else {
                        news
                    }
                }
                Err(error) => {
                    self.failed(error);
                    let pause = self.next_pause();
                    self.wait(Some(pause)).await
                }
            };
            if matches!(next, News::Over) {
                return;
            }
        }
    }

    async fn dial(&mut self) -> Result<Connected, DialError> {
        let address = self.parts.address.borrow_and_update().clone();
        let loaded = Arc::clone(&self.certificates.borrow_and_update());
        self.made += 1;
        dial(Dialing {
            peer: &self.parts.peer,
            address: &address,
            loaded: &loaded,
            credentials: &self.parts.credentials,
            settings: &self.parts.settings,
            number: self.made,
        })
        .await
    }

    fn take(&mut self, connected: Connected) {
        let Connected { connection, driver } = connected;
        let number = connection.number;
        self.drivers.spawn(ended(driver, number));
        self.current = Some(number);
        self.told = None;
        self.parts.metrics.connected();
        self.publish.send_replace(LaneState::Up(connection));
    }

    fn failed(&mut self, error: DialError) {
        if let DialError::Refused(refusal) = &error {
            self.parts.metrics.refused(refusal.reason);
        }
        // The first of a row of equal failures is for people, and the calls lane speaks for both.
        let text = error.to_string();
        if self.parts.salt == 0 && self.told.as_ref() != Some(&text) {
            tracing::warn!(peer = %self.parts.peer, "no connection: {text}");
        }
        self.told = Some(text);
        // A former connection that still lives is better than none.
        if self.current.is_none() {
            self.publish.send_replace(LaneState::Down(error));
        }
    }

    fn next_pause(&mut self) -> Duration {
        let pause = self.pause;
        self.pause = (pause * 2).min(self.parts.settings.backoff_max);
        pause.mul_f64(self.jitter.random_range(0.5..1.0))
    }

    async fn wait(&mut self, pause: Option<Duration>) -> News {
        let due = Instant::now() + pause.unwrap_or_default();
        loop {
            tokio::select! {
                Some(ended) = self.drivers.join_next() => {
                    if ended.ok() == self.current {
                        self.current = None;
                        self.publish.send_replace(LaneState::Connecting);
                        return News::Lost;
                    }
                }
                changed = self.parts.address.changed() => {
                    return if changed.is_ok() { News::Changed } else { News::Over };
                }
                Ok(()) = self.certificates.changed() => return News::Changed,
                () = tokio::time::sleep_until(due), if pause.is_some() => return News::Due,
            }
        }
    }
}

async fn ended(driver: Driver, number: u64) -> u64 {
    // How it ended is told to the calls that were under way.
    drop(driver.await);
    number
}
