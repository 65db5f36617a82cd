//! The task that reads gossip each round and publishes the view.

use chitchat::{Chitchat, ChitchatHandle, ChitchatId};
use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;
use tokio::time::{Instant, MissedTickBehavior, interval};
use tracing::{error, info, warn};
use twinscale_protocol::NodeNumber;

use crate::clock::WallClock;
use crate::gossiped::{Document, MemberState, STATE_KEY, encode_state};
use crate::limits::{INCARNATIONS_MAX, RECALL_FOR, RECALL_INTERVAL};
use crate::roster::Roster;
use crate::tracker::{Life, Moment, Observed, Tracker};
use crate::view::{Change, Liveness, MembershipView, Standing};

/// Reads gossip and publishes the view until gossip ends.
pub(crate) struct Observer {
    pub(crate) gossip: Arc<ChitchatHandle>,
    pub(crate) tracker: Tracker,
    pub(crate) roster: Arc<Roster>,
    pub(crate) clock: Arc<dyn WallClock>,
    pub(crate) views: watch::Sender<Arc<MembershipView>>,
    pub(crate) started: Instant,
    pub(crate) gossip_interval: Duration,
}

impl Observer {
    pub(crate) async fn run(mut self) {
        let mut rounds = interval(self.gossip_interval);
        rounds.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let chitchat = self.gossip.chitchat();
        let mut live_changed = chitchat.lock().await.live_nodes_watcher();
        let ended = self.gossip.termination_watcher();
        tokio::pin!(ended);
        let mut recall = Recall::default();
        loop {
            tokio::select! {
                _ = rounds.tick() => {}
                changed = live_changed.changed() => {
                    if changed.is_err() {
                        // chitchat is gone; the end of its task says why.
                        let why = describe(ended.await);
                        return self.stop(why);
                    }
                }
                result = &mut ended => return self.stop(describe(result)),
            }
            self.round(&mut *chitchat.lock().await);
            recall.note(&self.views.borrow(), self.started.elapsed());
            if let Some(address) = recall.next(self.started.elapsed()) {
                // Refused only when gossip has ended, which the loop sees.
                drop(self.gossip.gossip(address));
            }
        }
    }

    /// Reads one round, under the lock: what is published and what is refused fit together.
    fn round(&mut self, chitchat: &mut Chitchat) {
        let (round, known) = read(chitchat, &self.tracker);
        self.roster.replace(known);
        let moment = Moment {
            elapsed: self.started.elapsed(),
            unix_ms: self.clock.unix_ms(),
        };
        if self.tracker.observe(round, moment) {
            self.publish();
            self.refuse_to_serve(chitchat);
        }
    }

    fn publish(&self) {
        let view = Arc::new(self.tracker.view().clone());
        let earlier = self.views.send_replace(Arc::clone(&view));
        for change in view.changes_since(&earlier) {
            match change {
                Change::Died(member) => warn!(%member, "member is silent: dead"),
                Change::Returned(member) => info!(%member, "member is heard again"),
                Change::Appeared(member) => info!(%member, "member appeared"),
                Change::Restarted(member) => info!(%member, "member restarted"),
                Change::Left(member) => info!(%member, "member left"),
                Change::Forgotten(member) => info!(%member, "member forgotten"),
                Change::Told(_) => {}
            }
        }
        for duplicate in &view.duplicates {
            if !earlier.duplicates.contains(duplicate) {
                error!(%duplicate, "duplicate node id");
            }
        }
    }

    fn refuse_to_serve(&self, chitchat: &mut Chitchat) {
        let Standing::Refused(duplicate) = &self.tracker.view().standing else {
            return;
        };
        let why = duplicate.to_string();
        match encode_state(&MemberState::NotReady { why }) {
            Ok(state) => chitchat.self_node_state().set(STATE_KEY, state),
            Err(error) => error!(%error, "cannot tell the others that this node refuses to serve"),
        }
    }

    fn stop(mut self, why: String) {
        if self.tracker.stop(why) {
            self.publish();
        }
    }
}

fn describe(ended: anyhow::Result<()>) -> String {
    match ended {
        Ok(()) => "it was stopped".to_owned(),
        Err(error) => format!("{error:#}"),
    }
}

fn read(chitchat: &Chitchat, tracker: &Tracker) -> (Vec<Observed>, BTreeSet<ChitchatId>) {
    let alive: BTreeSet<&ChitchatId> = chitchat.live_nodes().collect();
    let states = chitchat.node_states();
    let round = states.iter().filter_map(|(id, state)| {
        let life = Life::from_chitchat(id)?;
        let version = state.max_version();
        let is_new = tracker.version_of(&life) != Some(version);
        Some(Observed {
            life,
            alive: alive.contains(id),
            heartbeat: state.heartbeat().into(),
            version,
            document: is_new.then(|| Document::decode(state.key_values())),
        })
    });
    (round.collect(), states.keys().cloned().collect())
}

/// Addresses of members that were alive once. chitchat forgets the dead, and two sides of a long partition
/// would not find each other again without a seed between them.
#[derive(Debug, Default)]
struct Recall {
    last: BTreeMap<NodeNumber, (SocketAddr, Duration)>,
    silent: BTreeSet<NodeNumber>,
    asked: Option<NodeNumber>,
    asked_at: Duration,
}

impl Recall {
    fn note(&mut self, view: &MembershipView, now: Duration) {
        for (id, member) in view.members.iter().filter(|(id, _)| **id != view.own) {
            match member.liveness {
                Liveness::Alive
                    if self.last.len() < INCARNATIONS_MAX || self.last.contains_key(id) =>
                {
                    self.last.insert(*id, (member.gossip, now));
                }
                Liveness::Left => {
                    self.last.remove(id);
                }
                Liveness::Alive | Liveness::Dead => {}
            }
        }
        self.last
            .retain(|_, (_, at)| now.saturating_sub(*at) < RECALL_FOR);
        self.silent = self.last.keys().copied().collect();
        self.silent
            .retain(|id| view.liveness(*id) != Some(Liveness::Alive));
    }

    /// The next one to look for, when it is time.
    fn next(&mut self, now: Duration) -> Option<SocketAddr> {
        if now.saturating_sub(self.asked_at) < RECALL_INTERVAL {
            return None;
        }
        self.asked_at = now;
        let after = self.silent.iter().find(|id| Some(**id) > self.asked);
        let next = *after.or(self.silent.first())?;
        self.asked = Some(next);
        self.last.get(&next).map(|(address, _)| *address)
    }
}
